//! Records out of the ledger, from where an output stands, in batches of bounded size.
//!
//! The ledger is the queue: what has not been sent is on the disk already, and stays there.

use super::encode::Encoding;
use crate::ledger::read::{self, Events, Filter, ReadError};
use belay_ledger::Position;
use std::path::Path;
use std::sync::Arc;

/// The most records in a batch.
const MAX_RECORDS: usize = 500;
/// A batch with so many bytes takes no further record.
const MAX_BYTES: usize = 1 << 20;
/// The most records that are looked at for a batch.
const MAX_LOOKED_AT: u64 = 20_000;

/// Reads on from where it was opened.
pub(super) struct Reader {
    events: Events,
    at: Position,
    failed: Option<ReadError>,
    filter: Filter,
    encoding: Arc<Encoding>,
}

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Where the output stood.
    There,
    /// At the oldest record: those before it are gone, and so many of them were never sent.
    Later(u64),
    /// At the oldest record: the ledger never stood where the output did, so it is another or an older one.
    Another,
}

/// Records to be sent at once.
pub(super) struct Batch {
    /// Each as its receiver wants it.
    pub(super) pieces: Vec<Vec<u8>>,
    /// Where the output stands once they are sent.
    pub(super) end: Position,
    /// Records on the way that this version does not understand.
    pub(super) unreadable: u64,
    /// Records that were deleted before they were read.
    pub(super) gone: u64,
}

impl Reader {
    /// Reads the ledger in `dir` from `cursor` on. `size` is the number of its records that are on the disk.
    pub(super) fn open(
        dir: &Path,
        cursor: Position,
        size: u64,
        filter: Filter,
        encoding: Arc<Encoding>,
    ) -> Result<(Reader, Found), ReadError> {
        let (events, at, found) = if cursor.size == 0 {
            (read::events(dir, 0)?, cursor, Found::There)
        } else if cursor.size > size {
            (read::events(dir, 0)?, Position::START, Found::Another)
        } else {
            find(dir, cursor)?
        };
        Ok((Reader { events, at, failed: None, filter, encoding }, found))
    }

    /// Where it is.
    pub(super) fn at(&self) -> Position {
        self.at
    }

    /// What comes next, of the ledger's first `size` records.
    pub(super) fn read(&mut self, size: u64) -> Result<Batch, ReadError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let mut batch = Batch { pieces: Vec::new(), end: self.at, unreadable: 0, gone: 0 };
        let (mut bytes, mut looked_at) = (0, 0);
        while self.at.size < size && batch.pieces.len() < MAX_RECORDS && bytes < MAX_BYTES && looked_at < MAX_LOOKED_AT
        {
            let Some(record) = self.events.next() else { break };
            looked_at += 1;
            match record {
                Ok(record) => {
                    batch.gone += record.seq.saturating_sub(self.at.size);
                    self.at = self.events.position().unwrap_or(self.at);
                    if self.filter.matches(&record.event) {
                        let piece = self.encoding.encode(&record, self.at);
                        bytes += piece.len();
                        batch.pieces.push(piece);
                    }
                }
                Err(ReadError::Unreadable { .. }) => {
                    self.at = self.events.position().unwrap_or(self.at);
                    batch.unreadable += 1;
                }
                // What was read before is good; the next call says what is wrong.
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
        batch.end = self.at;
        Ok(batch)
    }
}

/// Looks at the record before `cursor`: it must be the one that was there.
fn find(dir: &Path, cursor: Position) -> Result<(Events, Position, Found), ReadError> {
    let mut events = read::events(dir, cursor.size - 1)?;
    match events.next() {
        Some(Err(error @ (ReadError::Io { .. } | ReadError::Damaged { .. }))) => return Err(error),
        Some(Ok(_) | Err(ReadError::Unreadable { .. })) | None => {}
    }
    match events.position() {
        Some(after) if after.size > cursor.size => {
            // That record is the oldest there is.
            let oldest = after.size - 1;
            Ok((read::events(dir, oldest)?, Position { size: oldest, ..cursor }, Found::Later(oldest - cursor.size)))
        }
        Some(after) if after != cursor => Ok((read::events(dir, 0)?, Position::START, Found::Another)),
        Some(_) | None => Ok((events, cursor, Found::There)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::encode::Format;
    use super::*;
    use crate::config::Statements;
    use crate::ledger::{Ledger, Settings};
    use belay_model::{Event, EventKind, Timestamp};
    use serde_json::Value;

    /// Records in segments of two or three.
    fn ledger(dir: &Path, count: u32) {
        let settings = Settings { segment_bytes: 300, ..Settings::new(dir) };
        let (ledger, _) = Ledger::open_with(&settings).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for number in 0..count {
            let user = format!("user{number}");
            let kind = EventKind::PasswordChanged { user };
            runtime.block_on(ledger.record_durable(Event::new(Timestamp(i64::from(number)), kind))).unwrap();
        }
        ledger.close().unwrap();
    }

    fn open(dir: &Path, cursor: Position, only: &str) -> (Reader, Found) {
        let encoding = Encoding {
            format: Format::Json,
            statements: Statements::Text,
            statement_bytes: 100,
            max_bytes: 10_000,
            observer: "gate1".into(),
        };
        let filter = Filter::parse(only, Timestamp(0)).unwrap();
        Reader::open(dir, cursor, 10, filter, Arc::new(encoding)).unwrap()
    }

    fn numbers(batch: &Batch) -> Vec<u64> {
        let number = |piece: &Vec<u8>| serde_json::from_slice::<Value>(piece).unwrap()["event"]["sequence"].as_u64();
        batch.pieces.iter().map(|piece| number(piece).unwrap()).collect()
    }

    #[test]
    fn reading_goes_on_where_it_ended_and_no_further_than_asked() {
        let dir = tempfile::tempdir().unwrap();
        ledger(dir.path(), 10);
        let (mut reader, found) = open(dir.path(), Position::START, "");
        assert_eq!(found, Found::There);
        let first = reader.read(4).unwrap();
        assert_eq!((numbers(&first), first.end.size), (vec![0, 1, 2, 3], 4));
        let (mut again, found) = open(dir.path(), first.end, "");
        assert_eq!((found, numbers(&again.read(10).unwrap())), (Found::There, vec![4, 5, 6, 7, 8, 9]));
        assert_eq!(numbers(&reader.read(10).unwrap()), vec![4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn what_a_filter_leaves_out_is_passed_over_for_good() {
        let dir = tempfile::tempdir().unwrap();
        ledger(dir.path(), 10);
        let (mut reader, _) = open(dir.path(), Position::START, "kind:statement");
        let batch = reader.read(10).unwrap();
        assert_eq!((numbers(&batch), batch.end.size), (vec![], 10));
    }

    #[test]
    fn records_that_are_gone_are_counted_and_the_oldest_there_is_comes_next() {
        let dir = tempfile::tempdir().unwrap();
        ledger(dir.path(), 10);
        let (mut reader, _) = open(dir.path(), Position::START, "");
        let cursor = reader.read(1).unwrap().end;
        let mut segments: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "ledger"))
            .collect();
        segments.sort();
        let oldest: u64 = segments[2].file_stem().unwrap().to_str().unwrap().parse().unwrap();
        segments[..2].iter().for_each(|path| std::fs::remove_file(path).unwrap());
        let (mut reader, found) = open(dir.path(), cursor, "");
        assert_eq!(found, Found::Later(oldest - 1));
        assert_eq!(numbers(&reader.read(10).unwrap()), (oldest..10).collect::<Vec<_>>());
    }

    #[test]
    fn a_ledger_that_never_stood_at_the_cursor_is_sent_from_its_beginning() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        ledger(one.path(), 10);
        ledger(other.path(), 4);
        let (mut reader, _) = open(one.path(), Position::START, "");
        let far = reader.read(10).unwrap().end;
        let shorter = Reader::open(other.path(), far, 4, Filter::default(), Arc::clone(&reader.encoding)).unwrap();
        assert_eq!(shorter.1, Found::Another);
        let strange = Position { size: 3, ..far };
        let (mut reader, found) = open(other.path(), strange, "");
        assert_eq!((found, numbers(&reader.read(4).unwrap())), (Found::Another, vec![0, 1, 2, 3]));
    }
}
