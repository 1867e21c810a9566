//! Keeps closed segments, tiles and checkpoints in S3-compatible storage.
//!
//! It reads what is on the disk and holds nobody up. What was sent is noted; what cannot be sent is tried again, each
//! time later than the time before. Nothing is ever written over an object: one that has another content than it was
//! given is told of and left as it is.

pub(super) mod about;
mod archived;
mod compare;
mod contents;
mod deleting;
mod noted;
mod sending;
mod status;

pub use archived::Archived;
pub use status::ArchiveStatus;

use super::checkpoint::Signed;
use super::kept::Proven;
use super::retention::Holds;
use crate::bucket::{Bucket, Stored};
use crate::config::S3Place;
use crate::metrics::ARCHIVE_FAILURES_TOTAL;
use contents::Waiting;
use noted::Noted;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// How often the ledger is looked at.
const EVERY: Duration = Duration::from_secs(5);
/// How often the archive is compared with what was put there.
const COMPARE: Duration = Duration::from_hours(1);
/// The longest time between two tries.
const LONGEST: Duration = Duration::from_mins(5);
/// Small objects that are sent at once.
const AT_ONCE: usize = 8;
/// Objects that may fail in one turn before the others wait for the next.
const MOST_FAILED: usize = 8;
/// Names of odd objects that are told.
const NAMES_TOLD: usize = 10;

type Latest = watch::Receiver<Option<Arc<Signed>>>;

/// Where the archive is, and how often it is looked after.
#[derive(Debug, Clone)]
pub struct Archiving {
    /// Where it is.
    pub place: S3Place,
    /// How often the ledger is looked at.
    pub every: Duration,
    /// How often the archive is compared with what was put there.
    pub compare: Duration,
}

impl Archiving {
    /// At `place`, as often as is good for a gateway.
    pub fn new(place: S3Place) -> Archiving {
        Archiving { place, every: EVERY, compare: COMPARE }
    }
}

/// A handle to the task. With the last one it ends.
#[derive(Debug)]
pub struct Archive {
    status: Arc<Mutex<ArchiveStatus>>,
    archived: Archived,
    task: JoinHandle<()>,
}

impl Archive {
    /// Starts looking after the archive of the ledger in `dir`, which is signed up to `latest`, and from which nothing is
    /// deleted that is held.
    pub fn start(how: &Archiving, dir: &Path, latest: Latest, holds: Arc<dyn Holds>) -> Result<Archive, String> {
        let to = format!("s3://{}/{}", how.place.bucket, how.place.prefix);
        let status = Arc::new(Mutex::new(ArchiveStatus { to: to.clone(), ..ArchiveStatus::default() }));
        let of = how.place.endpoint.as_deref().unwrap_or(&how.place.region);
        let noted = Noted::open(dir, &format!("{to} {of}")).map_err(|error| format!("`{}`: {error}", dir.display()))?;
        let archived = Archived::default();
        let work = Work {
            bucket: Bucket::open(&how.place)?,
            dir: dir.to_owned(),
            latest,
            holds,
            noted,
            kept: Proven::default(),
            here: BTreeSet::new(),
            there: BTreeMap::new(),
            odd: BTreeSet::new(),
            again: BTreeSet::new(),
            late: BTreeSet::new(),
            stays: BTreeSet::new(),
            archived: archived.clone(),
            compared: None,
            tiles: 0,
            status: Arc::clone(&status),
        };
        let archive = Archive { status, archived, task: tokio::spawn(work.run(how.every, how.compare)) };
        archive.status().tell();
        Ok(archive)
    }

    /// How it is doing.
    pub fn status(&self) -> ArchiveStatus {
        lock(&self.status).clone()
    }

    /// What it has, as it was compared last.
    pub fn archived(&self) -> Archived {
        self.archived.clone()
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Work {
    bucket: Bucket,
    dir: PathBuf,
    latest: Latest,
    holds: Arc<dyn Holds>,
    noted: Noted,
    kept: Proven,
    /// Segments that are not deleted, by their first records.
    here: BTreeSet<u64>,
    /// What was there already when it was compared.
    there: BTreeMap<String, Stored>,
    odd: BTreeSet<String>,
    /// Odd ones that are to be looked at once more.
    again: BTreeSet<String>,
    /// Those that failed the last time: they come last.
    late: BTreeSet<String>,
    /// Deleted segments that are kept for now, until the next comparison.
    stays: BTreeSet<String>,
    archived: Archived,
    compared: Option<Instant>,
    /// Tiles of so many records are in the archive, or odd.
    tiles: u64,
    status: Arc<Mutex<ArchiveStatus>>,
}

impl Work {
    async fn run(mut self, every: Duration, compare: Duration) {
        let mut failures = 0;
        // Ends with the handle.
        loop {
            let failed = self.turn(compare).await.err();
            failures = if failed.is_some() { failures + 1 } else { 0 };
            self.tell(failed);
            // Doubled with each failure that follows another.
            sleep((every * (1 << failures.min(10))).min(LONGEST.max(every))).await;
        }
    }

    /// Each part is done whether another failed or not; the first failure is told.
    async fn turn(&mut self, compare: Duration) -> Result<(), String> {
        let mut compared = Ok(());
        if self.compared.is_none_or(|at| at.elapsed() >= compare) {
            // What is gone from the archive is missing.
            compared = self.compare().await;
        }
        let sent = self.send_missing().await;
        let deleted = self.delete().await;
        compared.and(sent).and(deleted)
    }

    async fn send_missing(&mut self) -> Result<(), String> {
        let signed = self.latest.borrow().as_ref().map(|signed| signed.checkpoint.clone());
        let (dir, there, tiles) = (self.dir.clone(), self.noted.names(), self.tiles);
        let mut kept = std::mem::take(&mut self.kept);
        let found = blocking(move || {
            if let Some(signed) = &signed {
                kept.look(&dir, signed)?;
            }
            let sealed = signed.map_or(0, |signed| signed.size);
            let (missing, here) = contents::missing(&dir, sealed, &there, &kept, tiles)?;
            Ok((kept, missing, here))
        });
        let (kept, missing, here) = found.await?;
        (self.kept, self.here) = (kept, here);
        self.tell_backlog(&missing.segments);
        self.send_all(missing).await
    }

    fn is_odd(&mut self, name: &str) {
        if self.odd.insert(name.to_owned()) {
            tracing::error!("`{name}` in the archive has another content than the ledger's; it is left as it is");
        }
    }

    fn tell_backlog(&self, waiting: &BTreeMap<String, Waiting>) {
        let mut status = lock(&self.status);
        status.segments = waiting.len() as u64;
        status.bytes = waiting.values().map(|segment| segment.bytes).sum();
        status.oldest_seconds = waiting.values().map(|segment| segment.age.as_secs()).max().unwrap_or(0);
        status.tell();
    }

    fn tell(&self, failed: Option<String>) {
        let mut status = lock(&self.status);
        if let Some(why) = &failed {
            metrics::counter!(ARCHIVE_FAILURES_TOTAL).increment(1);
            // The same failure is told once.
            if status.error.as_ref() != Some(why) {
                tracing::warn!("the archive {} cannot be kept up: {why}", status.to);
            }
        } else if status.error.is_some() {
            tracing::info!("the archive {} is kept up again", status.to);
        }
        status.error = failed;
        status.odd_count = self.odd.len() as u64;
        status.odd = self.odd.iter().take(NAMES_TOLD).cloned().collect();
        status.locked = self.stays.len() as u64;
        status.tell();
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|_| "reading the ledger was broken off".to_owned())?;
    done.map_err(|error| format!("the ledger's files: {error}"))
}

fn note(noted: io::Result<()>) -> Result<(), String> {
    noted.map_err(|error| format!("what was sent cannot be noted: {error}"))
}

fn lock(status: &Mutex<ArchiveStatus>) -> MutexGuard<'_, ArchiveStatus> {
    status.lock().unwrap_or_else(PoisonError::into_inner)
}
