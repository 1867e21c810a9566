//! Bytes that may go to a target.

use belay_policy::Permit;
use bytes::Bytes;

/// Bytes on their way to the target. Each constructor says why they may go.
///
/// ```compile_fail,E0451
/// let _ = belay_engine::UpstreamBytes { bytes: bytes::Bytes::new() };
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct UpstreamBytes {
    bytes: Bytes,
}

/// Messages that carry no statement, in the protocol's own shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Housekeeping {
    /// Ends a batch or asks for output: holds nothing of the client's.
    Boundary,
    /// Closes, describes or pages something that a permitted message made.
    OnPermitted,
    /// Made by the gateway in place of a refused statement, so that the target fails the transaction.
    Refusal,
    /// The gateway's own SQL, on a connection whose client waits for it.
    Own,
    /// Says goodbye.
    Goodbye,
}

impl UpstreamBytes {
    /// Bytes of a message whose statements were all permitted. Spends the permit.
    pub fn statement(_permit: Permit, bytes: Bytes) -> UpstreamBytes {
        UpstreamBytes { bytes }
    }

    /// The same statements in several messages.
    pub fn in_parts(self, parts: Vec<Bytes>) -> Vec<UpstreamBytes> {
        parts.into_iter().map(|bytes| UpstreamBytes { bytes }).collect()
    }

    /// Bytes that carry no statement.
    pub fn housekeeping(_why: Housekeeping, bytes: Bytes) -> UpstreamBytes {
        UpstreamBytes { bytes }
    }

    /// The bytes, to be looked at.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, to be written.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
}
