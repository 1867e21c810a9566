//! The revert's own change set.

use super::RevertError;
use super::catalog::Restored;
use super::sql;
use belay_change::{ChangeSet, Means, Side, Sink, TableChange, Tally};
use futures_util::TryStreamExt as _;
use std::io;
use tokio_postgres::{Client, SimpleQueryMessage};

/// What was done, with the sides swapped. Its images go to `sink`.
pub(super) async fn inverse(
    in_target: &Client,
    what: &ChangeSet,
    restored: &[Restored],
    sink: &mut dyn Sink,
) -> Result<ChangeSet, RevertError> {
    let mut tables = Vec::new();
    let mut tally = Tally::new(restored.iter().map(|table| table.old + table.new).sum());
    for table in restored.iter().filter(|table| table.old + table.new > 0) {
        let (to_sink, to_tally) = (sink.table(&table.table)?, tally.table(&table.table, &[]).map_err(io::Error::from)?);
        for (from, side) in [(table.new_images(), Side::Old), (table.old_images(), Side::New)] {
            let mut each = |image: &[u8]| -> io::Result<()> {
                tally.image(to_tally, side, image)?;
                sink.image(to_sink, side, image)
            };
            images(in_target, &from, &mut each).await?;
        }
        let indirect = what.tables.get(usize::from(table.number)).is_some_and(|change| change.indirect);
        tables.push(TableChange {
            table: table.table.clone(),
            inserted: table.old - table.pairs,
            updated: table.pairs,
            deleted: table.new - table.pairs,
            indirect,
            means: if table.key.is_empty() { Means::Scan } else { Means::Key },
            volatile: Vec::new(),
        });
    }
    let number = sql::rows(in_target, "SELECT pg_catalog.pg_current_xact_id()").await?;
    let transaction = number.first().and_then(|row| row.get(0)).map(str::to_owned);
    Ok(ChangeSet { tables, fingerprint: tally.finish().fingerprint, transaction, sequences: Vec::new() })
}

async fn images(
    in_target: &Client,
    images: &str,
    each: &mut (dyn FnMut(&[u8]) -> io::Result<()> + Send),
) -> Result<(), RevertError> {
    let rows = in_target.simple_query_raw(&format!("SELECT img FROM {images} ORDER BY n")).await?;
    let mut rows = std::pin::pin!(rows);
    while let Some(message) = rows.try_next().await? {
        if let SimpleQueryMessage::Row(row) = message {
            each(sql::field(&row, 0)?.as_bytes())?;
        }
    }
    Ok(())
}
