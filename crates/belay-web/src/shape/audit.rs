//! The ledger's records.

use super::{Head, List, Time};
use belay_model::Timestamp;
use belay_server::ledger::KeyState;
use belay_server::ledger::read::{Fault, Gone, Report};
use belay_server::ledger::search::{Found, Page};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// One record of the ledger. Beside these fields it holds those of its event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// What it is.
    #[serde(flatten)]
    pub head: Head,
    /// Its number.
    pub seq: u64,
    /// When it happened.
    pub at: Time,
    /// What happened: `statement`, `request_made`, ...
    pub event: String,
    /// Who did it; absent for the gateway itself.
    pub who: Option<String>,
    /// The target it concerns.
    pub target: Option<String>,
    /// The grant it concerns.
    pub grant: Option<String>,
    /// The session.
    pub session: Option<String>,
    /// The rest of the event.
    pub fields: Map<String, Value>,
}

impl AuditEntry {
    /// The entry of a record.
    pub fn new(record: &belay_ledger::Record) -> Option<AuditEntry> {
        AuditEntry::from_record(serde_json::to_value(record).ok()?)
    }

    /// The entry of a record as the ledger holds it: one flat object. `None` if it is none.
    fn from_record(record: Value) -> Option<AuditEntry> {
        let Value::Object(mut fields) = record else { return None };
        let mut text = |key: &str| match fields.remove(key) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let event = text("kind")?;
        let (who, target, grant, session) = (text("who"), text("target"), text("grant"), text("session"));
        let at = fields.remove("at")?.as_i64()?;
        let seq = fields.remove("seq")?.as_u64()?;
        for value in
            fields.iter_mut().filter(|(key, _)| key.ends_with("_at") || *key == "use_by").map(|(_, value)| value)
        {
            if let Some(micros) = value.as_i64() {
                *value = serde_json::to_value(Time::from(Timestamp(micros))).unwrap_or(Value::Null);
            }
        }
        let at = Time::from(Timestamp(at));
        Some(AuditEntry { head: Head::of("audit_entry"), seq, at, event, who, target, grant, session, fields })
    }
}

/// A page of records in the order of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditPage {
    /// The records.
    #[serde(flatten)]
    pub list: List<AuditEntry>,
    /// The record to go on before or after, if there may be more.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<u64>,
}

impl AuditPage {
    /// What was found of the page that was asked for.
    pub fn new(mut found: Found, page: Page) -> AuditPage {
        if !matches!(page, Page::From(_)) {
            found.records.reverse();
        }
        let list = List::of("audit_entry", found.records.iter().filter_map(AuditEntry::new));
        AuditPage { list, next: found.next }
    }
}

/// What a verification of the whole ledger found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Verification {
    /// What it is.
    #[serde(flatten)]
    pub head: Head,
    /// Whether every record is the one that was written.
    pub intact: bool,
    /// Files looked at.
    pub segments: u64,
    /// Records that were proven.
    pub records: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Where the ledger stands: note it elsewhere, and compare it next time.
    pub position: String,
    /// Records that were deleted because they were too old, one line for each stretch of them.
    #[serde(default)]
    pub deleted: Vec<String>,
    /// How many they are.
    #[serde(default)]
    pub deleted_records: u64,
    /// What is wrong, at the first place where something is.
    pub damage: Option<String>,
    /// Whether the ledger went through the position that was to be compared.
    pub known: Option<bool>,
    /// Checkpoints that the records came to.
    pub checkpoints: u64,
    /// How many records a trusted key has signed, where one was given.
    pub signed: Option<u64>,
    /// Lines of the file of keys that are no keys: what they were to open reads as erased.
    #[serde(default)]
    pub damaged_keys: Vec<String>,
    /// Files beside the records that are no part of the ledger, so that nothing proves them.
    #[serde(default)]
    pub unproven: Vec<String>,
}

/// The keys to what sessions typed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionKeys {
    /// What it is.
    #[serde(flatten)]
    pub head: Head,
    /// How many there are.
    pub keys: u64,
    /// The length of their file.
    pub bytes: u64,
    /// The most that it may have; then new sessions are refused.
    pub bytes_most: u64,
    /// Lines of it that are no keys: what they were to open reads as erased.
    pub damaged: Vec<String>,
}

impl From<KeyState> for SessionKeys {
    fn from(state: KeyState) -> SessionKeys {
        let KeyState { keys, bytes, bytes_most, .. } = state;
        SessionKeys { head: Head::of("session_keys"), keys, bytes, bytes_most, damaged: state.lines() }
    }
}

impl From<Report> for Verification {
    fn from(report: Report) -> Verification {
        let told = |fault: &Fault| {
            format!("record {}: {} (file {}, byte {})", fault.seq, fault.what, fault.file, fault.offset)
        };
        Verification {
            head: Head::of("verification"),
            intact: report.is_intact(),
            segments: report.segments,
            records: report.records,
            bytes: report.bytes,
            deleted_records: report.deleted.iter().map(|gone| gone.last - gone.first + 1).sum(),
            deleted: report.deleted.iter().map(gone).collect(),
            damage: report.damage.as_ref().or(report.torn.as_ref()).map(told),
            position: report.position,
            known: report.known,
            checkpoints: report.checkpoints,
            signed: report.signed,
            damaged_keys: report.damaged_keys,
            unproven: report.unproven,
        }
    }
}

fn gone(gone: &Gone) -> String {
    let Gone { first, last, at, record, last_record } = gone;
    let date = Time::from(*at).to_string();
    let date = date.get(..10).unwrap_or(&date);
    let (until, who) = if record == last_record {
        ("on", format!("record {record} says"))
    } else {
        ("until", format!("records {record} to {last_record} say"))
    };
    format!("records {first} to {last} were deleted by retention {until} {date}, as {who}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_record_becomes_an_entry_with_times_for_people() {
        let record = json!({"seq": 4, "at": 1_796_000_000_000_000_i64, "who": "ann", "grant": "g_3",
            "kind": "grant_made", "request": "r_2", "ends_at": 1_796_000_060_000_000_i64, "use_by": 5});
        let entry = AuditEntry::from_record(record).unwrap();
        assert_eq!((entry.seq, entry.event.as_str(), entry.who.as_deref()), (4, "grant_made", Some("ann")));
        assert_eq!(entry.fields["ends_at"], "2026-11-30T00:54:20Z");
        assert_eq!(AuditEntry::from_record(json!([])), None);
    }
}
