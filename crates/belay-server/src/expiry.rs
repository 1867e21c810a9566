//! The end of grants: when their time comes, when somebody ends them, and what a stopped gateway left behind.
//!
//! The connections hear it through [`LiveSessions`]; the target is told over the control connection at the same time,
//! so that neither has to wait for the other.

use crate::desk::{Change, Clock, Desk};
use crate::ledger::{Ledger, Unfinished};
use crate::sessions::LiveSessions;
use crate::targets::Targets;
use belay_engine::{Control, TargetAccess};
use belay_model::{EndReason, Event, EventKind, Grant, GrantId, Name, TransactionStatus};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::sleep;

/// How long the expiry sleeps at most; a net under the deadlines.
const NAP: Duration = Duration::from_secs(5);
/// How long it rests after the store has failed.
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// How often the end of a role is tried again; afterwards the sweep goes on trying.
const TRIES: u32 = 5;
/// How often roles that should not be there are looked for.
const SWEEP: Duration = Duration::from_mins(1);

/// See the module.
#[derive(Clone)]
pub(crate) struct Expiry {
    pub(crate) desk: Arc<Desk>,
    pub(crate) ledger: Ledger,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) sessions: Arc<LiveSessions>,
    pub(crate) targets: Arc<Targets>,
}

impl Expiry {
    /// Ends what is due, for ever.
    pub(crate) async fn watch_time(self) {
        loop {
            if let Err(error) = self.desk.pass_time().await {
                tracing::error!("what is due could not be ended, trying again: {error}");
                sleep(AFTER_ERROR).await;
            }
            let next = self.desk.next_due().await.ok().flatten();
            let nap = next.map_or(NAP, |at| self.clock.now().until(at)).clamp(Duration::from_millis(1), NAP);
            sleep(nap).await;
        }
    }

    /// Carries out what people and time change, for ever.
    pub(crate) async fn watch_changes(self) {
        let mut changes = self.desk.changes();
        loop {
            match changes.recv().await {
                Ok(Change::Ended(grant, reason)) => self.begin_end(&grant, reason),
                Ok(Change::Narrowed(grant)) => {
                    self.sessions.renew(grant.id, grant.ends_at, EndReason::Narrowed);
                    let expiry = self.clone();
                    tokio::spawn(async move { expiry.end_backends(&grant).await });
                }
                Ok(Change::Extended(grant)) => self.sessions.extend(grant.id, grant.ends_at),
                Ok(Change::Request(_) | Change::Plan(_) | Change::Granted(_) | Change::Target(_)) => {}
                Err(RecvError::Lagged(_)) => self.catch_up().await,
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Looks for roles without a live grant, for ever.
    pub(crate) async fn watch_roles(self) {
        loop {
            sleep(SWEEP).await;
            self.sweep(false).await;
        }
    }

    /// At the start: what an earlier run of this gateway left in the targets is ended, before anybody is let in.
    pub(crate) async fn recover(&self, unfinished: &[Unfinished]) {
        for left in unfinished {
            self.note_unfinished(left).await;
        }
        self.sweep(true).await;
    }

    /// A connection that the earlier run did not end. If it may have been inside a transaction, its client might
    /// reconnect by itself and run the rest of a script.
    async fn note_unfinished(&self, left: &Unfinished) {
        let in_transaction = left.in_flight || left.transaction != TransactionStatus::Idle;
        if let (true, Some(session)) = (in_transaction, left.session)
            && let Err(error) = self.desk.set_cut_in_transaction(session, true).await
        {
            tracing::error!(%session, "could not mark the session as cut: {error}");
        }
        let event = Event {
            at: self.clock.now(),
            who: left.who.as_deref().map(Arc::from),
            target: left.target.as_deref().map(Arc::from),
            grant: left.grant,
            session: left.session,
            connection: Some(left.connection),
            kind: EventKind::ConnectionEnded { reason: EndReason::Crashed, in_transaction },
        };
        if let Err(error) = self.ledger.record(event).await {
            tracing::error!("the end of {} was not recorded: {error}", left.connection);
        }
    }

    /// Ends roles whose grant is not live. With `all`, the back ends of live grants too: no connection of an earlier
    /// run is anybody's any more.
    async fn sweep(&self, all: bool) {
        let (Ok(targets), Ok(live)) = (self.desk.every_target_access().await, self.desk.live_grants().await) else {
            tracing::error!("the store did not answer; roles are not swept now");
            return;
        };
        let live: HashSet<GrantId> = live.iter().map(|grant| grant.id).collect();
        let sweeps = targets.into_iter().map(|access| self.sweep_target(access, &live, all));
        futures_util::future::join_all(sweeps).await;
    }

    async fn sweep_target(&self, access: TargetAccess, live: &HashSet<GrantId>, all: bool) {
        let name = access.target.name.clone();
        let control = self.targets.control(&access);
        let found = control.roles(&self.targets.role_prefix()).await;
        metrics::gauge!(crate::metrics::TARGET_UP, "target" => name.to_string())
            .set(f64::from(u8::from(found.is_ok())));
        let roles = match found {
            Ok(roles) => roles,
            Err(error) => return tracing::warn!(target_name = %name, "roles could not be listed: {error}"),
        };
        for role in roles {
            match self.targets.grant_of(&role) {
                Some(grant) if live.contains(&grant) => {
                    if all && let Err(error) = control.end_backends(&role).await {
                        tracing::warn!(target_name = %name, role, "back ends were not ended: {error}");
                    }
                }
                grant => self.end_stray(&*control, &name, &role, grant).await,
            }
        }
    }

    /// Ends a role without a live grant. The grant may have come to be since the live ones were listed.
    async fn end_stray(&self, control: &dyn Control, target: &Name, role: &str, grant: Option<GrantId>) {
        let lock = grant.map(|grant| self.sessions.role_lock(grant)).unwrap_or_default();
        let _role = lock.lock().await;
        if let Some(id) = grant {
            match self.desk.grant(id).await {
                Ok(Some(grant)) if grant.state.is_live() => return,
                Ok(_) => {}
                Err(error) => return tracing::error!(grant = %id, "cannot be looked up, its role stays: {error}"),
            }
        }
        self.end_role(control, target, role, grant).await;
    }

    /// Hears of an end: the connections are told now, the target in a task of its own.
    fn begin_end(&self, grant: &Arc<Grant>, reason: EndReason) {
        self.sessions.end(grant.id, reason);
        let (expiry, grant) = (self.clone(), Arc::clone(grant));
        tokio::spawn(async move { expiry.finish(&grant, reason).await });
    }

    async fn finish(&self, grant: &Grant, reason: EndReason) {
        match self.desk.target_access(&grant.target).await {
            Ok(access) => {
                let control = self.targets.control(&access);
                let role = self.targets.role_name(grant.id);
                let lock = self.sessions.role_lock(grant.id);
                let _role = lock.lock().await;
                self.end_role(&*control, &grant.target, &role, Some(grant.id)).await;
            }
            Err(error) => tracing::error!(grant = %grant.id, "its target cannot be reached any more: {error}"),
        }
        self.sessions.forget(grant.id);
        match self.desk.open_sessions().await {
            Ok(sessions) => {
                for session in sessions.iter().filter(|session| session.grant == grant.id) {
                    if let Err(error) = self.desk.close_session(session.id, reason).await {
                        tracing::error!(session = %session.id, "could not be closed: {error}");
                    }
                }
            }
            Err(error) => tracing::error!(grant = %grant.id, "its session could not be closed: {error}"),
        }
    }

    async fn end_role(&self, control: &dyn Control, target: &Name, role: &str, grant: Option<GrantId>) {
        for attempt in 1..=TRIES {
            match control.end_role(role).await {
                Ok(ended_backends) => {
                    let kind = EventKind::RoleDropped { role: role.to_owned(), ended_backends };
                    let mut event = Event::new(self.clock.now(), kind).on(target.as_str());
                    event.grant = grant;
                    if self.ledger.record_late(event).is_err() {
                        tracing::error!(role, "dropped, and not recorded: the ledger's queue is full");
                    }
                    return;
                }
                Err(error) => tracing::warn!(target_name = %target, role, attempt, "role not ended: {error}"),
            }
            sleep(Duration::from_millis(100) * attempt).await;
        }
        tracing::error!(target_name = %target, role, "role not ended; its VALID UNTIL holds, and the sweep tries again");
    }

    async fn end_backends(&self, grant: &Grant) {
        let Ok(access) = self.desk.target_access(&grant.target).await else { return };
        let role = self.targets.role_name(grant.id);
        if let Err(error) = self.targets.control(&access).end_backends(&role).await {
            tracing::warn!(grant = %grant.id, "back ends were not ended: {error}");
        }
    }

    /// Changes were missed: every grant that has connections here is looked up again.
    async fn catch_up(&self) {
        for id in self.sessions.grants() {
            match self.desk.grant(id).await {
                // It may have been narrowed: its connections start anew under what it holds.
                Ok(Some(grant)) if grant.state.is_live() => {
                    self.sessions.renew(id, grant.ends_at, EndReason::Narrowed);
                    self.end_backends(&grant).await;
                }
                Ok(Some(grant)) => self.begin_end(&Arc::new(grant), EndReason::Revoked),
                Ok(None) => self.sessions.end(id, EndReason::Revoked),
                Err(error) => {
                    tracing::error!(grant = %id, "cannot be looked up, so its connections end: {error}");
                    self.sessions.end(id, EndReason::Ended);
                }
            }
        }
    }
}
