//! One statement, as the engine understood it.

use crate::{Code, Effect, Relation};
use serde::{Deserialize, Serialize};

/// What the engine's grammar says of one statement. Holds no bytes of the protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// The worst thing it does.
    pub effect: Effect,
    /// Its name in the protocol's words: `SELECT`, `UPDATE`, `SET ROLE`.
    pub verb: String,
    /// The relations it names, in the order they are met.
    pub relations: Vec<Relation>,
    /// Why the effect is what it is, where the verb alone doesn't say it:
    /// "calls `lo_unlink`, which is not known to be free of side effects".
    pub because: Option<String>,
    /// The code to answer with if it is denied, where the effect alone doesn't settle it.
    pub code: Option<Code>,
}

impl Statement {
    /// A statement of this effect with nothing more to say of it.
    pub fn new(effect: Effect, verb: impl Into<String>) -> Statement {
        Statement { effect, verb: verb.into(), relations: Vec::new(), because: None, code: None }
    }
}
