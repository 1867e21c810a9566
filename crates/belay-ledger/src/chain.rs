//! Hashes, and where a chain stands.

use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// A SHA-256 hash.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// What stands before the first record.
    pub const ZERO: Hash = Hash([0; 32]);
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The leaf hash of a payload (RFC 6962, section 2.1).
pub fn leaf(payload: &[u8]) -> Hash {
    Hash(Sha256::new().chain_update([0]).chain_update(payload).finalize().into())
}

/// The chain after a record with this leaf.
pub fn link(before: Hash, leaf: Hash) -> Hash {
    Hash(Sha256::new().chain_update(before.0).chain_update(leaf.0).finalize().into())
}

/// Where a ledger stands: how many records it has, and the chain after the last. Written `42:9f86d0...`.
///
/// A position noted outside the gateway's reach later proves that the records up to it are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The number of records, which is the `seq` of the next one.
    pub size: u64,
    /// The chain after the last.
    pub chain: Hash,
}

impl Position {
    /// Before the first record.
    pub const START: Position = Position { size: 0, chain: Hash::ZERO };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.size, self.chain)
    }
}

/// A text that is not a position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a position of the ledger; expected a number, `:` and 64 hexadecimal digits")]
pub struct PositionError(String);

impl FromStr for Position {
    type Err = PositionError;
    fn from_str(text: &str) -> Result<Position, PositionError> {
        let wrong = || PositionError(text.to_owned());
        let (size, digits) = text.split_once(':').ok_or_else(wrong)?;
        let mut chain = [0; 32];
        hex::decode_to_slice(digits, &mut chain).map_err(|_| wrong())?;
        Ok(Position { size: size.parse().map_err(|_| wrong())?, chain: Hash(chain) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_leaf_is_the_one_of_rfc_6962() {
        // SHA-256 of the single byte 0x00.
        assert_eq!(leaf(b"").to_string(), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
    }

    #[test]
    fn a_position_reads_back_and_nonsense_does_not() {
        let position = Position { size: 42, chain: leaf(b"x") };
        assert_eq!(position.to_string().parse(), Ok(position));
        for text in ["", "42", "42:", "x:00", "42:zz", ":6e34", "-1:00"] {
            assert!(text.parse::<Position>().is_err(), "{text}");
        }
    }
}
