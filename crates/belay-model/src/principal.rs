//! People and what they may do in Belay itself.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A name that is safe in a login, a role name, a URL and a shell: a lower-case letter, then
/// letters, digits, `_`, `-` or `.`, at most 40 characters. `+` and `/` are separators and stay out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// A text that is not a [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a name; a lower-case letter, then up to 39 of a-z, 0-9, `_`, `-`, `.`")]
pub struct NameError(pub String);

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Name, NameError> {
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        let rest = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-.".contains(&b));
        if first && rest && text.len() <= 40 { Ok(Name(text.to_owned())) } else { Err(NameError(text.to_owned())) }
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;
    fn try_from(text: String) -> Result<Name, NameError> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> String {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a person may do in Belay. Everybody may ask for access for themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Asks for access.
    Requester,
    /// Decides on requests of other people.
    Approver,
    /// Manages targets, people and rules. Has no right to approve, unless also an approver.
    Administrator,
    /// Reads the ledger.
    Auditor,
    /// May take access at once in an emergency; each use notifies and owes a review.
    BreakGlass,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 5] = [Role::Requester, Role::Approver, Role::Administrator, Role::Auditor, Role::BreakGlass];

    /// The word for this role.
    pub fn word(self) -> &'static str {
        match self {
            Role::Requester => "requester",
            Role::Approver => "approver",
            Role::Administrator => "administrator",
            Role::Auditor => "auditor",
            Role::BreakGlass => "break_glass",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A word that is no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a role; known: requester, approver, administrator, auditor, break_glass")]
pub struct UnknownRole(pub String);

impl FromStr for Role {
    type Err = UnknownRole;
    fn from_str(text: &str) -> Result<Role, UnknownRole> {
        Role::ALL.into_iter().find(|role| role.word() == text).ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

/// Somebody who can be held to account: a person with roles and groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// The login.
    pub name: Name,
    /// What they may do in Belay.
    pub roles: Vec<Role>,
    /// The groups that rules speak of.
    pub groups: Vec<Name>,
    /// A disabled principal can do nothing.
    pub disabled: bool,
}

impl Principal {
    /// Whether this principal holds `role` and is not disabled.
    pub fn has(&self, role: Role) -> bool {
        !self.disabled && self.roles.contains(&role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_break_a_login_are_refused() {
        for text in ["alice", "a", "ann.b-c_d9"] {
            assert!(text.parse::<Name>().is_ok(), "{text}");
        }
        for text in ["", "Alice", "9a", "a+b", "a/b", "a b", "é", "a\0", "-a", &"a".repeat(41)] {
            assert!(text.parse::<Name>().is_err(), "{text:?}");
        }
    }
}
