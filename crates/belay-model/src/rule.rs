//! Rules of the default policy: who gets what at once, and who approves the rest.

use crate::{Effects, Name, RuleId, Span, Timestamp};
use serde::{Deserialize, Serialize};

/// The hours of a day in UTC, from `from` (included) to `to` (excluded); it may run over midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hours {
    /// First minute of the day, 0 to 1439.
    pub from_minute: u16,
    /// Minute after the last, 0 to 1440.
    pub to_minute: u16,
}

impl Hours {
    /// Whether `at` falls inside.
    pub fn contains(self, at: Timestamp) -> bool {
        let minute = u16::try_from(at.0.div_euclid(60_000_000).rem_euclid(1440)).unwrap_or(0);
        if self.from_minute <= self.to_minute {
            (self.from_minute..self.to_minute).contains(&minute)
        } else {
            minute >= self.from_minute || minute < self.to_minute
        }
    }
}

/// A rule that an administrator wrote. A request takes the first rule, by id, that matches it;
/// where none matches, one approval is needed and no extension is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its id.
    pub id: RuleId,
    /// The targets it speaks of; `None` for every target.
    pub target: Option<Name>,
    /// The group the requester must be in; `None` for everybody.
    pub group: Option<Name>,
    /// When it holds; `None` for always.
    pub hours: Option<Hours>,
    /// The effects a request may ask for under this rule.
    pub effects: Effects,
    /// The longest grant under this rule.
    pub max_duration: Span,
    /// The most rows that one transaction of a grant under this rule may be asked to change at once.
    pub max_changed_rows: u64,
    /// How many distinct people must approve; 0 grants at once.
    pub approvals: u8,
    /// Whether a grant under this rule may be extended once, by at most its own length.
    pub extendable: bool,
    /// Whether the ledger keeps bind values of statements under this rule.
    pub record_values: bool,
}
