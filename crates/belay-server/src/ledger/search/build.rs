//! Indexing what was appended since.

use super::file::IndexFile;
use super::{SearchError, terms};
use crate::ledger::read::{self, Events, Place, ReadError};
use crate::ledger::segment;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection as _, QueryBuilder};
use std::path::Path;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Records and bytes of one transaction.
const BATCH_RECORDS: usize = 32_768;
const BATCH_BYTES: usize = 32 << 20;
/// Rows of one statement.
const ROWS: usize = 1_000;
/// The place of every so manieth record is kept; those between are walked to.
pub(super) const MARK_EVERY: u64 = 64;

/// The next records, as the index holds them.
#[derive(Default)]
struct Batch {
    documents: Vec<(i64, String)>,
    marks: Vec<Mark>,
    bytes: usize,
    after: Option<Place>,
}

/// Where a record is, and from when to when it and those before the next mark happened.
struct Mark {
    seq: i64,
    segment: i64,
    offset: i64,
    earliest: i64,
    latest: i64,
}

/// Indexes up to the end of the ledger, or until there is no time left.
pub(super) async fn catch_up(ledger: &Path, file: &mut IndexFile, until: Instant) -> Result<(), SearchError> {
    let (mut events, mut batch) = joined(read(start(ledger, file).await?)).await?;
    // Ends with the ledger, which a busy gateway may put off for as long as the time allows.
    while let Some(after) = batch.after {
        if !batch.is_full() {
            return write(file, &batch, after).await;
        }
        // The next records are read while these are written.
        let reading = read(events);
        write(file, &batch, after).await?;
        if Instant::now() >= until {
            return Err(SearchError::Behind { percent: percent(ledger, after)? });
        }
        (events, batch) = joined(reading).await?;
    }
    Ok(())
}

/// The records that are not indexed. An index that does not fit the ledger is thrown away.
async fn start(ledger: &Path, file: &mut IndexFile) -> Result<Events, SearchError> {
    if let Some(place) = file.place().await? {
        let (dir, oldest) = (ledger.to_owned(), file.oldest_segment().await?);
        let resumed = tokio::task::spawn_blocking(move || match oldest {
            // It knows words of records that retention deleted.
            Some(oldest) if !read::has_segments(&dir, &[oldest])? => Ok(None),
            _ => read::resume(&dir, place),
        });
        if let Some(events) = joined(resumed).await? {
            return Ok(events);
        }
        file.renew().await?;
    }
    Ok(read::events(ledger, 0)?)
}

fn read(mut events: Events) -> JoinHandle<Result<(Events, Batch), ReadError>> {
    tokio::task::spawn_blocking(move || {
        let mut batch = Batch::default();
        while !batch.is_full() {
            let Some(placed) = events.next_placed().transpose()? else { break };
            batch.add(&placed)?;
        }
        Ok((events, batch))
    })
}

pub(super) async fn joined<T>(task: JoinHandle<Result<T, ReadError>>) -> Result<T, SearchError> {
    let failed = |_| SearchError::Unusable("reading the ledger was broken off".to_owned());
    Ok(task.await.map_err(failed)??)
}

impl Batch {
    fn is_full(&self) -> bool {
        self.documents.len() >= BATCH_RECORDS || self.bytes >= BATCH_BYTES
    }

    fn add(&mut self, placed: &read::Placed) -> Result<(), ReadError> {
        let (seq, after) = (placed.seq(), placed.after());
        // What this version doesn't understand cannot be found by anything, and has no time.
        let (document, at) = match read::understood(placed.read())? {
            Some(record) => (terms::of_event(&record.event), Some(record.event.at.0)),
            None => (String::new(), None),
        };
        let begins = self.after.is_none_or(|before| before.segment != after.segment);
        if begins || seq.is_multiple_of(MARK_EVERY) {
            let (segment, offset) = (number(after.segment), number(placed.offset()));
            self.marks.push(Mark { seq: number(seq), segment, offset, earliest: i64::MAX, latest: i64::MIN });
        }
        if let (Some(mark), Some(at)) = (self.marks.last_mut(), at) {
            (mark.earliest, mark.latest) = (mark.earliest.min(at), mark.latest.max(at));
        }
        self.bytes += placed.bytes();
        self.documents.push((number(seq), document));
        self.after = Some(after);
        Ok(())
    }
}

async fn write(file: &mut IndexFile, batch: &Batch, after: Place) -> Result<(), SearchError> {
    let written = insert(file.connection(), batch, after).await;
    written.map_err(|error| file.failed(&error))
}

async fn insert(connection: &mut SqliteConnection, batch: &Batch, after: Place) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    for documents in batch.documents.chunks(ROWS) {
        let mut query = QueryBuilder::new("INSERT INTO term (rowid, terms) ");
        query.push_values(documents, |mut row, (seq, document)| {
            row.push_bind(*seq).push_bind(document.as_str());
        });
        query.build().execute(&mut *transaction).await?;
    }
    for marks in batch.marks.chunks(ROWS) {
        let mut query = QueryBuilder::new("INSERT INTO mark (seq, segment, offset, earliest, latest) ");
        query.push_values(marks, |mut row, mark| {
            row.push_bind(mark.seq).push_bind(mark.segment).push_bind(mark.offset);
            row.push_bind(mark.earliest).push_bind(mark.latest);
        });
        query.build().execute(&mut *transaction).await?;
    }
    sqlx::query("INSERT OR REPLACE INTO place (only, segment, offset, size, chain) VALUES (0, ?, ?, ?, ?)")
        .bind(number(after.segment))
        .bind(number(after.offset))
        .bind(number(after.position.size))
        .bind(after.position.chain.0.as_slice())
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

/// How many bytes of a hundred are before `place`.
fn percent(ledger: &Path, place: Place) -> Result<u8, SearchError> {
    let failed = |source| ReadError::Io { path: ledger.to_owned(), source };
    let (mut before, mut all) = (place.offset, 0);
    for segment in segment::list(ledger).map_err(failed)? {
        let len = std::fs::metadata(&segment.path).map_err(failed)?.len();
        all += len;
        if segment.first < place.segment {
            before += len;
        }
    }
    Ok(u8::try_from(u128::from(before) * 100 / u128::from(all.max(1))).unwrap_or(100).min(99))
}

/// SQLite's integers have a sign; no ledger has so many records or bytes.
pub(super) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
