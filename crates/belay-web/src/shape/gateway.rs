//! The server and the caller.

use super::{Head, User};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What clients must know of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Gateway {
    /// What it is.
    #[serde(flatten)]
    pub head: Head,
    /// The version of the server.
    pub version: String,
    /// The port PostgreSQL clients connect to, on the host of the API.
    pub postgres_port: u16,
}

/// The caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Me {
    /// What it is.
    #[serde(flatten)]
    pub head: Head,
    /// Who is calling.
    pub name: String,
    /// What they may do in Belay.
    pub roles: Vec<String>,
    /// The groups that rules speak of.
    pub groups: Vec<String>,
    /// Whether they have a password, which is asked for when they set a new one.
    pub has_password: bool,
}

impl Me {
    pub(crate) fn new(principal: &belay_model::Principal, has_password: bool) -> Me {
        Me {
            head: Head::of("me"),
            name: principal.name.to_string(),
            roles: User::role_words(&principal.roles),
            groups: User::group_words(&principal.groups),
            has_password,
        }
    }
}
