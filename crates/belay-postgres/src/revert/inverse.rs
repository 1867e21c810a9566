//! The revert's own change set.

use super::catalog::Restored;
use super::{RevertError, sql};
use belay_change::{ChangeSet, Means, Side, Sink, TableChange, Tally};
use futures_util::TryStreamExt as _;
use std::collections::BTreeMap;
use std::io;
use tokio_postgres::{Client, SimpleQueryMessage};

/// Where it goes.
pub(super) struct Inverse<'s> {
    sink: &'s mut dyn Sink,
    tally: Tally,
    /// The tables' numbers in the change set that is reverted, and what they are called in the sink and in the tally.
    numbers: BTreeMap<u16, (u16, u16)>,
}

impl<'s> Inverse<'s> {
    /// For at most `cap` images.
    pub(super) fn new(sink: &'s mut dyn Sink, cap: u64) -> Inverse<'s> {
        Inverse { sink, tally: Tally::new(cap), numbers: BTreeMap::new() }
    }

    /// Names the tables, in the order in which they are in the change set.
    pub(super) fn tables<'r>(&mut self, tables: impl Iterator<Item = &'r Restored>) -> io::Result<()> {
        for table in tables {
            let numbers = (self.sink.table(&table.table)?, self.tally.table(&table.table, &[])?);
            self.numbers.insert(table.number, numbers);
        }
        Ok(())
    }

    /// Takes an image whose side is that in the inverse.
    pub(super) fn image(&mut self, table: u16, side: Side, image: &[u8]) -> io::Result<()> {
        if let Some((in_sink, in_tally)) = self.numbers.get(&table) {
            self.tally.image(*in_tally, side, image)?;
            self.sink.image(*in_sink, side, image)?;
        }
        Ok(())
    }

    /// Takes what was done of the tables, where not every image was taken on its way.
    pub(super) async fn done(&mut self, in_target: &Client, restored: &[Restored]) -> Result<(), RevertError> {
        self.tables(restored.iter().filter(|table| table.old + table.new > 0))?;
        for table in restored {
            for (from, side) in [(table.new_images(), Side::Old), (table.old_images(), Side::New)] {
                let rows = in_target.simple_query_raw(&format!("SELECT img FROM {from}")).await?;
                let mut rows = std::pin::pin!(rows);
                while let Some(message) = rows.try_next().await? {
                    if let SimpleQueryMessage::Row(row) = message {
                        self.image(table.number, side, sql::field(&row, 0)?.as_bytes())?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The change set, once all is done.
    pub(super) async fn finish(
        self,
        in_target: &Client,
        what: &ChangeSet,
        restored: &[Restored],
    ) -> Result<ChangeSet, RevertError> {
        let change = |table: &Restored| TableChange {
            table: table.table.clone(),
            inserted: table.old - table.pairs,
            updated: table.pairs,
            deleted: table.new - table.pairs,
            indirect: what.tables.get(usize::from(table.number)).is_some_and(|change| change.indirect),
            means: if table.key.is_empty() { Means::Scan } else { Means::Key },
            volatile: Vec::new(),
        };
        let tables = restored.iter().filter(|table| self.numbers.contains_key(&table.number)).map(change).collect();
        let number = sql::rows(in_target, "SELECT pg_catalog.pg_current_xact_id()").await?;
        let transaction = number.first().and_then(|row| row.get(0)).map(str::to_owned);
        Ok(ChangeSet { tables, fingerprint: self.tally.finish().fingerprint, transaction, ..ChangeSet::default() })
    }
}
