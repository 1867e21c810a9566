//! Random numbers, for nonces and cancel keys.

use aws_lc_rs::rand;
use base64::Engine as _;
use std::io;

/// Random bytes from the system.
pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0u8; N];
    rand::fill(&mut bytes).map_err(|_| io::Error::other("no random numbers"))?;
    Ok(bytes)
}

/// A random text of printable characters, for a nonce.
pub(crate) fn random_text() -> io::Result<String> {
    Ok(base64::engine::general_purpose::STANDARD_NO_PAD.encode(random::<18>()?))
}
