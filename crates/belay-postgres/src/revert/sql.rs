//! Pieces of SQL, and small answers.

use super::{How, RevertError};
use std::time::Duration;
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

/// The settings under which rows have exactly one text, and under which that text means exactly one row.
pub(super) fn pinned(how: &How) -> String {
    format!(
        "SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL client_encoding = 'UTF8';
        SET LOCAL extra_float_digits = 3; SET LOCAL DateStyle = 'ISO, YMD'; SET LOCAL lc_monetary = 'C';
        SET LOCAL IntervalStyle = 'postgres'; SET LOCAL bytea_output = 'hex'; SET LOCAL TimeZone = 'UTC';
        SET LOCAL xmloption = 'content'; SET LOCAL array_nulls = on; SET LOCAL standard_conforming_strings = on;
        SET LOCAL transform_null_equals = off; SET LOCAL row_security = off; SET LOCAL jit = off;
        SET LOCAL work_mem = '64MB'; SET LOCAL default_statistics_target = 1; SET LOCAL default_table_access_method = 'heap';
        SET LOCAL lock_timeout = {}; SET LOCAL statement_timeout = {};
        SET LOCAL idle_in_transaction_session_timeout = {}",
        milliseconds(how.lock_timeout),
        milliseconds(how.statement_timeout),
        // Between two statements images are read from the disk, which takes its time.
        milliseconds(how.statement_timeout),
    )
}

/// Zero would lift the limit.
fn milliseconds(limit: Duration) -> i32 {
    i32::try_from(limit.as_millis()).unwrap_or(i32::MAX).max(1)
}

/// The row of `value` as its image, whatever casts there are.
pub(super) fn image(value: &str) -> String {
    format!("pg_catalog.textin(pg_catalog.record_out({value}))")
}

/// A name, quoted.
pub(super) fn name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A string, quoted.
pub(super) fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Numbers of relations as an array.
pub(super) fn oids(oids: impl IntoIterator<Item = u32>) -> String {
    let oids: Vec<String> = oids.into_iter().map(|oid| oid.to_string()).collect();
    format!("'{{{}}}'::pg_catalog.oid[]", oids.join(","))
}

/// The rows of a small answer.
pub(super) async fn rows(in_target: &Client, sql: &str) -> Result<Vec<SimpleQueryRow>, RevertError> {
    let messages = in_target.simple_query(sql).await?;
    let row = |message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    };
    Ok(messages.into_iter().filter_map(row).collect())
}

/// The one number that `sql` asks for.
pub(super) async fn number(in_target: &Client, sql: &str) -> Result<u64, RevertError> {
    let rows = rows(in_target, sql).await?;
    let number = rows.first().and_then(|row| row.get(0)).and_then(|number| number.parse().ok());
    number.ok_or(RevertError::Unexpected("no number"))
}

/// A field that is never NULL.
pub(super) fn field(row: &SimpleQueryRow, at: usize) -> Result<&str, RevertError> {
    row.get(at).ok_or(RevertError::Unexpected("NULL"))
}

/// A field that is a number.
pub(super) fn parsed<T: std::str::FromStr>(row: &SimpleQueryRow, at: usize) -> Result<T, RevertError> {
    field(row, at)?.parse().map_err(|_| RevertError::Unexpected("no number"))
}

/// A field that is true or false.
pub(super) fn flag(row: &SimpleQueryRow, at: usize) -> Result<bool, RevertError> {
    Ok(field(row, at)? == "t")
}
