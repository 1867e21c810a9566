//! Names that can be seen from a place in a query: what stands in FROM, and common table expressions.

use super::value::{Column, Value};
use crate::catalog::rows::{ColumnRow, RelationRow};
use pg_query::protobuf::CommonTableExpr;
use std::rc::Rc;

/// One level of a query: what its own expressions see before they look further out.
#[derive(Default)]
pub(super) struct Scope<'a> {
    pub(super) sources: Vec<Source<'a>>,
    /// How the sources stand in FROM, which is the order of `*`.
    pub(super) items: Vec<Item<'a>>,
    /// Inside a FROM item that cannot see its neighbours.
    pub(super) hidden: bool,
    pub(super) tables: Vec<CommonTable<'a>>,
}

/// A common table expression.
pub(super) struct CommonTable<'a> {
    pub(super) name: &'a str,
    pub(super) state: State<'a>,
}

/// How far it has been read.
#[derive(Clone)]
pub(super) enum State<'a> {
    Unread(&'a CommonTableExpr),
    /// Being read: what refers to it now is part of itself, and sees its first arm where that has been read.
    Reading(Option<Rc<Rows<'a>>>),
    Read(Rc<Rows<'a>>),
}

/// The columns of a result.
#[derive(Debug, Clone, Default)]
pub(super) struct Rows<'a> {
    pub(super) columns: Vec<Column<'a>>,
    /// There may be more columns than these, which do not come from a table.
    pub(super) open: bool,
}

impl Rows<'_> {
    /// What they are to whatever reads them: literals have become something.
    pub(super) fn settle(&mut self) {
        for column in &mut self.columns {
            column.value.kind = column.value.kind.settled();
        }
    }

    /// The column of this name. Where several have it, all of them.
    pub(super) fn called(&self, name: &str) -> Option<Value> {
        let mut named = self.columns.iter().filter(|column| column.name == Some(name));
        let first = named.next()?.value.clone();
        Some(named.fold(first, |all, one| all.and(&one.value)))
    }

    pub(super) fn names(&self, name: &str) -> bool {
        self.columns.iter().any(|column| column.name == Some(name))
    }

    /// Whether one of the columns may go by any name.
    pub(super) fn has_unknown_names(&self) -> bool {
        self.columns.iter().any(|column| column.name.is_none())
    }
}

/// Something in FROM with a name of its own.
pub(super) struct Source<'a> {
    /// The alias, or the relation's name.
    pub(super) name: Option<&'a str>,
    /// The schema, where a relation has no alias: `schema.table.column` means it.
    pub(super) schema: Option<&'a str>,
    pub(super) kind: SourceKind<'a>,
}

pub(super) enum SourceKind<'a> {
    /// A relation; `uses` where it is not the database's own.
    Table { relation: &'a RelationRow, uses: Option<usize>, names: Vec<&'a str> },
    /// Anything else.
    Rows(Rc<Rows<'a>>),
}

/// How sources stand in FROM.
pub(super) enum Item<'a> {
    Source(usize),
    /// `vague` where more columns may be merged than those that are known to be.
    Join {
        left: Box<Item<'a>>,
        right: Box<Item<'a>>,
        merged: Vec<&'a str>,
        vague: bool,
    },
}

/// What a name gives in one source.
pub(super) enum Found {
    Value(Value),
    /// The source may have such a column.
    Maybe,
    No,
}

impl<'a> Source<'a> {
    /// The column of this name. Where several have it, all of them.
    pub(super) fn column(&self, name: &str) -> Found {
        match &self.kind {
            SourceKind::Table { relation, uses, names } => match stored(relation, names, name) {
                Some((place, column)) => Found::Value(Value::column(*uses, place, column.type_id)),
                None => Found::No,
            },
            SourceKind::Rows(rows) => match rows.called(name) {
                Some(value) => Found::Value(value),
                None if rows.open || rows.has_unknown_names() => Found::Maybe,
                None => Found::No,
            },
        }
    }

    /// Whether `name` stands for this column of this relation of `pg_catalog`.
    pub(super) fn is_catalog_column(&self, name: &str, relation_name: &str, column_name: &str) -> bool {
        match &self.kind {
            SourceKind::Table { relation, names, .. } => {
                let is_relation = relation.schema == "pg_catalog" && relation.name == relation_name;
                is_relation && stored(relation, names, name).is_some_and(|(_, column)| column.name == column_name)
            }
            SourceKind::Rows(_) => false,
        }
    }

    /// All columns, in order, and whether there may be more.
    pub(super) fn all(&self) -> (Vec<Column<'a>>, bool) {
        match &self.kind {
            SourceKind::Table { relation, uses, names } => {
                let columns = relation.columns.iter().enumerate().map(|(place, column)| Column {
                    name: Some(names.get(place).copied().unwrap_or(&column.name)),
                    value: Value::column(*uses, place, column.type_id),
                });
                (columns.collect(), false)
            }
            SourceKind::Rows(rows) => (rows.columns.clone(), rows.open),
        }
    }

    /// Whether this is what `name`, or `schema.name`, stands for.
    pub(super) fn is(&self, schema: Option<&str>, name: &str) -> bool {
        self.name == Some(name) && (schema.is_none() || self.schema == schema)
    }

    /// Whether it is a table, which has system columns too.
    pub(super) fn is_table(&self) -> bool {
        matches!(self.kind, SourceKind::Table { .. })
    }
}

/// The column of a relation that has this name where it stands in FROM, with its place.
fn stored<'a>(relation: &'a RelationRow, names: &[&str], name: &str) -> Option<(usize, &'a ColumnRow)> {
    let place = names.iter().position(|alias| *alias == name).or_else(|| {
        let mut beyond = relation.columns.iter().enumerate().skip(names.len());
        beyond.find(|(_, column)| column.name == name).map(|(place, _)| place)
    })?;
    Some((place, relation.columns.get(place)?))
}
