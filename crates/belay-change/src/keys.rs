//! Which rows change, by their keys: noted as images pass, so that nothing has to be read again.

use crate::record::{find_fields, unquote};
use crate::{Side, Table};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

/// The most keys that are given out for one change.
const KEYS_MOST: usize = 100_000;
/// The most rows that are kept in mind. Where a table was read whole, rows that stay as they are pass, too: they are
/// forgotten when their other side comes.
const ROWS_MOST: usize = 2 * KEYS_MOST;
/// No more bytes of keys are kept in mind.
const BYTES_MOST: usize = 16 << 20;
/// A longer key is not noted.
const KEY_MOST: usize = 8 << 10;

/// Takes images, and tells the keys of the rows that change.
#[derive(Debug, Default)]
pub struct Keys {
    /// Its key is of this value alone: nobody can make two images that it takes for one.
    hasher: RandomState,
    tables: Vec<Noted>,
    /// Rows in mind in all tables, and the bytes of their keys.
    rows: usize,
    bytes: usize,
    came: u64,
    spans: Vec<Range<usize>>,
}

/// A row that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowKey {
    /// The values of its key as text; of several columns joined by commas, and quoted as in a record.
    pub text: String,
    /// It was not there before.
    pub is_new: bool,
}

#[derive(Debug)]
struct Noted {
    columns: usize,
    key: Vec<u16>,
    rows: HashMap<String, Seen>,
}

/// What was seen of a row.
#[derive(Debug)]
struct Seen {
    /// Tells which came first.
    at: u64,
    old: Option<u64>,
    new: Option<u64>,
    /// One side came twice: whatever cancels out, something was done to it.
    twice: bool,
}

impl Keys {
    /// A table whose images follow, under the next number from 0.
    pub fn table(&mut self, table: &Table) {
        self.tables.push(Noted { columns: table.columns.len(), key: table.key.clone(), rows: HashMap::new() });
    }

    /// One image. What cannot be read is for others to refuse.
    pub fn image(&mut self, table: u16, side: Side, image: &[u8]) {
        let Some(noted) = self.tables.get_mut(usize::from(table)).filter(|noted| !noted.key.is_empty()) else { return };
        if find_fields(image, noted.columns, &mut self.spans).is_err() {
            return;
        }
        let Some(text) = text(image, &noted.key, &self.spans) else { return };
        let print = self.hasher.hash_one(image);
        self.came += 1;
        if let Some(seen) = noted.rows.get_mut(&text) {
            seen.add(side, print);
            if seen.cancels() {
                noted.rows.remove(&text);
                self.rows -= 1;
                self.bytes -= text.len();
            }
            return;
        }
        if self.rows >= ROWS_MOST || self.bytes + text.len() > BYTES_MOST {
            return;
        }
        self.rows += 1;
        self.bytes += text.len();
        let mut seen = Seen { at: self.came, old: None, new: None, twice: false };
        seen.add(side, print);
        noted.rows.insert(text, seen);
    }

    /// The rows that change, by the tables' numbers, in the order in which they came. Fewer than change, where there
    /// are more than can be told; none where a table has no key.
    pub fn finish(self) -> Vec<Vec<RowKey>> {
        let mut left = KEYS_MOST;
        let tables = self.tables.into_iter().map(|noted| {
            let mut rows: Vec<(String, Seen)> = noted.rows.into_iter().collect();
            rows.sort_unstable_by_key(|(_, seen)| seen.at);
            rows.truncate(left);
            left -= rows.len();
            rows.into_iter().map(|(text, seen)| RowKey { text, is_new: seen.old.is_none() }).collect()
        });
        tables.collect()
    }
}

impl Seen {
    fn add(&mut self, side: Side, print: u64) {
        let kept = match side {
            Side::Old => &mut self.old,
            Side::New => &mut self.new,
        };
        self.twice |= kept.is_some();
        *kept = Some(print);
    }

    fn cancels(&self) -> bool {
        !self.twice && self.old.is_some() && self.old == self.new
    }
}

/// `41`, or of several columns `7,1`.
fn text(image: &[u8], key: &[u16], spans: &[Range<usize>]) -> Option<String> {
    let field = |place: &u16| image.get(spans.get(usize::from(*place))?.clone());
    let bytes = match key {
        [single] => unquote(field(single)?).ok()??,
        several => several.iter().map(field).collect::<Option<Vec<_>>>()?.join(&b','),
    };
    String::from_utf8(bytes).ok().filter(|text| text.len() <= KEY_MOST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{listed, table, wide_table};

    fn keys(table: &Table, lines: &[&str]) -> Vec<(String, bool)> {
        let mut keys = Keys::default();
        keys.table(table);
        for (number, side, image) in listed(lines) {
            keys.image(number, side, &image);
        }
        keys.finish().concat().into_iter().map(|key| (key.text, key.is_new)).collect()
    }

    fn row(text: &str, is_new: bool) -> (String, bool) {
        (text.to_owned(), is_new)
    }

    #[test]
    fn rows_that_stay_as_they_are_are_not_told() {
        let lines = ["-(3,a)", "-(1,a)", "-(2,same)", "+(3,b)", "+(2,same)", "+(9,new)"];
        assert_eq!(keys(&table("orders", &[0]), &lines), [row("3", false), row("1", false), row("9", true)]);
    }

    #[test]
    fn a_key_is_written_as_a_revert_takes_it() {
        assert_eq!(keys(&table("notes", &[1]), &["-(1,\"a \"\"b\"\"\")"]), [row("a \"b\"", false)]);
        let lines = wide_table("lines", &["order", "note", "line"], &[0, 2]);
        assert_eq!(keys(&lines, &["+(7,x,1)", "+(7,x,\"a b\")"]), [row("7,1", true), row("7,\"a b\"", true)]);
    }

    #[test]
    fn a_table_without_a_key_tells_nothing() {
        assert_eq!(keys(&table("log", &[]), &["+(1,a)"]), []);
    }

    #[test]
    fn what_is_too_long_or_no_record_is_left_out() {
        let long = format!("+({},a)", "x".repeat(KEY_MOST + 1));
        assert_eq!(
            keys(&table("orders", &[0]), &[&long, "+nonsense", "+(1,2,3)", "+(,a)", "+(4,a)"]),
            [row("4", true)]
        );
    }

    #[test]
    fn more_rows_than_can_be_told_are_bounded_and_those_that_cancel_make_room() {
        let mut keys = Keys::default();
        keys.table(&table("orders", &[0]));
        let image = |id: usize, note: &str| format!("({id},{note})").into_bytes();
        (0..ROWS_MOST + 10).for_each(|id| keys.image(0, Side::Old, &image(id, "a")));
        (0..ROWS_MOST - 3).for_each(|id| keys.image(0, Side::New, &image(id, "a")));
        assert_eq!((keys.rows, keys.finish().concat().len()), (3, 3));
        let mut keys = Keys::default();
        keys.table(&table("orders", &[0]));
        (0..ROWS_MOST + 10).for_each(|id| keys.image(0, Side::New, &image(id, "a")));
        assert_eq!(keys.finish().concat().len(), KEYS_MOST);
    }
}
