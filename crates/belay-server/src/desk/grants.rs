//! Grants: seen, claimed, extended, narrowed, revoked, reviewed.

use super::{Caller, Change, ClaimedToken, Desk, DeskError, GrantView, Listing, pick};
use crate::secrets::{mint_token, token_hash, verifier_of};
use belay_engine::ScramVerifier;
use belay_model::{Effects, EndReason, EventKind, Grant, Resource, Span, Timestamp};
use belay_policy::{Action, expire, extend, may, may_for_all, narrow, review, revoke};
use belay_store::{GrantRecord, StoredVerifier};
use std::sync::Arc;

impl Desk {
    /// Grants the caller may see, newest first: live ones, or all.
    pub async fn grants(&self, who: &Caller, listing: Listing) -> Result<Vec<GrantView>, DeskError> {
        let everybody = !listing.mine && may_for_all(&who.principal, Action::SeeGrants).is_ok();
        let of = (!everybody).then_some(&who.principal.name);
        let records = self.store.reader().await?.look().grants(of, listing.all).await?;
        Ok(records.into_iter().map(view).collect())
    }

    /// One grant, by id or unique prefix.
    pub async fn grant_of(&self, who: &Caller, grant: &str) -> Result<GrantView, DeskError> {
        let mut reader = self.store.reader().await?;
        Ok(view(pick::grant(&mut reader.look(), &who.principal, grant).await?))
    }

    /// Mints the token of the caller's own live grant for native clients; the former one stops working.
    pub async fn claim_token(&self, who: &Caller, grant: &str) -> Result<ClaimedToken, DeskError> {
        let secret = mint_token()?;
        let verifier = verifier_of(&secret)?;
        let (mut act, owner) = self.act(who).await?;
        let grant = pick::grant(&mut act.writing.look(), &owner, grant).await?.grant;
        may(&owner, Action::ClaimToken, &grant.principal)?;
        still_live(&grant, act.now)?;
        let hash = token_hash(&secret);
        act.writing.save_verifier(grant.id, &hash, &stored(verifier)).await?;
        act.event_under(&grant, EventKind::TokenClaimed);
        // One more than fits the plain name: then every login has to say which grant it means.
        let logins = act.writing.look().logins_of(&owner.name, Timestamp(i64::MAX)).await?;
        let alone = logins.iter().all(|login| login.grant.target != grant.target || login.grant.id == grant.id);
        self.finish(act).await?;
        let login = if alone { owner.name.to_string() } else { format!("{}+{}", owner.name, grant.id) };
        Ok(ClaimedToken { grant, login, token_id: token_id(&hash), secret })
    }

    /// Moves the end of one's own grant, once, by at most its own length, where the rule allows it.
    pub async fn extend(&self, who: &Caller, grant: &str, by: Span) -> Result<GrantView, DeskError> {
        let (mut act, owner) = self.act(who).await?;
        let record = pick::grant(&mut act.writing.look(), &owner, grant).await?;
        let grant = extend(&record.grant, &owner, by, act.now)?;
        act.writing.save_grant(&grant).await?;
        act.event_under(&grant, EventKind::GrantExtended { ends_at: grant.ends_at });
        act.announce(Change::Extended(Arc::new(grant.clone())));
        self.finish(act).await?;
        Ok(view(GrantRecord { grant, ..record }))
    }

    /// Takes resources or effects away from a live grant.
    pub async fn narrow(
        &self,
        who: &Caller,
        grant: &str,
        resources: Option<Vec<Resource>>,
        effects: Option<Effects>,
    ) -> Result<GrantView, DeskError> {
        let (mut act, principal) = self.act(who).await?;
        let record = pick::grant(&mut act.writing.look(), &principal, grant).await?;
        let grant = narrow(&record.grant, &principal, resources, effects, act.now)?;
        act.writing.save_grant(&grant).await?;
        let narrowed = EventKind::GrantNarrowed { resources: grant.resources.clone(), effects: grant.effects };
        act.event_under(&grant, narrowed);
        act.announce(Change::Narrowed(Arc::new(grant.clone())));
        self.finish_in_any_case(act).await?;
        Ok(view(GrantRecord { grant, ..record }))
    }

    /// Ends a live grant now.
    pub async fn revoke(&self, who: &Caller, grant: &str) -> Result<GrantView, DeskError> {
        let (mut act, principal) = self.act(who).await?;
        let record = pick::grant(&mut act.writing.look(), &principal, grant).await?;
        let grant = revoke(&record.grant, &principal, act.now)?;
        act.end_grant(&grant, EndReason::Revoked).await?;
        let (ended_at, ended_by) = (Some(act.now), Some(principal.name));
        self.finish_in_any_case(act).await?;
        Ok(view(GrantRecord { grant, ended_at, ended_by, ..record }))
    }

    /// Reviews a break-glass grant of somebody else, once it has ended.
    pub async fn review(&self, who: &Caller, grant: &str, note: &str) -> Result<GrantView, DeskError> {
        let (mut act, reviewer) = self.act(who).await?;
        let record = pick::grant(&mut act.writing.look(), &reviewer, grant).await?;
        let grant = review(&record.grant, &reviewer, note)?;
        act.writing.save_grant(&grant).await?;
        act.writing.save_review_note(grant.id, note.trim()).await?;
        act.event_under(&grant, EventKind::GrantReviewed { note: note.trim().to_owned() });
        self.finish(act).await?;
        Ok(view(GrantRecord { grant, ..record }))
    }
}

fn view(record: GrantRecord) -> GrantView {
    GrantView {
        grant: record.grant,
        reason: record.reason,
        token_id: record.token_hash.as_ref().map(token_id),
        ended_at: record.ended_at,
        ended_by: record.ended_by,
    }
}

/// Enough of the hash to tell one token of a grant from another; a token has 256 random bits, of which a hash's first
/// 32 give nothing away that could be used.
fn token_id(hash: &[u8; 32]) -> String {
    let [a, b, c, d, ..] = *hash;
    hex::encode([a, b, c, d])
}

fn stored(verifier: ScramVerifier) -> StoredVerifier {
    StoredVerifier {
        iterations: verifier.iterations,
        salt: verifier.salt,
        stored_key: verifier.stored_key,
        server_key: verifier.server_key,
    }
}

fn still_live(grant: &Grant, now: Timestamp) -> Result<(), DeskError> {
    let state = expire(grant, now).map_or(grant.state, |over| over.state);
    if state.is_live() {
        return Ok(());
    }
    Err(belay_policy::Refused::GrantOver { id: grant.id, state }.into())
}
