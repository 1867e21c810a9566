//! The images taken so far: counted here, kept in the sink.

use super::{CaptureError, Limits};
use belay_change::{ChangeSet, Means, Side, Sink, Table, TableChange, Tally};

#[derive(Debug)]
pub(super) struct Taken {
    tally: Tally,
    tables: Vec<TableChange>,
    bytes: u64,
    most_bytes: u64,
}

impl Taken {
    pub(super) fn new(limits: &Limits, plan: &[TableChange]) -> Taken {
        // A changed row has two images.
        let tally = Tally::like(limits.rows.saturating_mul(2), plan);
        Taken { tally, tables: Vec::new(), bytes: 0, most_bytes: limits.bytes }
    }

    /// A table whose images follow.
    pub(super) fn table(
        &mut self,
        sink: &mut dyn Sink,
        table: &Table,
        means: Means,
        indirect: bool,
    ) -> Result<u16, CaptureError> {
        let number = sink.table(table)?;
        if number != Sink::table(&mut self.tally, table)? {
            return Err(CaptureError::Unexpected("the number of a table in the images"));
        }
        let table = table.clone();
        self.tables.push(TableChange {
            table,
            inserted: 0,
            updated: 0,
            deleted: 0,
            indirect,
            means,
            volatile: Vec::new(),
        });
        Ok(number)
    }

    /// One image.
    pub(super) fn image(
        &mut self,
        sink: &mut dyn Sink,
        table: u16,
        side: Side,
        image: &str,
    ) -> Result<(), CaptureError> {
        self.bytes += image.len() as u64;
        if self.bytes > self.most_bytes {
            return Err(CaptureError::TooMuch(format!("the changed rows are more than {} bytes", self.most_bytes)));
        }
        self.tally.image(table, side, image.as_bytes()).map_err(|error| match error {
            belay_change::TallyError::TooMany(_) => CaptureError::TooMuch(error.to_string()),
            other => CaptureError::Sink(other.into()),
        })?;
        sink.image(table, side, image.as_bytes())?;
        Ok(())
    }

    /// Whether the table was taken as a whole before it was emptied.
    pub(super) fn was_emptied(&self, oid: u32) -> bool {
        self.tables.iter().any(|change| change.table.oid == oid && change.means == Means::Whole)
    }

    /// The tables that were taken as a whole, with their numbers.
    pub(super) fn emptied(&self) -> Vec<(Table, u16)> {
        let whole = |(at, change): (usize, &TableChange)| {
            let number = u16::try_from(at).ok()?;
            (change.means == Means::Whole).then(|| (change.table.clone(), number))
        };
        self.tables.iter().enumerate().filter_map(whole).collect()
    }

    /// What came of it.
    pub(super) fn finish(self, transaction: Option<String>, sequences: Vec<String>) -> ChangeSet {
        let totals = self.tally.finish();
        let counted = |(change, count): (TableChange, &belay_change::TableTotals)| TableChange {
            inserted: count.inserted,
            updated: count.updated,
            deleted: count.deleted,
            ..change
        };
        ChangeSet {
            tables: self.tables.into_iter().zip(&totals.tables).map(counted).collect(),
            fingerprint: totals.fingerprint,
            transaction,
            sequences,
            ..ChangeSet::default()
        }
    }
}
