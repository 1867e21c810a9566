//! Why an act on a request or a grant is refused.

use crate::Action;
use belay_model::{GrantId, GrantState, Name, PlanId, PlanState, RequestId, RequestState, Role, Span};

/// A refusal, in words for the person who tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The person is disabled.
    #[error("your account is disabled")]
    Disabled,
    /// No role of theirs gives the right.
    #[error("`{who}` may not {action}")]
    NoRight {
        /// Who tried.
        who: Name,
        /// What.
        action: Action,
        /// The roles that give the right.
        roles: Vec<Role>,
    },
    /// It has to be done by somebody else, whatever one's roles.
    #[error("nobody may {action} of their own")]
    OwnThing {
        /// What.
        action: Action,
    },
    /// The same person said yes already.
    #[error("you have approved {0} already; another person has to")]
    ApprovedAlready(RequestId),
    /// The request is not open any more.
    #[error("{id} is {} already", request_word(*state))]
    RequestClosed {
        /// The request.
        id: RequestId,
        /// Where it stands.
        state: RequestState,
    },
    /// The same person said yes to the plan already.
    #[error("you have approved {0} already; another person has to")]
    PlanApprovedAlready(PlanId),
    /// Nothing comes of the plan any more.
    #[error("{id} is {} already", state.word())]
    PlanClosed {
        /// The plan.
        id: PlanId,
        /// Where it stands.
        state: PlanState,
    },
    /// People have to say yes first.
    #[error("{id} waits for {missing} more {}", if *missing == 1 { "approval" } else { "approvals" })]
    NotApproved {
        /// The plan.
        id: PlanId,
        /// How many.
        missing: u8,
    },
    /// What was looked at is not what the plan does.
    #[error("these are not the rows of {0}")]
    OtherRows(PlanId),
    /// The grant has ended.
    #[error("{id} is {} already", grant_word(*state))]
    GrantOver {
        /// The grant.
        id: GrantId,
        /// Where it stands.
        state: GrantState,
    },
    /// Its time has not come.
    #[error("{0} is not due")]
    NotDue(String),
    /// Longer than the terms allow.
    #[error("`{asked}` is longer than the {most} allowed here")]
    TooLong {
        /// What was asked for.
        asked: Span,
        /// The most there is.
        most: Span,
    },
    /// More rows at once than the terms allow.
    #[error("`{asked}` changed rows are more than the {most} allowed here")]
    TooManyChangedRows {
        /// What was asked for.
        asked: u64,
        /// The most there is.
        most: u64,
    },
    /// No reason was given.
    #[error("a reason is needed")]
    NoReason,
    /// Reason or note beyond the bound.
    #[error("the reason is longer than 2000 characters")]
    ReasonTooLong,
    /// Nothing was asked for.
    #[error("at least one {0} is needed")]
    Nothing(&'static str),
    /// More resources than the bound.
    #[error("at most 100 resources fit in one request")]
    TooManyResources,
    /// The rule does not allow it, or it was done once.
    #[error("{0} cannot be extended")]
    NotExtendable(GrantId),
    /// Narrowing would give something new.
    #[error("`{0}` is not within what {1} allows; narrowing only takes away")]
    NotNarrower(String, GrantId),
    /// There is nothing to review.
    #[error("{0} was not taken under break-glass, so it owes no review")]
    NoReviewOwed(GrantId),
    /// More could still happen under it.
    #[error("{0} has not ended, so it cannot be reviewed yet")]
    ReviewTooEarly(GrantId),
    /// Somebody has reviewed it.
    #[error("{0} was reviewed by {1}")]
    ReviewedAlready(GrantId, Name),
}

impl Refused {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Refused::Disabled => "ask an administrator".to_owned(),
            Refused::NoRight { roles, .. } => match roles.as_slice() {
                [] => "only its owner may".to_owned(),
                roles => {
                    let words: Vec<&str> = roles.iter().map(|role| role.word()).collect();
                    format!("ask somebody with the role {}", words.join(" or "))
                }
            },
            Refused::OwnThing { .. } | Refused::ApprovedAlready(_) | Refused::PlanApprovedAlready(_) => {
                "ask another approver".to_owned()
            }
            Refused::PlanClosed { id, .. } | Refused::OtherRows(id) => format!("belay review {id}"),
            Refused::NotApproved { id, .. } => format!("somebody else runs `belay approve {id}`"),
            Refused::RequestClosed { .. } | Refused::GrantOver { .. } | Refused::NotExtendable(_) => {
                "belay request TARGET --for 1h -m REASON".to_owned()
            }
            Refused::NotDue(_) => "wait until it is".to_owned(),
            Refused::TooLong { most, .. } => format!("ask for {most} or less"),
            Refused::TooManyChangedRows { most, .. } => {
                format!("ask for {most} or less; what changes more is planned")
            }
            Refused::NoReason => "say why: -m REASON".to_owned(),
            Refused::ReasonTooLong => "shorten it; link to the incident".to_owned(),
            Refused::Nothing(_) | Refused::TooManyResources => "name tables as schema.table or schema.*".to_owned(),
            Refused::NotNarrower(..) => "ask for more with a new request: belay request".to_owned(),
            Refused::ReviewTooEarly(grant) => format!("belay revoke {grant}; then review it"),
            Refused::NoReviewOwed(_) | Refused::ReviewedAlready(..) => "belay grants --all".to_owned(),
        }
    }
}

fn request_word(state: RequestState) -> &'static str {
    match state {
        RequestState::Pending => "pending",
        RequestState::Approved => "approved",
        RequestState::Denied => "denied",
        RequestState::Withdrawn => "withdrawn",
        RequestState::Lapsed => "lapsed",
    }
}

fn grant_word(state: GrantState) -> &'static str {
    match state {
        GrantState::Ready => "ready",
        GrantState::Active => "active",
        GrantState::Lapsed => "lapsed",
        GrantState::Expired => "expired",
        GrantState::Revoked => "revoked",
    }
}
