//! The door to the ledger: one thread that owns the file, and handles to give it events.
//!
//! Nothing here decides what is recorded, and nothing is formatted here: that is `belay-ledger`. An event given with
//! [`Ledger::record`] or [`Ledger::try_record`] is on the disk within about 50 ms, together with others; one given
//! with [`Ledger::record_durable`] is on the disk when the call returns.
//!
//! When the disk cannot be written the ledger is down: it takes no events, every wait is answered with why, and it
//! tries once a second to come up again. What was accepted and not yet synced stays in memory and is written first
//! then; what somebody waited for is not, because that caller was told that it was not stored.

pub mod account;
pub mod archive;
pub mod checkpoint;
mod kept;
mod mentioned;
pub mod proof;
mod queue;
pub mod read;
mod recover;
pub mod retention;
pub mod seal;
pub mod search;
mod segment;
mod session_keys;
pub mod signer;
pub mod tiles;
mod truncated;
mod unfinished;
pub mod witness;
mod writer;

pub use kept::Deletion;
pub use mentioned::Mentioned;
pub use segment::LedgerError;
pub use session_keys::{KeyState, SESSION_KEYS, key_state};
pub use truncated::Truncated;
pub use unfinished::Unfinished;

use belay_ledger::{Owner, Position};
use belay_model::{Event, Timestamp};
use queue::{Bounds, Queue, Rejected};
use recover::Recovery;
use session_keys::Keyring;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use writer::{Place, SegmentBounds, Writer};

/// Where the ledger is and how it is kept.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The directory; made if it isn't there.
    pub dir: PathBuf,
    /// A new segment is begun when the last has this many bytes.
    pub segment_bytes: u64,
    /// A new segment is begun when the first record of the last was written so long ago.
    pub segment_age: Duration,
    /// How long an event may wait for others before it is synced.
    pub group: Duration,
    /// How many events may wait for the writer.
    pub queue_events: usize,
    /// How many bytes of statements and values may wait for the writer.
    pub queue_bytes: usize,
    /// The most bytes of keys of sessions.
    pub key_bytes: u64,
}

impl Settings {
    /// The defaults, in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Settings {
        Settings {
            dir: dir.into(),
            segment_bytes: 256 << 20,
            segment_age: Duration::from_hours(24),
            group: Duration::from_millis(40),
            queue_events: 16_384,
            queue_bytes: 32 << 20,
            key_bytes: u64::MAX,
        }
    }
}

/// What was found when the ledger was opened.
#[derive(Debug, Clone)]
pub struct Opened {
    /// Where the ledger stood.
    pub position: Position,
    /// The end of an append that a crash cut short, which was taken off.
    pub truncated: Option<Truncated>,
    /// What was taken off by this start, and by earlier ones that did not come to record it. To be recorded, and then
    /// to be forgotten with [`Ledger::forget_truncated`].
    pub unrecorded: Vec<String>,
    /// Connections that came and did not end: their gateway stopped without a word.
    pub unfinished: Vec<Unfinished>,
}

/// The event was not stored, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("ledger cannot be written: {why}")]
pub struct LedgerDown {
    /// Why.
    pub why: Arc<str>,
}

/// What the ledger has done since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Records on the disk.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Groups synced.
    pub syncs: u64,
    /// Times that writing failed.
    pub failures: u64,
    /// Events waiting to be written.
    pub waiting: u64,
}

/// A handle to the ledger; cheap to clone. The last one to go closes it.
#[derive(Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
}

struct Inner {
    queue: Arc<Queue>,
    dir: PathBuf,
    keyring: session_keys::Shared,
    /// There is no room for more keys.
    is_full: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Ledger {
    /// Opens the ledger in `dir` with the default settings. Blocks while it reads the last segments.
    pub fn open(dir: &Path) -> Result<(Ledger, Opened), LedgerError> {
        Ledger::open_with(&Settings::new(dir))
    }

    /// Opens the ledger, takes a torn tail off it and starts its thread. Damage that no crash can have made is an
    /// error, and nothing is changed.
    pub fn open_with(settings: &Settings) -> Result<(Ledger, Opened), LedgerError> {
        let lock = segment::lock(&settings.dir)?;
        let recovery = recover::recover(&settings.dir)?;
        let failed = |source| LedgerError::Io { path: settings.dir.clone(), source };
        let unrecorded = truncated::noted(&settings.dir).map_err(failed)?;
        let Recovery { position, truncated, connections, tail } = recovery;
        let unfinished = connections.unfinished();
        let opened = Opened { position, truncated, unrecorded, unfinished };
        let bounds = Bounds { events: settings.queue_events.max(1), bytes: settings.queue_bytes.max(1) };
        let queue = Arc::new(Queue::new(bounds, settings.group));
        let keys = settings.dir.join(SESSION_KEYS);
        let keyring = Keyring::open(&settings.dir, settings.key_bytes)
            .map_err(|source| LedgerError::Io { path: keys, source })?;
        let (is_full, keyring) = (keyring.is_full(), Arc::new(Mutex::new(keyring)));
        let bounds = SegmentBounds { bytes: settings.segment_bytes, age: settings.segment_age };
        let place = Place { lock, dir: settings.dir.clone(), bounds };
        let writer = Writer::new(Arc::clone(&queue), place, tail, connections, Arc::clone(&keyring))?;
        let thread =
            std::thread::Builder::new().name("ledger".to_owned()).spawn(move || writer.run()).map_err(failed)?;
        let inner = Inner { queue, dir: settings.dir.clone(), keyring, is_full, thread: Mutex::new(Some(thread)) };
        Ok((Ledger { inner: Arc::new(inner) }, opened))
    }

    /// What was taken off at the start is on the record.
    pub fn forget_truncated(&self) -> Result<(), LedgerError> {
        let dir = self.dir();
        truncated::forget(dir).map_err(|source| LedgerError::Io { path: dir.to_owned(), source })
    }

    /// Where its files are, for [`read`].
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// What is on the disk.
    pub fn position(&self) -> Position {
        self.inner.queue.durable()
    }

    /// Whether events are taken. One atomic load.
    pub fn is_up(&self) -> bool {
        self.inner.queue.is_up()
    }

    /// Why events are not taken, if they are not.
    pub fn why_down(&self) -> Option<Arc<str>> {
        self.inner.queue.why_down()
    }

    /// Gives the event to the ledger without waiting for anything. The event comes back when the queue is full or the
    /// ledger is down.
    #[allow(clippy::result_large_err, reason = "the caller needs its event back, and boxing it would cost every call")]
    pub fn try_record(&self, event: Event) -> Result<(), Event> {
        if self.has_room_for(&event).is_err() {
            return Err(event);
        }
        self.inner.queue.push(event, None, false).map_err(|rejected| rejected.event)
    }

    /// Gives the event to the ledger even while it is down, to be written when it comes up again. For what happens
    /// because it is down: the ends of connections and sessions. The event comes back when the queue is full.
    #[allow(clippy::result_large_err, reason = "the caller needs its event back, and boxing it would cost every call")]
    pub fn record_late(&self, event: Event) -> Result<(), Event> {
        self.inner.queue.push(event, None, true).map_err(|rejected| rejected.event)
    }

    /// Gives the event to the ledger. Waits for room in the queue, never for the disk.
    pub async fn record(&self, event: Event) -> Result<(), LedgerDown> {
        self.has_room_for(&event)?;
        let mut event = event;
        loop {
            let room = self.inner.queue.room().notified();
            tokio::pin!(room);
            // Registered before the attempt, so that room made in between is not missed.
            room.as_mut().enable();
            match self.inner.queue.push(event, None, false) {
                Ok(()) => return Ok(()),
                Err(Rejected { down: Some(why), .. }) => return Err(LedgerDown { why }),
                Err(Rejected { event: back, down: None }) => event = back,
            }
            room.await;
        }
    }

    /// Gives the event to the ledger and returns when it is on the disk. An error means that it was not stored; a
    /// caller that stops waiting does not know.
    pub async fn record_durable(&self, event: Event) -> Result<(), LedgerDown> {
        self.has_room_for(&event)?;
        let mut event = event;
        loop {
            let room = self.inner.queue.room().notified();
            tokio::pin!(room);
            room.as_mut().enable();
            let (waiter, answer) = tokio::sync::oneshot::channel();
            match self.inner.queue.push(event, Some(waiter), false) {
                Ok(()) => return answer.await.unwrap_or_else(|_| Err(self.inner.queue.gone())),
                Err(Rejected { down: Some(why), .. }) => return Err(LedgerDown { why }),
                Err(Rejected { event: back, down: None }) => event = back,
            }
            room.await;
        }
    }

    /// Whether there is a key to content of this session's records, or a damaged one.
    pub fn may_have_key(&self, owner: Owner) -> bool {
        self.keyring().may_have(owner)
    }

    /// Forgets the keys to content of these; false where there are none. Waits for the disk.
    pub fn erase_keys(&self, owners: &[Owner]) -> Result<bool, LedgerError> {
        let erased = self.keyring().erase(owners);
        erased.map_err(|source| LedgerError::Io { path: self.dir().join(SESSION_KEYS), source })
    }

    /// The number of the oldest record that is there, and when it was; `None` where there is none that is understood.
    pub(crate) fn oldest(&self) -> Result<Option<(u64, Timestamp)>, read::ReadError> {
        let oldest = read::events(self.dir(), 0)?.next().transpose();
        Ok(read::understood(oldest)?.flatten().map(|record| (record.seq, record.event.at)))
    }

    /// Everybody whose content has a key.
    pub(crate) fn key_owners(&self) -> Vec<Owner> {
        self.keyring().owners()
    }

    fn keyring(&self) -> MutexGuard<'_, Keyring> {
        self.inner.keyring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses who needs a key for which there is no room, before the writer would have to: it could write nothing then.
    fn has_room_for(&self, event: &Event) -> Result<(), LedgerDown> {
        if !self.inner.is_full.load(Relaxed) {
            return Ok(());
        }
        let Some(owner) = Owner::of_content(event) else { return Ok(()) };
        let keyring = self.keyring();
        if keyring.has(owner) {
            return Ok(());
        }
        Err(LedgerDown { why: format!("`{SESSION_KEYS}`: {}", keyring.full()).into() })
    }

    /// What it has done.
    pub fn counters(&self) -> Counters {
        let tally = self.inner.queue.tally();
        Counters {
            records: tally.records.load(Relaxed),
            bytes: tally.bytes.load(Relaxed),
            syncs: tally.syncs.load(Relaxed),
            failures: tally.failures.load(Relaxed),
            waiting: self.inner.queue.waiting() as u64,
        }
    }

    /// Takes no more events, writes what it has and gives the directory free. Blocks until that is done; an error says
    /// that accepted events were lost.
    pub fn close(&self) -> Result<(), LedgerDown> {
        self.inner.close()
    }
}

impl Inner {
    fn close(&self) -> Result<(), LedgerDown> {
        self.queue.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            return Err(self.queue.gone());
        }
        self.queue.lost()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!("{error}");
        }
    }
}
