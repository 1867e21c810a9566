//! Rust sources as tokens, as far as the checks need it. Not a parser: it knows comments, literals and braces.

/// The source with comments and the insides of string and character literals blanked; lines stay where they are.
pub(crate) fn without_words(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = word_end(bytes, at);
        match end {
            None => at += 1,
            Some(end) => {
                let end = end.min(bytes.len());
                code[at..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
                at = end;
            }
        }
    }
    // Only whole characters were blanked, or else bytes of one that stay what they were.
    String::from_utf8_lossy(&code).into_owned()
}

/// Where the comment or literal ends that begins at `at`; `None` where none begins.
fn word_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    match rest {
        [b'/', b'/', ..] => Some(at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())),
        [b'/', b'*', ..] => Some(at + block_comment(rest)),
        [b'"', ..] => Some(at + quoted(rest)),
        [b'r', b'"' | b'#', ..] if !follows_name(bytes, at) => raw(rest).map(|length| at + length),
        // A lifetime has no quote behind its first character.
        [b'\'', b'\\', _, tail @ ..] => Some(at + 3 + tail.iter().position(|byte| *byte == b'\'')? + 1),
        [b'\'', first, tail @ ..] if *first != b'\'' => {
            let length = char_length(*first);
            (tail.get(length - 1) == Some(&b'\'')).then_some(at + length + 2)
        }
        _ => None,
    }
}

fn block_comment(bytes: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => {
                (depth, at) = (depth - 1, at + 2);
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    bytes.len()
}

fn quoted(bytes: &[u8]) -> usize {
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// `r"..."` and `r#"..."#`; `None` for a raw name such as `r#type`.
fn raw(bytes: &[u8]) -> Option<usize> {
    let hashes = bytes[1..].iter().take_while(|byte| **byte == b'#').count();
    let inside = bytes.get(1 + hashes..)?.strip_prefix(b"\"")?;
    let close = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
    let end = inside.windows(close.len()).position(|window| window == close);
    Some(end.map_or(bytes.len(), |end| 2 + hashes + end + close.len()))
}

/// Whether the byte belongs to a longer name, as the `r` of `for` does. `br"..."` is a literal all the same.
fn follows_name(bytes: &[u8], at: usize) -> bool {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    match at.checked_sub(1).map(|before| bytes[before]) {
        Some(b'b' | b'c') => at.checked_sub(2).is_some_and(|before| is_name(&bytes[before])),
        Some(byte) => is_name(&byte),
        None => false,
    }
}

fn char_length(first: u8) -> usize {
    match first {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    }
}

/// The code with every `#[cfg(test)] mod name { ... }` blanked. Takes what [`without_words`] gives.
pub(crate) fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut kept = code.to_owned();
    let mut from = 0;
    while let Some(start) = kept[from..].find(MARK).map(|found| from + found) {
        let end = item_end(&kept, start + MARK.len());
        let blank: String = kept[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        from = start + blank.len();
        kept.replace_range(start..end, &blank);
    }
    kept
}

/// Where the item ends that begins at `start`: behind its braces, or at its semicolon.
fn item_end(code: &str, start: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, byte) in code[start..].bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth <= 1 => return start + offset + 1,
            b'}' => depth -= 1,
            b';' if depth == 0 => return start + offset + 1,
            _ => {}
        }
    }
    code.len()
}

/// Names and single signs with their lines, counted from 1.
pub(crate) fn tokens(code: &str) -> impl Iterator<Item = (usize, &str)> {
    code.lines().enumerate().flat_map(|(index, line)| line_tokens(line).map(move |token| (index + 1, token)))
}

fn line_tokens(line: &str) -> impl Iterator<Item = &str> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut rest = line;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let first = rest.chars().next()?;
        let length = if is_name(first) { rest.find(|c| !is_name(c)).unwrap_or(rest.len()) } else { first.len_utf8() };
        let (token, later) = rest.split_at(length);
        rest = later;
        Some(token)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_blanked_and_code_is_not() {
        for (source, expected) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            (r#"a "b\"c" d"#, "a        d"),
            ("a r#\"b\"c\"# d", "a          d"),
            ("a '\"' b", "a     b"),
            ("a '\\'' b", "a      b"),
            ("fn a<'b>(c: &'b str)", "fn a<'b>(c: &'b str)"),
            ("a 'é' b", "a      b"),
            ("r#type for\"x\"", "r#type for   "),
        ] {
            assert_eq!(without_words(source), expected, "{source}");
        }
    }

    #[test]
    fn an_open_comment_or_string_ends_with_the_file() {
        for source in ["/* a", "\"a", "r#\"a", "'", "'\\", "\"a\\"] {
            assert_eq!(without_words(source).len(), source.len(), "{source}");
        }
    }

    #[test]
    fn test_modules_are_blanked_with_their_braces() {
        let code = "a\n#[cfg(test)]\nmod t { b { c } }\nd\n#[cfg(test)]\nmod u;\ne";
        let kept: Vec<_> = tokens(&without_tests(code)).map(|(line, token)| (line, token.to_owned())).collect();
        assert_eq!(kept, [(1, "a".to_owned()), (4, "d".to_owned()), (7, "e".to_owned())]);
    }
}
