//! Reads the texts of one connection: with the target's catalog as it is, and under the search path that is in force.
//!
//! The server tells of a new search path only from version 18 on, so it is followed here: a statement that was sent and
//! is not answered may have set it or not, and the end of a transaction may have taken it back. While several paths are
//! possible, a text has to mean the same under each.

use super::names::Prepared;
use crate::catalog::keep::{CatalogCell, Edition};
use crate::classify::{PathChange, Place, Reading, SearchPath, SqlName};
use belay_model::{Code, Effect, Statement};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Statements that SQL's own PREPARE made, and texts that one name may stand for.
const PREPARED: usize = 1_000;
const PER_NAME: usize = 8;

/// What reads a connection's texts.
pub(super) struct Texts {
    cell: Arc<CatalogCell>,
    role: String,
    default_path: SearchPath,
    /// Paths of which one is in force, once everything that was sent is answered.
    settled: Vec<SearchPath>,
    /// Paths that the end of the transaction may bring back.
    before: Vec<SearchPath>,
    /// What was sent and is not answered, in order.
    sent: VecDeque<PathChange>,
    edition: Option<Edition>,
    place: Option<Place>,
    /// Goes up whenever texts may mean something else than before.
    mark: u64,
    prepared: HashMap<String, Vec<Arc<str>>>,
}

impl Texts {
    /// For a session that starts under this path, as this role.
    pub(super) fn new(cell: Arc<CatalogCell>, path: SearchPath, role: &str) -> Texts {
        Texts {
            cell,
            role: role.to_owned(),
            default_path: path.clone(),
            settled: vec![path],
            before: Vec::new(),
            sent: VecDeque::new(),
            edition: None,
            place: None,
            mark: 0,
            prepared: HashMap::new(),
        }
    }

    /// The catalog in use, where it is another one than it was when this was last asked.
    pub(super) fn new_edition(&mut self) -> Option<Edition> {
        let current = self.cell.current()?;
        if self.edition.as_ref().is_some_and(|known| known.generation == current.generation) {
            return None;
        }
        self.edition = Some(current.clone());
        self.place = None;
        Some(current)
    }

    /// What a text does. `others` are the texts that the protocol's own prepared statements have by their names.
    pub(super) fn read(&mut self, text: &str, others: impl Fn(&str) -> Option<Arc<str>>) -> Reading {
        let mut reading = self.look(text);
        if reading.names.iter().any(|name| matches!(name, SqlName::Executes { .. })) {
            self.executed(&mut reading, others);
        }
        if reading.statements.iter().any(|statement| statement.code == Some(Code::UnknownName)) {
            self.cell.nudge();
        }
        reading
    }

    /// A prepared statement as it would be read now.
    pub(super) fn again(&mut self, prepared: Arc<Prepared>) -> Arc<Prepared> {
        if prepared.mark == self.mark() || prepared.mark == Prepared::FIXED {
            return prepared;
        }
        let reading = self.read(&prepared.text, |_| None);
        let reading = self.declared(reading, &prepared.types);
        let (text, types) = (Arc::clone(&prepared.text), prepared.types.clone());
        Arc::new(Prepared { text, types, reading, mark: self.mark() })
    }

    /// What a text does whose parameters have these types.
    pub(super) fn declared(&self, reading: Reading, types: &[u32]) -> Reading {
        match &self.edition {
            Some(edition) => edition.classifier.with_parameters(reading, types),
            None => reading,
        }
    }

    /// What a reading of now holds for.
    pub(super) fn mark(&mut self) -> u64 {
        if self.place.is_none() {
            self.settle();
        }
        self.mark
    }

    fn look(&mut self, text: &str) -> Reading {
        if self.place.is_none() {
            self.settle();
        }
        match (&self.edition, &self.place) {
            (Some(edition), Some(place)) if self.cell.current().is_some() => edition.classifier.read(text, place),
            _ => Reading::refused(Code::NotReady, "the target's catalog could not be read for too long".to_owned()),
        }
    }

    /// The place from which texts are read, after something has changed.
    fn settle(&mut self) {
        self.mark += 1;
        let Some(edition) = &self.edition else { return };
        let mut paths = self.settled.clone();
        let mut add = |path: &SearchPath| {
            if !paths.contains(path) {
                paths.push(path.clone());
            }
        };
        for change in &self.sent {
            match change {
                PathChange::None => {}
                PathChange::To(path) => add(path),
                PathChange::Among(several) => several.iter().for_each(&mut add),
                PathChange::Back => self.before.iter().for_each(&mut add),
            }
        }
        self.place = Some(edition.classifier.place(paths, Some(self.default_path.clone()), &self.role));
    }

    /// What EXECUTE runs is part of the statement.
    fn executed(&mut self, reading: &mut Reading, others: impl Fn(&str) -> Option<Arc<str>>) {
        let mut statements = reading.statements.to_vec();
        for name in reading.names.iter() {
            let SqlName::Executes { statement, name } = name else { continue };
            let texts: Vec<Arc<str>> =
                self.prepared.get(name).into_iter().flatten().cloned().chain(others(name)).collect();
            let Some(outer) = statements.get_mut(*statement) else { continue };
            if texts.len() > PER_NAME {
                outer.effect = Effect::Opaque;
                outer.code = Some(Code::Ambiguous);
                outer.because = Some(format!("{name} may be one of many prepared statements"));
            }
            for inner in texts.iter().flat_map(|text| self.look(text).statements.to_vec()) {
                take_over(outer, inner);
            }
        }
        reading.statements = statements.into();
    }

    /// A message was sent to the target.
    pub(super) fn sent(&mut self, reading: &Reading) {
        self.prepare(reading);
        if matches!(reading.path, PathChange::None) {
            return;
        }
        self.sent.push_back(reading.path.clone());
        self.place = None;
    }

    /// It was answered.
    pub(super) fn answered(&mut self, change: &PathChange, failed: bool) {
        if matches!(change, PathChange::None) {
            return;
        }
        self.sent.pop_front();
        self.place = None;
        match change {
            PathChange::To(path) if !failed => {
                let before = std::mem::replace(&mut self.settled, vec![path.clone()]);
                self.may_come_back(before);
            }
            PathChange::Among(several) => self.may_be(several.clone()),
            PathChange::Back => self.may_be(self.before.clone()),
            PathChange::To(_) | PathChange::None => {}
        }
    }

    /// No transaction is open any more. `whole` where it was one message's own, which went well.
    pub(super) fn idle(&mut self, whole: bool) {
        if self.before.is_empty() {
            return;
        }
        let before = std::mem::take(&mut self.before);
        if !whole {
            self.may_be(before);
        }
        self.place = None;
    }

    /// Everything that the session kept is given up.
    pub(super) fn forget_prepared(&mut self) {
        self.prepared.clear();
    }

    fn may_be(&mut self, paths: Vec<SearchPath>) {
        for path in paths {
            if !self.settled.contains(&path) {
                self.settled.push(path);
            }
        }
    }

    fn may_come_back(&mut self, paths: Vec<SearchPath>) {
        for path in paths {
            if !self.before.contains(&path) && !self.settled.contains(&path) {
                self.before.push(path);
            }
        }
    }

    fn prepare(&mut self, reading: &Reading) {
        for name in reading.names.iter() {
            let SqlName::Prepares { name, text } = name else { continue };
            if self.prepared.len() >= PREPARED && !self.prepared.contains_key(name) {
                // The name stands for nothing that is known, and EXECUTE of it is refused.
                continue;
            }
            let texts = self.prepared.entry(name.clone()).or_default();
            if texts.len() <= PER_NAME && !texts.contains(text) {
                texts.push(Arc::clone(text));
            }
        }
    }

    /// Whether another statement can be prepared in SQL.
    pub(super) fn is_full(&self, reading: &Reading) -> bool {
        self.prepared.len() >= PREPARED && reading.names.iter().any(|name| matches!(name, SqlName::Prepares { .. }))
    }
}

/// What `inner` does, `outer` does.
fn take_over(outer: &mut Statement, inner: Statement) {
    if inner.effect > outer.effect {
        (outer.effect, outer.code, outer.because) = (inner.effect, inner.code, inner.because);
    }
    outer.relations.extend(inner.relations);
    outer.accesses.extend(inner.accesses);
    outer.calls.extend(inner.calls);
}
