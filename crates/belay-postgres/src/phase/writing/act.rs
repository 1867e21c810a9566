//! What a permitted message means for the transaction it runs in.

use super::block;
use belay_model::{Code, Denial, Effect, Relation, Statement};

/// Who the session acts as.
const ROLE: &str = "SET ROLE";
const NO_ROLE: &str = "RESET ROLE";

/// What one message does, as far as transactions go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one fact of its own")]
pub(super) struct Act {
    /// It changes rows, or may.
    pub(super) writes: bool,
    /// It commits one.
    pub(super) commits: bool,
    /// Something has to be done before it runs.
    pub(super) prepares: bool,
    /// It may come before a transaction has run anything.
    pub(super) early: bool,
}

impl Act {
    pub(super) fn of(statements: &[Statement]) -> Act {
        let any = |test: fn(&Statement) -> bool| statements.iter().any(test);
        Act { writes: any(writes), commits: any(commits), prepares: any(prepares), early: statements.iter().all(early) }
    }
}

/// Whether the statement changes rows, or calls what may.
pub(super) fn writes(statement: &Statement) -> bool {
    let changes = statement.effect > Effect::Read || !statement.calls.is_empty();
    changes && !begins(statement) && !matches!(statement.verb.as_str(), ROLE | NO_ROLE)
}

/// Whether it leaves open how the transaction is isolated from others, or ends it.
pub(super) fn early(statement: &Statement) -> bool {
    matches!(statement.verb.as_str(), "SET TRANSACTION" | "SET" | "RESET" | "SHOW" | "COMMIT" | "ROLLBACK")
}

pub(super) fn begins(statement: &Statement) -> bool {
    matches!(statement.verb.as_str(), "BEGIN" | "START TRANSACTION")
}

pub(super) fn commits(statement: &Statement) -> bool {
    statement.verb == "COMMIT"
}

fn prepares(statement: &Statement) -> bool {
    matches!(statement.verb.as_str(), "TRUNCATE" | "DROP TABLE")
}

/// Why these may not come in one message, if they may not: where a transaction begins or ends inside a message, nobody
/// could look at its rows before it is committed.
pub(super) fn mixed(statements: &[Statement], open: bool) -> Option<Denial> {
    let control = |statement: &Statement| begins(statement) || commits(statement) || statement.verb == "ROLLBACK";
    let statements = if open || !block::is_block(statements) { statements } else { block::body(statements) };
    let alone = statements.len() < 2;
    let stays_open = || statements.iter().rev().find(|statement| control(statement)).is_some_and(begins);
    let matters = open || statements.iter().any(writes) || stays_open();
    if !alone && matters && statements.iter().any(control) {
        let hint = if open {
            "send COMMIT or ROLLBACK in a message of its own; in psql: -f FILE, or one -c for each"
        } else {
            "begin with BEGIN and end with COMMIT; or send each statement by itself, in psql with -f FILE"
        };
        return Some(together("a transaction begins or ends in a message with other statements", hint));
    }
    let lone =
        |statement: &&Statement| prepares(statement) || matches!(statement.verb.as_str(), "COPY FROM" | ROLE | NO_ROLE);
    if let Some(lone) = statements.iter().find(lone).filter(|_| !alone) {
        let what = format!("{} comes in a message with other statements", lone.verb);
        return Some(together(&what, "send them one by one"));
    }
    statements.iter().find(|statement| statement.verb.ends_with(" AND CHAIN")).map(chained)
}

/// What follows such a COMMIT would have begun before the rows were looked at.
fn chained(statement: &Statement) -> Denial {
    let plain = statement.verb.trim_end_matches(" AND CHAIN");
    Denial {
        code: Code::MixedMessage,
        message: format!("refused: {}: it begins a transaction in the same breath", statement.verb),
        detail: format!("{} The statement was not sent to the database.", Code::MixedMessage.why()),
        hint: format!("{plain}; BEGIN"),
    }
}

fn together(what: &str, hint: &str) -> Denial {
    Denial {
        code: Code::MixedMessage,
        message: format!("refused: {what}"),
        detail: format!("{} The statements were not sent to the database.", Code::MixedMessage.why()),
        hint: hint.to_owned(),
    }
}

/// The relations that the statements name.
pub(super) fn named(statements: &[Statement]) -> impl Iterator<Item = &Relation> {
    statements.iter().filter(|statement| writes(statement)).flat_map(|statement| &statement.relations)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(verbs: &[(Effect, &str)]) -> Vec<Statement> {
        verbs.iter().map(|(effect, verb)| Statement::new(*effect, *verb)).collect()
    }

    #[test]
    fn a_message_that_writes_begins_and_ends_a_transaction_only_where_it_is_one() {
        let begin = (Effect::Session, "BEGIN");
        let (update, read, commit) = ((Effect::Write, "UPDATE"), (Effect::Read, "SELECT"), (Effect::Session, "COMMIT"));
        for (verbs, open, refused) in [
            (vec![update], false, false),
            (vec![update, update], false, false),
            (vec![begin], false, false),
            (vec![begin, read], false, false),
            (vec![begin, update], false, false),
            (vec![begin, update, update, commit], false, false),
            (vec![begin, (Effect::Write, "TRUNCATE"), commit], false, false),
            (vec![begin, (Effect::Write, "TRUNCATE"), update, commit], false, true),
            (vec![begin, update, commit], true, true),
            (vec![begin, update, commit, update], false, true),
            (vec![begin, read, commit, begin, read, commit], false, false),
            (vec![begin, read, commit, begin], false, true),
            (vec![read, begin], false, true),
            (vec![update, commit], true, true),
            (vec![read, commit], true, true),
            (vec![read, commit], false, false),
            (vec![(Effect::Session, "ROLLBACK"), update], false, true),
            (vec![(Effect::Session, "ROLLBACK TO"), update], true, false),
            (vec![(Effect::Write, "COPY FROM")], true, false),
            (vec![(Effect::Write, "COPY FROM"), update], true, true),
            (vec![(Effect::Privilege, "SET ROLE")], false, false),
            (vec![(Effect::Privilege, "SET ROLE"), read], false, true),
            (vec![(Effect::Session, "COMMIT AND CHAIN")], true, true),
            (vec![(Effect::Session, "ROLLBACK AND CHAIN")], true, true),
        ] {
            assert_eq!(mixed(&message(&verbs), open).is_some(), refused, "{verbs:?}, open: {open}");
        }
    }

    #[test]
    fn a_function_that_is_not_known_to_be_harmless_counts_as_a_write() {
        let mut statement = Statement::new(Effect::Read, "SELECT");
        assert!(!writes(&statement));
        statement.calls = vec!["app.f(integer)".parse().unwrap()];
        assert!(writes(&statement));
        assert!(!writes(&Statement::new(Effect::Write, "BEGIN")));
    }
}
