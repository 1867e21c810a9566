//! Steps of an access request.

use super::{
    BREAK_GLASS_MOST, DECIDE_WITHIN, REASON_MOST, RESOURCES_MOST, Refused, RequestAct, USE_WITHIN, request_after,
};
use crate::{Action, Terms, may};
use belay_model::{
    AccessRequest, Approval, Bounds, Effects, Grant, GrantId, GrantState, Name, Principal, RequestId, RequestState,
    Resource, Span, Timestamp,
};

/// What somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The target.
    pub target: Name,
    /// The resources.
    pub resources: Vec<Resource>,
    /// The effects.
    pub effects: Effects,
    /// Functions, row filters and budgets.
    pub bounds: Bounds,
    /// For how long.
    pub duration: Span,
    /// Why.
    pub reason: String,
}

/// A request that has become a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approved {
    /// The request, approved.
    pub request: AccessRequest,
    /// Its grant; the store gives it the next id in place of 0.
    pub grant: Grant,
}

/// Makes a request on these terms; it is granted at once where they need no approval. The id is the store's.
pub fn ask(
    requester: &Principal,
    ask: Ask,
    terms: &Terms,
    now: Timestamp,
) -> Result<(AccessRequest, Option<Grant>), Refused> {
    may(requester, Action::Request, &requester.name)?;
    let request = write_down(requester, ask, terms, false, now)?;
    if terms.approvals > 0 {
        return Ok((request, None));
    }
    let granted = grant_now(request, now);
    Ok((granted.request, Some(granted.grant)))
}

/// Takes access at once under the right of break-glass: an hour at most, no extension, a review owed.
pub fn break_glass(requester: &Principal, ask: Ask, now: Timestamp) -> Result<Approved, Refused> {
    may(requester, Action::BreakGlass, &requester.name)?;
    let terms = Terms { approvals: 0, max_duration: BREAK_GLASS_MOST, ..Terms::without_rule() };
    Ok(grant_now(write_down(requester, ask, &terms, true, now)?, now))
}

/// One person's yes. The last one needed makes the grant.
pub fn approve(
    request: &AccessRequest,
    approver: &Principal,
    now: Timestamp,
) -> Result<(AccessRequest, Option<Grant>), Refused> {
    may(approver, Action::Decide, &request.requester)?;
    still_open(request, now)?;
    if request.approvals.iter().any(|approval| approval.approver == approver.name) {
        return Err(Refused::ApprovedAlready(request.id));
    }
    let mut after = request.clone();
    after.approvals.push(Approval { approver: approver.name.clone(), at: now });
    let last = distinct(&after) >= usize::from(after.approvals_needed);
    let act = if last { RequestAct::ApproveLast } else { RequestAct::ApproveNotLast };
    after.state = step(request, act)?;
    if !last {
        return Ok((after, None));
    }
    let grant = mint(&after, now);
    Ok((after, Some(grant)))
}

/// One person's no.
pub fn deny(
    request: &AccessRequest,
    approver: &Principal,
    reason: &str,
    now: Timestamp,
) -> Result<AccessRequest, Refused> {
    may(approver, Action::Decide, &request.requester)?;
    still_open(request, now)?;
    let reason = checked_reason(reason)?;
    Ok(AccessRequest { state: step(request, RequestAct::Deny)?, denial: Some(reason), ..request.clone() })
}

/// The requester takes it back.
pub fn withdraw(request: &AccessRequest, who: &Principal, now: Timestamp) -> Result<AccessRequest, Refused> {
    may(who, Action::Withdraw, &request.requester)?;
    still_open(request, now)?;
    Ok(AccessRequest { state: step(request, RequestAct::Withdraw)?, ..request.clone() })
}

/// Nobody decided in time.
pub fn lapse(request: &AccessRequest, now: Timestamp) -> Result<AccessRequest, Refused> {
    if now < request.decide_by {
        return Err(Refused::NotDue(request.id.to_string()));
    }
    Ok(AccessRequest { state: step(request, RequestAct::PassDecideBy)?, ..request.clone() })
}

fn write_down(
    requester: &Principal,
    ask: Ask,
    terms: &Terms,
    break_glass: bool,
    now: Timestamp,
) -> Result<AccessRequest, Refused> {
    if ask.resources.is_empty() {
        return Err(Refused::Nothing("resource"));
    }
    if ask.resources.len() > RESOURCES_MOST {
        return Err(Refused::TooManyResources);
    }
    if ask.effects.is_empty() {
        return Err(Refused::Nothing("effect"));
    }
    if ask.duration.seconds() == 0 {
        return Err(Refused::Nothing("second of time"));
    }
    if ask.duration > terms.max_duration {
        return Err(Refused::TooLong { asked: ask.duration, most: terms.max_duration });
    }
    if let Some(asked) = ask.bounds.budgets.changed_rows
        && asked > terms.max_changed_rows
    {
        return Err(Refused::TooManyChangedRows { asked, most: terms.max_changed_rows });
    }
    Ok(AccessRequest {
        id: RequestId(0),
        requester: requester.name.clone(),
        target: ask.target,
        resources: ask.resources,
        effects: ask.effects,
        bounds: ask.bounds,
        duration: ask.duration,
        reason: checked_reason(&ask.reason)?,
        break_glass,
        rule: terms.rule,
        approvals_needed: terms.approvals,
        extendable: terms.extendable,
        record_values: terms.record_values,
        state: RequestState::Pending,
        created_at: now,
        decide_by: now.plus(DECIDE_WITHIN),
        approvals: Vec::new(),
        denial: None,
    })
}

fn checked_reason(reason: &str) -> Result<String, Refused> {
    let reason = reason.trim();
    if reason.is_empty() {
        return Err(Refused::NoReason);
    }
    if reason.chars().count() > REASON_MOST {
        return Err(Refused::ReasonTooLong);
    }
    Ok(reason.to_owned())
}

fn grant_now(mut request: AccessRequest, now: Timestamp) -> Approved {
    request.state = RequestState::Approved;
    let grant = mint(&request, now);
    Approved { request, grant }
}

fn mint(request: &AccessRequest, now: Timestamp) -> Grant {
    let ends_at = now.plus(request.duration);
    Grant {
        id: GrantId(0),
        request: request.id,
        principal: request.requester.clone(),
        target: request.target.clone(),
        resources: request.resources.clone(),
        effects: request.effects,
        bounds: request.bounds.clone(),
        masks: Vec::new(),
        state: GrantState::Ready,
        granted_at: now,
        use_by: now.plus(USE_WITHIN).min(ends_at),
        ends_at,
        extendable: request.extendable,
        record_values: request.record_values,
        break_glass: request.break_glass,
        reviewed_by: None,
    }
}

/// How many different people other than the requester have said yes.
fn distinct(request: &AccessRequest) -> usize {
    let mut people: Vec<&Name> = request
        .approvals
        .iter()
        .map(|approval| &approval.approver)
        .filter(|name| **name != request.requester)
        .collect();
    people.sort();
    people.dedup();
    people.len()
}

fn still_open(request: &AccessRequest, now: Timestamp) -> Result<(), Refused> {
    match request.state {
        RequestState::Pending if now < request.decide_by => Ok(()),
        RequestState::Pending => Err(Refused::RequestClosed { id: request.id, state: RequestState::Lapsed }),
        state => Err(Refused::RequestClosed { id: request.id, state }),
    }
}

fn step(request: &AccessRequest, act: RequestAct) -> Result<RequestState, Refused> {
    request_after(request.state, act).ok_or(Refused::RequestClosed { id: request.id, state: request.state })
}
