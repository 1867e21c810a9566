//! What the tokens of a text say before it is parsed: how deep its tree can be, and what is left of it when literals
//! are taken out.

mod glance;
mod nesting;

pub(super) use glance::glance;
pub(super) use nesting::nesting;

use pg_query::protobuf::{ScanToken, Token};

/// Longer texts differ in more than their literals; building their key would be for nothing.
const LONGEST: usize = 16 * 1024;

/// The text without its literals, comments and spaces. None where a text is too long, does not begin as one that reads or
/// changes rows, or holds a literal that the grammar itself looks into.
pub(super) fn key(text: &str, tokens: &[ScanToken]) -> Option<Box<[u8]>> {
    let first = tokens.iter().map(kind).find(|token| !is_comment(*token))?;
    let reads = matches!(first, Token::Select | Token::With | Token::Values | Token::Table | Token::Ascii40);
    let changes = matches!(first, Token::Insert | Token::Update | Token::DeleteP | Token::Merge);
    if !(reads || changes) || text.len() > LONGEST {
        return None;
    }
    let mut key = Vec::with_capacity(text.len() + tokens.len());
    for token in tokens {
        match kind(token) {
            Token::SqlComment | Token::CComment => continue,
            Token::Sconst => key.push(1),
            Token::Iconst => key.push(2),
            Token::Fconst => key.push(3),
            Token::Bconst => key.push(4),
            Token::Xconst => key.push(5),
            // After FLOAT, too: `float(24)` and `float(25)` are two types.
            Token::Uident | Token::Usconst | Token::Uescape | Token::FloatP => return None,
            _ => {
                let (start, end) = (usize::try_from(token.start).ok()?, usize::try_from(token.end).ok()?);
                let own = text.as_bytes().get(start..end)?;
                // A stray control character is a token of its own and would read as the stand-in of a literal.
                if matches!(own, [0..=31]) {
                    return None;
                }
                key.extend_from_slice(own);
            }
        }
        key.push(0);
    }
    Some(key.into_boxed_slice())
}

fn kind(token: &ScanToken) -> Token {
    Token::try_from(token.token).unwrap_or(Token::Nul)
}

fn is_comment(token: Token) -> bool {
    matches!(token, Token::SqlComment | Token::CComment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(text: &str) -> Option<Box<[u8]>> {
        key(text, &pg_query::scan_tokens(text).unwrap())
    }

    #[test]
    fn literals_comments_and_spaces_do_not_count() {
        let one = key_of("SELECT 'a', 1, 1.5, x'f', b'1' FROM t -- c").unwrap();
        assert_eq!(key_of("SELECT $$b$$,2,2e9,x'0',b'0'\n/* ; */FROM t").unwrap(), one);
    }

    #[test]
    fn names_parameters_kinds_of_literals_and_boundaries_of_tokens_count() {
        let one = key_of("SELECT a, 1 FROM t WHERE b = $1").unwrap();
        for other in [
            "SELECT a, 1 FROM u WHERE b = $1",
            "SELECT a, 1 FROM t WHERE b = $2",
            "SELECT a, '1' FROM t WHERE b = $1",
            "SELECT a, 1 FROM \"t\" WHERE b = $1",
            "SELECT a, 1 FROM t WHERE b = $1;",
            "SELECT a, - 1 FROM t WHERE b = $1",
        ] {
            assert_ne!(key_of(other).unwrap(), one, "{other}");
        }
        assert_ne!(key_of("SELECT \"\u{1}\""), key_of("SELECT 'x'"));
        assert_eq!(key_of("SELECT \u{1}"), None);
    }

    #[test]
    fn what_is_about_no_rows_or_hides_names_in_literals_has_no_key() {
        for text in ["SET a = 1", "-- x", "SELECT U&\"d\\0061t\" UESCAPE '!'", "SELECT U&'a'", "SELECT 1::float(1)"] {
            assert_eq!(key_of(text), None, "{text}");
        }
    }
}
