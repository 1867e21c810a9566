//! What a policy says of itself in annotations, and what it may not say.

use crate::place::{Kind, Place};
pub use belay_model::Deciding;
use belay_model::{Name, Span};
use belay_policy::MAX_APPROVALS;
use cedar_policy::{ActionConstraint, Effect, EntityUid, Policy, ResourceConstraint};

const ID_MOST: usize = 64;
const REASON_MOST: usize = 500;
const KEYS: [&str; 4] = ["id", "reason", "max_duration", "approvals"];

/// What can be done about access; an action of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Act {
    Request,
    GrantAtOnce,
    GrantWriteAtOnce,
    GrantDirectAtOnce,
    GrantAllAtOnce,
    Approve,
}

impl Act {
    const ALL: [Act; 6] = [
        Act::Request,
        Act::GrantAtOnce,
        Act::GrantWriteAtOnce,
        Act::GrantDirectAtOnce,
        Act::GrantAllAtOnce,
        Act::Approve,
    ];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Act::Request => "Request",
            Act::GrantAtOnce => "GrantAtOnce",
            Act::GrantWriteAtOnce => "GrantWriteAtOnce",
            Act::GrantDirectAtOnce => "GrantDirectAtOnce",
            Act::GrantAllAtOnce => "GrantAllAtOnce",
            Act::Approve => "Approve",
        }
    }
}

/// A policy in force, for people to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Its `@id`.
    pub id: String,
    /// Its `@reason`.
    pub reason: String,
    /// Whether it permits; else it forbids.
    pub permits: bool,
    /// The actions its head names; empty for every action.
    pub actions: Vec<String>,
    /// Its `@max_duration`.
    pub max_duration: Option<Span>,
    /// Its `@approvals`.
    pub approvals: Option<u8>,
    /// The file it came from.
    pub file: String,
    /// Its first line there, counted from 1.
    pub line: usize,
    /// Its text.
    pub text: String,
}

/// Reads a policy's annotations and names; the error is for its author.
pub(crate) fn describe(policy: &Policy, file: &str, line: usize) -> Result<(Described, Named), String> {
    for (key, _) in policy.annotations() {
        if !KEYS.contains(&key) {
            return Err(format!("unknown annotation `@{key}`; known: @id, @reason, @max_duration, @approvals"));
        }
    }
    let permits = policy.effect() == Effect::Permit;
    let actions = actions(policy, permits)?;
    if permits {
        check_permitted_place(policy)?;
    }
    let names_only = |allowed: &[Act]| {
        permits && !actions.is_empty() && actions.iter().all(|act| allowed.iter().any(|allowed| allowed == act))
    };
    let max_duration = policy.annotation("max_duration").map(span).transpose()?;
    let grants = [Act::Request, Act::GrantAtOnce, Act::GrantWriteAtOnce, Act::GrantDirectAtOnce, Act::GrantAllAtOnce];
    if max_duration.is_some() && !names_only(&grants) {
        return Err("`@max_duration` stands on permits of Request and of granting at once only".to_owned());
    }
    let approvals = policy.annotation("approvals").map(count).transpose()?;
    if approvals.is_some() && !names_only(&[Act::Request]) {
        return Err("`@approvals` stands on permits of Request only".to_owned());
    }
    let described = Described {
        id: id(policy)?,
        reason: reason(policy)?,
        permits,
        actions: actions.iter().map(|act| act.word().to_owned()).collect(),
        max_duration,
        approvals,
        file: file.to_owned(),
        line,
        text: policy.to_string(),
    };
    Ok((described, named(policy)?))
}

fn id(policy: &Policy) -> Result<String, String> {
    let id = policy.annotation("id").ok_or(r#"a policy needs an id: @id("support-reads")"#)?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if id.is_empty() || id.len() > ID_MOST || !id.bytes().all(plain) {
        return Err(format!("`{id}` is no id; up to {ID_MOST} of a-z, 0-9 and `-`"));
    }
    Ok(id.to_owned())
}

fn reason(policy: &Policy) -> Result<String, String> {
    let reason = policy.annotation("reason").unwrap_or_default().trim();
    if reason.is_empty() {
        return Err(
            r#"a policy needs a reason for people to read: @reason("support helps customers by day")"#.to_owned()
        );
    }
    if reason.chars().count() > REASON_MOST || reason.chars().any(char::is_control) {
        return Err(format!("`@reason` is one line of at most {REASON_MOST} characters"));
    }
    Ok(reason.to_owned())
}

fn span(text: &str) -> Result<Span, String> {
    Span::try_from(text.to_owned()).map_err(|error| format!("`@max_duration`: {error}"))
}

fn count(text: &str) -> Result<u8, String> {
    match text.parse() {
        Ok(number) if (1..=MAX_APPROVALS).contains(&number) => Ok(number),
        _ => Err(format!(
            "`@approvals`: `{text}` is not a number from 1 to {MAX_APPROVALS}; what needs none is a permit of GrantAtOnce"
        )),
    }
}

/// The actions of the head. A permit that left them open would grant writes at once by the way.
fn actions(policy: &Policy, permits: bool) -> Result<Vec<Act>, String> {
    let uids = match policy.action_constraint() {
        ActionConstraint::Any if permits => {
            return Err(r#"a permit names its actions: `action == Action::"Request"`"#.to_owned());
        }
        ActionConstraint::Any => Vec::new(),
        ActionConstraint::In(uids) => uids,
        ActionConstraint::Eq(uid) => vec![uid],
    };
    let known = |uid: &EntityUid| Act::ALL.into_iter().find(|act| act.word() == uid.id().unescaped());
    uids.iter().map(|uid| known(uid).ok_or_else(|| format!("`{uid}` is not an action"))).collect()
}

/// Whoever may ask for a whole must be permitted its parts too, and `==` is not met by any of them.
fn check_permitted_place(policy: &Policy) -> Result<(), String> {
    let ResourceConstraint::Eq(uid) = policy.resource_constraint() else { return Ok(()) };
    if uid.type_name().to_string() == Kind::Column.word() {
        return Ok(());
    }
    Err(format!("`resource == {uid}` permits nothing that lies in it; write `resource in {uid}`"))
}

/// What a policy names.
#[derive(Default)]
pub(crate) struct Named {
    pub(crate) places: Vec<Place>,
    pub(crate) groups: Vec<Name>,
}

/// Names that no request could ever meet are errors: a forbid of them would do nothing.
fn named(policy: &Policy) -> Result<Named, String> {
    let mut named = Named::default();
    for uid in policy.entity_literals() {
        let (kind, name) = (uid.type_name().to_string(), uid.id().unescaped());
        if matches!(kind.as_str(), "User" | "Group") {
            let read: Name = name.parse().map_err(|_| format!("`{uid}` names nobody: `{name}` is not a name"))?;
            if kind == "Group" {
                named.groups.push(read);
            }
        }
        if let Some(kind) = Kind::ALL.into_iter().find(|known| known.word() == kind) {
            named.places.push(Place::parse(kind, name).ok_or_else(|| {
                format!("`{uid}` is not a path of a {}; write for example `{}`", kind.word(), kind.example())
            })?);
        }
    }
    Ok(named)
}
