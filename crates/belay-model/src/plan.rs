//! Plans: writes that were tried, kept and rolled back, and wait for their approval.

use crate::{ChangeId, GrantId, Name, PlanId, SessionId, Timestamp};
use serde::{Deserialize, Serialize};

/// Where a plan stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanState {
    /// Waits for approvals.
    Pending,
    /// May be applied.
    Approved,
    /// Denied, with a reason.
    Denied,
    /// Applied: a change set exists.
    Applied,
    /// Nobody approved or applied it in time.
    Lapsed,
    /// A new trial showed other rows, which have a plan of their own.
    Replaced,
}

impl PlanState {
    /// Whether something can still come of it.
    pub fn is_open(self) -> bool {
        matches!(self, PlanState::Pending | PlanState::Approved)
    }

    /// The word for this state.
    pub fn word(self) -> &'static str {
        match self {
            PlanState::Pending => "pending",
            PlanState::Approved => "approved",
            PlanState::Denied => "denied",
            PlanState::Applied => "applied",
            PlanState::Lapsed => "lapsed",
            PlanState::Replaced => "replaced",
        }
    }
}

/// What a plan would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanKind {
    /// Run statements again.
    Write,
    /// Give back what changes have done.
    Revert,
}

/// A write that was tried and rolled back. Its rows are kept beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Its id.
    pub id: PlanId,
    /// What it would do.
    pub kind: PlanKind,
    /// The grant it was made under; of a plan to give rows back, the grant of the change.
    pub grant: GrantId,
    /// The session it was made in, if it was one.
    pub session: Option<SessionId>,
    /// Whose it is.
    pub principal: Name,
    /// The target.
    pub target: Name,
    /// The database in the target.
    pub database: String,
    /// Where it stands.
    pub state: PlanState,
    /// When it was made.
    pub made_at: Timestamp,
    /// When it lapses if it is not applied.
    pub expires_at: Timestamp,
    /// What tells its rows from others.
    pub fingerprint: String,
    /// How many rows would change.
    pub rows: u64,
    /// Distinct approvals needed, fixed when it was made.
    pub approvals_needed: u8,
    /// The approvals so far.
    pub approvals: Vec<PlanApproval>,
    /// Why it cannot be run again, if it cannot.
    pub unrepeatable: Option<String>,
    /// Why it was denied.
    pub denial: Option<String>,
    /// The change set it has become.
    pub applied: Option<ChangeId>,
    /// The plan with the rows of a later trial.
    pub replaced_by: Option<PlanId>,
}

/// One person's yes to the rows they were shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanApproval {
    /// Who.
    pub approver: Name,
    /// When.
    pub at: Timestamp,
    /// The fingerprint of the rows.
    pub fingerprint: String,
}
