//! People, their logins and their API tokens.

use super::{Head, Time};
use belay_server::desk;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// What it is.
    #[serde(flatten)]
    pub head: Head,
    /// The login.
    pub name: String,
    /// What they may do in Belay.
    pub roles: Vec<String>,
    /// The groups that rules speak of.
    pub groups: Vec<String>,
    /// A disabled person can do nothing.
    pub disabled: bool,
    /// Whether a password is set; without one only API tokens let them in.
    pub has_password: bool,
    /// When they were added.
    pub created_at: Time,
}

impl User {
    pub(super) fn role_words(roles: &[belay_model::Role]) -> Vec<String> {
        roles.iter().map(ToString::to_string).collect()
    }

    pub(super) fn group_words(groups: &[belay_model::Name]) -> Vec<String> {
        groups.iter().map(ToString::to_string).collect()
    }
}

impl From<desk::User> for User {
    fn from(user: desk::User) -> User {
        User {
            head: Head::of("user"),
            name: user.name.to_string(),
            roles: User::role_words(&user.roles),
            groups: User::group_words(&user.groups),
            disabled: user.disabled,
            has_password: user.has_password,
            created_at: user.created_at.into(),
        }
    }
}

/// A person who was added, with their first token where no password was given.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct UserWithToken {
    /// The person.
    #[serde(flatten)]
    pub user: User,
    /// An API token, to be handed over. Shown once.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub token: Option<String>,
}

/// A person to be added.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// The login.
    #[schema(value_type = String)]
    pub name: belay_model::Name,
    /// A first password. Without one a token is made.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub password: Option<String>,
    /// What they may do in Belay.
    #[serde(default)]
    pub roles: Vec<String>,
    /// The groups that rules speak of.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub groups: Vec<belay_model::Name>,
}

/// What changes about a person; what is left out stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UserChange {
    /// All their roles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
    /// All their groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub groups: Option<Vec<belay_model::Name>>,
    /// Whether they are disabled. Disabling ends their grants and tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
}

/// A password to be set.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Password {
    /// The old one, for one's own.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub old: Option<String>,
    /// The new one.
    pub new: String,
}

/// Name and password.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The login.
    pub name: String,
    /// The password.
    pub password: String,
    /// What the token is to be called, e.g. the machine it is used on.
    #[serde(default)]
    pub label: String,
}

/// An API token to be made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApiToken {
    /// What it is to be called.
    #[serde(default)]
    pub label: String,
    /// How long it is to last, e.g. `30d`.
    #[schema(value_type = String)]
    pub lasts: belay_model::Span,
}

/// A token with its secret: shown once.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct LoggedIn {
    /// The token.
    #[serde(flatten)]
    pub info: ApiToken,
    /// The secret, for `Authorization: Bearer`.
    pub secret: String,
}

impl From<desk::MintedToken> for LoggedIn {
    fn from(minted: desk::MintedToken) -> LoggedIn {
        LoggedIn { secret: minted.secret.reveal().to_owned(), info: minted.info.into() }
    }
}

/// A token of the API, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApiToken {
    /// What it is.
    #[serde(flatten)]
    pub head: Head,
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub user: String,
    /// What its owner calls it.
    pub label: String,
    /// Its first characters.
    pub shown: String,
    /// When it was made.
    pub created_at: Time,
    /// When it ends by itself.
    pub expires_at: Time,
    /// When it was last used.
    pub last_used_at: Option<Time>,
    /// When somebody revoked it.
    pub revoked_at: Option<Time>,
}

impl From<desk::ApiToken> for ApiToken {
    fn from(token: desk::ApiToken) -> ApiToken {
        ApiToken {
            head: Head::of("api_token"),
            id: token.id.to_string(),
            user: token.user.to_string(),
            label: token.label,
            shown: token.shown,
            created_at: token.created_at.into(),
            expires_at: token.expires_at.into(),
            last_used_at: token.last_used_at.map(Time::from),
            revoked_at: token.revoked_at.map(Time::from),
        }
    }
}
