//! Grants.

use super::{Bounds, Head, MaskOfGrant, Time, covers_new_tables, paths, word, words};
use belay_server::desk::{ClaimedToken, GrantView};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A time-bound right.
#[allow(clippy::struct_excessive_bools, reason = "these are the facts of a grant, not states of a machine")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Grant {
    /// What it is.
    #[serde(flatten)]
    pub head: Head,
    /// Its id.
    pub id: String,
    /// The request it came from.
    pub request: String,
    /// Whose it is.
    pub principal: String,
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
    /// The target's masks, as they are at the moment.
    #[serde(default)]
    pub masks: Vec<MaskOfGrant>,
    /// Why it was asked for.
    pub reason: String,
    /// `ready`, `active`, `lapsed`, `expired`, `revoked`.
    pub state: String,
    /// When it was approved.
    pub granted_at: Time,
    /// When it lapses if never used.
    pub use_by: Time,
    /// Its absolute end.
    pub ends_at: Time,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// Who ended it, if a person did.
    pub ended_by: Option<String>,
    /// Whether the one extension is still to be had.
    pub extendable: bool,
    /// Whether the ledger keeps bind values.
    pub record_values: bool,
    /// Taken in an emergency.
    pub break_glass: bool,
    /// Who reviewed it, once somebody has.
    pub reviewed_by: Option<String>,
    /// Which token opens it, once one was claimed: changes with each claim, and is no secret.
    pub token_id: Option<String>,
}

impl From<GrantView> for Grant {
    fn from(view: GrantView) -> Grant {
        let grant = view.grant;
        Grant {
            head: Head::of("grant"),
            id: grant.id.to_string(),
            request: grant.request.to_string(),
            principal: grant.principal.to_string(),
            target: grant.target.to_string(),
            resources: paths(&grant.resources),
            new_tables: covers_new_tables(&grant.resources),
            effects: words(grant.effects),
            bounds: grant.bounds.into(),
            masks: grant.masks.iter().map(MaskOfGrant::from).collect(),
            reason: view.reason,
            state: word(grant.state),
            granted_at: grant.granted_at.into(),
            use_by: grant.use_by.into(),
            ends_at: grant.ends_at.into(),
            ended_at: view.ended_at.map(Time::from),
            ended_by: view.ended_by.map(String::from),
            extendable: grant.extendable,
            record_values: grant.record_values,
            break_glass: grant.break_glass,
            reviewed_by: grant.reviewed_by.map(String::from),
            token_id: view.token_id,
        }
    }
}

/// The token of a grant for native clients: shown once.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct GrantToken {
    /// What it is.
    #[serde(flatten)]
    pub head: Head,
    /// The grant it opens.
    pub grant: String,
    /// The database name to connect to.
    pub target: String,
    /// The user name to connect as.
    pub login: String,
    /// `read`, `write`, `direct`; or `all`.
    pub effects: Vec<String>,
    /// When the grant ends.
    pub ends_at: Time,
    /// Which token it is, as the grant names it; no secret.
    pub token_id: String,
    /// The password to connect with.
    pub secret: String,
}

impl From<ClaimedToken> for GrantToken {
    fn from(claimed: ClaimedToken) -> GrantToken {
        GrantToken {
            head: Head::of("grant_token"),
            grant: claimed.grant.id.to_string(),
            target: claimed.grant.target.to_string(),
            login: claimed.login,
            effects: words(claimed.grant.effects),
            ends_at: claimed.grant.ends_at.into(),
            token_id: claimed.token_id,
            secret: claimed.secret.reveal().to_owned(),
        }
    }
}

/// More time.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Extend {
    /// How much, e.g. `30m`.
    #[schema(value_type = String)]
    pub by: belay_model::Span,
}

/// What a grant is to keep; what is left out stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Narrow {
    /// All resources it is to keep.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub resources: Option<Vec<belay_model::Resource>>,
    /// All effects it is to keep.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<String>,
}

/// A review of access that was taken in an emergency.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// What was found.
    pub note: String,
}
