//! What the target sends: answers for the client, and answers to what was asked here.

use super::super::budget::Stop;
use super::messages::{Message, row};
use super::{Doing, Next, Settlings, Transaction, Writing, idle, told};
use crate::change::committing;
use crate::wire::{Severity, error_fields, error_response, own_query};
use belay_engine::{Answer, Output, ProtocolError};
use belay_model::Timestamp;
use bytes::Bytes;

impl Writing {
    pub(super) fn handle_message(&mut self, message: Message, now: Timestamp) -> Result<(), ProtocolError> {
        match &mut self.doing {
            Doing::Opening { .. } => self.handle_opening(message, now),
            Doing::Splitting => self.handle_split(message, now),
            Doing::RollingBack(_) => self.handle_rolled_back(&message, now),
            Doing::Binding(_) => self.handle_bound(message, now),
            Doing::Settling { asking: true, .. } => self.handle_answer(&message),
            Doing::Nothing | Doing::Draining(_) | Doing::Settling { asking: false, .. } => {
                self.handle_own(message, now)
            }
        }
    }

    /// Nothing of the transaction is left.
    pub(super) fn forget(&mut self) {
        self.transaction = Transaction::None;
        self.transcript.take();
        self.reads_only = false;
        self.open = None;
    }

    /// Rolls back what was opened here.
    pub(super) fn roll_back(&mut self, afterwards: Vec<Bytes>) {
        self.forget();
        self.complete = None;
        self.doing = Doing::RollingBack(afterwards);
        self.own(own_query("ROLLBACK"));
    }

    /// A message that is for the client, or would be.
    fn handle_own(&mut self, message: Message, now: Timestamp) -> Result<(), ProtocolError> {
        if message.tag == b'Z' {
            return self.handle_ready(message, now);
        }
        if let Some(complete) = self.complete.take() {
            self.feed(complete, now)?;
        }
        if matches!(message.tag, b'C' | b'I' | b's') {
            self.transcript.succeeded();
        }
        match message.tag {
            // A batch's statements are told as they end; what a simple query did is told with the end of its transaction.
            b'C' | b'I' if matches!(self.transaction, Transaction::Own { .. }) && !self.inner.is_in_batch() => {
                self.complete = Some(message.bytes);
                return Ok(());
            }
            b'E' => {
                self.transcript.failed();
                self.feed(self.explained(message), now)?;
                if matches!(self.doing, Doing::Draining(next) if next != Next::Open) {
                    // The target skips the rest of the batch.
                    self.doing = Doing::Nothing;
                    for held in std::mem::take(&mut self.queue) {
                        self.send(held);
                    }
                }
                return Ok(());
            }
            _ => {}
        }
        self.feed(message.bytes, now)?;
        self.drained();
        Ok(())
    }

    /// What the client is told of an error that is none of its own transaction.
    fn explained(&self, error: Message) -> Bytes {
        let own = matches!(self.transaction, Transaction::Own { .. });
        match own.then(|| committing(error_fields(error.body()).sqlstate.as_str())).flatten() {
            Some(denial) => error_response(&told(Severity::Error, &denial)),
            None => error.bytes,
        }
    }

    fn handle_ready(&mut self, message: Message, now: Timestamp) -> Result<(), ProtocolError> {
        let status = message.body().first().copied();
        match (&self.transaction, status) {
            (Transaction::Own { .. }, Some(b'E')) => {
                self.roll_back(vec![idle()]);
                return Ok(());
            }
            // It was prepared and not run, or undone to a savepoint.
            // Or it returned more than it may: the client takes it for failed.
            (Transaction::Own { .. }, Some(b'T')) if self.transcript.is_empty() || self.is_over_budget() => {
                let afterwards = self.complete.take().into_iter().chain([idle()]).collect();
                self.roll_back(afterwards);
                return Ok(());
            }
            (Transaction::Own { .. }, Some(b'T')) => {
                self.settle(Settlings::Own);
                return Ok(());
            }
            (Transaction::None, Some(b'T')) => self.transaction = Transaction::Begun,
            (_, Some(b'I')) => self.forget(),
            (Transaction::Client { .. }, Some(b'T')) => self.transcript.all_succeeded(),
            _ => {}
        }
        if status == Some(b'T') && !self.parts.is_empty() && !self.is_stopped() {
            self.transcript.all_succeeded();
            self.send_part();
            return Ok(());
        }
        self.parts.clear();
        if let Some(complete) = self.complete.take() {
            self.feed(complete, now)?;
        }
        self.feed(message.bytes, now)?;
        self.drained();
        self.go_on();
        Ok(())
    }

    fn is_over_budget(&self) -> bool {
        self.inner.stop.as_ref().is_some_and(Stop::withholds)
    }

    fn is_stopped(&self) -> bool {
        self.inner.stop.as_ref().is_some_and(Stop::hides_the_rest)
    }

    /// What the client hears of the end of the transaction that read is nothing: its batch goes on.
    fn handle_split(&mut self, message: Message, now: Timestamp) -> Result<(), ProtocolError> {
        match message.tag {
            b'Z' => {
                self.batch_over();
                self.open(true);
                Ok(())
            }
            b'E' => {
                let said = error_fields(message.body());
                Err(ProtocolError(format!(
                    "what a batch has read could not be ended before it writes: {}",
                    said.message
                )))
            }
            _ => self.feed(message.bytes, now),
        }
    }

    fn handle_opening(&mut self, message: Message, now: Timestamp) -> Result<(), ProtocolError> {
        let Doing::Opening { left, rows, own } = &mut self.doing else { return Ok(()) };
        match message.tag {
            b'D' => rows.push(row(message.body())?),
            b'3' => *left = left.saturating_sub(1),
            b'E' => {
                let said = error_fields(message.body());
                let why = format!("a transaction that may write could not be opened: {}", said.message);
                return Err(ProtocolError(why));
            }
            b'S' => return self.feed(message.bytes, now),
            _ => {}
        }
        if *left == 0 {
            let (mut baseline, own) = (std::mem::take(rows), *own);
            let isolation = (!baseline.is_empty()).then(|| baseline.remove(0));
            self.transcript.isolated(isolation.and_then(|row| row.into_iter().next().flatten()));
            self.transaction =
                if own { Transaction::Own { baseline, sealed: false } } else { Transaction::Client { baseline } };
            self.doing = Doing::Nothing;
            self.release();
        }
        Ok(())
    }

    fn handle_bound(&mut self, message: Message, now: Timestamp) -> Result<(), ProtocolError> {
        let Doing::Binding(left) = &mut self.doing else { return Ok(()) };
        match message.tag {
            b'1' | b'2' => *left = left.saturating_sub(1),
            b'E' => {
                // It is the answer to what was to run: the target skips the rest of the batch.
                self.doing = Doing::Nothing;
                self.queue.pop_front();
                self.transcript.failed();
                self.feed(message.bytes, now)?;
                for held in std::mem::take(&mut self.queue) {
                    self.send(held);
                }
                return Ok(());
            }
            b'S' => return self.feed(message.bytes, now),
            _ => {}
        }
        if matches!(self.doing, Doing::Binding(0)) {
            self.doing = Doing::Nothing;
            self.release();
        }
        Ok(())
    }

    fn handle_rolled_back(&mut self, message: &Message, now: Timestamp) -> Result<(), ProtocolError> {
        match message.tag {
            b'Z' => {}
            b'S' => return self.feed(message.bytes.clone(), now),
            _ => return Ok(()),
        }
        let Doing::RollingBack(afterwards) = std::mem::replace(&mut self.doing, Doing::Nothing) else { return Ok(()) };
        self.parts.clear();
        for bytes in afterwards {
            self.feed(bytes, now)?;
        }
        self.release();
        Ok(())
    }

    /// A piece of what the settlement asked for.
    fn handle_answer(&mut self, message: &Message) -> Result<(), ProtocolError> {
        let answer = match message.tag {
            b'D' => Answer::Row(row(message.body())?),
            b'E' => {
                let said = error_fields(message.body());
                Answer::Failed { sqlstate: said.sqlstate, message: said.message, whole: message.bytes.clone() }
            }
            b'Z' => {
                if let Doing::Settling { asking, .. } = &mut self.doing {
                    *asking = false;
                }
                Answer::Done(message.body() == b"T")
            }
            _ => return Ok(()),
        };
        self.out.push_back(Output::Answer(answer));
        Ok(())
    }
}
