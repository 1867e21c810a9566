//! What a statement does to the world.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What a statement does, by its worst part.
///
/// The order is the order of severity: a message of several statements has the effect of its worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Changes only the client's own session: `BEGIN`, `SET DateStyle`, `DEALLOCATE`.
    Session,
    /// Reads data and changes nothing.
    Read,
    /// Changes rows, or asks for the right to.
    Write,
    /// Changes the definition of something: `CREATE`, `ALTER`, `DROP`.
    Definition,
    /// Changes who may do what, a guarded setting, or another session.
    Privilege,
    /// Could not be understood. Always denied.
    Opaque,
}

impl Effect {
    /// The word for this effect.
    pub fn word(self) -> &'static str {
        match self {
            Effect::Session => "session",
            Effect::Read => "read",
            Effect::Write => "write",
            Effect::Definition => "definition",
            Effect::Privilege => "privilege",
            Effect::Opaque => "opaque",
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A word that is no effect one can ask for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an effect; known: read, write, direct, all")]
pub struct UnknownEffect(pub String);

impl FromStr for Effect {
    type Err = UnknownEffect;
    fn from_str(text: &str) -> Result<Effect, UnknownEffect> {
        match text {
            "read" => Ok(Effect::Read),
            "write" => Ok(Effect::Write),
            other => Err(UnknownEffect(other.to_owned())),
        }
    }
}

/// The effects a grant allows. Session effects come with every grant.
#[allow(clippy::struct_excessive_bools, reason = "each effect is there or not, whatever the others are")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Effects {
    /// Reading rows.
    pub read: bool,
    /// Changing rows.
    pub write: bool,
    /// Changing rows at once, captured and revertible, instead of planning the change for approval. Means `write` too.
    #[serde(default)]
    pub direct: bool,
    /// Everything, unjudged: what an administrator's own login could do, on the record and until the grant ends.
    pub all: bool,
}

impl Effects {
    /// Reads and nothing else: the default.
    pub const READ: Effects = Effects { read: true, write: false, direct: false, all: false };
    /// Reads, and writes that are planned and applied after approval.
    pub const WRITE: Effects = Effects { read: true, write: true, direct: false, all: false };
    /// Reads, and writes that take effect at once.
    pub const DIRECT: Effects = Effects { read: true, write: true, direct: true, all: false };
    /// Everything, unjudged.
    pub const ALL: Effects = Effects { read: true, write: true, direct: false, all: true };

    /// Whether everything `self` allows is allowed by `other` too.
    pub fn within(self, other: Effects) -> bool {
        other.all
            || (!self.read || other.read) && (!self.write || other.write) && (!self.direct || other.direct) && !self.all
    }

    /// The set with `effect` added; effects that no grant can carry change nothing.
    #[must_use]
    pub fn with(mut self, effect: Effect) -> Effects {
        match effect {
            Effect::Read => self.read = true,
            Effect::Write => self.write = true,
            Effect::Session | Effect::Definition | Effect::Privilege | Effect::Opaque => {}
        }
        self
    }

    /// True when nothing is allowed.
    pub fn is_empty(self) -> bool {
        !self.read && !self.write && !self.all
    }
}

impl fmt::Display for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.all, self.read, self.write, self.direct) {
            (true, _, _, _) => "all",
            (false, true, true, true) => "read,direct",
            (false, false, true, true) => "direct",
            (false, true, true, false) => "read,write",
            (false, true, false, _) => "read",
            (false, false, true, false) => "write",
            (false, false, false, _) => "none",
        })
    }
}
