//! Reads the texts of one connection: with the target's catalog as it is, and under the search path that is in force.
//! While several paths are possible, a text has to mean the same under each.

use super::in_sql::InSql;
use super::names::{Elsewhere, Prepared};
use super::paths::Paths;
use super::pending::{Ended, Running};
use super::run_by_name::{refuse, run, run_portal};
use crate::catalog::keep::{CatalogCell, Edition};
use crate::classify::{PathChange, Place, Reading, SearchPath, SqlName};
use belay_model::{Code, Effect, Statement};
use std::collections::HashMap;
use std::sync::Arc;

/// Roles that a session acts as. Beyond that nothing is said any more.
const ROLES: usize = 1_000;
/// Those of them whose names are schemas, too.
const ROLES_WITH_SCHEMA: usize = 8;
/// Relations that one message may come to by names of statements.
const TAKEN_OVER: usize = 100_000;

/// What reads a connection's texts.
pub(super) struct Texts {
    cell: Arc<CatalogCell>,
    role: String,
    /// Whom the session has acted as, beside it.
    others: Vec<Box<str>>,
    default_path: SearchPath,
    paths: Paths,
    edition: Option<Edition>,
    place: Option<Place>,
    /// Goes up whenever texts may mean something else than before.
    mark: u64,
    in_sql: InSql,
}

impl Texts {
    /// For a session that starts under this path, as this role.
    pub(super) fn new(cell: Arc<CatalogCell>, path: SearchPath, role: &str) -> Texts {
        Texts {
            cell,
            role: role.to_owned(),
            others: Vec::new(),
            default_path: path.clone(),
            paths: Paths::new(path),
            edition: None,
            place: None,
            mark: 0,
            in_sql: InSql::default(),
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

    /// What a text does. What it names in SQL may have been made `elsewhere`.
    pub(super) fn read(&mut self, text: &str, elsewhere: &Elsewhere<'_>) -> Reading {
        self.settle();
        let mut reading = self.look(text, self.place.as_ref());
        let unsettled = !self.paths.is_settled();
        let around =
            if unsettled && ends_within(&reading) { self.place_of(self.paths.possible_afterwards()) } else { None };
        if around.is_some() {
            reading = self.look(text, around.as_ref());
        }
        if reading.names.iter().any(|name| matches!(name, SqlName::Executes { .. } | SqlName::Fetches { .. })) {
            self.follow(&mut reading, around.as_ref().or(self.place.as_ref()), elsewhere);
        }
        if reading.statements.iter().any(|statement| statement.code == Some(Code::UnknownName)) {
            self.cell.nudge();
        }
        reading
    }

    /// A prepared statement as it would be read now.
    pub(super) fn again(&mut self, prepared: Arc<Prepared>, elsewhere: &Elsewhere<'_>) -> Arc<Prepared> {
        let same = prepared.mark == self.mark() && prepared.reading.names.is_empty();
        if same || prepared.mark == Prepared::FIXED {
            return prepared;
        }
        let reading = self.read(&prepared.text, elsewhere);
        let reading = self.declared(reading, &prepared.types);
        let (text, types) = (Arc::clone(&prepared.text), prepared.types.clone());
        Arc::new(Prepared { text, types, reading, mark: self.mark() })
    }

    /// What a Bind of a name binds: what the protocol has prepared, or what SQL has, or either, where it is not known
    /// which one is left.
    pub(super) fn bound(
        &mut self,
        name: &[u8],
        prepared: Option<Arc<Prepared>>,
        elsewhere: &Elsewhere<'_>,
    ) -> Arc<Prepared> {
        let name = String::from_utf8_lossy(name);
        self.settle();
        match prepared {
            Some(prepared) if self.in_sql.of(&name).is_empty() => self.again(prepared, elsewhere),
            prepared => {
                let mut statement = Statement::new(Effect::Read, "EXECUTE");
                let texts = self.in_sql.of(&name);
                let text = match (texts, &prepared) {
                    ([only], None) => Arc::clone(only),
                    _ => Arc::from(format!("<prepared statement `{name}`>")),
                };
                let readings = self.readings(texts, prepared.as_deref(), self.place.as_ref());
                run(&mut statement, &name, &readings);
                Prepared::fixed(text, Arc::from([statement]))
            }
        }
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
        self.settle();
        self.mark
    }

    fn look(&self, text: &str, place: Option<&Place>) -> Reading {
        match (&self.edition, place) {
            (Some(edition), Some(place)) if self.cell.current().is_some() => edition.classifier.read(text, place),
            (Some(_), None) => {
                let because = "more search paths may be in force than can be followed: connect again";
                Reading::refused(Code::Ambiguous, because.to_owned())
            }
            _ => Reading::refused(Code::NotReady, "the target's catalog could not be read for too long".to_owned()),
        }
    }

    /// The place from which texts are read, after something has changed.
    fn settle(&mut self) {
        if self.place.is_none() {
            self.mark += 1;
            self.place = self.place_of(self.paths.possible());
        }
    }

    fn place_of(&self, paths: Option<Vec<SearchPath>>) -> Option<Place> {
        let edition = self.edition.as_ref()?;
        Some(edition.classifier.place(self.under_roles(paths?)?, Some(self.default_path.clone()), &self.role))
    }

    /// The paths as they are under each role that the session has acted as: which one is in force is not followed. A role
    /// counts where a schema has its name.
    fn under_roles(&self, mut paths: Vec<SearchPath>) -> Option<Vec<SearchPath>> {
        if self.others.is_empty() {
            return Some(paths);
        }
        let catalog = self.edition.as_ref()?.classifier.catalog();
        let is_schema = |role: &&str| catalog.is_none_or(|catalog| catalog.has_schema(role));
        let roles: Vec<&str> = self.others.iter().map(|role| &**role).filter(is_schema).chain([""]).collect();
        let more: Vec<SearchPath> =
            paths.iter().flat_map(|path| roles.iter().filter_map(|role| path.under(role))).collect();
        for path in more {
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
        (roles.len() <= ROLES_WITH_SCHEMA && self.others.len() < ROLES).then_some(paths)
    }

    /// The session acts as these from now on, or may.
    fn note_roles(&mut self, names: &[SqlName]) {
        for name in names {
            let SqlName::ActsAs { role } = name else { continue };
            let known = **role == *self.role || self.others.iter().any(|known| **known == **role);
            if !known && self.others.len() < ROLES {
                self.others.push(Box::from(&**role));
                self.place = None;
            }
        }
    }

    /// What EXECUTE and FETCH run is part of the statement.
    fn follow(&self, reading: &mut Reading, place: Option<&Place>, elsewhere: &Elsewhere<'_>) {
        let mut statements = reading.statements.to_vec();
        let mut here = InSql::default();
        here.prepared(&reading.names);
        let (mut known, mut taken_over) = (HashMap::new(), 0);
        for name in reading.names.iter() {
            let (SqlName::Executes { statement, .. } | SqlName::Fetches { statement, .. }) = name else { continue };
            let Some(outer) = statements.get_mut(*statement) else { continue };
            if taken_over > TAKEN_OVER {
                refuse(outer, Code::TooLarge, "the message runs too many statements by their names");
                continue;
            }
            match name {
                SqlName::Executes { name, .. } => {
                    let readings = known.entry(name).or_insert_with(|| {
                        let texts = [self.in_sql.of(name), here.of(name)].concat();
                        let prepared = elsewhere.statement(name.as_bytes());
                        self.readings(&texts, prepared.as_deref(), place)
                    });
                    run(outer, name, readings);
                    if !matches!(reading.path, PathChange::None | PathChange::Back) {
                        refuse(outer, Code::Ambiguous, "the same message sets search_path: send them one by one");
                    }
                }
                SqlName::Fetches { name, .. } => {
                    if let Some(portal) = elsewhere.portal(name.as_bytes()) {
                        run_portal(outer, &portal.prepared.reading);
                    }
                }
                SqlName::Prepares { .. }
                | SqlName::Declares { .. }
                | SqlName::Deallocates { .. }
                | SqlName::Shows { .. }
                | SqlName::ActsAs { .. } => {}
            }
            taken_over += 1 + outer.accesses.len() + outer.relations.len();
        }
        reading.statements = statements.into();
    }

    fn readings(&self, texts: &[Arc<str>], prepared: Option<&Prepared>, place: Option<&Place>) -> Vec<Reading> {
        let made = texts.iter().map(|text| self.look(text, place));
        made.chain(prepared.map(|prepared| self.declared(self.look(&prepared.text, place), &prepared.types))).collect()
    }

    /// A message was sent to the target.
    pub(super) fn sent(&mut self, reading: &Reading) {
        self.in_sql.prepared(&reading.names);
        self.note_roles(&reading.names);
        if !matches!(reading.path, PathChange::None) {
            self.paths.sent(&reading.path);
            self.place = None;
        }
    }

    /// It was answered, with nothing behind it under way where it is `alone`.
    pub(super) fn answered(&mut self, running: &Running, alone: bool) {
        if alone && let Some(ended) = &running.ended {
            self.forget(running, *ended);
        }
        if !matches!(running.reading.path, PathChange::None) {
            self.paths.answered(&running.reading.path, running.sqlstate.is_some(), running.ended);
            self.place = None;
        }
    }

    /// It was skipped.
    pub(super) fn skipped(&mut self, running: &Running) {
        if !matches!(running.reading.path, PathChange::None) {
            self.paths.answered(&running.reading.path, true, None);
            self.place = None;
        }
    }

    fn forget(&mut self, running: &Running, ended: Ended) {
        match ended {
            Ended::AllPrepared | Ended::Everything => self.in_sql = InSql::default(),
            Ended::OnePrepared => {
                for name in running.reading.names.iter() {
                    if let SqlName::Deallocates { name } = name {
                        self.in_sql.deallocated(name);
                    }
                }
            }
            Ended::Committed | Ended::RolledBack => {}
        }
    }

    /// The target is ready; a transaction block is open or not. `whole` where none was before either, and all went well.
    pub(super) fn ready(&mut self, in_block: bool, whole: bool) {
        if !self.paths.is_settled() {
            self.place = None;
        }
        self.paths.ready(in_block, whole);
    }

    /// Whether what the message prepares in SQL has room.
    pub(super) fn is_full(&self, reading: &Reading) -> bool {
        !self.in_sql.has_room_for(&reading.names)
    }
}

/// Whether a message may end a transaction before its last statement is read.
fn ends_within(reading: &Reading) -> bool {
    reading.statements.len() > 1 && matches!(reading.path, PathChange::Back | PathChange::Among(_))
}
