//! How each kind of object looks in a table.

use crate::diff;
use crate::output::Row;
use belay_web::shape::{
    ApiToken, AuditEntry, Bounds, Erasure, Grant, Hold, KeptChange, Mask, MaskSuggestion, Plan, RecordProof, Request,
    Rule, Session, Target, User, Verification,
};

fn plain(value: Option<&impl ToString>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

fn yes(flag: bool) -> String {
    if flag { "yes" } else { "no" }.to_owned()
}

impl Row for Request {
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "state",
        "requester",
        "target",
        "effects",
        "for",
        "resources",
        "bounds",
        "approvals",
        "decide_by",
        "reason",
    ];
    fn cells(&self) -> Vec<String> {
        let state = match &self.grant {
            Some(grant) => format!("{} {}", self.state, grant.id),
            None => self.state.clone(),
        };
        let reason = match &self.denial {
            Some(denial) => format!("{} (denied: {denial})", self.reason),
            None => self.reason.clone(),
        };
        vec![
            self.id.clone(),
            state,
            self.requester.clone(),
            self.target.clone(),
            self.effects.join(","),
            self.duration.clone(),
            resources(&self.resources, self.new_tables),
            bounds(&self.bounds),
            format!("{} of {}", self.approved_by.len(), self.approvals_needed),
            self.decide_by.to_string(),
            reason,
        ]
    }
}

impl Row for Erasure {
    const COLUMNS: &'static [&'static str] = &["session", "done"];
    fn cells(&self) -> Vec<String> {
        vec![self.session.clone(), yes(self.done)]
    }
}

impl Row for Hold {
    const COLUMNS: &'static [&'static str] = &["session", "by", "at", "reason"];
    fn cells(&self) -> Vec<String> {
        vec![self.session.clone(), self.by.clone(), self.at.to_string(), self.reason.clone()]
    }
}

impl Row for Grant {
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "state",
        "principal",
        "target",
        "effects",
        "resources",
        "bounds",
        "masks",
        "use_by",
        "ends_at",
        "reason",
    ];
    fn cells(&self) -> Vec<String> {
        let state = match &self.ended_by {
            Some(by) => format!("{} by {by}", self.state),
            None => self.state.clone(),
        };
        vec![
            self.id.clone(),
            state,
            self.principal.clone(),
            self.target.clone(),
            self.effects.join(","),
            resources(&self.resources, self.new_tables),
            bounds(&self.bounds),
            self.masks.iter().map(|mask| format!("{} {}", mask.column, mask.shows)).collect::<Vec<_>>().join("; "),
            self.use_by.to_string(),
            self.ended_at.unwrap_or(self.ends_at).to_string(),
            reason_of(self),
        ]
    }
}

/// The reason, and of access in an emergency whether somebody has looked at it.
fn reason_of(grant: &Grant) -> String {
    match (grant.break_glass, &grant.reviewed_by) {
        (false, _) => grant.reason.clone(),
        (true, None) => format!("BREAK-GLASS, owes a review: {}", grant.reason),
        (true, Some(by)) => format!("BREAK-GLASS, reviewed by {by}: {}", grant.reason),
    }
}

/// Resources, bounds and what becomes of new tables, in one line for somebody who decides.
pub(crate) fn scope(paths: &[String], new_tables: bool, of: &Bounds) -> String {
    let bounds = bounds(of);
    let resources = resources(paths, new_tables);
    if bounds.is_empty() { resources } else { format!("{resources}; {bounds}") }
}

fn resources(paths: &[String], new_tables: bool) -> String {
    let text = paths.join(" ");
    if new_tables { format!("{text} (new tables too)") } else { text }
}

fn bounds(bounds: &Bounds) -> String {
    belay_model::Bounds::from(bounds.clone()).to_string()
}

impl Row for Plan {
    const COLUMNS: &'static [&'static str] =
        &["id", "state", "principal", "target", "rows", "tables", "approvals", "expires_at", "about"];
    fn cells(&self) -> Vec<String> {
        let state = match (&self.applied, &self.replaced_by) {
            (Some(change), _) => format!("{} {change}", self.state),
            (None, Some(plan)) => format!("{} by {plan}", self.state),
            (None, None) => self.state.clone(),
        };
        let about = match (&self.denial, &self.unrepeatable) {
            (Some(denial), _) => format!("denied: {denial}"),
            (None, Some(why)) => format!("cannot be applied: {why}"),
            (None, None) if self.reverts.is_empty() => String::new(),
            (None, None) => format!("gives back {}", self.reverts.join(" ")),
        };
        vec![
            self.id.clone(),
            state,
            self.principal.clone(),
            self.target.clone(),
            self.rows.to_string(),
            diff::tables(&self.tables),
            format!("{} of {}", self.approved_by.len(), self.approvals_needed),
            self.expires_at.to_string(),
            about,
        ]
    }
}

impl Row for KeptChange {
    const COLUMNS: &'static [&'static str] =
        &["id", "state", "principal", "target", "rows", "tables", "made_at", "kept_until", "about"];
    fn cells(&self) -> Vec<String> {
        let mut about: Vec<String> = self.plan.iter().map(|plan| format!("applies {plan}")).collect();
        about.extend(self.session.iter().map(|session| format!("in {session}")));
        if !self.reverts.is_empty() {
            about.push(format!("gives back {}", self.reverts.join(" ")));
        }
        if !self.reverted_by.is_empty() {
            about.push(format!("given back by {}", self.reverted_by.join(" ")));
        }
        vec![
            self.id.clone(),
            self.state.clone(),
            self.principal.clone(),
            self.target.clone(),
            self.rows.to_string(),
            diff::tables(&self.tables),
            self.made_at.to_string(),
            self.kept_until.to_string(),
            about.join(", "),
        ]
    }
}

impl Row for Mask {
    const COLUMNS: &'static [&'static str] = &["id", "target", "column", "shows", "made_at"];
    fn cells(&self) -> Vec<String> {
        vec![self.id.clone(), self.target.clone(), self.column.clone(), self.shows.clone(), self.made_at.to_string()]
    }
}

impl Row for MaskSuggestion {
    const COLUMNS: &'static [&'static str] = &["column", "type", "seems", "shows"];
    fn cells(&self) -> Vec<String> {
        vec![self.column.clone(), self.column_type.clone(), self.seems.clone(), self.shows.clone()]
    }
}

impl Row for Target {
    const COLUMNS: &'static [&'static str] = &["name", "protocol", "host", "port", "database", "user", "tls"];
    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.protocol.clone(),
            self.host.clone(),
            self.port.to_string(),
            self.database.clone(),
            self.user.clone(),
            self.tls.clone(),
        ]
    }
}

impl Row for User {
    const COLUMNS: &'static [&'static str] = &["name", "roles", "groups", "disabled", "password", "added"];
    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.roles.join(","),
            self.groups.join(","),
            yes(self.disabled),
            if self.has_password { "set" } else { "none" }.to_owned(),
            self.created_at.to_string(),
        ]
    }
}

impl Row for ApiToken {
    const COLUMNS: &'static [&'static str] =
        &["id", "user", "label", "shown", "expires_at", "last_used_at", "revoked_at"];
    fn cells(&self) -> Vec<String> {
        vec![
            self.id.clone(),
            self.user.clone(),
            self.label.clone(),
            self.shown.clone(),
            self.expires_at.to_string(),
            plain(self.last_used_at.as_ref()),
            plain(self.revoked_at.as_ref()),
        ]
    }
}

impl Row for Rule {
    const COLUMNS: &'static [&'static str] =
        &["id", "target", "group", "hours", "effects", "max", "changed rows", "approvals", "extendable", "values"];
    fn cells(&self) -> Vec<String> {
        let any = |value: &Option<String>| value.clone().unwrap_or_else(|| "any".to_owned());
        vec![
            self.id.clone(),
            any(&self.target),
            any(&self.group),
            any(&self.hours),
            self.effects.join(","),
            self.max_duration.clone(),
            if self.effects.iter().any(|effect| effect == "direct") {
                self.max_changed_rows.to_string()
            } else {
                String::new()
            },
            self.approvals.to_string(),
            yes(self.extendable),
            if self.record_values { "recorded" } else { "masked" }.to_owned(),
        ]
    }
}

impl Row for Session {
    const COLUMNS: &'static [&'static str] =
        &["id", "state", "principal", "target", "grant", "started_at", "connections"];
    fn cells(&self) -> Vec<String> {
        let connection = |connection: &belay_web::shape::Connection| {
            format!("{} {} {} {}", connection.id, connection.client, connection.database, connection.application)
        };
        let state =
            if self.cut_in_transaction { format!("{}, cut in a transaction", self.state) } else { self.state.clone() };
        vec![
            self.id.clone(),
            state,
            self.principal.clone(),
            self.target.clone(),
            self.grant.clone(),
            self.started_at.to_string(),
            self.connections.iter().map(connection).collect::<Vec<_>>().join("; "),
        ]
    }
}

impl Row for AuditEntry {
    const COLUMNS: &'static [&'static str] = &["seq", "at", "who", "event", "target", "grant", "session", "details"];
    fn cells(&self) -> Vec<String> {
        let detail = |(key, value): (&String, &serde_json::Value)| match value {
            serde_json::Value::String(text) => format!("{key}={text}"),
            other => format!("{key}={other}"),
        };
        vec![
            self.seq.to_string(),
            self.at.to_string(),
            plain(self.who.as_ref()),
            self.event.clone(),
            plain(self.target.as_ref()),
            plain(self.grant.as_ref()),
            plain(self.session.as_ref()),
            self.fields.iter().map(detail).collect::<Vec<_>>().join(" "),
        ]
    }
}

impl Row for RecordProof {
    const COLUMNS: &'static [&'static str] = &["seq", "record", "content", "proof"];
    fn cells(&self) -> Vec<String> {
        let content = plain(self.content.as_ref());
        vec![self.seq.to_string(), self.record.clone(), content, self.proof.clone()]
    }
}

impl Row for Verification {
    const COLUMNS: &'static [&'static str] =
        &["intact", "records", "segments", "bytes", "position", "damage", "known", "checkpoints", "signed"];
    fn cells(&self) -> Vec<String> {
        vec![
            yes(self.intact),
            self.records.to_string(),
            self.segments.to_string(),
            self.bytes.to_string(),
            self.position.clone(),
            plain(self.damage.as_ref()),
            self.known.map(yes).unwrap_or_default(),
            self.checkpoints.to_string(),
            plain(self.signed.as_ref()),
        ]
    }
}
