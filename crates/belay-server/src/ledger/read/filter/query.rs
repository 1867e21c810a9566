//! The words of a query: `who:ann`, `-table:orders`, `row:"a b"`, `drop`, `"drop table"`.

use super::FilterError;

/// One word of a query.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Word<'a> {
    /// A `-` stands before it.
    pub(super) negated: bool,
    /// What stands before the first `:`.
    pub(super) key: Option<&'a str>,
    /// The rest, without its quotes.
    pub(super) value: &'a str,
    /// Whether it had quotes.
    pub(super) quoted: bool,
}

/// Splits a query.
pub(super) fn words(text: &str) -> Result<Vec<Word<'_>>, FilterError> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (word, after) = first(rest)?;
        words.push(word);
        rest = after.trim_start();
    }
    Ok(words)
}

fn first(text: &str) -> Result<(Word<'_>, &str), FilterError> {
    let (negated, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (key, value) = match text[..end].split_once(':') {
        Some((key, _)) if !text.starts_with('"') => (Some(key), &text[key.len() + 1..]),
        _ => (None, text),
    };
    if let Some(quoted) = value.strip_prefix('"') {
        let (value, after) = quoted.split_once('"').ok_or(FilterError::Quote)?;
        return Ok((Word { negated, key, value, quoted: true }, after));
    }
    let (value, after) = value.split_once(char::is_whitespace).unwrap_or((value, ""));
    Ok((Word { negated, key, value, quoted: false }, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word<'a>(negated: bool, key: Option<&'a str>, value: &'a str, quoted: bool) -> Word<'a> {
        Word { negated, key, value, quoted }
    }

    #[test]
    fn a_word_may_be_negated_keyed_and_quoted() {
        let found = words(r#" drop -who:bob row:"a b" -"drop table" since:2026-11-01T08:30:00Z -row:"x" - "k:v" "#);
        let expected = vec![
            word(false, None, "drop", false),
            word(true, Some("who"), "bob", false),
            word(false, Some("row"), "a b", true),
            word(true, None, "drop table", true),
            word(false, Some("since"), "2026-11-01T08:30:00Z", false),
            word(true, Some("row"), "x", true),
            word(true, None, "", false),
            word(false, None, "k:v", true),
        ];
        assert_eq!(found, Ok(expected));
    }

    #[test]
    fn a_quote_must_be_closed() {
        for open in ["\"drop", "row:\"a b", "a -\""] {
            assert_eq!(words(open), Err(FilterError::Quote), "{open}");
        }
    }
}
