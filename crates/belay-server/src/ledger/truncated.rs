//! What was taken off the end of a ledger, kept until the ledger itself says so: a start may be cut short in between.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The file beside the segments that holds a line for each.
const FILE: &str = "truncated";

/// The end of an append that a crash cut short. Nobody was told that it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truncated {
    /// The segment.
    pub path: PathBuf,
    /// The number that the record would have had.
    pub seq: u64,
    /// Where it began.
    pub offset: u64,
    /// How many bytes were taken off.
    pub bytes: u64,
}

impl fmt::Display for Truncated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Truncated { path, seq, offset, bytes } = self;
        let path = path.display();
        write!(f, "took {bytes} bytes of an unfinished append off `{path}` at byte {offset}, before record {seq}")
    }
}

/// Notes what is about to be taken off, durably.
pub(super) fn note(dir: &Path, truncated: &Truncated) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(dir.join(FILE))?;
    writeln!(file, "{truncated}")?;
    file.sync_all()?;
    File::open(dir)?.sync_all()
}

/// What was noted and may be in no record.
pub(super) fn noted(dir: &Path) -> io::Result<Vec<String>> {
    match fs::read_to_string(dir.join(FILE)) {
        Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// All of it is on the record.
pub(super) fn forget(dir: &Path) -> io::Result<()> {
    match fs::remove_file(dir.join(FILE)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
