//! A change as JSON by the names of columns. Values are whole, and as they are: JSON is read by programs.

use crate::{Row, RowChange, Table, TableSummary};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// One table: `{"schema", "table", "inserted", "updated", "deleted", "rows": [{"change", "key", "before", "after",
/// "changed"}], ...}`.
#[derive(Debug, Clone, Copy)]
pub struct NamedTable<'a>(pub &'a TableSummary);

impl Serialize for NamedTable<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let NamedTable(summary) = self;
        let table = &summary.table;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("schema", &table.schema)?;
        map.serialize_entry("table", &table.name)?;
        map.serialize_entry("inserted", &summary.inserted)?;
        map.serialize_entry("updated", &summary.updated)?;
        map.serialize_entry("deleted", &summary.deleted)?;
        map.serialize_entry("indirect", &summary.indirect)?;
        map.serialize_entry("volatile", &names(table, &summary.volatile))?;
        map.serialize_entry("changed_columns", &Counts(summary))?;
        map.serialize_entry("compared_rows", &summary.compared)?;
        let rows = summary.first.iter().chain(&summary.last);
        map.serialize_entry("rows", &rows.map(|change| NamedRow { table, change }).collect::<Vec<_>>())?;
        map.serialize_entry("rows_left_out", &summary.left_out)?;
        map.end()
    }
}

struct NamedRow<'a> {
    table: &'a Table,
    change: &'a RowChange,
}

impl Serialize for NamedRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let NamedRow { table, change } = *self;
        let mut map = serializer.serialize_map(None)?;
        let verb = match change {
            RowChange::Inserted { .. } => "insert",
            RowChange::Updated { .. } => "update",
            RowChange::Deleted { .. } => "delete",
        };
        map.serialize_entry("change", verb)?;
        if change.times() > 1 {
            map.serialize_entry("times", &change.times())?;
        }
        let all: Vec<u16> = (0..=u16::MAX).take(table.columns.len()).collect();
        if let Some(row) = change.before().or(change.after())
            && !table.key.is_empty()
        {
            map.serialize_entry("key", &Values { table, places: &table.key, row })?;
        }
        if let Some(row) = change.before() {
            map.serialize_entry("before", &Values { table, places: &all, row })?;
        }
        if let Some(row) = change.after() {
            map.serialize_entry("after", &Values { table, places: &all, row })?;
        }
        if matches!(change, RowChange::Updated { .. }) {
            map.serialize_entry("changed", &names(table, change.changed()))?;
        }
        map.end()
    }
}

/// Values by the names of their columns, in the order of the table.
struct Values<'a> {
    table: &'a Table,
    places: &'a [u16],
    row: &'a Row,
}

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.places.len()))?;
        for place in self.places {
            let value = self.row.get(usize::from(*place)).and_then(Option::as_deref);
            map.serialize_entry(name(self.table, *place), &value)?;
        }
        map.end()
    }
}

struct Counts<'a>(&'a TableSummary);

impl Serialize for Counts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Counts(summary) = self;
        serializer.collect_map(summary.columns.iter().map(|count| (name(&summary.table, count.column), count.rows)))
    }
}

fn name(table: &Table, place: u16) -> &str {
    table.columns.get(usize::from(place)).map_or("", |column| &column.name)
}

fn names<'a>(table: &'a Table, places: &[u16]) -> Vec<&'a str> {
    places.iter().map(|place| name(table, *place)).collect()
}
