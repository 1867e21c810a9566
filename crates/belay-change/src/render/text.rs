//! A change as tables on a terminal.

use super::{cell, column_name, column_names, rows, table_name};
use crate::{RowChange, Summary, TableSummary};
use std::fmt::Write;

/// No cell is wider.
const CELL_MOST: usize = 40;
const GAP: usize = 2;

pub(super) fn tables(summary: &Summary, width: usize) -> String {
    let mut text = String::new();
    for (at, table) in summary.tables.iter().enumerate() {
        if at > 0 {
            text.push('\n');
        }
        push_table(&mut text, table, width);
    }
    text
}

fn push_table(text: &mut String, summary: &TableSummary, width: usize) {
    let mut push = |line: &str| {
        let _ = writeln!(text, "{}", cell::cut(line.trim_end(), width));
    };
    push(&format!("{}: {}", table_name(&summary.table), counts(summary)));
    let grid = Grid::of(summary, width);
    push(&grid.line(' ', &grid.head));
    let first = summary.first.len();
    for (at, (sign, cells)) in grid.rows.iter().enumerate() {
        if at == first && summary.left_out > 0 {
            push(&format!("... {} ...", rows(summary.left_out)));
        }
        push(&grid.line(*sign, cells));
    }
    if summary.last.is_empty() && summary.left_out > 0 {
        push(&format!("... {} more", rows(summary.left_out)));
    }
    if grid.hidden > 0 {
        let columns = if grid.hidden == 1 { "column" } else { "columns" };
        push(&format!("({} more {columns} not shown)", grid.hidden));
    }
    let shown = summary.first.len() + summary.last.len();
    if !summary.columns.is_empty() && shown > 1 {
        let count = |count: &crate::ColumnCount| {
            format!("{} in {}", column_name(&summary.table, count.column), rows(count.rows))
        };
        let counts: Vec<String> = summary.columns.iter().map(count).collect();
        let of = if summary.compared < summary.updated {
            format!(" of the first {}", rows(summary.compared))
        } else {
            String::new()
        };
        push(&format!("changed{of}: {}", counts.join(", ")));
    }
    if !summary.volatile.is_empty() {
        push(&format!("decided when applied: {}", column_names(&summary.table, &summary.volatile)));
    }
}

/// `1 row inserted, 2 updated, by a cascade, trigger or function`.
fn counts(summary: &TableSummary) -> String {
    let verbs = [(summary.inserted, "inserted"), (summary.updated, "updated"), (summary.deleted, "deleted")];
    let mut parts: Vec<String> = Vec::new();
    for (count, verb) in verbs.into_iter().filter(|(count, _)| *count > 0) {
        parts.push(if parts.is_empty() { format!("{} {verb}", rows(count)) } else { format!("{count} {verb}") });
    }
    if summary.indirect {
        parts.push("by a cascade, trigger or function".to_owned());
    }
    parts.join(", ")
}

/// The cells of a table.
struct Grid {
    head: Vec<String>,
    rows: Vec<(char, Vec<String>)>,
    widths: Vec<usize>,
    /// Columns that there is no room for.
    hidden: usize,
}

impl Grid {
    fn of(summary: &TableSummary, width: usize) -> Grid {
        let changes: Vec<&RowChange> = summary.first.iter().chain(&summary.last).collect();
        let places = columns(summary, &changes);
        let mut head: Vec<String> =
            places.iter().map(|place| cell::cut(&column_name(&summary.table, *place), CELL_MOST)).collect();
        let mut rows: Vec<(char, Vec<String>)> = changes.iter().map(|change| row(change, &places)).collect();
        let mut widths: Vec<usize> = Vec::new();
        let mut used = GAP;
        for (at, name) in head.iter().enumerate() {
            let cells = rows.iter().filter_map(|(_, cells)| cells.get(at)).map(|text| cell::width(text));
            let widest = cells.max().unwrap_or(0).max(cell::width(name));
            used += widest + GAP;
            // One column is always shown, cut if it has to be.
            if used > width + GAP && at > 0 {
                break;
            }
            widths.push(widest);
        }
        let hidden = head.len() - widths.len();
        head.truncate(widths.len());
        for (_, cells) in &mut rows {
            cells.truncate(widths.len());
        }
        Grid { head, rows, widths, hidden }
    }

    fn line(&self, sign: char, cells: &[String]) -> String {
        let mut line = format!("{sign} ");
        for (text, width) in cells.iter().zip(&self.widths) {
            line.push_str(text);
            line.extend(std::iter::repeat_n(' ', width - cell::width(text).min(*width) + GAP));
        }
        line
    }
}

/// The columns worth showing: the key, what changes, and the others where rows come or go.
fn columns(summary: &TableSummary, changes: &[&RowChange]) -> Vec<u16> {
    let table = &summary.table;
    let mut places = table.key.clone();
    let all = (0..=u16::MAX).take(table.columns.len());
    places.extend(all.filter(|place| changes.iter().any(|change| change.changed().contains(place))));
    let whole = |change: &&RowChange| !matches!(change, RowChange::Updated { .. });
    if table.key.is_empty() || changes.iter().any(whole) {
        places.extend((0..=u16::MAX).take(table.columns.len()));
    }
    let mut seen = vec![false; table.columns.len()];
    places.retain(|place| seen.get_mut(usize::from(*place)).is_some_and(|seen| !std::mem::replace(seen, true)));
    places
}

fn row(change: &RowChange, places: &[u16]) -> (char, Vec<String>) {
    let (sign, row) = match change {
        RowChange::Inserted { new, .. } => ('+', new),
        RowChange::Updated { new, .. } => ('~', new),
        RowChange::Deleted { old, .. } => ('-', old),
    };
    let one = |place: &u16| {
        if change.changed().contains(place) {
            return both(change, *place);
        }
        cell::cut(&cell::value(row.get(usize::from(*place)).and_then(Option::as_deref)), CELL_MOST)
    };
    let mut cells: Vec<String> = places.iter().map(one).collect();
    if change.times() > 1
        && let Some(last) = cells.last_mut()
    {
        let _ = write!(last, "  ({} times)", change.times());
    }
    (sign, cells)
}

/// Both values, each cut by itself, so that the second is always to be seen.
fn both(change: &RowChange, place: u16) -> String {
    let value = |row: Option<&crate::Row>| {
        let value = row.and_then(|row| row.get(usize::from(place))).and_then(Option::as_deref);
        cell::cut(&cell::value(value), CELL_MOST / 2)
    };
    format!("{} -> {}", value(change.before()), value(change.after()))
}
