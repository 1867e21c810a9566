//! Passwords of the roles, which only this process knows.

use super::fault::other;
use belay_engine::ControlError;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// More roles than one gateway has live grants in a target.
const MOST: usize = 100_000;

/// The passwords by role. They are made at random, live in memory only, and end with the role or the process.
#[derive(Default)]
pub(super) struct Passwords {
    known: Mutex<HashMap<String, Arc<Password>>>,
}

/// One role's password, and whether the target has been told its verifier.
pub(super) struct Password {
    secret: Arc<str>,
    set: AtomicBool,
}

impl Passwords {
    /// The password of a role, made at its first use.
    pub(super) fn of(&self, role: &str) -> Result<Arc<Password>, ControlError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(password) = known.get(role) {
            return Ok(Arc::clone(password));
        }
        if known.len() >= MOST {
            return Err(other(format!("more than {MOST} roles are live in this target")));
        }
        let password = Arc::new(Password::random()?);
        known.insert(role.to_owned(), Arc::clone(&password));
        Ok(password)
    }

    /// Forgets a role that ends.
    pub(super) fn forget(&self, role: &str) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(role);
    }
}

impl Password {
    fn random() -> Result<Password, ControlError> {
        let mut bytes = [0_u8; 32];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| other("no randomness for a password"))?;
        let mut text = String::with_capacity(64);
        for byte in bytes {
            let _ = write!(text, "{byte:02x}");
        }
        Ok(Password { secret: text.into(), set: AtomicBool::new(false) })
    }

    /// The password, for the login.
    pub(super) fn reveal(&self) -> Arc<str> {
        Arc::clone(&self.secret)
    }

    /// What the target keeps instead of the password: a SCRAM-SHA-256 verifier.
    pub(super) fn verifier(&self) -> String {
        postgres_protocol::password::scram_sha_256(self.secret.as_bytes())
    }

    /// Whether the target has it.
    pub(super) fn is_set(&self) -> bool {
        self.set.load(Ordering::Acquire)
    }

    /// The target has it.
    pub(super) fn mark_set(&self) {
        self.set.store(true, Ordering::Release);
    }
}
