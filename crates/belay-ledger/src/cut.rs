//! Making an event fit into a record, and saying so.

use belay_model::{BindValue, Event, EventKind};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// How much of a long text is kept. A byte of text takes at most six in JSON, and a third more where it is sealed.
const KEEP_TEXT: usize = 32 << 10;
/// A bind value longer than this is replaced by its length, in a record that would be too long.
const KEEP_VALUE: usize = 256;
/// How many bind values are kept in a record that would be too long.
const KEEP_VALUES: usize = 128;
/// How many relations are kept in a record that would be too long. PostgreSQL's names have at most 63 bytes.
const KEEP_RELATIONS: usize = 128;

/// What was left out of a record because it would have been too long. The hashes allow a text that turns up
/// elsewhere to be matched to the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// The length in bytes of what was cut: the statement's text, or the whole event as JSON.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: String,
    /// How many bind values there were, where some were left out or replaced by their length.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub values: Option<u64>,
    /// The SHA-256 of all bind values as JSON, where some were left out or replaced by their length.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub values_sha256: Option<String>,
    /// The kind of the event, where nothing of it but its kind could be kept.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kind: Option<String>,
}

/// The event in a form that fits, and what it lost.
pub(crate) fn shorten(event: &Event) -> Result<(Event, Cut), serde_json::Error> {
    let mut short = event.clone();
    let EventKind::Statement { text, values, because, relations, .. } = &mut short.kind else { return replace(event) };
    let mut cut = Cut {
        bytes: text.len() as u64,
        sha256: sha256(text.as_bytes()),
        values: None,
        values_sha256: None,
        kind: None,
    };
    *text = shorten_text(text);
    *relations = relations.first(KEEP_RELATIONS);
    if let Some(because) = because {
        because.truncate(because.floor_char_boundary(KEEP_TEXT));
    }
    if let Some(values) = values {
        let json = serde_json::to_vec(values)?;
        cut.values = Some(values.len() as u64);
        cut.values_sha256 = Some(sha256(&json));
        values.truncate(KEEP_VALUES);
        values.iter_mut().for_each(shorten_value);
    }
    Ok((short, cut))
}

fn shorten_text(text: &Arc<str>) -> Arc<str> {
    if text.len() <= KEEP_TEXT {
        return Arc::clone(text);
    }
    let kept = &text[..text.floor_char_boundary(KEEP_TEXT)];
    let hash = sha256(text.as_bytes());
    format!("{kept} ... [cut here: {} bytes in full, sha256 {hash}]", text.len()).into()
}

fn shorten_value(value: &mut BindValue) {
    let bytes = match value {
        BindValue::Text(text) if text.len() > KEEP_VALUE => text.len(),
        BindValue::Binary(digits) if digits.len() > KEEP_VALUE => digits.len() / 2,
        _ => return,
    };
    *value = BindValue::Long(bytes as u64);
}

/// An event that nobody bounded: its place is kept, and what can be said of it.
fn replace(event: &Event) -> Result<(Event, Cut), serde_json::Error> {
    let json = serde_json::to_vec(event)?;
    let kind = event.kind.word();
    let what = format!("an event of kind {kind} was too long for the ledger: {} bytes", json.len());
    let short = |name: &Arc<str>| Arc::from(&name[..name.floor_char_boundary(KEEP_VALUE)]);
    let replaced = Event {
        who: event.who.as_ref().map(short),
        target: event.target.as_ref().map(short),
        kind: EventKind::Recovered { what },
        ..event.clone()
    };
    let cut = Cut {
        bytes: json.len() as u64,
        sha256: sha256(&json),
        values: None,
        values_sha256: None,
        kind: Some(kind.to_owned()),
    };
    Ok((replaced, cut))
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
