//! What the client says.

use super::super::names::{Meaning, Portal, Prepared};
use super::super::pending::{Pending, Running};
use super::pieces::{Piece, cut};
use super::{PENDING_LIMIT, Passthrough};
use crate::wire::{bind, execute, function_call, parse, query_text, target_of};
use belay_engine::{Output, ProtocolError, UpstreamBytes};
use belay_model::{BindValue, Code, Effect, EndReason, EventKind, Statement, Timestamp};
use belay_policy::Decision;
use bytes::{Bytes, BytesMut};
use std::sync::Arc;

/// How much is recorded of a message that is too long to hold.
const BEGINNING: usize = 64 * 1024;
/// Words that run what was written elsewhere: a text with one of them is never taken for a read.
const INDIRECT: [&[u8]; 3] = [b"execute", b"fetch", b"move"];

/// Bytes that leave together, and the records that have to be made before.
#[derive(Default)]
pub(super) struct Run {
    bytes: Bytes,
    statements: Vec<Arc<[Statement]>>,
    records: Vec<Output>,
    goodbye: bool,
}

/// A message that cannot be named before an answer that is due.
struct Unsettled;

impl Passthrough {
    /// Takes off the inbox what can leave together, and asks for the verdict on it.
    pub(super) fn handle_inbox(&mut self, now: Timestamp) -> Result<(), ProtocolError> {
        self.held = false;
        if self.over || self.gone || self.run.is_some() {
            return Ok(());
        }
        if self.is_crowded() {
            self.nudge();
            return Ok(());
        }
        let room = PENDING_LIMIT - self.pending.len();
        let cut = cut(&self.inbox, self.passing, room).map_err(|error| ProtocolError(error.to_string()))?;
        if cut.length == 0 {
            return Ok(());
        }
        let mut bytes = self.inbox.split_to(cut.length).freeze();
        self.passing = cut.passing;
        let mut run = Run::default();
        for piece in cut.pieces {
            if let Err(Unsettled) = self.read(piece, &bytes, &mut run, now) {
                self.put_back(&mut bytes, piece.at);
                break;
            }
        }
        if bytes.is_empty() {
            self.nudge();
            return Ok(());
        }
        self.nudged = false;
        run.bytes = bytes;
        self.out.push_back(Output::Decide(together(&run.statements)));
        self.run = Some(run);
        Ok(())
    }

    /// Puts everything from `at` back until the answers that settle it are in.
    fn put_back(&mut self, bytes: &mut Bytes, at: usize) {
        let mut inbox = BytesMut::from(bytes.split_off(at));
        inbox.unsplit(self.inbox.split());
        self.inbox = inbox;
        self.passing = 0;
        self.held = true;
    }

    fn read(&mut self, piece: Piece, bytes: &Bytes, run: &mut Run, now: Timestamp) -> Result<(), Unsettled> {
        let frame = bytes.get(piece.at..piece.at + piece.shown).unwrap_or_default();
        let long = (piece.shown < piece.length).then_some(piece.length);
        match piece.tag {
            b'Q' => self.read_query(frame, long, run, now),
            b'F' => self.read_call(frame, run, now),
            b'P' => self.read_parse(frame, long),
            b'B' => return self.read_bind(frame, long, run, now),
            b'E' => return self.read_execute(frame, run, now),
            b'D' if target_of(frame, 'D').is_ok() => self.pending.push_back(Pending::Describe),
            b'C' => {
                if let Ok((kind, name)) = target_of(frame, 'C') {
                    self.pending.push_back(Pending::Close(kind, Box::from(name)));
                }
            }
            b'S' if !self.copying => self.end_batch(run, now),
            b'c' | b'f' => {
                if !self.copying && !self.pending.is_empty() {
                    self.pending.push_back(Pending::CopyEnd);
                }
                self.copying = false;
            }
            b'X' => run.goodbye = true,
            _ => {}
        }
        Ok(())
    }

    fn read_query(&mut self, frame: &[u8], long: Option<usize>, run: &mut Run, now: Timestamp) {
        let (text, statements) = match (query_text(frame), long) {
            (Ok(text), _) => self.classified(text),
            (Err(_), long) => unreadable("Query", frame, long),
        };
        let running = self.intend(text, None, &statements, run, now);
        self.pending.push_back(Pending::Query(running));
    }

    fn read_call(&mut self, frame: &[u8], run: &mut Run, now: Timestamp) {
        let (text, values) = match function_call(frame, self.recorder.keeps_values()) {
            Ok((function, values)) => (Arc::from(format!("<call of function {function}>")), values),
            Err(_) => (Arc::from("<function call that cannot be read>"), None),
        };
        let running = self.intend(text, values, &opaque("FunctionCall"), run, now);
        self.pending.push_back(Pending::Query(running));
    }

    /// Runs nothing, so it is not recorded; what it says is kept for those that do.
    fn read_parse(&mut self, frame: &[u8], long: Option<usize>) {
        if self.names.is_full() {
            self.names.forget_all();
        }
        let (name, (text, statements)) = match parse(frame) {
            Ok((name, text)) => (name, self.classified(text)),
            Err(_) => (first_text(frame), unreadable("Parse", frame, long)),
        };
        self.weight = self.weight.saturating_add(text.len());
        self.pending.push_back(Pending::Parse(Box::from(name), Prepared::fixed(text, statements)));
    }

    /// The planner may run functions already here. So what is not a mere read is recorded now, and not again when it
    /// is executed.
    fn read_bind(&mut self, frame: &[u8], long: Option<usize>, run: &mut Run, now: Timestamp) -> Result<(), Unsettled> {
        let (portal, statement, values) = if let Ok(bound) = bind(frame, self.recorder.keeps_values()) {
            (bound.portal, bound.statement, bound.values)
        } else {
            let (portal, statement) = first_texts(frame);
            (portal, statement, Some(vec![BindValue::Long(long.unwrap_or(frame.len()) as u64)]))
        };
        let prepared = match self.names.statement(statement, &self.pending) {
            Meaning::Known(prepared) => prepared,
            Meaning::Foreign => foreign("prepared statement", statement),
            Meaning::Unsettled => return Err(Unsettled),
        };
        if self.names.is_full() {
            self.names.forget_all();
        }
        let name: Box<[u8]> = Box::from(portal);
        if let Some(number) = self.bound.remove(&name) {
            run.records.push(self.recorder.skipped(number, self.status, now));
        }
        if prepared.reading.statements.iter().any(|statement| statement.effect > Effect::Read) {
            let text = Arc::clone(&prepared.text);
            let running = self.intend(text, values.clone(), &prepared.reading.statements, run, now);
            self.bound.insert(name.clone(), running.statement);
        }
        self.pending.push_back(Pending::Bind(name, Arc::new(Portal::new(prepared, values))));
        Ok(())
    }

    fn read_execute(&mut self, frame: &[u8], run: &mut Run, now: Timestamp) -> Result<(), Unsettled> {
        let name = execute(frame).unwrap_or_else(|_| first_text(frame));
        let (prepared, values) = match self.names.portal(name, &self.pending) {
            Meaning::Known(portal) => (Arc::clone(&portal.prepared), portal.values.clone()),
            Meaning::Foreign => (foreign("cursor", name), None),
            Meaning::Unsettled => return Err(Unsettled),
        };
        let running = match self.bound.remove(name) {
            Some(number) if number == self.recorder.last() => Running::new(number, &prepared.reading.statements, now),
            bound => {
                // Others were recorded since: the record names statements in the order in which they run.
                run.records.extend(bound.map(|number| self.recorder.skipped(number, self.status, now)));
                self.intend(Arc::clone(&prepared.text), values, &prepared.reading.statements, run, now)
            }
        };
        self.pending.push_back(Pending::Execute(running));
        Ok(())
    }

    /// What was recorded when it was bound and is not executed now has come to nothing.
    fn end_batch(&mut self, run: &mut Run, now: Timestamp) {
        let mut left: Vec<u64> = self.bound.drain().map(|(_, number)| number).collect();
        left.sort_unstable();
        run.records.extend(left.into_iter().map(|number| self.recorder.skipped(number, self.status, now)));
        self.pending.push_back(Pending::Sync);
    }

    /// Makes the record that has to be there before this leaves.
    fn intend(
        &mut self,
        text: Arc<str>,
        values: Option<Vec<BindValue>>,
        statements: &Arc<[Statement]>,
        run: &mut Run,
        now: Timestamp,
    ) -> Running {
        if statements.iter().any(|statement| statement.effect != Effect::Read) {
            self.syntax.unsettle();
        }
        for statement in statements.iter() {
            match statement.verb.as_str() {
                // What SQL prepares or declares may take a name that the protocol gave before.
                "DISCARD ALL" => self.names.forget_all(),
                verb if verb.starts_with("PREPARE") => self.names.forget_all(),
                verb if verb.starts_with("DECLARE") => self.names.transaction_ended(),
                _ => {}
            }
        }
        let (number, record) = self.recorder.permitted(text, values, statements, now);
        run.records.push(record);
        run.statements.push(Arc::clone(statements));
        Running::new(number, statements, now)
    }

    /// What the text does, as far as that can be told: whatever is not surely a read counts as more.
    fn classified(&self, text: &[u8]) -> (Arc<str>, Arc<[Statement]>) {
        let Ok(known) = std::str::from_utf8(text) else {
            return (Arc::from(String::from_utf8_lossy(text)), opaque("statement"));
        };
        let sure = self.syntax.is_known() && !INDIRECT.iter().any(|word| contains(text, word));
        (Arc::from(known), if sure { self.classifier.classify(known) } else { opaque("statement") })
    }

    pub(super) fn handle_decided(&mut self, decision: Decision) {
        let Some(run) = self.run.take() else { return };
        match decision {
            Decision::Permit(permit) => {
                self.out.extend(run.records);
                self.out.push_back(Output::ToUpstream(UpstreamBytes::statement(permit, run.bytes)));
                if run.goodbye {
                    self.gone = true;
                    self.out.push_back(Output::Close(EndReason::Closed));
                }
            }
            // The grant is over, or nothing can be recorded: there is no later statement that could run.
            Decision::Deny(denial) => {
                self.out.extend(run.records.into_iter().map(|record| denied(record, denial.code)));
                self.end(if denial.code == Code::LedgerDown { EndReason::LedgerDown } else { EndReason::Expired });
            }
        }
    }
}

fn together(statements: &[Arc<[Statement]>]) -> Arc<[Statement]> {
    match statements {
        [one] => Arc::clone(one),
        many => many.iter().flat_map(|some| some.iter().cloned()).collect(),
    }
}

fn denied(record: Output, code: Code) -> Output {
    let Output::Record { mut event, .. } = record else { return record };
    if let EventKind::Statement { denied, .. } = &mut event.kind {
        *denied = Some(code);
    }
    Output::Record { event, durable: false }
}

fn opaque(verb: &str) -> Arc<[Statement]> {
    Arc::from([Statement::new(Effect::Opaque, verb)])
}

/// A message that does not follow the protocol, or whose end is still to come.
fn unreadable(kind: &str, frame: &[u8], long: Option<usize>) -> (Arc<str>, Arc<[Statement]>) {
    let body = frame.get(5..).unwrap_or_default();
    let beginning = String::from_utf8_lossy(body.get(..BEGINNING).unwrap_or(body)).replace('\0', "\u{2400}");
    let length = long.unwrap_or(frame.len());
    (Arc::from(format!("<{kind} of {length} bytes that begins> {beginning}")), opaque(kind))
}

/// Something that SQL made, or that was forgotten.
fn foreign(kind: &str, name: &[u8]) -> Arc<Prepared> {
    let text = Arc::from(format!("<{kind} `{}` made in SQL>", String::from_utf8_lossy(name)));
    Prepared::fixed(text, opaque("EXECUTE"))
}

/// The text at the head of a message, whatever follows it.
fn first_text(frame: &[u8]) -> &[u8] {
    first_texts(frame).0
}

/// The two texts at the head of a message, as long as the server keeps names.
fn first_texts(frame: &[u8]) -> (&[u8], &[u8]) {
    let mut texts = frame.get(5..).unwrap_or_default().split(|byte| *byte == 0);
    let mut next = || texts.next().map(|text| text.get(..63).unwrap_or(text)).unwrap_or_default();
    (next(), next())
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
}
