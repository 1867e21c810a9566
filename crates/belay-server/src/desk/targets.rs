//! Targets, with the sealed passwords of their control users.

use super::{Caller, Change, Desk, DeskError, NewTarget, pick};
use belay_engine::TargetAccess;
use belay_model::{EventKind, Name, Principal, Target};
use belay_policy::{Action, may_for_all};
use belay_store::SealedSecret;
use secrecy::ExposeSecret;
use std::sync::Arc;

/// How TLS to a target can be done.
const TLS_MODES: [&str; 4] = ["disable", "require", "verify-ca", "verify-full"];
const PROTOCOLS: [&str; 1] = ["postgres"];

impl Desk {
    /// Every target.
    pub async fn targets(&self, who: &Caller) -> Result<Vec<Target>, DeskError> {
        may_for_all(&who.principal, Action::SeeTargets)?;
        let targets = self.store.reader().await?.look().targets().await?;
        Ok(targets.into_iter().map(|(target, _)| target).collect())
    }

    /// One target.
    pub async fn target(&self, who: &Caller, name: &str) -> Result<Target, DeskError> {
        may_for_all(&who.principal, Action::SeeTargets)?;
        let name = pick::name("target", name)?;
        let found = self.store.reader().await?.look().target(&name).await?;
        found.map(|(target, _)| target).ok_or_else(|| missing(&name))
    }

    /// Adds a target; its password is sealed.
    pub async fn add_target(&self, who: &Caller, new: NewTarget) -> Result<Target, DeskError> {
        let target = new.target;
        check(&target)?;
        let secret = self.keys.seal(&owner(&target.name), new.password.expose_secret().as_bytes())?;
        let mut act = self.act_with(who, Action::ChangeTargets).await?;
        if act.writing.look().target(&target.name).await?.is_some() {
            return Err(DeskError::Conflict {
                message: format!("there is a target `{}` already", target.name),
                hint: format!("belay target rm {} first, which ends its grants", target.name),
            });
        }
        act.writing.add_target(&target, &secret, act.now).await?;
        let added =
            EventKind::TargetAdded { host: target.host.clone(), port: target.port, database: target.database.clone() };
        act.event_on(&target.name, added);
        act.announce(Change::Target(target.name.clone()));
        self.finish(act).await?;
        Ok(target)
    }

    /// Removes a target: its pending requests are denied, its grants revoked.
    pub async fn remove_target(&self, who: &Caller, name: &str) -> Result<(), DeskError> {
        let (mut act, principal) = self.act(who).await?;
        may_for_all(&principal, Action::ChangeTargets)?;
        let name = pick::name("target", name)?;
        if act.writing.look().target(&name).await?.is_none() {
            return Err(missing(&name));
        }
        self.end_everything_on(&mut act, &name, &principal).await?;
        for mask in act.writing.look().masks(Some(&name)).await? {
            act.writing.remove_mask(mask.id, act.now).await?;
        }
        act.writing.remove_target(&name, act.now).await?;
        act.event_on(&name, EventKind::TargetRemoved);
        act.announce(Change::Target(name));
        self.finish_in_any_case(act).await
    }

    async fn end_everything_on(
        &self,
        act: &mut super::act::Act,
        name: &Name,
        who: &Principal,
    ) -> Result<(), DeskError> {
        for request in act.writing.look().pending_on(name).await? {
            act.deny_pending(request, "the target was removed").await?;
        }
        for grant in act.writing.look().live_grants(None, Some(name)).await? {
            act.end_grant_now(&grant, who).await?;
        }
        Ok(())
    }

    /// The target for `belay target check`: needs the right to manage targets.
    pub async fn target_to_check(&self, who: &Caller, name: &str) -> Result<TargetAccess, DeskError> {
        may_for_all(&who.principal, Action::ChangeTargets)?;
        let name = pick::name("target", name)?;
        let found = self.store.reader().await?.look().target(&name).await?;
        let (target, secret) = found.ok_or_else(|| missing(&name))?;
        self.unsealed(target, &secret)
    }

    /// How to reach a target, with its password unsealed. For a day that is also a target that was removed:
    /// what its grants left there has to be ended.
    pub async fn target_access(&self, name: &Name) -> Result<TargetAccess, DeskError> {
        let mut reader = self.store.reader().await?;
        let found = match reader.look().target(name).await? {
            Some(found) => Some(found),
            None => reader.look().removed_targets().await?.into_iter().find(|(target, _)| target.name == *name),
        };
        let (target, secret) = found.ok_or_else(|| missing(name))?;
        self.unsealed(target, &secret)
    }

    /// How to reach every target, for a day the removed ones too. One whose secret does not open is left
    /// out and logged, so that it does not stand in the way of the others.
    pub async fn every_target_access(&self) -> Result<Vec<TargetAccess>, DeskError> {
        let mut reader = self.store.reader().await?;
        let mut targets = reader.look().targets().await?;
        targets.extend(reader.look().removed_targets().await?);
        let unsealed = targets.into_iter().filter_map(|(target, secret)| {
            let name = target.name.clone();
            self.unsealed(target, &secret).inspect_err(|error| tracing::error!(target_name = %name, "{error}")).ok()
        });
        Ok(unsealed.collect())
    }

    fn unsealed(&self, target: Target, secret: &SealedSecret) -> Result<TargetAccess, DeskError> {
        let bytes = self.keys.unseal(&owner(&target.name), secret)?;
        let text =
            std::str::from_utf8(&bytes).map_err(|_| DeskError::Store("a sealed secret is no text".to_owned()))?;
        Ok(TargetAccess { target, password: Arc::from(text) })
    }
}

fn owner(name: &Name) -> String {
    format!("target/{name}")
}

fn missing(name: &Name) -> DeskError {
    DeskError::NotFound { kind: "target", name: name.to_string() }
}

fn check(target: &Target) -> Result<(), DeskError> {
    let wrong = |field: &'static str, message: String| Err(DeskError::Invalid { field, message });
    if !PROTOCOLS.contains(&target.protocol.as_str()) {
        return wrong("protocol", format!("`{}` is not a protocol; known: {}", target.protocol, PROTOCOLS.join(", ")));
    }
    if !TLS_MODES.contains(&target.tls.as_str()) {
        return wrong("tls", format!("`{}` is not a TLS mode; known: {}", target.tls, TLS_MODES.join(", ")));
    }
    if target.host.starts_with('/') && target.tls != "disable" {
        return wrong("tls", "a socket has no TLS; write `disable`".to_owned());
    }
    if target.port == 0 {
        return wrong("port", "`0` is not a port".to_owned());
    }
    for (field, text, most) in
        [("host", &target.host, 255), ("database", &target.database, 63), ("user", &target.user, 63)]
    {
        if text.is_empty() || text.len() > most || text.chars().any(char::is_control) {
            return wrong(field, format!("`{text}` is not a {field}; 1 to {most} bytes, no control characters"));
        }
    }
    match &target.ca_pem {
        Some(pem) if pem.len() > 1 << 20 || !pem.contains("-----BEGIN CERTIFICATE-----") => {
            wrong("ca_pem", "this holds no PEM certificate".to_owned())
        }
        _ => Ok(()),
    }
}
