//! What bounds a request or a grant beyond resources and effects.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Functions, row filters and budgets.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Bounds {
    /// Functions that may be called beside the database's own harmless ones: `app.f`, `app.f(integer)`.
    #[schema(value_type = Vec<String>)]
    pub functions: Vec<belay_model::FunctionName>,
    /// Tables of which only some rows may be read.
    pub rows: Vec<RowFilter>,
    /// What may be used up while statements run.
    pub budgets: Budgets,
}

/// Only the rows of a table for which a predicate holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RowFilter {
    /// The table.
    #[schema(value_type = String)]
    pub table: belay_model::Resource,
    /// A boolean expression over its columns.
    pub predicate: String,
}

/// What statements may use up while they run; what is absent is not bounded by the grant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Budgets {
    /// Rows returned by one statement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Bytes returned by one statement, as they are on the wire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// How long one statement may run, e.g. `30s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub statement_time: Option<belay_model::Span>,
    /// How long a statement may wait for a lock, e.g. `2s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub lock_wait: Option<belay_model::Span>,
    /// Bytes of temporary files of one session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temporary_bytes: Option<u64>,
    /// Connections at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<u32>,
    /// Statements in any minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statements_per_minute: Option<u32>,
    /// Rows that one transaction may change at once under `direct`; what changes more is planned. 10,000 where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_rows: Option<u64>,
}

impl From<belay_model::Bounds> for Bounds {
    fn from(bounds: belay_model::Bounds) -> Bounds {
        let belay_model::Bounds { functions, rows, budgets } = bounds;
        let rows = rows.into_iter().map(|row| RowFilter { table: row.table, predicate: row.predicate }).collect();
        Bounds {
            functions,
            rows,
            budgets: Budgets {
                rows: budgets.rows,
                bytes: budgets.bytes,
                statement_time: budgets.statement_time,
                lock_wait: budgets.lock_wait,
                temporary_bytes: budgets.temporary_bytes,
                connections: budgets.connections,
                statements_per_minute: budgets.statements_per_minute,
                changed_rows: budgets.changed_rows,
            },
        }
    }
}

impl From<Bounds> for belay_model::Bounds {
    fn from(bounds: Bounds) -> belay_model::Bounds {
        let Bounds { functions, rows, budgets } = bounds;
        let filter = |row: RowFilter| belay_model::RowFilter { table: row.table, predicate: row.predicate };
        belay_model::Bounds {
            functions,
            rows: rows.into_iter().map(filter).collect(),
            budgets: belay_model::Budgets {
                rows: budgets.rows,
                bytes: budgets.bytes,
                statement_time: budgets.statement_time,
                lock_wait: budgets.lock_wait,
                temporary_bytes: budgets.temporary_bytes,
                connections: budgets.connections,
                statements_per_minute: budgets.statements_per_minute,
                changed_rows: budgets.changed_rows,
            },
        }
    }
}
