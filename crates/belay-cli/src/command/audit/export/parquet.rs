//! Lines as a Parquet file.

use super::line::Line;
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use std::fs::File;
use std::io;
use std::sync::Arc;

const SCHEMA: &str = "
    message ledger {
        REQUIRED INT64 seq (INTEGER(64,false));
        REQUIRED INT64 at (TIMESTAMP(MICROS,true));
        REQUIRED BYTE_ARRAY event (STRING);
        OPTIONAL BYTE_ARRAY who (STRING);
        OPTIONAL BYTE_ARRAY target (STRING);
        OPTIONAL BYTE_ARRAY grant (STRING);
        OPTIONAL BYTE_ARRAY session (STRING);
        OPTIONAL BYTE_ARRAY connection (STRING);
        OPTIONAL BYTE_ARRAY effect (STRING);
        OPTIONAL BYTE_ARRAY denied (STRING);
        OPTIONAL BYTE_ARRAY text (STRING);
        REQUIRED BYTE_ARRAY fields (STRING);
    }
";
/// A row group has so many lines, or text of so many bytes, and is held in memory until it is written.
const GROUP_LINES: usize = 100_000;
const GROUP_BYTES: usize = 64 << 20;

pub(super) struct Parquet {
    writer: SerializedFileWriter<File>,
    lines: Vec<Line>,
    bytes: usize,
}

impl Parquet {
    pub(super) fn begin(file: File) -> io::Result<Parquet> {
        let schema = Arc::new(parse_message_type(SCHEMA).map_err(io::Error::other)?);
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).map_err(io::Error::other)?;
        Ok(Parquet { writer, lines: Vec::new(), bytes: 0 })
    }

    pub(super) fn write(&mut self, line: Line) -> io::Result<()> {
        self.bytes += line.fields.len() + line.optional.iter().flatten().map(String::len).sum::<usize>();
        self.lines.push(line);
        if self.lines.len() >= GROUP_LINES || self.bytes >= GROUP_BYTES { self.group() } else { Ok(()) }
    }

    pub(super) fn end(&mut self) -> io::Result<()> {
        self.group()?;
        self.writer.finish().map(drop).map_err(io::Error::other)
    }

    fn group(&mut self) -> io::Result<()> {
        self.bytes = 0;
        let lines = std::mem::take(&mut self.lines);
        if lines.is_empty() {
            return Ok(());
        }
        let mut group = self.writer.next_row_group().map_err(io::Error::other)?;
        write_group(&mut group, lines).and_then(|()| group.close().map(drop)).map_err(io::Error::other)
    }
}

/// Column by column, as the file wants it.
fn write_group(group: &mut SerializedRowGroupWriter<'_, File>, mut lines: Vec<Line>) -> Result<(), ParquetError> {
    // A ledger never has more records than fit.
    let seqs: Vec<i64> = lines.iter().map(|line| i64::try_from(line.seq).unwrap_or(i64::MAX)).collect();
    numbers(group, &seqs)?;
    let times: Vec<i64> = lines.iter().map(|line| line.micros).collect();
    numbers(group, &times)?;
    let events = lines.iter_mut().map(|line| std::mem::take(&mut line.event).into_bytes().into()).collect::<Vec<_>>();
    texts(group, &events, None)?;
    for column in 0..lines.first().map_or(0, |line| line.optional.len()) {
        let cells: Vec<Option<String>> = lines.iter_mut().map(|line| line.optional[column].take()).collect();
        let defined: Vec<i16> = cells.iter().map(|cell| i16::from(cell.is_some())).collect();
        let cells: Vec<ByteArray> = cells.into_iter().flatten().map(|cell| cell.into_bytes().into()).collect();
        texts(group, &cells, Some(&defined))?;
    }
    let fields: Vec<ByteArray> = lines.into_iter().map(|line| line.fields.into_bytes().into()).collect();
    texts(group, &fields, None)
}

fn numbers(group: &mut SerializedRowGroupWriter<'_, File>, values: &[i64]) -> Result<(), ParquetError> {
    let mut column = group.next_column()?.ok_or_else(no_column)?;
    column.typed::<Int64Type>().write_batch(values, None, None)?;
    column.close()
}

fn texts(
    group: &mut SerializedRowGroupWriter<'_, File>,
    values: &[ByteArray],
    defined: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let mut column = group.next_column()?.ok_or_else(no_column)?;
    column.typed::<ByteArrayType>().write_batch(values, defined, None)?;
    column.close()
}

fn no_column() -> ParquetError {
    ParquetError::General("the schema has too few columns".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::{Field, Row};

    fn line(seq: u64, who: Option<&str>, said: Option<&str>) -> Line {
        let entry = serde_json::json!({
            "api_version": "v1", "kind": "audit_entry", "seq": seq, "at": "2026-11-23T15:10:40.000123Z",
            "event": "statement", "who": who, "fields": { "text": said, "rows": 3 },
        });
        Line::of(&serde_json::from_value(entry).unwrap())
    }

    #[test]
    fn what_is_written_is_read_back() {
        let file = tempfile::tempfile().unwrap();
        let mut parquet = Parquet::begin(file.try_clone().unwrap()).unwrap();
        parquet.write(line(1, Some("ann"), Some("SELECT 'ü'"))).unwrap();
        parquet.group().unwrap();
        parquet.write(line(2, None, None)).unwrap();
        parquet.end().unwrap();
        let reader = SerializedFileReader::new(file).unwrap();
        assert_eq!(reader.num_row_groups(), 2);
        let rows: Vec<Row> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
        let cell = |row: usize, name: &str| {
            rows[row].get_column_iter().find(|(column, _)| *column == name).map(|(_, field)| field.clone()).unwrap()
        };
        assert_eq!((cell(0, "seq"), cell(1, "seq")), (Field::ULong(1), Field::ULong(2)));
        assert_eq!(cell(0, "at"), Field::TimestampMicros(1_795_446_640_000_123));
        assert_eq!((cell(0, "who"), cell(1, "who")), (Field::Str("ann".to_owned()), Field::Null));
        assert_eq!((cell(0, "text"), cell(1, "text")), (Field::Str("SELECT 'ü'".to_owned()), Field::Null));
        assert_eq!(cell(0, "fields"), Field::Str(r#"{"rows":3}"#.to_owned()));
    }
}
