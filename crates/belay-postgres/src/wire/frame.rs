//! Message frames: a type byte, a length that counts itself, a body.

use super::WireError;

/// The longest message taken from a client that can carry a statement or values.
pub const FRONTEND_LIMIT: usize = 16 * 1024 * 1024;
/// The longest message that names something and carries nothing else.
const SMALL_LIMIT: usize = 10_000;

/// One frame at the head of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// The message type.
    pub tag: u8,
    /// The length of the whole frame, type byte included.
    pub length: usize,
}

/// The frame at the head of what a client sent, once its header is there. The body may not be.
///
/// The bound is checked before anything is buffered, so a client cannot ask for memory by writing a length.
pub fn frame(bytes: &[u8]) -> Result<Option<Frame>, WireError> {
    let [tag, a, b, c, d, ..] = bytes else { return Ok(None) };
    let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
    let bound = bound_of(*tag)?;
    if length < 4 {
        return Err(WireError::Length);
    }
    if length > bound {
        return Err(WireError::TooLong { tag: char::from(*tag), length, bound });
    }
    Ok(Some(Frame { tag: *tag, length: length + 1 }))
}

fn bound_of(tag: u8) -> Result<usize, WireError> {
    match tag {
        b'Q' | b'P' | b'B' | b'F' | b'd' => Ok(FRONTEND_LIMIT),
        b'C' | b'D' | b'E' | b'H' | b'S' | b'X' | b'c' | b'f' | b'p' => Ok(SMALL_LIMIT),
        other => Err(WireError::Type(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_counts_its_type_byte() {
        assert_eq!(frame(b"S\0\0\0\x04rest"), Ok(Some(Frame { tag: b'S', length: 5 })));
        assert_eq!(frame(b"S\0\0\0"), Ok(None));
    }

    #[test]
    fn lengths_that_lie_are_refused_before_anything_is_buffered() {
        assert_eq!(frame(b"Q\0\0\0\x03"), Err(WireError::Length));
        assert!(matches!(frame(b"Q\xff\xff\xff\xff"), Err(WireError::TooLong { .. })));
        assert!(matches!(frame(b"E\0\x01\0\0"), Err(WireError::TooLong { .. })));
        assert_eq!(frame(b"z\0\0\0\x04"), Err(WireError::Type(b'z')));
    }
}
