//! What was to be changed, what was, and what of it is left.

use super::{Page, steps};
use crate::Document;
use crate::document::{RowsBefore, Values, ValuesOfTable};
use crate::report::{Change, Plan, Report};
use belay_model::ChangedTable;

/// Keys of one table that a page shows; the data have them all.
const KEYS_SHOWN: usize = 200;

pub(super) fn plans(page: &mut Page, report: &Report) {
    if report.plans.is_empty() {
        return;
    }
    page.heading("Writes that were tried first");
    page.raw(
        "<p>A write is tried and taken back. People approve the rows that it would change; then it is run again, and \
        committed only if the same rows change.</p>\n",
    );
    for plan in &report.plans {
        self::plan(page, plan);
    }
}

fn plan(page: &mut Page, plan: &Plan) {
    page.raw("<div class=\"card\"><h3>Plan <code>").text(&plan.id).raw("</code> ");
    let class = match plan.state.as_str() {
        "applied" => "good",
        "denied" => "bad",
        _ => "warn",
    };
    page.tag(class, &plan.state).raw("</h3>\n<p>").time(&plan.at).raw(", ");
    page.text(plan.who.as_deref().unwrap_or("Belay")).raw(": would change ").count(plan.rows, "row", "rows");
    if !plan.reverts.is_empty() {
        page.raw(", giving back <code>").text(&plan.reverts.join(", ")).raw("</code>");
    }
    page.raw(". Approvals needed: ").number(plan.approvals_needed.into()).raw(".</p>\n");
    tables(page, &plan.tables);
    steps::table(page, plan.steps.iter());
    page.raw("<p class=\"fine soft\">Record ").number(plan.record).raw("; fingerprint of the rows <code>");
    page.text(&plan.fingerprint).raw("</code></p></div>\n");
}

pub(super) fn changes(page: &mut Page, document: &Document) {
    page.heading("What was changed");
    let report = &document.report;
    if report.changes.is_empty() {
        page.raw("<p>No rows were changed.</p>\n");
        return;
    }
    if document.values.is_empty() {
        page.raw(
            "<p class=\"soft\">The records hold which rows were changed. Their values before and after are in change \
            sets that are sealed on the server, which shows them when it makes this report itself.</p>\n",
        );
    }
    for change in &report.changes {
        let is_left = report.not_given_back.iter().any(|left| left.change == change.id);
        self::change(page, change, is_left, document.values.iter().find(|values| values.change == change.id));
    }
}

fn change(page: &mut Page, change: &Change, is_left: bool, values: Option<&Values>) {
    page.raw("<div class=\"card\"><h3>Change <code>").text(&change.id).raw("</code> ");
    let (class, state) = match (change.state.as_str(), change.reverted_by.is_empty()) {
        ("committed", true) if change.reverts.is_empty() => ("warn", "committed"),
        ("committed", true) => ("good", "gives back"),
        ("committed", false) if is_left => ("warn", "committed, later given back in part"),
        ("committed", false) => ("good", "committed, later given back"),
        ("rolled_back", _) => ("good", "rolled back"),
        _ => ("bad", "outcome not known"),
    };
    page.tag(class, state).raw("</h3>\n<p>").time(&change.at).raw(", ");
    page.text(change.who.as_deref().unwrap_or("Belay")).raw(": ").count(change.rows, "row", "rows");
    if let (Some(connection), Some(statement)) = (&change.connection, change.statement) {
        page.raw(", by statement ").number(statement).raw(" of <code>").text(connection).raw("</code>");
    }
    if let Some(plan) = &change.plan {
        page.raw(", applying <code>").text(plan).raw("</code>");
    }
    if !change.reverts.is_empty() {
        page.raw(if change.partial { ", giving back some rows of <code>" } else { ", giving back <code>" });
        page.text(&change.reverts.join(", ")).raw("</code>");
    }
    page.raw(".</p>\n");
    tables(page, &change.tables);
    for table in values.iter().flat_map(|values| &values.tables) {
        rows(page, table);
    }
    steps::table(page, change.steps.iter());
    page.raw("<p class=\"fine soft\">Record ").number(change.record).raw("; fingerprint of the rows <code>");
    page.text(&change.fingerprint).raw("</code></p></div>\n");
}

fn tables(page: &mut Page, tables: &[ChangedTable]) {
    page.raw("<table><thead><tr><th>Table</th><th class=\"number\">New</th><th class=\"number\">Changed</th>");
    page.raw("<th class=\"number\">Removed</th><th>Rows, by their keys</th></tr></thead><tbody>\n");
    for table in tables {
        page.raw("<tr><td><code>").text(&table.table).raw("</code>");
        if table.indirect {
            page.raw("<br><span class=\"fine soft\">through a trigger, a cascade or a function</span>");
        }
        for count in [table.inserted, table.updated, table.deleted] {
            page.raw("</td><td class=\"number\">").number(count);
        }
        page.raw("</td><td>");
        keys(page, &table.keys, table.more_keys);
        page.raw("</td></tr>\n");
    }
    page.raw("</tbody></table>\n");
}

fn keys(page: &mut Page, keys: &[String], more: u64) {
    if keys.is_empty() && more == 0 {
        page.raw("<span class=\"soft\">no key</span>");
        return;
    }
    let shown = keys.get(..KEYS_SHOWN).unwrap_or(keys);
    for (place, key) in shown.iter().enumerate() {
        page.raw(if place == 0 { "<code>" } else { ", <code>" }).text(key).raw("</code>");
    }
    if keys.len() > shown.len() {
        page.raw(" and ").number((keys.len() - shown.len()) as u64).raw(" more, in the data of this page");
    }
    if more > 0 {
        page.raw(if keys.is_empty() { "" } else { "; " });
        page.number(more).raw(" not recorded: masked, or too many");
    }
}

/// Rows before and after: what differs is marked.
fn rows(page: &mut Page, table: &ValuesOfTable) {
    page.raw("<div class=\"scroll\"><table><thead><tr><th><code>").text(&table.table).raw("</code></th>");
    for column in &table.columns {
        page.raw("<th>").text(column).raw("</th>");
    }
    page.raw("</tr></thead><tbody>\n");
    for row in &table.rows {
        let (class, word) = match (&row.before, &row.after) {
            (None, _) => ("good", "new"),
            (_, None) => ("bad", "removed"),
            _ => ("warn", "changed"),
        };
        page.raw("<tr><td class=\"short\">").tag(class, word);
        if row.times > 1 {
            page.raw(" ×").number(row.times);
        }
        page.raw("</td>");
        for place in 0..table.columns.len() {
            page.raw("<td class=\"value\">");
            cell(page, row, place);
            page.raw("</td>");
        }
        page.raw("</tr>\n");
    }
    page.raw("</tbody></table></div>\n");
    if table.left_out > 0 {
        page.raw("<p class=\"fine soft\">")
            .count(table.left_out, "more row", "more rows")
            .raw(" not shown here.</p>\n");
    }
}

fn cell(page: &mut Page, row: &RowsBefore, place: usize) {
    let of = |row: &Option<Vec<Option<String>>>| row.as_ref().map(|row| row.get(place).cloned().flatten());
    match (of(&row.before), of(&row.after)) {
        (Some(before), Some(after)) if before == after => {
            value(page.raw("<span class=\"same\">"), before).raw("</span>")
        }
        (before, after) => {
            if let Some(before) = before {
                value(page.raw("<del>"), before).raw("</del> ");
            }
            if let Some(after) = after {
                value(page.raw("<ins>"), after).raw("</ins>");
            }
            page
        }
    };
}

fn value(page: &mut Page, value: Option<String>) -> &mut Page {
    match value {
        Some(value) => page.text(&value),
        None => page.raw("<span class=\"null\">null</span>"),
    }
}

pub(super) fn left(page: &mut Page, report: &Report) {
    page.heading("What is not given back");
    if report.not_given_back.is_empty() {
        page.raw("<p class=\"note good\">Nothing: no change is left in effect.</p>\n");
        return;
    }
    page.raw(
        "<p class=\"note warn\">These rows are as the change left them, or as somebody outside of Belay has changed \
        them since. <code>belay revert</code> gives them back.</p>\n<table><thead><tr><th>Change</th><th>Table</th>",
    );
    page.raw("<th class=\"number\">Rows</th><th>Rows, by their keys</th></tr></thead><tbody>\n");
    for left in &report.not_given_back {
        for table in &left.tables {
            page.raw("<tr><td><code>").text(&left.change).raw("</code></td><td><code>").text(&table.table);
            page.raw("</code></td><td class=\"number\">").number(table.rows).raw("</td><td>");
            if table.by_count {
                page.raw("<span class=\"soft\">not all recorded</span>");
            } else {
                keys(page, &table.keys, 0);
            }
            page.raw("</td></tr>\n");
        }
    }
    page.raw("</tbody></table>\n");
}
