//! Reading the messages that are opened: statements, binds, names, command tags.

use super::WireError;
use belay_model::BindValue;

/// The longest bind value the ledger keeps whole.
const VALUE_LIMIT: usize = 4096;
/// What the server keeps of a name (`NAMEDATALEN` without its NUL).
const NAME_LENGTH: usize = 63;

/// The text of a Query: everything up to its one NUL, which is the last byte.
pub fn query_text(frame: &[u8]) -> Result<&[u8], WireError> {
    let mut body = Body::new(frame, 'Q');
    let text = body.name()?;
    body.end()?;
    Ok(text)
}

/// A Parse: the statement's name and its text.
pub fn parse(frame: &[u8]) -> Result<(&[u8], &[u8]), WireError> {
    let mut body = Body::new(frame, 'P');
    let (name, text) = (kept_name(body.name()?), body.name()?);
    let types = body.count()?;
    body.skip(types.saturating_mul(4))?;
    body.end()?;
    Ok((name, text))
}

/// The types that a Parse gives to its parameters; 0 where it leaves one open.
pub fn parameter_types(frame: &[u8]) -> Result<Vec<u32>, WireError> {
    let mut body = Body::new(frame, 'P');
    body.name()?;
    body.name()?;
    let types = (0..body.count()?).map(|_| body.long()).collect::<Result<Vec<u32>, WireError>>()?;
    body.end()?;
    Ok(types)
}

/// What a Bind says.
#[derive(Debug, PartialEq, Eq)]
pub struct Bind<'a> {
    /// The portal it makes.
    pub portal: &'a [u8],
    /// The statement it binds.
    pub statement: &'a [u8],
    /// The values, when they were asked for.
    pub values: Option<Vec<BindValue>>,
}

/// A Bind, with its values if `keep`.
pub fn bind(frame: &[u8], keep: bool) -> Result<Bind<'_>, WireError> {
    let mut body = Body::new(frame, 'B');
    let (portal, statement) = (kept_name(body.name()?), kept_name(body.name()?));
    let values = body.values(keep)?;
    body.shorts()?;
    body.end()?;
    Ok(Bind { portal, statement, values })
}

/// The portal, the statement and the values of a Bind, each with whether it is in binary format.
type Parameters<'a> = (&'a [u8], &'a [u8], Vec<(bool, Option<&'a [u8]>)>);

/// What a Bind gives to a statement.
pub fn bind_parameters(frame: &[u8]) -> Result<Parameters<'_>, WireError> {
    let mut body = Body::new(frame, 'B');
    let (portal, statement) = (kept_name(body.name()?), kept_name(body.name()?));
    let formats = body.shorts()?;
    let count = body.count()?;
    let mut values = Vec::new();
    for at in 0..count {
        let format = if formats.len() == 1 { formats.first() } else { formats.get(at) };
        values.push((format.is_some_and(|format| *format == 1), body.value()?));
    }
    Ok((portal, statement, values))
}

fn kept(value: Option<&[u8]>, binary: bool) -> BindValue {
    match value {
        None => BindValue::Null,
        Some(bytes) if bytes.len() > VALUE_LIMIT => BindValue::Long(bytes.len() as u64),
        Some(bytes) if !binary => match std::str::from_utf8(bytes) {
            Ok(text) => BindValue::Text(text.to_owned()),
            Err(_) => BindValue::Binary(hex(bytes)),
        },
        Some(bytes) => BindValue::Binary(hex(bytes)),
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'?'));
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// An Execute: the portal's name.
pub fn execute(frame: &[u8]) -> Result<&[u8], WireError> {
    let mut body = Body::new(frame, 'E');
    let portal = kept_name(body.name()?);
    body.skip(4)?;
    body.end()?;
    Ok(portal)
}

/// A FunctionCall: the function's OID, and its arguments if `keep`.
pub fn function_call(frame: &[u8], keep: bool) -> Result<(u32, Option<Vec<BindValue>>), WireError> {
    let mut body = Body::new(frame, 'F');
    let function = match body.take(4)? {
        [a, b, c, d] => u32::from_be_bytes([*a, *b, *c, *d]),
        _ => return Err(body.wrong()),
    };
    let values = body.values(keep)?;
    body.skip(2)?;
    body.end()?;
    Ok((function, values))
}

/// What a Describe or Close is about: `S` a statement or `P` a portal, and its name.
pub fn target_of(frame: &[u8], tag: char) -> Result<(u8, &[u8]), WireError> {
    let mut body = Body::new(frame, tag);
    let kind = body.byte()?;
    let name = kept_name(body.name()?);
    body.end()?;
    if matches!(kind, b'S' | b'P') { Ok((kind, name)) } else { Err(WireError::Format(tag)) }
}

/// A name as the server keeps it: it tells statements and portals apart by the first 63 bytes of their names.
fn kept_name(name: &[u8]) -> &[u8] {
    name.get(..NAME_LENGTH).unwrap_or(name)
}

/// The row count at the end of a command tag: `SELECT 3`, `INSERT 0 1`; `None` for `BEGIN`.
pub fn rows_of_tag(tag: &[u8]) -> Option<u64> {
    let tag = tag.strip_suffix(b"\0").unwrap_or(tag);
    let start = tag.iter().rposition(|byte| *byte == b' ')? + 1;
    std::str::from_utf8(tag.get(start..)?).ok()?.parse().ok()
}

/// A cursor over a message body; every step is checked.
struct Body<'a> {
    rest: &'a [u8],
    tag: char,
}

impl<'a> Body<'a> {
    fn new(frame: &'a [u8], tag: char) -> Body<'a> {
        Body { rest: frame.get(5..).unwrap_or_default(), tag }
    }

    fn wrong(&self) -> WireError {
        WireError::Format(self.tag)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or_else(|| self.wrong())?;
        self.rest = rest;
        Ok(head)
    }

    fn skip(&mut self, count: usize) -> Result<(), WireError> {
        self.take(count).map(drop)
    }

    fn byte(&mut self) -> Result<u8, WireError> {
        self.take(1)?.first().copied().ok_or_else(|| self.wrong())
    }

    /// Bytes up to a NUL, which is consumed.
    fn name(&mut self) -> Result<&'a [u8], WireError> {
        let end = memchr::memchr(0, self.rest).ok_or_else(|| self.wrong())?;
        let name = self.take(end)?;
        self.skip(1)?;
        Ok(name)
    }

    fn count(&mut self) -> Result<usize, WireError> {
        match self.take(2)? {
            [a, b] => Ok(usize::from(u16::from_be_bytes([*a, *b]))),
            _ => Err(self.wrong()),
        }
    }

    fn long(&mut self) -> Result<u32, WireError> {
        let bytes = self.take(4)?.first_chunk().ok_or_else(|| self.wrong())?;
        Ok(u32::from_be_bytes(*bytes))
    }

    fn shorts(&mut self) -> Result<Vec<u16>, WireError> {
        let count = self.count()?;
        let bytes = self.take(count.saturating_mul(2))?;
        Ok(bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect())
    }

    fn value(&mut self) -> Result<Option<&'a [u8]>, WireError> {
        let length = match self.take(4)? {
            [a, b, c, d] => i32::from_be_bytes([*a, *b, *c, *d]),
            _ => return Err(self.wrong()),
        };
        if length == -1 {
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(|_| self.wrong())?;
        self.take(length).map(Some)
    }

    /// Format codes, and then values in them; kept if `keep`.
    fn values(&mut self, keep: bool) -> Result<Option<Vec<BindValue>>, WireError> {
        let formats = self.shorts()?;
        let count = self.count()?;
        let mut values = keep.then(|| Vec::with_capacity(count.min(64)));
        for index in 0..count {
            let value = self.value()?;
            if let Some(values) = &mut values {
                let binary = match formats.as_slice() {
                    [] => false,
                    [one] => *one == 1,
                    many => many.get(index) == Some(&1),
                };
                values.push(kept(value, binary));
            }
        }
        Ok(values)
    }

    fn end(&self) -> Result<(), WireError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.wrong()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_ends_at_its_only_nul() {
        assert_eq!(query_text(b"Q\0\0\0\x0dselect 1\0"), Ok(&b"select 1"[..]));
        assert_eq!(query_text(b"Q\0\0\0\x0cselect 1"), Err(WireError::Format('Q')));
        assert_eq!(query_text(b"Q\0\0\0\x0fselect\0 1\0"), Err(WireError::Format('Q')));
    }

    #[test]
    fn a_bind_gives_its_values_in_the_format_they_came_in() {
        let frame = b"B\0\0\0\0p\0s\0\0\x02\0\0\0\x01\0\x03\0\0\0\x01x\0\0\0\x02\x01\xff\xff\xff\xff\xff\0\0";
        let bound = bind(frame, true).unwrap();
        assert_eq!((bound.portal, bound.statement), (&b"p"[..], &b"s"[..]));
        let expected = vec![BindValue::Text("x".to_owned()), BindValue::Binary("01ff".to_owned()), BindValue::Null];
        assert_eq!(bound.values, Some(expected));
        assert_eq!(bind(frame, false).unwrap().values, None);
    }

    #[test]
    fn a_function_call_gives_its_function_and_arguments() {
        let frame = b"F\0\0\0\0\0\0\x03\xbb\0\x01\0\x01\0\x02\0\0\0\x02\0\x07\xff\xff\xff\xff\0\x01";
        let expected = vec![BindValue::Binary("0007".to_owned()), BindValue::Null];
        assert_eq!(function_call(frame, true), Ok((955, Some(expected))));
        for end in 0..frame.len() {
            assert!(function_call(&frame[..end], true).is_err(), "{end}");
        }
    }

    #[test]
    fn a_bind_that_ends_early_is_refused_wherever_it_is_cut() {
        let frame = b"B\0\0\0\0p\0s\0\0\x01\0\x01\0\x01\0\0\0\x02ab\0\x01\0\x01";
        assert!(bind(frame, true).is_ok());
        for end in 0..frame.len() {
            assert!(bind(&frame[..end], true).is_err(), "{end}");
        }
    }

    #[test]
    fn names_are_as_long_as_the_server_keeps_them() {
        let frame = [b"E\0\0\0\0", &[b'n'; 70][..], b"\0\0\0\0\0"].concat();
        assert_eq!(execute(&frame), Ok(&[b'n'; 63][..]));
    }

    #[test]
    fn negative_value_lengths_other_than_null_are_refused() {
        assert!(bind(b"B\0\0\0\0\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0", true).is_err());
    }

    #[test]
    fn rows_are_read_off_the_command_tag() {
        assert_eq!(rows_of_tag(b"SELECT 12\0"), Some(12));
        assert_eq!(rows_of_tag(b"INSERT 0 3\0"), Some(3));
        assert_eq!(rows_of_tag(b"BEGIN\0"), None);
    }
}
