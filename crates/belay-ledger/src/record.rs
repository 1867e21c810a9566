//! One record, read back.

use crate::Cut;
use belay_model::Event;
use serde::{Deserialize, Serialize};

/// An event with its place in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Its number, counted from 0 without a gap.
    pub seq: u64,
    /// What had to be left out of it, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}

/// A payload that is intact but not understood, such as an event of a later version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record cannot be read: {0}")]
pub struct RecordError(String);

/// The part of a payload that the event doesn't know.
#[derive(Deserialize)]
struct Envelope {
    seq: u64,
    #[serde(default)]
    cut: Option<Cut>,
}

impl Record {
    /// Reads the payload of a frame.
    pub fn decode(payload: &[u8]) -> Result<Record, RecordError> {
        let failed = |error: serde_json::Error| RecordError(error.to_string());
        let envelope: Envelope = serde_json::from_slice(payload).map_err(failed)?;
        let event: Event = serde_json::from_slice(payload).map_err(failed)?;
        Ok(Record { seq: envelope.seq, cut: envelope.cut, event })
    }
}

/// How every payload begins.
pub(crate) const SEQ: &[u8] = b"{\"seq\":";

/// The `seq` a payload claims, read without parsing the rest.
pub(crate) fn claimed_seq(payload: &[u8]) -> Option<u64> {
    let digits = payload.strip_prefix(SEQ)?;
    let end = digits.iter().take(20).position(|byte| !byte.is_ascii_digit())?;
    if digits[end] != b',' {
        return None;
    }
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_read_from_the_head_of_the_payload_only() {
        assert_eq!(claimed_seq(br#"{"seq":41,"at":0}"#), Some(41));
        for text in ["", "{", r#"{"seq":"#, r#"{"seq":,"#, r#"{"seq":1"#, r#"{"seq":1}"#, r#"{"at":0,"seq":1,"#] {
            assert_eq!(claimed_seq(text.as_bytes()), None, "{text}");
        }
        assert_eq!(claimed_seq(br#"{"seq":99999999999999999999999,"at":0}"#), None);
    }
}
