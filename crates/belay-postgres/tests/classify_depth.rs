//! Deep and long texts, each in a process of its own: a stack that overflows takes the whole process with it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use belay_model::{Code, Effect, Statement};
use belay_postgres::classify::{Classifier, Limits};
use std::process::Command;
use std::sync::Arc;

const CASE: &str = "BELAY_DEPTH_CASE";

/// What nests, as beginning, repeated opening, middle, repeated closing.
const KINDS: [(&str, [&str; 4]); 26] = [
    ("plus", ["SELECT 1", "+1", "", ""]),
    ("and", ["SELECT true", " AND true", "", ""]),
    ("and or", ["SELECT true", " AND true OR f", "", ""]),
    ("not", ["SELECT ", "NOT ", "true", ""]),
    ("minus", ["SELECT ", "- ", "x", ""]),
    ("cast", ["SELECT 1", "::int", "", ""]),
    ("null", ["SELECT 1", " IS NULL", "", ""]),
    ("collate", ["SELECT 1", " COLLATE c", "", ""]),
    ("zone", ["SELECT now()", " AT TIME ZONE 'x'", "", ""]),
    ("brackets", ["SELECT ", "(", "1", ")"]),
    ("sub-select", ["SELECT ", "(SELECT ", "1", ")"]),
    ("from", ["SELECT * FROM ", "(SELECT * FROM ", "t", ") x"]),
    ("exists", ["SELECT ", "EXISTS (SELECT ", "1", ")"]),
    ("in", ["SELECT ", "1 IN (SELECT ", "1", ")"]),
    ("with", ["", "WITH a AS (", "SELECT 1", ") SELECT 1"]),
    ("values", ["SELECT ", "((VALUES (", "1", ")))"]),
    ("function", ["SELECT ", "lower(", "x", ")"]),
    ("named", ["SELECT ", "lower(a => true AND ", "x", ")"]),
    ("ordered", ["SELECT ", "max(a ORDER BY b AND ", "x", ")"]),
    ("window", ["SELECT ", "max(a) OVER (ORDER BY b AND ", "x", ")"]),
    ("source", ["SELECT * FROM t WHERE x = ", "(SELECT 1 FROM unnest(a => true AND ", "x", "))"]),
    ("array", ["SELECT ", "ARRAY[", "1", "]"]),
    ("index", ["SELECT ", "a[", "1", "]"]),
    ("case", ["SELECT ", "CASE WHEN true THEN ", "1", " END"]),
    ("join", ["SELECT 1 FROM a", " JOIN a ON true", "", ""]),
    ("union", ["SELECT 1", " UNION SELECT 1", "", ""]),
];

fn text(kind: &str, times: usize) -> String {
    let (_, [before, opening, middle, closing]) = KINDS.iter().find(|(name, _)| *name == kind).unwrap();
    format!("{before}{}{middle}{}", opening.repeat(times), closing.repeat(times))
}

/// What the classifier says of this text in a process of its own, as effect and code.
fn in_a_process(kind: &str, times: &str) -> Vec<String> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "classified_in_this_process", "--nocapture", "--ignored"])
        .env(CASE, format!("{kind}:{times}"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{kind} {times}: {}\n{output:?}", output.status);
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.strip_prefix("verdict ").map(str::to_owned)).collect()
}

/// Not a test by itself: the other tests run it in processes of their own.
#[test]
#[ignore = "run by the other tests"]
fn classified_in_this_process() {
    let case = std::env::var(CASE).unwrap();
    let (kind, times) = case.split_once(':').unwrap();
    // A text over the usual bound too, so that the nesting has to refuse it.
    let classifier = Classifier::new(Limits { text: 64 << 20, ..Limits::default() }, None);
    let sizes: Vec<usize> = match times.split_once('-') {
        Some((from, to)) => (from.parse().unwrap()..=to.parse().unwrap()).collect(),
        None => vec![times.parse().unwrap()],
    };
    for size in sizes {
        let statements = classifier.classify(&text(kind, size));
        println!("\nverdict {}", described(&statements));
    }
}

fn described(statements: &Arc<[Statement]>) -> String {
    let [statement] = statements.as_ref() else { panic!("{statements:?}") };
    match (statement.effect, statement.code) {
        (Effect::Read, None) => "read".to_owned(),
        (Effect::Opaque, Some(Code::TooLarge)) => "too large".to_owned(),
        (effect, code) => format!("{effect:?} {code:?} {:?}", statement.because),
    }
}

#[test]
fn a_chain_of_a_thousand_terms_and_sixty_sub_selects_are_reads() {
    for (kind, times) in [
        ("plus", "1000"),
        ("and", "20000"),
        ("union", "1000"),
        ("sub-select", "60"),
        ("from", "60"),
        ("in", "60"),
        ("case", "60"),
        ("function", "300"),
        ("join", "300"),
        ("brackets", "300"),
    ] {
        assert_eq!(in_a_process(kind, times), ["read"], "{kind} {times}");
    }
}

#[test]
fn a_million_levels_are_refused_without_harm() {
    for (kind, _) in KINDS {
        // The long chains in full; a fifth is far beyond every bound for the rest, and quicker.
        let times = if ["plus", "sub-select", "union"].contains(&kind) { "1000000" } else { "200000" };
        let said = in_a_process(kind, times);
        assert!(said == ["too large"] || (said == ["read"] && kind.starts_with("and")), "{kind}: {said:?}");
    }
}

#[test]
fn every_depth_around_the_bounds_is_read_or_refused_without_harm() {
    for (kind, _) in KINDS {
        for times in ["1-80", "500", "900", "1300", "1990", "3900", "3990", "4100"] {
            for said in in_a_process(kind, times) {
                assert!(said == "read" || said == "too large", "{kind} {times}: {said}");
            }
        }
    }
}
