//! How a command ends: the exit codes that scripts rely on, and an error with its hint.

use belay_web::Problem;
use std::process::ExitCode;

/// The exit codes. `psql` passes its child's on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Failure = 1,
    Usage = 2,
    DeniedByPolicy = 3,
    ApprovalDenied = 4,
    Pending = 5,
    Over = 6,
    NotLoggedIn = 7,
    Unreachable = 8,
    Conflict = 9,
    Integrity = 10,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// A command that did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure { exit, message: message.into(), hint: None }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Usage, message)
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Failure {
        let exit = match problem.code.as_str() {
            "denied" => Exit::DeniedByPolicy,
            "unauthenticated" => Exit::NotLoggedIn,
            "over" => Exit::Over,
            "index_behind" => Exit::Pending,
            "conflict" | "rows_differ" => Exit::Conflict,
            "invalid" => Exit::Usage,
            "target_unreachable" | "timeout" => Exit::Unreachable,
            _ => Exit::Failure,
        };
        let message = match problem.field {
            // The detail repeats what was written; the field says where.
            Some(field) if !problem.detail.contains(&field) => format!("{field}: {}", problem.detail),
            _ => problem.detail,
        };
        Failure { exit, message, hint: problem.hint }
    }
}
