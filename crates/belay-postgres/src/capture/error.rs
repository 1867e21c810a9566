//! Why a transaction is not kept.

use std::io;

/// Why images could not be taken, or why what was written may not stay.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// What was written cannot be reversed, or not be proven to be all. Says what and why, for the client.
    #[error("{what}")]
    Irreversible {
        /// What stands in the way: "a lock of ACCESS EXCLUSIVE on public.orders".
        what: String,
        /// What to do instead.
        instead: String,
    },
    /// More was written, or more would have to be read, than the limits allow.
    #[error("{0}")]
    TooMuch(String),
    /// A table is too large for its changed rows to be looked for.
    #[error("{what}")]
    TooLarge {
        /// Which, and by how much.
        what: String,
        /// What to do instead.
        instead: String,
    },
    /// The target said no.
    #[error("{message}")]
    Target {
        /// Its SQLSTATE.
        sqlstate: String,
        /// Its message.
        message: String,
    },
    /// A connection was lost.
    #[error("the connection to the target was lost: {0}")]
    Lost(String),
    /// What the target answers is not what was asked for.
    #[error("the target answers with what was not expected: {0}")]
    Unexpected(&'static str),
    /// The images could not be kept.
    #[error("images cannot be kept: {0}")]
    Sink(#[from] io::Error),
}

impl From<tokio_postgres::Error> for CaptureError {
    fn from(error: tokio_postgres::Error) -> CaptureError {
        match error.as_db_error() {
            Some(said) => {
                CaptureError::Target { sqlstate: said.code().code().to_owned(), message: said.message().to_owned() }
            }
            None => CaptureError::Lost(error.to_string()),
        }
    }
}
