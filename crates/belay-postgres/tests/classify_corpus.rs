//! The corpus of attacks and of benign traffic, by the text of its statements alone.
//!
//! No database and no role stand behind the classifier here: what only the target's catalog or the role can stop is
//! counted as passed. The end-to-end tests run the same files against real servers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use belay_model::{Effects, Grant, GrantId, GrantState, RequestId, Statement, Timestamp};
use belay_policy::{Decision, decide};
use belay_postgres::classify::Classifier;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Of the attacks, so many at the least are refused by their text. The rest hide what they do in the catalog, in the
/// protocol, or in columns.
const ATTACKS_REFUSED: usize = 320;

/// Benign cases that name functions of the target, which its catalog will tell of.
const NEED_THE_CATALOG: [&str; 3] = ["app.fmt_money", "app.order_total", "app.get_name"];

fn grant(resources: &[&str]) -> Grant {
    Grant {
        id: GrantId(1),
        request: RequestId(1),
        principal: "alice".parse().unwrap(),
        target: "gwcorpus".parse().unwrap(),
        resources: resources.iter().map(|text| text.parse().unwrap()).collect(),
        effects: Effects::READ,
        bounds: belay_model::Bounds::default(),
        masks: Vec::new(),
        state: GrantState::Active,
        granted_at: Timestamp(0),
        use_by: Timestamp(i64::MAX),
        ends_at: Timestamp(i64::MAX),
        extendable: false,
        record_values: true,
        break_glass: false,
        reviewed_by: None,
    }
}

/// The grant that `policy.json` describes.
fn grant_of_the_policy() -> Grant {
    let policy: Value = serde_json::from_str(&std::fs::read_to_string(own("policy.json")).unwrap()).unwrap();
    let readable = policy["postgresql"]["readable"].as_array().unwrap();
    grant(&readable.iter().map(|name| name.as_str().unwrap()).collect::<Vec<_>>())
}

/// The texts a case sends, in order: of messages, also of those that are given as bytes.
fn texts(case: &Value) -> Vec<String> {
    case["statements"].as_array().unwrap().iter().flat_map(texts_of).collect()
}

fn texts_of(statement: &Value) -> Vec<String> {
    match statement {
        Value::String(text) if is_raw(text) => messages(&bytes(text)),
        Value::String(text) => vec![expanded(text)],
        Value::Object(fields) => {
            if fields.get("on").is_some() {
                return Vec::new();
            }
            if let Some(hex) = fields.get("hex").and_then(Value::as_str) {
                return messages(&bytes(hex));
            }
            if let Some(hex) = fields.get("query_hex").and_then(Value::as_str) {
                return String::from_utf8(bytes(hex)).into_iter().collect();
            }
            fields.get("sql").and_then(Value::as_str).map(expanded).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn is_raw(text: &str) -> bool {
    text.len() > 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes().chunks(2).filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// The texts in Query and Parse messages.
fn messages(mut bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    while let [kind, a, b, c, d, rest @ ..] = bytes {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let Some(body) = length.checked_sub(4).and_then(|length| rest.get(..length)) else { break };
        let skipped = if *kind == b'P' { body.iter().position(|byte| *byte == 0).map_or(0, |end| end + 1) } else { 0 };
        if matches!(kind, b'Q' | b'P') {
            let text = &body[skipped..];
            let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
            found.extend(String::from_utf8(text[..end].to_vec()));
        }
        bytes = &rest[body.len()..];
    }
    found
}

/// `{{rep:TEXT:N}}` repeated, every other `{{name}}` as a number, which is also a file's name.
fn expanded(text: &str) -> String {
    let mut rest = text;
    let mut out = String::new();
    while let Some((before, after)) = rest.split_once("{{") {
        let (inside, after) = after.split_once("}}").unwrap_or((after, ""));
        out.push_str(before);
        match inside.strip_prefix("rep:").and_then(|inside| inside.rsplit_once(':')) {
            Some((what, times)) => out.push_str(&what.repeat(times.parse().unwrap())),
            None if inside == "db" => out.push_str("gwcorpus"),
            None if inside == "toast" => out.push_str("pg_toast.pg_toast_16384"),
            None if inside == "admin" => out.push_str("postgres"),
            None => out.push_str("12345"),
        }
        rest = after;
    }
    out + rest
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|case: &Value| case["engine"] == "postgresql")
        .collect()
}

fn own(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/corpus").join(name)
}

/// Where the files lie that are not the project's own: a folder named by the environment, or one beside the project.
fn shared(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("BELAY_CORPUS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus"), PathBuf::from);
    Some(folder.join(name)).filter(|path| path.is_file())
}

/// With the schemas that a catalog would give to names that have none.
fn settled(statements: &[Statement]) -> Arc<[Statement]> {
    let mut statements = statements.to_vec();
    for relation in statements.iter_mut().flat_map(|statement| &mut statement.relations) {
        let schema = if relation.name.starts_with("pg_") { "pg_catalog" } else { "app" };
        relation.schema.get_or_insert_with(|| schema.to_owned());
    }
    statements.into()
}

/// The first denial among a case's texts.
fn denial(classifier: &Classifier, grant: &Grant, case: &Value) -> Option<(String, Arc<[Statement]>, String)> {
    texts(case).into_iter().find_map(|text| {
        let statements = settled(&classifier.classify(&text));
        match decide(grant, &statements, Timestamp(1)) {
            Decision::Permit(_) => None,
            Decision::Deny(denial) => Some((text, statements, denial.message)),
        }
    })
}

#[test]
fn most_attacks_are_refused_by_their_text() {
    let (classifier, grant) = (Classifier::default(), grant_of_the_policy());
    let mut classes: BTreeMap<String, (usize, Vec<String>)> = BTreeMap::new();
    for case in lines(&own("attacks.jsonl")) {
        let class = classes.entry(case["class"].as_str().unwrap().to_owned()).or_default();
        match denial(&classifier, &grant, &case) {
            Some(_) => class.0 += 1,
            None => class.1.push(case["id"].as_str().unwrap().to_owned()),
        }
    }
    let refused: usize = classes.values().map(|(refused, _)| refused).sum();
    let passed: usize = classes.values().map(|(_, passed)| passed.len()).sum();
    for (class, (refused, passed)) in &classes {
        println!("{class}: {refused} refused, {} left to the other layers {}", passed.len(), passed.join(" "));
    }
    println!("{refused} of {} attacks refused by their text alone", refused + passed);
    assert!(refused >= ATTACKS_REFUSED, "only {refused} refused");
}

#[test]
fn no_benign_traffic_is_refused_but_what_needs_the_catalog() {
    let Some(path) = shared("benign.jsonl") else {
        println!("no benign.jsonl beside the project or in BELAY_CORPUS: benign traffic not checked");
        return;
    };
    let (classifier, grant) = (Classifier::default(), grant_of_the_policy());
    let (mut count, mut wrong, mut later) = (0, Vec::new(), Vec::new());
    for case in lines(&path) {
        count += 1;
        if let Some((text, _, why)) = denial(&classifier, &grant, &case) {
            let line = format!("{}: {why}: {text:.200}", case["id"].as_str().unwrap());
            let known = NEED_THE_CATALOG.iter().any(|name| text.contains(name));
            if known { later.push(line) } else { wrong.push(line) }
        }
    }
    println!("{count} benign cases, {} refused, {} need the catalog", wrong.len(), later.len());
    for line in &later {
        println!("needs the catalog: {line}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
