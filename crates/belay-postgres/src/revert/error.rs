//! Why a revert is not done.

use crate::capture::CaptureError;
use std::fmt;
use std::io;

/// Why nothing was put back.
#[derive(Debug, thiserror::Error)]
pub enum RevertError {
    /// Rows were changed since.
    #[error("{0}")]
    Conflict(Conflicts),
    /// It cannot be done, or not be proven to be right.
    #[error("{what}")]
    Refused {
        /// What stands in the way.
        what: String,
        /// What to do instead; may be empty.
        instead: String,
    },
    /// The target said no.
    #[error("{message} ({sqlstate})")]
    Target {
        /// Its SQLSTATE.
        sqlstate: String,
        /// Its message.
        message: String,
        /// Its details; may be empty.
        detail: String,
    },
    /// The connection was lost.
    #[error("the connection to the target was lost: {0}")]
    Lost(String),
    /// What the target answers is not what was asked for.
    #[error("the target answers with what was not expected: {0}")]
    Unexpected(&'static str),
    /// Images could not be read, or not be kept.
    #[error("images cannot be read or kept: {0}")]
    Images(#[from] io::Error),
}

impl RevertError {
    /// Whether the same may succeed when it is tried again: a deadlock, a lock that was not given in time, a
    /// serialization failure.
    pub fn is_passing(&self) -> bool {
        matches!(self, RevertError::Target { sqlstate, .. } if ["40001", "40P01", "55P03"].contains(&sqlstate.as_str()))
    }

    pub(super) fn refused(what: impl Into<String>, instead: impl Into<String>) -> RevertError {
        RevertError::Refused { what: what.into(), instead: instead.into() }
    }
}

impl From<tokio_postgres::Error> for RevertError {
    fn from(error: tokio_postgres::Error) -> RevertError {
        match error.as_db_error() {
            Some(said) => RevertError::Target {
                sqlstate: said.code().code().to_owned(),
                message: said.message().to_owned(),
                detail: said.detail().unwrap_or_default().to_owned(),
            },
            None => RevertError::Lost(error.to_string()),
        }
    }
}

impl From<CaptureError> for RevertError {
    fn from(error: CaptureError) -> RevertError {
        match error {
            CaptureError::Irreversible { what, instead } | CaptureError::TooLarge { what, instead } => {
                RevertError::Refused { what, instead }
            }
            CaptureError::TooMuch(what) => RevertError::Refused { what, instead: String::new() },
            CaptureError::Target { sqlstate, message } => {
                RevertError::Target { sqlstate, message, detail: String::new() }
            }
            CaptureError::Lost(why) => RevertError::Lost(why),
            CaptureError::Unexpected(what) => RevertError::Unexpected(what),
            CaptureError::Sink(error) => RevertError::Images(error),
        }
    }
}

/// What stands against a revert, counted, with some of it shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conflicts {
    /// How many rows of which table, by kind; none of the counts is zero.
    pub counts: Vec<ConflictCount>,
    /// Some of them, at most as many for each table and kind as were asked for.
    pub samples: Vec<Conflict>,
    /// Some rows are as they were before already, and would not stand against it with `keep_restored`.
    pub restored: bool,
}

/// How many rows of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConflictCount {
    /// The table, as `schema.name`.
    pub table: String,
    /// What happened to the rows.
    pub kind: ConflictKind,
    /// How many.
    pub rows: u64,
}

/// One row that stands against a revert, three-way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The table, as `schema.name`.
    pub table: String,
    /// What happened to the row.
    pub kind: ConflictKind,
    /// The values of its key, as text; empty where it has none.
    pub key: Vec<String>,
    /// The row as it was before the change; `None` if there was none.
    pub before: Option<String>,
    /// The row as the change left it; `None` if it left none.
    pub left: Option<String>,
    /// What is there now; `None` if nothing is. For [`ConflictKind::Referenced`] the row that refers to it.
    pub now: Option<String>,
}

/// What happened to a row since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConflictKind {
    /// It was changed.
    Changed,
    /// It was deleted.
    Gone,
    /// It was deleted by the change, and its key, or another value that has to be unique, is in use again.
    Taken,
    /// Rows made since refer to it, and it would be removed or get another key.
    Referenced,
    /// The row that it refers to is gone.
    Orphaned,
}

impl ConflictKind {
    /// As it stands behind a count of rows.
    pub fn as_str(self) -> &'static str {
        match self {
            ConflictKind::Changed => "changed since",
            ConflictKind::Gone => "gone",
            ConflictKind::Taken => "whose key is in use again",
            ConflictKind::Referenced => "that others refer to since",
            ConflictKind::Orphaned => "that refer to what is gone",
        }
    }
}

impl fmt::Display for Conflicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, count) in self.counts.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            let rows = if count.rows == 1 { "row" } else { "rows" };
            write!(f, "{comma}{} {rows} of {} {}", count.rows, count.table, count.kind.as_str())?;
        }
        Ok(())
    }
}
