//! How far an output has come, kept across restarts.

use crate::files;
use belay_ledger::Position;
use std::fs;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Where the files are, in the data directory.
const DIR: &str = "events";
/// No position is longer.
const MAX_BYTES: u64 = 256;

/// The file with the position after the last record that the receiver has.
#[derive(Debug, Clone)]
pub(super) struct CursorFile {
    path: PathBuf,
}

impl CursorFile {
    /// That of the output called `name`.
    pub(super) fn of(data_dir: &Path, name: &str) -> CursorFile {
        CursorFile { path: data_dir.join(DIR).join(format!("{name}.cursor")) }
    }

    /// The position; `None` if the output is new.
    pub(super) fn read(&self) -> io::Result<Option<Position>> {
        let file = match fs::File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let mut text = String::new();
        file.take(MAX_BYTES).read_to_string(&mut text)?;
        text.trim_end().parse().map(Some).map_err(io::Error::other)
    }

    /// Waits for the disk.
    pub(super) fn write(&self, position: Position) -> io::Result<()> {
        let dir = self.path.parent().unwrap_or(Path::new("."));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        files::replace(&self.path, format!("{position}\n").as_bytes(), 0o600)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_comes_back_and_nonsense_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let cursor = CursorFile::of(dir.path(), "siem");
        assert_eq!(cursor.read().unwrap(), None);
        let position = Position { size: 42, chain: belay_ledger::leaf(b"x") };
        cursor.write(position).unwrap();
        assert_eq!(cursor.read().unwrap(), Some(position));
        fs::write(dir.path().join("events/siem.cursor"), "42").unwrap();
        assert!(cursor.read().is_err());
    }
}
