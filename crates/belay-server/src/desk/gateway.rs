//! What the gateway asks of the desk, and sessions.

use super::{Caller, Desk, DeskError, Listing, pick};
use belay_model::{ConnectionId, EndReason, Grant, GrantId, GrantState, Session, SessionId};
use belay_policy::{Action, may, may_for_all, take_into_use};

impl Desk {
    /// Sessions the caller may see, newest first: open ones, or all.
    pub async fn sessions(&self, who: &Caller, listing: Listing) -> Result<Vec<Session>, DeskError> {
        let everybody = !listing.mine && may_for_all(&who.principal, Action::SeeSessions).is_ok();
        let of = (!everybody).then_some(&who.principal.name);
        Ok(self.store.reader().await?.look().sessions(of, listing.all).await?)
    }

    /// One session the caller may end: their own, or anybody's for an administrator or approver. Ending
    /// its connections is the gateway's part.
    pub async fn session_to_end(&self, who: &Caller, session: &str) -> Result<Session, DeskError> {
        let mut reader = self.store.reader().await?;
        let session = pick::session(&mut reader.look(), &who.principal, session).await?;
        may(&who.principal, Action::EndSession, &session.principal)?;
        Ok(session)
    }

    /// Whether the caller may read the ledger.
    pub fn may_read_ledger(&self, who: &Caller) -> Result<(), DeskError> {
        Ok(may_for_all(&who.principal, Action::ReadLedger)?)
    }

    /// The grant's session, opened if this is its first connection; the grant counts as used.
    /// Refused when the grant is not live any more. Subscribe to [`Desk::changes`] before this: what
    /// happens to the grant after it is announced there.
    pub async fn open_session(&self, grant: GrantId) -> Result<(Grant, Session), DeskError> {
        if let Some(known) = self.known_session(grant).await? {
            return Ok(known);
        }
        let mut act = self.act_alone().await?;
        let record = act.writing.look().grant(grant).await?.ok_or_else(|| missing(grant))?;
        let grant = take_into_use(&record.grant, act.now)?;
        act.writing.save_grant(&grant).await?;
        let session = match act.writing.look().open_session_of(grant.id).await? {
            Some(session) => session,
            None => act.writing.add_session(&grant, act.now).await?,
        };
        self.finish(act).await?;
        Ok((grant, session))
    }

    /// Spares the write for all but the first connection of a session.
    async fn known_session(&self, grant: GrantId) -> Result<Option<(Grant, Session)>, DeskError> {
        let mut reader = self.store.reader().await?;
        let Some(session) = reader.look().open_session_of(grant).await? else { return Ok(None) };
        let record = reader.look().grant(grant).await?.ok_or_else(|| missing(grant))?;
        let used = take_into_use(&record.grant, self.clock.now())?;
        Ok((record.grant.state == GrantState::Active).then_some((used, session)))
    }

    /// A number no connection ever had.
    pub async fn next_connection_id(&self) -> Result<ConnectionId, DeskError> {
        Ok(self.store.next_connection_id().await?)
    }

    /// Remembers whether a connection of the session was cut inside a transaction.
    pub async fn set_cut_in_transaction(&self, session: SessionId, cut: bool) -> Result<(), DeskError> {
        let mut writing = self.store.write().await?;
        writing.save_cut(session, cut).await?;
        Ok(writing.commit().await?)
    }

    /// Closes a session and records why. Closing a closed one does nothing.
    pub async fn close_session(&self, session: SessionId, reason: EndReason) -> Result<(), DeskError> {
        let mut act = self.act_alone().await?;
        let Some(found) = act.writing.look().session(session).await? else { return Ok(()) };
        let record = act.writing.look().grant(found.grant).await?.ok_or_else(|| missing(found.grant))?;
        act.close_session(session, &record.grant, reason).await?;
        self.finish_in_any_case(act).await
    }

    /// Sessions that are open by the store; at a start, those an earlier run left behind.
    pub async fn open_sessions(&self) -> Result<Vec<Session>, DeskError> {
        Ok(self.store.reader().await?.look().open_sessions().await?)
    }

    /// Every grant that lets somebody in.
    pub async fn live_grants(&self) -> Result<Vec<Grant>, DeskError> {
        Ok(self.store.reader().await?.look().live_grants(None, None).await?)
    }

    /// One grant, whoever asks.
    pub async fn grant(&self, grant: GrantId) -> Result<Option<Grant>, DeskError> {
        Ok(self.store.reader().await?.look().grant(grant).await?.map(|record| record.grant))
    }
}

fn missing(grant: GrantId) -> DeskError {
    DeskError::NotFound { kind: "grant", name: grant.to_string() }
}
