//! What a record says of content: what a person or a program typed, and what rows hold. It is sealed apart from the
//! rest, so that it can be erased and the rest stays.
//!
//! In the open stays what filters, verification and counts need, and what people answer for: who, when, where, what was
//! decided and why, how many rows. Kinds are listed one by one, so that a new one is decided on.

use crate::Cut;
use belay_model::{BindValue, ChangeId, ChangedTable, Event, EventKind, IdError, PlanId, SessionId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// What stands in the place of a text that is erased.
pub const ERASED: &str = "[erased]";

/// Random bytes in the content, so that its hash, which stays, tells nothing of what it was.
pub const SALT_LEN: usize = 16;

/// Whose key seals the content of a record: that of its session. What gives back changes of several sessions is in none
/// of them, and has a key of its own, so that it can be erased with any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// A session.
    Session(SessionId),
    /// A plan in no session.
    Plan(PlanId),
    /// A change in no session.
    Change(ChangeId),
}

impl Owner {
    /// Whose the content of this event is, if it may have some.
    pub(crate) fn of(event: &Event) -> Option<Owner> {
        match (&event.kind, event.session) {
            (_, Some(session)) => Some(Owner::Session(session)),
            (EventKind::PlanMade { plan, .. }, None) => Some(Owner::Plan(*plan)),
            (EventKind::ChangeKept { change, .. } | EventKind::ChangeRows { change, .. }, None) => {
                Some(Owner::Change(*change))
            }
            _ => None,
        }
    }

    /// Whose the content of this event is, if it has some.
    pub fn of_content(event: &Event) -> Option<Owner> {
        Content::of(event, None).map(|(owner, ..)| owner)
    }

    /// Its number.
    pub fn number(self) -> i64 {
        match self {
            Owner::Session(id) => id.0,
            Owner::Plan(id) => id.0,
            Owner::Change(id) => id.0,
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Session(id) => id.fmt(f),
            Owner::Plan(id) => id.fmt(f),
            Owner::Change(id) => id.fmt(f),
        }
    }
}

impl FromStr for Owner {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Owner, IdError> {
        if text.starts_with(PlanId::PREFIX) {
            text.parse().map(Owner::Plan)
        } else if text.starts_with(ChangeId::PREFIX) {
            text.parse().map(Owner::Change)
        } else {
            text.parse().map(Owner::Session)
        }
    }
}

/// Seals content under the keys of its owners.
pub trait Seal {
    /// Random bytes.
    fn salt(&mut self) -> Result<[u8; SALT_LEN], String>;

    /// Seals the content of a record in its place.
    fn seal(&mut self, owner: Owner, seq: u64, content: &mut Vec<u8>) -> Result<(), String>;
}

/// The content of an event, as it is written. Its fields have the names that they have in the event.
#[derive(Serialize)]
pub(crate) struct Content<'a> {
    /// In hex.
    pub(crate) salt: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cut: Option<&'a Cut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<&'a [BindValue]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    application: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<&'a [String]>,
    /// The keys of each table's rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    tables: Option<Vec<&'a [String]>>,
}

/// The same, read back.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Read {
    #[allow(dead_code, reason = "only its hash needs it")]
    salt: String,
    #[serde(default)]
    pub(crate) cut: Option<Cut>,
    #[serde(default)]
    text: Option<Arc<str>>,
    #[serde(default)]
    values: Option<Vec<BindValue>>,
    #[serde(default)]
    because: Option<String>,
    #[serde(default)]
    application: Option<String>,
    #[serde(default)]
    keys: Option<Vec<String>>,
    #[serde(default)]
    tables: Option<Vec<Vec<String>>>,
}

/// SHA-256 of the content, which stays in the record.
pub(crate) fn hash(content: &[u8]) -> [u8; 32] {
    Sha256::digest(content).into()
}

impl<'a> Content<'a> {
    fn new() -> Content<'a> {
        Content {
            salt: String::new(),
            cut: None,
            text: None,
            values: None,
            because: None,
            application: None,
            keys: None,
            tables: None,
        }
    }

    /// Divides an event that has an owner into what stays in the open and its content. `None` where all of it stays.
    pub(crate) fn of(event: &'a Event, cut: Option<&'a Cut>) -> Option<(Owner, Event, Content<'a>)> {
        let owner = Owner::of(event)?;
        let (kind, mut content) = match divide(&event.kind) {
            Some(divided) => divided,
            None => (cut.is_some().then(|| event.kind.clone())?, Content::new()),
        };
        content.cut = cut;
        let open = Event {
            at: event.at,
            who: event.who.clone(),
            target: event.target.clone(),
            grant: event.grant,
            session: event.session,
            connection: event.connection,
            kind,
        };
        Some((owner, open, content))
    }
}

fn divide(kind: &EventKind) -> Option<(EventKind, Content<'_>)> {
    match kind {
        EventKind::Statement { statement, text, values, effect, denied, because, relations } => {
            let open = EventKind::Statement {
                statement: *statement,
                text: Arc::default(),
                values: None,
                effect: *effect,
                denied: *denied,
                because: None,
                relations: relations.clone(),
            };
            let (text, values, because) = (Some(&**text), values.as_deref(), because.as_deref());
            Some((open, Content { text, values, because, ..Content::new() }))
        }
        EventKind::Login { client, application, database, backend } => {
            let (client, database, backend) = (client.clone(), database.clone(), *backend);
            let open = EventKind::Login { client, application: String::new(), database, backend };
            Some((open, Content { application: Some(application), ..Content::new() }))
        }
        EventKind::PlanMade { tables, .. } | EventKind::ChangeKept { tables, .. } => {
            if tables.iter().all(|table| table.keys.is_empty()) {
                return None;
            }
            let mut open = kind.clone();
            if let EventKind::PlanMade { tables, .. } | EventKind::ChangeKept { tables, .. } = &mut open {
                for table in tables {
                    table.more_keys += std::mem::take(&mut table.keys).len() as u64;
                }
            }
            let keys = tables.iter().map(|table| table.keys.as_slice()).collect();
            Some((open, Content { tables: Some(keys), ..Content::new() }))
        }
        EventKind::ChangeRows { change, table, keys } => {
            let open = EventKind::ChangeRows { change: *change, table: table.clone(), keys: Vec::new() };
            Some((open, Content { keys: Some(keys), ..Content::new() }))
        }
        EventKind::ServerStarted { .. }
        | EventKind::ServerStopped
        | EventKind::Recovered { .. }
        | EventKind::UserAdded { .. }
        | EventKind::UserChanged { .. }
        | EventKind::PasswordChanged { .. }
        | EventKind::ApiLogin { .. }
        | EventKind::ApiLoginFailed { .. }
        | EventKind::ApiTokenRevoked { .. }
        | EventKind::TargetAdded { .. }
        | EventKind::TargetRemoved
        | EventKind::TableArmed { .. }
        | EventKind::TableDisarmed { .. }
        | EventKind::MaskAdded { .. }
        | EventKind::MaskRemoved { .. }
        | EventKind::RuleAdded { .. }
        | EventKind::RuleRemoved { .. }
        | EventKind::PolicyChanged { .. }
        | EventKind::LedgerKeyAdded { .. }
        | EventKind::SegmentDeleted { .. }
        | EventKind::ConfigurationChanged { .. }
        | EventKind::RequestMade { .. }
        | EventKind::RequestRefused { .. }
        | EventKind::RequestApproved { .. }
        | EventKind::ApprovalRefused { .. }
        | EventKind::RequestDenied { .. }
        | EventKind::RequestWithdrawn { .. }
        | EventKind::RequestLapsed { .. }
        | EventKind::GrantMade { .. }
        | EventKind::GrantExtended { .. }
        | EventKind::GrantNarrowed { .. }
        | EventKind::GrantEnded { .. }
        | EventKind::GrantReviewed { .. }
        | EventKind::TokenClaimed
        | EventKind::Notified { .. }
        | EventKind::RoleMade { .. }
        | EventKind::RoleDropped { .. }
        | EventKind::LoginFailed { .. }
        | EventKind::Outcome { .. }
        | EventKind::PlanApproved { .. }
        | EventKind::PlanApprovalRefused { .. }
        | EventKind::PlanDenied { .. }
        | EventKind::PlanLapsed { .. }
        | EventKind::PlanStarted { .. }
        | EventKind::PlanApplied { .. }
        | EventKind::PlanDiffers { .. }
        | EventKind::ChangeCommitted { .. }
        | EventKind::ChangeRolledBack { .. }
        | EventKind::ChangeUnknown { .. }
        | EventKind::ChangeReverted { .. }
        | EventKind::ConnectionEnded { .. }
        | EventKind::SessionEnded { .. }
        | EventKind::SessionHeld { .. }
        | EventKind::SessionReleased
        | EventKind::SessionErased { .. } => None,
    }
}

/// Puts the content back where it was.
pub(crate) fn restore(kind: &mut EventKind, content: Read) {
    let put_back = |tables: &mut Vec<ChangedTable>, keys: Vec<Vec<String>>| {
        for (table, keys) in tables.iter_mut().zip(keys) {
            table.more_keys = table.more_keys.saturating_sub(keys.len() as u64);
            table.keys = keys;
        }
    };
    match kind {
        EventKind::Statement { text, values, because, .. } => {
            *text = content.text.unwrap_or_default();
            (*values, *because) = (content.values, content.because);
        }
        EventKind::Login { application, .. } => *application = content.application.unwrap_or_default(),
        EventKind::PlanMade { tables, .. } | EventKind::ChangeKept { tables, .. } => {
            put_back(tables, content.tables.unwrap_or_default());
        }
        EventKind::ChangeRows { keys, .. } => *keys = content.keys.unwrap_or_default(),
        _ => {}
    }
}

/// Says in the place of texts that they are gone.
pub(crate) fn mark_erased(kind: &mut EventKind) {
    match kind {
        EventKind::Statement { text, .. } => *text = Arc::from(ERASED),
        EventKind::Login { application, .. } => ERASED.clone_into(application),
        _ => {}
    }
}
