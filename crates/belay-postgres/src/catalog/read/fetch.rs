//! Answers of any length, taken in pieces. Knows nothing of what is in them.

use super::ReadError;
use tokio_postgres::{Row, Transaction};

/// Rows at once: what lies in memory besides what is kept of it.
const PIECE: i32 = 5_000;

/// One question, and how many rows are let in.
pub(super) struct Wanted {
    pub(super) what: &'static str,
    pub(super) limit: usize,
    pub(super) sql: &'static str,
}

/// All rows of the answer, each as `take` reads it; an error past the limit.
pub(super) async fn all<T>(
    transaction: &Transaction<'_>,
    wanted: &Wanted,
    take: impl Fn(&Row) -> Result<T, ReadError>,
) -> Result<Vec<T>, ReadError> {
    let statement = transaction.prepare(wanted.sql).await?;
    let portal = transaction.bind(&statement, &[]).await?;
    let mut kept = Vec::new();
    loop {
        let rows = transaction.query_portal(&portal, PIECE).await?;
        if rows.is_empty() {
            return Ok(kept);
        }
        if kept.len() + rows.len() > wanted.limit {
            return Err(ReadError::TooMuch { what: wanted.what, limit: wanted.limit });
        }
        for row in &rows {
            kept.push(take(row)?);
        }
    }
}
