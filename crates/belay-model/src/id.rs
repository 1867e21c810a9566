//! Short, typed ids: `r_` request, `g_` grant, `s_` session, and so on.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A text that is not an id of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {kind} id; expected `{prefix}` and a number")]
pub struct IdError {
    text: String,
    kind: &'static str,
    prefix: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub i64);

        impl $name {
            /// What every id of this kind begins with.
            pub const PREFIX: &'static str = $prefix;
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", $prefix, self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let wrong = || IdError { text: text.to_owned(), kind: $kind, prefix: $prefix };
                let digits = text.strip_prefix($prefix).unwrap_or(text);
                if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(wrong());
                }
                digits.parse().map($name).map_err(|_| wrong())
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }
    };
}

id!(
    /// An access request, `r_12`.
    RequestId, "r_", "request"
);
id!(
    /// A grant, `g_31`.
    GrantId, "g_", "grant"
);
id!(
    /// A session: all connections of one principal on one grant, `s_7`.
    SessionId, "s_", "session"
);
id!(
    /// One connection of a session, `n_105`. Unique for the life of the store.
    ConnectionId, "n_", "connection"
);
id!(
    /// A rule that grants at once or sets how many people approve, `u_3`.
    RuleId, "u_", "rule"
);
id!(
    /// An API token of a person, `t_4`.
    ApiTokenId, "t_", "token"
);

id!(
    /// A plan: a write that was previewed and waits for its approval, `p_12`.
    PlanId, "p_", "plan"
);
id!(
    /// A change set: what a committed transaction changed, row by row, `c_12`.
    ChangeId, "c_", "change set"
);
id!(
    /// A mask of a column, `m_5`.
    MaskId, "m_", "mask"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_with_and_without_its_prefix() {
        assert_eq!("g_31".parse(), Ok(GrantId(31)));
        assert_eq!("31".parse(), Ok(GrantId(31)));
        assert_eq!(GrantId(31).to_string(), "g_31");
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        let error = "r_31".parse::<GrantId>().unwrap_err();
        assert_eq!(error.to_string(), "`r_31` is not a grant id; expected `g_` and a number");
    }

    #[test]
    fn signs_and_overflow_are_refused() {
        assert!("g_-1".parse::<GrantId>().is_err());
        assert!("g_+1".parse::<GrantId>().is_err());
        assert!("g_99999999999999999999".parse::<GrantId>().is_err());
    }
}
