//! A record as the bytes that a receiver understands. Pure.

use super::ecs::{self, Detail, Mapped, Went};
use crate::config::Statements;
use belay_ledger::{Position, Record};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::sync::Arc;

/// Facility 13 of RFC 5424: log audit.
const FACILITY: u8 = 13;
/// The longest MSGID of RFC 5424.
const MAX_MSGID: usize = 32;

/// How one output wants its records.
#[derive(Debug, Clone)]
pub(super) struct Encoding {
    pub(super) format: Format,
    pub(super) statements: Statements,
    pub(super) statement_bytes: usize,
    /// No record is longer than this, whatever is in it.
    pub(super) max_bytes: usize,
    /// The name of this gateway's machine.
    pub(super) observer: Arc<str>,
}

/// What the bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// One JSON object, without a newline.
    Json,
    /// One message of RFC 5424.
    Syslog,
    /// One log record of OTLP, as JSON.
    Otlp,
}

impl Encoding {
    /// The bytes of `record`, after which the ledger stood at `position`.
    pub(super) fn encode(&self, record: &Record, position: Position) -> Vec<u8> {
        let all = Detail { statements: self.statements, statement_bytes: self.statement_bytes, all: true };
        let textless = Detail { statements: Statements::None, ..all };
        let encoded = self.with(record, position, all);
        if encoded.len() <= self.max_bytes {
            return encoded;
        }
        let encoded = self.with(record, position, textless);
        if encoded.len() <= self.max_bytes {
            return encoded;
        }
        self.with(record, position, Detail { all: false, ..textless })
    }

    fn with(&self, record: &Record, position: Position, detail: Detail) -> Vec<u8> {
        let mapped = ecs::map(record, position, &self.observer, detail);
        match self.format {
            Format::Json => Value::Object(mapped.fields).to_string().into_bytes(),
            Format::Syslog => syslog(mapped, &self.observer),
            Format::Otlp => log_record(mapped).to_string().into_bytes(),
        }
    }
}

/// RFC 5424, section 6. The JSON is written in ASCII, so that no byte order mark is needed.
fn syslog(mapped: Mapped, observer: &str) -> Vec<u8> {
    let severity = match mapped.went {
        Went::Well => 6,
        Went::Unknown => 5,
        Went::Badly => 4,
    };
    let at = mapped.fields.get("@timestamp").and_then(Value::as_str).unwrap_or("-");
    let mut action: String = mapped.action.chars().filter(char::is_ascii_graphic).collect();
    action.truncate(MAX_MSGID);
    let mut message = format!("<{}>1 {at} {observer} belay - {action} - ", FACILITY * 8 + severity);
    let json = Value::Object(mapped.fields).to_string();
    for c in json.chars() {
        if c.is_ascii() {
            message.push(c);
            continue;
        }
        // Only inside of strings, where an escape means the same.
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(message, "\\u{unit:04x}");
        }
    }
    message.into_bytes()
}

/// A `LogRecord` of OTLP's JSON encoding: 64-bit numbers are strings there.
fn log_record(mapped: Mapped) -> Value {
    let (number, text) = match mapped.went {
        Went::Well => (9, "INFO"),
        Went::Unknown => (10, "INFO2"),
        Went::Badly => (13, "WARN"),
    };
    let nanos = (i128::from(mapped.at.0) * 1_000).to_string();
    let mut attributes = Vec::new();
    let mut fields = mapped.fields;
    for shown_elsewhere in ["@timestamp", "message"] {
        fields.remove(shown_elsewhere);
    }
    flatten("", fields, &mut attributes);
    json!({
        "timeUnixNano": nanos, "observedTimeUnixNano": nanos,
        "severityNumber": number, "severityText": text, "eventName": format!("belay.{}", mapped.action),
        "body": { "stringValue": mapped.message }, "attributes": attributes,
    })
}

/// `{"event":{"action":"x"}}` becomes `event.action`.
fn flatten(prefix: &str, fields: Map<String, Value>, out: &mut Vec<Value>) {
    for (key, value) in fields {
        match value {
            Value::Object(inner) => flatten(&format!("{prefix}{key}."), inner, out),
            value => out.push(json!({ "key": format!("{prefix}{key}"), "value": any_value(value) })),
        }
    }
}

fn any_value(value: Value) -> Value {
    match value {
        Value::Null => json!({}),
        Value::Bool(flag) => json!({ "boolValue": flag }),
        Value::Number(number) if number.is_f64() => json!({ "doubleValue": number }),
        Value::Number(number) => json!({ "intValue": number.to_string() }),
        Value::String(text) => json!({ "stringValue": text }),
        Value::Array(items) => {
            json!({ "arrayValue": { "values": items.into_iter().map(any_value).collect::<Vec<_>>() } })
        }
        Value::Object(fields) => {
            let values: Vec<Value> =
                fields.into_iter().map(|(key, value)| json!({ "key": key, "value": any_value(value) })).collect();
            json!({ "kvlistValue": { "values": values } })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use belay_model::{Code, Effect, Event, EventKind, Timestamp};

    fn encode(format: Format, text: &str, max_bytes: usize) -> String {
        let encoding = Encoding {
            format,
            statements: Statements::Text,
            statement_bytes: 100_000,
            max_bytes,
            observer: "gate1".into(),
        };
        let kind = EventKind::Statement {
            statement: 1,
            text: text.into(),
            values: None,
            effect: Effect::Read,
            denied: Some(Code::WriteInReadOnly),
            because: None,
            relations: ["public.orders".to_owned()].into_iter().collect(),
        };
        let event = Event::new(Timestamp(1_796_000_000_123_456), kind).by("alice");
        let position = Position { size: 42, chain: belay_ledger::leaf(b"") };
        String::from_utf8(encoding.encode(&Record { seq: 41, cut: None, erased: false, event }, position)).unwrap()
    }

    #[test]
    fn a_syslog_message_is_ascii_and_its_json_means_the_same() {
        let message = encode(Format::Syslog, "SELECT 'ä😀\n'", 10_000);
        let (head, json) = message.split_once(" - {").unwrap();
        assert_eq!(head, "<108>1 2026-11-30T00:53:20.123456Z gate1 belay - statement");
        assert!(message.is_ascii() && !message.contains('\n'));
        let json: Value = serde_json::from_str(&format!("{{{json}")).unwrap();
        assert_eq!(json["belay"]["text"], "SELECT 'ä😀\n'");
    }

    #[test]
    fn an_otlp_record_has_its_fields_as_flat_attributes() {
        let record: Value = serde_json::from_str(&encode(Format::Otlp, "SELECT 1", 10_000)).unwrap();
        assert_eq!(record["timeUnixNano"], "1796000000123456000");
        assert_eq!((&record["severityText"], &record["eventName"]), (&json!("WARN"), &json!("belay.statement")));
        let attributes = record["attributes"].as_array().unwrap();
        let value = |key: &str| &attributes.iter().find(|pair| pair["key"] == key).unwrap()["value"];
        assert_eq!(value("event.sequence"), &json!({ "intValue": "41" }));
        assert_eq!(value("user.name"), &json!({ "stringValue": "alice" }));
        assert_eq!(
            value("belay.relations"),
            &json!({ "arrayValue": { "values": [{ "stringValue": "public.orders" }] } })
        );
    }

    #[test]
    fn what_is_too_long_goes_out_without_its_text_and_if_need_be_without_more() {
        let long = "x".repeat(50_000);
        let textless: Value = serde_json::from_str(&encode(Format::Json, &long, 5_000)).unwrap();
        assert!(textless["belay"]["text"].is_null() && textless["belay"]["relations"].is_array());
        let bare: Value = serde_json::from_str(&encode(Format::Json, &long, 100)).unwrap();
        assert!(bare["belay"]["relations"].is_null() && bare["belay"]["shortened"] == true);
    }
}
