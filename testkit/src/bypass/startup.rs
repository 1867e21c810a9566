//! The first packets of a connection, read and written anew.

use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const VERSION_3: u32 = 3 << 16;
const SSL: u32 = 80_877_103;
const GSS: u32 = 80_877_104;
/// The server takes no longer packet before the login.
const LONGEST: usize = 10_000;
/// Requests for TLS before the start-up.
const REQUESTS: usize = 3;

/// What a client begins with.
pub(super) enum First {
    /// Its parameters, in their order.
    Startup(Vec<(String, String)>),
    /// Bytes that are passed on as they came: a cancel request, or what no client of this protocol sends.
    Other(Vec<u8>),
}

/// Reads up to the start-up packet. Requests for encryption are answered with no.
pub(super) async fn first(client: &mut TcpStream) -> io::Result<First> {
    for _ in 0..REQUESTS {
        let mut head = [0_u8; 8];
        let mut have = 0;
        while have < head.len() {
            match client.read(&mut head[have..]).await? {
                0 => return Ok(First::Other(head[..have].to_vec())),
                more => have += more,
            }
        }
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        match u32::from_be_bytes([head[4], head[5], head[6], head[7]]) {
            SSL | GSS if length == 8 => client.write_all(b"N").await?,
            VERSION_3 if (9..=LONGEST).contains(&length) => {
                let mut body = vec![0; length - 8];
                client.read_exact(&mut body).await?;
                return Ok(parameters(&body).map_or_else(|| First::Other([&head[..], &body].concat()), First::Startup));
            }
            _ => return Ok(First::Other(head.to_vec())),
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

fn parameters(body: &[u8]) -> Option<Vec<(String, String)>> {
    let text = std::str::from_utf8(body.strip_suffix(b"\0\0").or_else(|| body.strip_suffix(b"\0"))?).ok()?;
    let mut words = text.split('\0').map(str::to_owned);
    let mut found = Vec::new();
    while let Some(name) = words.next() {
        found.push((name, words.next()?));
    }
    Some(found)
}

/// A start-up packet of these parameters.
pub(super) fn packet(parameters: &[(String, String)]) -> Vec<u8> {
    let mut body = VERSION_3.to_be_bytes().to_vec();
    for word in parameters.iter().flat_map(|(name, value)| [name, value]) {
        body.extend_from_slice(word.as_bytes());
        body.push(0);
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).expect("a short packet");
    [&length.to_be_bytes()[..], &body].concat()
}

/// A ParameterStatus message.
pub(super) fn status(name: &str, value: &str) -> Vec<u8> {
    let body = [name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat();
    message(b'S', &body)
}

/// The error that ends a connection before it is one.
pub(super) fn fatal(text: &str) -> Vec<u8> {
    message(b'E', &[b"SFATAL\0C08006\0M", text.as_bytes(), b"\0\0"].concat())
}

/// A message of the server's.
pub(super) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("a short message");
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_up_comes_back_as_it_was() {
        let pairs = [("user", "a"), ("options", ""), ("database", "d")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(parameters(&packet(&pairs)[8..]).unwrap(), pairs);
        assert_eq!(parameters(b"user\0"), None);
    }
}
