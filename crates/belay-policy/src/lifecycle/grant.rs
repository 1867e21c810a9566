//! Steps of a grant.

use super::{GrantAct, REASON_MOST, RESOURCES_MOST, Refused, grant_after};
use crate::{Action, may};
use belay_model::{Effects, Grant, GrantState, Principal, Resource, Span, Timestamp};

/// A session is opened under it.
pub fn take_into_use(grant: &Grant, now: Timestamp) -> Result<Grant, Refused> {
    still_live(grant, now)?;
    Ok(Grant { state: step(grant, GrantAct::Use)?, ..grant.clone() })
}

/// Its end moves, once, by at most the length it was approved for.
pub fn extend(grant: &Grant, who: &Principal, by: Span, now: Timestamp) -> Result<Grant, Refused> {
    may(who, Action::Extend, &grant.principal)?;
    still_live(grant, now)?;
    if !grant.extendable || grant.break_glass {
        return Err(Refused::NotExtendable(grant.id));
    }
    let most = length(grant);
    if by.seconds() == 0 {
        return Err(Refused::Nothing("second of time"));
    }
    if by > most {
        return Err(Refused::TooLong { asked: by, most });
    }
    let state = step(grant, GrantAct::Extend)?;
    Ok(Grant { state, ends_at: grant.ends_at.plus(by), extendable: false, ..grant.clone() })
}

/// It holds less from here on. What is `None` stays.
pub fn narrow(
    grant: &Grant,
    who: &Principal,
    resources: Option<Vec<Resource>>,
    effects: Option<Effects>,
    now: Timestamp,
) -> Result<Grant, Refused> {
    may(who, Action::Narrow, &grant.principal)?;
    still_live(grant, now)?;
    if resources.is_none() && effects.is_none() {
        return Err(Refused::Nothing("resource or effect to keep"));
    }
    let mut after = Grant { state: step(grant, GrantAct::Narrow)?, ..grant.clone() };
    if let Some(resources) = resources {
        if resources.is_empty() {
            return Err(Refused::Nothing("resource"));
        }
        if resources.len() > RESOURCES_MOST {
            return Err(Refused::TooManyResources);
        }
        let wider = resources.iter().find(|new| !grant.resources.iter().any(|held| held.covers(new)));
        if let Some(wider) = wider {
            return Err(Refused::NotNarrower(wider.to_string(), grant.id));
        }
        after.resources = resources;
    }
    if let Some(effects) = effects {
        if effects.is_empty() {
            return Err(Refused::Nothing("effect"));
        }
        if !effects.within(grant.effects) {
            return Err(Refused::NotNarrower(effects.to_string(), grant.id));
        }
        after.effects = effects;
    }
    Ok(after)
}

/// A person ends it.
pub fn revoke(grant: &Grant, who: &Principal, now: Timestamp) -> Result<Grant, Refused> {
    may(who, Action::Revoke, &grant.principal)?;
    still_live(grant, now)?;
    Ok(Grant { state: step(grant, GrantAct::Revoke)?, ..grant.clone() })
}

/// Its use-by or end has passed.
pub fn expire(grant: &Grant, now: Timestamp) -> Result<Grant, Refused> {
    let over = overdue(grant, now).ok_or_else(|| Refused::NotDue(grant.id.to_string()))?;
    Ok(Grant { state: step(grant, over)?, ..grant.clone() })
}

/// Somebody else looks at what was done under break-glass.
pub fn review(grant: &Grant, who: &Principal, note: &str) -> Result<Grant, Refused> {
    may(who, Action::Review, &grant.principal)?;
    if !grant.break_glass {
        return Err(Refused::NoReviewOwed(grant.id));
    }
    if let Some(reviewer) = &grant.reviewed_by {
        return Err(Refused::ReviewedAlready(grant.id, reviewer.clone()));
    }
    if note.trim().is_empty() {
        return Err(Refused::NoReason);
    }
    if note.chars().count() > REASON_MOST {
        return Err(Refused::ReasonTooLong);
    }
    let state = grant_after(grant.state, GrantAct::Review).ok_or(Refused::ReviewTooEarly(grant.id))?;
    Ok(Grant { state, reviewed_by: Some(who.name.clone()), ..grant.clone() })
}

fn overdue(grant: &Grant, now: Timestamp) -> Option<GrantAct> {
    if grant.state == GrantState::Ready && now >= grant.use_by {
        return Some(GrantAct::PassUseBy);
    }
    (now >= grant.ends_at).then_some(GrantAct::PassEnd)
}

/// A grant past its time is over even if nobody has written that down yet.
fn still_live(grant: &Grant, now: Timestamp) -> Result<(), Refused> {
    if !grant.state.is_live() {
        return Err(Refused::GrantOver { id: grant.id, state: grant.state });
    }
    match overdue(grant, now).and_then(|act| grant_after(grant.state, act)) {
        Some(state) => Err(Refused::GrantOver { id: grant.id, state }),
        None => Ok(()),
    }
}

fn length(grant: &Grant) -> Span {
    let seconds = grant.granted_at.until(grant.ends_at).as_secs();
    Span::from_seconds(u32::try_from(seconds).unwrap_or(u32::MAX))
}

fn step(grant: &Grant, act: GrantAct) -> Result<GrantState, Refused> {
    grant_after(grant.state, act).ok_or(Refused::GrantOver { id: grant.id, state: grant.state })
}
