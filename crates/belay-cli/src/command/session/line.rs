//! A record of a session as a line for people, or as it is for programs.

use crate::output::Out;
use belay_web::shape::AuditEntry;
use serde_json::Value;
use std::time::Duration;

/// Writes the record.
pub(super) fn show(entry: &AuditEntry, out: &Out) {
    if !out.is_for_people() {
        return out.stream(std::slice::from_ref(entry));
    }
    out.lines(&lines(entry));
}

/// `1.5 s`, `12 min`: a length of time in one unit.
pub(super) fn length(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{:.1} ms", time.as_secs_f64() * 1e3),
        1..60 => format!("{:.1} s", time.as_secs_f64()),
        60..3_600 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

/// A statement has its own lines, indented below its time; everything else has one.
fn lines(entry: &AuditEntry) -> Vec<String> {
    let at = entry.at.to_string();
    // `2026-11-30T03:12:00Z`: the day stands where a session begins.
    let clock = at.get(11..19).unwrap_or(&at);
    let connection = text(entry, "connection").unwrap_or_default();
    let head = format!("{clock}  {connection:<5} ");
    let told = told(entry);
    let indent = " ".repeat(head.chars().count());
    let mut parts = told.lines();
    let first = format!("{head}{}", parts.next().unwrap_or_default());
    std::iter::once(first).chain(parts.map(|part| format!("{indent}{part}"))).collect()
}

fn told(entry: &AuditEntry) -> String {
    let field = |key: &str| text(entry, key).unwrap_or_default();
    match entry.event.as_str() {
        "login" => {
            let who = entry.who.as_deref().unwrap_or_default();
            let target = entry.target.as_deref().unwrap_or_default();
            let (grant, day) = (entry.grant.as_deref().unwrap_or_default(), entry.at.to_string());
            let day = day.get(..10).unwrap_or_default();
            let (client, application) = (field("client"), field("application"));
            format!("login: {who} on {target} under {grant}, {day}, from {client} with `{application}`")
        }
        "statement" => statement(entry),
        "outcome" => format!("-> {}", outcome(entry)),
        "connection_ended" | "session_ended" => {
            format!("{}: {}", entry.event.replace('_', " "), field("reason").replace('_', " "))
        }
        event => {
            let mut line = event.replace('_', " ");
            for key in ["plan", "change", "by"] {
                if let Some(id) = text(entry, key) {
                    line = format!("{line} {id}");
                }
            }
            let tables = tables(entry);
            if tables.is_empty() { line } else { format!("{line}: {tables}") }
        }
    }
}

fn statement(entry: &AuditEntry) -> String {
    let sql = text(entry, "text").unwrap_or_default();
    let mut told = sql.trim_end().to_owned();
    if let Some(values) = entry.fields.get("values").and_then(Value::as_array) {
        let values: Vec<String> = values.iter().map(value).collect();
        if !values.is_empty() {
            told = format!("{told}\n   with {}", values.join(", "));
        }
    }
    if let Some(code) = text(entry, "denied") {
        let because = text(entry, "because").map(|because| format!(": {because}")).unwrap_or_default();
        told = format!("{told}\n-> refused [{code}]{because}");
    }
    told
}

/// A bind value as the ledger holds it.
fn value(value: &Value) -> String {
    match value {
        Value::String(word) => word.to_uppercase(),
        Value::Object(fields) => match fields.iter().next() {
            Some((kind, Value::String(text))) if kind == "text" => format!("'{text}'"),
            Some((kind, Value::String(hex))) if kind == "binary" => format!("\\x{hex}"),
            Some((_, other)) => format!("({other} bytes)"),
            None => String::new(),
        },
        other => other.to_string(),
    }
}

/// Its shape and counts: what a statement returned is not stored.
fn outcome(entry: &AuditEntry) -> String {
    let number = |key: &str| entry.fields.get(key).and_then(Value::as_u64);
    let mut parts = Vec::new();
    match number("rows") {
        Some(1) => parts.push("1 row".to_owned()),
        Some(rows) => parts.push(format!("{rows} rows")),
        None => {}
    }
    parts.extend(number("bytes").map(|bytes| format!("{bytes} bytes")));
    parts.extend(text(entry, "sqlstate").map(|state| format!("error {state}")));
    parts.extend(text(entry, "stopped").map(|code| format!("stopped [{code}]")));
    if entry.fields.get("skipped") == Some(&Value::Bool(true)) {
        parts.push("not run, because one before it failed".to_owned());
    }
    parts.extend(number("micros").map(|micros| length(Duration::from_micros(micros))));
    parts.join(", ")
}

/// `public.orders 2 updated, 1 deleted; public.items 3 inserted`
fn tables(entry: &AuditEntry) -> String {
    let Some(tables) = entry.fields.get("tables").and_then(Value::as_array) else { return String::new() };
    let of_table = |table: &Value| {
        let counts = ["inserted", "updated", "deleted"].iter().filter_map(|verb| {
            let count = table[verb].as_u64().filter(|count| *count > 0)?;
            Some(format!("{count} {verb}"))
        });
        format!("{} {}", table["table"].as_str().unwrap_or_default(), counts.collect::<Vec<_>>().join(", "))
    };
    tables.iter().map(of_table).collect::<Vec<_>>().join("; ")
}

fn text<'a>(entry: &'a AuditEntry, key: &str) -> Option<&'a str> {
    entry.fields.get(key).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(event: &Value) -> String {
        let record = json!({ "seq": 4, "at": 1_796_000_000_123_456_i64, "who": "ann", "grant": "g_3", "session": "s_7",
            "target": "orders", "connection": "n_2" });
        let mut record = record.as_object().unwrap().clone();
        record.extend(event.as_object().unwrap().clone());
        let event = serde_json::from_value(Value::Object(record)).unwrap();
        lines(&AuditEntry::new(&belay_ledger::Record { seq: 4, cut: None, erased: false, event }).unwrap()).join("\n")
    }

    #[test]
    fn a_session_reads_like_a_terminal() {
        let login = json!({ "kind": "login", "client": "127.0.0.1:5000", "application": "psql", "database": "shop",
            "backend": 7 });
        let statement = json!({ "kind": "statement", "statement": 1, "text": "SELECT *\nFROM orders WHERE id = $1",
            "values": [{ "text": "41" }, "null"], "effect": "read" });
        let outcome = json!({ "kind": "outcome", "statement": 1, "rows": 1, "bytes": 53, "micros": 812,
            "transaction": "I" });
        let refused = json!({ "kind": "statement", "statement": 2, "text": "DROP TABLE orders", "effect": "definition",
            "denied": "BLY-1001", "because": "the grant reads only" });
        let kept = json!({ "kind": "change_kept", "change": "c_4", "rows": 3, "fingerprint": "f",
            "tables": [{ "table": "public.orders", "inserted": 0, "updated": 2, "deleted": 1 }] });
        let ended = json!({ "kind": "session_ended", "reason": "client_lost" });
        let all: Vec<String> = [login, statement, outcome, refused, kept, ended].iter().map(shown).collect();
        let expected = "\
00:53:20  n_2   login: ann on orders under g_3, 2026-11-30, from 127.0.0.1:5000 with `psql`
00:53:20  n_2   SELECT *
                FROM orders WHERE id = $1
                   with '41', NULL
00:53:20  n_2   -> 1 row, 53 bytes, 0.8 ms
00:53:20  n_2   DROP TABLE orders
                -> refused [BLY-1001]: the grant reads only
00:53:20  n_2   change kept c_4: public.orders 2 updated, 1 deleted
00:53:20  n_2   session ended: client lost";
        assert_eq!(all.join("\n"), expected);
    }

    #[test]
    fn lengths_have_one_unit_that_fits() {
        for (millis, expected) in [(1, "1.0 ms"), (1_500, "1.5 s"), (720_000, "12 min"), (7_260_000, "2 h 1 min")] {
            assert_eq!(length(Duration::from_millis(millis)), expected);
        }
    }
}
