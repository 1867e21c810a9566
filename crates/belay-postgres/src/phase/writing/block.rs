//! A message that is a transaction of its own: `BEGIN; ...; COMMIT`, or without its end.
//!
//! It is sent in parts, as if its client had: each is answered as it would be, and what follows an error is not sent.

use super::act::{begins, commits, early};
use super::step::{pieces, slice};
use belay_model::Statement;
use std::sync::Arc;

/// So many statements that come before anything else are sent by themselves.
const EARLY: usize = 16;

/// Whether the message begins with BEGIN, and no transaction begins or ends in it but by its last statement.
pub(super) fn is_block(statements: &[Statement]) -> bool {
    let [first, .., last] = statements else { return false };
    let inner = statements.get(1..statements.len() - usize::from(ends(last))).unwrap_or_default();
    begins(first) && !inner.iter().any(|statement| begins(statement) || ends(statement))
}

/// What is sent together: all between the BEGIN, what is said of the transaction behind it, and its end.
pub(super) fn body(statements: &[Statement]) -> &[Statement] {
    let (from, to) = body_of(statements);
    statements.get(from..to).unwrap_or_default()
}

/// The texts of the parts, each at its place in the message, so that errors point there, and what each runs. None where
/// the statements cannot be told apart.
pub(super) fn cut(text: &str, statements: &[Statement]) -> Option<Vec<(String, Arc<[Statement]>)>> {
    let pieces = pieces(text);
    if pieces.len() != statements.len() {
        return None;
    }
    let (from, to) = body_of(statements);
    let alone = |at: usize| at..at + 1;
    let ranges = (0..from).map(alone).chain(std::iter::once(from..to)).chain((to..statements.len()).map(alone));
    let part = |range: std::ops::Range<usize>| {
        let (first, last) = (pieces.get(range.start)?.first()?, pieces.get(range.end - 1)?.last()?);
        let before = text.get(..usize::try_from(first.start).ok()?)?.chars().count();
        let own = slice(text, Some(first), Some(last));
        Some((format!("{:before$}{own}", ""), statements.get(range)?.into()))
    };
    ranges.filter(|range| !range.is_empty()).map(part).collect()
}

fn body_of(statements: &[Statement]) -> (usize, usize) {
    let to = statements.len() - usize::from(statements.last().is_some_and(ends));
    let inner = statements.get(1..to).unwrap_or_default();
    let from = 1 + inner.iter().take(EARLY).take_while(|statement| early(statement)).count();
    (from.min(to), to)
}

fn ends(statement: &Statement) -> bool {
    commits(statement) || statement.verb == "ROLLBACK" || statement.verb.ends_with(" AND CHAIN")
}

#[cfg(test)]
mod tests {
    use super::*;
    use belay_model::Effect;

    fn message(verbs: &[&str]) -> Vec<Statement> {
        verbs.iter().map(|verb| Statement::new(Effect::Session, *verb)).collect()
    }

    fn parts(text: &str, verbs: &[&str]) -> Option<Vec<(String, usize)>> {
        let parts = cut(text, &message(verbs))?;
        Some(parts.into_iter().map(|(text, statements)| (text, statements.len())).collect())
    }

    #[test]
    fn a_transaction_is_cut_at_its_begin_and_its_end_and_keeps_its_places() {
        assert_eq!(
            parts(
                "/* é */ BEGIN; UPDATE a; SAVEPOINT s;\nUPDATE b ; END;",
                &["BEGIN", "UPDATE", "SAVEPOINT", "UPDATE", "COMMIT"]
            ),
            Some(vec![
                ("        BEGIN".to_owned(), 1),
                (format!("{:15}UPDATE a; SAVEPOINT s;\nUPDATE b", ""), 3),
                (format!("{:49}END", ""), 1),
            ])
        );
        let first =
            parts("begin;set transaction read only;set a=1;select 1", &["BEGIN", "SET TRANSACTION", "SET", "SELECT"]);
        let sizes = first.map(|parts| parts.iter().map(|(_, size)| *size).collect::<Vec<_>>());
        assert_eq!(sizes, Some(vec![1, 1, 1, 1]));
        assert_eq!(parts("BEGIN;COMMIT", &["BEGIN", "COMMIT"]).map(|parts| parts.len()), Some(2));
        assert_eq!(parts("BEGIN;SELECT 1;COMMIT", &["BEGIN", "COMMIT"]), None);
    }

    #[test]
    fn a_message_with_other_ends_or_beginnings_is_none() {
        for (verbs, block) in [
            (&["BEGIN"][..], false),
            (&["BEGIN", "UPDATE"], true),
            (&["START TRANSACTION", "UPDATE", "ROLLBACK"], true),
            (&["BEGIN", "UPDATE", "ROLLBACK TO", "COMMIT"], true),
            (&["UPDATE", "COMMIT"], false),
            (&["BEGIN", "UPDATE", "COMMIT", "UPDATE"], false),
            (&["BEGIN", "COMMIT", "COMMIT"], false),
            (&["BEGIN", "UPDATE", "BEGIN"], false),
            (&["BEGIN", "UPDATE", "COMMIT AND CHAIN", "UPDATE", "COMMIT"], false),
        ] {
            assert_eq!(is_block(&message(verbs)), block, "{verbs:?}");
        }
    }
}
