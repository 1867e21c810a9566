//! Events to frames.

use crate::cut::shorten;
use crate::record::SEQ;
use crate::{Cut, FRAME_HEAD, MAX_PAYLOAD, Position, leaf, link};
use belay_model::Event;
use std::io::Write as _;

/// Writes frames, one after the other, and knows where the chain stands.
///
/// Cloning it keeps a position to go back to when what was encoded could not be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoder {
    position: Position,
}

/// An event that could not be written as a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event cannot be written as a record: {0}")]
pub struct EncodeError(String);

impl Encoder {
    /// Goes on from `position`.
    pub fn new(position: Position) -> Encoder {
        Encoder { position }
    }

    /// Where the chain stands after the last frame.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Appends the frame of `event` to `out` and returns its `seq`. After an error `out` is as it was.
    pub fn append(&mut self, event: &Event, out: &mut Vec<u8>) -> Result<u64, EncodeError> {
        let start = out.len();
        let failed = |error: String, out: &mut Vec<u8>| {
            out.truncate(start);
            EncodeError(error)
        };
        let seq = self.position.size;
        let head = start + FRAME_HEAD;
        out.extend_from_slice(&[0; FRAME_HEAD]);
        if let Err(error) = write_payload(seq, None, event, out) {
            return Err(failed(error.to_string(), out));
        }
        if out.len() - head > MAX_PAYLOAD {
            out.truncate(head);
            let written = shorten(event).and_then(|(short, cut)| write_payload(seq, Some(&cut), &short, out));
            if let Err(error) = written {
                return Err(failed(error.to_string(), out));
            }
        }
        let length = out.len() - head;
        let Some(length) = u32::try_from(length).ok().filter(|_| length <= MAX_PAYLOAD) else {
            return Err(failed(format!("{length} bytes after it was cut"), out));
        };
        let length = length.to_le_bytes();
        out[start..start + 4].copy_from_slice(&length);
        out[start + 4..head].copy_from_slice(&crc32fast::hash(&length).to_le_bytes());
        let chain = link(self.position.chain, leaf(&out[head..]));
        out.extend_from_slice(&chain.0);
        self.position = Position { size: seq + 1, chain };
        Ok(seq)
    }
}

fn write_payload(seq: u64, cut: Option<&Cut>, event: &Event, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    out.extend_from_slice(SEQ);
    write!(out, "{seq}").map_err(serde_json::Error::io)?;
    if let Some(cut) = cut {
        out.extend_from_slice(b",\"cut\":");
        serde_json::to_writer(&mut *out, cut)?;
    }
    // The event's own object is spliced in: its opening brace becomes the comma.
    let joint = out.len();
    serde_json::to_writer(&mut *out, event)?;
    out[joint] = b',';
    Ok(())
}
