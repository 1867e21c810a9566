//! Reads the catalog of one database. Judges nothing and keeps nothing: `keep` does, and [`Catalog`](super::Catalog)
//! answers questions about it.
//!
//! One snapshot gives everything, the [`fingerprint`] too. Left out: temporary objects (those of other sessions cannot
//! be used, and which are the session's own is not in the catalog), what the database's own views read of its own
//! tables, CHECK constraints and indexes of tables, and estimators.

mod assemble;
mod fetch;
#[cfg(test)]
mod tests;

use super::rows::{CastRow, ColumnRow, FunctionRow, OperatorRow, RelationKind, RelationRow, Rows, TypeRow};
use assemble::{Parts, Use, Used, User};
use fetch::{Wanted, all};
use tokio_postgres::{Client, GenericClient, IsolationLevel, Row};

/// For one reading. Names in the queries cannot be caught by objects of others, and types are written the same way
/// whatever the control user's own settings.
const PINNED: &str = "SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL statement_timeout = '10s'; \
     SET LOCAL quote_all_identifiers = off; SET LOCAL max_parallel_workers_per_gather = 0";

const RELATIONS: Wanted = Wanted { what: "relations", limit: 100_000, sql: include_str!("read/relations.sql") };
const COLUMNS: Wanted = Wanted { what: "columns", limit: 1_000_000, sql: include_str!("read/columns.sql") };
const FUNCTIONS: Wanted = Wanted { what: "functions", limit: 200_000, sql: include_str!("read/functions.sql") };
const OPERATORS: Wanted = Wanted { what: "operators", limit: 100_000, sql: include_str!("read/operators.sql") };
const CASTS: Wanted = Wanted { what: "casts", limit: 100_000, sql: include_str!("read/casts.sql") };
/// Each table brings two: of its rows, and of arrays of them.
const TYPES: Wanted = Wanted { what: "types", limit: 300_000, sql: include_str!("read/types.sql") };
const USES: Wanted = Wanted { what: "dependencies", limit: 2_000_000, sql: include_str!("read/uses.sql") };
const TREES: Wanted = Wanted { what: "definitions", limit: 1_000_000, sql: include_str!("read/trees.sql") };
const FINGERPRINT: &str = include_str!("read/fingerprint.sql");

/// The catalog at one moment.
pub(crate) struct Reading {
    /// What it holds.
    pub(crate) rows: Rows,
    /// What [`fingerprint`] said at that moment.
    pub(crate) fingerprint: String,
}

/// Why the catalog cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The server or the connection said no.
    #[error(transparent)]
    Sql(#[from] tokio_postgres::Error),
    /// More than can be kept.
    #[error("the catalog has more than {limit} {what}")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How many can be kept.
        limit: usize,
    },
    /// An answer that no server gives.
    #[error("the catalog holds {0}")]
    Strange(&'static str),
    /// The gateway is going down.
    #[error("the gateway is stopping")]
    Stopping,
}

/// A text that changes when the catalog does. Costs one round trip, and the server a scan of its catalog.
pub(crate) async fn fingerprint(client: &impl GenericClient) -> Result<String, ReadError> {
    let row = client.query_typed_opt(FINGERPRINT, &[]).await?.ok_or(ReadError::Strange("no fingerprint"))?;
    Ok(row.try_get(0)?)
}

/// Everything, as of one moment.
pub(crate) async fn read(client: &mut Client) -> Result<Reading, ReadError> {
    let builder = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    let transaction = builder.start().await?;
    transaction.batch_execute(PINNED).await?;
    let (fingerprint, relations, columns, functions, operators, casts, types, mut uses, trees) = tokio::try_join!(
        fingerprint(&transaction),
        all(&transaction, &RELATIONS, relation),
        all(&transaction, &COLUMNS, column),
        all(&transaction, &FUNCTIONS, function),
        all(&transaction, &OPERATORS, operator),
        all(&transaction, &CASTS, cast),
        all(&transaction, &TYPES, kind_of_value),
        all(&transaction, &USES, dependency),
        all(&transaction, &TREES, dependency),
    )?;
    transaction.commit().await?;
    uses.extend(trees);
    let parts = Parts { relations, columns, functions, operators, casts, types, uses };
    let rows = tokio::task::spawn_blocking(move || parts.assemble()).await.map_err(|_| ReadError::Stopping)?;
    Ok(Reading { rows, fingerprint })
}

fn relation(row: &Row) -> Result<RelationRow, ReadError> {
    let kind = match letter(row, 3)? {
        'r' => RelationKind::Table,
        'p' => RelationKind::Partitioned,
        'v' => RelationKind::View,
        'm' => RelationKind::MaterializedView,
        'f' => RelationKind::Foreign,
        'S' => RelationKind::Sequence,
        't' => RelationKind::Toast,
        'i' | 'I' | 'c' => RelationKind::Other,
        _ => return Err(ReadError::Strange("a relation of an unknown kind")),
    };
    Ok(RelationRow {
        id: row.try_get(0)?,
        schema: row.try_get(1)?,
        name: row.try_get(2)?,
        kind,
        columns: Vec::new(),
        reads: Vec::new(),
        calls: Vec::new(),
        children: Vec::new(),
        parts: Vec::new(),
    })
}

fn column(row: &Row) -> Result<(u32, ColumnRow), ReadError> {
    let column = ColumnRow { number: row.try_get(1)?, name: row.try_get(2)?, type_id: row.try_get(3)? };
    Ok((row.try_get(0)?, column))
}

fn function(row: &Row) -> Result<FunctionRow, ReadError> {
    Ok(FunctionRow {
        id: row.try_get(0)?,
        schema: row.try_get(1)?,
        name: row.try_get(2)?,
        arguments: row.try_get(3)?,
        argument_names: Vec::new(),
        defaults: u16::try_from(row.try_get::<_, i16>(4)?)
            .map_err(|_| ReadError::Strange("a function with fewer than no defaults"))?,
        variadic: row.try_get(5)?,
        returns: row.try_get(6)?,
        procedure: row.try_get(7)?,
        volatile: row.try_get(8)?,
        definer: row.try_get(9)?,
        native: row.try_get(10)?,
        outward: row.try_get(11)?,
        extension: row.try_get(12)?,
        owner: row.try_get(13)?,
    })
}

fn operator(row: &Row) -> Result<OperatorRow, ReadError> {
    Ok(OperatorRow {
        id: row.try_get(0)?,
        schema: row.try_get(1)?,
        name: row.try_get(2)?,
        left: row.try_get(3)?,
        right: row.try_get(4)?,
        result: row.try_get(5)?,
        function: row.try_get(6)?,
    })
}

fn cast(row: &Row) -> Result<CastRow, ReadError> {
    Ok(CastRow {
        source: row.try_get(0)?,
        target: row.try_get(1)?,
        function: row.try_get(2)?,
        implicit: row.try_get(3)?,
    })
}

/// With its name as `format_type` writes it.
fn kind_of_value(row: &Row) -> Result<(TypeRow, String), ReadError> {
    let kind = TypeRow {
        id: row.try_get(0)?,
        schema: row.try_get(1)?,
        name: row.try_get(2)?,
        category: letter(row, 3)?,
        element: row.try_get(4)?,
        base: row.try_get(5)?,
        relation: row.try_get(6)?,
        calls: Vec::new(),
    };
    Ok((kind, row.try_get(7)?))
}

fn dependency(row: &Row) -> Result<Use, ReadError> {
    let user = match row.try_get(0)? {
        "view" => User::View,
        "policy" => User::Policy,
        "generated" => User::Generated,
        "type" => User::Type,
        "function" => User::Function,
        "aggregate" => User::Aggregate,
        "parent" => User::Parent,
        "partitioned" => User::Partitioned,
        _ => return Err(ReadError::Strange("a definition of an unknown kind")),
    };
    Ok(Use { user, id: row.try_get(1)?, used: used(row)? })
}

fn used(row: &Row) -> Result<Used, ReadError> {
    let object = row.try_get(3)?;
    match row.try_get(2)? {
        "relation" => {
            let column = row.try_get::<_, i32>(4)?;
            let column = i16::try_from(column).map_err(|_| ReadError::Strange("a column far out"))?;
            Ok(Used::Relation(object, column))
        }
        "function" => Ok(Used::Function(object)),
        "type" => Ok(Used::Type(object)),
        "whole" => Ok(Used::WholeRow),
        _ => Err(ReadError::Strange("a dependency of an unknown kind")),
    }
}

fn letter(row: &Row, index: usize) -> Result<char, ReadError> {
    Ok(char::from(row.try_get::<_, i8>(index)?.cast_unsigned()))
}
