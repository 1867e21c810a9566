//! What a transaction ran, so that it can be run again.

use super::step::{Step, What, is_at_cursor, steps};
use crate::wire::{bind_parameters, parameter_types, parse};
use belay_change::{Parameter, Script, Scripted};
use belay_model::{Relation, Statement};
use bytes::Bytes;
use postgres_protocol::escape::escape_identifier;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// The longest script that is kept, in bytes of texts and values.
const LIMIT: usize = 64 * 1024 * 1024;
/// How many prepared statements and portals are followed.
const NAMES: usize = 10_000;

/// See the module. Names outlive transactions, the rest does not.
#[derive(Default)]
pub(super) struct Transcript {
    prepared: HashMap<Box<[u8]>, Arc<Prepared>>,
    bound: HashMap<Box<[u8]>, Portal>,
    /// Texts of what was prepared in SQL.
    in_sql: HashMap<String, Arc<str>>,
    /// Sent, and not known to have come to its end.
    sent: VecDeque<Step>,
    done: Vec<Step>,
    /// The savepoints that are there, and how much was done before each.
    savepoints: Vec<(String, usize)>,
    /// What was undone to a savepoint moved a cursor. Cursors stay where they were moved to.
    moved: bool,
    size: usize,
    named: Vec<Relation>,
    isolation: String,
    unrepeatable: Option<String>,
}

struct Portal {
    scripted: Scripted,
    /// It has run, and goes on with its rows where it is run again.
    started: bool,
}

struct Prepared {
    text: Arc<str>,
    types: Vec<u32>,
}

/// What one transaction ran.
pub(super) struct Ran {
    pub(super) script: Script,
    pub(super) named: Vec<Relation>,
    /// The savepoints that are open, the innermost last.
    pub(super) savepoints: Vec<String>,
    /// Some of its statements cannot be told apart, so that there may be others.
    pub(super) unclear: bool,
}

impl Transcript {
    /// A permitted message leaves.
    pub(super) fn sent(&mut self, frame: &[u8], statements: &[Statement]) {
        match frame.first() {
            Some(b'P') => self.parsed(frame),
            Some(b'B') => self.bound(frame),
            Some(b'E') => {
                let name = crate::wire::execute(frame).unwrap_or_default();
                let empty = || Scripted { text: Arc::from(""), parameters: None, data: None };
                match self.bound.get_mut(name) {
                    Some(portal) if portal.started => {
                        self.sent.push_back(Step { scripted: empty(), what: What::Nothing });
                    }
                    Some(portal) => {
                        portal.started = true;
                        let scripted = portal.scripted.clone();
                        self.run(scripted, statements);
                    }
                    None => {
                        let writes = statements.iter().any(super::act::writes);
                        self.sent.push_back(Step { scripted: empty(), what: What::ByName(writes) });
                    }
                }
            }
            Some(b'Q') => {
                let text = self.text_of(frame).unwrap_or_default();
                self.run(Scripted { text: Arc::from(text.trim()), parameters: None, data: None }, statements);
            }
            _ => {}
        }
    }

    /// The text that a message runs, where it is known.
    pub(super) fn text_of(&self, frame: &[u8]) -> Option<String> {
        match frame.first() {
            Some(b'Q') => String::from_utf8(crate::wire::query_text(frame).ok()?.to_vec()).ok(),
            Some(b'E') => Some(self.bound.get(crate::wire::execute(frame).ok()?)?.scripted.text.to_string()),
            _ => None,
        }
    }

    fn parsed(&mut self, frame: &[u8]) {
        let (Ok((name, text)), Ok(types)) = (parse(frame), parameter_types(frame)) else { return };
        if let Ok(text) = std::str::from_utf8(text)
            && (self.prepared.len() < NAMES || self.prepared.contains_key(name))
        {
            self.prepared.insert(Box::from(name), Arc::new(Prepared { text: Arc::from(text), types }));
        }
    }

    fn bound(&mut self, frame: &[u8]) {
        let Ok((portal, statement, values)) = bind_parameters(frame) else { return };
        let Some(prepared) = self.prepared.get(statement) else {
            self.bound.remove(portal);
            return;
        };
        let typed = |(at, (binary, value)): (usize, (bool, Option<&[u8]>))| Parameter {
            type_oid: prepared.types.get(at).copied().unwrap_or_default(),
            binary,
            value: value.map(<[u8]>::to_vec),
        };
        let parameters = values.into_iter().enumerate().map(typed).collect();
        let scripted = Scripted { text: Arc::clone(&prepared.text), parameters: Some(parameters), data: None };
        if self.bound.len() < NAMES || self.bound.contains_key(portal) {
            self.bound.insert(Box::from(portal), Portal { scripted, started: false });
        }
    }

    fn run(&mut self, scripted: Scripted, statements: &[Statement]) {
        for relation in super::act::named(statements) {
            if !self.named.contains(relation) {
                self.named.push(relation.clone());
            }
        }
        self.size += size(&scripted);
        if self.size > LIMIT {
            self.unrepeatable = Some(format!("its statements are longer than {LIMIT} bytes together"));
            return;
        }
        self.sent.extend(steps(scripted, statements));
    }

    /// The transaction is isolated so, as the target says.
    pub(super) fn isolated(&mut self, level: Option<Bytes>) {
        self.isolation = level.map(|level| String::from_utf8_lossy(&level).into_owned()).unwrap_or_default();
    }

    /// COPY data of the statement that was sent last.
    pub(super) fn data(&mut self, bytes: &[u8]) {
        self.size += bytes.len();
        if self.size > LIMIT {
            self.unrepeatable = Some(format!("its COPY data is longer than {LIMIT} bytes"));
            return;
        }
        if let Some(last) = self.sent.back_mut() {
            last.scripted.data.get_or_insert_default().extend_from_slice(bytes);
        }
    }

    /// Whether nothing was run that could have written.
    pub(super) fn is_empty(&self) -> bool {
        let nothing = |step: &Step| step.what == What::Nothing;
        self.sent.iter().all(nothing) && self.done.is_empty() && self.unrepeatable.is_none()
    }

    /// One statement has come to its end.
    pub(super) fn succeeded(&mut self) {
        let Some(mut step) = self.sent.pop_front() else { return };
        match &mut step.what {
            What::Nothing => return,
            What::Savepoint(name) => self.savepoints.push((name.clone(), self.done.len())),
            What::Releases(name) => {
                let place = self.savepoints.iter().rposition(|(known, _)| known == name).unwrap_or_default();
                self.savepoints.truncate(place);
            }
            What::Undoes(name) => self.undone(&name.clone()),
            What::Prepares(name) if self.in_sql.len() < NAMES => {
                self.in_sql.insert(name.clone(), Arc::clone(&step.scripted.text));
            }
            What::Executes(name, text) => *text = self.in_sql.get(name).cloned(),
            What::Forgets(Some(name)) => drop(self.in_sql.remove(name)),
            What::Forgets(None) => self.in_sql.clear(),
            _ => {}
        }
        self.done.push(step);
    }

    /// All that was sent has.
    pub(super) fn all_succeeded(&mut self) {
        while !self.sent.is_empty() {
            self.succeeded();
        }
    }

    /// Takes out what came after a savepoint, which stays.
    fn undone(&mut self, savepoint: &str) {
        let Some(place) = self.savepoints.iter().rposition(|(known, _)| known == savepoint) else {
            self.unrepeatable = Some("it goes back to a savepoint that is not known".to_owned());
            return;
        };
        self.savepoints.truncate(place + 1);
        let done = self.savepoints.last().map_or(0, |(_, done)| *done);
        self.moved |= self.done.drain(done.min(self.done.len())..).any(|step| moves(&step));
    }

    /// One of the statements sent has failed, and those after it were skipped.
    pub(super) fn failed(&mut self) {
        self.sent.clear();
    }

    /// The transaction is over, or about to be.
    pub(super) fn take(&mut self) -> Ran {
        self.all_succeeded();
        self.size = 0;
        let savepoints = self.savepoints.drain(..).map(|(name, _)| name).collect();
        let unclear = self.done.iter().any(|step| matches!(step.what, What::Never(_)));
        let mut unrepeatable = self.unrepeatable.take();
        let statements = compiled(std::mem::take(&mut self.done), std::mem::take(&mut self.moved), &mut unrepeatable);
        let isolation = std::mem::take(&mut self.isolation);
        let script = Script { statements, isolation, unrepeatable, ..Script::default() };
        Ran { script, named: std::mem::take(&mut self.named), savepoints, unclear }
    }
}

fn moves(step: &Step) -> bool {
    matches!(step.what, What::Moves | What::ByName(_))
}

/// What has to be run again, with what its statements need of the session: cursors where it writes by them, and what was
/// prepared.
fn compiled(done: Vec<Step>, moved: bool, unrepeatable: &mut Option<String>) -> Vec<Scripted> {
    let at_cursor = |step: &Step| match &step.what {
        What::Declares(writes) => *writes,
        What::Executes(_, Some(text)) => is_at_cursor(text),
        _ => is_at_cursor(&step.scripted.text),
    };
    let cursors = done.iter().any(at_cursor);
    if cursors && moved {
        unrepeatable.get_or_insert_with(|| "it moved a cursor before it went back to a savepoint".to_owned());
    }
    let mut script = Vec::with_capacity(done.len());
    let mut prepared: HashMap<String, Arc<str>> = HashMap::new();
    for Step { scripted, what } in done {
        match what {
            What::Runs => script.push(scripted),
            What::Declares(_) | What::Moves if cursors => script.push(scripted),
            What::Executes(name, Some(text)) => {
                if prepared.get(&name) != Some(&text) {
                    if prepared.contains_key(&name) {
                        script.push(plain(format!("DEALLOCATE {}", escape_identifier(&name)).into()));
                    }
                    script.push(plain(Arc::clone(&text)));
                    prepared.insert(name, text);
                }
                script.push(scripted);
            }
            What::Executes(name, None) => {
                let why = || format!("it executes `{name}`, of which the text is not known");
                unrepeatable.get_or_insert_with(why);
            }
            What::ByName(writes) if writes || cursors => {
                let why = "the protocol runs what SQL has prepared or declared";
                unrepeatable.get_or_insert_with(|| why.to_owned());
            }
            What::Never(why) => {
                unrepeatable.get_or_insert_with(|| why.to_owned());
            }
            _ => {}
        }
    }
    script
}

fn plain(text: Arc<str>) -> Scripted {
    Scripted { text, parameters: None, data: None }
}

fn size(scripted: &Scripted) -> usize {
    let value = |parameter: &Parameter| parameter.value.as_ref().map_or(0, Vec::len);
    scripted.text.len() + scripted.parameters.iter().flatten().map(value).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use belay_model::Effect;

    /// What is run again of these messages, each with its verbs; all go well.
    fn again(messages: &[(&str, &[&str])]) -> Script {
        let mut transcript = Transcript::default();
        for (text, verbs) in messages {
            let statements: Vec<Statement> = verbs
                .iter()
                .map(|verb| Statement::new(if *verb == "SELECT" { Effect::Read } else { Effect::Write }, *verb))
                .collect();
            transcript.sent(&crate::wire::query(text), &statements);
            verbs.iter().for_each(|_| transcript.succeeded());
        }
        transcript.take().script
    }

    fn texts(script: &Script) -> Vec<&str> {
        script.statements.iter().map(|scripted| &*scripted.text).collect()
    }

    #[test]
    fn what_was_undone_is_left_out() {
        let script = again(&[
            ("BEGIN", &["BEGIN"]),
            ("UPDATE a", &["UPDATE"]),
            ("SAVEPOINT s; UPDATE b; SAVEPOINT t", &["SAVEPOINT", "UPDATE", "SAVEPOINT"]),
            ("UPDATE c", &["UPDATE"]),
            ("ROLLBACK TO t", &["ROLLBACK TO"]),
            ("UPDATE d", &["UPDATE"]),
            ("RELEASE t", &["RELEASE"]),
            ("SELECT 1", &["SELECT"]),
        ]);
        assert_eq!((texts(&script), script.unrepeatable.as_deref()), (vec!["UPDATE a", "UPDATE b", "UPDATE d"], None));
    }

    #[test]
    fn what_is_executed_is_prepared_before() {
        let script = again(&[
            ("PREPARE p AS UPDATE a", &["PREPARE"]),
            ("PREPARE q AS UPDATE q", &["PREPARE"]),
            ("EXECUTE p", &["EXECUTE"]),
            ("EXECUTE p", &["EXECUTE"]),
            ("DEALLOCATE p; PREPARE p AS UPDATE b", &["DEALLOCATE", "PREPARE"]),
            ("EXECUTE p", &["EXECUTE"]),
        ]);
        let expected = [
            "PREPARE p AS UPDATE a",
            "EXECUTE p",
            "EXECUTE p",
            "DEALLOCATE \"p\"",
            "PREPARE p AS UPDATE b",
            "EXECUTE p",
        ];
        assert_eq!((texts(&script), script.unrepeatable.as_deref()), (expected.to_vec(), None));
        let unknown = again(&[("EXECUTE p", &["EXECUTE"])]);
        assert!(unknown.unrepeatable.is_some_and(|why| why.contains("`p`")));
    }

    #[test]
    fn cursors_are_moved_again_where_something_is_written_at_them() {
        let declare = ("DECLARE c CURSOR FOR SELECT", &["DECLARE CURSOR"][..]);
        let reads = again(&[("UPDATE a", &["UPDATE"]), ("FETCH c", &["FETCH"])]);
        assert_eq!(texts(&reads), ["UPDATE a"]);
        let writes = again(&[declare, ("FETCH c", &["FETCH"]), ("UPDATE a WHERE CURRENT OF c", &["UPDATE"])]);
        assert_eq!(texts(&writes), [declare.0, "FETCH c", "UPDATE a WHERE CURRENT OF c"]);
    }
}
