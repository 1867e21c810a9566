//! Legal holds.

use super::{Head, Time};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A session of which nothing is erased or deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Hold {
    /// What it is.
    #[serde(flatten)]
    pub head: Head,
    /// The session.
    pub session: String,
    /// Who holds it.
    pub by: String,
    /// Since when.
    pub at: Time,
    /// Why.
    pub reason: String,
}

impl From<&belay_server::desk::HoldRecord> for Hold {
    fn from(record: &belay_server::desk::HoldRecord) -> Hold {
        Hold {
            head: Head::of("hold"),
            session: record.session.to_string(),
            by: record.by.to_string(),
            at: record.at.into(),
            reason: record.reason.clone(),
        }
    }
}

/// A hold to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewHold {
    /// The session.
    pub session: String,
    /// Why.
    pub reason: String,
}
