//! Which segments the archive has, for those who delete what is here.

use belay_ledger::Hash;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The segments that were found in the archive when it was compared last, each with the content that it was given.
#[derive(Debug, Clone, Default)]
pub struct Archived {
    found: Arc<Mutex<BTreeMap<String, Hash>>>,
}

impl Archived {
    /// Whether the archive has a segment of this name and SHA-256.
    pub(in crate::ledger) fn has(&self, name: &str, hash: Hash) -> bool {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).get(name) == Some(&hash)
    }

    /// What a comparison found; nothing where it failed.
    pub(super) fn set(&self, found: BTreeMap<String, Hash>) {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }
}
