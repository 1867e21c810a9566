//! A change as people see it: rows before and after, all of them where they are few.

use crate::pick::{Picked, Wanted};
use crate::print::Fate;
use crate::record::find_fields;
use crate::tally::{Shape, row_of};
use crate::{Side, Table, Taken, Tally};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};
use std::io;

/// No more values are compared to count in how many rows each column changes.
const COMPARED_MOST: usize = 1_000_000;

/// The values of a row, in the order of its table's columns; `None` is NULL. Very long ones end in `…`.
pub type Row = Vec<Option<String>>;

/// What becomes of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum RowChange {
    /// It is new.
    Inserted {
        /// As it is after.
        new: Row,
        /// How often: more than once only where no key tells equal rows apart.
        times: u64,
    },
    /// It has another content.
    Updated {
        /// As it was.
        old: Row,
        /// As it is after.
        new: Row,
        /// The columns that differ, by their place.
        changed: Vec<u16>,
    },
    /// It is gone.
    Deleted {
        /// As it was.
        old: Row,
        /// How often.
        times: u64,
    },
}

/// A change, summed up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The tables in which something changes.
    pub tables: Vec<TableSummary>,
}

/// One table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSummary {
    /// The table.
    pub table: Table,
    /// Rows that are new.
    pub inserted: u64,
    /// Rows with another content.
    pub updated: u64,
    /// Rows that are gone.
    pub deleted: u64,
    /// No statement names the table.
    pub indirect: bool,
    /// Columns, by their place, whose values are decided when the change is applied.
    pub volatile: Vec<u16>,
    /// In how many of the `compared` rows each column changes; those that change in none are left out.
    pub columns: Vec<ColumnCount>,
    /// As many updated rows were compared.
    pub compared: u64,
    /// All rows, or the first ones.
    pub first: Vec<RowChange>,
    /// Rows between the first and the last that are not here.
    pub left_out: u64,
    /// The last rows, where not all are in `first`.
    pub last: Vec<RowChange>,
}

/// How often a column changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnCount {
    /// The column, by its place.
    pub column: u16,
    /// In as many rows.
    pub rows: u64,
}

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampling {
    /// All rows of a table with fewer changed rows.
    pub all_below: usize,
    /// Of others as many from the beginning, and as many from the end.
    pub ends: usize,
    /// No more images are read.
    pub images: u64,
}

impl Default for Sampling {
    fn default() -> Sampling {
        Sampling { all_below: 50, ends: 20, images: 10_000_000 }
    }
}

/// Sums a change up. The images are read twice.
pub fn summarize(taken: &Taken<'_>, sampling: Sampling) -> io::Result<Summary> {
    let mut tally = Tally::new(sampling.images);
    for table in &taken.tables {
        tally.table(table.table, &[])?;
    }
    taken.each(|table, side, image| {
        let table = u16::try_from(table).map_err(io::Error::other)?;
        Ok(tally.image(table, side, image)?)
    })?;
    let (totals, survivors) = tally.settle();
    let mut ends = Vec::new();
    let mut counting = Counting::default();
    for (table, survivors) in taken.tables.iter().zip(survivors) {
        let fates = survivors.fates();
        counting.add(table.table, &fates);
        ends.push(Ends::of(&fates, sampling));
    }
    let tables: Vec<&Table> = taken.tables.iter().map(|table| table.table).collect();
    let mut picked = Picked::of(&tables, ends.iter().map(Ends::wanted).collect());
    taken.each(|table, side, image| {
        counting.look(table, side, image)?;
        picked.look(table, side, image)
    })?;
    let mut tables = Vec::new();
    for (at, ((table, totals), ends)) in taken.tables.iter().zip(&totals.tables).zip(&ends).enumerate() {
        let total = totals.inserted + totals.updated + totals.deleted;
        if total == 0 {
            continue;
        }
        let mut rows = |ids: &[[u8; 16]]| ids.iter().flat_map(|row| picked.changes(at, row)).collect::<Vec<_>>();
        let (first, last) = (rows(&ends.first), rows(&ends.last));
        let shown: u64 = first.iter().chain(&last).map(RowChange::times).sum();
        let (columns, compared) = counting.counts(at);
        tables.push(TableSummary {
            table: table.table.clone(),
            inserted: totals.inserted,
            updated: totals.updated,
            deleted: totals.deleted,
            indirect: table.indirect,
            volatile: table.volatile.to_vec(),
            columns,
            compared,
            first,
            left_out: total.saturating_sub(shown),
            last,
        });
    }
    Ok(Summary { tables })
}

impl Summary {
    /// The same with values as this person may see them: each goes through `show` with its table and its column's
    /// place. NULL stays NULL.
    #[must_use]
    pub fn shown(mut self, show: &dyn Fn(&Table, u16, &str) -> String) -> Summary {
        for summary in &mut self.tables {
            for row in summary.first.iter_mut().chain(&mut summary.last) {
                row.show(&summary.table, show);
            }
        }
        self
    }
}

impl TableSummary {
    /// All rows that change.
    pub fn rows(&self) -> u64 {
        self.inserted + self.updated + self.deleted
    }
}

impl RowChange {
    /// How many rows it is.
    pub fn times(&self) -> u64 {
        match self {
            RowChange::Inserted { times, .. } | RowChange::Deleted { times, .. } => *times,
            RowChange::Updated { .. } => 1,
        }
    }

    /// The row as it was.
    pub fn before(&self) -> Option<&Row> {
        match self {
            RowChange::Inserted { .. } => None,
            RowChange::Updated { old, .. } | RowChange::Deleted { old, .. } => Some(old),
        }
    }

    /// The row as it is after.
    pub fn after(&self) -> Option<&Row> {
        match self {
            RowChange::Inserted { new, .. } | RowChange::Updated { new, .. } => Some(new),
            RowChange::Deleted { .. } => None,
        }
    }

    /// The columns that differ, by their place; none where the row is new or gone.
    pub fn changed(&self) -> &[u16] {
        match self {
            RowChange::Updated { changed, .. } => changed,
            RowChange::Inserted { .. } | RowChange::Deleted { .. } => &[],
        }
    }

    /// Shows each value as `show` says.
    pub(crate) fn show(&mut self, table: &Table, show: &dyn Fn(&Table, u16, &str) -> String) {
        let rows = match self {
            RowChange::Inserted { new, .. } => [Some(new), None],
            RowChange::Updated { old, new, .. } => [Some(old), Some(new)],
            RowChange::Deleted { old, .. } => [Some(old), None],
        };
        for (place, value) in rows.into_iter().flatten().flat_map(|row| row.iter_mut().enumerate()) {
            if let (Some(value), Ok(place)) = (value, u16::try_from(place)) {
                *value = show(table, place, value);
            }
        }
    }
}

/// Which rows are shown.
struct Ends {
    first: Vec<[u8; 16]>,
    last: Vec<[u8; 16]>,
}

impl Ends {
    fn of(fates: &[([u8; 16], Fate)], sampling: Sampling) -> Ends {
        let rows = |fates: &[([u8; 16], Fate)]| fates.iter().map(|(row, _)| *row).collect();
        if fates.len() < sampling.all_below.max(2 * sampling.ends) {
            return Ends { first: rows(fates), last: Vec::new() };
        }
        let (first, rest) = fates.split_at(sampling.ends);
        let last = rest.get(rest.len() - sampling.ends..).unwrap_or_default();
        Ends { first: rows(first), last: rows(last) }
    }

    fn wanted(&self) -> Wanted {
        self.first.iter().chain(&self.last).copied().collect()
    }
}

/// Counts in how many rows each column changes.
#[derive(Default)]
struct Counting {
    tables: Vec<CountingTable>,
    values: usize,
}

struct CountingTable {
    shape: Shape,
    /// Updated rows; with the values of the side that came first, once it came.
    rows: HashMap<[u8; 16], Option<(Side, Vec<u64>)>>,
    columns: Vec<u64>,
    compared: u64,
}

impl Counting {
    fn add(&mut self, table: &Table, fates: &[([u8; 16], Fate)]) {
        let columns = table.columns.len();
        let most = COMPARED_MOST.saturating_sub(self.values) / columns.max(1);
        let updated = fates.iter().filter(|(_, fate)| *fate == Fate::Updated).take(most);
        let rows: HashMap<_, _> = updated.map(|(row, _)| (*row, None)).collect();
        self.values += rows.len() * columns;
        let shape = Shape { columns, key: table.key.clone(), volatile: Vec::new() };
        self.tables.push(CountingTable { shape, rows, columns: vec![0; columns], compared: 0 });
    }

    fn look(&mut self, table: usize, side: Side, image: &[u8]) -> io::Result<()> {
        let Some(table) = self.tables.get_mut(table).filter(|table| !table.rows.is_empty()) else { return Ok(()) };
        let mut spans = Vec::new();
        find_fields(image, table.shape.columns, &mut spans).map_err(io::Error::other)?;
        let row = row_of(&table.shape, image, &spans, Sha256::digest(image).into());
        let Some(seen) = table.rows.get_mut(&row) else { return Ok(()) };
        let value = |span: &std::ops::Range<usize>| {
            let mut hasher = DefaultHasher::new();
            hasher.write(image.get(span.clone()).unwrap_or_default());
            hasher.finish()
        };
        let values: Vec<u64> = spans.iter().map(value).collect();
        match seen.take() {
            Some((before, others)) if before != side => {
                for (count, (one, other)) in table.columns.iter_mut().zip(values.iter().zip(others)) {
                    *count += u64::from(*one != other);
                }
                table.compared += 1;
                table.rows.remove(&row);
            }
            _ => *seen = Some((side, values)),
        }
        Ok(())
    }

    fn counts(&self, table: usize) -> (Vec<ColumnCount>, u64) {
        let Some(table) = self.tables.get(table) else { return (Vec::new(), 0) };
        let counts = table.columns.iter().enumerate().filter(|(_, rows)| **rows > 0);
        let count =
            |(place, rows): (usize, &u64)| Some(ColumnCount { column: u16::try_from(place).ok()?, rows: *rows });
        (counts.filter_map(count).collect(), table.compared)
    }
}

#[cfg(test)]
#[path = "pair/tests.rs"]
mod tests;
