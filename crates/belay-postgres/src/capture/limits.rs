//! How much a capture may read and keep.

use std::time::Duration;

/// Bounds of one capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Row changes of one transaction.
    pub rows: u64,
    /// Bytes of images of one transaction.
    pub bytes: u64,
    /// Bytes of a table that may be scanned for the rows of one transaction, where they cannot be found by key.
    pub scan: u64,
    /// How long one question may run in the target.
    pub time: Duration,
    /// How long one question may wait for a lock in the target.
    pub wait: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            rows: 1_000_000,
            bytes: 4 << 30,
            scan: 4 << 30,
            time: Duration::from_mins(1),
            wait: Duration::from_secs(2),
        }
    }
}

impl Limits {
    /// SQL that lays the times on the connection, or on what is left of a transaction (`local`).
    pub(super) fn times(&self, local: bool) -> String {
        let scope = if local { "LOCAL" } else { "SESSION" };
        format!(
            "SET {scope} statement_timeout = {};\nSET {scope} lock_timeout = {};\nSET {scope} jit = off;\n",
            self.time.as_millis().clamp(1, 86_400_000),
            self.wait.as_millis().clamp(1, 86_400_000),
        )
    }
}
