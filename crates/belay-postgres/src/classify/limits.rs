//! What bounds the work on one message.

/// Bounds on one message and on what is remembered of earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one message's text; a longer one is refused unread.
    pub text: usize,
    /// Levels of nesting, by an upper estimate from the tokens; a deeper text is refused unparsed.
    pub nesting: usize,
    /// Bytes kept of classified messages.
    pub cache: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { text: 1 << 20, nesting: 4_000, cache: 8 << 20 }
    }
}
