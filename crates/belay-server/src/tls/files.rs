//! Certificate and key files.

use super::TlsError;
use std::fs::{DirBuilder, File};
use std::io::Read;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// No certificate chain is larger.
const MAX_BYTES: u64 = 1024 * 1024;

/// The file's content, bounded.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |cause| TlsError::File { path: path.to_owned(), cause };
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(MAX_BYTES).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Makes the directory, for its owner only.
pub(super) fn make_dir(path: &Path) -> Result<(), TlsError> {
    let failed = |cause| TlsError::File { path: path.to_owned(), cause };
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)
}

/// Replaces the file in one step: a crash leaves the old or the new one.
pub(super) fn replace(path: &Path, content: &[u8], mode: u32) -> Result<(), TlsError> {
    crate::files::replace(path, content, mode).map_err(|cause| TlsError::File { path: path.to_owned(), cause })
}
