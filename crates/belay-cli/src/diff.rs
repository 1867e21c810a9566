//! Rows before and after, for people: as a list, or as a unified diff.

use belay_web::shape::{ChangedRow, ChangedTable, RowConflict, Rows, RowsOfTable};

/// A value longer than this is cut in a list; a diff shows it whole.
const VALUE_MOST: usize = 60;

/// `2 updated, 1 inserted`.
pub(crate) fn counts(inserted: u64, updated: u64, deleted: u64) -> String {
    let parts = [(updated, "updated"), (inserted, "inserted"), (deleted, "deleted")];
    let said: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    if said.is_empty() { "nothing".to_owned() } else { said.join(", ") }
}

/// `3 rows`.
pub(crate) fn rows(count: u64) -> String {
    if count == 1 { "1 row".to_owned() } else { format!("{count} rows") }
}

/// The tables of a plan or a change in one line.
pub(crate) fn tables(tables: &[ChangedTable]) -> String {
    let one = |table: &ChangedTable| {
        let indirect = if table.indirect { " (indirect)" } else { "" };
        format!("{}{indirect}: {}", table.table, counts(table.inserted, table.updated, table.deleted))
    };
    tables.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// What is run, and the rows by table: what statements name first, what follows from it apart.
pub(crate) fn listed(rows: &Rows) -> Vec<String> {
    let mut lines = statements(rows);
    for table in rows.tables.iter().filter(|table| !table.indirect) {
        lines.push(String::new());
        lines.extend(table_listed(table, &rows.of));
    }
    if rows.tables.iter().any(|table| table.indirect) {
        lines.push(String::new());
        lines.push("written by cascades, triggers and functions:".to_owned());
    }
    for table in rows.tables.iter().filter(|table| table.indirect) {
        lines.extend(table_listed(table, &rows.of));
    }
    lines
}

/// What is run.
pub(crate) fn statements(rows: &Rows) -> Vec<String> {
    let mut lines = Vec::new();
    for statement in &rows.statements {
        lines.extend(statement.sql.trim().lines().map(|line| format!("  {line}")));
        if !statement.parameters.is_empty() {
            let value = |value: &Option<String>| value.as_deref().map_or("NULL".to_owned(), quoted);
            let values: Vec<String> = statement.parameters.iter().map(value).collect();
            lines.push(format!("    with {}", values.join(", ")));
        }
    }
    lines
}

fn table_listed(table: &RowsOfTable, of: &str) -> Vec<String> {
    let mut lines = vec![format!("{}: {}", table.table, counts(table.inserted, table.updated, table.deleted))];
    if !table.volatile.is_empty() {
        lines.push(format!("  decided when it is applied: {}", table.volatile.join(", ")));
    }
    lines.extend(table.first.iter().map(|row| row_listed(&table.columns, &table.key, row)));
    if table.left_out > 0 {
        lines.push(format!("  ... {} more; all of them: belay review {of} --all", self::rows(table.left_out)));
    }
    lines.extend(table.last.iter().map(|row| row_listed(&table.columns, &table.key, row)));
    lines
}

/// One row in one line.
pub(crate) fn row_listed(columns: &[String], key: &[String], row: &ChangedRow) -> String {
    let times = if row.times > 1 { format!("  ({} times)", row.times) } else { String::new() };
    let text = match (&row.before, &row.after) {
        (Some(before), Some(after)) => {
            let mut parts: Vec<String> = of_key(columns, key, before);
            for (at, column) in columns.iter().enumerate() {
                let (old, new) = (before.get(at).and_then(Option::as_ref), after.get(at).and_then(Option::as_ref));
                if old != new {
                    parts.push(format!("{column}: {} -> {}", value(old), value(new)));
                }
            }
            format!("  ~ {}", parts.join("  "))
        }
        (None, Some(after)) => format!("  + {}", whole(columns, after)),
        (Some(before), None) => format!("  - {}", whole(columns, before)),
        (None, None) => String::new(),
    };
    text + &times
}

fn of_key(columns: &[String], key: &[String], row: &[Option<String>]) -> Vec<String> {
    let place = |key: &String| columns.iter().position(|column| column == key);
    let one = |key: &String| Some(format!("{key}={}", value(row.get(place(key)?)?.as_ref())));
    key.iter().filter_map(one).collect()
}

fn whole(columns: &[String], row: &[Option<String>]) -> String {
    let pairs = columns.iter().zip(row);
    pairs.map(|(column, found)| format!("{column}={}", value(found.as_ref()))).collect::<Vec<_>>().join("  ")
}

fn value(value: Option<&String>) -> String {
    let Some(text) = value else { return "NULL".to_owned() };
    if text.chars().count() <= VALUE_MOST {
        return quoted(text);
    }
    let cut: String = text.chars().take(VALUE_MOST).collect();
    quoted(&(cut + "…"))
}

/// As it is where that cannot be misread.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_.-:+/@…".contains(c);
    if !text.is_empty() && text != "NULL" && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "''").replace('\n', "\\n"))
    }
}

/// The rows as a unified diff, a line for each side of a row.
pub(crate) fn unified(rows: &Rows) -> Vec<String> {
    let mut lines = Vec::new();
    for table in &rows.tables {
        lines.extend(unified_head(&table.table, &counts(table.inserted, table.updated, table.deleted)));
        lines.extend(table.first.iter().chain(&table.last).flat_map(|row| row_unified(&table.columns, row)));
        if table.left_out > 0 {
            lines.push(format!("# {} left out", self::rows(table.left_out)));
        }
    }
    lines
}

/// The head of a table's rows.
pub(crate) fn unified_head(table: &str, counts: &str) -> [String; 3] {
    [format!("--- {table}"), format!("+++ {table}"), format!("@@ {counts} @@")]
}

/// Both sides of a row.
pub(crate) fn row_unified(columns: &[String], row: &ChangedRow) -> Vec<String> {
    let line = |sign: char, values: &Vec<Option<String>>| {
        let whole = |found: &Option<String>| found.as_deref().map_or("NULL".to_owned(), quoted);
        let pairs = columns.iter().zip(values);
        let text = pairs.map(|(column, found)| format!("{column}={}", whole(found))).collect::<Vec<_>>();
        format!("{sign}{}", text.join(" "))
    };
    let (before, after) = (row.before.iter(), row.after.iter());
    before.map(|values| line('-', values)).chain(after.map(|values| line('+', values))).collect()
}

/// Rows that have changed since, three ways.
pub(crate) fn conflicts(conflicts: &[RowConflict]) -> Vec<String> {
    let mut lines = Vec::new();
    for conflict in conflicts {
        let why = match conflict.why.as_str() {
            "gone" => "somebody removed it since",
            "taken" => "somebody took its key since",
            "referenced" => "other rows now refer to it",
            "orphaned" => "the row that it refers to is gone",
            _ => "somebody changed it since",
        };
        let why = if conflict.before == conflict.now { "it is as it was before already" } else { why };
        lines.push(format!("{} {}: {why}", conflict.table, conflict.key.join(",")));
        for (word, row) in [("before", &conflict.before), ("left", &conflict.left), ("now", &conflict.now)] {
            lines.push(format!("  {word:<6} {}", row.as_deref().unwrap_or("not there")));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Rows {
        serde_json::from_value(serde_json::json!({
            "kind": "rows", "api_version": "v1", "of": "p_12",
            "statements": [{"sql": "UPDATE orders SET status = $1", "parameters": ["paid", null]}],
            "tables": [
                {"table": "public.audit", "columns": ["note"], "key": [], "inserted": 1, "updated": 0, "deleted": 0,
                 "indirect": true, "volatile": ["note"], "left_out": 0, "last": [],
                 "first": [{"operation": "inserted", "before": null, "after": ["it's"], "times": 2}]},
                {"table": "public.orders", "columns": ["id", "status"], "key": ["id"], "inserted": 0, "updated": 1,
                 "deleted": 1, "indirect": false, "volatile": [], "left_out": 7, "last": [], "first": [
                    {"operation": "updated", "before": ["41", "open"], "after": ["41", "paid"], "times": 1},
                    {"operation": "deleted", "before": ["57", null], "after": null, "times": 1}]}
            ]
        }))
        .unwrap()
    }

    #[test]
    fn what_statements_name_comes_first_and_only_changed_columns_are_listed() {
        let text = "  UPDATE orders SET status = $1\n    with paid, NULL\n\npublic.orders: 1 updated, 1 deleted\n  \
                    ~ id=41  status: open -> paid\n  - id=57  status=NULL\n  ... 7 rows more; all of them: belay review \
                    p_12 --all\n\nwritten by cascades, triggers and functions:\npublic.audit: 1 inserted\n  \
                    decided when it is applied: note\n  + note='it''s'  (2 times)";
        assert_eq!(listed(&rows()).join("\n"), text);
    }

    #[test]
    fn a_unified_diff_has_both_sides_of_each_row() {
        let text = "--- public.audit\n+++ public.audit\n@@ 1 inserted @@\n+note='it''s'\n--- public.orders\n\
                    +++ public.orders\n@@ 1 updated, 1 deleted @@\n-id=41 status=open\n+id=41 status=paid\n\
                    -id=57 status=NULL\n# 7 rows left out";
        assert_eq!(unified(&rows()).join("\n"), text);
    }
}
