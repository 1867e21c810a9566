//! What statements do, as a table anyone can read: `classify_table.txt`.
//!
//! A line that is not indented is a message's text; the lines under it are its statements: effect, verb, code, the
//! relations, the reason. `BELAY_BLESS=1` writes the file anew from its texts.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use belay_model::Statement;
use belay_postgres::classify::Classifier;
use std::fmt::Write;
use std::path::Path;

#[test]
fn statements_do_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/classify_table.txt");
    let table = std::fs::read_to_string(&path).unwrap();
    let classifier = Classifier::default();
    let mut now = String::new();
    for line in table.lines().filter(|line| !line.starts_with(' ')) {
        writeln!(now, "{line}").unwrap();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        for statement in classifier.classify(line).iter() {
            writeln!(now, "  {}", described(statement)).unwrap();
        }
    }
    if std::env::var_os("BELAY_BLESS").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let different = table.lines().zip(now.lines()).find(|(then, now)| then != now);
    assert!(table == now, "first difference, before and now: {different:?}");
}

fn described(statement: &Statement) -> String {
    let mut text = format!("{} {}", statement.effect.word(), statement.verb);
    if !statement.relations.is_empty() {
        let names: Vec<String> = statement.relations.iter().map(ToString::to_string).collect();
        write!(text, " on {}", names.join(", ")).unwrap();
    }
    if let Some(code) = statement.code {
        write!(text, " [{code}]").unwrap();
    }
    if let Some(because) = &statement.because {
        write!(text, ": {because}").unwrap();
    }
    text
}
