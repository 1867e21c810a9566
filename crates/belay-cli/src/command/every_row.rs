//! Every row of a plan or a change, a page at a time: no more than a page is held.

use crate::client::Client;
use crate::diff;
use crate::failure::Failure;
use crate::output::Out;
use belay_web::shape::{ChangedTable, PageOfRows, RowOfTable, TableOfRows};
use serde_json::{Map, Value, json};

/// Whose rows they are.
pub(crate) struct Of<'a> {
    /// Where they are asked for: `plans` or `changes`.
    pub(crate) kind: &'a str,
    pub(crate) id: &'a str,
    pub(crate) tables: &'a [ChangedTable],
    /// As a unified diff.
    pub(crate) diff: bool,
}

/// Writes them as they come: lines for people, one array for `-o json`, else one object a line.
pub(crate) async fn run(client: &Client, of: Of<'_>, out: &Out) -> Result<(), Failure> {
    let (mut from, mut rows, mut table) = (Some(0_u64), 0_u64, None);
    // Ends because each page begins behind the one before.
    while let Some(start) = from {
        let path = [of.kind, of.id, "rows", "all"];
        let page: PageOfRows = client.get(&path, &[("from", &start.to_string())]).await?;
        let mut lines = Vec::new();
        for row in &page.rows {
            let Some(about) = page.tables.get(row.table) else { continue };
            if out.is_for_people() {
                if table != Some(row.table) {
                    table = Some(row.table);
                    lines.extend(head(about, &of));
                }
                lines.extend(for_people(about, row, of.diff));
            } else {
                lines.push(for_programs(about, row, rows == 0, out));
            }
            rows += 1;
        }
        if !out.write(&lines) {
            return Ok(());
        }
        from = page.next.filter(|next| *next > start);
    }
    if out.is_one_document() {
        out.write(&[if rows == 0 { "[]" } else { "]" }.to_owned()]);
    }
    out.say(&format!("all of {}: {}", of.id, diff::rows(rows)));
    Ok(())
}

fn head(about: &TableOfRows, of: &Of<'_>) -> Vec<String> {
    let counted = of.tables.iter().find(|table| table.table == about.table);
    let counts = counted.map(|table| diff::counts(table.inserted, table.updated, table.deleted)).unwrap_or_default();
    if of.diff {
        return diff::unified_head(&about.table, &counts).to_vec();
    }
    let indirect = if about.indirect { ", written by a cascade, a trigger or a function" } else { "" };
    vec![String::new(), format!("{}: {counts}{indirect}", about.table)]
}

fn for_people(about: &TableOfRows, row: &RowOfTable, diff: bool) -> Vec<String> {
    if diff {
        diff::row_unified(&about.columns, &row.row)
    } else {
        vec![diff::row_listed(&about.columns, &about.key, &row.row)]
    }
}

/// One object; within an array, with what comes before it there.
fn for_programs(about: &TableOfRows, row: &RowOfTable, first: bool, out: &Out) -> String {
    let named = |values: &Vec<Option<String>>| -> Value {
        let pairs = about.columns.iter().cloned().zip(values.iter().map(|value| json!(value)));
        Value::Object(pairs.collect::<Map<_, _>>())
    };
    let object = json!({
        "table": about.table,
        "operation": row.row.operation,
        "before": row.row.before.as_ref().map(named),
        "after": row.row.after.as_ref().map(named),
        "times": row.row.times,
    });
    match (out.is_one_document(), first) {
        (false, _) => object.to_string(),
        (true, true) => format!("[\n{object}"),
        (true, false) => format!(",{object}"),
    }
}
