//! Verifying over records that retention deleted: by the tree's hashes of them, and the record that says that they went.

use super::report::Fault;
use super::signed::Signatures;
use crate::ledger::kept::{self, Deletion};
use crate::ledger::tiles::{TileError, Tiles};
use belay_ledger::{Position, link};
use belay_model::Timestamp;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;

/// Neighbouring records that retention deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// The first of them.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// When the last of them were deleted.
    pub at: Timestamp,
    /// The first record that says so.
    pub record: u64,
    /// The last.
    pub last_record: u64,
}

/// What is known of deleted records.
pub(super) struct Deleted {
    deletions: Vec<Deletion>,
    tiles: Tiles,
    pub(super) gone: Vec<Gone>,
}

impl Deleted {
    pub(super) fn of(dir: &Path) -> io::Result<Deleted> {
        Ok(Deleted { deletions: kept::deletions(dir)?, tiles: Tiles::open(dir), gone: Vec::new() })
    }

    /// Goes from where the ledger stands to before record `to`, whose segment is the next one that is there.
    pub(super) fn pass_over(
        &mut self,
        from: Position,
        to: u64,
        known: &mut dyn FnMut(Position),
        signatures: &mut Signatures,
    ) -> Result<Position, Fault> {
        let mut position = from;
        // Each turn goes on by at least one record.
        while position.size < to {
            let fits = |next: &&Deletion| (next.first..to).contains(&next.last);
            let Some(next) = kept::beginning_at(&self.deletions, position.size).iter().find(fits).cloned() else {
                return Err(missing(position.size, to));
            };
            let mut after = position;
            let passed = self.tiles.leaves(next.first, next.last + 1, &mut |seq, leaf| {
                after = Position { size: seq + 1, chain: link(after.chain, leaf) };
                signatures.pass(seq, leaf);
                known(after);
            });
            passed.map_err(|error| unproven(&next, &error))?;
            if next.before != position.chain || next.after != after.chain {
                let what = format!(
                    "the tree does not prove records {} to {}, which record {} says were deleted",
                    next.first, next.last, next.record
                );
                return Err(fault(kept::name(next.record), next.first, what));
            }
            signatures.needs(&next);
            self.note(&next);
            position = after;
        }
        Ok(position)
    }

    fn note(&mut self, next: &Deletion) {
        match self.gone.last_mut().filter(|gone| gone.last + 1 == next.first) {
            Some(gone) => {
                gone.last = next.last;
                gone.at = gone.at.max(next.at);
                gone.record = gone.record.min(next.record);
                gone.last_record = gone.last_record.max(next.record);
            }
            None => self.gone.push(Gone {
                first: next.first,
                last: next.last,
                at: next.at,
                record: next.record,
                last_record: next.record,
            }),
        }
    }
}

fn missing(from: u64, to: u64) -> Fault {
    let what = format!("records {from} to {} are missing, and no record says that they were deleted", to - 1);
    fault(crate::ledger::segment::name(from), from, what)
}

fn unproven(next: &Deletion, error: &TileError) -> Fault {
    let what = format!(
        "records {} to {} were deleted, and the tree's hashes of them are needed: {error}",
        next.first, next.last
    );
    fault("tile".to_owned(), next.first, what)
}

fn fault(file: String, seq: u64, what: String) -> Fault {
    Fault { file, seq, offset: 0, what }
}
