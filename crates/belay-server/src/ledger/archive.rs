//! Keeps closed segments, tiles and checkpoints in S3-compatible storage.
//!
//! It reads what is on the disk and holds nobody up. What was sent is noted; what cannot be sent is tried again, each
//! time later than the time before. Nothing is ever written over an object: one that has another content than it was
//! given is told of and left as it is.

mod contents;
mod noted;

use super::checkpoint::Signed;
use super::kept;
use crate::bucket::{Bucket, Protection, Put, Stored};
use crate::config::S3Place;
use crate::metrics::{
    ARCHIVE_BACKLOG_BYTES, ARCHIVE_BACKLOG_OLDEST_SECONDS, ARCHIVE_BACKLOG_SEGMENTS, ARCHIVE_FAILURES_TOTAL,
    ARCHIVE_LOCKED, ARCHIVE_OBJECTS_TOTAL, ARCHIVE_ODD,
};
use belay_ledger::Hash;
use bytes::Bytes;
use contents::{Content, Item, Missing, Waiting};
use futures_util::future::join_all;
use noted::{Entry, Noted};
use sha2::{Digest as _, Sha256};
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

/// How the archive is doing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ArchiveStatus {
    /// Where it is.
    pub to: String,
    /// Closed segments that are not in it.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many seconds ago the oldest of them was closed.
    pub oldest_seconds: u64,
    /// Objects sent since the start.
    pub sent: u64,
    /// Objects with another content than they were given; the first few of them.
    pub odd: Vec<String>,
    /// How many there are.
    pub odd_count: u64,
    /// Deleted segments that the archive keeps for now.
    pub locked: u64,
    /// What keeps its objects from being changed.
    pub protection: Protection,
    /// Why the last try failed, until one succeeds.
    pub error: Option<String>,
}

/// A handle to the task. With the last one it ends.
#[derive(Debug)]
pub struct Archive {
    status: Arc<Mutex<ArchiveStatus>>,
    task: JoinHandle<()>,
}

impl Archive {
    /// Starts looking after the archive of the ledger in `dir`, which is signed up to `latest`.
    pub fn start(how: &Archiving, dir: &Path, latest: Latest) -> Result<Archive, String> {
        let to = format!("s3://{}/{}", how.place.bucket, how.place.prefix);
        let status = Arc::new(Mutex::new(ArchiveStatus { to: to.clone(), ..ArchiveStatus::default() }));
        let of = how.place.endpoint.as_deref().unwrap_or(&how.place.region);
        let noted = Noted::open(dir, &format!("{to} {of}")).map_err(|error| format!("`{}`: {error}", dir.display()))?;
        let work = Work {
            bucket: Bucket::open(&how.place)?,
            dir: dir.to_owned(),
            latest,
            noted,
            there: BTreeMap::new(),
            odd: BTreeSet::new(),
            locked: BTreeSet::new(),
            compared: None,
            tiles: 0,
            status: Arc::clone(&status),
        };
        let archive = Archive { status, task: tokio::spawn(work.run(how.every, how.compare)) };
        archive.status().tell();
        Ok(archive)
    }

    /// How it is doing.
    pub fn status(&self) -> ArchiveStatus {
        lock(&self.status).clone()
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
    noted: Noted,
    /// What was there already when it was compared.
    there: BTreeMap<String, Stored>,
    odd: BTreeSet<String>,
    locked: BTreeSet<String>,
    compared: Option<Instant>,
    /// Tiles of so many records are in the archive.
    tiles: u64,
    status: Arc<Mutex<ArchiveStatus>>,
}

/// What an object turned out to be.
enum Sent {
    New(Entry),
    Same(Entry),
    Odd,
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

    async fn turn(&mut self, compare: Duration) -> Result<(), String> {
        let sealed = self.latest.borrow().as_ref().map_or(0, |signed| signed.checkpoint.size);
        let (dir, there, tiles) = (self.dir.clone(), self.noted.names(), self.tiles);
        let missing = blocking(move || contents::missing(&dir, sealed, &there, tiles)).await?;
        self.tell_backlog(&missing.segments);
        if self.compared.is_none_or(|at| at.elapsed() >= compare) {
            self.compare().await?;
        }
        self.send_all(missing).await?;
        self.delete().await
    }

    /// Looks for what was changed in the archive, or is gone from it.
    async fn compare(&mut self) -> Result<(), String> {
        let mut there = self.bucket.list().await?;
        let mut gone = Vec::new();
        let mut other = Vec::new();
        for (name, entry) in self.noted.all() {
            match there.remove(name) {
                None => gone.push(name.clone()),
                Some(stored) if stored != entry.stored => other.push((name.clone(), entry.clone())),
                Some(_) => {}
            }
        }
        self.odd.clear();
        self.locked.clear();
        for (name, entry) in other {
            match self.bucket.hash(&name).await? {
                Some((stored, hash)) if hash == entry.hash => note(self.noted.add(&name, Entry { stored, hash }))?,
                Some(_) => self.is_odd(&name),
                None => gone.push(name),
            }
        }
        for name in gone {
            tracing::warn!("`{name}` is not in the archive any more, and is sent again");
            note(self.noted.remove(&name))?;
            self.tiles = 0;
        }
        self.there = there;
        let protection = self.bucket.protection().await?;
        lock(&self.status).protection = protection;
        self.compared = Some(Instant::now());
        Ok(())
    }

    async fn send_all(&mut self, missing: Missing) -> Result<(), String> {
        let (mut waiting, mut items) = (missing.segments, missing.items);
        items.retain(|item| !self.odd.contains(&item.name));
        // Segments are large: one at a time is in memory.
        let (files, small): (Vec<Item>, Vec<Item>) =
            items.into_iter().partition(|item| matches!(item.content, Content::File(_)));
        let chunks = small.chunks(AT_ONCE).chain(files.chunks(1));
        for chunk in chunks {
            let sent = join_all(chunk.iter().map(|item| self.send(item))).await;
            for (item, sent) in chunk.iter().zip(sent) {
                match sent? {
                    Sent::New(entry) => {
                        note(self.noted.add(&item.name, entry))?;
                        metrics::counter!(ARCHIVE_OBJECTS_TOTAL).increment(1);
                        lock(&self.status).sent += 1;
                    }
                    Sent::Same(entry) => note(self.noted.add(&item.name, entry))?,
                    Sent::Odd => {
                        self.is_odd(&item.name);
                        continue;
                    }
                }
                waiting.retain(|segment| segment.name != item.name);
            }
            self.tell_backlog(&waiting);
        }
        // An odd one is looked at again with the next comparison.
        if self.odd.is_empty() {
            self.tiles = missing.tiles;
        }
        Ok(())
    }

    async fn send(&self, item: &Item) -> Result<Sent, String> {
        let (dir, content) = (self.dir.clone(), item.content.clone());
        let (bytes, hash) = blocking(move || {
            let bytes = contents::read(&dir, &content)?;
            let hash = Hash(Sha256::digest(&bytes).into());
            Ok((bytes, hash))
        })
        .await?;
        if !self.there.contains_key(&item.name)
            && let Put::New(stored) = self.bucket.put(&item.name, Bytes::from(bytes)).await?
        {
            return Ok(Sent::New(Entry { stored, hash }));
        }
        Ok(match self.bucket.hash(&item.name).await? {
            Some((stored, found)) if found == hash => Sent::Same(Entry { stored, hash }),
            Some(_) => Sent::Odd,
            None => return Err(format!("`{}` was there and is gone", item.name)),
        })
    }

    /// Deletes what retention deleted.
    async fn delete(&mut self) -> Result<(), String> {
        let dir = self.dir.clone();
        let deletions = blocking(move || kept::deletions(&dir)).await?;
        for deletion in deletions {
            let name = super::segment::name(deletion.first);
            let is_there = self.noted.get(&name).is_some() || self.there.contains_key(&name);
            // Only once the archive has the segment with the record that says so.
            let is_told = deletion.record < self.tiles;
            if !is_there || !is_told || self.locked.contains(&name) {
                continue;
            }
            if self.bucket.delete(&name).await? {
                note(self.noted.remove(&name))?;
                self.there.remove(&name);
                self.odd.remove(&name);
            } else {
                self.locked.insert(name);
            }
        }
        Ok(())
    }

    fn is_odd(&mut self, name: &str) {
        if self.odd.insert(name.to_owned()) {
            tracing::error!("`{name}` in the archive has another content than the ledger's; it is left as it is");
        }
    }

    fn tell_backlog(&self, waiting: &[Waiting]) {
        let mut status = lock(&self.status);
        status.segments = waiting.len() as u64;
        status.bytes = waiting.iter().map(|segment| segment.bytes).sum();
        status.oldest_seconds = waiting.iter().map(|segment| segment.age.as_secs()).max().unwrap_or(0);
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
        status.locked = self.locked.len() as u64;
        status.tell();
    }
}

impl ArchiveStatus {
    #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
    fn tell(&self) {
        metrics::counter!(ARCHIVE_OBJECTS_TOTAL).increment(0);
        metrics::counter!(ARCHIVE_FAILURES_TOTAL).increment(0);
        metrics::gauge!(ARCHIVE_BACKLOG_SEGMENTS).set(self.segments as f64);
        metrics::gauge!(ARCHIVE_BACKLOG_BYTES).set(self.bytes as f64);
        metrics::gauge!(ARCHIVE_BACKLOG_OLDEST_SECONDS).set(self.oldest_seconds as f64);
        metrics::gauge!(ARCHIVE_ODD).set(self.odd_count as f64);
        metrics::gauge!(ARCHIVE_LOCKED).set(self.locked as f64);
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
