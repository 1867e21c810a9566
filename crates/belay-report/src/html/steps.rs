//! Who asked, who decided, and what became of the access.

use super::{Page, moment};
use crate::report::{Grant, Report, Request, Step};
use serde_json::Value;

pub(super) fn asked(page: &mut Page, report: &Report) {
    page.heading("Who asked, and why");
    match &report.request {
        Some(request) => self::request(page, request),
        None => {
            page.raw("<p>The records hold no request for it.</p>\n");
        }
    }
    page.heading("Who decided, and what became of it");
    let request = report.request.iter().flat_map(|request| &request.steps);
    let mut all: Vec<&Step> = request.chain(report.grants.iter().flat_map(|grant| &grant.steps)).collect();
    all.sort_by_key(|step| step.record);
    for grant in &report.grants {
        given(page, grant);
    }
    table(page, all.into_iter());
}

fn request(page: &mut Page, request: &Request) {
    page.raw("<blockquote>").text(&request.reason).raw("</blockquote>\n<table class=\"facts\"><tbody>\n");
    fact(page, "Asked", |page| {
        page.time(&request.at).raw(" by ").text(request.who.as_deref().unwrap_or("unknown"));
        page.raw(", request <code>").text(&request.id).raw("</code>");
    });
    fact(page, "To do what", |page| {
        page.text(&request.effects.join(", ")).raw(" on ").text(request.target.as_deref().unwrap_or("unknown"));
    });
    fact(page, "With", |page| {
        page.raw("<code>").text(&request.resources.join(", ")).raw("</code>");
    });
    if !request.bounds.is_empty() {
        fact(page, "Only", |page| {
            page.text(&request.bounds);
        });
    }
    fact(page, "For", |page| {
        page.span(request.seconds);
    });
    if request.break_glass {
        fact(page, "Emergency", |page| {
            page.tag("warn", "given at once").raw(" to be reviewed afterwards");
        });
    }
    page.raw("</tbody></table>\n");
}

fn given(page: &mut Page, grant: &Grant) {
    page.raw("<p>Access was given as <code>").text(&grant.id).raw("</code> on ").time(&grant.at);
    page.raw(", to end on ").time(&grant.ends_at).raw(".</p>\n");
}

fn fact(page: &mut Page, name: &'static str, tell: impl FnOnce(&mut Page)) {
    page.raw("<tr><th scope=\"row\">").raw(name).raw("</th><td>");
    tell(page);
    page.raw("</td></tr>\n");
}

/// Acts in their order.
pub(super) fn table<'a>(page: &mut Page, steps: impl Iterator<Item = &'a Step>) {
    let mut steps = steps.peekable();
    if steps.peek().is_none() {
        return;
    }
    page.raw("<table class=\"steps\"><thead><tr><th>When</th><th>Who</th><th>What</th><th class=\"number\">Record</th></tr></thead><tbody>\n");
    for step in steps {
        page.raw("<tr><td class=\"time\">").time(&step.at).raw("</td><td class=\"short\">");
        // Somebody is told of what the one did whom the record names.
        let who = step.who.as_deref().filter(|_| step.act != "notified");
        page.text(who.unwrap_or("Belay")).raw("</td><td>");
        tell(page, step);
        page.raw("</td><td class=\"number\">").number(step.record).raw("</td></tr>\n");
    }
    page.raw("</tbody></table>\n");
}

/// One act in words.
fn tell(page: &mut Page, step: &Step) {
    let field = |name: &str| value(step.fields.get(name));
    let said = match step.act.as_str() {
        "request_approved" if field("still_needed") == "0" => "approved".to_owned(),
        "request_approved" => format!("approved; {} more had to", field("still_needed")),
        "request_denied" | "plan_denied" => format!("denied: {}", field("reason")),
        "request_withdrawn" => "withdrew the request".to_owned(),
        "request_lapsed" => "the request lapsed: nobody decided in time".to_owned(),
        "approval_refused" | "plan_approval_refused" => format!("was not let approve: {}", field("because")),
        "grant_extended" => format!("extended the access until {}", moment(&field("ends_at"))),
        "grant_narrowed" => format!("narrowed the access to {}", field("resources")),
        "grant_ended" | "session_ended" | "connection_ended" => format!("ended: {}", field("reason").replace('_', " ")),
        "grant_reviewed" => format!("reviewed: {}", field("note")),
        "token_claimed" => "took the password of the access".to_owned(),
        "role_made" => format!("role {} made in the database", field("role")),
        "role_dropped" => format!("role {} dropped from the database", field("role")),
        "notified" => format!("told somebody of it through {}: {}", field("channel"), field("what").replace('_', " ")),
        "login" => format!("logged in to {} from {} with {}", field("database"), field("client"), application(step)),
        "login_failed" => format!("was not let in from {}: {}", field("client"), field("code")),
        "plan_approved" if field("still_needed") == "0" => "approved these rows".to_owned(),
        "plan_approved" => format!("approved these rows; {} more had to", field("still_needed")),
        "plan_lapsed" => "lapsed: it was not applied in time".to_owned(),
        "plan_started" => "began to apply it".to_owned(),
        "plan_applied" => format!("applied as {}", field("change")),
        "plan_differs" => format!("not applied: other rows would have changed; {} shows them", field("replaced_by")),
        "change_committed" => "committed".to_owned(),
        "change_rolled_back" => "rolled back: nothing was changed".to_owned(),
        "change_unknown" => "the connection was lost while it committed; the database was asked".to_owned(),
        "change_reverted" => format!("{} given back by {}", field("change"), field("by")),
        act => act.replace('_', " "),
    };
    page.text(&said);
}

fn application(step: &Step) -> String {
    match value(step.fields.get("application")) {
        name if name.is_empty() => "a program that gave no name".to_owned(),
        name => name,
    }
}

/// A field as text.
fn value(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items.iter().map(|item| self::value(Some(item))).collect::<Vec<_>>().join(", "),
        Some(other) => other.to_string(),
    }
}
