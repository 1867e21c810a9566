//! What the client says.

use super::budget::Cancel;
use super::guard::{Guard, shows_another};
use super::names::{Elsewhere, Meaning, Portal, Prepared, cut};
use super::pending::{CopyIn, Pending, Running};
use super::server::told;
use super::{Established, bound_setting};
use crate::classify::{PathChange, Reading};
use crate::wire::{
    Frame, WireError, bind, describe_portal, error_response, execute, frame, parameter_types, parse, parse_unnamed,
    query, query_text, ready_for_query, refusal_text, target_of,
};
use belay_engine::{Housekeeping, Output, ProtocolError, UpstreamBytes};
use belay_model::{BindValue, Code, Denial, Effect, EndReason, Statement, Timestamp, TransactionStatus};
use belay_policy::{Decision, Permit};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A message that waits for its verdict.
pub(super) struct Judged {
    bytes: Bytes,
    reading: Reading,
    text: Arc<str>,
    what: What,
}

/// Which message it is.
enum What {
    Query,
    Call,
    Parse(Box<[u8]>, Arc<Prepared>),
    Bind(Box<[u8]>, Arc<Portal>),
    Execute(Option<Vec<BindValue>>, Option<Arc<Portal>>),
}

impl Judged {
    /// How many statements it runs.
    pub(super) fn runs(&self) -> u32 {
        match self.what {
            What::Query | What::Call | What::Execute(..) => {
                u32::try_from(self.reading.statements.len()).unwrap_or(u32::MAX)
            }
            What::Parse(..) | What::Bind(..) => 0,
        }
    }
}

impl Established {
    /// Takes whole messages off the inbox until one has to wait.
    pub(super) fn handle_inbox(&mut self) -> Result<(), ProtocolError> {
        self.held = false;
        while self.is_open_to_client() {
            match frame(&self.inbox) {
                Ok(Some(frame)) if self.inbox.len() >= frame.length => self.take(frame)?,
                Ok(_) => break,
                Err(error) => return Err(broken(&error)),
            }
        }
        if self.held || !self.has_room() {
            self.nudge();
        }
        Ok(())
    }

    pub(super) fn is_open_to_client(&self) -> bool {
        self.has_room() && !self.over && !self.held && self.cancel == Cancel::None && self.judged.is_none()
    }

    fn take(&mut self, frame: Frame) -> Result<(), ProtocolError> {
        if self.must_wait(frame.tag) {
            self.held = true;
            return Ok(());
        }
        self.batch.nudged = false;
        let bytes = self.inbox.split_to(frame.length).freeze();
        self.handle_frame(frame.tag, bytes).map_err(|error| broken(&error))
    }

    /// A simple query, and a function call, is judged by the transaction status, so the answers before it must be in.
    /// While a COPY has not said whether it takes rows, nobody knows what a message is for.
    fn must_wait(&self, tag: u8) -> bool {
        match self.copy_in() {
            CopyIn::Due => tag != b'X',
            CopyIn::Open => false,
            CopyIn::Over => matches!(tag, b'Q' | b'F') && !self.batch.skipping && !self.pending.is_empty(),
        }
    }

    /// How far the COPY has come that was forwarded last: nothing else is, until it takes rows or has failed.
    fn copy_in(&self) -> CopyIn {
        match self.pending.back() {
            Some(Pending::Query(running) | Pending::Execute(running)) => running.copy_in,
            _ => CopyIn::Over,
        }
    }

    fn handle_frame(&mut self, tag: u8, bytes: Bytes) -> Result<(), WireError> {
        if tag != b'X' && self.copy_in() == CopyIn::Open {
            return self.handle_copied(tag, bytes);
        }
        match tag {
            // After a refusal the target skips what is left of the batch; so it need not be sent, nor recorded.
            b'Q' | b'F' | b'P' | b'B' | b'E' | b'D' | b'C' if self.batch.skipping => Ok(()),
            b'Q' => self.handle_query(bytes),
            b'P' | b'B' | b'E' | b'D' | b'C' => self.handle_batch(tag, bytes),
            b'S' | b'H' => self.handle_boundary(tag, bytes),
            b'X' => {
                self.housekeeping(Housekeeping::Goodbye, Bytes::from_static(b"X\0\0\0\x04"));
                self.close(EndReason::Closed);
                Ok(())
            }
            b'F' => {
                self.handle_call(bytes);
                Ok(())
            }
            // Outside COPY the server ignores these, so they end here.
            b'd' | b'c' | b'f' => Ok(()),
            other => Err(WireError::Type(other)),
        }
    }

    /// What comes while the target takes rows. It passes over a Sync and a Flush, and fails the COPY for anything else.
    fn handle_copied(&mut self, tag: u8, bytes: Bytes) -> Result<(), WireError> {
        match tag {
            b'd' | b'c' | b'f' => {
                if tag != b'd'
                    && let Some(running) = self.pending.back_mut().and_then(Pending::running)
                {
                    running.copy_in = CopyIn::Over;
                }
                self.housekeeping(Housekeeping::OnPermitted, bytes);
                Ok(())
            }
            b'S' | b'H' => Ok(()),
            other => Err(WireError::Type(other)),
        }
    }

    fn handle_batch(&mut self, tag: u8, bytes: Bytes) -> Result<(), WireError> {
        self.batch.open = true;
        match tag {
            b'P' => return self.handle_parse(bytes),
            b'B' => return self.handle_bind(bytes),
            b'E' => return self.handle_execute(bytes),
            b'D' => {
                target_of(&bytes, 'D')?;
                self.expect(Pending::Describe);
            }
            _ => {
                let (kind, name) = target_of(&bytes, 'C')?;
                self.expect(Pending::Close(kind, Box::from(cut(name))));
            }
        }
        self.housekeeping(Housekeeping::OnPermitted, bytes);
        Ok(())
    }

    fn handle_boundary(&mut self, tag: u8, bytes: Bytes) -> Result<(), WireError> {
        if bytes.len() != 5 {
            return Err(WireError::Format(char::from(tag)));
        }
        if tag == b'S' {
            self.batch.skipping = false;
            self.expect(Pending::Sync);
        }
        self.housekeeping(Housekeeping::Boundary, bytes);
        Ok(())
    }

    fn handle_query(&mut self, bytes: Bytes) -> Result<(), WireError> {
        let (text, reading) = self.classified(query_text(&bytes)?);
        self.judge(Judged { bytes, reading, text, what: What::Query });
        Ok(())
    }

    fn handle_call(&mut self, bytes: Bytes) {
        let mut statement = Statement::new(Effect::Opaque, "FunctionCall");
        statement.code = Some(Code::MessageRefused);
        statement.because = Some("a fast-path call runs a function without a statement that could be read".to_owned());
        let (reading, text) = (Reading::of(Arc::from([statement])), Arc::from("FunctionCall"));
        self.judge(Judged { bytes, reading, text, what: What::Call });
    }

    fn handle_parse(&mut self, bytes: Bytes) -> Result<(), WireError> {
        let (name, text) = parse(&bytes)?;
        let (name, types) = (Box::from(cut(name)), parameter_types(&bytes)?);
        let (text, reading) = self.classified(text);
        let mut reading = self.texts.declared(reading, &types);
        if self.names.is_full() {
            reading = too_much("Parse");
        }
        let (mark, types) = (self.texts.mark(), types.into());
        let prepared = Arc::new(Prepared { text: Arc::clone(&text), types, reading: reading.clone(), mark });
        self.judge(Judged { bytes, reading, text, what: What::Parse(name, prepared) });
        Ok(())
    }

    /// A Bind is judged like the statement it binds: the planner may run functions already here.
    fn handle_bind(&mut self, bytes: Bytes) -> Result<(), WireError> {
        let bound = bind(&bytes, self.recorder.keeps_values())?;
        let statement = cut(bound.statement);
        let prepared = match self.names.statement(statement, &self.pending) {
            Meaning::Known(prepared) => Some(prepared),
            Meaning::Foreign => None,
            Meaning::Unsettled => {
                self.put_back(&bytes);
                return Ok(());
            }
        };
        self.renew();
        let elsewhere = Elsewhere::new(&self.names, &self.pending);
        let prepared = self.texts.bound(statement, prepared, &elsewhere);
        if elsewhere.was_unsettled() {
            self.put_back(&bytes);
            return Ok(());
        }
        let (mut reading, text) = (prepared.reading.clone(), Arc::clone(&prepared.text));
        if self.names.is_full() {
            reading = too_much("Bind");
        }
        if let Some(refused) = bound_setting::refused(&prepared, &bytes)? {
            reading = refused;
        }
        let name = Box::from(cut(bound.portal));
        let portal = Arc::new(Portal::new(prepared, bound.values));
        self.judge(Judged { bytes, reading, text, what: What::Bind(name, portal) });
        Ok(())
    }

    fn handle_execute(&mut self, bytes: Bytes) -> Result<(), WireError> {
        let name = cut(execute(&bytes)?);
        let portal = match self.names.portal(name, &self.pending) {
            Meaning::Known(portal) => portal,
            Meaning::Foreign => {
                let Prepared { text, reading, .. } = &*foreign("cursor", name);
                let (reading, text) = (reading.clone(), Arc::clone(text));
                self.judge(Judged { bytes, reading, text, what: What::Execute(None, None) });
                return Ok(());
            }
            Meaning::Unsettled => {
                self.put_back(&bytes);
                return Ok(());
            }
        };
        let Some(reading) = self.reading_of(&portal) else {
            self.put_back(&bytes);
            return Ok(());
        };
        let (text, values) = (Arc::clone(&portal.prepared.text), portal.values.clone());
        self.judge(Judged { bytes, reading, text, what: What::Execute(values, Some(portal)) });
        Ok(())
    }

    /// What an Execute of a portal does; nothing where that depends on an answer that is still due. What names mean in
    /// a query is settled when it is bound, and in other statements when they first run, so it has to be the same.
    fn reading_of(&mut self, portal: &Portal) -> Option<Reading> {
        let bound = &portal.prepared.reading;
        if portal.doubtful.load(Ordering::Relaxed) {
            return Some(Reading::refused(
                Code::Ambiguous,
                "a cursor of the portal's name was declared since".to_owned(),
            ));
        }
        if portal.started.load(Ordering::Relaxed) {
            let again = "sets search_path by a portal that was run before: use SET";
            return Some(match bound.path {
                PathChange::None => bound.clone(),
                _ => Reading::refused(Code::GuardedSetting, again.to_owned()),
            });
        }
        self.renew();
        let elsewhere = Elsewhere::new(&self.names, &self.pending);
        let now = self.texts.again(Arc::clone(&portal.prepared), &elsewhere);
        if elsewhere.was_unsettled() {
            return None;
        }
        if now.reading != *bound {
            let because = "what it names means something else than when it was bound: bind it again";
            return Some(Reading::refused(Code::Ambiguous, because.to_owned()));
        }
        Some(now.reading.clone())
    }

    /// Puts a message back until the answers that settle it are in.
    fn put_back(&mut self, bytes: &[u8]) {
        let rest = self.inbox.split();
        self.inbox.extend_from_slice(bytes);
        self.inbox.unsplit(rest);
        self.held = true;
    }

    fn classified(&mut self, text: &[u8]) -> (Arc<str>, Reading) {
        let Ok(text) = std::str::from_utf8(text) else {
            let because = "its text is not UTF-8, the only encoding Belay reads".to_owned();
            return (Arc::from(String::from_utf8_lossy(text).into_owned()), Reading::refused(Code::Opaque, because));
        };
        self.renew();
        // A Parse may depend on answers that are still due, but it runs nothing, and its Bind waits for them.
        let mut reading = self.texts.read(text, &Elsewhere::new(&self.names, &self.pending));
        if self.texts.is_full(&reading) {
            reading = too_much("PREPARE");
        }
        (Arc::from(text), reading)
    }

    /// Takes a new catalog into use, with the places that masked columns have in it.
    fn renew(&mut self) {
        if let Some(edition) = self.texts.new_edition()
            && let Some(catalog) = edition.classifier.catalog()
            && !self.masks.is_empty()
        {
            self.set_masked_columns(catalog.masked(&self.masks));
        }
    }

    fn judge(&mut self, judged: Judged) {
        self.out.push_back(Output::Decide(Arc::clone(&judged.reading.statements)));
        self.judged = Some(judged);
    }

    pub(super) fn handle_decided(&mut self, decision: Decision, now: Timestamp) {
        let Some(judged) = self.judged.take() else { return };
        match decision {
            Decision::Permit(permit) => self.forward(judged, permit, now),
            Decision::Deny(denial) => self.refuse(judged, denial, now),
        }
    }

    fn forward(&mut self, judged: Judged, permit: Permit, now: Timestamp) {
        let Judged { bytes, reading, text, what } = judged;
        let statements = Arc::clone(&reading.statements);
        if matches!(what, What::Query | What::Execute(..)) {
            self.names.declared(&reading.names, &self.pending);
            self.texts.sent(&reading);
        }
        let due = match what {
            What::Query | What::Call => {
                let (number, record) = self.recorder.permitted(text, None, &statements, now);
                self.out.push_back(record);
                let mut running = Running::new(number, &statements, now);
                running.guard = self.guard(&permit, &statements);
                running.reading = reading;
                Pending::Query(running)
            }
            What::Execute(values, portal) => {
                let (number, record) = self.recorder.permitted(text, values, &statements, now);
                self.out.push_back(record);
                let mut running = Running::new(number, &statements, now);
                if let Some(portal) = &portal {
                    portal.started.store(true, Ordering::Relaxed);
                }
                running.guard = self.execute_guard(&permit, &statements, portal.as_deref(), &bytes);
                running.portal = portal;
                running.reading = reading;
                Pending::Execute(running)
            }
            What::Parse(name, prepared) => Pending::Parse(name, prepared),
            What::Bind(name, portal) => Pending::Bind(name, portal),
        };
        self.expect(due);
        self.out.push_back(Output::ToUpstream(UpstreamBytes::statement(permit, bytes)));
    }

    /// What guards the results of a message, where the grant has masks or the message shows what none does.
    fn guard(&mut self, permit: &Permit, statements: &Arc<[Statement]>) -> Option<Box<Guard>> {
        let masked = !permit.masks().is_empty();
        (self.masking.on || masked).then(|| Box::new(Guard::new(Box::from(permit.masks()), Arc::clone(statements))))
    }

    /// The same for an Execute. Its rows come without a description, so the target is asked for one.
    fn execute_guard(
        &mut self,
        permit: &Permit,
        statements: &Arc<[Statement]>,
        portal: Option<&Portal>,
        bytes: &[u8],
    ) -> Option<Box<Guard>> {
        let mut guard = self.guard(permit, statements)?;
        if permit.masks().is_empty() && !statements.iter().any(shows_another) {
            return None;
        }
        if let Some(mask) = portal.and_then(|portal| portal.mask.get()) {
            guard.describe(mask.clone());
        } else {
            self.expect(Pending::OwnDescribe);
            let describe = describe_portal(execute(bytes).unwrap_or_default());
            self.housekeeping(Housekeeping::OnPermitted, describe);
        }
        Some(guard)
    }

    fn refuse(&mut self, judged: Judged, denial: Denial, now: Timestamp) {
        let Judged { reading: Reading { statements, .. }, text, what, .. } = judged;
        let values = match &what {
            What::Execute(values, _) => values.clone(),
            What::Bind(_, portal) => portal.values.clone(),
            What::Query | What::Call | What::Parse(..) => None,
        };
        let record = self.recorder.denied(text, values, &statements, denial.code, now);
        self.out.push_back(record);
        let stand_in = refusal_text(denial.code);
        match what {
            What::Query | What::Call if self.is_idle() => self.answer_idle(&denial),
            What::Query | What::Call => {
                self.expect(Pending::RefusedQuery(denial));
                self.housekeeping(Housekeeping::Refusal, query(&stand_in));
            }
            What::Parse(..) | What::Bind(..) | What::Execute(..) => {
                self.batch.skipping = true;
                self.expect(Pending::Refused(denial));
                self.housekeeping(Housekeeping::Refusal, parse_unnamed(&stand_in));
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.status == TransactionStatus::Idle && !self.batch.open
    }

    /// Outside a transaction there is nothing to fail, so the target need not hear of it.
    fn answer_idle(&mut self, denial: &Denial) {
        let report = told(denial.code, &denial.message, Some(denial.detail.clone()), &denial.hint);
        self.tell_client(error_response(&report));
        self.tell_client(ready_for_query(TransactionStatus::Idle));
    }
}

fn too_much(verb: &str) -> Reading {
    let mut full = Statement::new(Effect::Opaque, verb);
    full.code = Some(Code::TooLarge);
    full.because = Some("this connection keeps too many prepared statements and portals".to_owned());
    Reading::of(Arc::from([full]))
}

/// Something that SQL made: it was judged when it was made, under the same grant.
fn foreign(kind: &str, name: &[u8]) -> Arc<Prepared> {
    let text = Arc::from(format!("<{kind} `{}` made in SQL>", String::from_utf8_lossy(name)));
    let statement = Statement::new(Effect::Read, "EXECUTE");
    Prepared::fixed(text, Arc::from([statement]))
}

fn broken(error: &WireError) -> ProtocolError {
    ProtocolError(error.to_string())
}
