//! What belongs into the archive of a ledger: its closed segments, the tiles over them, the checkpoints that are kept
//! for good and the records that outlive their segments. Nothing of it ever changes. Laid into one directory under the
//! same names it is a ledger again.

use super::noted::Names;
use crate::ledger::checkpoint;
use crate::ledger::kept::{self, Proven};
use crate::ledger::segment;
use crate::ledger::tiles::Tiles;
use belay_ledger::{Hash, TILE_WIDTH, TilePath, partial_paths};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// An object that is to be sent.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) name: String,
    pub(super) content: Content,
}

#[derive(Debug, Clone)]
pub(super) enum Content {
    /// A segment.
    File(PathBuf),
    Bytes(Vec<u8>),
    /// A kept record, by its leaf.
    Kept(u64, Hash),
    /// A tile, or the beginning of one that is wider by now.
    Tile(TilePath),
}

/// What is not in the archive.
#[derive(Debug, Default)]
pub(super) struct Missing {
    pub(super) items: Vec<Item>,
    /// Closed segments, those that are not signed yet among them.
    pub(super) segments: BTreeMap<String, Waiting>,
    /// Up to where tiles were looked at.
    pub(super) tiles: u64,
}

/// A closed segment.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) bytes: u64,
    /// Since it was written to last.
    pub(super) age: Duration,
}

/// What is not among `there`, of a ledger that is signed up to record `sealed` and keeps these records, and which segments
/// it has. Tiles of the first `tiles` records are there.
pub(super) fn missing(
    dir: &Path,
    sealed: u64,
    there: &Names,
    kept: &Proven,
    tiles: u64,
) -> io::Result<(Missing, BTreeSet<u64>)> {
    let mut missing = Missing { tiles, ..Missing::default() };
    let history = checkpoint::history(dir).map_err(io::Error::other)?;
    // A copy of the archive has only these.
    let sealed = sealed.min(history.iter().map(|signed| signed.checkpoint.size).max().unwrap_or(0));
    for signed in history {
        let name = checkpoint::name(&signed);
        missing.add(there, name, || Content::Bytes(signed.note.to_string().into_bytes()));
    }
    let segments = segment::list(dir)?;
    let end = segments.iter().map(|segment| segment.first).filter(|first| *first <= sealed).max().unwrap_or(0);
    // Not before the segment that it is in.
    for (seq, leaf) in kept.records().filter(|(seq, _)| *seq < end) {
        missing.add(there, kept::name(seq), || Content::Kept(seq, leaf));
    }
    for (segment, next) in segments.iter().zip(segments.iter().skip(1)) {
        let name = segment::name(segment.first);
        if there.contains_key(&name) {
            continue;
        }
        let about = match fs::metadata(&segment.path) {
            // Retention deleted it since they were listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            about => about?,
        };
        let age = SystemTime::now().duration_since(about.modified()?).unwrap_or_default();
        missing.segments.insert(name.clone(), Waiting { bytes: about.len(), age });
        // What nobody signed is not kept as if somebody had.
        if next.first <= sealed {
            missing.add(there, name, || Content::File(segment.path.clone()));
        }
    }
    if end > tiles {
        for path in full_paths(tiles, end).chain(partial_paths(end)) {
            missing.add(there, path.to_string(), || Content::Tile(path));
        }
        missing.tiles = end;
    }
    Ok((missing, segments.iter().map(|segment| segment.first).collect()))
}

/// The whole of an object.
pub(super) fn read(dir: &Path, content: &Content) -> io::Result<Vec<u8>> {
    match content {
        Content::File(path) => fs::read(path),
        Content::Bytes(bytes) => Ok(bytes.clone()),
        Content::Kept(seq, leaf) => kept::read(dir, *seq, *leaf),
        Content::Tile(path) => Ok(Tiles::open(dir).read(*path).map_err(io::Error::other)?.encode()),
    }
}

impl Missing {
    fn add(&mut self, there: &Names, name: String, content: impl FnOnce() -> Content) {
        if !there.contains_key(&name) {
            self.items.push(Item { name, content: content() });
        }
    }
}

/// The tiles that are full in a tree of `to` records and were not in one of `from`.
fn full_paths(from: u64, to: u64) -> impl Iterator<Item = TilePath> {
    let full = |size: u64, level: u32| size.checked_shr(8 * (level + 1)).unwrap_or(0);
    (0..8).flat_map(move |level| {
        (full(from, level)..full(to, level)).map(move |index| TilePath { level, index, width: TILE_WIDTH })
    })
}
