//! Secrets that people carry: `bly_`, 32 random bytes in base62, a checksum.

use std::fmt;
use std::str::FromStr;

const PREFIX: &str = "bly_";
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 62^43 > 2^256 > 62^42.
const BODY: usize = 43;
/// 62^6 > 2^32.
const CHECK: usize = 6;

/// A token in the clear. It is shown once and never stored; its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// A text that is not a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// No `bly_` and 49 characters behind it.
    #[error("not a Belay token: expected `bly_` and 49 letters and digits")]
    Shape,
    /// The checksum is wrong: a typing error, not a wrong secret.
    #[error("the token's checksum is wrong; it was probably cut or mistyped")]
    Checksum,
}

impl Token {
    /// The token made of these random bytes.
    pub fn from_random(bytes: [u8; 32]) -> Token {
        let mut text = String::with_capacity(PREFIX.len() + BODY + CHECK);
        text.push_str(PREFIX);
        text.push_str(&base62(&bytes, BODY));
        let check = checksum(&text);
        text.push_str(&check);
        Token(text)
    }

    /// The secret itself. For the wire and for the one place where it is shown.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl FromStr for Token {
    type Err = TokenError;
    fn from_str(text: &str) -> Result<Token, TokenError> {
        let body = text.strip_prefix(PREFIX).ok_or(TokenError::Shape)?;
        if body.len() != BODY + CHECK || !body.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(TokenError::Shape);
        }
        let (head, check) = text.split_at(PREFIX.len() + BODY);
        if checksum(head) == check { Ok(Token(text.to_owned())) } else { Err(TokenError::Checksum) }
    }
}

fn checksum(head: &str) -> String {
    base62(&crc32fast::hash(head.as_bytes()).to_be_bytes(), CHECK)
}

/// The big-endian number in `bytes`, in base 62, padded to `width`.
fn base62(bytes: &[u8], width: usize) -> String {
    let mut number = bytes.to_vec();
    let mut digits = vec![b'0'; width];
    for digit in digits.iter_mut().rev() {
        let mut rest: u32 = 0;
        for byte in &mut number {
            let value = (rest << 8) | u32::from(*byte);
            *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
            rest = value % 62;
        }
        *digit = ALPHABET.get(rest as usize).copied().unwrap_or(b'0');
    }
    String::from_utf8_lossy(&digits).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_a_changed_one_does_not() {
        let token = Token::from_random([7; 32]);
        assert_eq!(token.reveal().len(), 53);
        assert_eq!(token.reveal().parse(), Ok(token.clone()));
        let mut text = token.reveal().to_owned();
        text.replace_range(10..11, if &text[10..11] == "x" { "y" } else { "x" });
        assert_eq!(text.parse::<Token>(), Err(TokenError::Checksum));
    }

    #[test]
    fn different_bytes_make_different_tokens_and_all_ones_fit() {
        assert_ne!(Token::from_random([0; 32]), Token::from_random([255; 32]));
    }

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(format!("{:?}", Token::from_random([1; 32])), "Token(..)");
    }
}
