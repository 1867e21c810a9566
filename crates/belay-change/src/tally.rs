//! How many rows change, and the fingerprint of the change: images are hashed as they pass, and not kept.

use crate::print::{Prints, Survivors};
use crate::record::{BadRecord, find_fields};
use crate::{Side, Sink, Table, TableChange};
use sha2::{Digest, Sha256};
use std::io;
use std::ops::Range;

/// Stands for the value of a volatile column. No image holds this byte.
const MASKED: &[u8] = b"\0";

/// Takes images and counts.
#[derive(Debug)]
pub struct Tally {
    cap: u64,
    taken: u64,
    volatile: Vec<(String, String, Vec<u16>)>,
    tables: Vec<Counted>,
    spans: Vec<Range<usize>>,
}

/// Why an image was not taken. It holds nothing of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TallyError {
    /// More images than may be.
    #[error("more than {0} row images")]
    TooMany(u64),
    /// More tables than have numbers.
    #[error("more than 65535 tables")]
    TooManyTables,
    /// An image of a table that was not announced.
    #[error("an image is of a table that is not known")]
    UnknownTable,
    /// An image that cannot be read.
    #[error(transparent)]
    Record(#[from] BadRecord),
}

impl From<TallyError> for io::Error {
    fn from(error: TallyError) -> io::Error {
        io::Error::other(error)
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    /// By the tables' numbers.
    pub tables: Vec<TableTotals>,
    /// SHA-256, in hex: equal exactly where the same rows of the same tables change in the same way, whatever the
    /// order, and apart from what volatile columns become.
    pub fingerprint: String,
}

/// What came of one table. Images that stand on both sides count nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableTotals {
    /// Rows that are new.
    pub inserted: u64,
    /// Rows with another content, told by the key. Without a key there are none: they are deleted and inserted.
    pub updated: u64,
    /// Rows that are gone.
    pub deleted: u64,
    /// A hash over the old images.
    pub(crate) old: [u8; 32],
    /// A hash over the new images, without what is volatile.
    pub(crate) new: [u8; 32],
}

/// One table on the way.
#[derive(Debug)]
struct Counted {
    shape: Shape,
    layout: [u8; 32],
    old: Prints,
    new: Prints,
}

/// What is looked at in an image.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) columns: usize,
    pub(crate) key: Vec<u16>,
    pub(crate) volatile: Vec<u16>,
}

impl Tally {
    /// A tally of at most `cap` images.
    pub fn new(cap: u64) -> Tally {
        Tally { cap, taken: 0, volatile: Vec::new(), tables: Vec::new(), spans: Vec::new() }
    }

    /// A tally to be compared with that of a plan: what is volatile there is volatile here, in the tables that come
    /// through [`Sink::table`].
    pub fn like(cap: u64, plan: &[TableChange]) -> Tally {
        let of =
            |change: &TableChange| (change.table.schema.clone(), change.table.name.clone(), change.volatile.clone());
        Tally { volatile: plan.iter().map(of).collect(), ..Tally::new(cap) }
    }

    /// A table whose images follow, and the places of its columns whose new values differ from run to run. Old values
    /// are what is really there, and always count.
    pub fn table(&mut self, table: &Table, volatile: &[u16]) -> Result<u16, TallyError> {
        let number = u16::try_from(self.tables.len()).map_err(|_| TallyError::TooManyTables)?;
        let shape = Shape { columns: table.columns.len(), key: table.key.clone(), volatile: volatile.to_vec() };
        self.tables.push(Counted { shape, layout: layout(table), old: Prints::default(), new: Prints::default() });
        Ok(number)
    }

    /// One image.
    pub fn image(&mut self, table: u16, side: Side, image: &[u8]) -> Result<(), TallyError> {
        if self.taken >= self.cap {
            return Err(TallyError::TooMany(self.cap));
        }
        let counted = self.tables.get_mut(usize::from(table)).ok_or(TallyError::UnknownTable)?;
        let whole = Sha256::digest(image).into();
        let shape = &counted.shape;
        if !shape.key.is_empty() || (side == Side::New && !shape.volatile.is_empty()) {
            find_fields(image, shape.columns, &mut self.spans)?;
        }
        let row = row_of(shape, image, &self.spans, whole);
        match side {
            Side::Old => counted.old.add(whole, row, None),
            Side::New if shape.volatile.is_empty() => counted.new.add(whole, row, None),
            Side::New => {
                let masked = masked(shape, image, &self.spans);
                counted.new.add(whole, row, Some(masked));
            }
        }
        self.taken += 1;
        Ok(())
    }

    /// As many images as were taken.
    pub fn images(&self) -> u64 {
        self.taken
    }

    /// Counts, and makes the fingerprint.
    pub fn finish(self) -> Totals {
        self.settle().0
    }

    /// Counts, and tells by table which rows they are.
    pub(crate) fn settle(self) -> (Totals, Vec<Survivors>) {
        let mut totals = Vec::with_capacity(self.tables.len());
        let mut rows = Vec::with_capacity(self.tables.len());
        let mut parts = Vec::new();
        for counted in self.tables {
            let survivors = Survivors::of(counted.old, counted.new);
            let counts = count(&survivors, !counted.shape.key.is_empty());
            if !survivors.is_empty() {
                parts.push([counted.layout, counts.old, counts.new]);
            }
            totals.push(counts);
            rows.push(survivors);
        }
        parts.sort_unstable();
        let mut hash = Sha256::new();
        hash.update(b"belay changes 1");
        parts.iter().flatten().for_each(|part| hash.update(part));
        (Totals { tables: totals, fingerprint: hex::encode(hash.finalize()) }, rows)
    }
}

impl Sink for Tally {
    fn table(&mut self, table: &Table) -> io::Result<u16> {
        let same = |(schema, name, _): &&(String, String, Vec<u16>)| *schema == table.schema && *name == table.name;
        let volatile = self.volatile.iter().find(same).map(|(.., volatile)| volatile.clone()).unwrap_or_default();
        Ok(Tally::table(self, table, &volatile)?)
    }

    fn image(&mut self, table: u16, side: Side, image: &[u8]) -> io::Result<()> {
        Ok(Tally::image(self, table, side, image)?)
    }
}

/// Which row it is: by the key, or by its whole content.
pub(crate) fn row_of(shape: &Shape, image: &[u8], spans: &[Range<usize>], whole: [u8; 32]) -> [u8; 16] {
    let mut row = [0; 16];
    if shape.key.is_empty() {
        row.copy_from_slice(whole.first_chunk::<16>().unwrap_or(&[0; 16]));
        return row;
    }
    let mut hash = Sha256::new();
    for place in &shape.key {
        let field = spans.get(usize::from(*place)).and_then(|span| image.get(span.clone())).unwrap_or_default();
        hash.update((field.len() as u64).to_be_bytes());
        hash.update(field);
    }
    let hash: [u8; 32] = hash.finalize().into();
    row.copy_from_slice(hash.first_chunk::<16>().unwrap_or(&[0; 16]));
    row
}

/// The hash of an image without the values of its volatile columns.
fn masked(shape: &Shape, image: &[u8], spans: &[Range<usize>]) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut from = 0;
    for (place, span) in spans.iter().enumerate() {
        if shape.volatile.iter().any(|volatile| usize::from(*volatile) == place) {
            hash.update(image.get(from..span.start).unwrap_or_default());
            hash.update(MASKED);
            from = span.end;
        }
    }
    hash.update(image.get(from..).unwrap_or_default());
    hash.finalize().into()
}

/// A hash over what the images are of. The table's number in the target is no part of it: it is for people that the
/// same table is meant.
fn layout(table: &Table) -> [u8; 32] {
    let mut hash = Sha256::new();
    let columns = table.columns.iter().flat_map(|column| [&column.name, &column.type_name]);
    for text in [&table.schema, &table.name].into_iter().chain(columns) {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    hash.finalize().into()
}

fn count(rows: &Survivors, keyed: bool) -> TableTotals {
    let updated = if keyed { rows.in_both() } else { 0 };
    let (gone, come) = (rows.old.len() as u64, rows.new.len() as u64);
    TableTotals {
        inserted: come - updated,
        updated,
        deleted: gone - updated,
        old: digest(rows.old.prints()),
        new: digest(rows.new.prints()),
    }
}

/// A hash over hashes, whatever their order.
fn digest(mut prints: Vec<[u8; 32]>) -> [u8; 32] {
    prints.sort_unstable();
    let mut hash = Sha256::new();
    for print in prints {
        hash.update(print);
    }
    hash.finalize().into()
}

#[cfg(test)]
#[path = "tally/tests.rs"]
mod tests;
