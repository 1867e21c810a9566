//! Erasures.

use super::Head;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A session whose content is erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Erasure {
    /// What it is.
    #[serde(flatten)]
    pub head: Head,
    /// The session.
    pub session: String,
    /// Whether nothing is left. Otherwise tables that it dropped wait in the target's trash, and go as soon as it answers.
    pub done: bool,
}

impl From<belay_server::eraser::Erased> for Erasure {
    fn from(erased: belay_server::eraser::Erased) -> Erasure {
        Erasure { head: Head::of("erasure"), session: erased.session.to_string(), done: erased.done }
    }
}

/// An erasure to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewErasure {
    /// The session.
    pub session: String,
    /// Why.
    pub reason: String,
}
