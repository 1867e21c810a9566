//! Kept images at rest: one sealed file for each plan and each change set.
//!
//! A file is a stream of records, in blocks that are compressed and sealed one by one under a key of the file's own,
//! which is wrapped by the gateway's key for this one name. Until a file is finished its key is nowhere but in memory,
//! so that what a crash leaves behind can be read by nobody.

mod format;
mod reader;
mod squeeze;
mod writer;

pub use reader::SealedReader;
pub use writer::{KeptFile, SealedWriter};

use crate::secrets::{Keys, SecretError};
use std::fs::{DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The directory below the state directory.
const DIRECTORY: &str = "changes";
const FINISHED: &str = "change";
const UNFINISHED: &str = "partial";
/// No name is longer.
const NAME_MOST: usize = 64;

/// Where the files are.
#[derive(Debug, Clone)]
pub struct ChangeFiles {
    directory: PathBuf,
    keys: Arc<Keys>,
    limits: Limits,
}

/// How much one file may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes on the disk.
    pub bytes: u64,
    /// Images.
    pub rows: u64,
}

/// Why images are not kept or not given back. The text holds nothing of them.
#[derive(Debug, thiserror::Error)]
pub enum ChangesError {
    /// A name that is not made of letters, digits and `_`.
    #[error("`{0}` cannot be the name of a kept change")]
    Name(String),
    /// There is one already; nothing is ever written over.
    #[error("the change `{0}` is kept already")]
    Exists(String),
    /// There is none.
    #[error("the change `{0}` is not kept here")]
    Missing(String),
    /// More bytes than one change may take.
    #[error("the change takes more than {0} bytes on the disk")]
    TooLarge(u64),
    /// More images than one change may have.
    #[error("the change has more than {0} row images")]
    TooManyRows(u64),
    /// One image, or one table's description, is too long.
    #[error("a row image is longer than {0} bytes")]
    RowTooLong(usize),
    /// More tables than have numbers, or an image of a table that has none.
    #[error("the images of a change have wrong table numbers")]
    TableNumber,
    /// Something was changed, cut off, moved or renamed.
    #[error("the kept change `{0}` is damaged")]
    Damaged(String),
    /// The gateway's key is another one.
    #[error("the kept change `{name}` is sealed under key {sealed}, and the gateway has key {ours}")]
    OtherKey {
        /// Of the change.
        name: String,
        /// As the file says.
        sealed: String,
        /// As the gateway has it.
        ours: String,
    },
    /// Writing failed before; what is on the disk is not whole.
    #[error("an earlier write failed, so the change is not kept")]
    Broken,
    /// The key could not be made or wrapped.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The file system said no.
    #[error("the kept changes: {0}")]
    File(#[source] io::Error),
}

impl ChangesError {
    /// The reason in an error that came through [`belay_change::Sink`] or [`belay_change::Images`], if it is one of
    /// these.
    pub fn within(error: &io::Error) -> Option<&ChangesError> {
        error.get_ref()?.downcast_ref()
    }
}

impl From<ChangesError> for io::Error {
    fn from(error: ChangesError) -> io::Error {
        let kind = match &error {
            ChangesError::File(cause) => cause.kind(),
            ChangesError::TooLarge(_) | ChangesError::TooManyRows(_) | ChangesError::RowTooLong(_) => {
                io::ErrorKind::FileTooLarge
            }
            ChangesError::Damaged(_) | ChangesError::OtherKey { .. } => io::ErrorKind::InvalidData,
            ChangesError::Missing(_) => io::ErrorKind::NotFound,
            ChangesError::Exists(_) => io::ErrorKind::AlreadyExists,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

impl ChangeFiles {
    /// The files below this state directory. The directory is made if it is not there, for its owner only.
    pub fn open(state: &Path, keys: Arc<Keys>, limits: Limits) -> Result<ChangeFiles, ChangesError> {
        let directory = state.join(DIRECTORY);
        DirBuilder::new().recursive(true).mode(0o700).create(&directory).map_err(ChangesError::File)?;
        std::fs::set_permissions(&directory, Permissions::from_mode(0o700)).map_err(ChangesError::File)?;
        sync(state)?;
        Ok(ChangeFiles { directory, keys, limits })
    }

    /// Begins a file. It has no name until it is finished.
    pub fn begin(&self) -> Result<SealedWriter, ChangesError> {
        SealedWriter::begin(self)
    }

    /// Opens a finished file.
    pub fn read(&self, name: &str) -> Result<SealedReader, ChangesError> {
        SealedReader::open(self, name)
    }

    /// Removes a finished file; `false` where there is none.
    pub fn remove(&self, name: &str) -> Result<bool, ChangesError> {
        match std::fs::remove_file(self.path(name)?) {
            Ok(()) => sync(&self.directory).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(ChangesError::File(error)),
        }
    }

    /// The names of all finished files, in order.
    pub fn names(&self) -> Result<Vec<String>, ChangesError> {
        let mut names: Vec<String> = self.files(FINISHED)?.iter().filter_map(|path| stem(path)).collect();
        names.sort();
        Ok(names)
    }

    /// Removes what a crash left unfinished, and says how many. For the start of the gateway only: a file that is
    /// being written looks the same.
    pub fn remove_leftovers(&self) -> Result<usize, ChangesError> {
        let leftovers = self.files(UNFINISHED)?;
        for path in &leftovers {
            std::fs::remove_file(path).map_err(ChangesError::File)?;
        }
        if !leftovers.is_empty() {
            sync(&self.directory)?;
        }
        Ok(leftovers.len())
    }

    fn files(&self, extension: &str) -> Result<Vec<PathBuf>, ChangesError> {
        let mut paths = Vec::new();
        // Ends because the directory does; nobody else writes there.
        for entry in std::fs::read_dir(&self.directory).map_err(ChangesError::File)? {
            let path = entry.map_err(ChangesError::File)?.path();
            if path.extension().is_some_and(|found| found == extension) {
                paths.push(path);
            }
        }
        Ok(paths)
    }

    fn path(&self, name: &str) -> Result<PathBuf, ChangesError> {
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if name.is_empty() || name.len() > NAME_MOST || !plain {
            return Err(ChangesError::Name(name.chars().filter(|c| !c.is_control()).take(NAME_MOST).collect()));
        }
        Ok(self.directory.join(format!("{name}.{FINISHED}")))
    }
}

/// Waits until the directory's entries are on the disk.
fn sync(directory: &Path) -> Result<(), ChangesError> {
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(ChangesError::File)
}

fn stem(path: &Path) -> Option<String> {
    Some(path.file_stem()?.to_str()?.to_owned())
}

#[cfg(test)]
mod tests;
