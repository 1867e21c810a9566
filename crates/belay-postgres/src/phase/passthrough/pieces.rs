//! Cutting what a client sent into messages, without asking for more of them than is looked at.

use crate::wire::{FRONTEND_LIMIT, WireError};

/// One message that is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    /// Its type.
    pub(super) tag: u8,
    /// Where it begins.
    pub(super) at: usize,
    /// How much of it is there to look at: all, or the beginning of one that is too long to hold.
    pub(super) shown: usize,
    /// Its whole length, type byte included.
    pub(super) length: usize,
}

/// What can leave together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Cut {
    /// The messages in it that are looked at.
    pub(super) pieces: Vec<Piece>,
    /// How many bytes can leave.
    pub(super) length: usize,
    /// Bytes of the last message that come later and then just pass.
    pub(super) passing: usize,
}

/// Cuts at most `room` messages off the head of `bytes`, of which the first `passing` end a message begun before.
pub(super) fn cut(bytes: &[u8], passing: usize, room: usize) -> Result<Cut, WireError> {
    let length = passing.min(bytes.len());
    let mut cut = Cut { pieces: Vec::new(), length, passing: passing - length };
    while cut.passing == 0 && cut.pieces.len() < room {
        let rest = bytes.get(cut.length..).unwrap_or_default();
        let [tag, a, b, c, d, ..] = rest else { break };
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize + 1;
        if length < 5 {
            // What stands before it leaves first.
            return if cut.length == 0 { Err(WireError::Length) } else { Ok(cut) };
        }
        let shown = length.min(rest.len());
        if is_read(*tag) {
            if shown < length.min(FRONTEND_LIMIT) {
                break;
            }
            cut.pieces.push(Piece { tag: *tag, at: cut.length, shown, length });
        }
        cut.length += shown;
        cut.passing = length - shown;
        if *tag == b'X' {
            break;
        }
    }
    Ok(cut)
}

/// Whether the message runs something, names it, or begins or ends something. Others only pass, of whatever type.
fn is_read(tag: u8) -> bool {
    matches!(tag, b'Q' | b'F' | b'P' | b'B' | b'E' | b'D' | b'C' | b'S' | b'c' | b'f' | b'X')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tag: u8, size: usize) -> Vec<u8> {
        let mut bytes = vec![tag];
        bytes.extend_from_slice(&u32::try_from(size + 4).unwrap().to_be_bytes());
        bytes.resize(size + 5, b'x');
        bytes
    }

    #[test]
    fn unknown_messages_pass_in_any_pieces_and_statements_when_they_are_whole() {
        let bytes = [message(b'?', 10), message(b'Q', 3), message(b'd', 20)].concat();
        let whole = cut(&bytes, 0, 9).unwrap();
        assert_eq!(whole.pieces, [Piece { tag: b'Q', at: 15, shown: 8, length: 8 }]);
        assert_eq!((whole.length, whole.passing), (bytes.len(), 0));
        let early = cut(&bytes[..20], 0, 9).unwrap();
        assert_eq!((early.pieces.len(), early.length, early.passing), (0, 15, 0));
        let unknown = cut(&bytes[..7], 0, 9).unwrap();
        assert_eq!((unknown.length, unknown.passing), (7, 8));
        assert_eq!(cut(&bytes[7..], 8, 9).unwrap().pieces.len(), 1);
    }

    #[test]
    fn a_statement_that_is_too_long_to_hold_is_looked_at_by_its_beginning() {
        let bytes = message(b'Q', FRONTEND_LIMIT + 100);
        assert_eq!(cut(&bytes[..FRONTEND_LIMIT - 1], 0, 9).unwrap(), Cut::default());
        let held = cut(&bytes[..=FRONTEND_LIMIT], 0, 9).unwrap();
        assert_eq!((held.pieces[0].shown, held.passing), (FRONTEND_LIMIT + 1, 104));
    }

    #[test]
    fn a_length_below_its_own_size_is_an_error_and_nothing_follows_a_goodbye() {
        assert_eq!(cut(b"Q\0\0\0\x03", 0, 9), Err(WireError::Length));
        assert_eq!(cut(b"S\0\0\0\x04Q\0\0\0\x03", 0, 9).unwrap().length, 5);
        let bytes = [message(b'X', 0), message(b'Q', 3)].concat();
        assert_eq!(cut(&bytes, 0, 9).unwrap().length, 5);
    }

    #[test]
    fn there_is_room_for_so_many_and_no_more() {
        let bytes = [message(b'S', 0), message(b'S', 0), message(b'S', 0)].concat();
        assert_eq!(cut(&bytes, 0, 2).unwrap().length, 10);
    }
}
