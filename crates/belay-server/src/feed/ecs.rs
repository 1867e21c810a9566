//! A record of the ledger in the field names of the Elastic Common Schema. Pure.
//!
//! What the schema has no name for stands under `belay.`, by the name that the ledger has for it. Only the names in
//! [`FIELDS`] go out: a field that is new in the ledger stays inside until somebody decided that it may leave.

use crate::config::Statements;
use belay_ledger::{Position, Record};
use belay_model::Timestamp;
use serde_json::{Map, Value, json};

/// The version of the schema.
const VERSION: &str = "8.17.0";
/// What may go out, of events and of what is inside them. Not among them: bind values (`values`) and the keys of
/// rows (`keys`).
#[rustfmt::skip]
const FIELDS: [&str; 87] = [
    "application", "approvals_needed", "backend", "because", "bounds", "break_glass", "budgets", "by", "bytes",
    "change", "changed_rows", "channel", "client", "code", "column", "connection", "connections", "cut", "database",
    "deleted", "delivered", "denied", "disabled", "duration", "effect", "effects", "ended_backends", "ends_at",
    "erased",
    "files", "fingerprint", "found", "functions", "grant", "groups", "hash", "host", "in_transaction", "indirect",
    "inserted", "key", "lock_wait", "mask", "micros", "more_keys", "note", "partial", "plan", "policies", "policy",
    "port", "predicate", "reason", "relations", "replaced_by", "replaces", "request", "resources", "reverts",
    "role", "roles", "rows", "rule", "session", "settings", "sha256", "shows", "skipped", "sqlstate", "statement",
    "statement_time", "statements_per_minute", "still_needed", "stopped", "table", "tables", "target",
    "temporary_bytes", "text", "text_bytes", "token", "transaction", "updated", "use_by", "user", "version", "what",
];

/// How an act went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Went {
    /// As it was meant to.
    Well,
    /// It was refused, or it failed.
    Badly,
    /// Nobody knows.
    Unknown,
}

impl Went {
    fn word(self) -> &'static str {
        match self {
            Went::Well => "success",
            Went::Badly => "failure",
            Went::Unknown => "unknown",
        }
    }
}

/// How much of a record goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Detail {
    /// Whether the texts of statements do.
    pub(super) statements: Statements,
    /// How much of each.
    pub(super) statement_bytes: usize,
    /// Whether anything does that has no bound of its own. Without it a record always fits.
    pub(super) all: bool,
}

/// An event in the schema's names.
pub(super) struct Mapped {
    pub(super) at: Timestamp,
    pub(super) action: String,
    pub(super) went: Went,
    /// One line for people.
    pub(super) message: String,
    /// The whole.
    pub(super) fields: Map<String, Value>,
}

/// The event of `record`, after which the ledger stood at `position`.
pub(super) fn map(record: &Record, position: Position, observer: &str, detail: Detail) -> Mapped {
    let mut rest = match serde_json::to_value(record) {
        Ok(Value::Object(fields)) => fields,
        // Records are read from JSON, so they can be written as it.
        _ => Map::new(),
    };
    for key in ["seq", "at", "kind", "who"] {
        rest.remove(key);
    }
    let (action, went) = (record.event.kind.word(), how_it_went(record.event.kind.word(), &rest));
    bound_text(action, &mut rest, detail);
    let message = message(record, &rest);
    let (category, kinds) = class(action, &rest);
    let mut event = json!({
        "kind": "event", "module": "belay", "dataset": "belay.ledger", "provider": "belay",
        "category": [category], "type": kinds, "action": action, "outcome": went.word(),
        "sequence": record.seq, "id": position.chain.to_string(),
    });
    // All of them say why: the code of a refusal, or the budget that stopped a statement.
    set(&mut event, "code", first(&rest, &["denied", "code", "stopped"]));
    set(&mut event, "reason", first(&rest, &["because", "reason"]).filter(|_| detail.all));
    set(&mut event, "duration", rest.get("micros").and_then(Value::as_u64).map(|micros| json!(micros * 1_000)));
    let mut fields = Map::new();
    fields.insert("@timestamp".to_owned(), time(record.event.at));
    fields.insert("ecs".to_owned(), json!({ "version": VERSION }));
    fields.insert("message".to_owned(), json!(message));
    fields.insert("event".to_owned(), event);
    fields.insert("observer".to_owned(), json!({ "vendor": "Belay", "product": "Belay", "hostname": observer }));
    people(record.event.who.as_deref(), &rest, &mut fields);
    places(&rest, &mut fields);
    let mut own = if detail.all { allowed(rest) } else { heads(&rest) };
    own.insert("position".to_owned(), json!(position.to_string()));
    fields.insert("belay".to_owned(), Value::Object(own));
    Mapped { at: record.event.at, action: action.to_owned(), went, message, fields }
}

fn set(object: &mut Value, key: &str, value: Option<Value>) {
    if let (Some(object), Some(value)) = (object.as_object_mut(), value) {
        object.insert(key.to_owned(), value);
    }
}

fn first(fields: &Map<String, Value>, keys: &[&str]) -> Option<Value> {
    keys.iter().find_map(|key| fields.get(*key)).filter(|value| value.is_string()).cloned()
}

fn how_it_went(action: &str, fields: &Map<String, Value>) -> Went {
    let refused = action.ends_with("_failed") || action.ends_with("_refused");
    let undone = matches!(action, "plan_differs" | "change_rolled_back");
    let failed = ["denied", "sqlstate", "stopped", "skipped"].iter().any(|key| fields.contains_key(*key));
    let untold = fields.get("delivered") == Some(&Value::Bool(false));
    match action {
        "change_unknown" => Went::Unknown,
        _ if refused || undone || failed || untold => Went::Badly,
        _ => Went::Well,
    }
}

/// The category and the types that the schema allows in it.
fn class(action: &str, fields: &Map<String, Value>) -> (&'static str, &'static [&'static str]) {
    match action {
        "server_started" => ("process", &["start"]),
        "server_stopped" => ("process", &["end"]),
        "recovered" | "notified" => ("process", &["info"]),
        "user_added" => ("iam", &["user", "creation"]),
        "user_changed" | "password_changed" => ("iam", &["user", "change"]),
        "login" | "login_failed" | "api_login" | "api_login_failed" => ("authentication", &["start"]),
        "api_token_revoked" | "grant_ended" | "role_dropped" => ("iam", &["admin", "deletion"]),
        "grant_made" | "role_made" => ("iam", &["admin", "creation"]),
        "grant_extended" | "grant_narrowed" => ("iam", &["admin", "change"]),
        "target_added" | "rule_added" | "mask_added" => ("configuration", &["creation"]),
        "target_removed" | "rule_removed" | "mask_removed" => ("configuration", &["deletion"]),
        "policy_changed" | "configuration_changed" | "table_armed" | "table_disarmed" => ("configuration", &["change"]),
        _ if action.starts_with("ledger_") => ("configuration", &["change"]),
        "connection_ended" | "session_ended" => ("session", &["end"]),
        "plan_applied" | "change_kept" | "change_committed" | "change_reverted" => ("database", &["change"]),
        "statement" => match fields.get("effect").and_then(Value::as_str) {
            Some("read") => ("database", &["access"]),
            Some("write" | "definition" | "privilege") => ("database", &["change"]),
            _ => ("database", &["info"]),
        },
        "outcome" if fields.contains_key("sqlstate") => ("database", &["error"]),
        _ if action.starts_with("plan_") || action.starts_with("change_") => ("database", &["info"]),
        "outcome" => ("database", &["info"]),
        _ => ("iam", &["admin", "info"]),
    }
}

/// Leaves out or cuts the text of a statement.
fn bound_text(action: &str, fields: &mut Map<String, Value>, detail: Detail) {
    if action != "statement" {
        return;
    }
    let Some(Value::String(mut text)) = fields.remove("text") else { return };
    if detail.statements == Statements::None {
        // It may quote the text.
        fields.remove("because");
        return;
    }
    let length = text.len();
    text.truncate(text.floor_char_boundary(detail.statement_bytes));
    if text.len() < length {
        fields.insert("text_bytes".to_owned(), json!(length));
    }
    fields.insert("text".to_owned(), json!(text));
}

/// `statement by alice on orders: BLY-1001`
fn message(record: &Record, fields: &Map<String, Value>) -> String {
    let mut text = record.event.kind.word().replace('_', " ");
    if let Some(who) = record.event.who.as_deref().or_else(|| fields.get("user").and_then(Value::as_str)) {
        text.push_str(" by ");
        text.push_str(who);
    }
    if let Some(target) = &record.event.target {
        text.push_str(" on ");
        text.push_str(target);
    }
    let code = first(fields, &["denied", "code", "stopped", "sqlstate"]);
    if let Some(code) = code.as_ref().and_then(Value::as_str) {
        text.push_str(": ");
        text.push_str(code);
    }
    text
}

/// Who did it, and to whom. Whom a login that failed would have been is its user.
fn people(who: Option<&str>, fields: &Map<String, Value>, out: &mut Map<String, Value>) {
    let named = fields.get("user").and_then(Value::as_str);
    let user = match (who, named) {
        (Some(who), Some(named)) if who != named => json!({ "name": who, "target": { "name": named } }),
        (Some(name), _) | (None, Some(name)) => json!({ "name": name }),
        (None, None) => return,
    };
    out.insert("user".to_owned(), user);
}

/// Where a client was, and where a target is.
fn places(fields: &Map<String, Value>, out: &mut Map<String, Value>) {
    if let Some(client) = fields.get("client").and_then(Value::as_str) {
        let source = match client.parse::<std::net::SocketAddr>() {
            Ok(address) => json!({ "address": client, "ip": address.ip().to_string(), "port": address.port() }),
            Err(_) => json!({ "address": client }),
        };
        out.insert("source".to_owned(), source);
    }
    if let (Some(host), Some(port)) = (fields.get("host"), fields.get("port")) {
        out.insert("destination".to_owned(), json!({ "address": host, "port": port }));
    }
}

/// What may go out, at every depth, with times as people read them.
fn allowed(fields: Map<String, Value>) -> Map<String, Value> {
    let kept = fields.into_iter().filter(|(key, _)| FIELDS.contains(&key.as_str()));
    kept.map(|(key, value)| {
        let value = match value {
            Value::Object(inner) => Value::Object(allowed(inner)),
            Value::Array(items) => items.into_iter().map(inside).collect(),
            Value::Number(number) if key == "use_by" || key.ends_with("_at") => {
                number.as_i64().map_or(Value::Null, |micros| time(Timestamp(micros)))
            }
            other => other,
        };
        (key, value)
    })
    .collect()
}

fn inside(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(allowed(fields)),
        Value::Array(items) => items.into_iter().map(inside).collect(),
        other => other,
    }
}

/// Ids, counts and codes, whose length is bounded; and that there was more.
fn heads(fields: &Map<String, Value>) -> Map<String, Value> {
    const SHORT: usize = 128;
    let is_short = |value: &Value| match value {
        Value::String(text) => text.len() <= SHORT,
        Value::Array(_) | Value::Object(_) => false,
        _ => true,
    };
    let kept = fields.iter().filter(|(key, value)| *key != "text" && is_short(value));
    let mut kept = allowed(kept.map(|(key, value)| (key.clone(), value.clone())).collect());
    kept.insert("shortened".to_owned(), Value::Bool(true));
    kept
}

fn time(at: Timestamp) -> Value {
    let past = if at.0 < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    json!(format!("{:.6}", jiff::Timestamp::from_microsecond(at.0).unwrap_or(past)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use belay_model::{BindValue, ChangeId, ChangedTable, Code, Effect, Event, EventKind, GrantId, Outcome, SessionId};

    const ALL: Detail = Detail { statements: Statements::Text, statement_bytes: 1_000, all: true };
    const AT: Timestamp = Timestamp(1_796_000_000_123_456);

    fn mapped(event: Event, detail: Detail) -> Value {
        let position = Position { size: 42, chain: belay_ledger::leaf(b"") };
        Value::Object(map(&Record { seq: 41, cut: None, erased: false, event }, position, "gate1", detail).fields)
    }

    fn statement(text: &str, denied: Option<Code>) -> Event {
        let kind = EventKind::Statement {
            statement: 3,
            text: text.into(),
            values: Some(vec![BindValue::Text("4111-1111".to_owned())]),
            effect: Effect::Write,
            because: denied.map(|_| "the grant reads only".to_owned()),
            denied,
            relations: ["public.orders".to_owned()].into_iter().collect(),
        };
        let event = Event::new(AT, kind).by("alice").on("orders").under(GrantId(3));
        Event { session: Some(SessionId(7)), ..event }
    }

    #[test]
    fn a_refused_statement_is_who_did_what_where_and_why_not() {
        let event = mapped(statement("UPDATE orders SET card = $1", Some(Code::WriteInReadOnly)), ALL);
        let id = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
        let expected = json!({
            "@timestamp": "2026-11-30T00:53:20.123456Z",
            "ecs": { "version": VERSION },
            "message": "statement by alice on orders: BLY-1001",
            "event": {
                "kind": "event", "module": "belay", "dataset": "belay.ledger", "provider": "belay",
                "category": ["database"], "type": ["change"], "action": "statement", "outcome": "failure",
                "sequence": 41, "id": id, "code": "BLY-1001", "reason": "the grant reads only",
            },
            "observer": { "vendor": "Belay", "product": "Belay", "hostname": "gate1" },
            "user": { "name": "alice" },
            "belay": {
                "target": "orders", "grant": "g_3", "session": "s_7", "statement": 3,
                "text": "UPDATE orders SET card = $1", "effect": "write", "denied": "BLY-1001",
                "because": "the grant reads only", "relations": ["public.orders"], "position": format!("42:{id}"),
            },
        });
        assert_eq!(event, expected);
    }

    #[test]
    fn values_and_keys_of_rows_never_leave() {
        assert!(!mapped(statement("UPDATE x", None), ALL).to_string().contains("4111"));
        let table = json!({ "table": "public.orders", "inserted": 0, "updated": 1, "deleted": 0, "keys": ["ann@x"] });
        let table: ChangedTable = serde_json::from_value(table).unwrap();
        let kind = EventKind::ChangeKept {
            change: ChangeId(1),
            plan: None,
            tables: vec![table],
            rows: 1,
            fingerprint: "f".to_owned(),
            transaction: None,
            reverts: Vec::new(),
            partial: false,
        };
        let event = mapped(Event::new(AT, kind), ALL);
        assert_eq!(event["belay"]["tables"][0]["updated"], 1);
        assert!(!event.to_string().contains("ann@x"), "{event}");
    }

    #[test]
    fn texts_are_left_out_or_cut_where_that_is_asked_for() {
        let refused = statement("SELECT 'secret'", Some(Code::WriteInReadOnly));
        let none = mapped(refused, Detail { statements: Statements::None, ..ALL });
        assert!(!none.to_string().contains("secret") && !none.to_string().contains("reads only"));
        assert_eq!(none["event"]["code"], "BLY-1001");
        let cut = mapped(statement("SELECT 'äö'", None), Detail { statement_bytes: 9, ..ALL });
        assert_eq!((&cut["belay"]["text"], &cut["belay"]["text_bytes"]), (&json!("SELECT '"), &json!(13)));
        let long = "x".repeat(100_000);
        let bare = mapped(statement(&long, Some(Code::WriteInReadOnly)), Detail { all: false, ..ALL });
        assert!(bare.to_string().len() < 2_000);
        assert_eq!((&bare["belay"]["shortened"], &bare["event"]["code"]), (&json!(true), &json!("BLY-1001")));
    }

    #[test]
    fn clients_targets_durations_and_people_stand_where_the_schema_wants_them() {
        let failed = json!({ "at": 5, "kind": "login_failed", "client": "[::1]:5000", "user": "mallory",
            "database": "orders", "code": "BLY-1051" });
        let failed = mapped(serde_json::from_value(failed).unwrap(), ALL);
        assert_eq!(failed["source"], json!({ "address": "[::1]:5000", "ip": "::1", "port": 5000 }));
        assert_eq!((&failed["user"]["name"], &failed["event"]["outcome"]), (&json!("mallory"), &json!("failure")));
        let added = json!({ "at": 5, "who": "admin", "kind": "user_added", "user": "ann", "roles": [], "groups": [] });
        let added = mapped(serde_json::from_value(added).unwrap(), ALL);
        assert_eq!(added["user"], json!({ "name": "admin", "target": { "name": "ann" } }));
        let outcome = Outcome { rows: Some(1), bytes: None, sqlstate: None, stopped: None, skipped: false, micros: 7 };
        let kind = EventKind::Outcome { statement: 3, outcome, transaction: belay_model::TransactionStatus::Idle };
        assert_eq!(mapped(Event::new(AT, kind), ALL)["event"]["duration"], 7_000);
        let made = json!({ "at": 5, "kind": "grant_made", "request": "r_2", "ends_at": 60_000_000, "use_by": 5 });
        let made = mapped(serde_json::from_value(made).unwrap(), ALL);
        assert_eq!(made["belay"]["ends_at"], "1970-01-01T00:01:00.000000Z");
    }
}
