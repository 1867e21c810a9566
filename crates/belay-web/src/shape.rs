//! The shapes of the API's JSON, one file per resource. The command line reads the same shapes.
//!
//! `snake_case`, times in RFC 3339 UTC, `kind` and `api_version` on every object.

mod access;
mod archive;
mod audit;
mod bounds;
mod change;
mod erasure;
mod events;
mod gateway;
mod grant;
mod hold;
mod ledger_key;
mod mask;
mod person;
mod request;
mod rows;
mod rule;
mod session;
mod target;
mod time;

pub use access::{Because, Can, CanAnswer, NearestChange, Policy};
pub use archive::LedgerArchive;
pub use audit::{AuditEntry, AuditPage, SessionKeys, Verification};
pub use bounds::{Bounds, Budgets, RowFilter};
pub use change::{
    ApprovePlan, ChangedTable, KeptChange, Plan, Revert, RevertOwn, RevertPart, TableLock, Trial, WriteOutcome,
};
pub use erasure::{Erasure, NewErasure};
pub use events::EventOutput;
pub use gateway::{Gateway, Me};
pub use grant::{Extend, Grant, GrantToken, Narrow, Review};
pub use hold::{Hold, NewHold};
pub use ledger_key::{LedgerCheckpoint, LedgerKey, RecordProof};
pub use mask::{Mask, MaskOfGrant, MaskSuggestion, NewMask};
pub use person::{ApiToken, LoggedIn, Login, NewApiToken, NewUser, Password, User, UserChange, UserWithToken};
pub use request::{Deny, GrantOfRequest, NewRequest, Request};
pub use rows::{ChangedRow, PageOfRows, RowConflict, RowOfTable, Rows, RowsOfTable, Statement, TableOfRows};
pub(crate) use rule::hours;
pub use rule::{NewRule, Rule};
pub use session::{Connection, Ended, Session};
pub use target::{ArmTable, ArmedTable, Layer, NewTarget, Target, TargetReport};
pub use time::Time;

use crate::Problem;
use belay_model::{Effect, Effects, Pattern, Resource};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The version of all shapes.
pub const API_VERSION: &str = "v1";

/// The word for every effect, unjudged.
const ALL: &str = "all";
/// The word for writes that take effect at once.
const DIRECT: &str = "direct";

/// What an object is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Head {
    /// The kind of object.
    pub kind: String,
    /// The version of its shape.
    pub api_version: String,
}

impl Head {
    pub(crate) fn of(kind: &str) -> Head {
        Head { kind: kind.to_owned(), api_version: API_VERSION.to_owned() }
    }
}

/// Several objects of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct List<T> {
    /// What it is.
    #[serde(flatten)]
    pub head: Head,
    /// The objects.
    pub items: Vec<T>,
}

impl<T> List<T> {
    pub(crate) fn of(kind: &str, items: impl IntoIterator<Item = T>) -> List<T> {
        List { head: Head::of(&format!("{kind}_list")), items: items.into_iter().collect() }
    }
}

pub(crate) fn words(effects: Effects) -> Vec<String> {
    if effects.all {
        return vec![ALL.to_owned()];
    }
    [(effects.read, "read"), (effects.write, "write"), (effects.direct, DIRECT)]
        .into_iter()
        .filter(|(on, _)| *on)
        .map(|(_, word)| word.to_owned())
        .collect()
}

/// `None` when nothing was said.
pub(crate) fn effects(words: &[String]) -> Result<Option<Effects>, Problem> {
    let mut effects = Effects::default();
    for word in words {
        if word == ALL {
            effects = Effects::ALL;
            continue;
        }
        if word == DIRECT {
            effects = Effects { all: effects.all, ..Effects::DIRECT };
            continue;
        }
        effects = effects.with(word.parse::<Effect>().map_err(|error| Problem::invalid("effects", error.to_string()))?);
    }
    Ok((!words.is_empty()).then_some(effects))
}

pub(crate) fn paths(resources: &[Resource]) -> Vec<String> {
    resources.iter().map(ToString::to_string).collect()
}

/// Whether tables that are made later are covered: a pattern covers them.
pub(crate) fn covers_new_tables(resources: &[Resource]) -> bool {
    let exact = |pattern: &Pattern| matches!(pattern, Pattern::Exact(_));
    !resources.iter().all(|resource| exact(&resource.schema) && exact(&resource.table))
}

/// The word that serde writes for a state or a reason.
pub(crate) fn word(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}
