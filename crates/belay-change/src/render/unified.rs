//! A change as a unified diff.

use super::{cell, column_name, rows, table_name};
use crate::{Row, RowChange, Summary, TableSummary};
use std::fmt::Write;

pub(super) fn tables(summary: &Summary) -> String {
    let mut text = String::new();
    for table in &summary.tables {
        let name = table_name(&table.table);
        let _ = writeln!(text, "--- {name}\n+++ {name}");
        table.first.iter().for_each(|change| push_row(&mut text, table, change));
        if table.left_out > 0 {
            let _ = writeln!(text, "@@ {} not shown @@", rows(table.left_out));
        }
        table.last.iter().for_each(|change| push_row(&mut text, table, change));
    }
    text
}

fn push_row(text: &mut String, summary: &TableSummary, change: &RowChange) {
    let table = &summary.table;
    let verb = match change {
        RowChange::Inserted { .. } => "insert",
        RowChange::Updated { .. } => "update",
        RowChange::Deleted { .. } => "delete",
    };
    let at = |row: &Row, place: u16| cell::value(row.get(usize::from(place)).and_then(Option::as_deref));
    let mut head = verb.to_owned();
    for place in &table.key {
        if let Some(row) = change.before().or(change.after()) {
            let _ = write!(head, " {}={}", column_name(table, *place), at(row, *place));
        }
    }
    if change.times() > 1 {
        let _ = write!(head, " ({} times)", change.times());
    }
    let _ = writeln!(text, "@@ {head} @@");
    for place in (0..=u16::MAX).take(table.columns.len()) {
        if matches!(change, RowChange::Updated { .. }) && !change.changed().contains(&place) {
            continue;
        }
        for (sign, row) in [('-', change.before()), ('+', change.after())] {
            if let Some(row) = row {
                let _ = writeln!(text, "{sign}{}: {}", column_name(table, place), at(row, place));
            }
        }
    }
}
