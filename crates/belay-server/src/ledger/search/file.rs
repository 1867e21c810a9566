//! The file of the index: one process at a time, and thrown away rather than repaired.

use super::SearchError;
use super::terms::TOKEN_CHARS;
use crate::ledger::read::Place;
use belay_ledger::{Hash, Position};
use sqlx::error::DatabaseError;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteLockingMode, SqliteRow, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use tokio::time::{Duration, Instant, sleep};

/// Another number than the file's: it was made by another version, and is made anew.
const SCHEMA: i64 = 1;
const TABLES: &str = "
    CREATE TABLE place (
        only INTEGER PRIMARY KEY CHECK (only = 0),
        segment INTEGER NOT NULL, offset INTEGER NOT NULL, size INTEGER NOT NULL, chain BLOB NOT NULL
    );
    CREATE TABLE mark (
        seq INTEGER PRIMARY KEY,
        segment INTEGER NOT NULL, offset INTEGER NOT NULL, earliest INTEGER NOT NULL, latest INTEGER NOT NULL
    );
";
/// In KiB, below zero as SQLite wants it.
const CACHE: &str = "-65536";
/// What FTS5 gathers before it writes.
const GATHER_BYTES: i64 = 16 << 20;
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// SQLite's primary codes for a file that is no index any more.
const CORRUPT: i32 = 11;
const NOT_A_DATABASE: i32 = 26;

#[derive(Debug)]
pub(super) struct IndexFile {
    /// Absent for one that goes with this value.
    path: Option<PathBuf>,
    /// Held for the lock on it.
    _lock: Option<File>,
    connection: SqliteConnection,
    damaged: bool,
}

impl IndexFile {
    pub(super) async fn open(path: &Path, patience: Duration) -> Result<IndexFile, SearchError> {
        let lock = lock(path, patience).await?;
        make_private(path).map_err(|error| unusable(path, &error))?;
        let connected = match connect(Some(path)).await {
            Err(error) if means_damage(&error) => {
                begin_anew(path).map_err(|error| unusable(path, &error))?;
                connect(Some(path)).await
            }
            other => other,
        };
        let connection = connected.map_err(|error| SearchError::Unusable(error.to_string()))?;
        let mut file = IndexFile { path: Some(path.to_owned()), _lock: Some(lock), connection, damaged: false };
        match file.prepare().await {
            Err(SearchError::Unusable(_)) if file.damaged => file.renew().await?,
            other => other?,
        }
        Ok(file)
    }

    pub(super) async fn temporary() -> Result<IndexFile, SearchError> {
        let connection = connect(None).await.map_err(|error| SearchError::Unusable(error.to_string()))?;
        let mut file = IndexFile { path: None, _lock: None, connection, damaged: false };
        file.prepare().await?;
        Ok(file)
    }

    /// Whether an error so far said that the file is not what was written.
    pub(super) fn is_damaged(&self) -> bool {
        self.damaged
    }

    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    /// What an error of SQLite means for the search.
    pub(super) fn failed(&mut self, error: &sqlx::Error) -> SearchError {
        self.damaged |= means_damage(error);
        SearchError::Unusable(error.to_string())
    }

    /// Throws away what it holds.
    pub(super) async fn renew(&mut self) -> Result<(), SearchError> {
        self.damaged = false;
        // The old one is closed before its file goes, so that it cannot take files of the new one with it.
        let nothing = connect(None).await.map_err(|error| self.failed(&error))?;
        let old = std::mem::replace(&mut self.connection, nothing);
        drop(old.close_hard().await);
        if let Some(path) = &self.path {
            begin_anew(path).map_err(|error| unusable(path, &error))?;
            let opened = connect(Some(path)).await;
            self.connection = opened.map_err(|error| self.failed(&error))?;
        }
        self.prepare().await
    }

    /// Up to where the ledger is indexed; `None` at the beginning.
    pub(super) async fn place(&mut self) -> Result<Option<Place>, SearchError> {
        let row = sqlx::query("SELECT segment, offset, size, chain FROM place").fetch_optional(&mut self.connection);
        let row = row.await.map_err(|error| self.failed(&error))?;
        Ok(row.as_ref().and_then(place))
    }

    /// The first record of the oldest segment that is indexed.
    pub(super) async fn oldest_segment(&mut self) -> Result<Option<u64>, SearchError> {
        let oldest = sqlx::query_scalar("SELECT segment FROM mark ORDER BY seq LIMIT 1");
        let oldest: Option<i64> =
            oldest.fetch_optional(&mut self.connection).await.map_err(|error| self.failed(&error))?;
        Ok(oldest.and_then(|oldest| u64::try_from(oldest).ok()))
    }

    /// The first records of all segments that are indexed.
    pub(super) async fn segments(&mut self) -> Result<Vec<u64>, SearchError> {
        let all = sqlx::query_scalar("SELECT DISTINCT segment FROM mark");
        let all: Vec<i64> = all.fetch_all(&mut self.connection).await.map_err(|error| self.failed(&error))?;
        Ok(all.into_iter().filter_map(|segment| u64::try_from(segment).ok()).collect())
    }

    /// Makes the tables, if they are not there.
    async fn prepare(&mut self) -> Result<(), SearchError> {
        let version: Result<i64, _> = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut self.connection).await;
        let version = version.map_err(|error| self.failed(&error))?;
        if version == SCHEMA {
            return Ok(());
        }
        if version != 0 {
            return Box::pin(self.renew()).await;
        }
        let made = make_tables(&mut self.connection).await;
        made.map_err(|error| self.failed(&error))
    }
}

async fn connect(path: Option<&Path>) -> Result<SqliteConnection, sqlx::Error> {
    // SQLite makes a temporary file for the empty name, and removes it.
    let options = SqliteConnectOptions::new().filename(path.unwrap_or(Path::new(""))).create_if_missing(true);
    let options = options
        .locking_mode(SqliteLockingMode::Exclusive)
        .journal_mode(SqliteJournalMode::Truncate)
        .synchronous(SqliteSynchronous::Full)
        .pragma("cache_size", CACHE)
        .disable_statement_logging();
    options.connect().await
}

async fn make_tables(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql(TABLES).execute(&mut *transaction).await?;
    let term = format!(
        "CREATE VIRTUAL TABLE term USING fts5(
             terms, content='', columnsize=0, detail=none, tokenize=\"ascii tokenchars '{TOKEN_CHARS}'\"
         )"
    );
    sqlx::raw_sql(AssertSqlSafe(term)).execute(&mut *transaction).await?;
    let gather = sqlx::query("INSERT INTO term (term, rank) VALUES ('hashsize', ?)").bind(GATHER_BYTES);
    gather.execute(&mut *transaction).await?;
    sqlx::raw_sql(AssertSqlSafe(format!("PRAGMA user_version = {SCHEMA}"))).execute(&mut *transaction).await?;
    transaction.commit().await
}

fn place(row: &SqliteRow) -> Option<Place> {
    let number = |column| row.try_get::<i64, _>(column).ok().and_then(|number| u64::try_from(number).ok());
    let chain: [u8; 32] = row.try_get::<Vec<u8>, _>("chain").ok()?.try_into().ok()?;
    let position = Position { size: number("size")?, chain: Hash(chain) };
    Some(Place { segment: number("segment")?, offset: number("offset")?, position })
}

fn means_damage(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    let code = code.and_then(|code| code.parse::<i32>().ok()).map(|code| code & 0xff);
    matches!(code, Some(CORRUPT | NOT_A_DATABASE))
}

async fn lock(path: &Path, patience: Duration) -> Result<File, SearchError> {
    let lock = path.with_extension("lock");
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&lock);
    let file = opened.map_err(|error| unusable(&lock, &error))?;
    let until = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < until => sleep(LOOK_AGAIN).await,
            Err(TryLockError::WouldBlock) => return Err(SearchError::Busy(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(unusable(&lock, &error)),
        }
    }
}

fn make_private(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map(drop)
}

/// An empty file in the place of this one.
fn begin_anew(path: &Path) -> io::Result<()> {
    let mut journal = path.as_os_str().to_owned();
    journal.push("-journal");
    for file in [path, Path::new(&journal)] {
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    make_private(path)
}

fn unusable(path: &Path, error: &io::Error) -> SearchError {
    SearchError::Unusable(format!("`{}`: {error}", path.display()))
}
