//! The first packet of a connection, which has a length and a code but no type byte.

use std::str;

const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSS: u32 = 80_877_104;
/// PostgreSQL's own bound on a start-up packet.
const LIMIT: usize = 10_000;
/// The longest cancel key of protocol 3.2.
const KEY_LIMIT: usize = 256;

/// What the first packet asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// TLS.
    Ssl,
    /// GSSAPI encryption.
    Gss,
    /// To cancel what another connection runs.
    Cancel(CancelKey),
    /// A session.
    Startup(StartupParameters),
}

/// Names the connection whose statement should stop.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CancelKey {
    /// The back end's process id.
    pub process: i32,
    /// The secret: 4 bytes in protocol 3.0, up to 256 from 3.2.
    pub key: Vec<u8>,
}

/// A request for a session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StartupParameters {
    /// The minor version of protocol 3.
    pub minor: u16,
    /// Name and value, in the order they came.
    pub parameters: Vec<(String, String)>,
}

/// Why an opening cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpeningError {
    /// The length is outside 8 to 10,000 bytes.
    #[error("invalid length of startup packet")]
    Length,
    /// A major version other than 3.
    #[error("unsupported frontend protocol {0}.{1}: server supports 3.0 to 3.2")]
    Version(u16, u16),
    /// Anything else that is wrong in it.
    #[error("invalid startup packet layout")]
    Layout,
}

/// The length of the packet after its 4 bytes of length.
pub fn opening_length(length: [u8; 4]) -> Result<usize, OpeningError> {
    let length = u32::from_be_bytes(length) as usize;
    if (8..=LIMIT).contains(&length) { Ok(length - 4) } else { Err(OpeningError::Length) }
}

/// Reads the packet behind its length.
pub fn opening(body: &[u8]) -> Result<Opening, OpeningError> {
    let (code, rest) = body.split_first_chunk::<4>().ok_or(OpeningError::Length)?;
    match u32::from_be_bytes(*code) {
        SSL if rest.is_empty() => Ok(Opening::Ssl),
        GSS if rest.is_empty() => Ok(Opening::Gss),
        CANCEL => cancel(rest),
        SSL | GSS => Err(OpeningError::Length),
        version => {
            let [a, b, c, d] = version.to_be_bytes();
            let (major, minor) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            if major != 3 {
                return Err(OpeningError::Version(major, minor));
            }
            Ok(Opening::Startup(StartupParameters { minor, parameters: parameters(rest)? }))
        }
    }
}

fn cancel(rest: &[u8]) -> Result<Opening, OpeningError> {
    let (process, key) = rest.split_first_chunk::<4>().ok_or(OpeningError::Length)?;
    if !(4..=KEY_LIMIT).contains(&key.len()) {
        return Err(OpeningError::Length);
    }
    Ok(Opening::Cancel(CancelKey { process: i32::from_be_bytes(*process), key: key.to_vec() }))
}

/// Pairs of NUL-terminated texts, then one NUL and nothing behind it.
fn parameters(mut rest: &[u8]) -> Result<Vec<(String, String)>, OpeningError> {
    let mut pairs = Vec::new();
    loop {
        let name = text(&mut rest)?;
        if name.is_empty() {
            return if rest.is_empty() { Ok(pairs) } else { Err(OpeningError::Layout) };
        }
        let value = text(&mut rest)?;
        if pairs.iter().any(|(known, _)| *known == name) {
            return Err(OpeningError::Layout);
        }
        pairs.push((name, value));
    }
}

fn text(rest: &mut &[u8]) -> Result<String, OpeningError> {
    let end = memchr::memchr(0, rest).ok_or(OpeningError::Layout)?;
    let (head, tail) = rest.split_at(end);
    *rest = tail.get(1..).unwrap_or_default();
    str::from_utf8(head).map(str::to_owned).map_err(|_| OpeningError::Layout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_startup_packet_gives_its_parameters_in_order() {
        let opening = opening(b"\0\x03\0\x02user\0alice\0database\0orders\0\0").unwrap();
        let expected = StartupParameters {
            minor: 2,
            parameters: vec![("user".into(), "alice".into()), ("database".into(), "orders".into())],
        };
        assert_eq!(opening, Opening::Startup(expected));
    }

    #[test]
    fn a_packet_cut_anywhere_or_with_something_behind_it_is_refused() {
        let whole = b"\0\x03\0\0user\0alice\0\0";
        assert!(opening(whole).is_ok());
        for end in 0..whole.len() {
            assert!(opening(&whole[..end]).is_err(), "{end}");
        }
        assert_eq!(opening(b"\0\x03\0\0user\0alice\0\0x"), Err(OpeningError::Layout));
        assert_eq!(opening(b"\0\x03\0\0user\0a\0user\0b\0\0"), Err(OpeningError::Layout));
    }

    #[test]
    fn version_two_and_lengths_out_of_bounds_are_refused() {
        assert_eq!(opening(b"\0\x02\0\0"), Err(OpeningError::Version(2, 0)));
        assert_eq!(opening_length([0, 0, 0, 7]), Err(OpeningError::Length));
        assert_eq!(opening_length([0xff; 4]), Err(OpeningError::Length));
        assert_eq!(opening_length([0, 0, 0, 8]), Ok(4));
    }

    #[test]
    fn a_cancel_key_may_be_long_but_not_endless() {
        let mut packet = 80_877_102u32.to_be_bytes().to_vec();
        packet.extend_from_slice(&7i32.to_be_bytes());
        packet.extend_from_slice(&[9; 32]);
        assert_eq!(opening(&packet), Ok(Opening::Cancel(CancelKey { process: 7, key: vec![9; 32] })));
        packet.extend_from_slice(&[9; 300]);
        assert_eq!(opening(&packet), Err(OpeningError::Length));
    }
}
