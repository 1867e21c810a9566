//! What is shown instead of a value.

use super::MaskKey;
use belay_model::MaskKind;

/// Purposes of the key: a hash must tell nothing of a replacement of the same value.
const HASH: u8 = 1;
const FORMAT: u8 = 2;
/// How many bytes of the hash are shown.
const HASH_LENGTH: usize = 8;

/// What stands in for `value`, which is text. `None` is NULL.
pub(super) fn disguise(kind: &MaskKind, value: &[u8], key: &MaskKey) -> Option<String> {
    match kind {
        MaskKind::Withheld | MaskKind::Null => None,
        MaskKind::Fixed(text) => Some(text.clone()),
        MaskKind::LastFour => std::str::from_utf8(value).ok().map(last_four),
        MaskKind::Hash => std::str::from_utf8(value).ok().map(|text| hash(text, key)),
        MaskKind::Format => std::str::from_utf8(value).ok().map(|text| replace(text, key)),
    }
}

fn last_four(text: &str) -> String {
    let count = text.chars().count();
    let shown = if count > 4 { 4 } else { 0 };
    let stars = std::iter::repeat_n('*', count - shown);
    stars.chain(text.chars().skip(count - shown)).collect()
}

fn hash(text: &str, key: &MaskKey) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let tag = key.sign(HASH, 0, text.as_bytes());
    let digit = |nibble: u8| char::from(DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0'));
    tag.as_ref().iter().take(HASH_LENGTH).flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Letters become letters of the same case and digits become digits; everything else stays.
fn replace(text: &str, key: &MaskKey) -> String {
    let (mut block, mut stream) = (0u32, Vec::new());
    let mut next = || {
        if stream.is_empty() {
            stream = key.sign(FORMAT, block, text.as_bytes()).as_ref().to_vec();
            block = block.wrapping_add(1);
        }
        stream.pop().unwrap_or_default()
    };
    let one = |c: char| match c {
        c if c.is_numeric() => char::from(b'0' + next() % 10),
        c if c.is_uppercase() => char::from(b'A' + next() % 26),
        c if c.is_alphabetic() => char::from(b'a' + next() % 26),
        c => c,
    };
    text.chars().map(one).collect()
}

/// A text as a JSON string, for columns whose readers parse them.
pub(super) fn as_json(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            c if c.is_control() => json.push(' '),
            c => json.push(c),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(kind: &MaskKind, value: &[u8]) -> Option<String> {
        disguise(kind, value, &MaskKey::new([7; 32]))
    }

    #[test]
    fn the_last_four_are_characters_and_shorter_values_are_masked_whole() {
        for (value, expected) in [
            ("4111111111111111", "************1111"),
            ("ab", "**"),
            ("abcd", "****"),
            ("abcde", "*bcde"),
            ("grüße@ö.de", "******ö.de"),
            ("", ""),
        ] {
            assert_eq!(shown(&MaskKind::LastFour, value.as_bytes()).as_deref(), Some(expected));
        }
    }

    #[test]
    fn equal_values_have_equal_hashes_under_one_key_only() {
        let one = shown(&MaskKind::Hash, b"alice@example.com").unwrap();
        assert_eq!(one.len(), 16);
        assert_eq!(shown(&MaskKind::Hash, b"alice@example.com").as_ref(), Some(&one));
        assert_ne!(shown(&MaskKind::Hash, b"alice@example.con").as_ref(), Some(&one));
        assert_ne!(disguise(&MaskKind::Hash, b"alice@example.com", &MaskKey::new([8; 32])), Some(one));
    }

    #[test]
    fn a_replacement_keeps_length_case_and_punctuation() {
        let value = "Ann-Marie O'Neill, +49 (0)30 1234567 ÄÖü ".repeat(3);
        let replaced = shown(&MaskKind::Format, value.as_bytes()).unwrap();
        assert_ne!(replaced, value);
        for (was, is) in value.chars().zip(replaced.chars()) {
            let same_kind = match was {
                c if c.is_numeric() => is.is_ascii_digit(),
                c if c.is_uppercase() => is.is_ascii_uppercase(),
                c if c.is_alphabetic() => is.is_ascii_lowercase(),
                c => is == c,
            };
            assert!(same_kind, "{was} became {is}");
        }
        assert_eq!(value.chars().count(), replaced.chars().count());
    }

    #[test]
    fn what_is_not_utf_8_becomes_null() {
        for kind in [MaskKind::LastFour, MaskKind::Hash, MaskKind::Format, MaskKind::Null, MaskKind::Withheld] {
            assert_eq!(shown(&kind, b"\xff\xfe"), None);
        }
    }

    #[test]
    fn json_stays_json() {
        assert_eq!(as_json("a\"b\\c\nd"), r#""a\"b\\c d""#);
    }

    #[test]
    fn the_key_is_not_shown() {
        assert_eq!(format!("{:?}", MaskKey::new([7; 32])), "MaskKey");
    }
}
