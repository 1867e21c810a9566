//! People and the tokens they use the API with.

use belay_model::{ApiTokenId, Name, Principal, Role, Timestamp};
use serde::{Deserialize, Serialize};

/// A person, without any secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The login.
    pub name: Name,
    /// What they may do in Belay.
    pub roles: Vec<Role>,
    /// The groups that rules speak of.
    pub groups: Vec<Name>,
    /// A disabled person can do nothing.
    pub disabled: bool,
    /// Whether a password is set; without one only API tokens let them in.
    pub has_password: bool,
    /// When they were added.
    pub created_at: Timestamp,
}

impl User {
    /// The person as one who acts.
    pub fn principal(&self) -> Principal {
        Principal {
            name: self.name.clone(),
            roles: self.roles.clone(),
            groups: self.groups.clone(),
            disabled: self.disabled,
        }
    }
}

/// A token of the API, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiToken {
    /// Its id.
    pub id: ApiTokenId,
    /// Whose it is.
    pub user: Name,
    /// What its owner calls it.
    pub label: String,
    /// Its first characters, to be recognised by.
    pub shown: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When somebody revoked it.
    pub revoked_at: Option<Timestamp>,
}
