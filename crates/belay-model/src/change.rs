//! Changes that were kept before their transaction was committed.

use crate::{ChangeId, GrantId, Name, PlanId, SessionId, Timestamp};
use serde::{Deserialize, Serialize};

/// How the transaction of a kept change ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeState {
    /// It is on disk; its COMMIT may have left.
    Kept,
    /// Committed.
    Committed,
    /// Rolled back: the target is as it was.
    RolledBack,
    /// The connection was lost during COMMIT; the target is asked.
    Unknown,
}

impl ChangeState {
    /// The word for this state.
    pub fn word(self) -> &'static str {
        match self {
            ChangeState::Kept => "kept",
            ChangeState::Committed => "committed",
            ChangeState::RolledBack => "rolled_back",
            ChangeState::Unknown => "unknown",
        }
    }

    /// Whether it is known how it ended.
    pub fn is_settled(self) -> bool {
        matches!(self, ChangeState::Committed | ChangeState::RolledBack)
    }
}

/// What one transaction changed. Its rows are kept beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptChange {
    /// Its id.
    pub id: ChangeId,
    /// The plan it comes from, if it was planned.
    pub plan: Option<PlanId>,
    /// The changes it gives back.
    pub reverts: Vec<ChangeId>,
    /// The grant it was made under.
    pub grant: GrantId,
    /// The session it was made in, if it was one.
    pub session: Option<SessionId>,
    /// Who made it.
    pub principal: Name,
    /// The target.
    pub target: Name,
    /// The database in the target.
    pub database: String,
    /// How its transaction ended.
    pub state: ChangeState,
    /// The transaction's number in the target.
    pub transaction: Option<String>,
    /// When it was kept.
    pub made_at: Timestamp,
    /// Until when its rows are kept.
    pub expires_at: Timestamp,
    /// What tells its rows from others.
    pub fingerprint: String,
    /// How many rows changed.
    pub rows: u64,
}
