//! One act of the desk, from the first look to its announcement.

use super::{Caller, Change, Desk, DeskError, Origin};
use belay_model::{
    AccessRequest, EndReason, Event, EventKind, Grant, GrantId, Name, Principal, RequestState, SessionId, Timestamp,
};
use belay_policy::{Action, RequestAct, expire, may_for_all, request_after, revoke};
use belay_store::Writing;
use futures_util::future::join_all;
use std::sync::Arc;
use tokio::sync::broadcast;

/// An act under way: nothing of it is visible to anybody until [`Desk::finish`].
pub(super) struct Act {
    pub(super) writing: Writing,
    /// Who acts, as the store knows them in this transaction; absent for the gateway itself.
    pub(super) who: Option<Principal>,
    /// When it happens; taken once it is this act's turn to write.
    pub(super) now: Timestamp,
    events: Vec<Event>,
    changes: Vec<Change>,
}

/// What happens when the ledger cannot be written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LedgerDownMeans {
    /// The act does not take place.
    Refuse,
    /// The act takes place and its events are owed: it only takes rights away.
    Owe,
}

impl Desk {
    /// Begins an act of a person, judged by what the store says of them now, not when they logged in.
    pub(super) async fn act(&self, who: &Caller) -> Result<(Act, Principal), DeskError> {
        let mut act = self.act_alone().await?;
        let user = act.writing.look().user(&who.principal.name).await?;
        let principal = user.map(|user| user.principal()).filter(|principal| !principal.disabled);
        let principal = principal.ok_or(DeskError::Unauthenticated)?;
        act.who = Some(principal.clone());
        Ok((act, principal))
    }

    /// Begins an act that needs a right over everything.
    pub(super) async fn act_with(&self, who: &Caller, action: Action) -> Result<Act, DeskError> {
        let (act, principal) = self.act(who).await?;
        may_for_all(&principal, action)?;
        Ok(act)
    }

    /// Begins an act of the gateway itself.
    pub(super) async fn act_alone(&self) -> Result<Act, DeskError> {
        let writing = self.store.write().await?;
        Ok(Act { writing, who: None, now: self.clock.now(), events: Vec::new(), changes: Vec::new() })
    }

    /// Records, commits and announces. Without the ledger nothing happens.
    pub(super) async fn finish(&self, act: Act) -> Result<(), DeskError> {
        self.settle(act, LedgerDownMeans::Refuse).await
    }

    /// The same, without waiting with the one for the other: after an error the caller has to take back what did happen.
    pub(super) async fn finish_at_once(&self, act: Act) -> Result<(), DeskError> {
        let recorder = Arc::clone(&self.recorder);
        let listeners = self.changes.clone();
        let settled = tokio::spawn(async move {
            let Act { writing, now, events, changes, .. } = act;
            let count = events.len();
            let (missed, committed) = tokio::join!(record(recorder.as_ref(), events), writing.commit());
            if missed.is_empty() && committed.is_ok() {
                announce(&listeners, changes);
                return Ok(());
            }
            if missed.len() < count {
                recorder.record(undone(now)).await;
            }
            committed?;
            Err(DeskError::LedgerDown)
        });
        settled.await.map_err(|_| DeskError::Store("the act was interrupted".to_owned()))?
    }

    /// The same for an act that only takes rights away: it takes place without the ledger, too.
    pub(super) async fn finish_in_any_case(&self, act: Act) -> Result<(), DeskError> {
        self.settle(act, LedgerDownMeans::Owe).await
    }

    /// Runs on a task of its own: a caller who goes away in the middle must not leave a record of
    /// something that did not happen.
    async fn settle(&self, act: Act, ledger_down: LedgerDownMeans) -> Result<(), DeskError> {
        let recorder = Arc::clone(&self.recorder);
        let listeners = self.changes.clone();
        let settled = tokio::spawn(async move {
            let Act { mut writing, now, events, changes, .. } = act;
            let count = events.len();
            let missed = record(recorder.as_ref(), events).await;
            if !missed.is_empty() && ledger_down == LedgerDownMeans::Refuse {
                if missed.len() < count {
                    recorder.record(undone(now)).await;
                }
                return Err(DeskError::LedgerDown);
            }
            for event in &missed {
                writing.owe_event(event).await?;
            }
            if let Err(error) = writing.commit().await {
                recorder.record(undone(now)).await;
                return Err(error.into());
            }
            announce(&listeners, changes);
            Ok(())
        });
        settled.await.map_err(|_| DeskError::Store("the act was interrupted".to_owned()))?
    }
}

fn announce(listeners: &broadcast::Sender<Change>, changes: Vec<Change>) {
    for change in changes {
        // Nobody listening is fine.
        let _ = listeners.send(change);
    }
}

/// Says of the events just before it that they did not come to be.
fn undone(now: Timestamp) -> Event {
    let what = "an act that was recorded at this time was not stored, so it did not take effect".to_owned();
    Event::new(now, EventKind::Recovered { what })
}

/// Hands the events in together, in their order, to wait for the same disk write; returns those that are not durable.
async fn record(recorder: &dyn super::Recorder, events: Vec<Event>) -> Vec<Event> {
    let answers = join_all(events.iter().map(|event| recorder.record_durable(event.clone()))).await;
    events.into_iter().zip(answers).filter(|(_, answer)| answer.is_err()).map(|(event, _)| event).collect()
}

impl Act {
    /// Adds an event of whoever acts.
    pub(super) fn event(&mut self, kind: EventKind) {
        let event = self.begun(kind);
        self.events.push(event);
    }

    /// Adds an event that concerns a target.
    pub(super) fn event_on(&mut self, target: &Name, kind: EventKind) {
        let event = self.begun(kind).on(target.as_str());
        self.events.push(event);
    }

    /// Adds an event that concerns a grant.
    pub(super) fn event_under(&mut self, grant: &Grant, kind: EventKind) {
        let event = self.begun(kind).on(grant.target.as_str()).under(grant.id);
        self.events.push(event);
    }

    /// Adds an event that concerns what was made in a session.
    pub(super) fn event_about(&mut self, target: &Name, grant: GrantId, session: Option<SessionId>, kind: EventKind) {
        let mut event = self.begun(kind).on(target.as_str()).under(grant);
        event.session = session;
        self.events.push(event);
    }

    /// Adds an event of whoever writes, though it is the gateway that acts.
    pub(super) fn event_of(&mut self, origin: &Origin, kind: EventKind) {
        let mut event =
            Event::new(self.now, kind).by(origin.principal.as_str()).on(origin.target.as_str()).under(origin.grant);
        event.session = origin.session;
        event.connection = origin.connection;
        self.events.push(event);
    }

    pub(super) fn announce(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Stores a request that moved, and announces it.
    pub(super) async fn save_request(&mut self, request: &AccessRequest) -> Result<(), DeskError> {
        self.writing.save_request(request).await?;
        self.announce(Change::Request(Arc::new(request.clone())));
        Ok(())
    }

    /// Stores a new grant and says so.
    pub(super) async fn add_grant(&mut self, grant: Grant) -> Result<Grant, DeskError> {
        let grant = self.writing.add_grant(grant).await?;
        let made = EventKind::GrantMade { request: grant.request, ends_at: grant.ends_at, use_by: grant.use_by };
        self.event_under(&grant, made);
        self.announce(Change::Granted(Arc::new(grant.clone())));
        Ok(grant)
    }

    /// Stores the end of a grant and of its session. `grant` is in its last state already.
    pub(super) async fn end_grant(&mut self, grant: &Grant, reason: EndReason) -> Result<(), DeskError> {
        let by = self.who.as_ref().map(|who| who.name.clone());
        self.writing.save_grant(grant).await?;
        self.writing.mark_ended(grant.id, by.as_ref(), self.now).await?;
        self.event_under(grant, EventKind::GrantEnded { reason });
        if let Some(session) = self.writing.look().open_session_of(grant.id).await? {
            self.close_session(session.id, grant, reason).await?;
        }
        self.announce(Change::Ended(Arc::new(grant.clone()), reason));
        Ok(())
    }

    /// Ends a live grant because of what happened to its owner or target, whether it is overdue or not.
    pub(super) async fn end_grant_now(&mut self, grant: &Grant, who: &Principal) -> Result<(), DeskError> {
        match expire(grant, self.now) {
            Ok(over) => self.end_grant(&over, EndReason::Expired).await,
            Err(_) => self.end_grant(&revoke(grant, who, self.now)?, EndReason::Revoked).await,
        }
    }

    /// Denies a pending request because of what happened to its requester or target.
    pub(super) async fn deny_pending(&mut self, request: AccessRequest, why: &str) -> Result<(), DeskError> {
        let Some(state) = request_after(request.state, RequestAct::Deny) else { return Ok(()) };
        debug_assert_eq!(state, RequestState::Denied);
        let denied = AccessRequest { state, denial: Some(why.to_owned()), ..request };
        let kind = EventKind::RequestDenied { request: denied.id, reason: why.to_owned() };
        self.event_on(&denied.target, kind);
        self.save_request(&denied).await
    }

    /// Closes a session; closing a closed one does nothing.
    pub(super) async fn close_session(
        &mut self,
        session: SessionId,
        grant: &Grant,
        reason: EndReason,
    ) -> Result<(), DeskError> {
        if self.writing.close_session(session, self.now).await? {
            let mut event = self.begun(EventKind::SessionEnded { reason }).on(grant.target.as_str()).under(grant.id);
            event.session = Some(session);
            self.events.push(event);
        }
        Ok(())
    }

    fn begun(&self, kind: EventKind) -> Event {
        let event = Event::new(self.now, kind);
        match &self.who {
            Some(who) => event.by(who.name.as_str()),
            None => event,
        }
    }
}
