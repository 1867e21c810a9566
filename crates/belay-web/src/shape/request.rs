//! Access requests.

use super::{Bounds, Head, Time, covers_new_tables, paths, word, words};
use belay_server::desk::RequestView;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An access request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Request {
    /// What it is.
    #[serde(flatten)]
    pub head: Head,
    /// Its id.
    pub id: String,
    /// Who asks.
    pub requester: String,
    /// The target.
    pub target: String,
    /// The resources.
    pub resources: Vec<String>,
    /// Whether tables that are made later are covered, too.
    #[serde(default)]
    pub new_tables: bool,
    /// `read`, `write`, `direct`; or `all`.
    pub effects: Vec<String>,
    /// Functions, row filters and budgets.
    #[serde(default)]
    pub bounds: Bounds,
    /// For how long, counted from the approval.
    pub duration: String,
    /// Why.
    pub reason: String,
    /// Taken at once in an emergency.
    pub break_glass: bool,
    /// `pending`, `approved`, `denied`, `withdrawn`, `lapsed`.
    pub state: String,
    /// How many distinct people must approve.
    pub approvals_needed: u8,
    /// Who approved so far.
    pub approved_by: Vec<String>,
    /// Why it was denied.
    pub denial: Option<String>,
    /// When it was made.
    pub created_at: Time,
    /// When it lapses if nobody decides.
    pub decide_by: Time,
    /// What it has become.
    pub grant: Option<GrantOfRequest>,
    /// What the requester should know; only in the answer to the request's making.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub notes: Vec<String>,
}

/// The grant a request has become.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GrantOfRequest {
    /// Its id.
    pub id: String,
    /// `ready`, `active`, `lapsed`, `expired`, `revoked`.
    pub state: String,
    /// When it lapses if never used.
    pub use_by: Time,
    /// Its absolute end.
    pub ends_at: Time,
}

impl From<RequestView> for Request {
    fn from(view: RequestView) -> Request {
        let request = view.request;
        Request {
            head: Head::of("request"),
            id: request.id.to_string(),
            requester: request.requester.to_string(),
            target: request.target.to_string(),
            resources: paths(&request.resources),
            new_tables: covers_new_tables(&request.resources),
            effects: words(request.effects),
            bounds: request.bounds.into(),
            duration: request.duration.to_string(),
            reason: request.reason,
            break_glass: request.break_glass,
            state: word(request.state),
            approvals_needed: request.approvals_needed,
            approved_by: request.approvals.iter().map(|approval| approval.approver.to_string()).collect(),
            denial: request.denial,
            created_at: request.created_at.into(),
            decide_by: request.decide_by.into(),
            grant: view.grant.map(|grant| GrantOfRequest {
                id: grant.id.to_string(),
                state: word(grant.state),
                use_by: grant.use_by.into(),
                ends_at: grant.ends_at.into(),
            }),
            notes: view.notes,
        }
    }
}

/// A wish for access.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRequest {
    /// The target.
    #[schema(value_type = String)]
    pub target: belay_model::Name,
    /// The resources; none for every table of the target's own database.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub resources: Vec<belay_model::Resource>,
    /// `read`; `write`, which is planned; `direct`, which is a write at once; or `all`, which names no resources.
    /// `read` when nothing is said.
    #[serde(default)]
    pub effects: Vec<String>,
    /// Functions, row filters and budgets.
    #[serde(default)]
    pub bounds: Bounds,
    /// Take patterns for the tables that exist now, so that new ones are not covered.
    #[serde(default)]
    pub existing_only: bool,
    /// For how long, e.g. `1h`.
    #[schema(value_type = String)]
    pub duration: belay_model::Span,
    /// Why.
    pub reason: String,
    /// Take it at once in an emergency.
    #[serde(default)]
    pub break_glass: bool,
}

/// A no.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Deny {
    /// Why, for the requester.
    pub reason: String,
}
