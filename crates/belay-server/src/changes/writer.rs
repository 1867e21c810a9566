//! A file on its way to the disk.

use super::format::{BLOCK, END, FileKey, HEADER, NEW, OLD, RECORD_MOST, TABLE, header};
use super::reader::SealedReader;
use super::squeeze::squeeze;
use super::{ChangeFiles, ChangesError, UNFINISHED, sync};
use crate::secrets::random;
use belay_change::{Side, Sink, Table};
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Takes images and seals them. Dropping it without [`SealedWriter::finish`] removes the file.
pub struct SealedWriter {
    files: ChangeFiles,
    /// `None` until there is more than stays in memory, and once the file is whole and on the disk.
    path: Option<PathBuf>,
    file: Option<BufWriter<File>>,
    key: FileKey,
    block: Zeroizing<Vec<u8>>,
    squeezed: Vec<u8>,
    /// The number of the next block.
    number: u64,
    bytes: u64,
    rows: u64,
    tables: u16,
    broken: bool,
}

/// What was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptFile {
    /// Bytes on the disk.
    pub bytes: u64,
    /// Images.
    pub rows: u64,
}

impl std::fmt::Debug for SealedWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealedWriter").field("rows", &self.rows).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl SealedWriter {
    pub(super) fn begin(files: &ChangeFiles) -> Result<SealedWriter, ChangesError> {
        Ok(SealedWriter {
            files: files.clone(),
            path: None,
            file: None,
            key: FileKey::new(Zeroizing::new(random::<32>()?))?,
            block: Zeroizing::new(Vec::with_capacity(BLOCK)),
            squeezed: Vec::new(),
            number: 0,
            bytes: HEADER as u64,
            rows: 0,
            tables: 0,
            broken: false,
        })
    }

    /// The file, which is made when the first block is full.
    fn file(&mut self) -> Result<&mut BufWriter<File>, ChangesError> {
        if self.file.is_none() {
            let path = self.files.directory.join(format!("{}.{UNFINISHED}", hex::encode(random::<16>()?)));
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
            let mut file = BufWriter::new(file.map_err(ChangesError::File)?);
            self.path = Some(path);
            // The place of the header, which holds the key: it is written when the file is whole.
            file.write_all(&[0; HEADER]).map_err(ChangesError::File)?;
            self.file = Some(file);
        }
        self.file.as_mut().ok_or(ChangesError::Broken)
    }

    /// As many images as were taken.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The images so far, from their beginning.
    pub fn images(&mut self) -> Result<SealedReader, ChangesError> {
        let blocks = self.whole(|writer| {
            if !writer.block.is_empty() {
                writer.seal(false)?;
            }
            writer.file()?.flush().map_err(ChangesError::File)?;
            Ok(writer.number)
        })?;
        let path = self.path.as_deref().ok_or(ChangesError::Broken)?;
        SealedReader::of_unfinished(File::open(path).map_err(ChangesError::File)?, self.key.again()?, blocks)
    }

    /// Gives the file its name. When this returns, the images are on the disk. A name that a crash leaves to half a file
    /// is one that nobody was told of.
    pub fn finish(mut self, name: &str) -> Result<KeptFile, ChangesError> {
        let finished = self.files.path(name)?;
        let header = header(&self.files.keys, name, self.key.bytes())?;
        self.whole(|writer| {
            writer.put(&[END])?;
            writer.put(&writer.rows.to_be_bytes())?;
            writer.seal(true)?;
            let file = writer.file()?;
            file.seek(SeekFrom::Start(0)).map_err(ChangesError::File)?;
            file.write_all(&header).map_err(ChangesError::File)?;
            file.flush().map_err(ChangesError::File)
        })?;
        if finished.try_exists().map_err(ChangesError::File)? {
            return Err(ChangesError::Exists(name.to_owned()));
        }
        let path = self.path.take().ok_or(ChangesError::Broken)?;
        let named = std::fs::rename(&path, &finished);
        self.path = Some(if named.is_ok() { finished } else { path });
        named.map_err(ChangesError::File)?;
        // The directory goes last: most file systems have put it on the disk with the file then.
        self.file()?.get_ref().sync_all().map_err(ChangesError::File)?;
        sync(&self.files.directory)?;
        self.path = None;
        Ok(KeptFile { bytes: self.bytes, rows: self.rows })
    }

    /// Throws the images away.
    pub fn discard(self) {
        drop(self);
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.block.capacity() + self.squeezed.capacity()
    }

    fn record(&mut self, head: &[u8], content: &[u8]) -> Result<(), ChangesError> {
        let length = u32::try_from(content.len()).ok().filter(|_| content.len() <= RECORD_MOST);
        let length = length.ok_or(ChangesError::RowTooLong(RECORD_MOST))?;
        self.whole(|writer| {
            writer.put(head)?;
            writer.put(&length.to_be_bytes())?;
            writer.put(content)
        })
    }

    /// Nothing more is taken once a write has failed: what came before it may be missing on the disk.
    fn whole<T>(
        &mut self,
        write: impl FnOnce(&mut SealedWriter) -> Result<T, ChangesError>,
    ) -> Result<T, ChangesError> {
        if self.broken {
            return Err(ChangesError::Broken);
        }
        let written = write(self);
        self.broken = written.is_err();
        written
    }

    fn put(&mut self, mut bytes: &[u8]) -> Result<(), ChangesError> {
        while !bytes.is_empty() {
            if self.block.len() == BLOCK {
                self.seal(false)?;
            }
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - self.block.len()));
            self.block.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    fn seal(&mut self, last: bool) -> Result<(), ChangesError> {
        squeeze(&self.block, &mut self.squeezed);
        self.block.clear();
        self.key.seal(self.number, last, &mut self.squeezed)?;
        self.number += 1;
        let length = u32::try_from(self.squeezed.len()).map_err(|_| ChangesError::Broken)?;
        let [a, b, c, d] = length.to_be_bytes();
        let head = [a, b, c, d, u8::from(last)];
        self.bytes += (head.len() + self.squeezed.len()) as u64;
        if self.bytes > self.files.limits.bytes {
            return Err(ChangesError::TooLarge(self.files.limits.bytes));
        }
        let squeezed = std::mem::take(&mut self.squeezed);
        let file = self.file()?;
        let written = file.write_all(&head).and_then(|()| file.write_all(&squeezed));
        self.squeezed = squeezed;
        written.map_err(ChangesError::File)
    }
}

impl Sink for SealedWriter {
    fn table(&mut self, table: &Table) -> io::Result<u16> {
        let number = self.tables;
        let next = number.checked_add(1).ok_or(ChangesError::TableNumber)?;
        self.record(&[TABLE], &serde_json::to_vec(table)?)?;
        self.tables = next;
        Ok(number)
    }

    fn image(&mut self, table: u16, side: Side, image: &[u8]) -> io::Result<()> {
        if table >= self.tables {
            return Err(ChangesError::TableNumber.into());
        }
        if self.rows >= self.files.limits.rows {
            // Not for another try: an image is missing from here on.
            self.broken = true;
            return Err(ChangesError::TooManyRows(self.files.limits.rows).into());
        }
        let [high, low] = table.to_be_bytes();
        let kind = match side {
            Side::Old => OLD,
            Side::New => NEW,
        };
        let recorded = self.record(&[kind, high, low], image);
        self.broken |= recorded.is_err();
        recorded?;
        self.rows += 1;
        Ok(())
    }
}

impl Drop for SealedWriter {
    fn drop(&mut self) {
        let Some(path) = self.path.take() else { return };
        // What stays behind is removed at the next start, and its key is gone with this value.
        if let Err(error) = std::fs::remove_file(&path) {
            tracing::warn!(%error, "an unfinished change could not be removed");
        }
    }
}
