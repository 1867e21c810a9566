//! What the target says.

use super::Established;
use super::pending::Pending;
use super::scan::Step;
use crate::wire::{Report, Severity, error_fields, error_response, rows_of_tag};
use belay_engine::ProtocolError;
use belay_model::{Code, Denial, EndReason, Timestamp, TransactionStatus};
use bytes::{Bytes, BytesMut};

/// What becomes of an opened message.
enum Fate {
    Forward,
    Replace(Bytes),
}

impl Established {
    pub(super) fn handle_upstream(&mut self, chunk: Bytes, now: Timestamp) -> Result<(), ProtocolError> {
        let mut chunk = self.joined(chunk);
        let mut done = 0;
        while done < chunk.len() && !self.over {
            let rest = chunk.get(done..).unwrap_or_default();
            match self.scan.step(rest).map_err(|error| ProtocolError(error.to_string()))? {
                Step::Pass(length) => done += length,
                Step::Hold => {
                    let tail = chunk.split_off(done);
                    self.partial.extend_from_slice(&tail);
                }
                Step::Glance(length) => {
                    // What stands in for a refused statement gets a short error, so this one is never replaced.
                    self.handle_error(rest.get(5..).unwrap_or_default(), now);
                    self.scan.pass(length);
                }
                Step::Open(tag, length) => {
                    let body = rest.get(5..length).unwrap_or_default();
                    match self.handle_message(tag, body, now)? {
                        Fate::Forward => done += length,
                        Fate::Replace(bytes) => {
                            let before = chunk.split_to(done);
                            self.tell_client(before);
                            self.tell_client(bytes);
                            let _ = chunk.split_to(length);
                            done = 0;
                        }
                    }
                }
            }
        }
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

    fn handle_message(&mut self, tag: u8, body: &[u8], now: Timestamp) -> Result<Fate, ProtocolError> {
        match tag {
            b'C' => self.handle_complete(rows_of_tag(body), now),
            b'I' => self.handle_complete(None, now),
            b's' => self.pop_execute(now),
            b'1' => self.handle_parsed(),
            b'2' => self.handle_bound(),
            b'3' => self.handle_closed(),
            b'T' | b'n' => {
                // A row description also precedes the rows of a simple query, which it does not end.
                if matches!(self.pending.front(), Some(Pending::Describe)) {
                    self.pending.pop_front();
                }
            }
            b'E' => return Ok(self.handle_error(body, now)),
            b'Z' => self.handle_ready(body, now)?,
            b'S' => self.handle_parameter(body),
            // A permitted statement never starts COPY into the target, nor replication.
            _ => return Err(ProtocolError("the target started a COPY that was not permitted".to_owned())),
        }
        Ok(Fate::Forward)
    }

    fn handle_complete(&mut self, rows: Option<u64>, now: Timestamp) {
        match self.pending.front_mut() {
            Some(Pending::Query(running)) => {
                running.rows = match (running.rows, rows) {
                    (Some(sum), Some(rows)) => Some(sum.saturating_add(rows)),
                    (sum, rows) => rows.or(sum),
                };
            }
            Some(Pending::Execute(running)) => {
                running.rows = rows;
                self.pop_execute(now);
            }
            _ => {}
        }
    }

    fn pop_execute(&mut self, now: Timestamp) {
        if let Some(Pending::Execute(_)) = self.pending.front()
            && let Some(Pending::Execute(running)) = self.pending.pop_front()
        {
            let status = self.status;
            self.after_bytes.push(self.recorder.outcome(running, status, now));
        }
    }

    fn handle_parsed(&mut self) {
        if let Some(Pending::Parse(..)) = self.pending.front()
            && let Some(Pending::Parse(name, prepared)) = self.pending.pop_front()
        {
            self.names.parsed(name, prepared);
        }
    }

    fn handle_bound(&mut self) {
        if let Some(Pending::Bind(..)) = self.pending.front()
            && let Some(Pending::Bind(name, portal)) = self.pending.pop_front()
        {
            self.names.bound(name, portal);
        }
    }

    fn handle_closed(&mut self) {
        if let Some(Pending::Close(..)) = self.pending.front()
            && let Some(Pending::Close(kind, name)) = self.pending.pop_front()
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
        let fate = match self.pending.front() {
            Some(Pending::Refused(denial) | Pending::RefusedQuery(denial)) => {
                Fate::Replace(error_response(&self.refusal(denial)))
            }
            _ => Fate::Forward,
        };
        self.note_error(&fields.sqlstate, now);
        fate
    }

    fn note_error(&mut self, sqlstate: &str, now: Timestamp) {
        match self.pending.front_mut() {
            Some(Pending::Query(running)) => {
                running.sqlstate.get_or_insert_with(|| sqlstate.to_owned());
                return;
            }
            Some(Pending::Execute(running)) => running.sqlstate = Some(sqlstate.to_owned()),
            _ => {}
        }
        let in_batch = self.pending.front().is_some_and(|due| !due.ends_with_ready());
        self.pop_execute(now);
        while self.pending.front().is_some_and(|due| !due.ends_with_ready()) {
            if let Some(Pending::Execute(running)) = self.pending.pop_front() {
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

    fn handle_ready(&mut self, body: &[u8], now: Timestamp) -> Result<(), ProtocolError> {
        self.status = match body {
            b"I" => TransactionStatus::Idle,
            b"T" => TransactionStatus::Open,
            b"E" => TransactionStatus::Failed,
            _ => return Err(ProtocolError("the target sent an unknown transaction status".to_owned())),
        };
        if self.status == TransactionStatus::Idle {
            self.names.transaction_ended();
        }
        while let Some(due) = self.pending.pop_front() {
            let last = due.ends_with_ready();
            if let Pending::Query(running) | Pending::Execute(running) = due {
                self.after_bytes.push(self.recorder.outcome(running, self.status, now));
            }
            if last {
                self.batch.open = !self.pending.is_empty();
                return Ok(());
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
