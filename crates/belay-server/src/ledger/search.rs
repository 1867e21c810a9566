//! Searching a ledger through an index.
//!
//! The index is a cache in a file of its own: what records can be found by, and where they are. It can be deleted at any
//! time, and is thrown away when it does not fit the ledger. It only suggests records: each is read from the ledger,
//! proven against its own frame and put to the filter before it is found.

mod build;
mod fetch;
mod file;
mod find;
mod scan;
mod terms;

pub use find::{Found, Page};
pub use scan::scan;

use super::read::{self, Filter, ReadError};
use file::IndexFile;
use std::path::{Path, PathBuf};
use tokio::time::{Duration, Instant};

/// What the file of the index is called, after the ledger's directory.
const FILE_SUFFIX: &str = "-index.db";

/// The index over one ledger. Nobody else uses its file meanwhile.
#[derive(Debug)]
pub struct Index {
    ledger: PathBuf,
    file: IndexFile,
}

/// Why a search found no answer.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The index does not reach the end of the ledger yet. What was done is kept: search again.
    #[error("the ledger is being indexed: {percent} % of it are")]
    Behind {
        /// How much of the ledger is indexed.
        percent: u8,
    },
    /// Another search or another process has it for too long.
    #[error("the index `{0}` is in use")]
    Busy(PathBuf),
    /// The ledger itself.
    #[error(transparent)]
    Ledger(#[from] ReadError),
    /// The index cannot be kept: the disk is full, for example.
    #[error("the index of the ledger cannot be used: {0}")]
    Unusable(String),
}

/// Where the index of a ledger is kept unless something else is said: beside it.
pub fn index_file(ledger: &Path) -> PathBuf {
    let mut name = ledger.file_name().unwrap_or_default().to_owned();
    name.push(FILE_SUFFIX);
    ledger.with_file_name(name)
}

/// Throws away what an index knows. Waits at most for `patience` until nobody else has it.
pub async fn forget(file: &Path, patience: Duration) -> Result<(), SearchError> {
    IndexFile::open(file, patience).await?.renew().await
}

/// Throws away what an index knows, if it knows records whose segment is not there any more.
pub async fn forget_deleted(ledger: &Path, file: &Path, patience: Duration) -> Result<(), SearchError> {
    if !file.exists() {
        return Ok(());
    }
    let mut index = IndexFile::open(file, patience).await?;
    let (dir, known) = (ledger.to_owned(), index.segments().await?);
    let is_there = tokio::task::spawn_blocking(move || read::has_segments(&dir, &known));
    if build::joined(is_there).await? { Ok(()) } else { index.renew().await }
}

impl Index {
    /// Opens the index in `file`, or makes it. Waits at most for `patience` until nobody else has it.
    pub async fn open(ledger: &Path, file: &Path, patience: Duration) -> Result<Index, SearchError> {
        Ok(Index { ledger: ledger.to_owned(), file: IndexFile::open(file, patience).await? })
    }

    /// An index that goes with this value: for a ledger that nothing can be written beside.
    pub async fn temporary(ledger: &Path) -> Result<Index, SearchError> {
        Ok(Index { ledger: ledger.to_owned(), file: IndexFile::temporary().await? })
    }

    /// At most `count` records of the page that match. Indexes first what was appended since the last search, for as
    /// long as `patience` allows.
    pub async fn search(
        &mut self,
        filter: &Filter,
        page: Page,
        count: usize,
        patience: Duration,
    ) -> Result<Found, SearchError> {
        let until = Instant::now() + patience;
        match self.try_search(filter, page, count, until).await {
            Err(SearchError::Unusable(_)) if self.file.is_damaged() => {
                self.file.renew().await?;
                self.try_search(filter, page, count, until).await
            }
            other => other,
        }
    }

    async fn try_search(
        &mut self,
        filter: &Filter,
        page: Page,
        count: usize,
        until: Instant,
    ) -> Result<Found, SearchError> {
        build::catch_up(&self.ledger, &mut self.file, until).await?;
        find::find(&self.ledger, &mut self.file, filter, page, count).await
    }
}
