//! The shape of a text at a glance. It tells more texts apart than the tokens do, and is found without the scanner.
//!
//! Two texts of one shape have the same tokens, but for the values of some literals. That needs little of the lexer:
//! where strings, quoted names and comments begin and end. What takes more than that has no shape here.

use super::LONGEST;

/// Stand-ins. Control characters have no shape, so that no text holds them itself.
const STRING: u8 = 1;
const INTEGER: u8 = 2;
/// So many digits are an integer to every server.
const DIGITS: usize = 9;

/// The text without its plain strings and integers.
pub(in crate::classify) fn glance(text: &str) -> Option<Box<[u8]>> {
    let mut rest = text.as_bytes();
    if rest.len() > LONGEST || !rest.first().is_some_and(|first| may_begin(*first)) {
        return None;
    }
    let mut key = Vec::with_capacity(rest.len());
    let mut before = b' ';
    while let Some((&byte, after)) = rest.split_first() {
        let next = after.first().copied().unwrap_or(b' ');
        let (token, following) = match byte {
            // A letter before it makes it a string of another kind; another string, a quote in the string.
            b'\'' => {
                if !divides(before) {
                    return None;
                }
                key.push(STRING);
                rest.split_at_checked(memchr::memchr(b'\'', after)? + 2)?
            }
            // With more escapes than one.
            b'"' if before == b'&' => return None,
            b'"' => {
                let (name, following) = rest.split_at_checked(memchr::memchr(b'"', after)? + 2)?;
                // What looks like a stand-in in a name would be one in the key.
                if name.iter().any(u8::is_ascii_control) {
                    return None;
                }
                key.extend_from_slice(name);
                (name, following)
            }
            b'0'..=b'9' => {
                let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                let (digits, following) = rest.split_at_checked(length)?;
                let ends =
                    following.first().is_none_or(|next| matches!(next, b')' | b']' | b',' | b';') || space(*next));
                if divides(before) && ends && length <= DIGITS {
                    key.push(INTEGER);
                } else {
                    key.extend_from_slice(digits);
                }
                (digits, following)
            }
            b'-' if next == b'-' => return None,
            b'/' if next == b'*' => return None,
            // Of a parameter, or of a string between dollars.
            b'$' if !next.is_ascii_digit() => return None,
            _ if byte.is_ascii_control() && !space(byte) => return None,
            _ => {
                key.push(byte);
                rest.split_at_checked(1)?
            }
        };
        before = token.last().copied().unwrap_or(b' ');
        rest = following;
    }
    Some(key.into_boxed_slice())
}

/// Only what [`super::key`] has a key for is ever found.
fn may_begin(first: u8) -> bool {
    matches!(first.to_ascii_lowercase(), b's' | b'w' | b'v' | b't' | b'(' | b'i' | b'u' | b'd' | b'm')
}

/// What is behind this byte is a token of its own.
fn divides(byte: u8) -> bool {
    space(byte) || matches!(byte, b'(' | b'[' | b',' | b'=' | b'<' | b'>' | b'+' | b'-' | b'*' | b'/')
}

fn space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_of_plain_literals_do_not_count() {
        let one = glance("SELECT \"a\" FROM t WHERE b = 1 AND c IN ('x', 'y') LIMIT 20").unwrap();
        assert_eq!(glance("SELECT \"a\" FROM t WHERE b = 22 AND c IN ('--', '\"') LIMIT 7"), Some(one.clone()));
        for other in [
            "SELECT \"A\" FROM t WHERE b = 1 AND c IN ('x', 'y') LIMIT 20",
            "SELECT \"a\" FROM t WHERE b = 1 AND c IN ('x','y') LIMIT 20",
            "SELECT \"a\" FROM t WHERE b = 9999999999 AND c IN ('x', 'y') LIMIT 20",
            "SELECT \"a\" FROM t1 WHERE b = 1 AND c IN ('x', 'y') LIMIT 20",
        ] {
            assert_ne!(glance(other), Some(one.clone()), "{other}");
        }
    }

    #[test]
    fn what_takes_more_than_a_glance_has_no_shape() {
        for text in [
            "SELECT E'a'",
            "SELECT U&\"a\"",
            "SELECT 'it''s'",
            "SELECT 'a",
            "SELECT \"a",
            "SELECT $$a$$",
            "SELECT a$b$",
            "SELECT 1 -- a",
            "SELECT 1 /* a */",
            "SELECT \u{1}",
            "SELECT \"\u{1}\"",
            "BEGIN",
            "",
        ] {
            assert_eq!(glance(text), None, "{text:?}");
        }
    }

    /// A piece of a text, and what may stand in its place.
    const PIECES: &[(&str, &str)] = &[
        ("SELECT", "SELECT"),
        (" ", " "),
        ("\n", "\n"),
        (" ", " "),
        ("1", "23"),
        ("7", "7000000001"),
        ("5", "5.5"),
        ("12", "1e2"),
        ("0", "0x1"),
        ("0", "1"),
        ("x1", "x1"),
        ("'a'", "'bc'"),
        ("'x'", "''"),
        ("'--'", "'/*'"),
        ("'$$'", "'\"'"),
        ("'\\'", "'\\\\'"),
        // What is in these is a string only where nothing else was begun before.
        ("'\n1 --'", "'\na --'"),
        ("'*/ 1 --'", "'*/ a --'"),
        ("'$$ 1 --'", "'$$ a --'"),
        ("'", "'"),
        ("\"n\"", "\"n\""),
        ("\"1\"", "\"2\""),
        ("\"", "\""),
        ("E", "E"),
        ("U&", "U&"),
        ("$", "$"),
        ("$1", "$1"),
        ("$$", "$$"),
        ("a", "a"),
        ("\u{e9}", "\u{e9}"),
        ("_", "_"),
        (".", "."),
        (",", ","),
        ("(", "("),
        (")", ")"),
        ("=", "="),
        ("-", "-"),
        ("/", "/"),
        ("*", "*"),
        (":", ":"),
        (";", ";"),
        ("--", "--"),
        ("/*", "/*"),
        ("\\", "\\"),
    ];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn texts_of_one_shape_have_the_same_tokens(pieces in prop::collection::vec((0..PIECES.len(), any::<bool>()), 1..14)) {
            let (mut one, mut other) = ("SELECT ".to_owned(), "SELECT ".to_owned());
            for (piece, change) in pieces {
                let (text, changed) = PIECES[piece];
                one.push_str(text);
                other.push_str(if change { changed } else { text });
            }
            let tokens = |text: &str| pg_query::scan_tokens(text).ok().map(|tokens| super::super::key(text, &tokens));
            if let (Some(shape), Some(same)) = (glance(&one), glance(&other)) && shape == same {
                prop_assert_eq!(tokens(&one), tokens(&other), "{} and {}", one, other);
            }
        }
    }
}
