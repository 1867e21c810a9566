//! References to columns and whole rows.

use super::scope::{Found, Source};
use super::value::{Column, Kind, Value};
use super::{Walk, word, words};
use crate::classify::{uses, withheld};
use pg_query::NodeEnum;
use pg_query::protobuf::{ColumnRef, Node};

/// Columns that every table has.
const SYSTEM: [&str; 6] = ["ctid", "xmin", "cmin", "xmax", "cmax", "tableoid"];

impl<'a> Walk<'a> {
    /// A column, or all of a row where the reference means that. A star is all of them, made into one value.
    pub(super) fn column_ref(&mut self, reference: &'a ColumnRef) -> Value {
        let ColumnRef { fields, location: _ } = reference;
        if let Some((NodeEnum::AStar(_), before)) = ends_in_star(fields) {
            let (columns, _) = self.star(before);
            for column in &columns {
                self.compute(&column.value);
            }
            return Value::default();
        }
        match words(fields).as_deref() {
            Some([name]) => self.plain_name(name),
            Some([source, name]) => self.qualified(None, source, name),
            Some([schema, source, name] | [_, schema, source, name]) => self.qualified(Some(*schema), source, name),
            _ => {
                self.not_understood();
                Value::default()
            }
        }
    }

    /// A column whose name stands alone: of the innermost query that has it.
    fn plain_name(&mut self, name: &str) -> Value {
        let (found, maybe) = self.look_for(name);
        if let Some(value) = found {
            self.note(&value);
            if maybe {
                // A nearer source may have such a column itself: then this is another one.
                self.compute(&value);
                return Value::default();
            }
            return value;
        }
        if let Some(columns) = self.row_of(name) {
            self.note_and_compute(&columns);
            return Value::default();
        }
        let system = SYSTEM.contains(&name) && self.visible().any(Source::is_table);
        if !maybe && !system && self.context.catalog.is_some() {
            self.unknown_name("column", name);
        }
        Value::default()
    }

    /// What the sources in sight have under this name, and whether one nearer than that may have it unsaid.
    fn look_for(&self, name: &str) -> (Option<Value>, bool) {
        let mut maybe = false;
        for scope in self.scopes.iter().rev().filter(|scope| !scope.hidden) {
            let (mut found, mut unsure): (Option<Value>, bool) = (None, false);
            for source in &scope.sources {
                match source.column(name) {
                    Found::Value(value) => {
                        found = Some(match found {
                            Some(other) => other.and(&value),
                            None => value,
                        });
                    }
                    Found::Maybe => unsure = true,
                    Found::No => {}
                }
            }
            // Two sources of one query that have it are an error.
            if found.is_some() {
                return (found, maybe);
            }
            maybe |= unsure;
        }
        (None, maybe)
    }

    /// A column of the source that is called so.
    fn qualified(&mut self, schema: Option<&str>, source: &str, name: &str) -> Value {
        let Some(source_found) = self.source(schema, source) else {
            if self.context.catalog.is_some() {
                self.unknown_name("table or alias", source);
            }
            return Value::default();
        };
        let (found, table) = (source_found.column(name), source_found.is_table());
        match &found {
            Found::Value(value) => {
                self.note(value);
                value.clone()
            }
            Found::No if table && SYSTEM.contains(&name) => Value::default(),
            // Without such a column, `row.name` calls a function with the row.
            Found::Maybe | Found::No => {
                let row = source_found.all().0;
                if self.called_with_row(name) {
                    self.note_and_compute(&row);
                } else if matches!(found, Found::No) {
                    self.unknown_name("column", &format!("{source}.{name}"));
                }
                Value::default()
            }
        }
    }

    fn note_and_compute(&mut self, columns: &[Column<'a>]) {
        for column in columns {
            self.note(&column.value);
            self.compute(&column.value);
        }
    }

    /// What is a keyword to one server may be a name to an older one, if anything in sight is called so.
    pub(super) fn may_name(&mut self, name: &str) {
        if let (Some(value), _) = self.look_for(name) {
            self.note(&value);
            self.compute(&value);
        } else if let Some(columns) = self.row_of(name) {
            self.note_and_compute(&columns);
        }
    }

    /// The column of this name, where this is the row of a source in sight that has one.
    pub(super) fn column_of_row(&self, row: &Node, name: &str) -> Option<Value> {
        let Some(NodeEnum::ColumnRef(reference)) = &row.node else { return None };
        let (fields, starred) = match ends_in_star(&reference.fields) {
            Some((_, before)) => (before, true),
            None => (reference.fields.as_slice(), false),
        };
        let &[source] = words(fields)?.as_slice() else { return None };
        // A column comes before a row of the same name.
        let is_row = starred || matches!(self.look_for(source), (None, false));
        match self.source(None, source).filter(|_| is_row)?.column(name) {
            Found::Value(value) => Some(value),
            Found::Maybe | Found::No => None,
        }
    }

    /// Whether a reference can only mean this column of this relation of `pg_catalog`.
    pub(super) fn is_catalog_column(&self, reference: &Node, relation: &str, column: &str) -> bool {
        let Some(NodeEnum::ColumnRef(reference)) = &reference.node else { return false };
        let Some(words) = words(&reference.fields) else { return false };
        let (source, name) = match words[..] {
            [name] => (self.only_source_with(name), name),
            [source, name] => (self.source(None, source), name),
            [schema, source, name] => (self.source(Some(schema), source), name),
            _ => return false,
        };
        source.is_some_and(|source| source.is_catalog_column(name, relation, column))
    }

    /// The source of the innermost query that has a column of this name, where no other may have it.
    fn only_source_with(&self, name: &str) -> Option<&Source<'a>> {
        let mut scopes = self.scopes.iter().rev().filter(|scope| !scope.hidden);
        scopes.find_map(|scope| {
            let mut having = scope.sources.iter().filter(|source| !matches!(source.column(name), Found::No));
            having.next().map(|first| having.next().is_none().then_some(first))
        })?
    }

    /// The columns that a star stands for, by the words before it, and whether there may be more.
    pub(super) fn star(&mut self, before: &'a [Node]) -> (Vec<Column<'a>>, bool) {
        let (columns, open) = match words(before).as_deref() {
            Some([]) => self.everything(),
            Some([source]) => self.all_of_source(None, source),
            Some([schema, source] | [_, schema, source]) => self.all_of_source(Some(*schema), source),
            _ => {
                self.not_understood();
                (Vec::new(), true)
            }
        };
        for column in &columns {
            self.note(&column.value);
        }
        (columns, open)
    }

    fn all_of_source(&mut self, schema: Option<&str>, name: &str) -> (Vec<Column<'a>>, bool) {
        if let Some(source) = self.source(schema, name) {
            return source.all();
        }
        if self.context.catalog.is_some() {
            self.unknown_name("table or alias", name);
        }
        (Vec::new(), true)
    }

    /// The row of a source whose name stands alone.
    fn row_of(&self, name: &str) -> Option<Vec<Column<'a>>> {
        self.source(None, name).map(|source| source.all().0)
    }

    fn source(&self, schema: Option<&str>, name: &str) -> Option<&Source<'a>> {
        let mut scopes = self.scopes.iter().rev().filter(|scope| !scope.hidden);
        scopes.find_map(|scope| scope.sources.iter().find(|source| source.is(schema, name)))
    }

    fn visible(&self) -> impl Iterator<Item = &Source<'a>> {
        self.scopes.iter().filter(|scope| !scope.hidden).flat_map(|scope| &scope.sources)
    }

    /// Whether a source of the query at hand has such a column.
    pub(super) fn is_input(&self, name: &str) -> bool {
        let sources = self.scopes.last().into_iter().flat_map(|scope| &scope.sources);
        sources.into_iter().any(|source| !matches!(source.column(name), Found::No))
    }

    /// Notes that a column is named, and what its type may call.
    pub(super) fn note(&mut self, value: &Value) {
        for origin in value.origins() {
            self.uses.take(origin.uses, origin.column);
        }
        if let Kind::Of(type_id) = value.kind {
            self.touch_type(type_id);
        }
    }

    /// A relation as it stands in FROM, by the catalog.
    pub(super) fn note_relation(
        &mut self,
        relation: &'a crate::catalog::rows::RelationRow,
        inherited: bool,
    ) -> Option<usize> {
        if uses::is_own(relation) && withheld::secret(relation).is_none() {
            return None;
        }
        let via = self.via(relation);
        Some(self.uses.relation(relation, via, inherited))
    }
}

/// Whether the last part of a reference is a star, with the parts before it.
pub(super) fn ends_in_star(fields: &[Node]) -> Option<(&NodeEnum, &[Node])> {
    let (last, before) = fields.split_last()?;
    match &last.node {
        Some(star @ NodeEnum::AStar(_)) => Some((star, before)),
        _ => None,
    }
}

/// The names in an alias's list.
pub(super) fn names(nodes: &[Node]) -> Vec<&str> {
    nodes.iter().filter_map(word).collect()
}
