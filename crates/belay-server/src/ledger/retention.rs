//! Deletes closed segments whose records are all older than they are to be kept, so that everybody can see that it was
//! done and what it was.
//!
//! First the tree's hashes of the records are proven to lead from the chain before the segment to the chain after it.
//! Then a record says that it goes, and is signed; it and others that must outlive their segments are kept in files of
//! their own. Only then the segment goes. The tree stays whole, so all that was ever proven can be proven again.
//!
//! Nothing goes that the archive does not have, where there is one, nor by a clock that was moved, nor what somebody
//! holds.

mod look;
mod steady;

pub use steady::Steady;

use super::archive::{Archived, about};
use super::checkpoint::Signed;
use super::kept::{self, Deletion, Kept, Proven};
use super::read::{self, ReadError};
use super::seal::{SealError, Sealer};
use super::search::{self, SearchError};
use super::segment::{self, Segment};
use super::tiles::TileError;
use super::{Ledger, LedgerDown, Mentioned};
use crate::config::Retention;
use crate::desk::{Clock, Desk};
use crate::metrics::{LEDGER_HELD_SEGMENTS, LEDGER_RETENTION_FAILURES_TOTAL, LEDGER_SEGMENTS_DELETED_TOTAL};
use belay_engine::BoxFuture;
use belay_ledger::{Checkpoint, Damage};
use belay_model::{Event, EventKind, Timestamp};
use look::{Looked, look};
use std::any::Any;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// How often it is looked for what may go, if records are not kept for less. So long nothing goes after a start, and so
/// far the clock may go apart from time.
const EVERY: Duration = Duration::from_hours(1);
/// The newest segments stay: the open one, and those that a start of the gateway looks at.
const STAY: usize = 3;
/// How long the index may be in use by others.
const PATIENCE: Duration = Duration::from_secs(30);

/// While it lives nothing can be put on hold, and nobody else decides anything.
pub type Unheld = Box<dyn Any + Send>;

/// What may not be deleted.
pub trait Holds: Send + Sync {
    /// Makes sure that nothing of this is held; nothing where something is. On an error nothing is deleted.
    fn nothing_held<'a>(&'a self, of: &'a Mentioned) -> BoxFuture<'a, Result<Option<Unheld>, String>>;
}

impl Holds for Desk {
    fn nothing_held<'a>(&'a self, of: &'a Mentioned) -> BoxFuture<'a, Result<Option<Unheld>, String>> {
        Box::pin(async {
            let unheld = Desk::nothing_held(self, of).await.map_err(|error| error.to_string())?;
            Ok(unheld.map(|unheld| Box::new(unheld) as Unheld))
        })
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
    /// What a record says was deleted is there again, and is something else.
    #[error("the records {0} to {1} are not those that were deleted")]
    Other(u64, u64),
    /// By such a clock all may be old.
    #[error(
        "the clock went {} s apart from the time that passed; nothing goes until it is back, or the gateway is started \
         again",
        .0.as_secs()
    )]
    Clock(Duration),
    /// Nobody says what is held.
    #[error("it is not known what is held: {0}")]
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
    /// Segments that would have gone if nothing in them were held.
    pub held: u64,
    /// Segments that would have gone if the archive had them.
    pub unarchived: u64,
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
    /// What the archive has, where there is one.
    pub archived: Option<Archived>,
    /// How long records are kept.
    pub retention: Retention,
}

impl Retaining {
    /// Looks for what may go, each hour.
    pub fn start(self) -> JoinHandle<()> {
        tokio::spawn(async move {
            let (began, mut steady) = (Instant::now(), Steady::at_start(self.clock.now()));
            // A gateway that was killed may have left words of what it deleted.
            tell(self.forget().await);
            // Ends with the runtime.
            loop {
                sleep(self.every()).await;
                tell(self.turn(&mut steady, began.elapsed()).await);
            }
        })
    }

    /// Deletes what may go, if the clock can be believed of a gateway that has been running for so long.
    pub async fn turn(&self, steady: &mut Steady, running: Duration) -> Result<Passed, RetentionError> {
        if running < self.every() {
            return Ok(Passed::default());
        }
        let now = self.clock.now();
        let apart = steady.apart(now, running);
        if apart > self.every() {
            return Err(RetentionError::Clock(apart));
        }
        steady.believe(now, running);
        self.pass().await
    }

    /// Deletes what may go now.
    pub async fn pass(&self) -> Result<Passed, RetentionError> {
        // What cannot be signed is not recorded, or it would be recorded again each time.
        self.sealer.now().await?;
        let mut passed = Passed::default();
        let done = self.delete_old(&mut passed).await;
        #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
        metrics::gauge!(LEDGER_HELD_SEGMENTS).set(passed.held as f64);
        metrics::counter!(LEDGER_SEGMENTS_DELETED_TOTAL).increment(passed.deleted);
        if passed.unarchived > 0 {
            tracing::warn!("{} old files of the ledger stay until the archive has them", passed.unarchived);
        }
        let forgotten = self.forget().await;
        done.and(forgotten).map(|()| passed)
    }

    fn every(&self) -> Duration {
        EVERY.min(self.retention.duration())
    }

    /// The index forgets words of what is not there any more.
    async fn forget(&self) -> Result<(), RetentionError> {
        Ok(search::forget_deleted(self.ledger.dir(), &self.index, PATIENCE).await?)
    }

    async fn delete_old(&self, passed: &mut Passed) -> Result<(), RetentionError> {
        let Some(signed) = self.signed() else { return Ok(()) };
        let (dir, ends) = (self.ledger.dir().to_owned(), self.retention.ends(self.clock.now()));
        let state = Arc::clone(&signed);
        let Sorted { said, mut left } = blocking(move || sort(&dir, &state.checkpoint)).await?;
        let mut failed = None;
        for (segment, deletion) in said {
            // The others go all the same; the first failure is told.
            if let Err(error) = self.finish(&segment, &deletion, passed).await {
                failed.get_or_insert(error);
            }
        }
        left.truncate(left.len().saturating_sub(STAY));
        for segment in left {
            match self.look_and_delete(&segment, ends, passed).await {
                Ok(true) => {}
                // What comes after one that is not known to be old is newer, whatever it says of its time.
                Ok(false) => break,
                Err(error) => {
                    failed.get_or_insert(error);
                    break;
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Deletes what a record says was deleted: its pass was cut short, or somebody put it back.
    async fn finish(&self, segment: &Segment, said: &Deletion, passed: &mut Passed) -> Result<(), RetentionError> {
        let looked_at = segment.clone();
        let looked = blocking(move || look(&looked_at, None)).await?;
        let looked = looked.filter(|looked| looked.is_that(said));
        let looked = looked.ok_or(RetentionError::Other(said.first, said.last))?;
        if let Some(unheld) = self.may_go(segment, &looked, passed).await? {
            self.remove(segment, looked, unheld, passed).await?;
        }
        Ok(())
    }

    /// Whether it was old, so that the next may be.
    async fn look_and_delete(
        &self,
        segment: &Segment,
        ends: Timestamp,
        passed: &mut Passed,
    ) -> Result<bool, RetentionError> {
        let (dir, looked_at) = (self.ledger.dir().to_owned(), segment.clone());
        let signed = self.signed().map_or(0, |signed| signed.checkpoint.size);
        let looked = blocking(move || match look(&looked_at, Some(ends))? {
            Some(looked) => Ok(looked.is_proven(&dir, signed)?.then_some(looked)),
            None => Ok(None),
        });
        let Some(looked) = looked.await? else { return Ok(false) };
        let Some(unheld) = self.may_go(segment, &looked, passed).await? else { return Ok(true) };
        let record = self.record(&looked).await?;
        drop(unheld);
        self.sealer.now().await?;
        if self.signed().is_none_or(|signed| signed.checkpoint.size <= record) {
            return Err(RetentionError::Unsigned);
        }
        // Signing took a while.
        if let Some(unheld) = self.may_go(segment, &looked, passed).await? {
            self.remove(segment, looked, unheld, passed).await?;
        }
        Ok(true)
    }

    /// Makes sure that it is elsewhere, if it is to be, and that nobody holds it.
    async fn may_go(
        &self,
        segment: &Segment,
        looked: &Looked,
        passed: &mut Passed,
    ) -> Result<Option<Unheld>, RetentionError> {
        let name = segment::name(segment.first);
        if self.archived.as_ref().is_some_and(|archived| !archived.has(&name, looked.hash)) {
            passed.unarchived += 1;
            return Ok(None);
        }
        let unheld = self.holds.nothing_held(&looked.about).await.map_err(RetentionError::Holds)?;
        passed.held += u64::from(unheld.is_none());
        Ok(unheld)
    }

    /// Says that it goes, and keeps what has to outlive it. Once that is signed, any pass may delete it.
    async fn record(&self, looked: &Looked) -> Result<u64, RetentionError> {
        let (dir, since) = (self.ledger.dir().to_owned(), self.ledger.position().size);
        let first = looked.before.size;
        let kind = EventKind::SegmentDeleted {
            first,
            last: looked.last(),
            bytes: looked.bytes,
            sha256: looked.hash.to_string(),
            chain_before: looked.before.chain.to_string(),
            chain_after: looked.after.chain.to_string(),
            older_than: self.retention.to_string(),
        };
        self.ledger.record_durable(Event::new(self.clock.now(), kind)).await?;
        let outlive = looked.kept.clone();
        blocking(move || {
            let record = find(&dir, since, first)?.ok_or(RetentionError::Unsigned)?;
            let failed = |source| RetentionError::Io { path: dir.clone(), source };
            for kept in outlive.iter().chain([&record]) {
                kept::keep(&dir, kept).map_err(failed)?;
            }
            Ok(record.seq)
        })
        .await
    }

    async fn remove(
        &self,
        segment: &Segment,
        looked: Looked,
        unheld: Unheld,
        passed: &mut Passed,
    ) -> Result<(), RetentionError> {
        let (dir, path, first, last) =
            (self.ledger.dir().to_owned(), segment.path.clone(), segment.first, looked.last());
        let is_archived = self.archived.is_some();
        blocking(move || {
            let failed = |source| RetentionError::Io { path: path.clone(), source };
            if is_archived {
                // The archive asks for it before it deletes its object.
                about::note(&dir, &segment::name(first), &looked.about).map_err(failed)?;
            }
            fs::remove_file(&path).and_then(|()| File::open(&dir)?.sync_all()).map_err(failed)
        })
        .await?;
        drop(unheld);
        passed.deleted += 1;
        tracing::info!(first, last, "old records of the ledger were deleted");
        Ok(())
    }

    fn signed(&self) -> Option<Arc<Signed>> {
        self.sealer.latest().borrow().clone()
    }
}

fn tell<T>(done: Result<T, RetentionError>) {
    if let Err(error) = done {
        metrics::counter!(LEDGER_RETENTION_FAILURES_TOTAL).increment(1);
        tracing::error!("old records of the ledger are not deleted: {error}");
    }
}

/// The segments of a ledger, oldest first.
struct Sorted {
    /// Those of which a proven record says that they were deleted.
    said: Vec<(Segment, Deletion)>,
    left: Vec<Segment>,
}

/// The segments of a ledger that is signed like this.
fn sort(dir: &Path, signed: &Checkpoint) -> Result<Sorted, RetentionError> {
    let failed = |source| RetentionError::Io { path: dir.to_owned(), source };
    let mut proven = Proven::default();
    proven.look(dir, signed).map_err(failed)?;
    let deletions: BTreeMap<u64, &Deletion> = proven.deletions().map(|deletion| (deletion.first, deletion)).collect();
    let (mut said, mut left) = (Vec::new(), Vec::new());
    for segment in segment::list(dir).map_err(failed)? {
        match deletions.get(&segment.first) {
            Some(deletion) => said.push((segment, (*deletion).clone())),
            None => left.push(segment),
        }
    }
    Ok(Sorted { said, left })
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

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RetentionError> + Send + 'static,
) -> Result<T, RetentionError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| RetentionError::BrokenOff)?
}
