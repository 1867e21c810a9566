//! Who somebody is: names and passwords, kept here until another source of identity takes over.
//!
//! Does not say what a person may do. API tokens are the desk's.

use crate::secrets::SecretError;
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use belay_engine::BoxFuture;
use belay_model::{Name, Principal, Span, Timestamp};
use belay_store::{Store, StoreError};
use secrecy::{ExposeSecret, SecretString};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Where people are known.
pub trait Identity: Send + Sync {
    /// Who has this name and password.
    fn authenticate<'a>(
        &'a self,
        name: &'a str,
        password: &'a SecretString,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Principal, LoginError>>;
}

/// Why a login with a password failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// Name or password are wrong, or the person is disabled.
    #[error("login refused")]
    Wrong,
    /// Too many failures with this name, or too many logins at once.
    #[error("too many failed logins")]
    Throttled(Span),
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The people in Belay's own store.
pub struct LocalPeople {
    store: Arc<Store>,
    throttle: Throttle,
    /// Argon2 takes 19 MiB and a core for each login; more at once would be a way to stop the gateway.
    slots: Arc<Semaphore>,
    /// What the passwords of unknown people are checked against, so that they take as long.
    nobody: String,
}

const LOGINS_AT_ONCE: usize = 2;
const WAIT_FOR_SLOT: Duration = Duration::from_secs(10);

impl LocalPeople {
    /// The people of this store.
    pub fn new(store: Arc<Store>) -> Result<LocalPeople, SecretError> {
        let nobody = hash_now("nobody has this password")?;
        let slots = Arc::new(Semaphore::new(LOGINS_AT_ONCE));
        Ok(LocalPeople { store, throttle: Throttle::default(), slots, nobody })
    }

    /// The hash to store for a new password.
    pub async fn hash(&self, password: &SecretString) -> Result<String, SecretError> {
        let password = password.clone();
        self.in_slot(move || hash_now(password.expose_secret())).await.unwrap_or(Err(SecretError::Library))
    }

    async fn verify(&self, password: &SecretString, hash: String) -> Result<bool, LoginError> {
        let password = password.clone();
        let check = move || {
            PasswordHash::new(&hash)
                .is_ok_and(|hash| Argon2::default().verify_password(password.expose_secret().as_bytes(), &hash).is_ok())
        };
        self.in_slot(check).await.ok_or(LoginError::Throttled(Span::from_seconds(10)))
    }

    /// Runs costly work on a thread of its own; `None` when no slot came free in time.
    async fn in_slot<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let slot = tokio::time::timeout(WAIT_FOR_SLOT, Arc::clone(&self.slots).acquire_owned()).await.ok()?.ok()?;
        let work = move || {
            let done = work();
            drop(slot);
            done
        };
        tokio::task::spawn_blocking(work).await.ok()
    }

    async fn known(&self, name: &Name) -> Result<(Option<Principal>, String), StoreError> {
        let mut reader = self.store.reader().await?;
        let hash = reader.look().password_hash(name).await?;
        let user = reader.look().user(name).await?;
        Ok(match hash {
            Some(hash) => (user.map(|user| user.principal()), hash),
            None => (None, self.nobody.clone()),
        })
    }
}

impl Identity for LocalPeople {
    fn authenticate<'a>(
        &'a self,
        name: &'a str,
        password: &'a SecretString,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Principal, LoginError>> {
        Box::pin(async move {
            let name: Name = name.parse().map_err(|_| LoginError::Wrong)?;
            self.throttle.count(&name, now).map_err(LoginError::Throttled)?;
            let (principal, hash) = self.known(&name).await?;
            let right = self.verify(password, hash).await?;
            match principal {
                Some(principal) if right && !principal.disabled => {
                    self.throttle.forget(&name);
                    Ok(principal)
                }
                _ => Err(LoginError::Wrong),
            }
        })
    }
}

fn hash_now(password: &str) -> Result<String, SecretError> {
    // Argon2id with the parameters RFC 9106 is content with for interactive use, and a random salt.
    let hash: PasswordHash = Argon2::default().hash_password(password.as_bytes()).map_err(|_| SecretError::Library)?;
    Ok(hash.to_string())
}

/// Failed logins by name. After five, each costs a wait that doubles up to a minute.
#[derive(Default)]
struct Throttle {
    failures: Mutex<HashMap<Name, Failures>>,
}

struct Failures {
    count: u32,
    last: Timestamp,
}

impl Throttle {
    const NAMES: usize = 4_096;
    const FREE: u32 = 5;
    const LONGEST: u32 = 60;
    const FORGOTTEN_AFTER: Span = Span::from_seconds(15 * 60);

    /// Counts a try as failed before it is made, so that tries side by side count too; or says how long to wait.
    fn count(&self, name: &Name, now: Timestamp) -> Result<(), Span> {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.get(name).is_some_and(|failed| failed.last.plus(Self::FORGOTTEN_AFTER) <= now) {
            failures.remove(name);
        }
        if let Some(failed) = failures.get_mut(name) {
            let free_at = failed.last.plus(wait_after(failed.count));
            if now < free_at {
                let seconds = now.until(free_at).as_secs().saturating_add(1);
                return Err(Span::from_seconds(u32::try_from(seconds).unwrap_or(Self::LONGEST)));
            }
            failed.count = failed.count.saturating_add(1);
            failed.last = now;
            return Ok(());
        }
        if failures.len() >= Self::NAMES {
            let oldest = failures.iter().min_by_key(|(_, failed)| failed.last).map(|(name, _)| name.clone());
            oldest.map(|name| failures.remove(&name));
        }
        failures.insert(name.clone(), Failures { count: 1, last: now });
        Ok(())
    }

    fn forget(&self, name: &Name) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

fn wait_after(failures: u32) -> Span {
    match failures.checked_sub(Throttle::FREE) {
        None => Span::from_seconds(0),
        Some(over) => Span::from_seconds(1_u32.checked_shl(over).unwrap_or(u32::MAX).min(Throttle::LONGEST)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_five_failures_each_try_costs_a_wait_that_doubles_up_to_a_minute() {
        let throttle = Throttle::default();
        let eve: Name = "eve".parse().unwrap();
        let at = |seconds: i64| Timestamp(seconds * 1_000_000);
        for _ in 0..5 {
            assert!(throttle.count(&eve, at(0)).is_ok());
        }
        assert_eq!(throttle.count(&eve, at(0)), Err(Span::from_seconds(2)));
        assert!(throttle.count(&eve, at(1)).is_ok());
        assert!(throttle.count(&eve, at(2)).is_err());
        assert!(throttle.count(&eve, at(3)).is_ok());
        assert_eq!(wait_after(40), Span::from_seconds(60));
        assert!(throttle.count(&"bob".parse().unwrap(), at(3)).is_ok(), "another name is not held up");
        assert!(throttle.count(&eve, at(3 + 15 * 60)).is_ok());
    }

    #[test]
    fn the_throttle_holds_a_bounded_number_of_names() {
        let throttle = Throttle::default();
        for number in 0..Throttle::NAMES + 100 {
            let name: Name = format!("n{number}").parse().unwrap();
            throttle.count(&name, Timestamp(i64::try_from(number).unwrap())).unwrap();
        }
        assert_eq!(throttle.failures.lock().unwrap().len(), Throttle::NAMES);
    }
}
