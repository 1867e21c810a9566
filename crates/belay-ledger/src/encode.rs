//! Events to frames.

use crate::content::{Content, Owner, SALT_LEN, Seal, hash};
use crate::cut::shorten;
use crate::record::SEQ;
use crate::{Cut, FRAME_HEAD, MAX_PAYLOAD, Position, leaf, link};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
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
pub enum EncodeError {
    /// It is no JSON, or too long whatever is left out.
    #[error("event cannot be written as a record: {0}")]
    Event(String),
    /// Its content could not be sealed.
    #[error("the content of a record cannot be sealed: {0}")]
    Seal(String),
}

impl From<serde_json::Error> for EncodeError {
    fn from(error: serde_json::Error) -> EncodeError {
        EncodeError::Event(error.to_string())
    }
}

impl Encoder {
    /// Goes on from `position`.
    pub fn new(position: Position) -> Encoder {
        Encoder { position }
    }

    /// Where the chain stands after the last frame.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Appends the frame of `event` to `out`, all of it in the open, and returns its `seq`. After an error `out` is as it
    /// was.
    pub fn append(&mut self, event: &Event, out: &mut Vec<u8>) -> Result<u64, EncodeError> {
        self.frame(event, None::<&mut Nobody>, out)
    }

    /// The same with the content of the event sealed.
    pub fn append_sealed(
        &mut self,
        event: &Event,
        seal: &mut impl Seal,
        out: &mut Vec<u8>,
    ) -> Result<u64, EncodeError> {
        self.frame(event, Some(seal), out)
    }

    fn frame<S: Seal>(&mut self, event: &Event, seal: Option<&mut S>, out: &mut Vec<u8>) -> Result<u64, EncodeError> {
        let start = out.len();
        let framed = self.try_frame(event, seal, out);
        if framed.is_err() {
            out.truncate(start);
        }
        framed
    }

    fn try_frame<S: Seal>(
        &mut self,
        event: &Event,
        mut seal: Option<&mut S>,
        out: &mut Vec<u8>,
    ) -> Result<u64, EncodeError> {
        let seq = self.position.size;
        let start = out.len();
        let head = start + FRAME_HEAD;
        out.extend_from_slice(&[0; FRAME_HEAD]);
        write_payload(seq, None, event, seal.as_deref_mut(), out)?;
        if out.len() - head > MAX_PAYLOAD {
            out.truncate(head);
            let (short, cut) = shorten(event)?;
            write_payload(seq, Some(&cut), &short, seal, out)?;
        }
        let length = out.len() - head;
        let Some(length) = u32::try_from(length).ok().filter(|_| length <= MAX_PAYLOAD) else {
            return Err(EncodeError::Event(format!("{length} bytes after it was cut")));
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

fn write_payload<S: Seal>(
    seq: u64,
    cut: Option<&Cut>,
    event: &Event,
    seal: Option<&mut S>,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let divided = seal.and_then(|seal| Content::of(event, cut).map(|divided| (seal, divided)));
    let Some((seal, (owner, open, mut content))) = divided else { return write_open(seq, cut, event, out) };
    write_open(seq, None, &open, out)?;
    content.salt = hex::encode(seal.salt().map_err(EncodeError::Seal)?);
    let mut content = serde_json::to_vec(&content)?;
    let told = hash(&content);
    seal.seal(owner, seq, &mut content).map_err(EncodeError::Seal)?;
    // The closing brace makes room.
    out.pop();
    out.extend_from_slice(b",\"content\":\"");
    write_base64(&told, out)?;
    out.extend_from_slice(b"\",\"sealed\":\"");
    write_base64(&content, out)?;
    out.extend_from_slice(b"\"}");
    Ok(())
}

/// Who seals where nothing is sealed.
enum Nobody {}

impl Seal for Nobody {
    fn salt(&mut self) -> Result<[u8; SALT_LEN], String> {
        match *self {}
    }

    fn seal(&mut self, _: Owner, _: u64, _: &mut Vec<u8>) -> Result<(), String> {
        match *self {}
    }
}

fn write_open(seq: u64, cut: Option<&Cut>, event: &Event, out: &mut Vec<u8>) -> Result<(), EncodeError> {
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

fn write_base64(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD_NO_PAD.encode_slice(bytes, &mut out[start..]);
    let written = written.map_err(|error| EncodeError::Event(error.to_string()))?;
    out.truncate(start + written);
    Ok(())
}
