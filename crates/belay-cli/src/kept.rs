//! Tokens of grants that are kept, so that one grant's clients share one token.
//!
//! Claiming a token stops the former one: a second client that claimed anew would end the first one's reconnects.
//! Kept under `grants/`, one private file a grant, with the server's name for the token beside it.

use crate::failure::{Exit, Failure};
use crate::home::Home;
use belay_model::GrantId;
use belay_web::shape::{Grant, GrantToken};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const DIRECTORY: &str = "grants";
const LOCK: &str = "grants/lock";
/// More than a claim takes; whoever holds the lock longer hangs.
const TURNS: u32 = 800;
const TURN: Duration = Duration::from_millis(100);
/// Files that are looked at when the kept tokens are tidied.
const FILES_MOST: usize = 10_000;

/// A token, and which one it is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    token_id: String,
    pub(crate) secret: String,
}

impl From<&GrantToken> for Kept {
    fn from(token: &GrantToken) -> Kept {
        Kept { token_id: token.token_id.clone(), secret: token.secret.clone() }
    }
}

/// The turn of this process to look at, claim and keep tokens.
pub(crate) struct Turn<'a> {
    home: &'a Home,
    _lock: File,
}

impl<'a> Turn<'a> {
    /// Waits until no other process has it.
    pub(crate) async fn take(home: &'a Home) -> Result<Turn<'a>, Failure> {
        let path = home.dir().join(LOCK);
        let unusable = |error: &dyn std::fmt::Display| {
            Failure::new(Exit::Failure, format!("`{}` cannot be used: {error}", path.display()))
        };
        home.make_dir(DIRECTORY)?;
        let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let lock = opened.map_err(|error| unusable(&error))?;
        for _ in 0..TURNS {
            match lock.try_lock() {
                Ok(()) => return Ok(Turn { home, _lock: lock }),
                Err(TryLockError::WouldBlock) => tokio::time::sleep(TURN).await,
                Err(TryLockError::Error(error)) => return Err(unusable(&error)),
            }
        }
        Err(unusable(&"another belay holds it"))
    }

    /// The kept token of `grant`, if it is still the one that opens it.
    pub(crate) fn current(&self, grant: &Grant) -> Option<Kept> {
        let text = std::fs::read_to_string(file(self.home, &grant.id)?).ok()?;
        let kept: Kept = toml::from_str(&text).ok()?;
        (is_live(grant) && grant.token_id.as_ref() == Some(&kept.token_id)).then_some(kept)
    }

    /// Keeps the token that was just claimed for `grant`.
    pub(crate) fn keep(&self, grant: &str, kept: &Kept) -> Result<(), Failure> {
        let wrong = || Failure::new(Exit::Failure, format!("the server speaks of a grant `{grant}`"));
        let id: GrantId = grant.parse().map_err(|_| wrong())?;
        let text = toml::to_string(kept).map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
        self.home.write(&format!("{DIRECTORY}/{id}"), text.as_bytes()).map(drop)
    }
}

/// Forgets the token of a grant that is seen to have ended.
pub(crate) fn forget_if_over(home: &Home, grant: &Grant) {
    if let Some(path) = file(home, &grant.id).filter(|_| !is_live(grant)) {
        let _ = std::fs::remove_file(path);
    }
}

/// Forgets every token but those of the caller's `live` grants.
pub(crate) fn forget_others(home: &Home, live: &[Grant]) {
    let live: Vec<GrantId> = live.iter().filter(|grant| is_live(grant)).filter_map(|g| g.id.parse().ok()).collect();
    let Ok(entries) = std::fs::read_dir(home.dir().join(DIRECTORY)) else { return };
    for path in entries.take(FILES_MOST).flatten().map(|entry| entry.path()) {
        if id_of(&path).is_some_and(|id| !live.contains(&id)) {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn id_of(path: &Path) -> Option<GrantId> {
    // The stem, so that what a write left behind halfway goes too.
    path.file_stem()?.to_str()?.parse().ok()
}

/// Where the token of this grant is; nowhere for what is no id.
fn file(home: &Home, grant: &str) -> Option<PathBuf> {
    let id: GrantId = grant.parse().ok()?;
    Some(home.dir().join(DIRECTORY).join(id.to_string()))
}

fn is_live(grant: &Grant) -> bool {
    matches!(grant.state.as_str(), "ready" | "active")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    pub(crate) fn grant(id: &str, state: &str, token_id: &str) -> Grant {
        serde_json::from_value(serde_json::json!({"kind": "grant", "api_version": "v1", "id": id, "request": "r_1",
            "principal": "ann", "target": "orders", "resources": [], "effects": ["read"], "reason": "x",
            "state": state, "granted_at": "2026-11-30T00:00:00Z", "use_by": "2026-11-30T00:00:00Z",
            "ends_at": "2026-11-30T00:00:00Z", "ended_at": null, "ended_by": null, "extendable": false,
            "record_values": true, "break_glass": false, "reviewed_by": null, "token_id": token_id}))
        .unwrap()
    }

    #[tokio::test]
    async fn a_token_is_used_again_only_while_it_is_the_one_that_opens_the_grant() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        let turn = Turn::take(&home).await.unwrap();
        let kept = Kept { token_id: "0a".to_owned(), secret: "bly_x".to_owned() };
        assert!(turn.current(&grant("g_1", "ready", "0a")).is_none());
        turn.keep("g_1", &kept).unwrap();
        assert_eq!(turn.current(&grant("g_1", "active", "0a")).unwrap().secret, "bly_x");
        assert!(turn.current(&grant("g_1", "active", "0b")).is_none(), "another was claimed elsewhere");
        assert!(turn.current(&grant("g_1", "revoked", "0a")).is_none());
        assert!(turn.current(&grant("g_2", "active", "0a")).is_none());
        let mode = std::fs::metadata(dir.path().join("grants/g_1")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(dir.path().join("grants/g_1"), "damaged").unwrap();
        assert!(turn.current(&grant("g_1", "active", "0a")).is_none());
        assert!(turn.keep("../login", &kept).is_err());
    }

    #[tokio::test]
    async fn tokens_of_ended_grants_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        let turn = Turn::take(&home).await.unwrap();
        let kept = Kept { token_id: "0a".to_owned(), secret: "bly_x".to_owned() };
        for id in ["g_1", "g_2", "g_3"] {
            turn.keep(id, &kept).unwrap();
        }
        forget_if_over(&home, &grant("g_1", "revoked", "0a"));
        forget_if_over(&home, &grant("g_2", "active", "0a"));
        forget_others(&home, &[grant("g_2", "active", "0a"), grant("g_4", "ready", "0a")]);
        let left = |id: &str| dir.path().join("grants").join(id).exists();
        assert_eq!(["g_1", "g_2", "g_3", "lock"].map(left), [false, true, false, true]);
    }
}
