//! Access requests and approvals.

use crate::{Bounds, Effects, Name, RequestId, Resource, RuleId, Span, Timestamp};
use serde::{Deserialize, Serialize};

/// Where an access request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestState {
    /// Waits for approvals.
    Pending,
    /// Approved: a grant exists.
    Approved,
    /// Denied, with a reason.
    Denied,
    /// Taken back by the requester.
    Withdrawn,
    /// Nobody decided in time.
    Lapsed,
}

/// Somebody's wish for access.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRequest {
    /// Its id.
    pub id: RequestId,
    /// Who asks.
    pub requester: Name,
    /// The target.
    pub target: Name,
    /// The resources; never empty.
    pub resources: Vec<Resource>,
    /// The effects; never empty.
    pub effects: Effects,
    /// Functions, row filters and budgets.
    pub bounds: Bounds,
    /// For how long, counted from the approval.
    pub duration: Span,
    /// Why.
    pub reason: String,
    /// Taken at once under the right of break-glass.
    pub break_glass: bool,
    /// The rule that was in force when it was made.
    pub rule: Option<RuleId>,
    /// Distinct approvals needed, fixed when it was made.
    pub approvals_needed: u8,
    /// Whether its grant may be extended once, fixed when it was made.
    pub extendable: bool,
    /// Whether the ledger keeps bind values, fixed when it was made.
    pub record_values: bool,
    /// Where it stands.
    pub state: RequestState,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it lapses if nobody decides.
    pub decide_by: Timestamp,
    /// The approvals so far.
    pub approvals: Vec<Approval>,
    /// Why it was denied.
    pub denial: Option<String>,
}

/// One person's yes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who.
    pub approver: Name,
    /// When.
    pub at: Timestamp,
}
