//! One output: reads on, sends, and notes how far its receiver has come.
//!
//! At least once, in order: the cursor moves when the receiver has the records before it. Whatever goes wrong, it is
//! tried again from there, for as long as it takes, and nothing else waits for it.

use super::cursor::CursorFile;
use super::encode::Encoding;
use super::reader::{Found, Reader};
use super::status::Status;
use super::wire::Wire;
use crate::ledger::Ledger;
use crate::ledger::read::Filter;
use crate::secrets;
use crate::shutdown::Stopping;
use belay_ledger::Position;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

/// How often it is looked whether there is more.
const PAUSE: Duration = Duration::from_millis(200);
/// The cursor is written no more often than this: what is sent again after a crash is worth less than the disk.
const NOTE: Duration = Duration::from_secs(1);
/// How long it rests after the first failure; then twice as long each time.
const REST: Duration = Duration::from_millis(500);
/// It never rests longer.
const LONGEST_REST: Duration = Duration::from_mins(1);

pub(super) struct Output {
    pub(super) ledger: Ledger,
    pub(super) cursor: Cursor,
    pub(super) filter: Filter,
    pub(super) encoding: Arc<Encoding>,
    pub(super) wire: Wire,
    pub(super) status: Arc<Status>,
}

/// How far the receiver has come.
pub(super) struct Cursor {
    file: CursorFile,
    at: Position,
    noted: Position,
    noted_at: Instant,
    /// Sent, and not yet certain to have arrived.
    held: VecDeque<(Instant, Position)>,
}

impl Cursor {
    pub(super) fn new(file: CursorFile, at: Position) -> Cursor {
        Cursor { file, at, noted: at, noted_at: Instant::now(), held: VecDeque::new() }
    }
}

impl Output {
    /// Until it is time to stop. What is not sent by then is sent after the next start.
    pub(super) async fn run(mut self, mut stopping: Stopping) {
        tokio::select! {
            () = stopping.wait() => {}
            () = self.feed() => {}
        }
        if let Err(why) = self.note(Duration::ZERO).await {
            self.status.failed(&why);
        }
    }

    async fn feed(&mut self) {
        let mut failures = 0;
        // Each turn ends with a failure.
        loop {
            let before = self.status.get().sent;
            let Err(why) = self.follow().await;
            self.status.failed(&why);
            self.wire.hang_up();
            self.cursor.held.clear();
            self.status.behind(self.size().saturating_sub(self.cursor.at.size));
            failures = if self.status.get().sent > before { 1 } else { failures + 1 };
            sleep(rest(failures)).await;
        }
    }

    async fn follow(&mut self) -> Result<std::convert::Infallible, String> {
        let failures = self.ledger.counters().failures;
        let mut reader = self.open().await?;
        loop {
            let size = self.size();
            // What was written and then taken back may have been read ahead; it is never counted in `size` without
            // this.
            if self.ledger.counters().failures != failures {
                return Err("the ledger could not be written; what it has is read again".to_owned());
            }
            if reader.at().size >= size {
                self.settle().await?;
                sleep(PAUSE).await;
                continue;
            }
            let before = reader.at();
            let read = spawn_blocking(move || {
                let batch = reader.read(size);
                (reader, batch)
            });
            let (back, batch) = read.await.map_err(|error| error.to_string())?;
            reader = back;
            let batch = batch.map_err(|error| error.to_string())?;
            if batch.gone > 0 {
                self.status.missed(batch.gone, "they were deleted because they were too old");
            }
            if batch.unreadable > 0 {
                self.status.missed(batch.unreadable, "they are of a later version");
            }
            if batch.end == before {
                sleep(PAUSE).await;
                continue;
            }
            if !batch.pieces.is_empty() {
                self.check_wire()?;
                let refused = self.wire.send(&batch.pieces).await?;
                self.status.sent(batch.pieces.len() as u64 - refused.min(batch.pieces.len() as u64));
                if refused > 0 {
                    self.status.missed(refused, "the receiver refused them for good");
                }
            }
            self.cursor.held.push_back((Instant::now(), batch.end));
            self.settle().await?;
        }
    }

    async fn open(&mut self) -> Result<Reader, String> {
        let (dir, cursor, size) = (self.ledger.dir().to_owned(), self.cursor.at, self.size());
        let (filter, encoding) = (self.filter.clone(), Arc::clone(&self.encoding));
        let opened = spawn_blocking(move || Reader::open(&dir, cursor, size, filter, encoding)).await;
        let (reader, found) = opened.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        match found {
            Found::There => {}
            Found::Later(missed) => {
                self.status.missed(missed, "they are no longer in the ledger");
            }
            Found::Another => {
                tracing::error!("the ledger never stood at {cursor}, which an output had reached: all of it goes out");
                self.cursor.at = Position::START;
            }
        }
        Ok(reader)
    }

    /// Moves the cursor over what has arrived.
    async fn settle(&mut self) -> Result<(), String> {
        self.check_wire()?;
        let hold = self.wire.hold();
        while let Some((sent, position)) = self.cursor.held.front().copied()
            && sent.elapsed() >= hold
        {
            self.cursor.at = position;
            self.cursor.held.pop_front();
        }
        self.status.behind(self.size().saturating_sub(self.cursor.at.size));
        self.note(NOTE).await
    }

    /// A receiver may hang up when there is nothing on the way.
    fn check_wire(&mut self) -> Result<(), String> {
        if !self.wire.is_cut() {
            return Ok(());
        }
        self.wire.hang_up();
        if self.cursor.held.is_empty() { Ok(()) } else { Err("the receiver hung up".to_owned()) }
    }

    /// Writes the cursor, unless that was done less than `rest` ago.
    async fn note(&mut self, rest: Duration) -> Result<(), String> {
        let cursor = &mut self.cursor;
        if cursor.at == cursor.noted || cursor.noted_at.elapsed() < rest {
            return Ok(());
        }
        let (file, at) = (cursor.file.clone(), cursor.at);
        let written = spawn_blocking(move || file.write(at)).await.map_err(|error| error.to_string())?;
        written.map_err(|error| format!("its place in the ledger cannot be noted: {error}"))?;
        (cursor.noted, cursor.noted_at) = (at, Instant::now());
        Ok(())
    }

    /// The ledger's records that are on the disk. No others go out: what a receiver has, the ledger keeps.
    fn size(&self) -> u64 {
        self.ledger.position().size
    }
}

/// Longer after each failure, and never the same for two outputs.
fn rest(failures: u32) -> Duration {
    let longest = REST.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LONGEST_REST);
    let [random] = secrets::random::<1>().unwrap_or([128]);
    longest / 2 + longest * u32::from(random) / 510
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_grow_to_a_minute_and_differ() {
        for _ in 0..50 {
            assert!((REST / 2..=REST).contains(&rest(1)));
            assert!((REST..=REST * 2).contains(&rest(2)));
            assert!((LONGEST_REST / 2..=LONGEST_REST).contains(&rest(u32::MAX)));
        }
    }
}
