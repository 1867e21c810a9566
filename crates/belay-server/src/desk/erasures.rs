//! Erasing what a session typed and what rows it touched: ordered here, recorded, and noted when it is done.

use super::act::Act;
use super::holds::said;
use super::{Caller, Desk, DeskError, pick};
use belay_model::{EventKind, Session, SessionId, SessionState};
use belay_policy::Action;
use belay_store::{ErasureRecord, ErasureState};

impl Desk {
    /// A session whose content may be erased now.
    pub(crate) async fn session_to_erase(&self, who: &Caller, session: &str) -> Result<Session, DeskError> {
        let mut act = self.act_with(who, Action::EraseSession).await?;
        may_be_erased(&mut act, who, session).await
    }

    /// Whether that was ordered before.
    pub(crate) async fn was_erased(&self, session: SessionId) -> Result<bool, DeskError> {
        Ok(self.store.reader().await?.look().erasure(session).await?.is_some())
    }

    /// Orders that this session's content is erased. An order that is recorded already stays as it is.
    pub(crate) async fn order_erasure(
        &self,
        who: &Caller,
        session: &str,
        reason: &str,
    ) -> Result<ErasureRecord, DeskError> {
        let reason = said(reason)?;
        let mut act = self.act_with(who, Action::EraseSession).await?;
        let session = may_be_erased(&mut act, who, session).await?.id;
        let before = act.writing.look().erasure(session).await?;
        if let Some(recorded) = before.filter(|erasure| erasure.state == ErasureState::Recorded) {
            return Ok(recorded);
        }
        let by = who.principal.name.clone();
        let erasure = ErasureRecord { session, by, at: act.now, reason, state: ErasureState::Ordered };
        act.writing.order_erasure(&erasure).await?;
        self.finish(act).await?;
        Ok(erasure)
    }

    /// Records it; before anything is erased.
    pub(crate) async fn record_erasure(&self, erasure: &ErasureRecord) -> Result<(), DeskError> {
        let mut act = self.act_alone().await?;
        act.who = act.writing.look().user(&erasure.by).await?.map(|user| user.principal());
        let missing = || DeskError::NotFound { kind: "session", name: erasure.session.to_string() };
        let session = act.writing.look().session(erasure.session).await?.ok_or_else(missing)?;
        act.writing.save_erasure(session.id, ErasureState::Recorded).await?;
        let kind = EventKind::SessionErased { reason: erasure.reason.clone() };
        act.event_about(&session.target, session.grant, Some(session.id), kind);
        self.finish(act).await
    }

    /// Takes back an order that could not be recorded.
    pub(crate) async fn drop_erasure(&self, session: SessionId) -> Result<(), DeskError> {
        let mut writing = self.store.write().await?;
        writing.drop_erasure(session).await?;
        Ok(writing.commit().await?)
    }

    /// Orders that are not carried out to their end.
    pub(crate) async fn open_erasures(&self) -> Result<Vec<ErasureRecord>, DeskError> {
        Ok(self.store.reader().await?.look().open_erasures().await?)
    }

    /// The files of a session's rows.
    pub(crate) async fn session_files(&self, session: SessionId) -> Result<Vec<String>, DeskError> {
        Ok(self.store.reader().await?.look().session_files(session).await?)
    }

    /// Forgets these files, which are gone.
    pub(crate) async fn forget_session_files(&self, session: SessionId) -> Result<(), DeskError> {
        let mut writing = self.store.write().await?;
        writing.forget_session_files(session, self.clock.now()).await?;
        Ok(writing.commit().await?)
    }

    /// Notes that an erasure is done, where no rows of it wait in a target's trash any more and nothing is left of what the
    /// store held. Returns whether it is.
    pub(crate) async fn settle_erasure(&self, session: SessionId) -> Result<bool, DeskError> {
        let named = self.store.reader().await?.look().has_files(session).await?;
        // No reader of our own may be in its way.
        if named || !self.store.scrub().await? {
            return Ok(false);
        }
        let mut writing = self.store.write().await?;
        writing.save_erasure(session, ErasureState::Done).await?;
        writing.commit().await?;
        Ok(true)
    }
}

async fn may_be_erased(act: &mut Act, who: &Caller, session: &str) -> Result<Session, DeskError> {
    let mut look = act.writing.look();
    let session = pick::session(&mut look, &who.principal, session).await?;
    let (id, conflict) = (session.id, |message, hint| DeskError::Conflict { message, hint });
    if session.state == SessionState::Open {
        return Err(conflict(format!("{id} is still open"), format!("belay revoke {} ends it", session.grant)));
    }
    for bound in look.bound_to(id).await? {
        let Some(hold) = look.hold(bound).await? else { continue };
        let what = if bound == id { String::new() } else { format!("was given back together with {bound}, which ") };
        let hint = format!("belay audit hold --release {bound}, if {} agrees", hold.by);
        return Err(conflict(format!("{id} {what}is on hold, by {}: {}", hold.by, hold.reason), hint));
    }
    let open = look.unsettled_in(id).await?;
    if !open.is_empty() {
        let hint = "decide on its plans first: belay plans; changes settle by themselves".to_owned();
        return Err(conflict(format!("{id} is not settled: {}", open.join(", ")), hint));
    }
    Ok(session)
}
