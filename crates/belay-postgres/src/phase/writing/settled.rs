//! What the client hears once a settlement is done.

use super::{Doing, Settlings, Transaction, Writing, idle, told};
use crate::wire::{
    Report, Severity, command_complete, error_response, execute, notice_response, own_query, parse_unnamed,
    ready_for_query, refusal_text,
};
use belay_engine::{Notice, Output, ProtocolError, Settled};
use belay_model::{Code, EndReason, Timestamp, TransactionStatus};
use bytes::{BufMut, Bytes, BytesMut};

impl Writing {
    pub(super) fn handle_settled(&mut self, settled: Settled, now: Timestamp) -> Result<(), ProtocolError> {
        let Doing::Settling { what, .. } = std::mem::replace(&mut self.doing, Doing::Nothing) else { return Ok(()) };
        match settled {
            Settled::Lost(denial) => {
                self.out.push_back(Output::ToClient(error_response(&told(Severity::Fatal, &denial))));
                self.out.push_back(Output::Close(EndReason::TargetLost));
                return Ok(());
            }
            Settled::Ready(done) => {
                self.open = done.downcast().ok();
                if let Some(head) = self.queue.front_mut() {
                    head.prepared = true;
                }
                if self.bind_again() {
                    return Ok(());
                }
            }
            Settled::Instead(tag, notice) => {
                self.tell(notice);
                let head = self.queue.pop_front();
                let simple = head.is_some_and(|head| head.bytes.as_bytes().first() == Some(&b'Q'));
                self.feed(command_complete(&tag), now)?;
                if simple {
                    return self.after_simple(now);
                }
            }
            Settled::Committed(notice) => {
                self.forget();
                self.tell(notice);
                self.committed(what, now)?;
            }
            Settled::RolledBack(denial) => {
                return self.rolled_back(what, error_response(&told(Severity::Error, &denial)), now);
            }
            Settled::Failed(error) => return self.rolled_back(what, error, now),
        }
        self.release();
        Ok(())
    }

    fn rolled_back(&mut self, what: Settlings, error: Bytes, now: Timestamp) -> Result<(), ProtocolError> {
        if what == Settlings::Prepare {
            self.spoil(error);
            return Ok(());
        }
        self.forget();
        self.refused(what, error, now)?;
        self.release();
        Ok(())
    }

    /// Makes the unnamed portal again, where that is what is run next.
    fn bind_again(&mut self) -> bool {
        let Some(head) = self.queue.front().map(|head| head.bytes.as_bytes()) else { return false };
        if head.first() != Some(&b'E') || execute(head) != Ok(&b""[..]) {
            return false;
        }
        let Some(text) = self.transcript.text_of(head) else { return false };
        let mut bytes = BytesMut::from(&*parse_unnamed(&text));
        // The unnamed portal of the unnamed statement, without parameters.
        bytes.put_slice(b"B\0\0\0\x0c\0\0\0\0\0\0\0\0H\0\0\0\x04");
        self.own(bytes.freeze());
        self.doing = Doing::Binding(2);
        true
    }

    /// What stood in for a simple query is done; its transaction goes on or, where it was opened here, ends.
    fn after_simple(&mut self, now: Timestamp) -> Result<(), ProtocolError> {
        if matches!(self.transaction, Transaction::Own { .. }) {
            self.roll_back(vec![idle()]);
            return Ok(());
        }
        self.feed(ready_for_query(TransactionStatus::Open), now)?;
        self.release();
        Ok(())
    }

    fn committed(&mut self, what: Settlings, now: Timestamp) -> Result<(), ProtocolError> {
        match what {
            Settlings::Own => {
                if let Some(complete) = self.complete.take() {
                    self.feed(complete, now)?;
                }
                self.feed(idle(), now)
            }
            Settlings::Commit | Settlings::Prepare => {
                let head = self.queue.pop_front();
                self.feed(command_complete("COMMIT"), now)?;
                if head.is_some_and(|head| head.bytes.as_bytes().first() == Some(&b'Q')) {
                    self.feed(idle(), now)?;
                }
                Ok(())
            }
        }
    }

    fn refused(&mut self, what: Settlings, error: Bytes, now: Timestamp) -> Result<(), ProtocolError> {
        self.complete = None;
        if what == Settlings::Own {
            self.feed(error, now)?;
            return self.feed(idle(), now);
        }
        let simple = self.skip();
        self.feed(error, now)?;
        if simple { self.feed(idle(), now) } else { Ok(()) }
    }

    /// Takes the statement at the head of the queue away, which has failed, and tells whether that is a simple query. As
    /// the target does after an error, what is left of its batch is skipped.
    fn skip(&mut self) -> bool {
        let simple = self.queue.pop_front().is_some_and(|head| head.bytes.as_bytes().first() == Some(&b'Q'));
        while !simple && self.queue.front().is_some_and(|held| held.bytes.as_bytes().first() != Some(&b'S')) {
            self.queue.pop_front();
        }
        simple
    }

    /// What should have been done before a statement failed: the statement fails, and its transaction with it.
    fn spoil(&mut self, error: Bytes) {
        let simple = self.skip();
        if matches!(self.transaction, Transaction::Own { .. }) {
            // The client hears of it once the transaction is gone.
            self.roll_back(if simple { vec![error, idle()] } else { vec![error] });
            return;
        }
        let failed = ready_for_query(TransactionStatus::Failed);
        self.doing = Doing::RollingBack(if simple { vec![error, failed] } else { vec![error] });
        self.own(own_query(&refusal_text(Code::Irreversible)));
    }

    fn tell(&mut self, notice: Option<Notice>) {
        if let Some(Notice { message, detail, hint }) = notice {
            let report = Report { severity: Severity::Notice, code: Code::Changed, message, detail, hint };
            self.out.push_back(Output::ToClient(notice_response(&report)));
        }
    }
}
