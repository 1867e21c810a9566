//! Grants: time-bound rights.

use crate::{Bounds, Effects, GrantId, Mask, Name, RequestId, Resource, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a grant stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantState {
    /// Approved and never used; lapses at its use-by time.
    Ready,
    /// Used at least once; ends at its end.
    Active,
    /// Never used in time.
    Lapsed,
    /// Past its end.
    Expired,
    /// Ended by a person.
    Revoked,
}

impl GrantState {
    /// Whether the grant lets anybody in.
    pub fn is_live(self) -> bool {
        matches!(self, GrantState::Ready | GrantState::Active)
    }
}

/// Why a grant, a session or a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The grant's end has come.
    Expired,
    /// Somebody revoked the grant.
    Revoked,
    /// Somebody narrowed the grant: its sessions start anew with less.
    Narrowed,
    /// An administrator ended the session.
    Ended,
    /// The client said goodbye.
    Closed,
    /// The client vanished.
    ClientLost,
    /// The target closed the connection.
    TargetLost,
    /// A message broke the protocol.
    Protocol,
    /// The read-only state was lost.
    ReadOnlyLost,
    /// The ledger could not be written.
    LedgerDown,
    /// The gateway is shutting down.
    Shutdown,
    /// The gateway stopped without saying goodbye; found at the next start.
    Crashed,
    /// A bound was reached, e.g. a client that read too slowly past a deadline.
    Bound,
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EndReason::Expired => "expired",
            EndReason::Revoked => "revoked",
            EndReason::Narrowed => "narrowed",
            EndReason::Ended => "ended by an administrator",
            EndReason::Closed => "closed by the client",
            EndReason::ClientLost => "client lost",
            EndReason::TargetLost => "target lost",
            EndReason::Protocol => "protocol error",
            EndReason::ReadOnlyLost => "read-only state lost",
            EndReason::LedgerDown => "ledger cannot be written",
            EndReason::Shutdown => "gateway shutting down",
            EndReason::Crashed => "gateway stopped unexpectedly",
            EndReason::Bound => "a bound was reached",
        })
    }
}

/// A time-bound right of one principal on one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// The request it came from.
    pub request: RequestId,
    /// Whose it is.
    pub principal: Name,
    /// The target.
    pub target: Name,
    /// The resources.
    pub resources: Vec<Resource>,
    /// The effects.
    pub effects: Effects,
    /// Functions, row filters and budgets.
    pub bounds: Bounds,
    /// The target's masks, as they are at the moment.
    pub masks: Vec<Mask>,
    /// Where it stands.
    pub state: GrantState,
    /// When it was approved.
    pub granted_at: Timestamp,
    /// When it lapses if never used.
    pub use_by: Timestamp,
    /// Its absolute end, fixed at approval; it does not restart at a connect.
    pub ends_at: Timestamp,
    /// Whether the one extension is still to be had.
    pub extendable: bool,
    /// Whether the ledger keeps bind values.
    pub record_values: bool,
    /// Taken under break-glass.
    pub break_glass: bool,
    /// Break-glass: who reviewed it, once somebody has.
    pub reviewed_by: Option<Name>,
}
