//! Every text that a case of the corpus sends, in Query and Parse messages.

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A text, and the case that sends it, with its place among the case's texts.
pub(crate) struct Text {
    pub(crate) case: String,
    pub(crate) sql: String,
}

/// The texts of the project's own files, and of the captured benign traffic where that is found. None comes twice, and
/// none holds what no server takes: a NUL, or an empty text.
pub(crate) fn texts() -> Vec<Text> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/corpus");
    let shared = std::env::var_os("BELAY_CORPUS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus"), PathBuf::from);
    let mut files = vec![own.join("attacks.jsonl"), own.join("robustness.jsonl")];
    let benign = shared.join("benign.jsonl");
    if benign.is_file() {
        files.push(benign);
    } else {
        println!("no benign.jsonl beside the project or in BELAY_CORPUS: its texts are not compared");
    }
    let mut seen = BTreeSet::new();
    let cases = files.iter().flat_map(|path| cases(path)).filter(|case| case["engine"] == "postgresql");
    cases
        .flat_map(|case| {
            let id = case["id"].as_str().expect("an id").to_owned();
            let texts = case["statements"].as_array().expect("statements").iter().flat_map(texts_of);
            texts.enumerate().map(|(at, sql)| Text { case: format!("{id}#{at}"), sql }).collect::<Vec<_>>()
        })
        .filter(|text| !text.sql.contains('\0') && seen.insert(text.sql.clone()))
        .collect()
}

fn cases(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn texts_of(statement: &Value) -> Vec<String> {
    let field = |name: &str| statement.get(name).and_then(Value::as_str);
    match statement {
        Value::String(text) if is_hex(text) => messages(&bytes(text)),
        Value::String(text) => vec![expanded(text)],
        // What goes another way than through the gateway is no text of the client's.
        Value::Object(fields) if fields.contains_key("on") => Vec::new(),
        Value::Object(_) => match (field("sql"), field("hex"), field("query_hex")) {
            (Some(sql), _, _) => vec![expanded(sql)],
            (_, Some(hex), _) => messages(&bytes(hex)),
            (_, _, Some(hex)) => String::from_utf8(bytes(hex)).into_iter().collect(),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

fn is_hex(text: &str) -> bool {
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
        let mut parts = body.split(|byte| *byte == 0);
        let text = match kind {
            b'Q' => parts.next(),
            b'P' => parts.nth(1),
            _ => None,
        };
        found.extend(text.and_then(|text| String::from_utf8(text.to_vec()).ok()));
        bytes = &rest[body.len()..];
    }
    found
}

/// `{{rep:TEXT:N}}` repeated, every other `{{name}}` as a number: it stands where a value or a part of a name does.
fn expanded(text: &str) -> String {
    let mut rest = text;
    let mut out = String::new();
    while let Some((before, after)) = rest.split_once("{{") {
        let (inside, after) = after.split_once("}}").unwrap_or((after, ""));
        out.push_str(before);
        match inside.strip_prefix("rep:").and_then(|inside| inside.rsplit_once(':')) {
            Some((what, times)) => out.push_str(&what.repeat(times.parse().expect("a number"))),
            None if inside == "db" => out.push_str("gwcorpus"),
            None if inside == "toast" => out.push_str("pg_toast.pg_toast_16384"),
            None if inside == "admin" => out.push_str("postgres"),
            None => out.push_str("12345"),
        }
        rest = after;
    }
    out + rest
}
