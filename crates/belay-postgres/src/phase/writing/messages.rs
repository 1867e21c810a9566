//! Cuts the target's bytes into messages.

use belay_engine::ProtocolError;
use bytes::{Buf, Bytes, BytesMut};

/// The longest message that is taken whole. PostgreSQL's own bound on a row is one gigabyte; nobody reads such rows
/// in a session that writes.
const LIMIT: usize = 256 * 1024 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Messages {
    buffer: BytesMut,
}

/// One whole message.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) tag: u8,
    /// Header and body.
    pub(super) bytes: Bytes,
}

impl Message {
    pub(super) fn body(&self) -> &[u8] {
        self.bytes.get(5..).unwrap_or_default()
    }
}

impl Messages {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, if it is there.
    pub(super) fn next(&mut self) -> Result<Option<Message>, ProtocolError> {
        let [tag, a, b, c, d, ..] = *self.buffer else { return Ok(None) };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if !(4..=LIMIT).contains(&length) {
            return Err(ProtocolError("the target sent a message with an invalid length".to_owned()));
        }
        if self.buffer.len() <= length {
            return Ok(None);
        }
        Ok(Some(Message { tag, bytes: self.buffer.split_to(length + 1).freeze() }))
    }
}

/// The values of a row, as they came.
pub(super) fn row(mut body: &[u8]) -> Result<Vec<Option<Bytes>>, ProtocolError> {
    let short = || ProtocolError("the target sent a row that is cut short".to_owned());
    let count = body.try_get_u16().map_err(|_| short())?;
    let mut values = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let length = body.try_get_i32().map_err(|_| short())?;
        let Ok(length) = usize::try_from(length) else {
            values.push(None);
            continue;
        };
        let value = body.get(..length).ok_or_else(short)?;
        values.push(Some(Bytes::copy_from_slice(value)));
        body.advance(length);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_whole_however_they_are_cut() {
        let bytes = b"Z\0\0\0\x05IC\0\0\0\x08ABC\0";
        for size in 1..bytes.len() {
            let mut messages = Messages::default();
            let mut tags = Vec::new();
            for piece in bytes.chunks(size) {
                messages.push(piece);
                while let Some(message) = messages.next().unwrap() {
                    tags.push((message.tag, message.body().to_vec()));
                }
            }
            assert_eq!(tags, [(b'Z', b"I".to_vec()), (b'C', b"ABC\0".to_vec())], "in pieces of {size}");
        }
        let mut messages = Messages::default();
        messages.push(b"Z\0\0\0\x03");
        assert!(messages.next().is_err());
    }

    #[test]
    fn a_row_has_its_values_and_a_short_one_is_an_error() {
        let body = b"\0\x02\xff\xff\xff\xff\0\0\0\x02ab";
        assert_eq!(row(body), Ok(vec![None, Some(Bytes::from_static(b"ab"))]));
        assert!(row(&body[..body.len() - 1]).is_err());
        assert!(row(b"\0").is_err());
    }
}
