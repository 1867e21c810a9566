//! Images on their way to a file, and the script behind them.
//!
//! What was run goes into the same file, as the one row of a table that no target has: the last one of the file.

use crate::changes::{ChangeFiles, SealedReader, SealedWriter};
use belay_change::{Images, Keys, RowKey, Script, Side, Sink, Table};
use belay_engine::Draft;
use std::any::Any;
use std::io;

/// A draft that becomes a sealed file.
pub(super) struct FileDraft {
    file: SealedWriter,
    keys: Keys,
}

impl FileDraft {
    pub(super) fn new(file: SealedWriter) -> FileDraft {
        FileDraft { file, keys: Keys::default() }
    }

    /// The keys of the rows that change, by the tables' numbers. They are there once.
    pub(super) fn take_keys(&mut self) -> Vec<Vec<RowKey>> {
        std::mem::take(&mut self.keys).finish()
    }
}

impl Sink for FileDraft {
    fn table(&mut self, table: &Table) -> io::Result<u16> {
        let number = self.file.table(table)?;
        self.keys.table(table);
        Ok(number)
    }

    fn image(&mut self, table: u16, side: Side, image: &[u8]) -> io::Result<()> {
        self.keys.image(table, side, image);
        self.file.image(table, side, image)
    }
}

impl Draft for FileDraft {
    fn images(&mut self) -> io::Result<Box<dyn Images>> {
        Ok(Box::new(self.file.images()?))
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

/// Finishes the file with the script in it, under this name. When this returns, it is on the disk.
pub(super) fn finish(mut draft: FileDraft, script: &Script, name: &str) -> io::Result<()> {
    let text = serde_json::to_vec(script)?;
    let table = draft.file.table(&script_table())?;
    draft.file.image(table, Side::New, &text)?;
    draft.file.finish(name)?;
    Ok(())
}

/// The rows of a kept file, without the script.
pub(super) struct Rows(SealedReader);

impl Rows {
    pub(super) fn open(files: &ChangeFiles, name: &str) -> io::Result<Rows> {
        Ok(Rows(files.read(name)?))
    }
}

impl Images for Rows {
    fn next(&mut self) -> io::Result<Option<(u16, Side, Vec<u8>)>> {
        let next = self.0.next()?;
        let is_script =
            |number: u16| self.0.tables().get(usize::from(number)).is_some_and(|table| *table == script_table());
        match next {
            Some((number, ..)) if is_script(number) => {
                // The end of the file is proven by reading it.
                match self.0.next()? {
                    None => Ok(None),
                    Some(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "a kept file goes on behind its script")),
                }
            }
            other => Ok(other),
        }
    }
}

/// What was run.
pub(super) fn script(files: &ChangeFiles, name: &str) -> io::Result<Script> {
    let mut reader = files.read(name)?;
    let mut last = None;
    // Ends with the file.
    while let Some((number, _, image)) = reader.next()? {
        last = Some((number, image));
    }
    let missing = || io::Error::new(io::ErrorKind::InvalidData, "a kept file holds no script");
    let (number, image) = last.ok_or_else(missing)?;
    let table = reader.tables().get(usize::from(number)).ok_or_else(missing)?;
    if *table != script_table() {
        return Err(missing());
    }
    Ok(serde_json::from_slice(&image)?)
}

fn script_table() -> Table {
    Table { oid: 0, schema: String::new(), name: "script".to_owned(), columns: Vec::new(), key: Vec::new() }
}
