//! What the client sends: on to the target, or held until what has to come before it is done.

use super::act::{Act, begins, mixed};
use super::block;
use super::dropped::relations;
use super::settlement::{Before, End};
use super::step::{is_plain, reads_only};
use super::{BEGIN, Doing, Held, ISOLATION, MAY_WRITE, Next, Settlings, Transaction, Writing};
use crate::wire::{command_in_batch, query, query_text};
use belay_engine::{Connection as _, Input, Output, ProtocolError, UpstreamBytes};
use belay_model::{Statement, Timestamp};
use belay_policy::Decision;
use bytes::{BufMut, Bytes, BytesMut};
use std::sync::Arc;

impl Writing {
    /// Carries out what the judging side wants, as far as that is for here.
    pub(super) fn pump(&mut self, now: Timestamp) -> Result<(), ProtocolError> {
        while let Some(output) = self.inner.poll() {
            match output {
                Output::Decide(statements) => {
                    if let Some(denial) = mixed(&statements, self.is_open()) {
                        self.inner.handle(Input::Decided(Decision::Deny(denial)), now)?;
                    } else {
                        self.judged = Some(Arc::clone(&statements));
                        self.out.push_back(Output::Decide(statements));
                    }
                }
                Output::ToUpstream(bytes) => {
                    let carries = matches!(bytes.as_bytes().first(), Some(b'Q' | b'P' | b'B' | b'E'));
                    let statements = if carries { self.permitted.take() } else { None };
                    self.take(bytes, statements)?;
                }
                other => self.out.push_back(other),
            }
        }
        Ok(())
    }

    /// Takes a message, in parts where it is a transaction of its own.
    fn take(&mut self, bytes: UpstreamBytes, statements: Option<Arc<[Statement]>>) -> Result<(), ProtocolError> {
        let Some(whole) = statements.as_deref().filter(|whole| block::is_block(whole)) else {
            self.dispatch(Held { bytes, statements, prepared: false, part: false });
            return Ok(());
        };
        let text = query_text(bytes.as_bytes()).ok().and_then(|text| std::str::from_utf8(text).ok());
        let cut = text.and_then(|text| block::cut(text, whole));
        let why = "the statements of a transaction in one message cannot be told apart";
        let (texts, statements): (Vec<_>, Vec<_>) =
            cut.ok_or_else(|| ProtocolError(why.to_owned()))?.into_iter().unzip();
        let messages = bytes.in_parts(texts.iter().map(|text| query(text)).collect());
        let part = |(bytes, statements)| Held { bytes, statements: Some(statements), prepared: false, part: true };
        self.parts = messages.into_iter().zip(statements).map(part).collect();
        self.send_part();
        Ok(())
    }

    /// Sends the next part of a message.
    pub(super) fn send_part(&mut self) {
        if let Some(part) = self.parts.pop_front() {
            self.dispatch(part);
        }
        self.go_on();
    }

    /// Sends what has waited for the last part of a message.
    pub(super) fn go_on(&mut self) {
        if self.parts.is_empty() && matches!(self.doing, Doing::Nothing) && !self.queue.is_empty() {
            self.release();
        }
    }

    pub(super) fn send(&mut self, held: Held) {
        let tag = held.bytes.as_bytes().first().copied().unwrap_or_default();
        match tag {
            b'P' | b'B' | b'E' | b'D' | b'C' => self.in_batch = true,
            b'S' => self.batch_over(),
            _ => {}
        }
        self.only_reads &= held.statements.as_deref().is_none_or(|all| !self.in_batch || all.iter().all(is_plain));
        if let Transaction::Own { sealed, .. } = &mut self.transaction {
            *sealed |= matches!(tag, b'Q' | b'S');
        }
        self.note_modes(tag, &held);
        match &held.statements {
            Some(statements) => self.transcript.sent(held.bytes.as_bytes(), statements),
            None if tag == b'd' => self.transcript.data(held.bytes.as_bytes().get(5..).unwrap_or_default()),
            // A COPY of no rows is one, too.
            None if tag == b'c' => self.transcript.data(&[]),
            None => {}
        }
        self.out.push_back(Output::ToUpstream(held.bytes));
    }

    pub(super) fn batch_over(&mut self) {
        self.in_batch = false;
        self.only_reads = true;
    }

    /// Takes note of how the client begins its transaction.
    fn note_modes(&mut self, tag: u8, held: &Held) {
        let Some([statement]) = held.statements.as_deref().filter(|_| matches!(tag, b'Q' | b'E')) else { return };
        let begins = begins(statement) && matches!(self.transaction, Transaction::None);
        if begins && tag == b'E' {
            self.transaction = Transaction::Begun;
        }
        if begins || statement.verb == "SET TRANSACTION" {
            let text = self.transcript.text_of(held.bytes.as_bytes());
            self.reads_only = text.and_then(|text| reads_only(&text)).unwrap_or(self.reads_only);
        }
    }

    /// Sends what was held, up to what has to wait again.
    pub(super) fn release(&mut self) {
        let queue = std::mem::take(&mut self.queue);
        for held in queue {
            self.dispatch(held);
        }
        self.drained();
    }

    /// Goes on once everything that was sent is answered.
    pub(super) fn drained(&mut self) {
        let Doing::Draining(next) = self.doing else { return };
        // The head of the queue and what follows it are counted as due already.
        let answered = |held: &&Held| !matches!(held.bytes.as_bytes().first(), Some(b'H' | b'd' | b'c' | b'f'));
        let held = self.queue.iter().filter(answered).count();
        if self.inner.due() > held {
            return;
        }
        match next {
            Next::Open => self.open(true),
            Next::Split => {
                self.own(Bytes::from_static(b"S\0\0\0\x04"));
                self.doing = Doing::Splitting;
            }
            Next::Join if self.is_begun() => self.open(false),
            // It has failed or ended meanwhile.
            Next::Join => {
                self.doing = Doing::Nothing;
                self.release();
            }
            Next::Commit => self.settle(Settlings::Commit),
            Next::Prepare => self.settle(Settlings::Prepare),
        }
    }

    /// Opens a transaction, or makes the client's one that may write, and takes what it starts with.
    pub(super) fn open(&mut self, own: bool) {
        let mut bytes = BytesMut::new();
        // Where the client only reads, the target refuses what writes.
        let mode = if own { Some(BEGIN) } else { (!self.reads_only).then_some(MAY_WRITE) };
        let opening = self.ways.opening();
        let commands: Vec<&str> = mode.into_iter().chain([ISOLATION, &opening]).collect();
        for command in &commands {
            bytes.put(command_in_batch(command));
        }
        bytes.put_slice(b"H\0\0\0\x04");
        self.own_ahead(bytes.freeze());
        // Each ends with two.
        let left = if commands.len() == 3 { 6 } else { 4 };
        self.doing = Doing::Opening { left, rows: Vec::new(), own };
    }

    pub(super) fn settle(&mut self, what: Settlings) {
        let baseline = match &self.transaction {
            Transaction::Own { baseline, .. } | Transaction::Client { baseline } => baseline.clone(),
            Transaction::None | Transaction::Begun => Vec::new(),
        };
        let ways = Arc::clone(&self.ways);
        let settlement: Box<dyn belay_engine::Settlement> = match what {
            Settlings::Own | Settlings::Commit => {
                Box::new(End { ways, baseline, open: self.open.take(), ran: self.transcript.take() })
            }
            Settlings::Prepare => {
                let held = self.queue.front();
                let text = held.and_then(|held| self.transcript.text_of(held.bytes.as_bytes())).unwrap_or_default();
                let relations = held.and_then(|held| held.statements.as_deref()).map(relations).unwrap_or_default();
                let alone = matches!(self.transaction, Transaction::Own { .. }) && self.transcript.is_empty();
                Box::new(Before { ways, baseline, open: self.open.take(), text, relations, alone })
            }
        };
        self.doing = Doing::Settling { asking: false, what };
        self.out.push_back(Output::Settle(settlement));
    }

    /// Sends a message, or holds it until what has to come before it is done.
    fn dispatch(&mut self, held: Held) {
        // Rows of a COPY are for the statement that runs.
        if matches!(held.bytes.as_bytes().first(), Some(b'd' | b'c' | b'f')) {
            self.send(held);
            return;
        }
        let sealed = matches!(self.transaction, Transaction::Own { sealed: true, .. });
        let behind = !held.part && !self.parts.is_empty();
        if sealed || behind || !matches!(self.doing, Doing::Nothing) {
            self.queue.push_back(held);
            // It may be the last that was due: a Sync behind a Parse, say.
            self.drained();
            return;
        }
        match self.next(&held) {
            Some(next) => {
                // What is due may be held back until a Sync.
                if self.in_batch {
                    self.own(Bytes::from_static(b"H\0\0\0\x04"));
                }
                self.queue.push_front(held);
                self.doing = Doing::Draining(next);
                self.drained();
            }
            None => self.send(held),
        }
    }

    fn is_begun(&self) -> bool {
        matches!(self.transaction, Transaction::Begun) && !self.inner.has_failed()
    }

    /// What has to come before this message.
    fn next(&self, held: &Held) -> Option<Next> {
        let tag = held.bytes.as_bytes().first().copied()?;
        let act = Act::of(held.statements.as_deref()?);
        let runs = matches!(tag, b'Q' | b'E');
        match &self.transaction {
            Transaction::None if act.writes && self.inner.is_outside_transaction() => {
                // Whatever a batch has set would be over.
                if self.in_batch { self.only_reads.then_some(Next::Split) } else { Some(Next::Open) }
            }
            Transaction::Begun if !act.early && self.is_begun() => Some(Next::Join),
            // The end of one that has failed is a ROLLBACK, whatever the client calls it.
            Transaction::Client { .. } if act.commits && runs && !self.inner.has_failed() => Some(Next::Commit),
            Transaction::Own { .. } | Transaction::Client { .. }
                if act.prepares && runs && !held.prepared && !self.inner.has_failed() =>
            {
                Some(Next::Prepare)
            }
            _ => None,
        }
    }
}
