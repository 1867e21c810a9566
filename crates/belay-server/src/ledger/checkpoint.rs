//! The signed states of a ledger, in files beside its segments: `checkpoint` is the newest, `checkpoints` those that
//! are kept for good, one behind the other with an empty line between.

use super::recover::feed;
use super::segment;
use crate::files;
use belay_ledger::{Checkpoint, Note, Verifier};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

const LATEST: &str = "checkpoint";
const HISTORY: &str = "checkpoints";
/// How the names of files end that hold one checkpoint each, as an archive has them.
const SINGLE: &str = ".checkpoint";
/// What is read of either file.
const MOST: u64 = 256 << 20;

/// Why checkpoints cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointsError {
    /// The disk or its permissions.
    #[error("checkpoint file `{path}`: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It holds something else.
    #[error("checkpoint file `{path}` holds something that is no checkpoint, from line {line} on")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where it begins.
        line: usize,
    },
}

/// A signed state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// What is signed.
    pub checkpoint: Checkpoint,
    /// With its signatures.
    pub note: Note,
}

impl Signed {
    /// Reads a note. One of no records at all says nothing, and is none.
    pub fn read(text: &str) -> Option<Signed> {
        let note: Note = text.parse().ok()?;
        let checkpoint = Checkpoint::of(&note).ok().filter(|checkpoint| checkpoint.size > 0)?;
        Some(Signed { checkpoint, note })
    }
}

/// The newest checkpoint of the ledger in this directory. What was put together from an archive has each in a file of its
/// own, and some are of records that were not archived yet: these are left out.
pub fn latest(dir: &Path) -> Result<Option<Signed>, CheckpointsError> {
    if let Some(latest) = read_one(&dir.join(LATEST))? {
        return Ok(Some(latest));
    }
    let mut single = single(dir)?;
    if single.is_empty() {
        return Ok(None);
    }
    let failed = |source| CheckpointsError::Io { path: dir.to_owned(), source };
    let end = end(dir).map_err(failed)?;
    single.retain(|signed| signed.checkpoint.size <= end);
    Ok(single.pop())
}

/// Whether this is the directory of a gateway, or a copy of one, and was not put together from an archive.
pub(super) fn is_live(dir: &Path) -> bool {
    dir.join(LATEST).exists()
}

/// The checkpoint in this file.
pub(super) fn read_one(path: &Path) -> Result<Option<Signed>, CheckpointsError> {
    let Some(text) = text(path)? else { return Ok(None) };
    Signed::read(&text).map(Some).ok_or_else(|| CheckpointsError::Damaged { path: path.to_owned(), line: 1 })
}

/// The checkpoints that were kept, oldest first. An append that a crash cut short is no checkpoint.
pub fn history(dir: &Path) -> Result<Vec<Signed>, CheckpointsError> {
    let path = dir.join(HISTORY);
    let Some(text) = text(&path)? else { return single(dir) };
    let (mut found, mut rest, mut line) = (Vec::new(), text.as_str(), 1);
    while let Some(end) = end_of_note(rest) {
        let (note, more) = rest.split_at(end);
        let damaged = || CheckpointsError::Damaged { path: path.clone(), line };
        found.push(note.strip_suffix('\n').and_then(Signed::read).ok_or_else(damaged)?);
        line += note.matches('\n').count();
        rest = more;
    }
    Ok(found)
}

/// What the file of a checkpoint is called that is by itself. Two of the same state may bear other signatures.
pub(super) fn name(signed: &Signed) -> String {
    let hash = belay_ledger::leaf(signed.note.to_string().as_bytes()).to_string();
    format!("{:020}.{}{SINGLE}", signed.checkpoint.size, hash.get(..8).unwrap_or_default())
}

/// Whether a file of this name holds one checkpoint.
pub(super) fn is_name(name: &str) -> bool {
    name.ends_with(SINGLE)
}

/// The checkpoints that are in files of their own, oldest first.
fn single(dir: &Path) -> Result<Vec<Signed>, CheckpointsError> {
    let failed = |source| CheckpointsError::Io { path: dir.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|end| end == SINGLE.trim_start_matches('.')) {
            found.extend(read_one(&path)?);
        }
    }
    found.sort_by_key(|signed: &Signed| signed.checkpoint.size);
    Ok(found)
}

/// How many records a ledger has, as far as its last segment is right.
fn end(dir: &Path) -> io::Result<u64> {
    let Some(last) = segment::list(dir)?.pop() else { return Ok(0) };
    let mut verifier = Verifier::new(None);
    let mut end = last.first;
    feed(&mut File::open(&last.path)?, &mut verifier, &mut |frame| end = frame.after.size)?;
    Ok(end)
}

/// Where the first note and the empty line behind it end: a note has one empty line within, before its signatures.
fn end_of_note(text: &str) -> Option<usize> {
    let within = text.find("\n\n")? + 2;
    Some(within + text.get(within..)?.find("\n\n")? + 2)
}

/// Makes it the newest.
pub(super) fn publish(dir: &Path, signed: &Signed) -> io::Result<()> {
    files::replace(&dir.join(LATEST), signed.note.to_string().as_bytes(), 0o600)
}

/// Keeps it for good.
pub(super) fn keep(dir: &Path, signed: &Signed) -> io::Result<()> {
    let path = dir.join(HISTORY);
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path)?;
    // What a crash has cut short is taken off.
    let text = fs::read_to_string(&path)?;
    let mut whole = 0;
    while let Some(end) = text.get(whole..).and_then(end_of_note) {
        whole += end;
    }
    if whole < text.len() {
        file.set_len(whole as u64)?;
    }
    file.write_all(format!("{}\n", signed.note).as_bytes())?;
    file.sync_all()
}

fn text(path: &Path) -> Result<Option<String>, CheckpointsError> {
    let failed = |source| CheckpointsError::Io { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let damaged = || CheckpointsError::Damaged { path: path.to_owned(), line: 1 };
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(damaged());
    }
    let mut bytes = Vec::new();
    file.take(MOST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MOST {
        return Err(damaged());
    }
    String::from_utf8(bytes).map(Some).map_err(|_| damaged())
}
