//! The files of a ledger: `00000000000000000000.ledger`, named for the first record in it, and `lock`.

use belay_ledger::{Damage, HEADER_LEN, Hash, Header, Position};
use belay_model::Timestamp;
use serde::Deserialize;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

const SUFFIX: &str = ".ledger";

/// Why a ledger cannot be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another process has it.
    #[error("ledger `{0}` is in use by another process")]
    Locked(PathBuf),
    /// The disk or its permissions.
    #[error("ledger file `{path}`: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Records were tampered with, or the disk lost them.
    #[error("ledger file `{path}` is damaged: {damage}; nothing was changed")]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// What is wrong with it.
        damage: Damage,
    },
}

/// A segment in the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    /// The number of its first record.
    pub(super) first: u64,
    pub(super) path: PathBuf,
}

/// Where appending goes on.
pub(super) struct Tail {
    pub(super) position: Position,
    /// The last segment; absent when there is none yet.
    pub(super) file: Option<File>,
    /// Its bytes.
    pub(super) len: u64,
}

/// Makes the directory if it isn't there, closes it to others, and takes the lock on it, which the file holds.
pub(super) fn lock(dir: &Path) -> Result<File, LedgerError> {
    let failed = |source| LedgerError::Io { path: dir.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    let mut permissions = fs::metadata(dir).map_err(failed)?.permissions();
    if permissions.mode() & 0o077 != 0 {
        permissions.set_mode(0o700);
        fs::set_permissions(dir, permissions).map_err(failed)?;
    }
    let file = options().truncate(false).open(dir.join("lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LedgerError::Locked(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// What a segment is called whose first record this is.
pub(super) fn name(first: u64) -> String {
    format!("{first:020}{SUFFIX}")
}

/// Whether a segment is called so.
pub(super) fn is_name(name: &str) -> bool {
    name.ends_with(SUFFIX)
}

/// The segments of a directory in order.
pub(super) fn list(dir: &Path) -> io::Result<Vec<Segment>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(SUFFIX));
        // Other files are nobody's records.
        if let Some(first) = name.filter(|name| name.len() == 20).and_then(|name| name.parse().ok()) {
            segments.push(Segment { first, path });
        }
    }
    segments.sort_by_key(|segment| segment.first);
    Ok(segments)
}

/// The chain that stands before byte `offset` of a segment, where a frame begins; `None` where none can.
pub(super) fn chain_before(file: &File, offset: u64) -> io::Result<Option<Hash>> {
    let mut header = [0; HEADER_LEN];
    let mut chain = [0; 32];
    let read = match offset.checked_sub(HEADER_LEN as u64) {
        None => return Ok(None),
        Some(0) => file.read_exact_at(&mut header, 0),
        Some(_) => file.read_exact_at(&mut chain, offset - 32),
    };
    match read {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
        Ok(()) if offset == HEADER_LEN as u64 => Ok(Header::decode(&header).ok().map(|header| header.start.chain)),
        Ok(()) => Ok(Some(Hash(chain))),
    }
}

/// Begins a segment at `position`. A file of that name can only be what an earlier attempt left: it holds no record.
pub(super) fn create(dir: &Path, position: Position) -> io::Result<File> {
    let path = dir.join(name(position.size));
    let mut file = options().truncate(true).open(&path)?;
    let written = file.write_all(&Header { start: position }.encode()).and_then(|()| file.sync_all());
    if let Err(error) = written {
        drop(fs::remove_file(&path));
        return Err(error);
    }
    File::open(dir)?.sync_all()?;
    Ok(file)
}

/// The time of a record, which is read without the rest of it.
pub(super) fn time_of(payload: &[u8]) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Timed {
        at: Timestamp,
    }
    serde_json::from_slice::<Timed>(payload).ok().map(|timed| timed.at)
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600);
    options
}
