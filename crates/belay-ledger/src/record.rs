//! One record, read back.

use crate::Cut;
use crate::content::{Owner, Read, hash, mark_erased, restore};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
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
    /// Its content cannot be read, because there is no key to it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub erased: bool,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}

/// An intact payload that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It is not understood, such as an event of a later version.
    #[error("record cannot be read: {0}")]
    Unknown(String),
    /// Its content is not what the record was written over.
    #[error("the content of the record is not the one that was sealed")]
    Content,
}

/// What is sealed in a record.
#[derive(Debug)]
pub struct Sealed {
    /// Whose key it is sealed under.
    pub owner: Owner,
    /// The record.
    pub seq: u64,
    /// What [`crate::Seal`] made of the content.
    pub bytes: Vec<u8>,
}

/// What came of opening it.
#[derive(Debug)]
pub enum Opened {
    /// The content.
    Content(Vec<u8>),
    /// There is no key to it any more.
    Gone,
    /// There is a key, and it does not open.
    Broken,
}

/// The part of a payload that the event doesn't know.
#[derive(Deserialize)]
struct Envelope<'a> {
    seq: u64,
    #[serde(default)]
    cut: Option<Cut>,
    /// SHA-256 of the content.
    #[serde(default)]
    content: Option<&'a str>,
    #[serde(default)]
    sealed: Option<&'a str>,
}

impl Record {
    /// Reads the payload of a frame without its content.
    pub fn decode(payload: &[u8]) -> Result<Record, RecordError> {
        Record::open(payload, |_| Opened::Gone).map(|(record, _)| record)
    }

    /// Reads the payload of a frame. The content that `open` gives has to be the one that was sealed; it is returned as
    /// it was, to be shown with the record.
    pub fn open(payload: &[u8], open: impl FnOnce(Sealed) -> Opened) -> Result<(Record, Option<String>), RecordError> {
        let unknown = |error: serde_json::Error| RecordError::Unknown(error.to_string());
        let envelope: Envelope<'_> = serde_json::from_slice(payload).map_err(unknown)?;
        let event: Event = serde_json::from_slice(payload).map_err(unknown)?;
        let mut record = Record { seq: envelope.seq, cut: envelope.cut, erased: false, event };
        let (Some(told), Some(sealed)) = (envelope.content, envelope.sealed) else { return Ok((record, None)) };
        let bytes = STANDARD_NO_PAD.decode(sealed).map_err(|_| RecordError::Content)?;
        let owner = Owner::of(&record.event).ok_or(RecordError::Content)?;
        let content = match open(Sealed { owner, seq: envelope.seq, bytes }) {
            Opened::Content(content) => content,
            Opened::Gone => {
                record.erased = true;
                mark_erased(&mut record.event.kind);
                return Ok((record, None));
            }
            Opened::Broken => return Err(RecordError::Content),
        };
        if STANDARD_NO_PAD.encode(hash(&content)) != told {
            return Err(RecordError::Content);
        }
        let read: Read = serde_json::from_slice(&content).map_err(unknown)?;
        record.cut = read.cut.clone().or(record.cut);
        restore(&mut record.event.kind, read);
        let content = String::from_utf8(content).map_err(|_| RecordError::Content)?;
        Ok((record, Some(content)))
    }

    /// Reads the payload of a frame with a content that somebody shows with it, if any.
    pub fn with_content(payload: &[u8], shown: Option<&str>) -> Result<Record, RecordError> {
        let Some(shown) = shown else { return Record::decode(payload) };
        let mut is_sealed = false;
        let open = |_| {
            is_sealed = true;
            Opened::Content(shown.as_bytes().to_vec())
        };
        let (record, _) = Record::open(payload, open)?;
        if is_sealed { Ok(record) } else { Err(RecordError::Content) }
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
