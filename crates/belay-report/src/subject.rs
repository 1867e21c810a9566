//! What a report is about.

use belay_model::{RequestId, SessionId};
use std::fmt;
use std::str::FromStr;

/// A session, or an access request with all its sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A session, with the request that led to it.
    Session(SessionId),
    /// A request, with its grant and all of its sessions.
    Request(RequestId),
}

/// A text that names neither.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a session such as `s_7` nor a request such as `r_3`")]
pub struct SubjectError(String);

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Session(id) => id.fmt(f),
            Subject::Request(id) => id.fmt(f),
        }
    }
}

impl FromStr for Subject {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Subject, SubjectError> {
        let subject = if text.starts_with(SessionId::PREFIX) {
            text.parse().ok().map(Subject::Session)
        } else if text.starts_with(RequestId::PREFIX) {
            text.parse().ok().map(Subject::Request)
        } else {
            None
        };
        subject.ok_or_else(|| SubjectError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_and_requests_are_told_apart() {
        assert_eq!("s_7".parse(), Ok(Subject::Session(SessionId(7))));
        assert_eq!("r_3".parse(), Ok(Subject::Request(RequestId(3))));
        for text in ["7", "g_3", "s_", "r_x", ""] {
            assert!(text.parse::<Subject>().is_err(), "{text}");
        }
    }
}
