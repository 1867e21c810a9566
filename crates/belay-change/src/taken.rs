//! Images that can be read more than once, with the tables they are of.

use crate::{ChangeSet, Images, Side, Table};
use std::io;

/// What a transaction changed, to be read as often as needed.
pub struct Taken<'a> {
    /// Its tables, by their numbers in the images.
    pub tables: Vec<TakenTable<'a>>,
    /// Begins to read the images anew.
    pub open: &'a dyn Fn() -> io::Result<Box<dyn Images>>,
}

/// One of the tables.
#[derive(Debug, Clone, Copy)]
pub struct TakenTable<'a> {
    /// The table.
    pub table: &'a Table,
    /// Columns, by their place, whose values differ from run to run.
    pub volatile: &'a [u16],
    /// No statement names it.
    pub indirect: bool,
}

impl<'a> Taken<'a> {
    /// A kept change set.
    pub fn of(set: &'a ChangeSet, open: &'a dyn Fn() -> io::Result<Box<dyn Images>>) -> Taken<'a> {
        let table = |change: &'a crate::TableChange| TakenTable {
            table: &change.table,
            volatile: &change.volatile,
            indirect: change.indirect,
        };
        Taken { tables: set.tables.iter().map(table).collect(), open }
    }

    /// Every image, with its table's number checked.
    pub(crate) fn each(&self, mut take: impl FnMut(usize, Side, &[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut images = (self.open)()?;
        // Ends because what was kept does.
        while let Some((table, side, image)) = images.next()? {
            let table = usize::from(table);
            if table >= self.tables.len() {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "an image is of a table that is not known"));
            }
            take(table, side, &image)?;
        }
        Ok(())
    }
}
