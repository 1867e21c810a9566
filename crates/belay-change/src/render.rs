//! Changes as text: one line, a table, a unified diff, JSON by the columns' names.
//!
//! Values, and names too, are other people's: what could steer a terminal is shown, not sent.

mod cell;
mod named;
mod text;
mod unified;

pub use cell::printable;
pub use named::NamedTable;

use crate::{RowChange, Summary, Table, TableChange, TableDifference};
use std::fmt::Write;

/// `3 rows of public.orders`, or `12 rows of 3 tables`.
pub fn headline(tables: &[TableChange]) -> String {
    line(tables.iter().map(|change| (&change.table, change.inserted + change.updated + change.deleted)))
}

/// `3 rows of public.orders would change`.
pub fn would_change(tables: &[TableChange]) -> String {
    format!("{} would change", headline(tables))
}

/// `3 rows changed in public.orders`, or `12 rows changed in 3 tables`.
pub fn changed_in(tables: &[TableChange]) -> String {
    headline(tables).replacen(" of ", " changed in ", 1)
}

impl Summary {
    /// `3 rows of public.orders`, or `12 rows of 3 tables`.
    pub fn headline(&self) -> String {
        line(self.tables.iter().map(|summary| (&summary.table, summary.rows())))
    }

    /// A table for each table, of lines no wider than `width`.
    pub fn text(&self, width: usize) -> String {
        text::tables(self, width)
    }

    /// A unified diff, of one line for each value that changes.
    pub fn unified(&self) -> String {
        unified::tables(self)
    }

    /// The same by the names of columns, for JSON.
    pub fn named(&self) -> Vec<NamedTable<'_>> {
        self.tables.iter().map(NamedTable).collect()
    }

    /// The first rows, one line each, no wider than `width`.
    pub fn lines(&self, most: usize, width: usize) -> Vec<String> {
        let several = self.tables.len() > 1;
        let rows = self.tables.iter().flat_map(|summary| summary.first.iter().map(move |row| (&summary.table, row)));
        let line = |(table, row)| {
            let name = if several { format!("{} ", table_name(table)) } else { String::new() };
            cell::cut(&format!("{name}{}", row_line(table, row)), width)
        };
        rows.take(most).map(line).collect()
    }
}

impl TableDifference {
    /// Each row that differs, as planned and as found, in lines no wider than `width`.
    pub fn text(&self, width: usize) -> String {
        let mut text = format!("{}: {} differ\n", table_name(&self.table), rows(self.rows));
        for row in &self.first {
            for (label, changes) in [("planned", &row.planned), ("found", &row.found)] {
                for change in changes {
                    let line = format!("  {label:<8} {}", row_line(&self.table, change));
                    let _ = writeln!(text, "{}", cell::cut(&line, width));
                }
                if changes.is_empty() {
                    let _ = writeln!(text, "  {label:<8} no change");
                }
            }
        }
        let left = self.rows.saturating_sub(self.first.len() as u64);
        if left > 0 {
            let _ = writeln!(text, "  ... {} more", rows(left));
        }
        text
    }
}

fn line<'a>(tables: impl Iterator<Item = (&'a Table, u64)>) -> String {
    let changed: Vec<_> = tables.filter(|(_, rows)| *rows > 0).collect();
    let all = rows(changed.iter().map(|(_, rows)| rows).sum());
    match changed.as_slice() {
        [] => "no rows".to_owned(),
        [(table, _)] => format!("{all} of {}", table_name(table)),
        several => format!("{all} of {} tables", several.len()),
    }
}

/// `public.orders`.
fn table_name(table: &Table) -> String {
    printable(&format!("{}.{}", table.schema, table.name))
}

fn column_name(table: &Table, place: u16) -> String {
    table.columns.get(usize::from(place)).map(|column| printable(&column.name)).unwrap_or_default()
}

fn column_names(table: &Table, places: &[u16]) -> String {
    places.iter().map(|place| column_name(table, *place)).collect::<Vec<_>>().join(", ")
}

fn rows(count: u64) -> String {
    if count == 1 { "1 row".to_owned() } else { format!("{count} rows") }
}

/// `update id=1: note a -> b`.
fn row_line(table: &Table, change: &RowChange) -> String {
    let times = if change.times() > 1 { format!(" ({} times)", change.times()) } else { String::new() };
    let values = |places: &[u16], row: &crate::Row| {
        let value = |place: &u16| {
            let value = row.get(usize::from(*place)).and_then(Option::as_deref);
            format!("{}={}", column_name(table, *place), cell::value(value))
        };
        places.iter().map(value).collect::<Vec<_>>().join(" ")
    };
    let all: Vec<u16> = (0..=u16::MAX).take(table.columns.len()).collect();
    match change {
        RowChange::Inserted { new, .. } => format!("insert {}{times}", values(&all, new)),
        RowChange::Deleted { old, .. } => format!("delete {}{times}", values(&all, old)),
        RowChange::Updated { old, changed, .. } => {
            let told_by = if table.key.is_empty() { &all } else { &table.key };
            let pairs: Vec<String> = changed
                .iter()
                .map(|place| format!("{} {}", column_name(table, *place), cell::both(change, *place)))
                .collect();
            format!("update {}: {}", values(told_by, old), pairs.join(", "))
        }
    }
}

#[cfg(test)]
mod tests;
