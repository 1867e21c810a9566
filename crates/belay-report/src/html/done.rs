//! What was done: connections and their statements.

use super::{Page, steps};
use crate::report::{Connection, Report, Session, Statement};
use belay_model::{BindValue, Code};

pub(super) fn sessions(page: &mut Page, report: &Report) {
    page.heading("What was done");
    if report.sessions.is_empty() {
        page.raw("<p>Nobody logged in.</p>\n");
    }
    for session in &report.sessions {
        self::session(page, session);
    }
}

fn session(page: &mut Page, session: &Session) {
    page.raw("<h3>Session <code>").text(&session.id).raw("</code></h3>\n");
    steps::table(page, session.steps.iter());
    for connection in &session.connections {
        self::connection(page, connection);
    }
}

fn connection(page: &mut Page, connection: &Connection) {
    page.raw("<h3>Connection <code>").text(&connection.id).raw("</code></h3>\n");
    steps::table(page, connection.steps.iter());
    if connection.statements.is_empty() {
        page.raw("<p class=\"soft\">No statements were sent.</p>\n");
        return;
    }
    page.raw("<table><thead><tr><th class=\"number\">No.</th><th>When</th><th>Statement</th><th>Decision</th><th>Outcome</th>");
    page.raw("<th class=\"number\">Record</th></tr></thead><tbody>\n");
    for statement in &connection.statements {
        row(page, statement);
    }
    page.raw("</tbody></table>\n");
}

fn row(page: &mut Page, statement: &Statement) {
    page.raw("<tr><td class=\"number\">").number(statement.number).raw("</td><td class=\"time\">");
    page.raw("<time datetime=\"").text(&statement.at).raw("\">");
    page.text(statement.at.get(11..19).unwrap_or(&statement.at)).raw("</time></td><td><pre>");
    page.text(&statement.text).raw("</pre>");
    if let Some(values) = statement.values.as_ref().filter(|values| !values.is_empty()) {
        page.raw("<span class=\"fine soft\">values: ");
        for (place, value) in values.iter().enumerate() {
            page.raw(if place == 0 { "" } else { ", " });
            bound(page, value);
        }
        page.raw("</span>");
    }
    if let Some(cut) = &statement.cut {
        page.raw("<span class=\"fine soft\">cut: ").number(cut.bytes).raw(" bytes in full</span>");
    }
    page.raw("</td><td>");
    match &statement.refused {
        Some(code) => {
            page.tag("bad", "refused").raw(" <code>").text(code).raw("</code>");
            if let Ok(code) = code.parse::<Code>() {
                page.raw("<br><span class=\"fine\">").text(code.title()).raw("</span>");
            }
        }
        None => {
            page.tag("good", &statement.effect);
        }
    }
    if let Some(because) = &statement.because {
        page.raw("<br><span class=\"fine\">").text(because).raw("</span>");
    }
    page.raw("</td><td class=\"short\">");
    outcome(page, statement);
    page.raw("</td><td class=\"number\">").number(statement.record).raw("</td></tr>\n");
}

fn bound(page: &mut Page, value: &BindValue) {
    match value {
        BindValue::Null => page.raw("<span class=\"null\">null</span>"),
        BindValue::Text(text) => page.raw("<code>").text(text).raw("</code>"),
        BindValue::Binary(digits) => page.raw("<code>0x").text(digits).raw("</code>"),
        BindValue::Masked => page.raw("(masked)"),
        BindValue::Long(bytes) => page.raw("(").number(*bytes).raw(" bytes)"),
    };
}

fn outcome(page: &mut Page, statement: &Statement) {
    let Some(outcome) = &statement.outcome else {
        page.raw(if statement.refused.is_some() { "never run" } else { "not recorded" });
        return;
    };
    if outcome.skipped {
        page.raw("not run: one before it failed");
        return;
    }
    if let Some(plan) = &statement.plan {
        page.tag("warn", "planned").raw(" as <code>").text(plan).raw("</code><br>");
    } else if let Some(state) = &outcome.sqlstate {
        page.tag("bad", "failed").raw(" <code>").text(state).raw("</code> ");
    }
    if let Some(code) = &outcome.stopped {
        page.tag("warn", "stopped").raw(" <code>").text(code).raw("</code> ");
    }
    if let Some(rows) = outcome.rows {
        page.count(rows, "row", "rows").raw("<br>");
    }
    if let Some(change) = &statement.change {
        page.raw("change <code>").text(change).raw("</code><br>");
    }
    let hundredths = outcome.micros / 10;
    page.text(&format!("{}.{:02} ms", hundredths / 100, hundredths % 100));
}
