//! Every case of the table: reverted byte for byte, reverted again, and back once more.

use crate::fixture::{Bench, server};
use belay_postgres::revert::{How, Strategy};
use serde_json::Value;

const CASES: &str = include_str!("cases.jsonl");

fn texts(case: &Value, field: &str) -> Vec<String> {
    let list = case[field].as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// A line for a case that does not do what it should.
async fn wrong(case: &Value, strategy: Strategy) -> Option<String> {
    let setup = texts(case, "setup");
    let mut bench = Bench::with(&setup.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let wrong = wrong_in(&mut bench, case, strategy).await;
    bench.leave().await;
    wrong
}

async fn wrong_in(bench: &mut Bench, case: &Value, strategy: Strategy) -> Option<String> {
    let write = texts(case, "write");
    let write: Vec<&str> = write.iter().map(String::as_str).collect();
    let before = bench.snapshot().await;
    let kept = bench.changed_by(&write).await;
    let after = bench.snapshot().await;
    let how = How { strategy: Some(strategy), ..How::default() };
    if let Err(error) = bench.dry_run(&kept, &how).await {
        return (bench.snapshot().await == after).then(|| format!("refused: {error}"));
    }
    if bench.snapshot().await != after {
        return Some("a dry run left a trace".to_owned());
    }
    let (back, left) = bench.revert(&kept, &how).await.unwrap();
    assert!(left.counts.is_empty());
    if bench.snapshot().await != before {
        return Some("not as it was".to_owned());
    }
    let (again, _) = match bench.revert(&back, &how).await {
        Ok(done) => done,
        Err(error) => return Some(format!("the revert cannot be reverted: {error}")),
    };
    if bench.snapshot().await != after {
        return Some("the revert of the revert is not as it was".to_owned());
    }
    bench.revert(&again, &how).await.unwrap();
    (bench.snapshot().await != before).then(|| "the third revert is not as it was".to_owned())
}

async fn all(strategy: Strategy, name: &str) -> Vec<String> {
    let major = server().await.major();
    let mut found = Vec::new();
    for line in CASES.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        if case["from"].as_u64().is_some_and(|from| u64::from(major) < from) {
            continue;
        }
        if let Some(wrong) = wrong(&case, strategy).await {
            found.push(format!("{name} {}: {wrong}", case["id"].as_str().unwrap()));
        }
    }
    found
}

#[tokio::test]
async fn every_case_comes_back_in_replica_mode() {
    assert_eq!(all(Strategy::Replica, "replica").await, Vec::<String>::new());
}

/// The names of cases that were refused; panics at any that went wrong.
fn refused(lines: &[String]) -> Vec<&str> {
    let refused = |line: &&String| assert!(line.contains(": refused: "), "{line}");
    lines.iter().inspect(refused).filter_map(|line| line.split([' ', ':']).nth(1)).collect()
}

#[tokio::test]
async fn with_triggers_disabled_all_come_back_but_swaps_of_unique_values() {
    let lines = all(Strategy::Disable, "disable").await;
    assert_eq!(refused(&lines), ["unique-swap", "identity-always-key-swap"], "{lines:#?}");
}

#[tokio::test]
async fn with_nothing_switched_off_tables_with_triggers_are_refused_too() {
    let lines = all(Strategy::Fire, "fire").await;
    let expected =
        ["pg-trigger-audit", "pg-trigger-updated-at", "pg-deferred-trigger", "unique-swap", "identity-always-key-swap"];
    assert_eq!(refused(&lines), expected, "{lines:#?}");
}
