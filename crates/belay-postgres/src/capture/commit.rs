//! The COMMIT of a transaction whose rows were taken.

use super::CaptureError;
use belay_engine::Outcome;
use postgres_protocol::escape::escape_identifier;

/// What the target says of a write in a transaction that may only read.
const READ_ONLY: &str = "25006";

/// Commits. What runs in the COMMIT itself, such as the query of a cursor WITH HOLD or a trigger that was put off once
/// more, may only read: nobody could take its rows any more. `savepoints` are those that are open, the innermost last:
/// with one of them open the mode would end before the COMMIT runs anything.
pub fn commit(savepoints: &[String]) -> String {
    let release = |name: &String| format!("RELEASE SAVEPOINT {}; ", escape_identifier(name));
    let released: String = savepoints.iter().rev().map(release).collect();
    format!("{released}SET TRANSACTION READ ONLY; COMMIT")
}

/// What an error of [`commit`] means.
pub fn late(error: CaptureError) -> CaptureError {
    match error {
        CaptureError::Target { sqlstate, .. } if sqlstate == READ_ONLY => CaptureError::Irreversible {
            what: "it writes in its COMMIT, after its rows were taken".to_owned(),
            instead: "close cursors WITH HOLD before COMMIT, and let triggers not defer constraints".to_owned(),
        },
        error => error,
    }
}

/// How the transaction ended, as the answer to [`commit`] tells after [`late`].
pub fn outcome<T>(committed: &Result<T, CaptureError>) -> Outcome {
    match committed {
        Ok(_) => Outcome::Committed,
        Err(CaptureError::Target { .. } | CaptureError::Irreversible { .. }) => Outcome::RolledBack,
        Err(_) => Outcome::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn savepoints_are_released_from_the_innermost_on() {
        let savepoints = ["a".to_owned(), "b\"".to_owned()];
        let expected = "RELEASE SAVEPOINT \"b\"\"\"; RELEASE SAVEPOINT \"a\"; SET TRANSACTION READ ONLY; COMMIT";
        assert_eq!(commit(&savepoints), expected);
    }
}
