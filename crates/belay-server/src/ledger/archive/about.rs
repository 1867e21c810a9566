//! What the records are about of a segment that only the archive still has, in `NUMBER.about` beside the segments: nothing
//! of it may be held when the object is deleted. It can be made anew out of the object.

use crate::files;
use crate::ledger::Mentioned;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Notes it for the segment of this name.
pub(in crate::ledger) fn note(dir: &Path, segment: &str, about: &Mentioned) -> io::Result<()> {
    files::replace(&path(dir, segment), &serde_json::to_vec(about)?, 0o600)
}

/// What was noted; nothing where that is not there or not whole.
pub(super) fn noted(dir: &Path, segment: &str) -> io::Result<Option<Mentioned>> {
    match fs::read(path(dir, segment)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        text => Ok(serde_json::from_slice(&text?).ok()),
    }
}

/// Its object is gone.
pub(super) fn forget(dir: &Path, segment: &str) -> io::Result<()> {
    match fs::remove_file(path(dir, segment)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn path(dir: &Path, segment: &str) -> PathBuf {
    dir.join(segment).with_extension("about")
}
