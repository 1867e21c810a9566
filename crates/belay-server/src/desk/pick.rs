//! From what a person wrote to the one thing they mean and may see.
//!
//! An id is meant exactly, or by the only one that begins so. What one may not see is not there.

use super::DeskError;
use belay_model::{AccessRequest, ChangeId, GrantId, Name, PlanId, Principal, RequestId, Session, SessionId, Target};
use belay_policy::{Action, may};
use belay_store::{ChangeRecord, GrantRecord, Look, PlanRecord};

pub(super) async fn request(look: &mut Look<'_>, who: &Principal, text: &str) -> Result<AccessRequest, DeskError> {
    let missing = || DeskError::NotFound { kind: "request", name: text.to_owned() };
    let exact: RequestId = text.parse().map_err(|_| missing())?;
    let found = match look.request(exact).await? {
        Some(request) => Some(request),
        None => match look.request_ids(&exact.0.to_string()).await?.as_slice() {
            [only] => look.request(*only).await?,
            [] => None,
            _ => return Err(ambiguous(text)),
        },
    };
    found.filter(|request| may(who, Action::SeeRequests, &request.requester).is_ok()).ok_or_else(missing)
}

pub(super) async fn grant(look: &mut Look<'_>, who: &Principal, text: &str) -> Result<GrantRecord, DeskError> {
    let missing = || DeskError::NotFound { kind: "grant", name: text.to_owned() };
    let exact: GrantId = text.parse().map_err(|_| missing())?;
    let found = match look.grant(exact).await? {
        Some(grant) => Some(grant),
        None => match look.grant_ids(&exact.0.to_string()).await?.as_slice() {
            [only] => look.grant(*only).await?,
            [] => None,
            _ => return Err(ambiguous(text)),
        },
    };
    found.filter(|found| may(who, Action::SeeGrants, &found.grant.principal).is_ok()).ok_or_else(missing)
}

pub(super) async fn plan(look: &mut Look<'_>, who: &Principal, text: &str) -> Result<PlanRecord, DeskError> {
    let missing = || DeskError::NotFound { kind: "plan", name: text.to_owned() };
    let exact: PlanId = text.parse().map_err(|_| missing())?;
    let found = match look.plan(exact).await? {
        Some(plan) => Some(plan),
        None => match look.plan_ids(&exact.0.to_string()).await?.as_slice() {
            [only] => look.plan(*only).await?,
            [] => None,
            _ => return Err(ambiguous(text)),
        },
    };
    found.filter(|found| may(who, Action::SeePlans, &found.plan.principal).is_ok()).ok_or_else(missing)
}

pub(super) async fn change(look: &mut Look<'_>, who: &Principal, text: &str) -> Result<ChangeRecord, DeskError> {
    let missing = || DeskError::NotFound { kind: "change set", name: text.to_owned() };
    let exact: ChangeId = text.parse().map_err(|_| missing())?;
    let found = match look.change(exact).await? {
        Some(change) => Some(change),
        None => match look.change_ids(&exact.0.to_string()).await?.as_slice() {
            [only] => look.change(*only).await?,
            [] => None,
            _ => return Err(ambiguous(text)),
        },
    };
    found.filter(|found| may(who, Action::SeePlans, &found.change.principal).is_ok()).ok_or_else(missing)
}

pub(super) async fn session(look: &mut Look<'_>, who: &Principal, text: &str) -> Result<Session, DeskError> {
    let missing = || DeskError::NotFound { kind: "session", name: text.to_owned() };
    let exact: SessionId = text.parse().map_err(|_| missing())?;
    let found = match look.session(exact).await? {
        Some(session) => Some(session),
        None => match look.session_ids(&exact.0.to_string()).await?.as_slice() {
            [only] => look.session(*only).await?,
            [] => None,
            _ => return Err(ambiguous(text)),
        },
    };
    found.filter(|session| may(who, Action::SeeSessions, &session.principal).is_ok()).ok_or_else(missing)
}

pub(super) async fn target(look: &mut Look<'_>, name: &Name) -> Result<Target, DeskError> {
    let found = look.target(name).await?;
    found.map(|(target, _)| target).ok_or_else(|| DeskError::NotFound { kind: "target", name: name.to_string() })
}

/// A name as a person wrote it; what cannot be a name is not there.
pub(super) fn name(kind: &'static str, text: &str) -> Result<Name, DeskError> {
    text.parse().map_err(|_| DeskError::NotFound { kind, name: text.to_owned() })
}

fn ambiguous(text: &str) -> DeskError {
    DeskError::Conflict {
        message: format!("`{text}` is the beginning of several ids"),
        hint: "write more of it".to_owned(),
    }
}
