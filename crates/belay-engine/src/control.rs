//! The control side of a target: what Belay does there in its own name.

use crate::{BoxFuture, Changes};
use belay_model::{Bounds, Effects, Mask, MaskKind, Resource, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// The role that a grant needs in the target.
#[derive(Debug, Clone)]
pub struct RoleSpec {
    /// Its name, unique to the grant and this gateway.
    pub name: String,
    /// What is written beside it in the target, for the people there.
    pub comment: String,
    /// When it ends by itself.
    pub valid_until: Timestamp,
    /// How many connections it may have.
    pub connection_limit: u32,
    /// The effects it may have.
    pub effects: Effects,
    /// The resources; those of `database` are granted.
    pub resources: Vec<Resource>,
    /// Functions, row filters and budgets.
    pub bounds: Bounds,
    /// The target's masks: a withheld column is not granted.
    pub masks: Vec<Mask>,
    /// The database that is being connected to.
    pub database: String,
}

/// What Belay does in a target.
pub trait Control: Send + Sync {
    /// Whether the target can keep what the spec says. Leaves nothing behind; its name is not looked at.
    fn feasible<'a>(&'a self, spec: &'a RoleSpec) -> BoxFuture<'a, Result<Feasibility, ControlError>>;

    /// Columns that look as if they should be masked, by name and type; no row is read, and nothing is decided.
    fn sensitive_columns(&self) -> BoxFuture<'_, Result<Vec<Suspect>, ControlError>>;

    /// Makes the role, or puts its privileges right again, and returns its password, which only this process knows.
    fn ensure_role<'a>(&'a self, spec: &'a RoleSpec) -> BoxFuture<'a, Result<Arc<str>, ControlError>>;

    /// Ends everything of the role: no new logins, statements cancelled, back ends terminated and seen to be
    /// gone, role dropped. Returns how many back ends were ended. Idempotent: a role that is not there is fine.
    fn end_role<'a>(&'a self, role: &'a str) -> BoxFuture<'a, Result<u32, ControlError>>;

    /// Ends the role's back ends and leaves the role: for sessions that must start anew.
    fn end_backends<'a>(&'a self, role: &'a str) -> BoxFuture<'a, Result<u32, ControlError>>;

    /// Cancels, then terminates one back end, if it still belongs to `role`.
    fn end_backend<'a>(&'a self, role: &'a str, backend: i32) -> BoxFuture<'a, Result<(), ControlError>>;

    /// Cancels the statement that one back end runs, if it still belongs to `role`. What comes after is not hit.
    fn cancel_backend<'a>(&'a self, role: &'a str, backend: i32) -> BoxFuture<'a, Result<(), ControlError>>;

    /// How long one back end of `role` has been waiting for a lock, if it is.
    fn lock_wait<'a>(&'a self, role: &'a str, backend: i32) -> BoxFuture<'a, Result<Option<Duration>, ControlError>>;

    /// Every role in the target whose name begins with `prefix`, and every role that has left something behind.
    fn roles<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, ControlError>>;

    /// Arms a table of the target's own database: a trigger writes down what sessions of Belay's change in it.
    fn arm<'a>(&'a self, schema: &'a str, table: &'a str) -> BoxFuture<'a, Result<Arming, ControlError>>;

    /// Disarms it.
    fn disarm<'a>(&'a self, schema: &'a str, table: &'a str) -> BoxFuture<'a, Result<Arming, ControlError>>;

    /// The tables that are armed.
    fn armed(&self) -> BoxFuture<'_, Result<Vec<ArmedTable>, ControlError>>;

    /// Which protection layers are active.
    fn check(&self) -> BoxFuture<'_, Result<Report, ControlError>>;

    /// What writes do here: applies plans, gives rows back, tells how a transaction ended.
    fn changes(&self) -> &dyn Changes;
}

/// Whether a target can keep what is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Feasibility {
    /// What stands against it, in words for the person who asks. Empty where nothing does.
    pub against: Vec<String>,
    /// What the person who asks should know.
    pub notes: Vec<String>,
    /// The resources with each pattern replaced by the tables that it covers at this moment.
    pub existing: Vec<Resource>,
}

/// What came of arming a table, or of disarming it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arming {
    /// It is done.
    Done,
    /// Nothing has changed.
    Refused {
        /// What stands in the way.
        what: String,
        /// What to do instead.
        instead: String,
    },
}

/// A table that was armed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArmedTable {
    /// The table, by schema and name.
    pub table: String,
    /// Whether its trigger is as it was made. Otherwise the table counts as not armed.
    pub sound: bool,
}

/// A column that looks as if it should be masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    /// The column.
    pub column: Resource,
    /// Its type.
    pub type_name: String,
    /// What it seems to hold: `an e-mail address`.
    pub holds: &'static str,
    /// The mask that would suit.
    pub kind: MaskKind,
}

/// What went wrong in the target.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct ControlError {
    /// Whose fault it is.
    pub failure: ControlFailure,
    /// For the operator; holds no secret.
    pub message: String,
}

/// The kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlFailure {
    /// The target could not be reached in time.
    Unreachable,
    /// The control user lacks a right.
    Forbidden,
    /// Anything else.
    Other,
}

/// What `belay target check` prints.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Report {
    /// The server, in its own words: `PostgreSQL 15.18`.
    pub server: String,
    /// The layers, in the order they act.
    pub layers: Vec<Layer>,
}

/// One protection layer in a target.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Layer {
    /// What it is.
    pub name: String,
    /// Whether it is active.
    pub state: LayerState,
    /// What was seen, or what is missing.
    pub detail: String,
    /// SQL that would make it active, to be run by the target's owner.
    pub sql: Vec<String>,
}

/// Whether a protection layer is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerState {
    /// Active.
    Ok,
    /// Not active, and it should be.
    Missing,
    /// Not active, and this target can do without: it cannot have it, or nothing would be gained.
    Optional,
}

impl LayerState {
    /// The word for this state.
    pub fn word(self) -> &'static str {
        match self {
            LayerState::Ok => "ok",
            LayerState::Missing => "missing",
            LayerState::Optional => "optional",
        }
    }
}
