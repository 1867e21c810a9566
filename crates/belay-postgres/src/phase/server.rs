//! What the target says.

use super::Established;
use super::budget::Stop;
use super::guard::GuardError;
use super::pending::{CopyIn, Pending, Running};
use super::scan::{Step, Watch, Way};
use crate::mask;
use crate::wire::{Report, Severity, error_fields, error_response, rows_of_tag};
use belay_engine::ProtocolError;
use belay_model::{Code, Denial, EndReason, Timestamp, TransactionStatus};
use bytes::{Buf, Bytes, BytesMut};

/// What becomes of an opened message.
enum Fate {
    Forward,
    Replace(Bytes),
    /// It is a row, which waits in `rewritten` with its masks on.
    Rewritten,
}

/// What becomes of the head of a chunk.
enum Next {
    /// So many bytes pass.
    Pass(usize),
    /// These stand in for so many bytes.
    Replace(usize, Bytes),
    /// So many bytes wait in `rewritten`.
    Rewritten(usize),
    /// It is looked at again.
    Again,
    /// It waits for more.
    Hold,
}

/// Why nothing more of the target can be passed on.
enum Trouble {
    Protocol(ProtocolError),
    Guard(GuardError),
}

impl From<ProtocolError> for Trouble {
    fn from(error: ProtocolError) -> Trouble {
        Trouble::Protocol(error)
    }
}

impl From<GuardError> for Trouble {
    fn from(error: GuardError) -> Trouble {
        Trouble::Guard(error)
    }
}

impl Established {
    pub(super) fn handle_upstream(&mut self, chunk: Bytes, now: Timestamp) -> Result<(), ProtocolError> {
        let mut chunk = self.joined(chunk);
        // What of the chunk passes: the rows in `rewritten` come before it, so one of the two is always empty.
        let mut done = 0;
        while done < chunk.len() && !self.over {
            match self.next(chunk.get(done..).unwrap_or_default(), now) {
                Ok(Next::Pass(length)) => {
                    self.flush_rewritten();
                    done += length;
                }
                Ok(Next::Replace(length, bytes)) => {
                    self.flush_rewritten();
                    self.tell_client(chunk.split_to(done));
                    self.tell_client(bytes);
                    chunk.advance(length);
                    done = 0;
                }
                Ok(Next::Rewritten(length)) => {
                    self.tell_client(chunk.split_to(done));
                    chunk.advance(length);
                    done = 0;
                }
                Ok(Next::Again) => {}
                Ok(Next::Hold) => {
                    let tail = chunk.split_off(done);
                    self.hold(tail);
                }
                Err(Trouble::Protocol(error)) => return Err(error),
                Err(Trouble::Guard(error)) => {
                    self.flush_rewritten();
                    self.tell_client(chunk.split_to(done));
                    return Err(self.give_up_masking(&error));
                }
            }
        }
        self.flush_rewritten();
        if !self.over {
            self.tell_client(chunk);
        }
        self.warn();
        self.flush_after_bytes();
        Ok(())
    }

    /// The chunk with what was held of the one before it.
    fn joined(&mut self, chunk: Bytes) -> Bytes {
        if self.partial.is_empty() {
            return chunk;
        }
        let mut joined = std::mem::replace(&mut self.partial, BytesMut::new());
        joined.extend_from_slice(&chunk);
        joined.freeze()
    }

    /// Keeps the beginning of a message, without a copy where nobody else has it.
    fn hold(&mut self, tail: Bytes) {
        self.partial = tail.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&*shared));
    }

    fn flush_rewritten(&mut self) {
        if !self.rewritten.is_empty() {
            let rows = self.rewritten.split().freeze();
            self.tell_client(rows);
        }
    }

    /// What is to be looked at of the results that come.
    fn watch(&self) -> Watch {
        if self.stop.as_ref().is_some_and(Stop::withholds) {
            return Watch::WITHHELD;
        }
        match self.pending.front() {
            Some(Pending::Query(running) | Pending::Execute(running)) => {
                running.guard.as_ref().map_or(Watch::NOTHING, |guard| guard.watch())
            }
            _ if !self.masking.on => Watch::NOTHING,
            // Nothing that is due returns rows.
            _ => Watch { rows: Way::Open, copy: Way::Open, frame: Way::Pass },
        }
    }

    fn next(&mut self, rest: &[u8], now: Timestamp) -> Result<Next, Trouble> {
        let step = self.scan.step(rest, self.watch(), &mut self.meter);
        Ok(match step.map_err(|error| ProtocolError(error.to_string()))? {
            Step::Pass(length) => Next::Pass(length),
            Step::Drop(length) => Next::Replace(length, Bytes::new()),
            Step::Hold => Next::Hold,
            Step::Spent => {
                self.stop_returning();
                Next::Again
            }
            Step::TooLong(length) => return Err(GuardError::TooLong(length).into()),
            Step::Glance(length) => {
                // What stands in for a refused statement gets a short error, so this one is never replaced.
                self.handle_error(rest.get(5..).unwrap_or_default(), now);
                self.scan.pass(length);
                Next::Again
            }
            Step::Open(tag, length) => {
                let body = rest.get(5..length).unwrap_or_default();
                match self.handle_message(tag, body, now)? {
                    Fate::Forward => Next::Pass(length),
                    Fate::Replace(bytes) => Next::Replace(length, bytes),
                    Fate::Rewritten => Next::Rewritten(length),
                }
            }
        })
    }

    /// What of a result cannot be masked does not pass, and nothing after it.
    fn give_up_masking(&mut self, error: &GuardError) -> ProtocolError {
        let report = Report {
            severity: Severity::Fatal,
            code: Code::Masked,
            message: format!("ended: {error}"),
            detail: Some("What cannot be masked for certain is not shown.".to_owned()),
            hint: Some(Code::Masked.remedy().to_owned()),
        };
        self.tell_client(error_response(&report));
        self.over = true;
        ProtocolError(error.to_string())
    }

    fn handle_message(&mut self, tag: u8, body: &[u8], now: Timestamp) -> Result<Fate, Trouble> {
        match tag {
            b'D' => return self.handle_row(body),
            b'd' => return Err(GuardError::Copy.into()),
            b'E' => return Ok(self.handle_error(body, now)),
            b'Z' => return Ok(self.handle_ready(body, now)?),
            b'S' => {
                self.handle_parameter(body);
                return Ok(Fate::Forward);
            }
            b'C' | b'I' | b's' => {
                let answer = self.stopped_answer(None);
                self.handle_complete(tag, body, now);
                return Ok(answer.map_or(Fate::Forward, Fate::Replace));
            }
            b'T' | b'n' => return self.handle_description(tag, body),
            b'1' => self.handle_parsed(),
            b'2' => self.handle_bound(),
            b'3' => self.handle_closed(),
            b'G' => self.handle_copy_in()?,
            // A permitted statement never starts replication.
            _ => return Err(ProtocolError("the target started a replication that was not permitted".to_owned()).into()),
        }
        Ok(self.unless_hidden())
    }

    /// The target asks for the client's rows.
    fn handle_copy_in(&mut self) -> Result<(), ProtocolError> {
        match self.pending.front_mut().and_then(Pending::running) {
            Some(running) if running.copy_in == CopyIn::Due => {
                running.copy_in = CopyIn::Open;
                Ok(())
            }
            _ => Err(ProtocolError("the target started a COPY that was not permitted".to_owned())),
        }
    }

    /// After a statement that was stopped, the client hears nothing of the rest of its message.
    fn unless_hidden(&self) -> Fate {
        let hidden = self.stop.as_ref().is_some_and(Stop::hides_the_rest);
        if hidden { Fate::Replace(Bytes::new()) } else { Fate::Forward }
    }

    fn handle_row(&mut self, body: &[u8]) -> Result<Fate, Trouble> {
        match self.pending.front() {
            Some(Pending::Query(running) | Pending::Execute(running)) => {
                let guard = running.guard.as_ref().ok_or(GuardError::Unaccounted)?;
                guard.rewrite(body, self.masking.key.as_ref(), &mut self.rewritten)?;
                Ok(Fate::Rewritten)
            }
            _ => Err(GuardError::Unaccounted.into()),
        }
    }

    /// A row description answers a Describe; it also precedes the rows of a simple query, which it does not end.
    fn handle_description(&mut self, tag: u8, body: &[u8]) -> Result<Fate, Trouble> {
        let own = match self.pending.front() {
            Some(Pending::Describe) => {
                self.answered();
                return Ok(self.unless_hidden());
            }
            Some(Pending::OwnDescribe) => {
                self.answered();
                true
            }
            _ => false,
        };
        if tag == b'T'
            && let Some(running) = self.pending.front_mut().and_then(Pending::running)
            && let Some(guard) = &mut running.guard
        {
            let fields = mask::fields(body).map_err(GuardError::from)?;
            let rows = guard.mask(&fields, &self.masking.columns)?;
            let rows = match &running.portal {
                Some(portal) => portal.mask.get_or_init(|| rows).clone(),
                None => rows,
            };
            guard.describe(rows);
        }
        Ok(if own { Fate::Replace(Bytes::new()) } else { self.unless_hidden() })
    }

    fn handle_complete(&mut self, tag: u8, body: &[u8], now: Timestamp) {
        let rows = if tag == b'C' { rows_of_tag(body) } else { None };
        if tag == b'C' {
            self.note_ended(body);
        }
        match self.pending.front_mut() {
            Some(Pending::Query(running)) if tag != b's' => {
                running.add_rows(rows);
                self.count_result();
                self.begin_next_statement();
            }
            Some(Pending::Execute(running)) => {
                running.add_rows(rows);
                self.count_result();
                self.pop_execute(now);
            }
            _ => {}
        }
    }

    /// Takes account of what the statement has ended.
    fn note_ended(&mut self, tag: &[u8]) {
        let Some(running) = self.pending.front_mut().and_then(Pending::running) else { return };
        running.complete(tag);
        if let Some(ended) = running.ended {
            self.names.ended(ended, &running.reading.names);
        }
    }

    fn pop_execute(&mut self, now: Timestamp) {
        if let Some(Pending::Execute(_)) = self.pending.front()
            && let Some(Pending::Execute(running)) = self.answered()
        {
            self.finished(running, now);
        }
    }

    /// A statement was answered in full.
    fn finished(&mut self, running: Running, now: Timestamp) {
        let alone = !self.pending.iter().any(Pending::runs);
        self.texts.answered(&running, alone);
        self.went_wrong |= running.sqlstate.is_some();
        self.after_bytes.push(self.recorder.outcome(running, self.status, now));
    }

    fn handle_parsed(&mut self) {
        if let Some(Pending::Parse(..)) = self.pending.front()
            && let Some(Pending::Parse(name, prepared)) = self.answered()
        {
            self.names.parsed(name, prepared);
        }
    }

    fn handle_bound(&mut self) {
        if let Some(Pending::Bind(..)) = self.pending.front()
            && let Some(Pending::Bind(name, portal)) = self.answered()
        {
            self.names.bound(name, portal);
        }
    }

    fn handle_closed(&mut self) {
        if let Some(Pending::Close(..)) = self.pending.front()
            && let Some(Pending::Close(kind, name)) = self.answered()
        {
            self.names.closed(kind, &name);
        }
    }

    /// An error ends its message, and in a batch everything up to the Sync.
    fn handle_error(&mut self, body: &[u8], now: Timestamp) -> Fate {
        let fields = error_fields(body);
        if fields.is_fatal() {
            self.note_error(&fields.sqlstate, now);
            return Fate::Forward;
        }
        let answer = self.stopped_answer(Some(&fields.sqlstate));
        let fate = match (answer, self.pending.front()) {
            (Some(answer), _) => Fate::Replace(answer),
            (None, Some(Pending::Refused(denial) | Pending::RefusedQuery(denial))) => {
                Fate::Replace(error_response(&self.refusal(denial)))
            }
            (None, Some(Pending::Spoiling)) => Fate::Replace(Bytes::new()),
            _ => Fate::Forward,
        };
        self.note_error(&fields.sqlstate, now);
        fate
    }

    fn note_error(&mut self, sqlstate: &str, now: Timestamp) {
        if let Some(Pending::OwnDescribe) = self.pending.front() {
            self.answered();
        }
        self.count_result();
        match self.pending.front_mut() {
            Some(Pending::Query(running)) => {
                running.sqlstate.get_or_insert_with(|| sqlstate.to_owned());
                running.copy_in = CopyIn::Over;
                return;
            }
            Some(Pending::Execute(running)) => {
                running.sqlstate.get_or_insert_with(|| sqlstate.to_owned());
            }
            _ => {}
        }
        let in_batch = self.pending.front().is_some_and(|due| !due.ends_with_ready());
        self.pop_execute(now);
        while self.pending.front().is_some_and(|due| !due.ends_with_ready()) {
            if let Some(Pending::Execute(running)) = self.answered() {
                self.texts.skipped(&running);
                self.after_bytes.push(self.recorder.skipped(running.statement, self.status, now));
            }
        }
        // The target ignores everything up to a Sync that the client has not sent yet.
        self.batch.skipping |= in_batch && self.pending.is_empty();
    }

    /// What the client is told of a refused statement. In a transaction that has failed already, every statement
    /// gets the same answer, refused or not.
    fn refusal(&self, denial: &Denial) -> Report {
        if self.status == TransactionStatus::Failed {
            let message = "current transaction is aborted, commands ignored until end of transaction block";
            return told(Code::FailedTransaction, message, None, "ROLLBACK");
        }
        told(denial.code, &denial.message, Some(denial.detail.clone()), &denial.hint)
    }

    fn handle_ready(&mut self, body: &[u8], now: Timestamp) -> Result<Fate, ProtocolError> {
        let before = self.status;
        self.status = match body {
            b"I" => TransactionStatus::Idle,
            b"T" => TransactionStatus::Open,
            b"E" => TransactionStatus::Failed,
            _ => return Err(ProtocolError("the target sent an unknown transaction status".to_owned())),
        };
        if self.status == TransactionStatus::Idle {
            self.names.transaction_ended();
        }
        let ready = self.take_answers(now)?;
        let idle = self.status == TransactionStatus::Idle;
        self.texts.ready(!idle, before == TransactionStatus::Idle && !self.went_wrong);
        self.went_wrong &= !idle;
        Ok(ready)
    }

    /// Everything up to the message that this ReadyForQuery ends.
    fn take_answers(&mut self, now: Timestamp) -> Result<Fate, ProtocolError> {
        while let Some(due) = self.answered() {
            let last = due.ends_with_ready();
            if let Pending::Query(running) | Pending::Execute(running) = due {
                self.finished(running, now);
            }
            if last {
                self.batch.open = !self.pending.is_empty();
                let another_follows = self.settle_stop();
                return Ok(if another_follows { Fate::Replace(Bytes::new()) } else { Fate::Forward });
            }
        }
        Err(ProtocolError("the target was ready without having been asked".to_owned()))
    }

    /// The database itself says whether the connection is read-only; a lost setting ends it.
    fn handle_parameter(&mut self, body: &[u8]) {
        if self.read_only && body.starts_with(b"default_transaction_read_only\0off\0") {
            self.end(EndReason::ReadOnlyLost);
        }
    }

    fn flush_after_bytes(&mut self) {
        self.out.extend(self.after_bytes.drain(..));
    }
}

pub(super) fn told(code: Code, message: &str, detail: Option<String>, hint: &str) -> Report {
    Report { severity: Severity::Error, code, message: message.to_owned(), detail, hint: Some(hint.to_owned()) }
}
