//! Searching without an index: for those who trust none, and where none can be kept.

use super::build::joined;
use super::{Found, Page, SearchError};
use crate::ledger::read::{self, Filter, ReadError};
use std::path::Path;

/// Records looked at for one page from the oldest on, so that a rare match does not hold a thread for ever.
const MOST_LOOKED_AT: usize = 1_000_000;

/// The same as [`super::Index::search`], by reading the records one after the other. Each is proven by the one before.
pub async fn scan(ledger: &Path, filter: &Filter, page: Page, count: usize) -> Result<Found, SearchError> {
    let (ledger, filter) = (ledger.to_owned(), filter.clone());
    let task = tokio::task::spawn_blocking(move || match page {
        Page::Newest => newest(&ledger, &filter, count, None),
        Page::Before(seq) => newest(&ledger, &filter, count, Some(seq)),
        Page::From(seq) => from(&ledger, &filter, count, seq),
    });
    joined(task).await
}

fn newest(ledger: &Path, filter: &Filter, count: usize, before: Option<u64>) -> Result<Found, ReadError> {
    let records = read::tail(ledger, filter, count, before)?;
    let next = records.last().map(|record| record.seq).filter(|_| records.len() == count);
    Ok(Found { records, next })
}

fn from(ledger: &Path, filter: &Filter, count: usize, seq: u64) -> Result<Found, ReadError> {
    let mut found = Found { records: Vec::new(), next: None };
    for (looked_at, record) in (1..).zip(read::events(ledger, seq)?) {
        let last = match record {
            Ok(record) => {
                let seq = record.seq;
                if filter.matches(&record.event) {
                    found.records.push(record);
                }
                seq
            }
            Err(ReadError::Unreadable { seq, .. }) => seq,
            Err(error) => return Err(error),
        };
        if found.records.len() == count || looked_at == MOST_LOOKED_AT {
            found.next = Some(last);
            break;
        }
    }
    Ok(found)
}
