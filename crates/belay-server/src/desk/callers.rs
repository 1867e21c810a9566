//! Who is calling: logins and API tokens.

use super::act::Act;
use super::{Caller, Desk, DeskError, MintedToken, pick};
use crate::people::Identity;
use crate::secrets::{mint_token, same_hash, token_hash};
use belay_model::{ApiTokenId, Event, EventKind, Name, Span, Timestamp, Token};
use belay_policy::{Action, may};
use belay_store::ApiToken;
use secrecy::SecretString;

/// How long the token of a login lasts.
const LOGIN_LASTS: Span = Span::from_seconds(30 * 86_400);
/// The most live tokens of one person; a login past it replaces the oldest.
const TOKENS_MOST: i64 = 100;
/// How exactly the last use of a token is remembered.
const TOUCH_EVERY: Span = Span::from_seconds(60);
/// How much of a token is kept to recognise it by: its prefix and four characters.
const SHOWN: usize = 8;
const LABEL_MOST: usize = 80;

impl Desk {
    /// Name and password for an API token. Slow on purpose, throttled by name.
    pub async fn login(&self, name: &str, password: &SecretString, label: &str) -> Result<MintedToken, DeskError> {
        check_label(label)?;
        let principal = match self.people.authenticate(name, password, self.clock.now()).await {
            Ok(principal) => principal,
            Err(error) => {
                // What is no name is not put into the ledger.
                if let Ok(name) = name.parse::<Name>() {
                    let kind = EventKind::ApiLoginFailed { user: name.to_string() };
                    self.recorder.record(Event::new(self.clock.now(), kind)).await;
                }
                return Err(error.into());
            }
        };
        let (mut act, principal) = self.act(&Caller { principal, token: None }).await?;
        if act.writing.look().live_api_tokens(&principal.name, act.now).await? >= TOKENS_MOST {
            let tokens = act.writing.look().api_tokens(&principal.name).await?;
            if let Some(oldest) = tokens.iter().rev().find(|token| works(token, act.now)) {
                act.writing.revoke_api_token(oldest.id, act.now).await?;
                act.event(EventKind::ApiTokenRevoked { token: oldest.id });
            }
        }
        let minted = mint(&mut act, &principal.name, label, LOGIN_LASTS).await?;
        self.finish(act).await?;
        Ok(minted)
    }

    /// Who an API token belongs to.
    pub async fn authenticate(&self, token: &str) -> Result<Caller, DeskError> {
        let token: Token = token.parse().map_err(|_| DeskError::Unauthenticated)?;
        let hash = token_hash(&token);
        let found = self.store.reader().await?.look().api_token_by_hash(&hash).await?;
        let found = found.filter(|found| same_hash(&found.hash, &hash)).ok_or(DeskError::Unauthenticated)?;
        let now = self.clock.now();
        if !works(&found.token, now) || found.user.disabled {
            return Err(DeskError::Unauthenticated);
        }
        if found.token.last_used_at.is_none_or(|last| last.plus(TOUCH_EVERY) <= now) {
            let mut writing = self.store.write().await?;
            writing.touch_api_token(found.token.id, now).await?;
            writing.commit().await?;
        }
        Ok(Caller { principal: found.user.principal(), token: Some(found.token.id) })
    }

    /// The caller's own API tokens, or those of `user` for an administrator.
    pub async fn api_tokens(&self, who: &Caller, user: Option<&str>) -> Result<Vec<ApiToken>, DeskError> {
        let owner = match user {
            Some(user) => pick::name("user", user)?,
            None => who.principal.name.clone(),
        };
        may(&who.principal, Action::UseApiTokens, &owner)?;
        Ok(self.store.reader().await?.look().api_tokens(&owner).await?)
    }

    /// A further API token for the caller.
    pub async fn mint_api_token(&self, who: &Caller, label: &str, lasts: Span) -> Result<MintedToken, DeskError> {
        check_label(label)?;
        let (mut act, principal) = self.act(who).await?;
        may(&principal, Action::UseApiTokens, &principal.name)?;
        if act.writing.look().live_api_tokens(&principal.name, act.now).await? >= TOKENS_MOST {
            return Err(DeskError::Conflict {
                message: format!("you have {TOKENS_MOST} tokens that work already"),
                hint: "revoke one that is not used any more".to_owned(),
            });
        }
        let minted = mint(&mut act, &principal.name, label, lasts).await?;
        self.finish(act).await?;
        Ok(minted)
    }

    /// Revokes an API token of the caller, or of anybody for an administrator. Logging out is this, too.
    pub async fn revoke_api_token(&self, who: &Caller, token: ApiTokenId) -> Result<(), DeskError> {
        let (mut act, principal) = self.act(who).await?;
        let found = act.writing.look().api_token(token).await?;
        let found = found.filter(|found| may(&principal, Action::UseApiTokens, &found.user).is_ok());
        let found = found.ok_or_else(|| DeskError::NotFound { kind: "token", name: token.to_string() })?;
        if found.revoked_at.is_some() {
            return Ok(());
        }
        act.writing.revoke_api_token(token, act.now).await?;
        act.event(EventKind::ApiTokenRevoked { token });
        self.finish_in_any_case(act).await
    }
}

/// Mints and stores a token of a person.
pub(super) async fn mint(act: &mut Act, user: &Name, label: &str, lasts: Span) -> Result<MintedToken, DeskError> {
    let secret = mint_token()?;
    let info = ApiToken {
        id: ApiTokenId(0),
        user: user.clone(),
        label: label.to_owned(),
        shown: secret.reveal().chars().take(SHOWN).collect(),
        created_at: act.now,
        expires_at: act.now.plus(lasts),
        last_used_at: None,
        revoked_at: None,
    };
    let info = act.writing.add_api_token(info, &token_hash(&secret)).await?;
    act.event(EventKind::ApiLogin { user: user.to_string(), token: info.id });
    Ok(MintedToken { info, secret })
}

fn works(token: &ApiToken, now: Timestamp) -> bool {
    token.revoked_at.is_none() && now < token.expires_at
}

fn check_label(label: &str) -> Result<(), DeskError> {
    if label.chars().count() <= LABEL_MOST && !label.chars().any(char::is_control) {
        return Ok(());
    }
    let message = format!("a label has at most {LABEL_MOST} characters, none of them control characters");
    Err(DeskError::Invalid { field: "label", message })
}
