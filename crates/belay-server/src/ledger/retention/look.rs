//! A segment that may go: what is in it, and that the tree proves it.

use super::RetentionError;
use crate::ledger::Mentioned;
use crate::ledger::kept::{self, Deletion, Kept};
use crate::ledger::recover::PIECE;
use crate::ledger::segment::{self, Segment};
use crate::ledger::tiles::Tiles;
use belay_ledger::{HEADER_LEN, Hash, Position, TILE_WIDTH, Verifier, link};
use belay_model::Timestamp;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// A whole segment.
pub(super) struct Looked {
    pub(super) before: Position,
    pub(super) after: Position,
    pub(super) bytes: u64,
    pub(super) hash: Hash,
    pub(super) about: Mentioned,
    /// Records that have to outlive it.
    pub(super) kept: Vec<Kept>,
}

/// The segment; nothing as soon as one of its records is not older than `ends`, if that is given.
pub(super) fn look(segment: &Segment, ends: Option<Timestamp>) -> Result<Option<Looked>, RetentionError> {
    let failed = |source| RetentionError::Io { path: segment.path.clone(), source };
    let mut file = File::open(&segment.path).map_err(failed)?;
    let chain = segment::chain_before(&file, HEADER_LEN as u64).map_err(failed)?.unwrap_or(Hash::ZERO);
    let before = Position { size: segment.first, chain };
    let (mut after, mut is_old, mut about, mut kept) = (before, true, Mentioned::default(), Vec::new());
    let (mut verifier, mut hash, mut piece) = (Verifier::new(Some(before)), Sha256::new(), vec![0; PIECE]);
    while is_old {
        let read = match file.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => piece.get(..read.map_err(failed)?).unwrap_or_default(),
        };
        if read.is_empty() {
            break;
        }
        hash.update(read);
        verifier.feed(read, &mut |frame| {
            after = frame.after;
            let at = about.see(frame.payload);
            // A record that does not say when it was is not known to be old.
            is_old &= ends.is_none_or(|ends| at.is_some_and(|at| at < ends));
            if kept::outlives(frame.payload) {
                kept.push(Kept { seq: frame.seq, payload: frame.payload.to_vec() });
            }
        });
    }
    let damaged = |damage| RetentionError::Damaged { path: segment.path.clone(), damage };
    let end = verifier.finish().map_err(damaged)?;
    if !is_old || after.size == before.size || end.torn.is_some() {
        return Ok(None);
    }
    let hash = Hash(hash.finalize().into());
    Ok(Some(Looked { before, after, bytes: end.valid_len, hash, about, kept }))
}

impl Looked {
    pub(super) fn last(&self) -> u64 {
        self.after.size - 1
    }

    /// Whether the tree, which is signed up to `signed`, proves it; it does once its tiles are full.
    pub(super) fn is_proven(&self, dir: &Path, signed: u64) -> Result<bool, RetentionError> {
        if self.after.size.next_multiple_of(TILE_WIDTH as u64) > signed {
            return Ok(false);
        }
        let mut chain = self.before.chain;
        Tiles::open(dir).leaves(self.before.size, self.after.size, &mut |_, leaf| chain = link(chain, leaf))?;
        if chain == self.after.chain { Ok(true) } else { Err(RetentionError::Unproven(self.before.size, self.last())) }
    }

    /// Whether it is the one that a record says was deleted.
    pub(super) fn is_that(&self, deletion: &Deletion) -> bool {
        let there = (self.before.size, self.before.chain, self.last(), self.after.chain);
        there == (deletion.first, deletion.before, deletion.last, deletion.after)
    }
}
