//! Why the desk could not do what was asked.

use crate::people::LoginError;
use crate::secrets::SecretError;
use belay_engine::ControlFailure;
use belay_model::Span;
use belay_policy::{Refused, RuleError};
use belay_store::StoreError;

/// The desk's answer when it does not do what was asked. Texts are for the person who asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeskError {
    /// Nothing of this kind has that name, or the asker may not know of it.
    #[error("no {kind} `{name}`")]
    NotFound {
        /// What was looked for: `request`, `grant`, `target`, `user`, `rule`, `token`.
        kind: &'static str,
        /// What the person wrote.
        name: String,
    },
    /// A right is missing, or a rule forbids it.
    #[error("{message}")]
    Denied {
        /// What is refused and why.
        message: String,
        /// What to do.
        hint: String,
    },
    /// The right to it has ended.
    #[error("{message}")]
    Over {
        /// What has ended.
        message: String,
        /// What to do.
        hint: String,
    },
    /// It does not fit the state of things: decided already, taken, ambiguous.
    #[error("{message}")]
    Conflict {
        /// What stands against it.
        message: String,
        /// What to do.
        hint: String,
    },
    /// A field of what was handed in is wrong.
    #[error("{message}")]
    Invalid {
        /// The field, as the API names it.
        field: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// The target cannot keep what is asked for.
    #[error("{message}")]
    Infeasible {
        /// What stands against it.
        message: String,
        /// What to do.
        hint: String,
    },
    /// The target did not say.
    #[error("{message}")]
    Target {
        /// Whose fault it is.
        failure: ControlFailure,
        /// What went wrong; holds no secret.
        message: String,
        /// What to do.
        hint: String,
    },
    /// The name, password or token is wrong, or the person is disabled. Never says which.
    #[error("login refused")]
    Unauthenticated,
    /// Too many failed logins with this name.
    #[error("too many failed logins with this name")]
    Throttled {
        /// When to try again.
        retry_after: Span,
    },
    /// What cannot be recorded is not done.
    #[error("the ledger cannot be written, so nothing was changed")]
    LedgerDown,
    /// The store failed; the text is for the operator and holds no secret.
    #[error("the store failed: {0}")]
    Store(String),
}

impl DeskError {
    /// What to do about it, where there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            DeskError::NotFound { kind, .. } => Some(match *kind {
                "user" => "belay user ls".to_owned(),
                "target" => "belay target ls".to_owned(),
                "grant" => "belay grants --all".to_owned(),
                "mask" => "belay mask ls".to_owned(),
                "rule" => "belay rule ls".to_owned(),
                "plan" => "belay plans --all".to_owned(),
                "change set" => "belay changes".to_owned(),
                other => format!("list what there is: no such {other} is visible to you"),
            }),
            DeskError::Denied { hint, .. }
            | DeskError::Over { hint, .. }
            | DeskError::Conflict { hint, .. }
            | DeskError::Infeasible { hint, .. }
            | DeskError::Target { hint, .. } => Some(hint.clone()),
            DeskError::Invalid { .. } => None,
            DeskError::Unauthenticated => Some("belay login".to_owned()),
            DeskError::Throttled { retry_after } => Some(format!("try again in {retry_after}")),
            DeskError::LedgerDown => Some("the ledger's disk is full or read-only: belay doctor".to_owned()),
            DeskError::Store(_) => Some("belay doctor; the server's log says more".to_owned()),
        }
    }
}

impl From<StoreError> for DeskError {
    fn from(error: StoreError) -> DeskError {
        DeskError::Store(error.to_string())
    }
}

impl From<SecretError> for DeskError {
    fn from(error: SecretError) -> DeskError {
        DeskError::Store(error.to_string())
    }
}

impl From<LoginError> for DeskError {
    fn from(error: LoginError) -> DeskError {
        match error {
            LoginError::Wrong => DeskError::Unauthenticated,
            LoginError::Throttled(retry_after) => DeskError::Throttled { retry_after },
            LoginError::Store(error) => error.into(),
        }
    }
}

impl From<RuleError> for DeskError {
    fn from(error: RuleError) -> DeskError {
        let field = match error {
            RuleError::NoEffects => "effects",
            RuleError::WritesAtOnce | RuleError::TooManyApprovals(_) => "approvals",
            RuleError::NoDuration => "max_duration",
            RuleError::NoRows => "max_changed_rows",
            RuleError::Hours => "hours",
        };
        DeskError::Invalid { field, message: error.to_string() }
    }
}

impl From<Refused> for DeskError {
    fn from(refused: Refused) -> DeskError {
        let (message, hint) = (refused.to_string(), refused.hint());
        match refused {
            Refused::Disabled
            | Refused::NoRight { .. }
            | Refused::OwnThing { .. }
            | Refused::TooLong { .. }
            | Refused::TooManyChangedRows { .. }
            | Refused::NotNarrower(..) => DeskError::Denied { message, hint },
            Refused::ApprovedAlready(_)
            | Refused::RequestClosed { .. }
            | Refused::GrantOver { .. }
            | Refused::NotDue(_)
            | Refused::NotExtendable(_)
            | Refused::NoReviewOwed(_)
            | Refused::ReviewTooEarly(_)
            | Refused::ReviewedAlready(..)
            | Refused::PlanApprovedAlready(_)
            | Refused::PlanClosed { .. }
            | Refused::NotApproved { .. }
            | Refused::OtherRows(_) => DeskError::Conflict { message, hint },
            Refused::NoReason | Refused::ReasonTooLong => DeskError::Invalid { field: "reason", message },
            Refused::Nothing("second of time") => DeskError::Invalid { field: "duration", message },
            Refused::Nothing("effect") => DeskError::Invalid { field: "effects", message },
            Refused::Nothing(_) | Refused::TooManyResources => DeskError::Invalid { field: "resources", message },
        }
    }
}
