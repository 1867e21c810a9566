//! Values as a report writes them.

use belay_model::{Effects, Event, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value};

/// RFC 3339 in UTC.
pub(crate) fn time(at: Timestamp) -> String {
    let past = if at.0 < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    jiff::Timestamp::from_microsecond(at.0).unwrap_or(past).to_string()
}

/// The word that serde writes for a value.
pub(crate) fn word(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}

pub(crate) fn effects(effects: Effects) -> Vec<String> {
    if effects.all {
        return vec!["all".to_owned()];
    }
    let words = [(effects.read, "read"), (effects.write, "write"), (effects.direct, "direct")];
    words.into_iter().filter(|(on, _)| *on).map(|(_, word)| word.to_owned()).collect()
}

/// What a record says beyond who, when, where and what.
pub(crate) fn fields(event: &Event) -> Map<String, Value> {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(event) else { return Map::new() };
    for known in ["at", "who", "target", "grant", "session", "connection", "kind"] {
        fields.remove(known);
    }
    for (key, value) in &mut fields {
        if (key.ends_with("_at") || key == "use_by")
            && let Some(micros) = value.as_i64()
        {
            *value = time(Timestamp(micros)).into();
        }
    }
    fields
}
