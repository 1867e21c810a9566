//! Texts that nobody would write: the classifier answers all of them, and the same twice.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use belay_model::{Code, Effect, Statement};
use belay_postgres::classify::Classifier;
use proptest::prelude::*;
use std::sync::Arc;

const PIECES: [&str; 48] = [
    "SELECT",
    "FROM",
    "WHERE",
    "WITH",
    "AS",
    "(",
    ")",
    "[",
    "]",
    ",",
    ";",
    "'a'",
    "\"b\"",
    "$1",
    "$$x$$",
    "E'\\''",
    "U&'\\0061'",
    "UNION",
    "ALL",
    "NOT",
    "CASE",
    "WHEN",
    "THEN",
    "END",
    "BETWEEN",
    "AND",
    "OR",
    "1",
    "1.5",
    "+",
    "::",
    "int",
    "t",
    "a.b",
    "*",
    "DELETE",
    "INSERT INTO",
    "VALUES",
    "UPDATE",
    "SET",
    "FOR UPDATE",
    "set_config",
    "--\n",
    "/*",
    "*/",
    "\u{e9}",
    "\0",
    "'",
];

fn texts() -> impl Strategy<Value = String> {
    let pieces = prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..40);
    pieces.prop_map(|pieces| pieces.join(" "))
}

/// Statements of the table, which is a good place to start from.
fn seeds() -> Vec<&'static str> {
    include_str!("classify_table.txt")
        .lines()
        .filter(|line| !line.starts_with([' ', '#']) && !line.is_empty())
        .collect()
}

fn cases(count: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(count) }
}

thread_local! {
    static CLASSIFIER: Classifier = Classifier::default();
}

/// What a classifier says that has seen the earlier cases too.
fn classified(text: &str) -> Arc<[Statement]> {
    CLASSIFIER.with(|classifier| classifier.classify(text))
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn any_text_has_an_answer(text in any::<String>()) {
        let _ = classified(&text);
    }

    #[test]
    fn any_order_of_tokens_has_an_answer(text in texts()) {
        let _ = classified(&text);
    }

    #[test]
    fn a_statement_with_a_part_cut_or_doubled_has_an_answer(
        seed in prop::sample::select(seeds()), from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>(),
        double in any::<bool>(),
    ) {
        let characters: Vec<char> = seed.chars().collect();
        let (from, to) = (from.index(characters.len() + 1), to.index(characters.len() + 1));
        let (from, to) = (from.min(to), from.max(to));
        let middle: Vec<char> = if double { characters[from..to].repeat(2) } else { Vec::new() };
        let text: String = characters[..from].iter().chain(&middle).chain(&characters[to..]).collect();
        let _ = classified(&text);
    }

    #[test]
    fn a_change_behind_any_read_is_found(
        seed in prop::sample::select(seeds()), change in prop::sample::select(vec!["DELETE FROM zz", "SELECT nextval('z')"]),
    ) {
        let statements = classified(&format!("{seed}\n;{change}"));
        prop_assert!(statements.iter().any(|statement| statement.effect > Effect::Read));
    }
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn what_was_answered_before_does_not_change_an_answer(
        first in prop::sample::select(seeds()), second in prop::sample::select(seeds()),
    ) {
        let used = Classifier::default();
        used.classify(first);
        let text = format!("{first};{second}");
        for text in [first, second, &text] {
            let fresh = Classifier::default().classify(text);
            prop_assert_eq!(&fresh, &used.classify(text));
            prop_assert_eq!(&fresh, &used.classify(text));
        }
    }
}

#[test]
fn a_nul_character_is_refused_even_where_the_shape_of_the_text_is_known() {
    let classifier = Classifier::default();
    let text = |value: &str| {
        format!("SELECT id FROM public.orders WHERE status = '{value}' AND note = '{}'", "n".repeat(2000))
    };
    assert_eq!(classifier.classify(&text("paid"))[0].code, None);
    assert_eq!(classifier.classify(&text("open"))[0].code, None);
    assert_eq!(classifier.classify(&text("pa\0id"))[0].code, Some(Code::Opaque));
}
