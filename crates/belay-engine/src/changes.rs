//! Changes to a target that are not made through a client's connection: plans that are applied, changes that are
//! given back.

use crate::{BoxFuture, ControlError, Draft, Keeper, Outcome, RoleSpec};
use belay_change::{ChangeSet, Images, Script};
use belay_model::{ChangeId, Denial};
use std::sync::Arc;

/// What Belay does with the changes of a target. Everything is bounded in time by the limits it is given.
pub trait Changes: Send + Sync {
    /// Runs a plan's script again in one transaction as the grant's role, and commits if exactly the rows change that
    /// the plan shows.
    fn apply(&self, order: Order, keeper: Arc<dyn Keeper>) -> BoxFuture<'_, Result<Applied, ControlError>>;

    /// Gives the rows of a kept change back, in one transaction.
    fn revert(&self, order: Reversion, keeper: Arc<dyn Keeper>) -> BoxFuture<'_, Result<Reverted, ControlError>>;

    /// Drops what a change has moved away instead of dropping it: its time is over. Does nothing where nothing is left.
    fn empty_trash<'a>(
        &'a self,
        database: &'a str,
        change: ChangeId,
        set: &'a ChangeSet,
    ) -> BoxFuture<'a, Result<(), ControlError>>;

    /// How a transaction of this database ended.
    fn outcome<'a>(&'a self, database: &'a str, transaction: &'a str) -> BoxFuture<'a, Result<Outcome, ControlError>>;
}

/// A plan to be applied.
pub struct Order {
    /// The role it runs as.
    pub role: RoleSpec,
    /// What runs.
    pub script: Script,
    /// What has to come of it.
    pub expected: ChangeSet,
}

/// How applying went. Nothing is committed but by `Done`.
pub enum Applied {
    /// Committed, as approved.
    Done {
        /// Its change set's id.
        change: ChangeId,
        /// What changed.
        set: ChangeSet,
    },
    /// Other rows would have changed than the plan shows; rolled back.
    Differs {
        /// What would have changed.
        set: ChangeSet,
        /// Its rows.
        draft: Box<dyn Draft>,
    },
    /// It could not be run, or not be captured; rolled back.
    Refused(Denial),
    /// The connection was lost during COMMIT. What was written is kept under this id.
    Unknown(ChangeId),
}

/// A change to be given back.
pub struct Reversion {
    /// The database.
    pub database: String,
    /// What it changed.
    pub set: ChangeSet,
    /// Its rows.
    pub images: Box<dyn Images>,
    /// Rows that do not stand against it.
    pub leave: Leave,
    /// Only these tables and rows; empty for all.
    pub only: Vec<Only>,
    /// Find out what would happen, and roll back.
    pub dry_run: bool,
    /// Keep a change also where there is nothing left to do, so that it is known; even if it was to be found out only.
    pub mark: bool,
}

/// Which rows are left as they are, instead of giving nothing back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Leave {
    /// Those that have changed since.
    pub conflicts: bool,
    /// Those that are as they were before already, which otherwise count as changed since.
    pub restored: bool,
}

/// A part of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Only {
    /// The table, with or without its schema.
    pub table: String,
    /// Values of its key, as text, one row each; with several key columns joined by commas. Empty for every row.
    pub keys: Vec<String>,
}

/// How giving back went. Nothing is committed but by `Done`.
pub enum Reverted {
    /// Committed; the rows are byte for byte as they were.
    Done {
        /// The revert's own change set, by which it can be given back in turn; `None` where nothing was left to do.
        change: Option<ChangeId>,
        /// What changed.
        set: ChangeSet,
        /// Rows that were left as they are, because they have changed since.
        left: Vec<Conflict>,
    },
    /// What a real run would do; rolled back.
    Would {
        /// What would change.
        set: ChangeSet,
        /// Its rows.
        draft: Box<dyn Draft>,
        /// Rows in the way.
        conflicts: Vec<Conflict>,
    },
    /// Rows have changed since: nothing was done.
    Conflicts {
        /// Some of them.
        rows: Vec<Conflict>,
        /// Some are as they were before already, and would not be in the way with [`Leave::restored`].
        restored: bool,
    },
    /// It cannot be done; nothing was done.
    Refused(Denial),
    /// The connection was lost during COMMIT. What was written is kept under this id.
    Unknown(ChangeId),
}

/// One row that is no longer as the change left it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Conflict {
    /// The table, with its schema.
    pub table: String,
    /// The values of its key, as text.
    pub key: Vec<String>,
    /// Why it is one.
    pub why: ConflictKind,
    /// The row before the change; `None` where it was not there.
    pub before: Option<String>,
    /// The row as the change left it.
    pub left: Option<String>,
    /// The row as it is now.
    pub now: Option<String>,
}

/// The kinds of conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictKind {
    /// Somebody changed the row since.
    Changed,
    /// Somebody removed the row since.
    Gone,
    /// Somebody took the key of a row that the change removed.
    Taken,
    /// Rows made since refer to the row, which would go.
    Referenced,
    /// The row that it refers to is gone.
    Orphaned,
}
