//! Walks past the target's messages and keeps the beginning of those that say how a statement ended.

use crate::wire::WireError;

/// How much of a message is kept: severity and SQLSTATE come first in an error.
const KEPT: usize = 4096;

/// Where the walk is.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// The header of the current message, so far.
    head: Vec<u8>,
    /// Bytes of its body that are still to come.
    rest: usize,
    /// The beginning of its body.
    kept: Vec<u8>,
}

impl Walk {
    /// Whether everything walked so far ends at the end of a message.
    pub(super) fn is_between_messages(&self) -> bool {
        self.head.is_empty()
    }

    /// Walks on to the end of a message that is looked at: its type and the beginning of its body. `None` at the end
    /// of `bytes`.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<(u8, Vec<u8>)>, WireError> {
        loop {
            if self.head.len() < 5 && !self.enter(bytes)? {
                return Ok(None);
            }
            let tag = self.head.first().copied().unwrap_or_default();
            let here = self.rest.min(bytes.len());
            let (body, behind) = bytes.split_at(here);
            if is_heard(tag) {
                let room = KEPT.saturating_sub(self.kept.len());
                self.kept.extend_from_slice(body.get(..room).unwrap_or(body));
            }
            *bytes = behind;
            self.rest -= here;
            if self.rest > 0 {
                return Ok(None);
            }
            self.head.clear();
            if is_heard(tag) {
                return Ok(Some((tag, std::mem::take(&mut self.kept))));
            }
        }
    }

    /// Takes the header, if all of it is there.
    fn enter(&mut self, bytes: &mut &[u8]) -> Result<bool, WireError> {
        let (taken, behind) = bytes.split_at((5 - self.head.len()).min(bytes.len()));
        self.head.extend_from_slice(taken);
        *bytes = behind;
        let [_, a, b, c, d] = self.head.as_slice() else { return Ok(false) };
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        self.rest = length.checked_sub(4).ok_or(WireError::Length)?;
        Ok(true)
    }
}

/// Whether the message says something that is needed here.
fn is_heard(tag: u8) -> bool {
    // CommandComplete, ErrorResponse, ReadyForQuery, ParameterStatus, EmptyQueryResponse, PortalSuspended, the
    // acknowledgements, what answers Describe, and what begins a COPY from the client.
    matches!(tag, b'C' | b'E' | b'Z' | b'S' | b'I' | b's' | b'1' | b'2' | b'3' | b'T' | b'n' | b'G' | b'W')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_heard_wherever_they_are_cut() {
        let bytes = b"D\0\0\0\x06xx?\0\0\0\x05xC\0\0\0\x0dSELECT 2\0Z\0\0\0\x05I";
        for end in 0..=bytes.len() {
            let (mut walk, mut heard) = (Walk::default(), Vec::new());
            for mut part in [&bytes[..end], &bytes[end..]] {
                while let Some(message) = walk.next(&mut part).unwrap() {
                    heard.push(message);
                }
            }
            assert_eq!(heard, [(b'C', b"SELECT 2\0".to_vec()), (b'Z', b"I".to_vec())], "cut at {end}");
            assert!(walk.is_between_messages());
        }
    }

    #[test]
    fn of_a_long_error_only_the_beginning_is_kept() {
        let mut bytes = b"E\0\x01\0\0SERROR\0".to_vec();
        bytes.resize(0x1_0001, b'x');
        let (tag, kept) = Walk::default().next(&mut bytes.as_slice()).unwrap().unwrap();
        assert_eq!((tag, kept.len()), (b'E', KEPT));
        assert_eq!(Walk::default().next(&mut &b"E\0\0\0\x03"[..]), Err(WireError::Length));
    }
}
