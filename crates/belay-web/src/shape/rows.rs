//! The rows that a write changes.

use super::{Head, word};
use belay_change::{RowChange, Summary, TableSummary};
use belay_engine::Conflict;
use belay_server::desk::{ChangeView, PlanView};
use belay_server::vault::{PageOf, Shown, Text};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The rows of a plan or a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rows {
    /// What it is.
    #[serde(flatten)]
    pub head: Head,
    /// The plan or the change.
    pub of: String,
    /// By table.
    pub tables: Vec<RowsOfTable>,
    /// What is run.
    pub statements: Vec<Statement>,
}

/// Every row of a plan or a change, a page at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PageOfRows {
    /// What it is.
    #[serde(flatten)]
    pub head: Head,
    /// The plan or the change.
    pub of: String,
    /// Its tables.
    pub tables: Vec<TableOfRows>,
    /// The rows, in the order in which they were taken.
    pub rows: Vec<RowOfTable>,
    /// The number of the row with which the next page begins; absent on the last page.
    pub next: Option<u64>,
}

/// A table whose rows change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TableOfRows {
    /// The table, with its schema.
    pub table: String,
    /// Its columns; values stand in this order.
    pub columns: Vec<String>,
    /// The columns of its key.
    pub key: Vec<String>,
    /// No statement names the table.
    pub indirect: bool,
}

/// One row, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RowOfTable {
    /// The place of its table in `tables`, from 0.
    pub table: usize,
    /// The row.
    #[serde(flatten)]
    pub row: ChangedRow,
}

/// The rows of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RowsOfTable {
    /// The table, with its schema.
    pub table: String,
    /// Its columns; values stand in this order.
    pub columns: Vec<String>,
    /// The columns of its key.
    pub key: Vec<String>,
    /// Rows that come.
    pub inserted: u64,
    /// Rows that get another content.
    pub updated: u64,
    /// Rows that go.
    pub deleted: u64,
    /// No statement names the table.
    pub indirect: bool,
    /// Columns whose values are decided when the change is applied.
    pub volatile: Vec<String>,
    /// The first rows, or all.
    pub first: Vec<ChangedRow>,
    /// How many rows behind the first ones are not here.
    pub left_out: u64,
    /// The last rows, where not all are here.
    pub last: Vec<ChangedRow>,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangedRow {
    /// `inserted`, `updated`, `deleted`.
    pub operation: String,
    /// As it was, value by value; absent where it was not there.
    pub before: Option<Vec<Option<String>>>,
    /// As it is after; absent where it is not there.
    pub after: Option<Vec<Option<String>>>,
    /// How often: more than once only where no key tells equal rows apart.
    pub times: u64,
}

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Statement {
    /// Its text.
    pub sql: String,
    /// Its parameters.
    pub parameters: Vec<Option<String>>,
}

/// A row that is no longer as the change left it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RowConflict {
    /// The table, with its schema.
    pub table: String,
    /// The values of its key.
    pub key: Vec<String>,
    /// `changed`, `gone`, `taken`, `referenced`, `orphaned`.
    pub why: String,
    /// The row before the change.
    pub before: Option<String>,
    /// The row as the change left it.
    pub left: Option<String>,
    /// The row as it is now.
    pub now: Option<String>,
}

impl Rows {
    pub(crate) fn of_plan(shown: Shown<PlanView>) -> Rows {
        Rows::new(shown.of.plan.id.to_string(), shown.rows, shown.texts)
    }

    pub(crate) fn of_change(shown: Shown<ChangeView>) -> Rows {
        Rows::new(shown.of.change.id.to_string(), shown.rows, shown.texts)
    }

    pub(super) fn new(of: String, rows: Summary, texts: Vec<Text>) -> Rows {
        let statement = |text: Text| Statement { sql: text.sql, parameters: text.parameters };
        Rows {
            head: Head::of("rows"),
            of,
            tables: rows.tables.into_iter().map(RowsOfTable::from).collect(),
            statements: texts.into_iter().map(statement).collect(),
        }
    }
}

impl From<PageOf> for PageOfRows {
    fn from(page: PageOf) -> PageOfRows {
        let table = |change: &belay_change::TableChange| TableOfRows {
            table: format!("{}.{}", change.table.schema, change.table.name),
            columns: change.table.columns.iter().map(|column| column.name.clone()).collect(),
            key: names(&change.table, &change.table.key),
            indirect: change.indirect,
        };
        let row = |(table, change)| RowOfTable { table, row: ChangedRow::from(change) };
        PageOfRows {
            head: Head::of("page_of_rows"),
            of: page.of,
            tables: page.set.tables.iter().map(table).collect(),
            rows: page.page.rows.into_iter().map(row).collect(),
            next: page.page.next,
        }
    }
}

impl From<TableSummary> for RowsOfTable {
    fn from(summary: TableSummary) -> RowsOfTable {
        let table = &summary.table;
        RowsOfTable {
            table: format!("{}.{}", table.schema, table.name),
            columns: table.columns.iter().map(|column| column.name.clone()).collect(),
            key: names(table, &table.key),
            inserted: summary.inserted,
            updated: summary.updated,
            deleted: summary.deleted,
            indirect: summary.indirect,
            volatile: names(table, &summary.volatile),
            left_out: summary.left_out,
            first: summary.first.into_iter().map(ChangedRow::from).collect(),
            last: summary.last.into_iter().map(ChangedRow::from).collect(),
        }
    }
}

impl From<RowChange> for ChangedRow {
    fn from(change: RowChange) -> ChangedRow {
        let row = |operation: &str, before, after, times| {
            let operation = operation.to_owned();
            ChangedRow { operation, before, after, times }
        };
        match change {
            RowChange::Inserted { new, times } => row("inserted", None, Some(new), times),
            RowChange::Updated { old, new, .. } => row("updated", Some(old), Some(new), 1),
            RowChange::Deleted { old, times } => row("deleted", Some(old), None, times),
        }
    }
}

impl From<Conflict> for RowConflict {
    fn from(conflict: Conflict) -> RowConflict {
        RowConflict {
            table: conflict.table,
            key: conflict.key,
            why: word(conflict.why),
            before: conflict.before,
            left: conflict.left,
            now: conflict.now,
        }
    }
}

/// The columns at these places.
pub(super) fn names(table: &belay_change::Table, places: &[u16]) -> Vec<String> {
    places.iter().filter_map(|at| Some(table.columns.get(usize::from(*at))?.name.clone())).collect()
}
