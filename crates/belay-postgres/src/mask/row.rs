//! Rows with some of their values replaced (PostgreSQL documentation, "Message Formats": `RowDescription`, `DataRow`).

use super::disguise::{as_json, disguise};
use super::{MaskKey, MaskedColumns};
use belay_model::MaskKind;
use bytes::{BufMut, BytesMut};

/// Types whose text and binary format are the same bytes: text, varchar, bpchar, name, json, xml.
const TEXTUAL: [u32; 6] = [25, 1043, 1042, 19, JSON, 142];
/// The one of them whose readers parse it.
const JSON: u32 = 114;

/// Why a result cannot be masked. Says nothing of its values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MaskError {
    #[error("the target sent a malformed row description")]
    Description,
    #[error("the target sent a malformed row")]
    Row,
    #[error("a row has {found} fields where its description has {described}")]
    Count { found: usize, described: usize },
    #[error("column {position} is to be masked, and the result has {described}")]
    Range { position: usize, described: usize },
    #[error("the target says that column {position} is masked, and the statement was judged to show none there")]
    Uncovered { position: usize },
}

/// What a RowDescription says of one column of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field {
    /// The table it comes from; 0 where it is computed.
    pub(crate) table: u32,
    /// Its number in that table.
    pub(crate) column: i16,
    /// Its type.
    pub(crate) type_oid: u32,
    /// Whether its values come in binary.
    pub(crate) binary: bool,
}

/// Reads the body of a RowDescription.
pub(crate) fn fields(body: &[u8]) -> Result<Vec<Field>, MaskError> {
    let (count, mut rest) = body.split_first_chunk::<2>().ok_or(MaskError::Description)?;
    let count = usize::from(u16::from_be_bytes(*count));
    let mut fields = Vec::with_capacity(count.min(64));
    for _ in 0..count {
        let end = memchr::memchr(0, rest).ok_or(MaskError::Description)?;
        let (facts, later) =
            rest.get(end + 1..).and_then(<[u8]>::split_first_chunk::<18>).ok_or(MaskError::Description)?;
        let [t0, t1, t2, t3, c0, c1, o0, o1, o2, o3, _, _, _, _, _, _, f0, f1] = *facts;
        fields.push(Field {
            table: u32::from_be_bytes([t0, t1, t2, t3]),
            column: i16::from_be_bytes([c0, c1]),
            type_oid: u32::from_be_bytes([o0, o1, o2, o3]),
            binary: [f0, f1] != [0, 0],
        });
        rest = later;
    }
    if rest.is_empty() { Ok(fields) } else { Err(MaskError::Description) }
}

/// How the rows of one result are masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowMask {
    /// How many fields a row has.
    fields: usize,
    /// The masked ones, in order.
    cells: Vec<Cell>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Cell {
    position: usize,
    kind: MaskKind,
    json: bool,
}

impl RowMask {
    /// For a result of these fields, of which the permit masks `positions`; where it names none, what the target says
    /// of their origin decides. A result that shows a masked column where the permit masks another is refused.
    pub(crate) fn of(
        fields: &[Field],
        positions: &[(u16, MaskKind)],
        columns: &MaskedColumns,
    ) -> Result<RowMask, MaskError> {
        let mut cells = Vec::new();
        for (position, field) in fields.iter().enumerate() {
            let permitted = positions.iter().find(|(masked, _)| usize::from(*masked) == position).map(|(_, kind)| kind);
            match (permitted, columns.kind_of(field)) {
                (None, Some(_)) if !positions.is_empty() => return Err(MaskError::Uncovered { position }),
                (Some(kind), _) | (None, Some(kind)) => cells.push(Cell::of(position, field, kind)),
                (None, None) => {}
            }
        }
        let beyond = positions.iter().map(|(position, _)| usize::from(*position)).find(|at| *at >= fields.len());
        match beyond {
            Some(position) => Err(MaskError::Range { position, described: fields.len() }),
            None => Ok(RowMask { fields: fields.len(), cells }),
        }
    }

    /// Whether rows stay as they are.
    pub(crate) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Appends the row in `body`, masked, to `out`. After an error nothing has been appended.
    pub(crate) fn rewrite(&self, body: &[u8], key: &MaskKey, out: &mut BytesMut) -> Result<(), MaskError> {
        let start = out.len();
        out.put_u8(b'D');
        out.put_u32(0);
        let written = self.rewrite_values(body, key, out).and_then(|()| {
            let length = i32::try_from(out.len() - start - 1).map_err(|_| MaskError::Row)?;
            let field = out.get_mut(start + 1..start + 5).ok_or(MaskError::Row)?;
            field.copy_from_slice(&length.to_be_bytes());
            Ok(())
        });
        if written.is_err() {
            out.truncate(start);
        }
        written
    }

    fn rewrite_values(&self, body: &[u8], key: &MaskKey, out: &mut BytesMut) -> Result<(), MaskError> {
        let (count, mut rest) = body.split_first_chunk::<2>().ok_or(MaskError::Row)?;
        let found = usize::from(u16::from_be_bytes(*count));
        if found != self.fields {
            return Err(MaskError::Count { found, described: self.fields });
        }
        out.put_slice(count);
        let mut cells = self.cells.iter().peekable();
        for position in 0..found {
            let (value, later) = value(rest).ok_or(MaskError::Row)?;
            rest = later;
            match (cells.next_if(|cell| cell.position == position), value) {
                (Some(cell), Some(value)) => put(cell.shown(value, key).as_deref().map(str::as_bytes), out),
                (_, value) => put(value, out),
            }
        }
        if rest.is_empty() { Ok(()) } else { Err(MaskError::Row) }
    }
}

impl Cell {
    /// A type that is not text has no room for a disguise: the client would fail to read it, or read something else.
    fn of(position: usize, field: &Field, kind: &MaskKind) -> Cell {
        let kind = if TEXTUAL.contains(&field.type_oid) { kind.clone() } else { MaskKind::Null };
        Cell { position, kind, json: field.type_oid == JSON }
    }

    fn shown(&self, value: &[u8], key: &MaskKey) -> Option<String> {
        let text = disguise(&self.kind, value, key)?;
        Some(if self.json { as_json(&text) } else { text })
    }
}

/// The value at the head of `bytes`, and what follows it.
fn value(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    match i32::from_be_bytes(*length) {
        -1 => Some((None, rest)),
        length => {
            let (value, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            Some((Some(value), rest))
        }
    }
}

fn put(value: Option<&[u8]>, out: &mut BytesMut) {
    match value {
        // A message is at most 2^31 bytes long, and so is a value in it.
        Some(value) => {
            out.put_u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
            out.put_slice(value);
        }
        None => out.put_i32(-1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: u32 = 25;
    const INT8: u32 = 20;

    fn field(table: u32, column: i16, type_oid: u32, binary: bool) -> Field {
        Field { table, column, type_oid, binary }
    }

    fn description(fields: &[Field]) -> Vec<u8> {
        let mut body = BytesMut::new();
        body.put_u16(u16::try_from(fields.len()).unwrap());
        for field in fields {
            body.put_slice(b"name\0");
            body.put_u32(field.table);
            body.put_i16(field.column);
            body.put_u32(field.type_oid);
            body.put_slice(&[0, 8, 255, 255, 255, 255]);
            body.put_u16(u16::from(field.binary));
        }
        body.to_vec()
    }

    fn row(values: &[Option<&[u8]>]) -> Vec<u8> {
        let mut body = BytesMut::new();
        body.put_u16(u16::try_from(values.len()).unwrap());
        for value in values {
            put(*value, &mut body);
        }
        body.to_vec()
    }

    fn key() -> MaskKey {
        MaskKey::new([1; 32])
    }

    fn masked(mask: &RowMask, values: &[Option<&[u8]>]) -> Vec<Option<String>> {
        let mut out = BytesMut::new();
        mask.rewrite(&row(values), &key(), &mut out).unwrap();
        assert_eq!(out.len(), u32::from_be_bytes(out[1..5].try_into().unwrap()) as usize + 1);
        let (mut rest, mut values) = (&out[7..], Vec::new());
        while let Some((one, later)) = value(rest) {
            values.push(one.map(|one| String::from_utf8_lossy(one).into_owned()));
            rest = later;
        }
        values
    }

    #[test]
    fn a_description_is_read_whole_or_not_at_all() {
        let described = [field(16384, 2, TEXT, false), field(0, 0, INT8, true)];
        let body = description(&described);
        assert_eq!(fields(&body).unwrap(), described);
        for end in 0..body.len() {
            assert_eq!(fields(&body[..end]), Err(MaskError::Description), "{end}");
        }
    }

    #[test]
    fn only_masked_values_change_and_null_stays_null() {
        let described = [field(9, 1, INT8, true), field(9, 2, TEXT, true), field(9, 3, TEXT, false)];
        let mask = RowMask::of(&described, &[(1, MaskKind::LastFour)], &MaskedColumns::default()).unwrap();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            masked(&mask, &[Some(b"12345678"), Some(b"secret@home"), Some(b"plain")]),
            [text("12345678"), text("*******home"), text("plain")]
        );
        assert_eq!(masked(&mask, &[None, None, None]), [None, None, None]);
    }

    #[test]
    fn types_other_than_text_become_null_in_either_format() {
        for binary in [false, true] {
            for kind in [MaskKind::LastFour, MaskKind::Hash, MaskKind::Format, MaskKind::Fixed("x".to_owned())] {
                let mask = RowMask::of(&[field(9, 1, INT8, binary)], &[(0, kind)], &MaskedColumns::default()).unwrap();
                assert_eq!(masked(&mask, &[Some(b"12345678")]), [None]);
            }
        }
    }

    #[test]
    fn json_is_shown_as_a_json_string() {
        let mask = RowMask::of(&[field(9, 1, JSON, false)], &[(0, MaskKind::LastFour)], &MaskedColumns::default());
        assert_eq!(masked(&mask.unwrap(), &[Some(br#"{"a":1}"#)]), [Some(r#""***\":1}""#.to_owned())]);
    }

    #[test]
    fn without_positions_the_origin_decides_and_with_them_it_must_agree() {
        let columns = MaskedColumns::new([(9, 2, MaskKind::Fixed("-".to_owned()))]);
        let described = [field(9, 2, TEXT, false), field(9, 1, TEXT, false), field(8, 2, TEXT, false)];
        let by_origin = RowMask::of(&described, &[], &columns).unwrap();
        let shown = masked(&by_origin, &[Some(b"a"), Some(b"b"), Some(b"c")]);
        assert_eq!(shown, [Some("-".to_owned()), Some("b".to_owned()), Some("c".to_owned())]);
        let elsewhere = RowMask::of(&described, &[(1, MaskKind::Null)], &columns);
        assert_eq!(elsewhere, Err(MaskError::Uncovered { position: 0 }));
        assert!(RowMask::of(&described, &[(0, MaskKind::Null)], &columns).is_ok());
        let beyond = RowMask::of(&described, &[(0, MaskKind::Null), (3, MaskKind::Null)], &columns);
        assert_eq!(beyond, Err(MaskError::Range { position: 3, described: 3 }));
    }

    #[test]
    fn a_row_that_contradicts_its_description_is_not_passed_on_in_part() {
        let mask = RowMask::of(&[field(9, 1, TEXT, false)], &[(0, MaskKind::Hash)], &MaskedColumns::default()).unwrap();
        let whole = row(&[Some(b"secret")]);
        let mut out = BytesMut::from(&b"before"[..]);
        for end in 0..whole.len() {
            assert!(mask.rewrite(&whole[..end], &key(), &mut out).is_err(), "{end}");
            assert_eq!(&out[..], b"before");
        }
        let two = mask.rewrite(&row(&[Some(b"a"), Some(b"b")]), &key(), &mut out);
        assert_eq!(two, Err(MaskError::Count { found: 2, described: 1 }));
        assert!(mask.rewrite(&[&whole[..], b"x"].concat(), &key(), &mut out).is_err());
        assert_eq!(&out[..], b"before");
    }

    proptest! {
        #[test]
        fn a_masked_value_is_never_in_the_row(
            values in prop::collection::vec(prop::option::of("[ -~äöü]{6,40}"), 1..6),
            at in 0usize..6,
            hashed in any::<bool>(),
        ) {
            let at = at % values.len();
            let described = vec![field(9, 1, TEXT, false); values.len()];
            let kind = if hashed { MaskKind::Hash } else { MaskKind::LastFour };
            let positions = [(u16::try_from(at).unwrap(), kind)];
            let mask = RowMask::of(&described, &positions, &MaskedColumns::default()).unwrap();
            let given: Vec<Option<&[u8]>> = values.iter().map(|value| value.as_deref().map(str::as_bytes)).collect();
            let shown = masked(&mask, &given);
            for (index, (was, is)) in values.iter().zip(&shown).enumerate() {
                prop_assert_eq!(was.is_none(), is.is_none());
                if index != at || was.is_none() {
                    prop_assert_eq!(was, is);
                } else if was.as_deref().is_some_and(|was| !was.starts_with("**")) {
                    prop_assert_ne!(was, is);
                }
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = fields(&body);
            let mask = RowMask { fields: 2, cells: vec![Cell { position: 1, kind: MaskKind::Format, json: true }] };
            let _ = mask.rewrite(&body, &key(), &mut BytesMut::new());
        }
    }
}
