//! The statements of a message, one by one, as far as it matters for running them again.
//!
//! Texts are cut by their tokens: what is met here was parsed and judged before.

use belay_change::Scripted;
use belay_model::Statement;
use pg_query::protobuf::{ScanToken, Token};
use std::sync::Arc;

/// One statement that was sent.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) scripted: Scripted,
    pub(super) what: What,
}

/// What it is to a transaction that is run again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// It makes no difference.
    Nothing,
    /// It is run again.
    Runs,
    /// It makes a savepoint.
    Savepoint(String),
    /// It forgets one.
    Releases(String),
    /// It undoes what came after one.
    Undoes(String),
    /// It prepares a statement in SQL.
    Prepares(String),
    /// It runs one, of this text where it is known.
    Executes(String, Option<Arc<str>>),
    /// It forgets one, or all.
    Forgets(Option<String>),
    /// It declares a cursor, whose query may write.
    Declares(bool),
    /// It moves a cursor, or closes it.
    Moves,
    /// It runs what SQL has made by the protocol's messages; that may write.
    ByName(bool),
    /// It cannot be run again, for this reason.
    Never(&'static str),
}

/// Cuts what a message runs.
pub(super) fn steps(scripted: Scripted, statements: &[Statement]) -> Vec<Step> {
    if !statements.iter().any(|statement| followed(statement).is_some()) {
        let what = if statements.iter().all(is_plain) { What::Nothing } else { What::Runs };
        return vec![Step { scripted, what }];
    }
    let pieces = pieces(&scripted.text);
    match (pieces.as_slice(), statements) {
        ([only], [statement]) => {
            let what = what(statement, &scripted.text, only);
            vec![Step { scripted, what }]
        }
        (pieces, statements) if pieces.len() == statements.len() => {
            let text = |tokens: &[ScanToken]| slice(&scripted.text, tokens.first(), tokens.last());
            let step = |(tokens, statement): (&Vec<ScanToken>, &Statement)| Step {
                what: what(statement, &scripted.text, tokens),
                scripted: Scripted { text: Arc::from(text(tokens)), parameters: None, data: None },
            };
            pieces.iter().zip(statements).map(step).collect()
        }
        _ => vec![Step { scripted, what: What::Never("its statements cannot be told apart") }],
    }
}

/// Whether the text writes at a cursor.
pub(super) fn is_at_cursor(text: &str) -> bool {
    // Most texts do not even have the word.
    let has_word = text.as_bytes().windows(7).any(|word| word.eq_ignore_ascii_case(b"current"));
    has_word
        && pg_query::scan_tokens(text).is_ok_and(|tokens| {
            let words = tokens.iter().map(|token| kind(Some(token)));
            let words: Vec<Token> = words.filter(|word| !matches!(word, Token::SqlComment | Token::CComment)).collect();
            words.windows(2).any(|two| *two == [Token::CurrentP, Token::Of])
        })
}

/// Whether the modes of a transaction say that it only reads, if they say.
pub(super) fn reads_only(modes: &str) -> Option<bool> {
    let tokens = pieces(modes).into_iter().next()?;
    let words: Vec<Token> = tokens.iter().map(|token| kind(Some(token))).collect();
    words.windows(2).rev().find_map(|two| match two {
        [Token::Read, Token::Only] => Some(true),
        [Token::Read, Token::Write] => Some(false),
        _ => None,
    })
}

/// What depends on other statements of the session, or others on it.
const FOLLOWED: [&str; 12] = [
    "SAVEPOINT",
    "RELEASE",
    "ROLLBACK TO",
    "PREPARE",
    "EXECUTE",
    "EXPLAIN ANALYZE",
    "DEALLOCATE",
    "DISCARD ALL",
    "DECLARE CURSOR",
    "FETCH",
    "MOVE",
    "CLOSE",
];

/// Which of these it is. The verb of a statement around another one that writes names both.
fn followed(statement: &Statement) -> Option<&'static str> {
    let is = |known: &&&str| {
        let rest = statement.verb.strip_prefix(**known);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    FOLLOWED.iter().find(is).copied()
}

/// Whether running it again could make no difference to what is written.
pub(super) fn is_plain(statement: &Statement) -> bool {
    let reads = matches!(
        statement.verb.as_str(),
        // How a transaction begins and ends is not part of what it runs.
        "SELECT"
            | "VALUES"
            | "SHOW"
            | "EXPLAIN"
            | "BEGIN"
            | "START TRANSACTION"
            | "COMMIT"
            | "ROLLBACK"
            | "SET TRANSACTION"
    );
    reads && !super::act::writes(statement)
}

fn what(statement: &Statement, text: &str, tokens: &[ScanToken]) -> What {
    let at = |place: usize| name(text, tokens.get(place));
    let last = || name(text, tokens.last());
    match followed(statement).unwrap_or_default() {
        "SAVEPOINT" => What::Savepoint(last()),
        "RELEASE" => What::Releases(last()),
        "ROLLBACK TO" => What::Undoes(last()),
        "PREPARE" => What::Prepares(at(1)),
        "DEALLOCATE" if kind(tokens.last()) == Token::All => What::Forgets(None),
        "DEALLOCATE" => What::Forgets(Some(last())),
        "DISCARD ALL" => What::Forgets(None),
        "DECLARE CURSOR" => What::Declares(super::act::writes(statement)),
        "FETCH" | "MOVE" | "CLOSE" => What::Moves,
        "EXECUTE" | "EXPLAIN ANALYZE" => match tokens.iter().position(|token| kind(Some(token)) == Token::Execute) {
            Some(place) => What::Executes(at(place + 1), None),
            None => What::Runs,
        },
        _ if is_plain(statement) => What::Nothing,
        _ => What::Runs,
    }
}

/// The tokens of each statement, without comments and what divides them.
pub(super) fn pieces(text: &str) -> Vec<Vec<ScanToken>> {
    let (mut pieces, mut depth) = (vec![Vec::new()], 0_u32);
    for token in pg_query::scan_tokens(text).unwrap_or_default() {
        match kind(Some(&token)) {
            Token::SqlComment | Token::CComment => continue,
            Token::Ascii59 if depth == 0 => {
                pieces.push(Vec::new());
                continue;
            }
            Token::Ascii40 => depth += 1,
            Token::Ascii41 => depth = depth.saturating_sub(1),
            _ => {}
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push(token);
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

fn kind(token: Option<&ScanToken>) -> Token {
    token.and_then(|token| Token::try_from(token.token).ok()).unwrap_or(Token::Nul)
}

/// A name as the target takes it.
fn name(text: &str, token: Option<&ScanToken>) -> String {
    let written = slice(text, token, token);
    match written.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => written.to_ascii_lowercase(),
    }
}

pub(super) fn slice<'t>(text: &'t str, first: Option<&ScanToken>, last: Option<&ScanToken>) -> &'t str {
    let place = |at: i32| usize::try_from(at).unwrap_or(usize::MAX);
    match (first, last) {
        (Some(first), Some(last)) => text.get(place(first.start)..place(last.end)).unwrap_or_default(),
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use belay_model::Effect;

    fn cut(text: &str, verbs: &[&str]) -> Vec<(String, What)> {
        let scripted = Scripted { text: Arc::from(text), parameters: None, data: None };
        let statements: Vec<Statement> = verbs
            .iter()
            .map(|verb| Statement::new(if *verb == "UPDATE" { Effect::Write } else { Effect::Read }, *verb))
            .collect();
        steps(scripted, &statements).into_iter().map(|step| (step.scripted.text.to_string(), step.what)).collect()
    }

    #[test]
    fn messages_are_cut_where_their_statements_hang_together() {
        let text = "/* a;b */ SAVEPOINT A; ;\nUPDATE t SET v = ';' -- x;\n; ROLLBACK WORK TO SAVEPOINT \"a\"\"B\";";
        assert_eq!(
            cut(text, &["SAVEPOINT", "UPDATE", "ROLLBACK TO"]),
            [
                ("SAVEPOINT A".to_owned(), What::Savepoint("a".to_owned())),
                ("UPDATE t SET v = ';'".to_owned(), What::Runs),
                ("ROLLBACK WORK TO SAVEPOINT \"a\"\"B\"".to_owned(), What::Undoes("a\"B".to_owned())),
            ]
        );
        assert_eq!(cut("UPDATE t; SELECT 1", &["UPDATE", "SELECT"]), [("UPDATE t; SELECT 1".to_owned(), What::Runs)]);
        assert!(matches!(cut("SAVEPOINT a; UPDATE t", &["SAVEPOINT"]).as_slice(), [(_, What::Never(_))]));
    }

    #[test]
    fn names_of_prepared_statements_are_found() {
        for (text, verb, expected) in [
            ("PREPARE P (int) AS UPDATE t", "PREPARE UPDATE", What::Prepares("p".to_owned())),
            ("EXECUTE p(1, 'EXECUTE')", "EXECUTE", What::Executes("p".to_owned(), None)),
            ("EXPLAIN (ANALYZE) EXECUTE \"P\"(1)", "EXPLAIN ANALYZE", What::Executes("P".to_owned(), None)),
            ("EXPLAIN ANALYZE UPDATE t SET v = 1", "EXPLAIN ANALYZE UPDATE", What::Runs),
            ("DEALLOCATE PREPARE p", "DEALLOCATE", What::Forgets(Some("p".to_owned()))),
            ("DEALLOCATE ALL", "DEALLOCATE", What::Forgets(None)),
            ("FETCH ALL FROM c", "FETCH", What::Moves),
        ] {
            assert_eq!(cut(text, &[verb]), [(text.to_owned(), expected)], "{text}");
        }
    }

    #[test]
    fn the_last_of_the_modes_counts() {
        for (text, reads) in [
            ("BEGIN", None),
            ("BEGIN ISOLATION LEVEL READ COMMITTED", None),
            (" begin read /* a */ only;", Some(true)),
            ("SET TRANSACTION READ ONLY, ISOLATION LEVEL SERIALIZABLE", Some(true)),
            ("START TRANSACTION READ ONLY, READ WRITE", Some(false)),
        ] {
            assert_eq!(reads_only(text), reads, "{text}");
        }
    }

    #[test]
    fn a_write_at_a_cursor_is_told_by_its_words() {
        assert!(is_at_cursor("DELETE FROM t WHERE Current /* x */ OF c"));
        for text in ["SELECT current_user", "UPDATE t SET v = 'current of'", "SELECT current FROM of"] {
            assert!(!is_at_cursor(text), "{text}");
        }
    }
}
