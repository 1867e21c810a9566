//! Opening the store, or refusing to.

use crate::lock::{self, Lock};
use crate::{Reader, StoreError, Writing};
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection};
use std::fs::OpenOptions;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;
use tokio::sync::Mutex;

/// The store's file in its folder.
pub const FILE: &str = "belay.db";

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// Below this, connections that write and checkpoint at once can lose committed pages.
const OLDEST_SQLITE: (u32, u32, u32) = (3, 51, 3);
const READERS: u32 = 4;
const WAIT: Duration = Duration::from_secs(10);

/// The open store. It belongs to this process alone until it is dropped.
#[derive(Debug)]
pub struct Store {
    writer: SqlitePool,
    readers: SqlitePool,
    pub(crate) connection_ids: Mutex<Range<i64>>,
    pub(crate) instance: String,
    _lock: Lock,
}

impl Store {
    /// Opens `belay.db` in the folder, or makes it. Refuses what another server holds, what is damaged
    /// and what a later version wrote, and changes nothing then.
    ///
    /// `fresh_instance` becomes the store's instance id if it has none yet.
    pub async fn open(folder: &Path, fresh_instance: &str) -> Result<Store, StoreError> {
        let lock = lock::take(folder)?;
        let file = folder.join(FILE);
        if file.exists() {
            inspect(&file).await?;
        } else {
            make_private(&file)?;
        }
        let options = options(&file)
            .create_if_missing(false)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let writer = pool(1).connect_with(options.clone()).await?;
        check_library(&writer).await?;
        MIGRATIONS.run(&writer).await.map_err(|error| StoreError::Sqlite(error.to_string()))?;
        let readers = pool(READERS).connect_with(options.pragma("query_only", "ON")).await?;
        let mut store =
            Store { writer, readers, connection_ids: Mutex::new(0..0), instance: String::new(), _lock: lock };
        store.instance = store.settle_instance(fresh_instance).await?;
        Ok(store)
    }

    /// A connection for reading what is committed.
    pub async fn reader(&self) -> Result<Reader, StoreError> {
        Ok(Reader(self.readers.acquire().await?))
    }

    /// The one transaction that can write; others wait. Dropped without [`Writing::commit`], it is undone.
    pub async fn write(&self) -> Result<Writing, StoreError> {
        Ok(Writing(self.writer.begin_with("BEGIN IMMEDIATE").await?))
    }

    /// Writes over what was deleted: nothing of it is left in the files. False where somebody reads at this moment, so that
    /// it could not be done.
    pub async fn scrub(&self) -> Result<bool, StoreError> {
        let busy: i64 = sqlx::query_scalar("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&self.writer).await?;
        Ok(busy == 0)
    }

    /// Closes it in order. Dropping it is safe too.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .min_connections(1)
        .max_connections(connections)
        .acquire_timeout(WAIT)
        // No file goes away as a server would.
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
}

fn options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .foreign_keys(true)
        .pragma("secure_delete", "ON")
        .busy_timeout(WAIT)
        .disable_statement_logging()
}

/// The log beside it takes over its mode.
fn make_private(file: &Path) -> Result<(), StoreError> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    made.map(drop).map_err(|error| StoreError::Folder { path: file.display().to_string(), detail: error.to_string() })
}

/// Looks at an existing file through a connection that cannot change it.
async fn inspect(file: &Path) -> Result<(), StoreError> {
    let name = file.display().to_string();
    let damaged = |detail: String| StoreError::Damaged { file: name.clone(), detail };
    // Without a log there is nothing to recover, and nobody else writes: then not even empty files come of it.
    let no_log = !file.with_extension("db-wal").exists();
    let looking = options(file).read_only(true).immutable(no_log).create_if_missing(false);
    let mut connection: SqliteConnection = looking.connect().await.map_err(|error| damaged(error.to_string()))?;
    let verdict: Result<String, sqlx::Error> =
        sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut connection).await;
    match verdict {
        Ok(text) if text == "ok" => {}
        Ok(text) => return Err(damaged(text.replace('\n', " "))),
        Err(error) => return Err(damaged(error.to_string())),
    }
    let found = schema(&mut connection).await?;
    let known = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    if found > known {
        return Err(StoreError::Newer { file: name, found, known });
    }
    connection.close().await?;
    Ok(())
}

async fn schema(connection: &mut SqliteConnection) -> Result<i64, StoreError> {
    let made: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'")
        .fetch_one(&mut *connection)
        .await?;
    if made == 0 {
        return Ok(0);
    }
    let version: Option<i64> =
        sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations").fetch_one(&mut *connection).await?;
    Ok(version.unwrap_or(0))
}

async fn check_library(pool: &SqlitePool) -> Result<(), StoreError> {
    let version: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(pool).await?;
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    if (next(), next(), next()) < OLDEST_SQLITE {
        return Err(StoreError::OldSqlite(version));
    }
    Ok(())
}
