//! What was forwarded and is not answered yet.

use super::names::{Portal, Prepared};
use belay_model::{Denial, Statement, Timestamp};
use std::sync::Arc;

/// One forwarded message, until the target's answer to it is complete.
#[derive(Debug)]
pub(super) enum Pending {
    /// A simple query; ends with ReadyForQuery.
    Query(Running),
    /// A Parse; the name is known once ParseComplete comes.
    Parse(Box<[u8]>, Arc<Prepared>),
    /// A Bind.
    Bind(Box<[u8]>, Arc<Portal>),
    /// A Describe; ends with RowDescription or NoData.
    Describe,
    /// An Execute.
    Execute(Running),
    /// A Close of a statement (`S`) or portal (`P`).
    Close(u8, Box<[u8]>),
    /// What stands in for a refused message in a batch; its error is replaced.
    Refused(Denial),
    /// What stands in for a refused simple query; its error is replaced, its ReadyForQuery is not.
    RefusedQuery(Denial),
    /// A Sync; ends with ReadyForQuery.
    Sync,
}

/// A statement that runs.
#[derive(Debug)]
pub(super) struct Running {
    /// Its number in the connection.
    pub(super) statement: u64,
    /// When it was sent.
    pub(super) since: Timestamp,
    /// Rows so far, over all statements of the message.
    pub(super) rows: Option<u64>,
    /// The first error's SQLSTATE.
    pub(super) sqlstate: Option<String>,
    /// It may open a transaction, so that `status` may be behind.
    opens: bool,
}

impl Running {
    pub(super) fn new(statement: u64, statements: &[Statement], since: Timestamp) -> Running {
        let opens = statements.iter().any(|statement| OPENING.contains(&statement.verb.as_str()));
        Running { statement, since, rows: None, sqlstate: None, opens }
    }
}

/// The verbs that open a transaction, and the one that may stand for any other.
const OPENING: [&str; 3] = ["BEGIN", "START TRANSACTION", "EXECUTE"];

impl Pending {
    /// Whether the target may be inside a transaction because of it.
    pub(super) fn may_open(&self) -> bool {
        matches!(self, Pending::Query(running) | Pending::Execute(running) if running.opens)
    }

    /// Whether ReadyForQuery is what ends it.
    pub(super) fn ends_with_ready(&self) -> bool {
        matches!(self, Pending::Query(_) | Pending::RefusedQuery(_) | Pending::Sync)
    }
}
