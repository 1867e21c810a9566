//! One server at a time: a lock on a file beside the store, which ends with the process.

use crate::StoreError;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

/// Held as long as the store is open.
#[derive(Debug)]
pub(crate) struct Lock(#[allow(dead_code, reason = "closing the file gives the lock back")] File);

pub(crate) fn take(folder: &Path) -> Result<Lock, StoreError> {
    let path = folder.join("belay.lock");
    let failed =
        |error: std::io::Error| StoreError::Folder { path: path.display().to_string(), detail: error.to_string() };
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(StoreError::InUse { folder: folder.display().to_string(), holder: holder(&mut file) });
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).map_err(failed)?;
    Ok(Lock(file))
}

/// Who wrote its number into the file; only a help for the operator.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.take(20).read_to_string(&mut text));
    match read {
        Ok(_) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => format!(" (process {text})"),
        _ => String::new(),
    }
}
