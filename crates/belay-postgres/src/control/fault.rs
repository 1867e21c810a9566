//! What goes wrong on a control connection, and what that means.

use belay_engine::{ControlError, ControlFailure};
use std::time::Duration;
use tokio_postgres::error::SqlState;

/// Why an act failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// The server or the connection said no.
    Sql(tokio_postgres::Error),
    /// We did.
    Own(ControlError),
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Fault {
        Fault::Sql(error)
    }
}

impl From<ControlError> for Fault {
    fn from(error: ControlError) -> Fault {
        Fault::Own(error)
    }
}

impl Fault {
    /// Whether the connection is of no more use.
    pub(super) fn breaks_connection(&self) -> bool {
        match self {
            Fault::Sql(error) => error.as_db_error().is_none_or(|db| matches!(db.severity(), "FATAL" | "PANIC")),
            Fault::Own(_) => false,
        }
    }

    /// Whether the same act may succeed at once: somebody else changed the same catalog rows, or the connection
    /// had died while it was idle.
    pub(super) fn is_passing(&self) -> bool {
        let Fault::Sql(error) = self else { return false };
        let Some(db) = error.as_db_error() else { return true };
        let collision = [
            &SqlState::T_R_SERIALIZATION_FAILURE,
            &SqlState::T_R_DEADLOCK_DETECTED,
            &SqlState::LOCK_NOT_AVAILABLE,
            &SqlState::UNIQUE_VIOLATION,
            &SqlState::DUPLICATE_OBJECT,
            &SqlState::UNDEFINED_OBJECT,
            &SqlState::UNDEFINED_TABLE,
            &SqlState::INVALID_SCHEMA_NAME,
            &SqlState::ADMIN_SHUTDOWN,
        ];
        collision.contains(&db.code())
            || (*db.code() == SqlState::INTERNAL_ERROR && db.message().contains("concurrently"))
    }
}

impl From<Fault> for ControlError {
    fn from(fault: Fault) -> ControlError {
        match fault {
            Fault::Own(error) => error,
            Fault::Sql(error) => told(&error),
        }
    }
}

/// The server's words. Its detail names the objects that hinder; neither holds a statement's text.
fn told(error: &tokio_postgres::Error) -> ControlError {
    let Some(db) = error.as_db_error() else {
        return unreachable_target(&source_text(error));
    };
    let code = db.code();
    let mut message = db.message().to_owned();
    if let Some(detail) = db.detail().and_then(|detail| detail.lines().next()) {
        message = format!("{message}: {detail}");
    }
    let class = code.code().get(..2).unwrap_or_default();
    let failure = match class {
        _ if *code == SqlState::INSUFFICIENT_PRIVILEGE => ControlFailure::Forbidden,
        "28" => ControlFailure::Forbidden,
        "08" | "53" | "57" if *code != SqlState::QUERY_CANCELED => ControlFailure::Unreachable,
        "25" if *code == SqlState::READ_ONLY_SQL_TRANSACTION => {
            "the target is read-only: roles are made at its primary".clone_into(&mut message);
            ControlFailure::Forbidden
        }
        _ => ControlFailure::Other,
    };
    ControlError { failure, message: format!("{message} ({})", code.code()) }
}

fn source_text(error: &tokio_postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// The target cannot be reached.
pub(super) fn unreachable_target(why: &str) -> ControlError {
    ControlError { failure: ControlFailure::Unreachable, message: why.to_owned() }
}

/// The target did not answer in time.
pub(super) fn late(limit: Duration) -> ControlError {
    unreachable_target(&format!("no answer from the target within {limit:?}"))
}

/// A right is missing.
pub(super) fn forbidden(message: impl Into<String>) -> ControlError {
    ControlError { failure: ControlFailure::Forbidden, message: message.into() }
}

/// Anything else.
pub(super) fn other(message: impl Into<String>) -> ControlError {
    ControlError { failure: ControlFailure::Other, message: message.into() }
}
