//! How the archive is doing, for people and for metrics.

use crate::bucket::Protection;
use crate::metrics::{
    ARCHIVE_BACKLOG_BYTES, ARCHIVE_BACKLOG_OLDEST_SECONDS, ARCHIVE_BACKLOG_SEGMENTS, ARCHIVE_FAILURES_TOTAL,
    ARCHIVE_LOCKED, ARCHIVE_OBJECTS_TOTAL, ARCHIVE_ODD,
};

/// How the archive is doing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ArchiveStatus {
    /// Where it is.
    pub to: String,
    /// Closed segments that are not in it.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many seconds ago the oldest of them was closed.
    pub oldest_seconds: u64,
    /// Objects sent since the start.
    pub sent: u64,
    /// Objects with another content than they were given; the first few of them.
    pub odd: Vec<String>,
    /// How many there are.
    pub odd_count: u64,
    /// Deleted segments that the archive keeps for now: the bucket's lock does, or something in them is held.
    pub locked: u64,
    /// What keeps its objects from being changed.
    pub protection: Protection,
    /// Why the last try failed, until one succeeds.
    pub error: Option<String>,
}

impl ArchiveStatus {
    #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
    pub(super) fn tell(&self) {
        metrics::counter!(ARCHIVE_OBJECTS_TOTAL).increment(0);
        metrics::counter!(ARCHIVE_FAILURES_TOTAL).increment(0);
        metrics::gauge!(ARCHIVE_BACKLOG_SEGMENTS).set(self.segments as f64);
        metrics::gauge!(ARCHIVE_BACKLOG_BYTES).set(self.bytes as f64);
        metrics::gauge!(ARCHIVE_BACKLOG_OLDEST_SECONDS).set(self.oldest_seconds as f64);
        metrics::gauge!(ARCHIVE_ODD).set(self.odd_count as f64);
        metrics::gauge!(ARCHIVE_LOCKED).set(self.locked as f64);
    }
}
