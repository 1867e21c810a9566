//! People: added, changed, disabled, given a password.

use super::act::Act;
use super::{Caller, Desk, DeskError, MintedToken, NewUser, User, UserChange, callers, pick};
use crate::people::Identity;
use belay_model::{EventKind, Name, Principal, Role, Span};
use belay_policy::{Action, may, may_for_all};
use secrecy::{ExposeSecret, SecretString};

/// How long the token of a new person lasts.
const INVITATION: Span = Span::from_seconds(7 * 86_400);
const PASSWORD_LEAST: usize = 12;
const PASSWORD_MOST: usize = 256;
const GROUPS_MOST: usize = 100;

impl Desk {
    /// Everybody.
    pub async fn users(&self, who: &Caller) -> Result<Vec<User>, DeskError> {
        may_for_all(&who.principal, Action::SeeUsers)?;
        Ok(self.store.reader().await?.look().users().await?)
    }

    /// Adds a person. Without a password a token is minted for them, to be handed over.
    pub async fn add_user(&self, who: &Caller, new: NewUser) -> Result<(User, Option<MintedToken>), DeskError> {
        may_for_all(&who.principal, Action::ChangeUsers)?;
        check_groups(&new.groups)?;
        let hash = match &new.password {
            Some(password) => {
                check_password(password)?;
                Some(self.people.hash(password).await?)
            }
            None => None,
        };
        let mut act = self.act_with(who, Action::ChangeUsers).await?;
        if act.writing.look().user(&new.name).await?.is_some() {
            return Err(DeskError::Conflict {
                message: format!("there is a user `{}` already", new.name),
                hint: "belay user ls".to_owned(),
            });
        }
        let user = User {
            name: new.name,
            roles: distinct(new.roles),
            groups: distinct(new.groups),
            disabled: false,
            has_password: hash.is_some(),
            created_at: act.now,
        };
        act.writing.add_user(&user, hash.as_deref()).await?;
        act.event(added(&user));
        let minted = match hash {
            Some(_) => None,
            None => Some(callers::mint(&mut act, &user.name, "first login", INVITATION).await?),
        };
        self.finish(act).await?;
        Ok((user, minted))
    }

    /// Changes roles or groups, disables or enables. Disabling ends the person's grants, tokens and requests.
    pub async fn change_user(&self, who: &Caller, name: &str, change: UserChange) -> Result<User, DeskError> {
        let mut act = self.act_with(who, Action::ChangeUsers).await?;
        let name = pick::name("user", name)?;
        let before = existing(&mut act, &name).await?;
        let mut after = before.clone();
        if let Some(groups) = change.groups {
            check_groups(&groups)?;
            after.groups = distinct(groups);
        }
        if let Some(roles) = change.roles {
            after.roles = distinct(roles);
        }
        after.disabled = change.disabled.unwrap_or(after.disabled);
        act.writing.save_user(&after).await?;
        keep_an_administrator(&mut act).await?;
        act.event(EventKind::UserChanged {
            user: after.name.to_string(),
            roles: words(&after.roles),
            groups: words(&after.groups),
            disabled: after.disabled,
        });
        if before.principal().has(Role::Approver) && !after.principal().has(Role::Approver) {
            act.writing.forget_pending_approvals(&after.name).await?;
            act.writing.forget_plan_approvals(&after.name).await?;
        }
        if after.disabled && !before.disabled {
            end_everything_of(&mut act, &after.name).await?;
        }
        if only_less(&before, &after) {
            self.finish_in_any_case(act).await?;
        } else {
            self.finish(act).await?;
        }
        Ok(after)
    }

    /// Whether the caller has a password.
    pub async fn has_password(&self, who: &Caller) -> Result<bool, DeskError> {
        Ok(self.store.reader().await?.look().password_hash(&who.principal.name).await?.is_some())
    }

    /// Sets a password: one's own, with the old one where there is one, or anybody's for an administrator,
    /// which also revokes that person's API tokens.
    pub async fn set_password(
        &self,
        who: &Caller,
        name: &str,
        old: Option<&SecretString>,
        new: &SecretString,
    ) -> Result<(), DeskError> {
        let name = pick::name("user", name)?;
        may(&who.principal, Action::SetPassword, &name)?;
        check_password(new)?;
        let own = who.principal.name == name;
        let has_password = self.store.reader().await?.look().password_hash(&name).await?.is_some();
        if own && has_password {
            let old = old.ok_or_else(|| DeskError::Invalid {
                field: "old_password",
                message: "the old password is needed to set a new one".to_owned(),
            })?;
            let proven = self.people.authenticate(name.as_str(), old, self.clock.now()).await;
            proven.map_err(|error| match DeskError::from(error) {
                DeskError::Unauthenticated => {
                    DeskError::Invalid { field: "old_password", message: "the old password is wrong".to_owned() }
                }
                other => other,
            })?;
        }
        let hash = self.people.hash(new).await?;
        let (mut act, principal) = self.act(who).await?;
        may(&principal, Action::SetPassword, &name)?;
        existing(&mut act, &name).await?;
        act.writing.save_password_hash(&name, &hash).await?;
        act.event(EventKind::PasswordChanged { user: name.to_string() });
        if !own {
            act.writing.revoke_api_tokens_of(&name, act.now).await?;
        }
        self.finish(act).await
    }
}

pub(super) fn added(user: &User) -> EventKind {
    EventKind::UserAdded { user: user.name.to_string(), roles: words(&user.roles), groups: words(&user.groups) }
}

async fn existing(act: &mut Act, name: &Name) -> Result<User, DeskError> {
    let user = act.writing.look().user(name).await?;
    user.ok_or_else(|| DeskError::NotFound { kind: "user", name: name.to_string() })
}

async fn keep_an_administrator(act: &mut Act) -> Result<(), DeskError> {
    let users = act.writing.look().users().await?;
    if users.iter().any(|user| user.principal().has(Role::Administrator)) {
        return Ok(());
    }
    Err(DeskError::Conflict {
        message: "this would leave nobody who is an administrator".to_owned(),
        hint: "make somebody else an administrator first".to_owned(),
    })
}

async fn end_everything_of(act: &mut Act, name: &Name) -> Result<(), DeskError> {
    act.writing.revoke_api_tokens_of(name, act.now).await?;
    let who: Principal = act.who.clone().ok_or(DeskError::Unauthenticated)?;
    for grant in act.writing.look().live_grants(Some(name), None).await? {
        act.end_grant_now(&grant, &who).await?;
    }
    for request in act.writing.look().requests(Some(name), false).await? {
        act.deny_pending(request, "the requester was disabled").await?;
    }
    Ok(())
}

/// Whether a change only takes away, so that it must not wait for the ledger.
fn only_less(before: &User, after: &User) -> bool {
    let no_new_role = after.roles.iter().all(|role| before.roles.contains(role));
    let no_new_group = after.groups.iter().all(|group| before.groups.contains(group));
    no_new_role && no_new_group && (after.disabled || !before.disabled)
}

fn distinct<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort();
    list.dedup();
    list
}

fn words<T: ToString>(list: &[T]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

fn check_groups(groups: &[Name]) -> Result<(), DeskError> {
    if groups.len() <= GROUPS_MOST {
        return Ok(());
    }
    Err(DeskError::Invalid { field: "groups", message: format!("at most {GROUPS_MOST} groups") })
}

fn check_password(password: &SecretString) -> Result<(), DeskError> {
    let length = password.expose_secret().chars().count();
    if (PASSWORD_LEAST..=PASSWORD_MOST).contains(&length) {
        return Ok(());
    }
    let message = format!("a password has {PASSWORD_LEAST} to {PASSWORD_MOST} characters");
    Err(DeskError::Invalid { field: "password", message })
}
