//! What an event can be found by. Filters compare with it, and the search index is made of it.

use belay_model::{ChangeId, ChangedTable, Code, Event, EventKind, PlanId, RequestId};

/// What a search can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ledger) enum Key {
    Who,
    Target,
    /// A table with or without its schema.
    Table,
    /// A table as the event names it.
    Named,
    Row,
    Kind,
    Effect,
    Decision,
    Session,
    Grant,
    Connection,
    Request,
    Plan,
    Change,
    Code,
    Sqlstate,
}

impl Key {
    pub(in crate::ledger) const ALL: [Key; 16] = [
        Key::Who,
        Key::Target,
        Key::Table,
        Key::Named,
        Key::Row,
        Key::Kind,
        Key::Effect,
        Key::Decision,
        Key::Session,
        Key::Grant,
        Key::Connection,
        Key::Request,
        Key::Plan,
        Key::Change,
        Key::Code,
        Key::Sqlstate,
    ];
}

/// The values that the event has of this key.
pub(in crate::ledger) fn values(event: &Event, key: Key) -> Vec<String> {
    let kind = &event.kind;
    match key {
        Key::Who => text(event.who.as_ref()),
        Key::Target => text(event.target.as_ref()),
        Key::Session => text(event.session.as_ref()),
        Key::Grant => text(event.grant.as_ref()),
        Key::Connection => text(event.connection.as_ref()),
        Key::Kind => text(Some(&kind.word())),
        Key::Table => tables(kind).iter().flat_map(|name| endings(name).chain([name.as_str()])).map(into).collect(),
        Key::Named => tables(kind),
        Key::Row => rows(kind),
        Key::Effect => text(effect(kind).as_ref()),
        Key::Decision => text(decision(kind).as_ref()),
        Key::Request => text(request(kind).as_ref()),
        Key::Plan => plans(kind).iter().map(ToString::to_string).collect(),
        Key::Change => changes(kind).iter().map(ToString::to_string).collect(),
        Key::Code => text(code(kind).as_ref()),
        Key::Sqlstate => match kind {
            EventKind::Outcome { outcome, .. } => text(outcome.sqlstate.as_ref()),
            _ => Vec::new(),
        },
    }
}

/// The name without its first part, without its first two, and so on.
pub(super) fn endings(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('.').map(|(at, _)| &name[at + 1..])
}

/// What people wrote, or what was written for them to read.
pub(in crate::ledger) fn texts(kind: &EventKind) -> Vec<&str> {
    match kind {
        EventKind::Statement { text, because, .. } => std::iter::once(&**text).chain(because.as_deref()).collect(),
        EventKind::RequestMade { reason, .. }
        | EventKind::RequestDenied { reason, .. }
        | EventKind::PlanDenied { reason, .. }
        | EventKind::SessionHeld { reason }
        | EventKind::SessionErased { reason } => vec![reason],
        EventKind::RequestRefused { reason, because, .. } => vec![reason, because],
        EventKind::ApprovalRefused { because, .. } | EventKind::PlanApprovalRefused { because, .. } => vec![because],
        EventKind::GrantReviewed { note } => vec![note],
        EventKind::Recovered { what } => vec![what],
        EventKind::Notified { what, channel, .. } => vec![what, channel],
        EventKind::RuleAdded { text, .. } => vec![text],
        _ => Vec::new(),
    }
}

/// The words of a text, in lower case.
pub(in crate::ledger) fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).map(str::to_lowercase)
}

fn text(value: Option<&impl ToString>) -> Vec<String> {
    value.map(ToString::to_string).into_iter().collect()
}

fn into(name: &str) -> String {
    name.to_owned()
}

fn tables(kind: &EventKind) -> Vec<String> {
    match kind {
        EventKind::Statement { relations, .. } => relations.names(),
        EventKind::ChangeRows { table, .. } => vec![table.clone()],
        _ => changed(kind).iter().map(|changed| changed.table.clone()).collect(),
    }
}

fn rows(kind: &EventKind) -> Vec<String> {
    match kind {
        EventKind::ChangeRows { keys, .. } => keys.clone(),
        _ => changed(kind).iter().flat_map(|changed| changed.keys.iter().cloned()).collect(),
    }
}

fn changed(kind: &EventKind) -> &[ChangedTable] {
    match kind {
        EventKind::PlanMade { tables, .. } | EventKind::ChangeKept { tables, .. } => tables,
        _ => &[],
    }
}

fn effect(kind: &EventKind) -> Option<&'static str> {
    match kind {
        EventKind::Statement { effect, .. } => Some(effect.word()),
        EventKind::ChangeKept { .. } | EventKind::ChangeRows { .. } | EventKind::ChangeCommitted { .. } => {
            Some("write")
        }
        _ => None,
    }
}

fn decision(kind: &EventKind) -> Option<&'static str> {
    match kind {
        EventKind::Statement { denied, .. } => Some(if denied.is_some() { "denied" } else { "permitted" }),
        _ => None,
    }
}

fn code(kind: &EventKind) -> Option<Code> {
    match kind {
        EventKind::Statement { denied, .. } => *denied,
        EventKind::Outcome { outcome, .. } => outcome.stopped,
        EventKind::LoginFailed { code, .. } => Some(*code),
        _ => None,
    }
}

fn request(kind: &EventKind) -> Option<RequestId> {
    match kind {
        EventKind::RequestMade { request, .. }
        | EventKind::RequestApproved { request, .. }
        | EventKind::ApprovalRefused { request, .. }
        | EventKind::RequestDenied { request, .. }
        | EventKind::RequestWithdrawn { request }
        | EventKind::RequestLapsed { request }
        | EventKind::GrantMade { request, .. } => Some(*request),
        _ => None,
    }
}

fn plans(kind: &EventKind) -> Vec<PlanId> {
    match kind {
        EventKind::PlanMade { plan, .. }
        | EventKind::PlanApproved { plan, .. }
        | EventKind::PlanApprovalRefused { plan, .. }
        | EventKind::PlanDenied { plan, .. }
        | EventKind::PlanLapsed { plan }
        | EventKind::PlanStarted { plan, .. }
        | EventKind::PlanApplied { plan, .. } => vec![*plan],
        EventKind::PlanDiffers { plan, replaced_by, .. } => std::iter::once(*plan).chain(*replaced_by).collect(),
        EventKind::ChangeKept { plan, .. } => plan.iter().copied().collect(),
        _ => Vec::new(),
    }
}

fn changes(kind: &EventKind) -> Vec<ChangeId> {
    match kind {
        EventKind::PlanMade { reverts, .. } => reverts.clone(),
        EventKind::ChangeKept { change, reverts, .. } => std::iter::once(change).chain(reverts).copied().collect(),
        EventKind::PlanApplied { change, .. }
        | EventKind::ChangeRows { change, .. }
        | EventKind::ChangeCommitted { change, .. }
        | EventKind::ChangeRolledBack { change }
        | EventKind::ChangeUnknown { change } => vec![*change],
        EventKind::ChangeReverted { change, by } => vec![*change, *by],
        _ => Vec::new(),
    }
}
