//! What a transaction ran, so that it can be run again.

use super::act::Act;
use crate::wire::{bind_parameters, parameter_types, parse};
use belay_change::{Parameter, Script, Scripted};
use belay_model::{Relation, Statement};
use std::collections::HashMap;
use std::sync::Arc;

/// The longest script that is kept, in bytes of texts and values.
const LIMIT: usize = 64 * 1024 * 1024;
/// How many prepared statements and portals are followed.
const NAMES: usize = 10_000;

/// See the module. Names outlive transactions, the rest does not.
#[derive(Default)]
pub(super) struct Transcript {
    prepared: HashMap<Box<[u8]>, Arc<Prepared>>,
    bound: HashMap<Box<[u8]>, Scripted>,
    /// Sent, and not known to have come to its end.
    sent: Vec<Scripted>,
    done: Vec<Scripted>,
    size: usize,
    named: Vec<Relation>,
    unrepeatable: Option<String>,
}

struct Prepared {
    text: Arc<str>,
    types: Vec<u32>,
}

/// What one transaction ran.
pub(super) struct Ran {
    pub(super) script: Script,
    pub(super) named: Vec<Relation>,
}

impl Transcript {
    /// A permitted message leaves.
    pub(super) fn sent(&mut self, frame: &[u8], statements: &[Statement]) {
        match frame.first() {
            Some(b'P') => self.parsed(frame),
            Some(b'B') => self.bound(frame),
            Some(b'E') => {
                let name = crate::wire::execute(frame).unwrap_or_default();
                match self.bound.get(name) {
                    Some(scripted) => self.run(scripted.clone(), statements),
                    None => self.unrepeatable.get_or_insert_with(|| "it runs a cursor".to_owned()).truncate(200),
                }
            }
            Some(b'Q') => {
                let text = self.text_of(frame).unwrap_or_default();
                self.run(Scripted { text: Arc::from(text), parameters: None, data: None }, statements);
            }
            _ => {}
        }
    }

    /// The text that a message runs, where it is known.
    pub(super) fn text_of(&self, frame: &[u8]) -> Option<String> {
        match frame.first() {
            Some(b'Q') => String::from_utf8(crate::wire::query_text(frame).ok()?.to_vec()).ok(),
            Some(b'E') => Some(self.bound.get(crate::wire::execute(frame).ok()?)?.text.to_string()),
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
            self.bound.insert(Box::from(portal), scripted);
        }
    }

    fn run(&mut self, scripted: Scripted, statements: &[Statement]) {
        let act = Act::of(statements);
        if act.begins || act.commits || !matters(statements) {
            return;
        }
        for relation in super::act::named(statements) {
            if !self.named.contains(relation) {
                self.named.push(relation.clone());
            }
        }
        if statements.iter().any(|statement| statement.verb == "EXECUTE") {
            self.unrepeatable = Some("it runs a statement that was prepared in SQL".to_owned());
        }
        self.size += size(&scripted);
        if self.size > LIMIT {
            self.unrepeatable = Some(format!("its statements are longer than {LIMIT} bytes together"));
            return;
        }
        self.sent.push(scripted);
    }

    /// COPY data of the statement that was sent last.
    pub(super) fn data(&mut self, bytes: &[u8]) {
        self.size += bytes.len();
        if self.size > LIMIT {
            self.unrepeatable = Some(format!("its COPY data is longer than {LIMIT} bytes"));
            return;
        }
        if let Some(last) = self.sent.last_mut() {
            last.data.get_or_insert_default().extend_from_slice(bytes);
        }
    }

    /// Whether nothing was run that could have written.
    pub(super) fn is_empty(&self) -> bool {
        self.sent.is_empty() && self.done.is_empty() && self.unrepeatable.is_none()
    }

    /// What was sent has come to its end.
    pub(super) fn succeeded(&mut self) {
        self.done.append(&mut self.sent);
    }

    /// One of the statements sent has failed, and those after it were skipped.
    pub(super) fn failed(&mut self) {
        self.sent.clear();
    }

    /// The transaction is over, or about to be.
    pub(super) fn take(&mut self) -> Ran {
        self.succeeded();
        self.size = 0;
        let script = Script {
            statements: std::mem::take(&mut self.done),
            unrepeatable: self.unrepeatable.take(),
            ..Script::default()
        };
        Ran { script, named: std::mem::take(&mut self.named) }
    }
}

/// Whether running it again could make a difference to what is written.
fn matters(statements: &[Statement]) -> bool {
    let plain = |statement: &Statement| {
        let reads = matches!(statement.verb.as_str(), "SELECT" | "VALUES" | "SHOW" | "EXPLAIN" | "FETCH" | "ROLLBACK");
        reads && !super::act::writes(statement)
    };
    !statements.iter().all(plain)
}

fn size(scripted: &Scripted) -> usize {
    let value = |parameter: &Parameter| parameter.value.as_ref().map_or(0, Vec::len);
    scripted.text.len() + scripted.parameters.iter().flatten().map(value).sum::<usize>()
}
