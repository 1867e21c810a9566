//! A policy that had a say in a decision.

use serde::{Deserialize, Serialize};

/// A policy that decided, by its id, with its author's reason.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Deciding {
    /// Its `@id`.
    pub policy: String,
    /// Its `@reason`.
    pub reason: String,
}
