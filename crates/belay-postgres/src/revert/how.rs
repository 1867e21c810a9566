//! What of a change set is to be put back, and within which limits.

use super::Strategy;
use std::time::Duration;

/// How a revert is to be done.
#[derive(Debug, Clone)]
pub struct How {
    /// How triggers are kept from changing the rows; `None` takes the strongest that the target's role may use.
    pub strategy: Option<Strategy>,
    /// Put back the rows that nobody changed since, and keep the others as they are.
    pub keep_conflicts: bool,
    /// Leave rows alone that are as they were before already, instead of counting them as changed since.
    pub keep_restored: bool,
    /// What is to be put back; everything if empty.
    pub only: Vec<Only>,
    /// How long one lock may be waited for.
    pub lock_timeout: Duration,
    /// How long one statement may take.
    pub statement_timeout: Duration,
    /// How many images there may be.
    pub images: u64,
    /// How many rows of a table and a kind of conflict are shown.
    pub samples: u32,
}

impl Default for How {
    fn default() -> How {
        How {
            strategy: None,
            keep_conflicts: false,
            keep_restored: false,
            only: Vec::new(),
            lock_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_mins(10),
            images: 20_000_000,
            samples: 20,
        }
    }
}

/// A table of a change set, or some of its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Only {
    /// Its name, with or without its schema, as the change set has it.
    pub table: String,
    /// The keys of the rows, as the target writes them; a key of several columns as `41,de` or `(41,de)`. All rows if empty.
    pub keys: Vec<String>,
}
