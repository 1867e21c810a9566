//! A record as one line of a table with fixed columns.

use belay_web::shape::AuditEntry;
use serde_json::{Value, json};

/// The columns. `fields` holds the rest as JSON.
pub(super) const COLUMNS: [&str; 12] =
    ["seq", "at", "event", "who", "target", "grant", "session", "connection", "effect", "denied", "text", "fields"];

pub(super) struct Line {
    pub(super) seq: u64,
    /// Microseconds since 1970.
    pub(super) micros: i64,
    at: String,
    pub(super) event: String,
    /// From `who` to `text`.
    pub(super) optional: [Option<String>; 8],
    pub(super) fields: String,
}

impl Line {
    pub(super) fn of(entry: &AuditEntry) -> Line {
        let mut fields = entry.fields.clone();
        let mut text = |key: &str| match fields.get(key) {
            Some(Value::String(_)) => fields.remove(key).and_then(|value| value.as_str().map(str::to_owned)),
            _ => None,
        };
        let (connection, effect, denied, said) = (text("connection"), text("effect"), text("denied"), text("text"));
        let [who, target, grant, session] = [&entry.who, &entry.target, &entry.grant, &entry.session].map(Clone::clone);
        Line {
            seq: entry.seq,
            micros: entry.at.timestamp().0,
            // With its microseconds, which a table for people leaves out.
            at: json!(entry.at).as_str().unwrap_or_default().to_owned(),
            event: entry.event.clone(),
            optional: [who, target, grant, session, connection, effect, denied, said],
            fields: Value::Object(fields).to_string(),
        }
    }

    /// As text, one a column.
    pub(super) fn cells(self) -> Vec<String> {
        let optional = self.optional.into_iter().map(Option::unwrap_or_default);
        [self.seq.to_string(), self.at, self.event].into_iter().chain(optional).chain([self.fields]).collect()
    }
}
