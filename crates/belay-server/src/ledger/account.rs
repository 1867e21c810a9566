//! The account of one session or one access request, out of the files of a ledger: its records, with the proofs that they
//! are in it.

use super::checkpoint::{self, CheckpointsError};
use super::kept;
use super::read::{self, ReadError};
use super::tiles::{TileError, Tiles};
use belay_ledger::InclusionProof;
use belay_model::SessionId;
use belay_report::{Document, RECORDS_MOST, Scout, Selection, Subject, Taken};
use std::path::Path;

/// Why there is no account.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The records.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The checkpoint.
    #[error(transparent)]
    Checkpoints(#[from] CheckpointsError),
    /// The tree.
    #[error(transparent)]
    Tiles(#[from] TileError),
    /// A record is behind the tiles that its checkpoint needs.
    #[error("the ledger's tiles hold no proof of record {0}")]
    Unproven(u64),
    /// Nothing is recorded of it.
    #[error("the ledger has no record of {0}")]
    Unknown(Subject),
    /// Nothing is recorded of it, up to the end of what retention has deleted at least.
    #[error("the ledger has no record of {0}; records up to {1} were deleted by retention")]
    Deleted(Subject, u64),
    /// More than a document can hold.
    #[error("{0} has more than {RECORDS_MOST} records")]
    TooMany(Subject),
}

/// The account of `subject` as far as the ledger in this directory is signed, or to its end where it is not signed at
/// all. Reads the whole ledger.
pub fn account(dir: &Path, subject: Subject) -> Result<Document, AccountError> {
    let signed = checkpoint::latest(dir)?;
    let size = signed.as_ref().map(|signed| signed.checkpoint.size);
    let records = records(dir, subject, size.unwrap_or(u64::MAX))?;
    let proven = match signed {
        Some(signed) => Some((signed.note.to_string(), proofs(dir, &records, signed.checkpoint.size)?)),
        None => None,
    };
    Ok(Document::of(subject, &records, proven))
}

fn proofs(dir: &Path, records: &[Taken], size: u64) -> Result<Vec<InclusionProof>, AccountError> {
    let tiles = Tiles::open(dir);
    let proof = |taken: &Taken| {
        let seq = taken.record.seq;
        tiles.inclusion(seq, size)?.ok_or(AccountError::Unproven(seq))
    };
    records.iter().map(proof).collect()
}

/// The records that belong to it, before the one with the number `size`.
fn records(dir: &Path, subject: Subject, size: u64) -> Result<Vec<Taken>, AccountError> {
    let mut selection = match subject {
        Subject::Request(request) => Selection::of(request),
        Subject::Session(session) => match scout(dir, session)? {
            Some(selection) => selection,
            None => return Err(unknown(dir, subject)),
        },
    };
    let mut found = Vec::new();
    let mut events = read::events(dir, 0)?;
    while let Some(placed) = events.next_placed().transpose()? {
        if placed.seq() >= size {
            break;
        }
        let Ok(payload) = std::str::from_utf8(placed.payload()) else { continue };
        if !selection.may_take(payload) {
            continue;
        }
        // One that this version does not understand belongs to nothing that it knows.
        let Some((record, content)) = read::understood(placed.open())? else { continue };
        if selection.take(&record.event) {
            if found.len() == RECORDS_MOST {
                return Err(AccountError::TooMany(subject));
            }
            found.push(Taken { record, payload: payload.to_owned(), content });
        }
    }
    if found.is_empty() { Err(unknown(dir, subject)) } else { Ok(found) }
}

fn unknown(dir: &Path, subject: Subject) -> AccountError {
    match kept::deletions(dir).map(|deletions| deletions.iter().map(|deletion| deletion.last).max()) {
        Ok(Some(last)) => AccountError::Deleted(subject, last),
        Ok(None) => AccountError::Unknown(subject),
        Err(source) => AccountError::Read(ReadError::Io { path: dir.to_owned(), source }),
    }
}

/// What to select by, which begins before the session does.
fn scout(dir: &Path, session: SessionId) -> Result<Option<Selection>, AccountError> {
    let mut scout = Scout::of(session);
    let mut events = read::events(dir, 0)?;
    while let Some(placed) = events.next_placed().transpose()? {
        let Ok(payload) = std::str::from_utf8(placed.payload()) else { continue };
        if !scout.may_look(payload) {
            continue;
        }
        if let Some(selection) = read::understood(placed.read())?.and_then(|record| scout.look(&record.event)) {
            return Ok(Some(selection));
        }
    }
    Ok(None)
}
