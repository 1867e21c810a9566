//! What the target says.

use super::super::pending::Pending;
use super::Passthrough;
use crate::wire::{error_fields, rows_of_tag};
use belay_engine::{Output, ProtocolError};
use belay_model::{Timestamp, TransactionStatus};
use bytes::Bytes;

impl Passthrough {
    /// Passes the bytes on, and records what they say of statements behind them.
    pub(super) fn handle_upstream(&mut self, chunk: Bytes, now: Timestamp) -> Result<(), ProtocolError> {
        let (mut rest, mut records) = (&chunk[..], Vec::new());
        let walked = loop {
            match self.walk.next(&mut rest) {
                Ok(Some((tag, body))) => self.hear(tag, &body, now, &mut records),
                Ok(None) => break Ok(()),
                Err(error) => break Err(ProtocolError(format!("the target: {error}"))),
            }
        };
        self.out.push_back(Output::ToClient(chunk));
        self.warn();
        self.out.extend(records);
        walked
    }

    fn hear(&mut self, tag: u8, body: &[u8], now: Timestamp, records: &mut Vec<Output>) {
        // The end of a COPY has no answer of its own.
        while matches!(self.pending.front(), Some(Pending::CopyEnd)) {
            self.pending.pop_front();
        }
        match tag {
            b'C' => self.hear_complete(rows_of_tag(body), now, records),
            b'I' => self.hear_complete(None, now, records),
            b's' => self.end_execute(now, records),
            b'1' | b'2' | b'3' | b'T' | b'n' => self.hear_done(tag),
            b'G' | b'W' => self.hear_copy(),
            b'E' => self.hear_error(body, now, records),
            b'Z' => self.hear_ready(body, now, records),
            _ => self.syntax.report(body),
        }
    }

    fn hear_complete(&mut self, rows: Option<u64>, now: Timestamp, records: &mut Vec<Output>) {
        self.copying = false;
        match self.pending.front_mut() {
            Some(Pending::Query(running)) => {
                running.rows = match (running.rows, rows) {
                    (Some(sum), Some(rows)) => Some(sum.saturating_add(rows)),
                    (sum, rows) => rows.or(sum),
                };
            }
            Some(Pending::Execute(running)) => {
                running.rows = rows;
                self.end_execute(now, records);
            }
            _ => {}
        }
    }

    fn end_execute(&mut self, now: Timestamp, records: &mut Vec<Output>) {
        if let Some(Pending::Execute(running)) = self.pending.pop_front_if(|due| matches!(due, Pending::Execute(_))) {
            records.push(self.recorder.outcome(running, self.status, now));
        }
    }

    /// Settles a Parse, Bind, Close or Describe, if that is what is due.
    fn hear_done(&mut self, tag: u8) {
        let expected = |due: &mut Pending| {
            matches!(
                (tag, due),
                (b'1', Pending::Parse(..))
                    | (b'2', Pending::Bind(..))
                    | (b'3', Pending::Close(..))
                    | (b'T' | b'n', Pending::Describe)
            )
        };
        match self.pending.pop_front_if(expected) {
            Some(Pending::Parse(name, prepared)) => self.names.parsed(name, prepared),
            Some(Pending::Bind(name, portal)) => self.names.bound(name, portal),
            Some(Pending::Close(kind, name)) => self.names.closed(kind, &name),
            _ => {}
        }
    }

    /// Up to the end of the COPY the target ignores Sync, so no answer to it is due.
    fn hear_copy(&mut self) {
        let end = self.pending.iter().position(|due| matches!(due, Pending::CopyEnd));
        self.copying = end.is_none();
        let mut left = end.unwrap_or(self.pending.len());
        self.pending.retain(|due| {
            let ignored = left > 0 && matches!(due, Pending::Sync);
            left = left.saturating_sub(1);
            !ignored
        });
        if let Some(end) = self.pending.iter().position(|due| matches!(due, Pending::CopyEnd)) {
            self.pending.remove(end);
        }
    }

    /// An error ends its message, and in a batch everything up to the Sync.
    fn hear_error(&mut self, body: &[u8], now: Timestamp, records: &mut Vec<Output>) {
        let fields = error_fields(body);
        self.told |= fields.is_fatal();
        self.copying = false;
        match self.pending.front_mut() {
            Some(Pending::Query(running)) => {
                running.sqlstate.get_or_insert(fields.sqlstate);
                return;
            }
            Some(Pending::Execute(running)) => running.sqlstate = Some(fields.sqlstate),
            _ => {}
        }
        self.end_execute(now, records);
        while let Some(due) = self.pending.pop_front_if(|due| !due.ends_with_ready()) {
            self.skip(due, now, records);
        }
    }

    /// Whatever of a batch has no answer at its end was skipped after an error.
    fn skip(&self, due: Pending, now: Timestamp, records: &mut Vec<Output>) {
        if let Pending::Execute(running) = due {
            records.push(self.recorder.skipped(running.statement, self.status, now));
        }
    }

    fn hear_ready(&mut self, body: &[u8], now: Timestamp, records: &mut Vec<Output>) {
        self.copying = false;
        self.status = match body {
            b"T" => TransactionStatus::Open,
            b"E" => TransactionStatus::Failed,
            _ => TransactionStatus::Idle,
        };
        if self.status == TransactionStatus::Idle {
            self.names.transaction_ended();
        }
        while let Some(due) = self.pending.pop_front() {
            let last = due.ends_with_ready();
            match due {
                Pending::Query(running) => records.push(self.recorder.outcome(running, self.status, now)),
                due => self.skip(due, now, records),
            }
            if last {
                break;
            }
        }
        while matches!(self.pending.front(), Some(Pending::CopyEnd)) {
            self.pending.pop_front();
        }
        if self.pending.is_empty() {
            self.weight = 0;
            self.syntax.settle();
        }
    }
}
