//! The first bytes of a segment.

use crate::{Hash, Position};

/// The length of a segment's header.
pub const HEADER_LEN: usize = 64;

const MAGIC: &[u8; 8] = b"BLYLEDGR";
const VERSION: u32 = 1;
/// Where the CRC-32 of all before it stands.
const CHECK_AT: usize = HEADER_LEN - 4;

/// What a segment says of itself: where the chain stood when it began.
///
/// Layout, integers little endian: magic 8, version 4, first `seq` 8, chain before it 32, zeros 8, CRC-32 of these 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The position before the segment's first record.
    pub start: Position,
}

/// Bytes that are no header of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Another kind of file.
    #[error("this is not a segment of a ledger")]
    Magic,
    /// Written by a later version.
    #[error("format {0} is not known to this version")]
    Version(u32),
    /// The header was changed.
    #[error("the header of the segment was changed")]
    Check,
}

impl Header {
    /// The header as bytes.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.start.size.to_le_bytes());
        bytes[20..52].copy_from_slice(&self.start.chain.0);
        let check = crc32fast::hash(&bytes[..CHECK_AT]);
        bytes[CHECK_AT..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// Reads a header.
    pub fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Header, HeaderError> {
        if &bytes[..8] != MAGIC {
            return Err(HeaderError::Magic);
        }
        if crc32fast::hash(&bytes[..CHECK_AT]).to_le_bytes() != bytes[CHECK_AT..] {
            return Err(HeaderError::Check);
        }
        let (mut version, mut size, mut chain) = ([0; 4], [0; 8], [0; 32]);
        version.copy_from_slice(&bytes[8..12]);
        size.copy_from_slice(&bytes[12..20]);
        chain.copy_from_slice(&bytes[20..52]);
        match u32::from_le_bytes(version) {
            VERSION => Ok(Header { start: Position { size: u64::from_le_bytes(size), chain: Hash(chain) } }),
            other => Err(HeaderError::Version(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_and_any_changed_byte_is_seen() {
        let header = Header { start: Position { size: 7, chain: Hash([9; 32]) } };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Ok(header));
        for at in 0..HEADER_LEN {
            let mut changed = bytes;
            changed[at] ^= 0x40;
            assert!(Header::decode(&changed).is_err(), "byte {at}");
        }
    }
}
