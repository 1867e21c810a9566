//! Deletes closed segments whose records are all older than they are to be kept, so that everybody can see that it was
//! done and what it was.
//!
//! First the tree's hashes of the records are proven to lead from the chain before the segment to the chain after it.
//! Then a record says that it goes, and is signed; it and others that must outlive their segments are kept in files of
//! their own. Only then the segment goes. The tree stays whole, so all that was ever proven can be proven again.

use super::kept::{self, Kept};
use super::read::{self, ReadError};
use super::recover::feed;
use super::seal::{SealError, Sealer};
use super::search::{self, SearchError};
use super::segment::{self, Segment};
use super::tiles::{TileError, Tiles};
use super::{Ledger, LedgerDown};
use crate::config::Retention;
use crate::desk::{Clock, Desk};
use crate::metrics::{LEDGER_HELD_SEGMENTS, LEDGER_RETENTION_FAILURES_TOTAL, LEDGER_SEGMENTS_DELETED_TOTAL};
use belay_engine::BoxFuture;
use belay_ledger::{Damage, HEADER_LEN, Hash, Position, TILE_WIDTH, Verifier, link};
use belay_model::{Event, EventKind, SessionId, Timestamp};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// How often it is looked for what may go.
const EVERY: Duration = Duration::from_hours(1);
/// The newest segments stay: the open one, and those that a start of the gateway looks at.
const STAY: usize = 3;
/// How long the index may be in use by others.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sessions of which nothing may be deleted.
pub trait Holds: Send + Sync {
    /// Those that are held now. On an error nothing is deleted.
    fn held_sessions(&self) -> BoxFuture<'_, Result<Vec<SessionId>, String>>;
}

impl Holds for Desk {
    fn held_sessions(&self) -> BoxFuture<'_, Result<Vec<SessionId>, String>> {
        Box::pin(async { Desk::held_sessions(self).await.map_err(|error| error.to_string()) })
    }
}

/// Why nothing more is deleted for now.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// The disk or its permissions.
    #[error("ledger file `{path}`: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is damaged is kept.
    #[error("ledger file `{path}` is damaged: {damage}")]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// What is wrong with it.
        damage: Damage,
    },
    /// The tiles.
    #[error(transparent)]
    Tiles(#[from] TileError),
    /// The tree does not prove what would be deleted.
    #[error("the tiles are not those of the records {0} to {1}")]
    Unproven(u64, u64),
    /// Nobody says which sessions are held.
    #[error("it is not known which sessions are held: {0}")]
    Holds(String),
    /// The record that says so.
    #[error(transparent)]
    Unrecorded(#[from] LedgerDown),
    /// The record was not found again.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The signature over it.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The record is not signed.
    #[error("the record of the deletion is not signed yet")]
    Unsigned,
    /// The index still knows words of what was deleted.
    #[error(transparent)]
    Index(#[from] SearchError),
    /// Its task.
    #[error("it was broken off")]
    BrokenOff,
}

/// What one pass did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Passed {
    /// Segments that went.
    pub deleted: u64,
    /// Segments that would have gone if no session in them were held.
    pub held: u64,
}

/// Deletes what is too old.
pub struct Retaining {
    /// The ledger.
    pub ledger: Ledger,
    /// Who signs it.
    pub sealer: Arc<Sealer>,
    /// The index over it.
    pub index: PathBuf,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What may not go.
    pub holds: Arc<dyn Holds>,
    /// How long records are kept.
    pub retention: Retention,
}

/// A segment that may go.
struct Old {
    before: Position,
    after: Position,
    bytes: u64,
    hash: Hash,
    sessions: HashSet<SessionId>,
    kept: Vec<Kept>,
}

impl Retaining {
    /// Looks for what may go, now and then each hour.
    pub fn start(self) -> JoinHandle<()> {
        tokio::spawn(async move {
            // Ends with the runtime.
            loop {
                if let Err(error) = self.pass().await {
                    metrics::counter!(LEDGER_RETENTION_FAILURES_TOTAL).increment(1);
                    tracing::error!("old records of the ledger are not deleted: {error}");
                }
                sleep(EVERY).await;
            }
        })
    }

    /// Deletes what may go now.
    pub async fn pass(&self) -> Result<Passed, RetentionError> {
        let dir = self.ledger.dir().to_owned();
        let mut passed = Passed { deleted: blocking(move || finish(&dir)).await?, held: 0 };
        let (dir, ends) = (self.ledger.dir().to_owned(), self.retention.ends(self.clock.now()));
        let segments = blocking(move || candidates(&dir, ends)).await?;
        let mut failed = None;
        for segment in segments {
            match self.look_and_delete(segment, ends, &mut passed).await {
                Ok(()) => {}
                // The others may go all the same; the first failure is told.
                Err(error) => drop(failed.get_or_insert(error)),
            }
        }
        #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
        metrics::gauge!(LEDGER_HELD_SEGMENTS).set(passed.held as f64);
        metrics::counter!(LEDGER_SEGMENTS_DELETED_TOTAL).increment(passed.deleted);
        if passed.deleted > 0 {
            search::forget(&self.index, PATIENCE).await?;
        }
        failed.map_or(Ok(passed), Err)
    }

    async fn look_and_delete(
        &self,
        segment: Segment,
        ends: Timestamp,
        passed: &mut Passed,
    ) -> Result<(), RetentionError> {
        let dir = self.ledger.dir().to_owned();
        let signed = self.sealer.latest().borrow().as_ref().map_or(0, |signed| signed.checkpoint.size);
        let looked_at = segment.clone();
        let Some(old) = blocking(move || look(&dir, &looked_at, ends, signed)).await? else { return Ok(()) };
        let held = self.holds.held_sessions().await.map_err(RetentionError::Holds)?;
        if held.iter().any(|session| old.sessions.contains(session)) {
            passed.held += 1;
            return Ok(());
        }
        self.delete(&segment, old).await?;
        passed.deleted += 1;
        Ok(())
    }

    async fn delete(&self, segment: &Segment, old: Old) -> Result<(), RetentionError> {
        let (dir, since) = (self.ledger.dir().to_owned(), self.ledger.position().size);
        let (first, last) = (old.before.size, old.after.size - 1);
        let kind = EventKind::SegmentDeleted {
            first,
            last,
            bytes: old.bytes,
            sha256: old.hash.to_string(),
            chain_before: old.before.chain.to_string(),
            chain_after: old.after.chain.to_string(),
            older_than: self.retention.to_string(),
        };
        self.ledger.record_durable(Event::new(self.clock.now(), kind)).await?;
        self.sealer.now().await?;
        let signed = self.sealer.latest().borrow().as_ref().map_or(0, |signed| signed.checkpoint.size);
        let path = segment.path.clone();
        blocking(move || {
            let record = find(&dir, since, first)?.filter(|record| record.seq < signed);
            let record = record.ok_or(RetentionError::Unsigned)?;
            let failed = |source| RetentionError::Io { path: path.clone(), source };
            for kept in old.kept.iter().chain([&record]) {
                kept::keep(&dir, kept).map_err(failed)?;
            }
            remove(&path).map_err(failed)
        })
        .await?;
        tracing::info!(first, last, "old records of the ledger were deleted");
        Ok(())
    }
}

/// Deletes what a record says was deleted: its pass was cut short, or somebody put it back.
fn finish(dir: &Path) -> Result<u64, RetentionError> {
    let failed = |source| RetentionError::Io { path: dir.to_owned(), source };
    let deletions = kept::deletions(dir).map_err(failed)?;
    let mut finished = 0;
    for segment in segment::list(dir).map_err(failed)? {
        if deletions.iter().any(|deletion| deletion.first == segment.first) {
            remove(&segment.path).map_err(failed)?;
            finished += 1;
        }
    }
    Ok(finished)
}

/// Closed segments whose first record is old enough. What comes after it may not be.
fn candidates(dir: &Path, ends: Timestamp) -> Result<Vec<Segment>, RetentionError> {
    let failed = |source| RetentionError::Io { path: dir.to_owned(), source };
    let mut segments = segment::list(dir).map_err(failed)?;
    segments.truncate(segments.len().saturating_sub(STAY));
    let mut found = Vec::new();
    for segment in segments {
        let mut events = read::events(dir, segment.first)?;
        let first = events.next_placed().transpose()?;
        if first.is_some_and(|first| segment::time_of(first.payload()).is_some_and(|at| at < ends)) {
            found.push(segment);
        }
    }
    Ok(found)
}

/// What is looked at of each record.
#[derive(Deserialize)]
struct Trace {
    at: Timestamp,
    #[serde(default)]
    session: Option<SessionId>,
}

/// The segment, if all its records are older than `ends` and the tree proves them; it does once its tiles are full.
fn look(dir: &Path, segment: &Segment, ends: Timestamp, signed: u64) -> Result<Option<Old>, RetentionError> {
    let failed = |source| RetentionError::Io { path: segment.path.clone(), source };
    let mut file = File::open(&segment.path).map_err(failed)?;
    let chain = segment::chain_before(&file, HEADER_LEN as u64).map_err(failed)?.unwrap_or(Hash::ZERO);
    let before = Position { size: segment.first, chain };
    let (mut after, mut is_old, mut sessions, mut kept) = (before, true, HashSet::new(), Vec::new());
    let mut verifier = Verifier::new(Some(before));
    feed(&mut file, &mut verifier, &mut |frame| {
        after = frame.after;
        // A record that does not say when it was is not known to be old.
        let trace = serde_json::from_slice::<Trace>(frame.payload).ok();
        is_old &= trace.as_ref().is_some_and(|trace| trace.at < ends);
        sessions.extend(trace.and_then(|trace| trace.session));
        if kept::outlives(frame.payload) {
            kept.push(Kept { seq: frame.seq, payload: frame.payload.to_vec() });
        }
    })
    .map_err(failed)?;
    let damaged = |damage| RetentionError::Damaged { path: segment.path.clone(), damage };
    let end = verifier.finish().map_err(damaged)?;
    let full = after.size.next_multiple_of(TILE_WIDTH as u64) <= signed;
    if !is_old || !full || after.size == before.size || end.torn.is_some() {
        return Ok(None);
    }
    let mut chain = before.chain;
    Tiles::open(dir).leaves(before.size, after.size, &mut |_, leaf| chain = link(chain, leaf))?;
    if chain != after.chain {
        return Err(RetentionError::Unproven(before.size, after.size - 1));
    }
    let hash = hash(&segment.path).map_err(failed)?;
    Ok(Some(Old { before, after, bytes: end.valid_len, hash, sessions, kept }))
}

/// The record that says that the segment with this first record was deleted.
fn find(dir: &Path, since: u64, gone: u64) -> Result<Option<Kept>, RetentionError> {
    let mut events = read::events(dir, since)?;
    while let Some(placed) = events.next_placed().transpose()? {
        if placed.seq() < since {
            continue;
        }
        let kept = Kept { seq: placed.seq(), payload: placed.payload().to_vec() };
        if kept.deletion().is_some_and(|deletion| deletion.first == gone) {
            return Ok(Some(kept));
        }
    }
    Ok(None)
}

fn hash(path: &Path) -> io::Result<Hash> {
    let (mut file, mut hash, mut piece) = (File::open(path)?, Sha256::new(), vec![0; 256 << 10]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(Hash(hash.finalize().into())),
            read => hash.update(piece.get(..read).unwrap_or_default()),
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    File::open(path.parent().unwrap_or(path))?.sync_all()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RetentionError> + Send + 'static,
) -> Result<T, RetentionError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| RetentionError::BrokenOff)?
}
