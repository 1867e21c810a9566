//! The archive of the ledger.

use super::Head;
use belay_server::ledger::archive::ArchiveStatus;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How the archive of the ledger is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LedgerArchive {
    /// What it is.
    #[serde(flatten)]
    pub head: Head,
    /// Where it is.
    pub to: String,
    /// Closed files of the ledger that are not in it.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many seconds ago the oldest of them was closed.
    pub oldest_seconds: u64,
    /// Objects sent since the server's start.
    pub sent: u64,
    /// Objects that have another content than they were given; the first few of them.
    pub odd: Vec<String>,
    /// How many there are.
    pub odd_count: u64,
    /// Deleted files of the ledger that the archive keeps for now, for a lock or a hold.
    pub locked: u64,
    /// Whether the bucket keeps versions; absent where it does not say.
    pub versions: Option<bool>,
    /// Whether the bucket locks each new object; absent where it does not say.
    pub lock: Option<bool>,
    /// Why the last try failed, until one succeeds.
    pub error: Option<String>,
}

impl From<ArchiveStatus> for LedgerArchive {
    fn from(status: ArchiveStatus) -> LedgerArchive {
        let ArchiveStatus { to, segments, bytes, oldest_seconds, sent, odd, odd_count, locked, protection, error } =
            status;
        LedgerArchive {
            head: Head::of("ledger_archive"),
            to,
            segments,
            bytes,
            oldest_seconds,
            sent,
            odd,
            odd_count,
            locked,
            versions: protection.versions,
            lock: protection.lock,
            error,
        }
    }
}
