//! What can go wrong with the store, in words for the operator.

/// The store could not be opened, read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another server holds it.
    #[error("the store in `{folder}` is in use by another server{holder}; stop it first, nothing was changed")]
    InUse {
        /// The data directory.
        folder: String,
        /// ` (process 12)` where it is known.
        holder: String,
    },
    /// The file is damaged.
    #[error("the store `{file}` is damaged: {detail}; restore it from a backup, nothing was changed")]
    Damaged {
        /// The file.
        file: String,
        /// What SQLite says.
        detail: String,
    },
    /// A later version has written it.
    #[error(
        "the store `{file}` has schema {found}, and this version knows up to {known}; use a newer belay, nothing was changed"
    )]
    Newer {
        /// The file.
        file: String,
        /// Its schema.
        found: i64,
        /// The newest this version knows.
        known: i64,
    },
    /// SQLite itself is too old to be trusted with a write-ahead log.
    #[error("SQLite {0} can lose committed data; 3.51.3 or later is needed")]
    OldSqlite(String),
    /// The folder or a file in it cannot be used.
    #[error("`{path}`: {detail}")]
    Folder {
        /// The path.
        path: String,
        /// What the system says.
        detail: String,
    },
    /// A row that this version cannot have written.
    #[error("a row of `{table}` cannot be read: {detail}")]
    Row {
        /// The table.
        table: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// Anything else that SQLite says.
    #[error("{0}")]
    Sqlite(String),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> StoreError {
        StoreError::Sqlite(error.to_string())
    }
}
