//! Which records a report is made of. What belongs together is followed forwards: a request to its grant, to sessions,
//! to plans, to changes, and to what gives those back, whoever does.

use crate::Subject;
use belay_model::{ChangeId, Event, EventKind, GrantId, PlanId, RequestId, SessionId};
use std::collections::{HashMap, HashSet};

/// Finds the request that a session goes back to, in records from the first on.
#[derive(Debug)]
pub struct Scout {
    session: SessionId,
    requests: HashMap<GrantId, RequestId>,
}

impl Scout {
    /// Looks for the request of this session.
    pub fn of(session: SessionId) -> Scout {
        Scout { session, requests: HashMap::new() }
    }

    /// Whether a record with this payload can be of interest: so that most need not be read.
    pub fn may_look(&self, payload: &str) -> bool {
        payload.contains(r#""kind":"grant_made""#) || payload.contains(&format!(r#""session":"{}""#, self.session))
    }

    /// Looks at the next record; what to select by once the session has come up.
    pub fn look(&mut self, event: &Event) -> Option<Selection> {
        if let (EventKind::GrantMade { request, .. }, Some(grant)) = (&event.kind, event.grant) {
            self.requests.insert(grant, *request);
        }
        let here = event.session == Some(self.session);
        here.then(|| Selection {
            request: event.grant.and_then(|grant| self.requests.get(&grant).copied()),
            grants: event.grant.into_iter().collect(),
            session: Some(self.session),
            plans: HashSet::new(),
            changes: HashSet::new(),
            known: true,
        })
    }
}

/// Tells of each record in turn, from the first on, whether it belongs to the report.
#[derive(Debug, Clone)]
pub struct Selection {
    request: Option<RequestId>,
    grants: HashSet<GrantId>,
    /// The only session that is looked at, if it is one.
    session: Option<SessionId>,
    plans: HashSet<PlanId>,
    changes: HashSet<ChangeId>,
    known: bool,
}

impl Selection {
    /// Everything that goes back to this request.
    pub fn of(request: RequestId) -> Selection {
        Selection {
            request: Some(request),
            grants: HashSet::new(),
            session: None,
            plans: HashSet::new(),
            changes: HashSet::new(),
            known: false,
        }
    }

    /// What selects from these records, which are all that belong to it.
    pub fn within<'a>(subject: Subject, mut events: impl Iterator<Item = &'a Event>) -> Option<Selection> {
        match subject {
            Subject::Request(request) => Some(Selection::of(request)),
            Subject::Session(session) => {
                let mut scout = Scout::of(session);
                events.find_map(|event| scout.look(event))
            }
        }
    }

    /// Whether anything was there to be selected.
    pub fn is_known(&self) -> bool {
        self.known
    }

    /// Whether a record with this payload can belong to it: so that most need not be read. Within a text of JSON quotes
    /// are escaped, so no text is taken for what it looks like.
    pub fn may_take(&self, payload: &str) -> bool {
        let many = [r#""kind":"statement""#, r#""kind":"outcome""#].iter().any(|kind| payload.contains(kind));
        !many || self.grants.iter().any(|grant| payload.contains(&format!(r#""grant":"{grant}""#)))
    }

    /// Whether the record belongs to the report.
    pub fn take(&mut self, event: &Event) -> bool {
        let taken = self.belongs(event);
        self.known |= taken;
        taken
    }

    fn belongs(&mut self, event: &Event) -> bool {
        if let EventKind::GrantMade { request, .. } = &event.kind {
            let ours = Some(*request) == self.request;
            self.grants.extend(event.grant.filter(|_| ours));
            return ours;
        }
        if let Some(request) = request_of(&event.kind) {
            return Some(request) == self.request;
        }
        let inside = self.is_inside(event);
        match &event.kind {
            EventKind::PlanMade { plan, reverts, .. } => {
                let ours = inside || self.gives_back(reverts);
                self.plans.extend(ours.then_some(*plan));
                return ours;
            }
            EventKind::ChangeKept { change, plan, reverts, .. } => {
                let ours = inside || self.gives_back(reverts) || plan.is_some_and(|plan| self.plans.contains(&plan));
                self.changes.extend(ours.then_some(*change));
                return ours;
            }
            EventKind::ChangeReverted { change, by } => {
                return self.changes.contains(change) || self.changes.contains(by);
            }
            EventKind::PlanDiffers { plan, replaced_by, .. } => {
                let ours = self.plans.contains(plan);
                self.plans.extend(replaced_by.filter(|_| ours));
                return ours;
            }
            kind => {
                if let Some(plan) = plan_of(kind) {
                    return self.plans.contains(&plan);
                }
                if let Some(change) = change_of(kind) {
                    return self.changes.contains(&change);
                }
            }
        }
        inside
    }

    /// Whether it happened under the grant, and in the session if it is one that is looked at.
    fn is_inside(&self, event: &Event) -> bool {
        let ours = event.grant.is_some_and(|grant| self.grants.contains(&grant));
        let elsewhere = |wanted: SessionId| match event.session {
            Some(session) => session != wanted,
            // Of plans and changes only those of the session itself.
            None => matches!(event.kind, EventKind::PlanMade { .. } | EventKind::ChangeKept { .. }),
        };
        ours && !self.session.is_some_and(elsewhere)
    }

    fn gives_back(&self, reverts: &[ChangeId]) -> bool {
        reverts.iter().any(|change| self.changes.contains(change))
    }
}

fn request_of(kind: &EventKind) -> Option<RequestId> {
    match kind {
        EventKind::RequestMade { request, .. }
        | EventKind::RequestApproved { request, .. }
        | EventKind::ApprovalRefused { request, .. }
        | EventKind::RequestDenied { request, .. }
        | EventKind::RequestWithdrawn { request }
        | EventKind::RequestLapsed { request } => Some(*request),
        _ => None,
    }
}

pub(crate) fn plan_of(kind: &EventKind) -> Option<PlanId> {
    match kind {
        EventKind::PlanApproved { plan, .. }
        | EventKind::PlanApprovalRefused { plan, .. }
        | EventKind::PlanDenied { plan, .. }
        | EventKind::PlanLapsed { plan }
        | EventKind::PlanStarted { plan, .. }
        | EventKind::PlanApplied { plan, .. }
        | EventKind::PlanDiffers { plan, .. } => Some(*plan),
        _ => None,
    }
}

pub(crate) fn change_of(kind: &EventKind) -> Option<ChangeId> {
    match kind {
        EventKind::ChangeRows { change, .. }
        | EventKind::ChangeCommitted { change, .. }
        | EventKind::ChangeRolledBack { change }
        | EventKind::ChangeUnknown { change }
        | EventKind::ChangeReverted { change, .. } => Some(*change),
        _ => None,
    }
}
