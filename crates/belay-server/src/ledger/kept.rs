//! Records that outlive their segments: what retention deleted, and which keys were added.
//!
//! Each is in a file of its own, `NUMBER.kept`, which holds the record's payload. It proves nothing by itself: its leaf
//! has to be the one that the tree has at that place.

use super::tiles::Tiles;
use crate::files;
use belay_ledger::{Checkpoint, Hash, MAX_PAYLOAD, Position, Record, leaf};
use belay_model::{EventKind, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

const SUFFIX: &str = ".kept";

/// A record that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) seq: u64,
    pub(super) payload: Vec<u8>,
}

/// A segment that retention deleted, as a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// The record that says so.
    pub record: u64,
    /// When.
    pub at: Timestamp,
    /// The first record that is gone.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// The chain before the first.
    pub before: Hash,
    /// The chain after the last.
    pub after: Hash,
}

/// What a record's file is called.
pub(super) fn name(seq: u64) -> String {
    format!("{seq:020}{SUFFIX}")
}

/// Which records a directory keeps, in order.
pub(super) fn numbers(dir: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).filter(|digits| digits.len() == 20);
        found.extend(digits.and_then(|digits| digits.parse::<u64>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

/// What is kept, in the order of the ledger.
pub(super) fn load(dir: &Path) -> io::Result<Vec<Kept>> {
    numbers(dir)?.into_iter().map(|seq| Ok(Kept { seq, payload: payload(dir, seq)? })).collect()
}

/// Keeps a record for good.
pub(super) fn keep(dir: &Path, kept: &Kept) -> io::Result<()> {
    match files::create(&dir.join(name(kept.seq)), &kept.payload, 0o600) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && payload(dir, kept.seq)? == kept.payload => Ok(()),
        other => other,
    }
}

/// The segments that were deleted, in the order of the ledger.
pub(super) fn deletions(dir: &Path) -> io::Result<Vec<Deletion>> {
    let mut found: Vec<Deletion> = load(dir)?.iter().filter_map(Kept::deletion).collect();
    found.sort_by_key(|deletion| (deletion.first, deletion.record));
    Ok(found)
}

/// Whether it has to outlive its segment.
pub(super) fn outlives(payload: &[u8]) -> bool {
    const KINDS: [&[u8]; 2] = [b"\"kind\":\"ledger_key_added\"", b"\"kind\":\"segment_deleted\""];
    KINDS.iter().any(|kind| payload.windows(kind.len()).any(|part| part == *kind))
        && Record::decode(payload).is_ok_and(|record| {
            matches!(record.event.kind, EventKind::LedgerKeyAdded { .. } | EventKind::SegmentDeleted { .. })
        })
}

/// Where the ledger stands before record `to`, if all records between were deleted as these say.
pub(super) fn bridge(deletions: &[Deletion], from: Position, to: u64) -> Option<Position> {
    let mut position = from;
    // Each turn goes on by at least one record.
    while position.size < to {
        let next = beginning_at(deletions, position.size)
            .iter()
            .find(|next| next.before == position.chain && next.last >= next.first && next.last < to)?;
        position = Position { size: next.last + 1, chain: next.after };
    }
    Some(position)
}

/// Those of sorted deletions whose first record this is.
pub(super) fn beginning_at(deletions: &[Deletion], first: u64) -> &[Deletion] {
    let from = deletions.partition_point(|next| next.first < first);
    let rest = deletions.get(from..).unwrap_or_default();
    rest.get(..rest.partition_point(|next| next.first == first)).unwrap_or_default()
}

/// The kept records that the signed tree has at their places, for those who act by what they say. Each file is read once.
#[derive(Debug, Default)]
pub(super) struct Proven {
    records: BTreeMap<u64, (Hash, Option<Deletion>)>,
    /// Those that were told to be no records.
    told: BTreeSet<u64>,
}

impl Proven {
    /// Looks at what is new in the directory of the ledger that is signed like this.
    pub(super) fn look(&mut self, dir: &Path, signed: &Checkpoint) -> io::Result<()> {
        let tiles = Tiles::open(dir);
        for seq in numbers(dir)? {
            if seq >= signed.size || self.records.contains_key(&seq) {
                continue;
            }
            let kept = Kept { seq, payload: payload(dir, seq)? };
            let leaf = leaf(&kept.payload);
            // Where there is no proof there may be one later.
            let proof = tiles.inclusion(seq, signed.size).ok().flatten();
            if proof.is_some_and(|proof| proof.verify(leaf, signed.root)) {
                self.records.insert(seq, (leaf, kept.deletion()));
            } else if self.told.insert(seq) {
                tracing::error!(
                    "`{}` is not proven to be record {seq} of the ledger, and nothing is done by it",
                    name(seq)
                );
            }
        }
        Ok(())
    }

    /// Their numbers and leaves.
    pub(super) fn records(&self) -> impl Iterator<Item = (u64, Hash)> {
        self.records.iter().map(|(seq, (leaf, _))| (*seq, *leaf))
    }

    /// What they say was deleted.
    pub(super) fn deletions(&self) -> impl Iterator<Item = &Deletion> {
        self.records.values().filter_map(|(_, deletion)| deletion.as_ref())
    }
}

/// The record with this number, if its leaf is this one.
pub(super) fn read(dir: &Path, seq: u64, is: Hash) -> io::Result<Vec<u8>> {
    let payload = payload(dir, seq)?;
    if leaf(&payload) == is {
        return Ok(payload);
    }
    Err(io::Error::other(format!("`{}` was changed", name(seq))))
}

impl Kept {
    pub(super) fn deletion(&self) -> Option<Deletion> {
        let record = Record::decode(&self.payload).ok().filter(|record| record.seq == self.seq)?;
        let EventKind::SegmentDeleted { first, last, chain_before, chain_after, .. } = &record.event.kind else {
            return None;
        };
        Some(Deletion {
            record: self.seq,
            at: record.event.at,
            first: *first,
            last: *last,
            before: hash(chain_before)?,
            after: hash(chain_after)?,
        })
    }
}

fn hash(digits: &str) -> Option<Hash> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(digits, &mut bytes).ok().map(|()| Hash(bytes))
}

fn payload(dir: &Path, seq: u64) -> io::Result<Vec<u8>> {
    let mut payload = Vec::new();
    // One that is longer is no record, and its leaf is not in the tree.
    File::open(dir.join(name(seq)))?.take(MAX_PAYLOAD as u64 + 1).read_to_end(&mut payload)?;
    Ok(payload)
}
