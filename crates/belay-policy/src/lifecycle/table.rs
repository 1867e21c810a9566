//! Every state and every act, without the facts around them.

use belay_model::{GrantState, PlanState, RequestState};

/// What can happen to an access request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestAct {
    /// A yes that is not enough yet.
    ApproveNotLast,
    /// The yes that is enough.
    ApproveLast,
    /// A no.
    Deny,
    /// The requester takes it back.
    Withdraw,
    /// Its time to be decided is over.
    PassDecideBy,
}

impl RequestAct {
    /// Every act.
    pub const ALL: [RequestAct; 5] = [
        RequestAct::ApproveNotLast,
        RequestAct::ApproveLast,
        RequestAct::Deny,
        RequestAct::Withdraw,
        RequestAct::PassDecideBy,
    ];

    /// The act in words.
    pub fn words(self) -> &'static str {
        match self {
            RequestAct::ApproveNotLast => "approve, not last",
            RequestAct::ApproveLast => "approve, last",
            RequestAct::Deny => "deny",
            RequestAct::Withdraw => "withdraw",
            RequestAct::PassDecideBy => "pass decide-by",
        }
    }
}

/// What can happen to a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GrantAct {
    /// A session is opened.
    Use,
    /// Its end is moved.
    Extend,
    /// It loses resources or effects.
    Narrow,
    /// A person ends it.
    Revoke,
    /// Its use-by time is over.
    PassUseBy,
    /// Its end is over.
    PassEnd,
    /// Somebody else looks at what was done under break-glass.
    Review,
}

impl GrantAct {
    /// Every act.
    pub const ALL: [GrantAct; 7] = [
        GrantAct::Use,
        GrantAct::Extend,
        GrantAct::Narrow,
        GrantAct::Revoke,
        GrantAct::PassUseBy,
        GrantAct::PassEnd,
        GrantAct::Review,
    ];

    /// The act in words.
    pub fn words(self) -> &'static str {
        match self {
            GrantAct::Use => "use",
            GrantAct::Extend => "extend",
            GrantAct::Narrow => "narrow",
            GrantAct::Revoke => "revoke",
            GrantAct::PassUseBy => "pass use-by",
            GrantAct::PassEnd => "pass end",
            GrantAct::Review => "review",
        }
    }
}

/// What can happen to a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PlanAct {
    /// A yes that is not enough yet.
    ApproveNotLast,
    /// The yes that is enough.
    ApproveLast,
    /// A no.
    Deny,
    /// It runs again, and the same rows change.
    Apply,
    /// It runs again, and other rows would change.
    Replace,
    /// Its time is over.
    PassExpiry,
}

impl PlanAct {
    /// Every act.
    pub const ALL: [PlanAct; 6] = [
        PlanAct::ApproveNotLast,
        PlanAct::ApproveLast,
        PlanAct::Deny,
        PlanAct::Apply,
        PlanAct::Replace,
        PlanAct::PassExpiry,
    ];

    /// The act in words.
    pub fn words(self) -> &'static str {
        match self {
            PlanAct::ApproveNotLast => "approve, not last",
            PlanAct::ApproveLast => "approve, last",
            PlanAct::Deny => "deny",
            PlanAct::Apply => "apply",
            PlanAct::Replace => "find other rows",
            PlanAct::PassExpiry => "pass expiry",
        }
    }
}

/// The state of a request after an act; `None` where the act is refused.
pub fn request_after(state: RequestState, act: RequestAct) -> Option<RequestState> {
    match (state, act) {
        (RequestState::Pending, RequestAct::ApproveNotLast) => Some(RequestState::Pending),
        (RequestState::Pending, RequestAct::ApproveLast) => Some(RequestState::Approved),
        (RequestState::Pending, RequestAct::Deny) => Some(RequestState::Denied),
        (RequestState::Pending, RequestAct::Withdraw) => Some(RequestState::Withdrawn),
        (RequestState::Pending, RequestAct::PassDecideBy) => Some(RequestState::Lapsed),
        (RequestState::Approved | RequestState::Denied | RequestState::Withdrawn | RequestState::Lapsed, _) => None,
    }
}

/// The state of a grant after an act; `None` where the act is refused.
#[allow(clippy::match_same_arms, reason = "a table is read row by row")]
pub fn grant_after(state: GrantState, act: GrantAct) -> Option<GrantState> {
    match (state, act) {
        (GrantState::Ready | GrantState::Active, GrantAct::Use) => Some(GrantState::Active),
        (GrantState::Ready | GrantState::Active, GrantAct::Extend | GrantAct::Narrow) => Some(state),
        (GrantState::Ready | GrantState::Active, GrantAct::Revoke) => Some(GrantState::Revoked),
        (GrantState::Ready, GrantAct::PassUseBy) => Some(GrantState::Lapsed),
        (GrantState::Ready | GrantState::Active, GrantAct::PassEnd) => Some(GrantState::Expired),
        // A used grant has no use-by time any more.
        (GrantState::Active, GrantAct::PassUseBy) => None,
        // What was done can be reviewed when nothing more can be done.
        (GrantState::Ready | GrantState::Active, GrantAct::Review) => None,
        (GrantState::Lapsed | GrantState::Expired | GrantState::Revoked, GrantAct::Review) => Some(state),
        (GrantState::Lapsed | GrantState::Expired | GrantState::Revoked, _) => None,
    }
}

/// The state of a plan after an act; `None` where the act is refused.
pub fn plan_after(state: PlanState, act: PlanAct) -> Option<PlanState> {
    match (state, act) {
        (PlanState::Pending, PlanAct::ApproveNotLast) => Some(PlanState::Pending),
        (PlanState::Pending, PlanAct::ApproveLast) => Some(PlanState::Approved),
        (PlanState::Pending | PlanState::Approved, PlanAct::Deny) => Some(PlanState::Denied),
        (PlanState::Pending | PlanState::Approved, PlanAct::PassExpiry) => Some(PlanState::Lapsed),
        (PlanState::Approved, PlanAct::Apply) => Some(PlanState::Applied),
        (PlanState::Approved, PlanAct::Replace) => Some(PlanState::Replaced),
        (PlanState::Pending, PlanAct::Apply | PlanAct::Replace)
        | (PlanState::Approved, PlanAct::ApproveNotLast | PlanAct::ApproveLast)
        | (PlanState::Denied | PlanState::Applied | PlanState::Lapsed | PlanState::Replaced, _) => None,
    }
}
