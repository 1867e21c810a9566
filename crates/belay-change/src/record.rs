//! The fields of a row image: PostgreSQL's text of a record, `(41,"a ""b""",,"")`.

use std::ops::Range;

/// A text that is not a record with as many fields as its table has columns. It holds nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// Not a record at all.
    #[error("a row image is not a record")]
    Malformed,
    /// A record of another table, or of the table as it was or will be.
    #[error("a row image has {found} fields where its table has {wanted} columns")]
    Fields {
        /// As many as it has.
        found: usize,
        /// As many as the table has columns.
        wanted: usize,
    },
    /// A field is not UTF-8, as it may be where a database's encoding is `SQL_ASCII`.
    #[error("a row image is not UTF-8")]
    NotText,
}

/// The fields of an image at these places; `None` is NULL.
pub fn read_some(image: &[u8], columns: usize, places: &[u16]) -> Result<Vec<Option<String>>, BadRecord> {
    let mut spans = Vec::with_capacity(columns);
    find_fields(image, columns, &mut spans)?;
    let field = |place: &u16| {
        let span = spans.get(usize::from(*place)).cloned().ok_or(BadRecord::Malformed)?;
        let value = unquote(image.get(span).unwrap_or_default())?;
        value.map(|bytes| String::from_utf8(bytes).map_err(|_| BadRecord::NotText)).transpose()
    };
    places.iter().map(field).collect()
}

/// The image with these fields, quoted where PostgreSQL itself quotes.
pub fn write_record<T: AsRef<[u8]>>(fields: &[Option<T>]) -> Vec<u8> {
    let mut image = vec![b'('];
    for (place, field) in fields.iter().enumerate() {
        if place > 0 {
            image.push(b',');
        }
        if let Some(value) = field {
            write_field(&mut image, value.as_ref());
        }
    }
    image.push(b')');
    image
}

/// Where the fields stand in the image, quotes included. Equal fields have equal texts there, because the target
/// writes a value in one way only.
pub(crate) fn find_fields(image: &[u8], columns: usize, spans: &mut Vec<Range<usize>>) -> Result<(), BadRecord> {
    spans.clear();
    let inner = image.strip_prefix(b"(").and_then(|rest| rest.strip_suffix(b")")).ok_or(BadRecord::Malformed)?;
    // A record of no fields and one of a single NULL are written alike.
    if columns == 0 && inner.is_empty() {
        return Ok(());
    }
    let (mut start, mut quoted) = (1, false);
    let mut bytes = inner.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next().ok_or(BadRecord::Malformed)?;
            }
            // A doubled quote ends the quoting and begins it again.
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                spans.push(start..at + 1);
                start = at + 2;
            }
            b'(' | b')' if !quoted => return Err(BadRecord::Malformed),
            _ => {}
        }
    }
    if quoted {
        return Err(BadRecord::Malformed);
    }
    spans.push(start..image.len() - 1);
    if spans.len() == columns { Ok(()) } else { Err(BadRecord::Fields { found: spans.len(), wanted: columns }) }
}

/// As `record_in` reads a field: quotes may begin and end anywhere in it.
pub(crate) fn unquote(field: &[u8]) -> Result<Option<Vec<u8>>, BadRecord> {
    if field.is_empty() {
        return Ok(None);
    }
    let mut value = Vec::with_capacity(field.len());
    let (mut quoted, mut bytes) = (false, field.iter().copied().peekable());
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => value.push(bytes.next().ok_or(BadRecord::Malformed)?),
            b'"' if quoted && bytes.peek() == Some(&b'"') => {
                bytes.next();
                value.push(b'"');
            }
            b'"' => quoted = !quoted,
            _ => value.push(byte),
        }
    }
    Ok(Some(value))
}

/// As `record_out` writes a field that is not NULL.
fn write_field(image: &mut Vec<u8>, value: &[u8]) {
    let needs_quotes = |byte: &u8| matches!(byte, b'"' | b'\\' | b'(' | b')' | b',' | b' ' | b'\t'..=b'\r');
    if !value.is_empty() && !value.iter().any(needs_quotes) {
        image.extend_from_slice(value);
        return;
    }
    image.push(b'"');
    for &byte in value {
        if matches!(byte, b'"' | b'\\') {
            image.push(byte);
        }
        image.push(byte);
    }
    image.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_record(image: &[u8], columns: usize) -> Result<Vec<Option<String>>, BadRecord> {
        read_some(image, columns, &(0..u16::try_from(columns).unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn some_fields_are_those_of_all() {
        let image = br#"(41,"a ""b""",,"c,d")"#;
        let all = read_record(image, 4).unwrap();
        assert_eq!(read_some(image, 4, &[3, 2, 0]).unwrap(), [all[3].clone(), None, all[0].clone()]);
        assert_eq!(read_some(image, 5, &[0]), Err(BadRecord::Fields { found: 4, wanted: 5 }));
        assert_eq!(read_some(image, 4, &[4]), Err(BadRecord::Malformed));
    }

    fn read(image: &str, columns: usize) -> Vec<Option<String>> {
        read_record(image.as_bytes(), columns).unwrap()
    }

    fn values<const N: usize>(values: [Option<&str>; N]) -> Vec<Option<String>> {
        values.into_iter().map(|value| value.map(str::to_owned)).collect()
    }

    #[test]
    fn null_and_the_empty_text_are_told_apart() {
        assert_eq!(read("(,\"\",)", 3), values([None, Some(""), None]));
        assert_eq!(read("()", 1), [None]);
        assert!(read("()", 0).is_empty());
    }

    #[test]
    fn quotes_backslashes_and_commas_inside_a_field_belong_to_it() {
        let image = r#"(41,"a ""b"", c\\d","{""x"": [1, 2]}",plain)"#;
        let fields = values([Some("41"), Some(r#"a "b", c\d"#), Some(r#"{"x": [1, 2]}"#), Some("plain")]);
        assert_eq!(read(image, 4), fields);
        assert_eq!(write_record(&fields), image.as_bytes());
    }

    #[test]
    fn what_record_in_takes_is_read_even_where_record_out_would_not_write_it() {
        assert_eq!(read(r#"(a"b, c"d,\,e)"#, 2), values([Some("ab, cd"), Some(",e")]));
    }

    #[test]
    fn what_is_no_record_is_an_error() {
        for image in ["", "(", ")", "a,b", "(a", "a)", "(a))", "((a)", "(\"a)", "(a\\)", "(\"a\"\")", "(a)b"] {
            assert_eq!(read_record(image.as_bytes(), 1), Err(BadRecord::Malformed), "{image}");
        }
        assert_eq!(read_record(b"(a,b)", 1), Err(BadRecord::Fields { found: 2, wanted: 1 }));
        assert_eq!(read_record(b"(a)", 0), Err(BadRecord::Fields { found: 1, wanted: 0 }));
        assert_eq!(read_record(b"(\xff)", 1), Err(BadRecord::NotText));
    }

    proptest! {
        #[test]
        fn any_fields_come_back(fields in prop::collection::vec(prop::option::of("[a-c\"\\\\(), \\t\\né]{0,8}"), 1..6)) {
            let image = write_record(&fields);
            prop_assert_eq!(read_record(&image, fields.len()).unwrap(), fields);
        }

        #[test]
        fn no_bytes_are_too_odd_to_be_refused(image in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = read_record(&image, 3);
        }
    }
}
