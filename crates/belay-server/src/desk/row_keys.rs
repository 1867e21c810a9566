//! Which rows a change is of, as the ledger tells it.
//!
//! What does not fit into the record of the change follows in records of its own, so that no record gets too long.

use belay_change::{ChangeSet, RowKey, TableChange};
use belay_model::{ChangeId, ChangedTable, EventKind};

/// The most keys of a table in one record, and their bytes in it.
const KEYS_OF_RECORD: usize = 1_000;
const BYTES_OF_RECORD: usize = 16 << 10;
/// The bytes of the keys of all tables in the record of a change.
const BYTES_OF_CHANGE: usize = 256 << 10;

/// The tables of a change, and the keys that its record has no room for.
pub(super) struct Told {
    pub(super) tables: Vec<ChangedTable>,
    later: Vec<(String, Vec<String>)>,
}

impl Told {
    /// Tells `keys`, which stand in the order of the tables of `set`.
    pub(super) fn of(set: &ChangeSet, keys: Vec<Vec<RowKey>>) -> Told {
        let mut told = Told { tables: Vec::with_capacity(set.tables.len()), later: Vec::new() };
        let mut room = BYTES_OF_CHANGE;
        let mut keys = keys.into_iter();
        for change in &set.tables {
            told.table(change, keys.next().unwrap_or_default(), &mut room);
        }
        told
    }

    fn table(&mut self, change: &TableChange, keys: Vec<RowKey>, room: &mut usize) {
        let table = format!("{}.{}", change.table.schema, change.table.name);
        let mut records: Vec<Vec<String>> = Vec::new();
        let (mut bytes, mut most) = (0, BYTES_OF_RECORD.min(*room));
        let mut first = Vec::new();
        let mut known = 0;
        for RowKey { text, .. } in keys {
            let length = length(&text);
            if length > BYTES_OF_RECORD {
                continue;
            }
            known += 1;
            let keys = records.last_mut().unwrap_or(&mut first);
            if bytes + length <= most && keys.len() < KEYS_OF_RECORD {
                bytes += length;
                keys.push(text);
                continue;
            }
            if records.is_empty() {
                *room -= bytes;
            }
            (bytes, most) = (length, BYTES_OF_RECORD);
            records.push(vec![text]);
        }
        if records.is_empty() {
            *room -= bytes;
        }
        let rows = change.inserted + change.updated + change.deleted;
        let more_keys = if change.table.key.is_empty() { 0 } else { rows.saturating_sub(known) };
        self.later.extend(records.into_iter().map(|keys| (table.clone(), keys)));
        self.tables.push(ChangedTable {
            table,
            inserted: change.inserted,
            updated: change.updated,
            deleted: change.deleted,
            indirect: change.indirect,
            keys: first,
            more_keys,
        });
    }

    /// The tables alone: what did not fit is counted.
    pub(super) fn first(mut self) -> Vec<ChangedTable> {
        for (table, keys) in &self.later {
            if let Some(told) = self.tables.iter_mut().find(|told| told.table == *table) {
                told.more_keys += keys.len() as u64;
            }
        }
        self.tables
    }

    /// The tables, and the records that follow that of the change.
    pub(super) fn all(self, change: ChangeId) -> (Vec<ChangedTable>, impl Iterator<Item = EventKind>) {
        let later = self.later.into_iter();
        (self.tables, later.map(move |(table, keys)| EventKind::ChangeRows { change, table, keys }))
    }
}

/// How long a text is in a record, with its quotes and a comma.
fn length(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' => 2,
        0..=0x1f => 6,
        _ => 1,
    };
    3 + text.bytes().map(escaped).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use belay_change::{Means, Table};

    fn change(name: &str, key: &[u16], updated: u64) -> TableChange {
        let schema = "public".to_owned();
        let table = Table { oid: 1, schema, name: name.to_owned(), columns: Vec::new(), key: key.to_vec() };
        let (inserted, deleted, indirect, volatile) = (0, 0, false, Vec::new());
        TableChange { table, inserted, updated, deleted, indirect, means: Means::Key, volatile }
    }

    fn set(tables: Vec<TableChange>) -> ChangeSet {
        ChangeSet { tables, ..ChangeSet::default() }
    }

    fn keys(texts: impl IntoIterator<Item = String>) -> Vec<RowKey> {
        texts.into_iter().map(|text| RowKey { text, is_new: false }).collect()
    }

    /// The keys of the records that follow.
    fn later(told: Told) -> Vec<Vec<String>> {
        let of = |kind| match kind {
            EventKind::ChangeRows { change: ChangeId(7), keys, .. } => keys,
            other => panic!("{other:?}"),
        };
        told.all(ChangeId(7)).1.map(of).collect()
    }

    #[test]
    fn few_rows_are_told_in_the_record_of_the_change() {
        let set = set(vec![change("orders", &[0], 2), change("log", &[], 9)]);
        let told = Told::of(&set, vec![keys(["41".to_owned(), "57".to_owned()]), Vec::new()]);
        assert_eq!((told.tables[0].keys.as_slice(), told.tables[0].more_keys), (&["41".into(), "57".into()][..], 0));
        assert_eq!((told.tables[1].keys.len(), told.tables[1].more_keys), (0, 0));
        assert!(later(told).is_empty());
    }

    #[test]
    fn many_rows_follow_in_records_that_are_each_of_a_bounded_length() {
        let set = set(vec![change("orders", &[0], 5_000)]);
        let told = || Told::of(&set, vec![keys((0..4_990).map(|id| id.to_string()))]);
        assert_eq!((told().tables[0].keys.len(), told().tables[0].more_keys), (1_000, 10));
        assert_eq!(told().first()[0].more_keys, 4_000);
        let later = later(told());
        assert_eq!(later.iter().map(Vec::len).collect::<Vec<_>>(), [1_000, 1_000, 1_000, 990]);
        let long = later_of_long();
        assert!(long.len() > 1 && long.iter().all(|keys| serde_json::to_string(keys).unwrap().len() <= 17_000));
    }

    fn later_of_long() -> Vec<Vec<String>> {
        let set = set(vec![change("orders", &[0], 100)]);
        later(Told::of(&set, vec![keys((0..100).map(|id| format!("{id}{}", "\u{1}\"é".repeat(200))))]))
    }

    #[test]
    fn the_record_of_a_change_in_many_tables_is_of_a_bounded_length() {
        let set = set((0..100).map(|at| change(&format!("t{at}"), &[0], 1_000)).collect());
        let told = Told::of(&set, (0..100).map(|_| keys((0..1_000).map(|id| format!("{id:012}")))).collect());
        assert!(serde_json::to_string(&told.tables).unwrap().len() < BYTES_OF_CHANGE + 20_000);
        assert!(told.tables.iter().all(|table| table.more_keys == 0));
        let first: usize = told.tables.iter().map(|table| table.keys.len()).sum();
        assert_eq!(first + later(told).concat().len(), 100_000);
    }

    #[test]
    fn a_key_that_fits_no_record_is_counted() {
        let set = set(vec![change("orders", &[0], 2)]);
        let told = Told::of(&set, vec![keys(["x".repeat(BYTES_OF_RECORD), "41".to_owned()])]);
        assert_eq!((told.tables[0].keys.as_slice(), told.tables[0].more_keys), (&["41".to_owned()][..], 1));
    }
}
