//! Writing a file in one step.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Replaces the file in one step: a crash leaves the old or the new one. Waits for the disk.
pub(crate) fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let (fresh, file) = write_beside(path, content, mode)?;
    file.sync_all()?;
    std::fs::rename(fresh, path)?;
    sync_folder(path)
}

/// The same for what can be made anew: does not wait for the disk.
pub(crate) fn replace_soon(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let (fresh, _) = write_beside(path, content, mode)?;
    std::fs::rename(fresh, path)
}

/// Makes the file in one step, never over one that is there. Waits for the disk.
pub(crate) fn create(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let (fresh, file) = write_beside(path, content, mode)?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&fresh, path);
    std::fs::remove_file(&fresh)?;
    linked?;
    sync_folder(path)
}

/// Writes the content to a file of another name, and returns both.
fn write_beside(path: &Path, content: &[u8], mode: u32) -> io::Result<(PathBuf, File)> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let fresh = PathBuf::from(name);
    // A file left behind by a crash may have other rights; `mode` counts only where the file is made.
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
    file.write_all(content)?;
    Ok((fresh, file))
}

/// Puts the names in the file's folder on the disk.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    File::open(dir).and_then(|dir| dir.sync_all())
}
