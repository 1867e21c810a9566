//! Whether the records are those that were signed.

use super::report::Fault;
use crate::ledger::Deletion;
use crate::ledger::checkpoint::{self, CheckpointsError, Signed};
use crate::ledger::tiles::{TileError, Tiles};
use belay_ledger::{Frame, Hash, Record, Tile, TilePath, Tree, VerifierKey, leaf};
use belay_model::EventKind;
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

const OTHER: &str = "the tile is not what the records make of it";

/// Whose word is taken, and what was noted elsewhere.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// Keys that are known from elsewhere. One that such a key has signed in takes its place; see `ledger_key_added`.
    pub keys: Vec<VerifierKey>,
    /// Checkpoints that were kept elsewhere: the ledger has to have gone through each.
    pub noted: Vec<Signed>,
}

/// A checkpoint that the records have to come to.
struct Due {
    signed: Signed,
    file: &'static str,
}

/// Compares records, as they are read, with checkpoints and tiles.
pub(super) struct Signatures {
    /// By size.
    due: VecDeque<Due>,
    /// How many records the newest checkpoint beside the ledger has: tiles up to there are on the disk.
    newest: u64,
    trusted: Vec<VerifierKey>,
    is_checked: bool,
    /// Keys that were added, by whom, in which record.
    added: Vec<(u64, VerifierKey, VerifierKey)>,
    /// Records that are in files of their own as well, by their numbers.
    kept: BTreeMap<u64, Vec<u8>>,
    /// The last of the records that say what was deleted, and the first record that was.
    said: Option<(u64, u64)>,
    tree: Tree,
    tiles: Option<Tiles>,
    /// The first tile that is not what the records make of it.
    odd_tile: Option<(TilePath, u64, &'static str)>,
    /// Records and checkpoints that are proven.
    pub(super) signed: Option<u64>,
    pub(super) checkpoints: u64,
    pub(super) fault: Option<Fault>,
}

impl Signatures {
    pub(super) fn new(dir: &Path, trust: Option<&Trust>) -> Result<Signatures, CheckpointsError> {
        let mut fault = None;
        let failed = |source| CheckpointsError::Io { path: dir.to_owned(), source };
        let kept = crate::ledger::kept::load(dir).map_err(failed)?;
        let newest = read_or(checkpoint::latest(dir), &mut fault)?.flatten();
        let history = read_or(checkpoint::history(dir), &mut fault)?.unwrap_or_default();
        let size = newest.as_ref().map_or(0, |signed| signed.checkpoint.size);
        let mut history = history;
        if !checkpoint::is_live(dir) {
            // An archive has checkpoints of records whose segment is not closed.
            history.retain(|signed| signed.checkpoint.size <= size);
        }
        let due = |file| move |signed| Due { signed, file };
        let noted = trust.map(|trust| trust.noted.clone()).unwrap_or_default();
        let all = history.into_iter().map(due("checkpoints")).chain(newest.into_iter().map(due("checkpoint")));
        let mut due: Vec<Due> = all.chain(noted.into_iter().map(due("the noted checkpoint"))).collect();
        due.sort_by_key(|due| due.signed.checkpoint.size);
        let has_tiles = dir.join("tile").is_dir();
        let trusted = trust.map(|trust| trust.keys.clone()).unwrap_or_default();
        if fault.is_none() && size == 0 && !trusted.is_empty() {
            fault = Some(whole("checkpoint", 0, "there is no checkpoint, so nothing is signed".to_owned()));
        }
        Ok(Signatures {
            due: due.into(),
            newest: size,
            is_checked: !trusted.is_empty(),
            trusted,
            added: Vec::new(),
            kept: kept.into_iter().map(|kept| (kept.seq, kept.payload)).collect(),
            said: None,
            tree: Tree::default(),
            tiles: has_tiles.then(|| Tiles::open(dir)),
            odd_tile: None,
            signed: None,
            checkpoints: 0,
            fault,
        })
    }

    /// The next record.
    pub(super) fn see(&mut self, frame: &Frame<'_>) {
        self.take(frame.seq, leaf(frame.payload), Some(frame.payload));
    }

    /// The next record, of which there is only the hash.
    pub(super) fn pass(&mut self, seq: u64, leaf: Hash) {
        self.take(seq, leaf, None);
    }

    /// What says that records were deleted has to be a record itself, and a signed one.
    pub(super) fn needs(&mut self, deletion: &Deletion) {
        if self.said.is_none_or(|(record, _)| record < deletion.record) {
            self.said = Some((deletion.record, deletion.first));
        }
    }

    fn take(&mut self, seq: u64, leaf: Hash, payload: Option<&[u8]>) {
        if self.fault.is_some() {
            return;
        }
        let kept = self.kept.remove(&seq);
        if kept.as_ref().is_some_and(|kept| belay_ledger::leaf(kept) != leaf) {
            let what = format!("it is not record {seq} of the ledger");
            self.fault = Some(whole(&crate::ledger::kept::name(seq), seq, what));
            return;
        }
        let mut full = Vec::new();
        let pushed = self.tree.push(leaf, &mut |tile: Tile| -> Result<(), std::convert::Infallible> {
            full.push(tile);
            Ok(())
        });
        let Ok(()) = pushed;
        for tile in full {
            self.compare(&tile);
        }
        if let Some(payload) = payload.or(kept.as_deref()) {
            self.note_key(seq, payload);
        }
        while self.due.front().is_some_and(|due| due.signed.checkpoint.size <= self.tree.size()) {
            let Some(due) = self.due.pop_front() else { break };
            self.check(&due);
        }
    }

    /// The records are over.
    pub(super) fn finish(&mut self) {
        let there = self.tree.size();
        // Anybody can write one to the history that no trusted key has signed.
        let counts = |due: &Due| {
            !self.is_checked || due.file != "checkpoints" || !due.signed.note.verify(&self.trusted).is_empty()
        };
        let left = self.due.iter().rposition(counts).and_then(|place| self.due.remove(place));
        if let Some(Due { signed, file }) = left.filter(|_| self.fault.is_none()) {
            let size = signed.checkpoint.size;
            self.compare_partial();
            if self.odd_tile.is_some_and(|(path, _, how)| path.level == 0 && how == OTHER) {
                return self.different(size, file);
            }
            let what =
                format!("records {there} to {} are missing: a checkpoint of {size} records was signed", size - 1);
            self.fault = Some(whole(file, there, what));
        }
        let reached = if self.is_checked { self.signed.unwrap_or(0) } else { there };
        if let (None, Some((record, first))) = (&self.fault, self.said)
            && record >= reached
        {
            let what = if record < there {
                format!("record {record} says that this and others were deleted, and is not signed")
            } else {
                format!("record {record} is to say that this and others were deleted, and is not there")
            };
            self.fault = Some(whole(&crate::ledger::kept::name(record), first, what));
        }
        if let (None, Some((path, seq, how))) = (&self.fault, self.odd_tile) {
            self.fault = Some(Fault { file: path.to_string(), seq, offset: 0, what: how.to_owned() });
        }
    }

    fn compare(&mut self, tile: &Tile) {
        let path = tile.path;
        let last = (path.index + 1).checked_shl(8 * (path.level + 1)).unwrap_or(u64::MAX);
        if self.odd_tile.is_some() || last > self.newest {
            return;
        }
        let Some(tiles) = &self.tiles else { return };
        self.odd_tile = oddity(tiles, tile);
    }

    /// The tiles at the end of the tree.
    fn compare_partial(&mut self) {
        if let (Some(tiles), None) = (&self.tiles, &self.odd_tile) {
            self.odd_tile = self.tree.partial().iter().find_map(|tile| oddity(tiles, tile));
        }
    }

    fn note_key(&mut self, seq: u64, payload: &[u8]) {
        const KIND: &[u8] = b"\"kind\":\"ledger_key_added\"";
        // Whom nobody trusts signs nobody in.
        if !self.is_checked {
            return;
        }
        if !payload.windows(KIND.len()).any(|part| part == KIND) {
            return;
        }
        if let Ok(Record { event, .. }) = Record::decode(payload)
            && let EventKind::LedgerKeyAdded { key, replaces: Some(replaces) } = event.kind
            && let (Ok(key), Ok(replaces)) = (key.parse(), replaces.parse())
        {
            self.added.push((seq, key, replaces));
        }
    }

    fn check(&mut self, due: &Due) {
        let Due { signed, file } = due;
        let size = signed.checkpoint.size;
        let signers: Vec<VerifierKey> = signed.note.verify(&self.trusted).into_iter().cloned().collect();
        // An older one may bear an older key; the newest proves what is before it as well.
        if self.is_checked && signers.is_empty() && (*file == "checkpoint" || size > self.newest) {
            return self.untrusted(size, file);
        }
        if self.is_checked && signers.is_empty() && *file == "checkpoints" {
            return;
        }
        if size != self.tree.size() || signed.checkpoint.root != self.tree.root() {
            return self.different(size, file);
        }
        self.checkpoints += 1;
        if *file == "checkpoint" {
            self.compare_partial();
        }
        if signers.is_empty() {
            return;
        }
        self.signed = Some(size);
        for (seq, key, replaces) in &self.added {
            // It has to have signed as well: a record alone makes nobody trusted.
            let is_signed_in = *seq < size && signers.contains(replaces) && !signed.note.verify([key]).is_empty();
            if is_signed_in && !self.trusted.contains(key) {
                self.trusted.push(key.clone());
            }
        }
    }

    fn untrusted(&mut self, size: u64, file: &str) {
        let what = format!("the checkpoint of {size} records is signed by no key that is trusted");
        self.fault = Some(whole(file, size.saturating_sub(1), what));
    }

    /// Which record it is, as far as the tiles tell.
    fn different(&mut self, size: u64, file: &str) {
        self.compare_partial();
        let before = self.signed.unwrap_or(0);
        self.fault = Some(match self.odd_tile {
            Some((path, seq, OTHER)) if path.level == 0 && seq < size => {
                whole(file, seq, format!("record {seq} is not the one that was signed"))
            }
            _ => {
                let what = format!("one of the records {before} to {} is not the one that was signed", size - 1);
                whole(file, before, what)
            }
        });
    }
}

/// A damaged file is a finding, not a reason to stop.
fn read_or<T>(read: Result<T, CheckpointsError>, fault: &mut Option<Fault>) -> Result<Option<T>, CheckpointsError> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(CheckpointsError::Damaged { path, line }) => {
            let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let what = format!("it holds something that is no checkpoint, from line {line} on");
            fault.get_or_insert(Fault { file, seq: 0, offset: 0, what });
            Ok(None)
        }
        Err(error @ CheckpointsError::Io { .. }) => Err(error),
    }
}

fn whole(file: &str, seq: u64, what: String) -> Fault {
    Fault { file: file.to_owned(), seq, offset: 0, what }
}

/// Where a stored tile is not what the records make of it: which tile, the first record that it is about, and how.
fn oddity(tiles: &Tiles, tile: &Tile) -> Option<(TilePath, u64, &'static str)> {
    let path = tile.path;
    let first = |place: usize| (path.index * 256 + place as u64) << (8 * path.level);
    match tiles.read(path) {
        Ok(stored) => {
            let place = stored.hashes.iter().zip(&tile.hashes).position(|(stored, made)| stored != made)?;
            Some((path, first(place), OTHER))
        }
        Err(TileError::Missing(_) | TileError::NoTile(_)) => Some((path, first(0), "the tile is missing or cut short")),
        Err(TileError::Io { .. }) => Some((path, first(0), "the tile cannot be read")),
    }
}
