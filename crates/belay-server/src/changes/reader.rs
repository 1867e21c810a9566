//! A kept file, read again. Nothing is given out that was not checked.

use super::format::{BLOCK_HEAD, END, FileKey, HEADER, NEW, OLD, RECORD_MOST, SEALED_MOST, TABLE, unwrap_key};
use super::squeeze::expand;
use super::{ChangeFiles, ChangesError};
use belay_change::{Images, Side, Table};
use std::fs::File;
use std::io::{self, BufReader, Read};
use zeroize::Zeroizing;

/// What an unfinished file is called in errors.
const UNNAMED: &str = "being made";

/// Gives the images of a file back.
pub struct SealedReader {
    name: String,
    file: BufReader<File>,
    key: FileKey,
    /// The number of the next block.
    number: u64,
    /// Where an unfinished file ends.
    until: Option<u64>,
    /// The last block is open.
    last: bool,
    sealed: Vec<u8>,
    block: Zeroizing<Vec<u8>>,
    at: usize,
    tables: Vec<Table>,
    rows: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    Ended,
    Failed,
}

impl std::fmt::Debug for SealedReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealedReader").field("name", &self.name).field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl SealedReader {
    pub(super) fn open(files: &ChangeFiles, name: &str) -> Result<SealedReader, ChangesError> {
        let path = files.path(name)?;
        let mut file = match File::open(path) {
            Ok(file) => BufReader::new(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ChangesError::Missing(name.to_owned()));
            }
            Err(error) => return Err(ChangesError::File(error)),
        };
        let mut header = [0; HEADER];
        read_exact(&mut file, &mut header, name)?;
        let key = unwrap_key(&files.keys, name, &header)?;
        Ok(SealedReader::new(name, file, key, None))
    }

    /// The first blocks of a file that is still being written.
    pub(super) fn of_unfinished(file: File, key: FileKey, blocks: u64) -> Result<SealedReader, ChangesError> {
        let mut file = BufReader::new(file);
        read_exact(&mut file, &mut [0; HEADER], UNNAMED)?;
        Ok(SealedReader::new(UNNAMED, file, key, Some(blocks)))
    }

    fn new(name: &str, file: BufReader<File>, key: FileKey, until: Option<u64>) -> SealedReader {
        SealedReader {
            name: name.to_owned(),
            file,
            key,
            number: 0,
            until,
            last: false,
            sealed: Vec::new(),
            block: Zeroizing::new(Vec::new()),
            at: 0,
            tables: Vec::new(),
            rows: 0,
            state: State::Reading,
        }
    }

    /// The tables that have come up so far: all of them once the images are at their end.
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.block.capacity() + self.sealed.capacity()
    }

    fn record(&mut self) -> Result<Option<(u16, Side, Vec<u8>)>, ChangesError> {
        // Ends because the file does: each turn takes a record.
        while !self.at_end_of_unfinished() {
            match self.number::<1>()? {
                [TABLE] => {
                    let table = self.content()?;
                    let table = serde_json::from_slice(&table).map_err(|_| self.damaged())?;
                    self.tables.push(table);
                }
                [kind @ (OLD | NEW)] => {
                    let table = u16::from_be_bytes(self.number()?);
                    let image = self.content()?;
                    if usize::from(table) >= self.tables.len() {
                        return Err(self.damaged());
                    }
                    self.rows += 1;
                    return Ok(Some((table, if kind == OLD { Side::Old } else { Side::New }, image)));
                }
                [END] => {
                    let rows = u64::from_be_bytes(self.number()?);
                    let whole = rows == self.rows && self.last && self.at == self.block.len();
                    return if whole { Ok(None) } else { Err(self.damaged()) };
                }
                _ => return Err(self.damaged()),
            }
        }
        Ok(None)
    }

    fn content(&mut self) -> Result<Vec<u8>, ChangesError> {
        let length = u32::from_be_bytes(self.number()?);
        let length = usize::try_from(length).ok().filter(|length| *length <= RECORD_MOST);
        let mut rest = length.ok_or_else(|| self.damaged())?;
        let mut content = Vec::new();
        while rest > 0 {
            self.fill()?;
            let block = self.block.get(self.at..).unwrap_or_default();
            let part = block.get(..rest.min(block.len())).unwrap_or_default();
            content.extend_from_slice(part);
            rest -= part.len();
            self.at += part.len();
        }
        Ok(content)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], ChangesError> {
        let mut bytes = [0; N];
        for byte in &mut bytes {
            self.fill()?;
            *byte = *self.block.get(self.at).ok_or_else(|| self.damaged())?;
            self.at += 1;
        }
        Ok(bytes)
    }

    fn at_end_of_unfinished(&self) -> bool {
        self.at == self.block.len() && self.until == Some(self.number)
    }

    /// Makes sure that there is something to read. No block but the last is empty.
    fn fill(&mut self) -> Result<(), ChangesError> {
        if self.at < self.block.len() {
            return Ok(());
        }
        if self.last || self.until == Some(self.number) {
            return Err(self.damaged());
        }
        let mut head = [0; BLOCK_HEAD];
        read_exact(&mut self.file, &mut head, &self.name)?;
        let [a, b, c, d, last] = head;
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if length > SEALED_MOST || last > 1 {
            return Err(self.damaged());
        }
        self.sealed.resize(length, 0);
        read_exact(&mut self.file, &mut self.sealed, &self.name)?;
        let last = last == 1;
        let opened = self.key.open(self.number, last, &mut self.sealed);
        opened
            .and_then(|block| expand(block, &mut self.block))
            .ok_or_else(|| ChangesError::Damaged(self.name.clone()))?;
        if last && self.file.read(&mut [0]).map_err(ChangesError::File)? != 0 {
            return Err(self.damaged());
        }
        (self.number, self.last, self.at) = (self.number + 1, last, 0);
        if self.block.is_empty() { Err(self.damaged()) } else { Ok(()) }
    }

    fn damaged(&self) -> ChangesError {
        ChangesError::Damaged(self.name.clone())
    }
}

impl Images for SealedReader {
    fn next(&mut self) -> io::Result<Option<(u16, Side, Vec<u8>)>> {
        match self.state {
            State::Ended => return Ok(None),
            State::Failed => return Err(self.damaged().into()),
            State::Reading => {}
        }
        let record = self.record();
        match &record {
            Ok(Some(_)) => {}
            Ok(None) => self.state = State::Ended,
            Err(_) => self.state = State::Failed,
        }
        Ok(record?)
    }
}

/// A file that ends early is damaged, not a fault of the disk.
fn read_exact(file: &mut BufReader<File>, bytes: &mut [u8], name: &str) -> Result<(), ChangesError> {
    file.read_exact(bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => ChangesError::Damaged(name.to_owned()),
        _ => ChangesError::File(error),
    })
}
