//! What the ledger records: one event per act, complete enough to be read alone.

use crate::{
    ApiTokenId, Bounds, ChangeId, Code, ConnectionId, Deciding, Effect, Effects, EndReason, GrantId, MaskId, MaskKind,
    Named, PlanId, RequestId, Resource, RuleId, SessionId, Span, Timestamp,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One act. `seq` and hashes are added by the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When it happened.
    pub at: Timestamp,
    /// Who did it; absent for the gateway itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub who: Option<Arc<str>>,
    /// The target it concerns.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub target: Option<Arc<str>>,
    /// The grant it happened under or concerns.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub grant: Option<GrantId>,
    /// The session.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub session: Option<SessionId>,
    /// The connection of the session.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub connection: Option<ConnectionId>,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

impl Event {
    /// An event of the gateway itself.
    pub fn new(at: Timestamp, kind: EventKind) -> Event {
        Event { at, who: None, target: None, grant: None, session: None, connection: None, kind }
    }

    /// The event with its actor named.
    #[must_use]
    pub fn by(mut self, who: &str) -> Event {
        self.who = Some(Arc::from(who));
        self
    }

    /// The event with its target named.
    #[must_use]
    pub fn on(mut self, target: &str) -> Event {
        self.target = Some(Arc::from(target));
        self
    }

    /// The event with its grant named.
    #[must_use]
    pub fn under(mut self, grant: GrantId) -> Event {
        self.grant = Some(grant);
        self
    }
}

/// Where a connection's transaction stands, in PostgreSQL's letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransactionStatus {
    /// Outside a transaction.
    #[serde(rename = "I")]
    Idle,
    /// Inside one.
    #[serde(rename = "T")]
    Open,
    /// Inside one that has failed.
    #[serde(rename = "E")]
    Failed,
}

/// How a statement ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Rows returned or touched, as the command tag says.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rows: Option<u64>,
    /// Bytes of rows and of COPY data that the target returned, as they are on the wire.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bytes: Option<u64>,
    /// The SQLSTATE of its error, if it failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sqlstate: Option<String>,
    /// The budget that ended it; the rows are those sent before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stopped: Option<Code>,
    /// The target never ran it, because one before it in its batch failed.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub skipped: bool,
    /// From sending it to its end.
    pub micros: u64,
}

/// A bind value as it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BindValue {
    /// SQL NULL.
    Null,
    /// A value in text format.
    Text(String),
    /// A value in binary format, in hex.
    Binary(String),
    /// Left out because the rule says so.
    Masked,
    /// Left out because it was larger than the bound: its length in bytes.
    Long(u64),
}

/// How many rows of a table a transaction changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedTable {
    /// The table, with its schema.
    pub table: String,
    /// Rows that came.
    pub inserted: u64,
    /// Rows that have another content.
    pub updated: u64,
    /// Rows that went.
    pub deleted: u64,
    /// No statement names the table: a cascade, a trigger or a function wrote it.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub indirect: bool,
    /// Rows that changed, by the values of the table's key as text; of several columns joined by commas. None where
    /// the table has no key. Where they do not fit, the others follow as [`EventKind::ChangeRows`].
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub keys: Vec<String>,
    /// Rows whose keys no record holds: there are too many, or a mask covers them.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub more_keys: u64,
}

/// The acts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[allow(missing_docs, reason = "the variant and field names are the vocabulary of interface and docs")]
pub enum EventKind {
    ServerStarted {
        version: String,
    },
    ServerStopped,
    /// A server found something that an earlier run left behind, and put it right.
    Recovered {
        what: String,
    },
    UserAdded {
        user: String,
        roles: Vec<String>,
        groups: Vec<String>,
    },
    UserChanged {
        user: String,
        roles: Vec<String>,
        groups: Vec<String>,
        disabled: bool,
    },
    PasswordChanged {
        user: String,
    },
    ApiLogin {
        user: String,
        token: ApiTokenId,
    },
    ApiLoginFailed {
        user: String,
    },
    ApiTokenRevoked {
        token: ApiTokenId,
    },
    TargetAdded {
        host: String,
        port: u16,
        database: String,
    },
    TargetRemoved,
    /// A trigger of Belay's writes down what sessions change in a table.
    TableArmed {
        table: String,
    },
    TableDisarmed {
        table: String,
    },
    MaskAdded {
        mask: MaskId,
        column: Resource,
        shows: MaskKind,
    },
    MaskRemoved {
        mask: MaskId,
        column: Resource,
    },
    RuleAdded {
        rule: RuleId,
        text: String,
    },
    RuleRemoved {
        rule: RuleId,
    },
    /// Other policies are in force than before: SHA-256 over their texts, and the files they came from.
    PolicyChanged {
        hash: String,
        policies: u32,
        files: Vec<String>,
    },
    /// A key that signs the ledger's checkpoints, and the one that it takes the place of.
    LedgerKeyAdded {
        key: String,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        replaces: Option<String>,
    },
    /// A file of the ledger goes because all its records are older than they are to be kept: its first and last record,
    /// its length and SHA-256, and the chain before and after it, by which the tree's hashes of its records are proven.
    SegmentDeleted {
        first: u64,
        last: u64,
        bytes: u64,
        sha256: String,
        chain_before: String,
        chain_after: String,
        older_than: String,
    },
    /// The server was started with another configuration than before: SHA-256 over its settings, and the names of those
    /// that are set.
    ConfigurationChanged {
        hash: String,
        settings: Vec<String>,
    },
    RequestMade {
        request: RequestId,
        resources: Vec<Resource>,
        effects: Effects,
        #[serde(skip_serializing_if = "is_unbounded", default)]
        bounds: Bounds,
        duration: Span,
        reason: String,
        break_glass: bool,
        rule: Option<RuleId>,
        /// The policies that permitted it, and those that granted it at once or kept it from being.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        policies: Vec<Deciding>,
    },
    /// Somebody asked for what policies do not permit.
    RequestRefused {
        resources: Vec<Resource>,
        effects: Effects,
        duration: Span,
        reason: String,
        break_glass: bool,
        because: String,
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        policies: Vec<Deciding>,
    },
    RequestApproved {
        request: RequestId,
        still_needed: u8,
        /// The policies that let this person approve.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        policies: Vec<Deciding>,
    },
    /// Policies kept somebody from approving; the request waits for somebody else.
    ApprovalRefused {
        request: RequestId,
        because: String,
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        policies: Vec<Deciding>,
    },
    RequestDenied {
        request: RequestId,
        reason: String,
    },
    RequestWithdrawn {
        request: RequestId,
    },
    RequestLapsed {
        request: RequestId,
    },
    GrantMade {
        request: RequestId,
        ends_at: Timestamp,
        use_by: Timestamp,
    },
    GrantExtended {
        ends_at: Timestamp,
    },
    GrantNarrowed {
        resources: Vec<Resource>,
        effects: Effects,
    },
    GrantEnded {
        reason: EndReason,
    },
    GrantReviewed {
        note: String,
    },
    TokenClaimed,
    /// Somebody was told something out of band.
    Notified {
        what: String,
        channel: String,
        delivered: bool,
    },
    RoleMade {
        role: String,
    },
    RoleDropped {
        role: String,
        ended_backends: u32,
    },
    /// A native client was let in.
    Login {
        client: String,
        application: String,
        database: String,
        backend: i32,
    },
    LoginFailed {
        client: String,
        user: String,
        database: String,
        code: Code,
    },
    /// A statement arrived and was judged. Durable before the bytes leave, unless it is a read.
    Statement {
        /// Counts statements of the connection; the outcome carries the same number.
        statement: u64,
        text: Arc<str>,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        values: Option<Vec<BindValue>>,
        effect: Effect,
        /// The code of the denial; absent for a permit.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        denied: Option<Code>,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        because: Option<String>,
        /// The tables, views and the like that it names.
        #[serde(skip_serializing_if = "Named::is_empty", default)]
        relations: Named,
    },
    /// A permitted statement ended.
    Outcome {
        statement: u64,
        #[serde(flatten)]
        outcome: Outcome,
        transaction: TransactionStatus,
    },
    /// A write was tried and rolled back; its rows are kept, and wait for approval.
    PlanMade {
        plan: PlanId,
        tables: Vec<ChangedTable>,
        rows: u64,
        fingerprint: String,
        approvals_needed: u8,
        /// The changes it would give back.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        reverts: Vec<ChangeId>,
    },
    /// Somebody said yes to the rows with this fingerprint.
    PlanApproved {
        plan: PlanId,
        fingerprint: String,
        still_needed: u8,
        /// The policies that let this person approve.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        policies: Vec<Deciding>,
    },
    /// Policies kept somebody from approving; the plan waits for somebody else.
    PlanApprovalRefused {
        plan: PlanId,
        because: String,
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        policies: Vec<Deciding>,
    },
    PlanDenied {
        plan: PlanId,
        reason: String,
    },
    PlanLapsed {
        plan: PlanId,
    },
    /// It runs again, to be committed if the same rows change.
    PlanStarted {
        plan: PlanId,
        fingerprint: String,
    },
    PlanApplied {
        plan: PlanId,
        change: ChangeId,
        rows: u64,
        fingerprint: String,
    },
    /// Other rows would have changed than were approved: nothing was committed.
    PlanDiffers {
        plan: PlanId,
        fingerprint: String,
        found: String,
        /// The plan with the rows that were found.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        replaced_by: Option<PlanId>,
    },
    /// The rows of a change are on disk; its COMMIT may follow.
    ChangeKept {
        change: ChangeId,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        plan: Option<PlanId>,
        tables: Vec<ChangedTable>,
        rows: u64,
        fingerprint: String,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        transaction: Option<String>,
        /// The changes it gives back.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        reverts: Vec<ChangeId>,
        /// It gives back only some of their rows.
        #[serde(skip_serializing_if = "std::ops::Not::not", default)]
        partial: bool,
    },
    /// More rows of a change that is kept: the keys that its own record has no room for.
    ChangeRows {
        change: ChangeId,
        table: String,
        keys: Vec<String>,
    },
    ChangeCommitted {
        change: ChangeId,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        transaction: Option<String>,
    },
    ChangeRolledBack {
        change: ChangeId,
    },
    /// The connection was lost while it committed; the target is asked.
    ChangeUnknown {
        change: ChangeId,
    },
    /// Its rows, or some of them, were given back by another change.
    ChangeReverted {
        change: ChangeId,
        by: ChangeId,
    },
    ConnectionEnded {
        reason: EndReason,
        in_transaction: bool,
    },
    SessionEnded {
        reason: EndReason,
    },
    /// Nothing of the session may be deleted from here on.
    SessionHeld {
        reason: String,
    },
    SessionReleased,
    /// The key to what the session typed and what rows held goes, and with it the content.
    SessionErased {
        reason: String,
    },
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands in references")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

fn is_unbounded(bounds: &Bounds) -> bool {
    *bounds == Bounds::default()
}

impl EventKind {
    /// The word the ledger and `belay audit search` know this kind by.
    pub fn word(&self) -> &'static str {
        match self {
            EventKind::ServerStarted { .. } => "server_started",
            EventKind::ServerStopped => "server_stopped",
            EventKind::Recovered { .. } => "recovered",
            EventKind::UserAdded { .. } => "user_added",
            EventKind::UserChanged { .. } => "user_changed",
            EventKind::PasswordChanged { .. } => "password_changed",
            EventKind::ApiLogin { .. } => "api_login",
            EventKind::ApiLoginFailed { .. } => "api_login_failed",
            EventKind::ApiTokenRevoked { .. } => "api_token_revoked",
            EventKind::TargetAdded { .. } => "target_added",
            EventKind::TargetRemoved => "target_removed",
            EventKind::TableArmed { .. } => "table_armed",
            EventKind::TableDisarmed { .. } => "table_disarmed",
            EventKind::MaskAdded { .. } => "mask_added",
            EventKind::MaskRemoved { .. } => "mask_removed",
            EventKind::RuleAdded { .. } => "rule_added",
            EventKind::RuleRemoved { .. } => "rule_removed",
            EventKind::PolicyChanged { .. } => "policy_changed",
            EventKind::ConfigurationChanged { .. } => "configuration_changed",
            EventKind::LedgerKeyAdded { .. } => "ledger_key_added",
            EventKind::SegmentDeleted { .. } => "segment_deleted",
            EventKind::RequestMade { .. } => "request_made",
            EventKind::RequestRefused { .. } => "request_refused",
            EventKind::RequestApproved { .. } => "request_approved",
            EventKind::ApprovalRefused { .. } => "approval_refused",
            EventKind::RequestDenied { .. } => "request_denied",
            EventKind::RequestWithdrawn { .. } => "request_withdrawn",
            EventKind::RequestLapsed { .. } => "request_lapsed",
            EventKind::GrantMade { .. } => "grant_made",
            EventKind::GrantExtended { .. } => "grant_extended",
            EventKind::GrantNarrowed { .. } => "grant_narrowed",
            EventKind::GrantEnded { .. } => "grant_ended",
            EventKind::GrantReviewed { .. } => "grant_reviewed",
            EventKind::TokenClaimed => "token_claimed",
            EventKind::Notified { .. } => "notified",
            EventKind::RoleMade { .. } => "role_made",
            EventKind::RoleDropped { .. } => "role_dropped",
            EventKind::Login { .. } => "login",
            EventKind::LoginFailed { .. } => "login_failed",
            EventKind::Statement { .. } => "statement",
            EventKind::Outcome { .. } => "outcome",
            EventKind::PlanMade { .. } => "plan_made",
            EventKind::PlanApproved { .. } => "plan_approved",
            EventKind::PlanApprovalRefused { .. } => "plan_approval_refused",
            EventKind::PlanDenied { .. } => "plan_denied",
            EventKind::PlanLapsed { .. } => "plan_lapsed",
            EventKind::PlanStarted { .. } => "plan_started",
            EventKind::PlanApplied { .. } => "plan_applied",
            EventKind::PlanDiffers { .. } => "plan_differs",
            EventKind::ChangeKept { .. } => "change_kept",
            EventKind::ChangeRows { .. } => "change_rows",
            EventKind::ChangeCommitted { .. } => "change_committed",
            EventKind::ChangeRolledBack { .. } => "change_rolled_back",
            EventKind::ChangeUnknown { .. } => "change_unknown",
            EventKind::ChangeReverted { .. } => "change_reverted",
            EventKind::ConnectionEnded { .. } => "connection_ended",
            EventKind::SessionEnded { .. } => "session_ended",
            EventKind::SessionHeld { .. } => "session_held",
            EventKind::SessionReleased => "session_released",
            EventKind::SessionErased { .. } => "session_erased",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_flat_object_with_its_kind_as_a_word() {
        let event =
            Event::new(Timestamp(5), EventKind::GrantEnded { reason: EndReason::Revoked }).by("bob").under(GrantId(3));
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(text, r#"{"at":5,"who":"bob","grant":"g_3","kind":"grant_ended","reason":"revoked"}"#);
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    }
}
