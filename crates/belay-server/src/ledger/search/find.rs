//! The records that a filter matches, page by page.

use super::build::{MARK_EVERY, joined, number};
use super::fetch::{Wanted, fetch};
use super::file::IndexFile;
use super::{SearchError, terms};
use crate::ledger::read::{Filter, Test};
use belay_ledger::Record;
use std::path::Path;

/// Records looked at for one page, so that a search that the index cannot narrow ends.
const MOST_LOOKED_AT: usize = 100_000;
/// The fewest and the most of them at once.
const FEWEST: usize = 128;
const MOST: usize = 4_096;

/// Which way, and from where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// The newest first.
    Newest,
    /// The newest of those before this record first.
    Before(u64),
    /// This record or the next one that matches first, and then the newer ones.
    From(u64),
}

/// One page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The records, in the order of the page.
    pub records: Vec<Record>,
    /// The last record that was looked at, if those behind it may match too. There may be more even where few or none
    /// were found, because a page looks at so many records and no more.
    pub next: Option<u64>,
}

/// Records that are left to look at, both ends included.
struct Rest {
    low: i64,
    high: i64,
    descending: bool,
}

pub(super) async fn find(
    ledger: &Path,
    file: &mut IndexFile,
    filter: &Filter,
    page: Page,
    count: usize,
) -> Result<Found, SearchError> {
    let mut rest = rest(file, filter, page).await?;
    let asked = terms::of_filter(filter);
    let mut found = Found { records: Vec::new(), next: None };
    let (mut looked_at, mut most) = (0, count.clamp(FEWEST, MOST));
    loop {
        let seqs = candidates(file, asked.as_deref(), &rest, most).await?;
        let wanted = places(file, &seqs).await?;
        let dir = ledger.to_owned();
        let mut records = joined(tokio::task::spawn_blocking(move || fetch(&dir, wanted))).await?;
        if rest.descending {
            records.reverse();
        }
        for record in records.into_iter().filter(|record| filter.matches(&record.event)) {
            found.next = Some(record.seq);
            found.records.push(record);
            if found.records.len() >= count {
                return Ok(found);
            }
        }
        found.next = seqs.last().and_then(|seq| u64::try_from(*seq).ok());
        let Some(last) = seqs.last().copied().filter(|_| seqs.len() == most) else {
            return Ok(Found { next: None, ..found });
        };
        looked_at += seqs.len();
        if looked_at >= MOST_LOOKED_AT {
            return Ok(found);
        }
        rest.go_on_from(last);
        most = (most * 2).min(MOST);
    }
}

impl Rest {
    fn go_on_from(&mut self, seq: i64) {
        if self.descending {
            self.high = seq - 1;
        } else {
            self.low = seq + 1;
        }
    }
}

/// The page, made shorter where the filter says from when to when.
async fn rest(file: &mut IndexFile, filter: &Filter, page: Page) -> Result<Rest, SearchError> {
    let (mut since, mut until) = (i64::MIN, i64::MAX);
    for condition in filter.conditions() {
        match (&condition.test, condition.negated) {
            (Test::Since(point), false) | (Test::Until(point), true) => since = since.max(point.0),
            (Test::Until(point), false) | (Test::Since(point), true) => until = until.min(point.0),
            _ => {}
        }
    }
    let bounds = sqlx::query_as("SELECT min(seq), max(seq) FROM mark WHERE latest >= ? AND earliest < ?");
    let bounds = bounds.bind(since).bind(until).fetch_one(file.connection()).await;
    let (low, high): (Option<i64>, Option<i64>) = bounds.map_err(|error| file.failed(&error))?;
    let end = file.place().await?.map_or(0, |place| number(place.position.size));
    let mut rest = Rest { low: low.unwrap_or(0), high: -1, descending: true };
    if let Some(high) = high {
        rest.high = high.saturating_add(number(MARK_EVERY)).min(end) - 1;
    }
    match page {
        Page::Newest => {}
        Page::Before(seq) => rest.high = rest.high.min(number(seq) - 1),
        Page::From(seq) => (rest.low, rest.descending) = (rest.low.max(number(seq)), false),
    }
    Ok(rest)
}

/// At most `most` records that the index suggests, in the order of the page.
async fn candidates(
    file: &mut IndexFile,
    asked: Option<&str>,
    rest: &Rest,
    most: usize,
) -> Result<Vec<i64>, SearchError> {
    let Some(asked) = asked else {
        let all = rest.low..=rest.high;
        return Ok(if rest.descending { all.rev().take(most).collect() } else { all.take(most).collect() });
    };
    let query = if rest.descending {
        "SELECT rowid FROM term WHERE term MATCH ? AND rowid BETWEEN ? AND ? ORDER BY rowid DESC LIMIT ?"
    } else {
        "SELECT rowid FROM term WHERE term MATCH ? AND rowid BETWEEN ? AND ? ORDER BY rowid LIMIT ?"
    };
    let query = sqlx::query_scalar(query).bind(asked).bind(rest.low).bind(rest.high).bind(number(most as u64));
    let seqs = query.fetch_all(file.connection()).await;
    seqs.map_err(|error| file.failed(&error))
}

/// Where to look for them.
async fn places(file: &mut IndexFile, seqs: &[i64]) -> Result<Vec<Wanted>, SearchError> {
    let list = serde_json::to_string(seqs).map_err(|error| SearchError::Unusable(error.to_string()))?;
    let rows = sqlx::query_as(
        "SELECT wanted.value, mark.seq, mark.segment, mark.offset FROM json_each(?) AS wanted
         JOIN mark ON mark.seq = (SELECT max(seq) FROM mark WHERE seq <= wanted.value) ORDER BY wanted.value",
    );
    let rows = rows.bind(list).fetch_all(file.connection()).await;
    let rows: Vec<(i64, i64, i64, i64)> = rows.map_err(|error| file.failed(&error))?;
    let number = |number| u64::try_from(number).unwrap_or_default();
    let wanted = |(seq, mark, segment, offset)| Wanted {
        seq: number(seq),
        mark: number(mark),
        segment: number(segment),
        offset: number(offset),
    };
    Ok(rows.into_iter().map(wanted).collect())
}
