//! The thread that owns the file.

use super::LedgerError;
use super::queue::{Item, Queue, refuse};
use super::segment::{self, Tail};
use super::session_keys;
use super::unfinished::Connections;
use belay_ledger::{EncodeError, Encoder};
use belay_model::{Event, EventKind, Timestamp};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// How often a ledger that is down tries to come up.
const RETRY: Duration = Duration::from_secs(1);
/// Frames are handed to the kernel when so many bytes are together.
const PIECE: usize = 1 << 20;

/// When a segment is full.
#[derive(Debug, Clone, Copy)]
pub(super) struct SegmentBounds {
    pub(super) bytes: u64,
    /// Since its first record was written.
    pub(super) age: Duration,
}

pub(super) struct Writer {
    queue: Arc<Queue>,
    /// Held for the lock on it.
    _lock: File,
    dir: PathBuf,
    bounds: SegmentBounds,
    file: File,
    /// When the first record of the segment was written; absent where it has none.
    began: Option<SystemTime>,
    /// The bytes of the segment that are synced. What is behind them is not part of the ledger.
    synced: u64,
    /// Where the chain stands at `synced`.
    encoder: Encoder,
    buffer: Vec<u8>,
    /// Those that are open at `synced`.
    connections: Connections,
    /// What content is sealed with.
    keyring: session_keys::Shared,
}

/// Where it writes.
pub(super) struct Place {
    pub(super) lock: File,
    pub(super) dir: PathBuf,
    pub(super) bounds: SegmentBounds,
}

/// The writer ended without closing: nobody is left waiting.
struct Ending(Arc<Queue>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end(0);
    }
}

impl Writer {
    pub(super) fn new(
        queue: Arc<Queue>,
        place: Place,
        tail: Tail,
        connections: Connections,
        keyring: session_keys::Shared,
    ) -> Result<Writer, LedgerError> {
        let Place { lock, dir, bounds } = place;
        let file = match tail.file {
            Some(file) => file,
            None => {
                segment::create(&dir, tail.position).map_err(|source| LedgerError::Io { path: dir.clone(), source })?
            }
        };
        let has_records = tail.len > belay_ledger::HEADER_LEN as u64;
        // Where the file system does not know when a file was made, it begins to be old now.
        let made = file.metadata().and_then(|about| about.created()).unwrap_or_else(|_| SystemTime::now());
        let began = has_records.then_some(made);
        let encoder = Encoder::new(tail.position);
        queue.stored(tail.position);
        Ok(Writer {
            queue,
            _lock: lock,
            dir,
            bounds,
            file,
            began,
            synced: tail.len,
            encoder,
            buffer: Vec::new(),
            connections,
            keyring,
        })
    }

    /// Until the ledger is closed.
    pub(super) fn run(mut self) {
        let queue = Arc::clone(&self.queue);
        let _ending = Ending(Arc::clone(&queue));
        let (mut batch, mut last) = (Vec::new(), Instant::now());
        loop {
            let open = queue.take(&mut batch, last, self.due());
            last = Instant::now();
            let stored = self.store(&batch);
            match stored {
                Ok(()) => answer(&mut batch),
                Err(error) => {
                    self.go_down(&mut batch, &error);
                    if !open || !self.wait_for_disk(&mut batch, &error) {
                        return self.last_try(batch);
                    }
                }
            }
            if !open {
                return;
            }
        }
    }

    /// Appends the events and syncs them. After an error the ledger is what it was before.
    fn store(&mut self, batch: &[Item]) -> io::Result<()> {
        if self.is_full(batch) {
            self.check_file()?;
            self.connections.note(&self.dir, self.encoder.position().size)?;
            self.file = segment::create(&self.dir, self.encoder.position())?;
            (self.synced, self.began) = (belay_ledger::HEADER_LEN as u64, None);
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.check_file()?;
        let mut encoder = self.encoder.clone();
        let mut end = self.synced;
        self.buffer.clear();
        for item in batch {
            self.encode(&item.event, &mut encoder)?;
            if self.buffer.len() >= PIECE {
                end = self.write(end)?;
            }
        }
        end = self.write(end)?;
        self.file.sync_data()?;
        let tally = self.queue.tally();
        tally.records.fetch_add(encoder.position().size - self.encoder.position().size, Relaxed);
        tally.bytes.fetch_add(end - self.synced, Relaxed);
        tally.syncs.fetch_add(1, Relaxed);
        (self.encoder, self.synced) = (encoder, end);
        self.began.get_or_insert_with(SystemTime::now);
        for item in batch {
            self.connections.hear(&item.event);
        }
        self.queue.stored(self.encoder.position());
        self.buffer.shrink_to(2 * PIECE);
        Ok(())
    }

    fn encode(&mut self, event: &Event, encoder: &mut Encoder) -> io::Result<()> {
        let mut keyring = self.keyring.lock().unwrap_or_else(PoisonError::into_inner);
        match encoder.append_sealed(event, &mut *keyring, &mut self.buffer) {
            Err(EncodeError::Event(_)) => {
                let what = format!("an event of kind {} could not be written as a record", event.kind.word());
                let instead = Event { kind: EventKind::Recovered { what }, ..event.clone() };
                encoder.append(&instead, &mut self.buffer).map_err(io::Error::other)?;
            }
            done => drop(done.map_err(io::Error::other)?),
        }
        Ok(())
    }

    /// Whether a new segment is to be begun, even if only because the last is old.
    fn is_full(&self, batch: &[Item]) -> bool {
        let is_old = self.left().is_some_and(|left| left.is_zero());
        is_old || (!batch.is_empty() && self.synced >= self.bounds.bytes)
    }

    /// When the segment will be too old.
    fn due(&self) -> Option<Instant> {
        Instant::now().checked_add(self.left()?)
    }

    /// How long the segment may go on; nothing where it has no record.
    fn left(&self) -> Option<Duration> {
        // A clock that was set back makes it no older.
        let since = SystemTime::now().duration_since(self.began?).unwrap_or_default();
        Some(self.bounds.age.saturating_sub(since))
    }

    fn write(&mut self, at: u64) -> io::Result<u64> {
        self.file.write_all_at(&self.buffer, at)?;
        let end = at + self.buffer.len() as u64;
        self.buffer.clear();
        Ok(end)
    }

    /// Nobody else has touched the segment: a deleted or overwritten one would swallow records.
    fn check_file(&self) -> io::Result<()> {
        let metadata = self.file.metadata()?;
        if metadata.nlink() == 0 {
            return Err(io::Error::other("its last segment was deleted by another program"));
        }
        if metadata.len() != self.synced {
            return Err(io::Error::other("its last segment was changed by another program"));
        }
        Ok(())
    }

    /// Refuses those who wait and keeps the rest of the batch.
    fn go_down(&mut self, batch: &mut Vec<Item>, error: &io::Error) {
        self.queue.tally().failures.fetch_add(1, Relaxed);
        let why: Arc<str> = error.to_string().into();
        tracing::error!(dir = %self.dir.display(), "ledger cannot be written: {why}");
        // First no new events, then the refusals: who is refused sees a ledger that is down.
        self.queue.go_down(&why);
        let refused = std::mem::take(batch);
        batch.extend(refused.into_iter().filter_map(|item| refuse(item, &why)));
        // If this fails too, it is done again before anything is written.
        drop(self.cut_back());
    }

    /// Tries until the disk takes what is left. Returns false when the ledger is being closed.
    fn wait_for_disk(&mut self, batch: &mut Vec<Item>, error: &io::Error) -> bool {
        let since = Instant::now();
        while self.queue.pause(RETRY) {
            self.queue.take_now(batch);
            let seconds = since.elapsed().as_secs();
            let what = format!("the ledger could not be written for {seconds} s: {error}");
            // The event is also the trial: the ledger is not up before something was really written.
            batch.push(Item { event: Event::new(now(), EventKind::Recovered { what }), waiter: None });
            if self.cut_back().and_then(|()| self.store(batch)).is_ok() {
                batch.clear();
                self.queue.come_up();
                tracing::info!(dir = %self.dir.display(), "ledger can be written again after {seconds} s");
                return true;
            }
            self.queue.tally().failures.fetch_add(1, Relaxed);
            batch.pop();
            drop(self.cut_back());
        }
        false
    }

    /// The ledger is being closed while it is down.
    fn last_try(mut self, mut batch: Vec<Item>) {
        self.queue.take_now(&mut batch);
        if self.cut_back().and_then(|()| self.store(&batch)).is_err() {
            drop(self.cut_back());
            self.queue.end(batch.len());
        }
    }

    /// Takes off what was written behind the synced part.
    fn cut_back(&self) -> io::Result<()> {
        if self.file.metadata()?.len() > self.synced {
            self.file.set_len(self.synced)?;
        }
        Ok(())
    }
}

fn answer(batch: &mut Vec<Item>) {
    for item in batch.drain(..) {
        if let Some(waiter) = item.waiter {
            // A caller that stopped waiting has nobody to tell.
            drop(waiter.send(Ok(())));
        }
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
