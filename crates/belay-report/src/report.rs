//! What a report says. Times are RFC 3339 in UTC; `record` is the number of the record that says so.

use belay_ledger::Cut;
use belay_model::{BindValue, ChangedTable};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A report.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The whole in a few figures.
    pub summary: Summary,
    /// Who asked for what and why, and who decided.
    pub request: Option<Request>,
    /// What was given.
    pub grants: Vec<Grant>,
    /// What was done, connection by connection.
    pub sessions: Vec<Session>,
    /// Writes that were tried, to be approved.
    pub plans: Vec<Plan>,
    /// Rows that were changed, and what gave them back.
    pub changes: Vec<Change>,
    /// Committed changes that nobody has given back, or only in part.
    pub not_given_back: Vec<Left>,
}

/// The whole in a few figures.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Who asked.
    pub who: Option<String>,
    /// The target.
    pub target: Option<String>,
    /// Who approved the request.
    pub approved_by: Vec<String>,
    /// When the first record was made.
    pub from: Option<String>,
    /// When the last one was.
    pub until: Option<String>,
    /// Statements that came.
    pub statements: u64,
    /// Of these, refused.
    pub refused: u64,
    /// Of these, failed in the target or stopped. Those that became plans are not counted.
    pub failed: u64,
    /// Changes that were committed, without those that only give others back.
    pub changes: u64,
    /// Rows of these.
    pub rows_changed: u64,
    /// Rows of these that are not given back.
    pub rows_not_given_back: u64,
}

/// An act with the fields that its record has, as in the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The record.
    pub record: u64,
    /// When.
    pub at: String,
    /// Who; absent for the gateway itself.
    pub who: Option<String>,
    /// What: the kind of the record.
    pub act: String,
    /// The rest of it.
    pub fields: Map<String, Value>,
}

/// An access request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Its id.
    pub id: String,
    /// The record.
    pub record: u64,
    /// When it was made.
    pub at: String,
    /// By whom.
    pub who: Option<String>,
    /// For which target.
    pub target: Option<String>,
    /// Why.
    pub reason: String,
    /// What was to be done: `read`, `write`, `direct`, `all`.
    pub effects: Vec<String>,
    /// With what.
    pub resources: Vec<String>,
    /// Within what, in words; empty where nothing was said.
    pub bounds: String,
    /// For how long.
    pub seconds: u32,
    /// In an emergency: at once, to be reviewed afterwards.
    pub break_glass: bool,
    /// The rule that it falls under.
    pub rule: Option<String>,
    /// What became of it.
    pub steps: Vec<Step>,
}

/// What was given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Its id.
    pub id: String,
    /// The record.
    pub record: u64,
    /// When it was given.
    pub at: String,
    /// When it was to end.
    pub ends_at: String,
    /// By when it was to be used first.
    pub use_by: String,
    /// What became of it: extended, narrowed, ended, reviewed.
    pub steps: Vec<Step>,
}

/// A session: all connections at one time under a grant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// Its id.
    pub id: String,
    /// The grant.
    pub grant: Option<String>,
    /// Its connections.
    pub connections: Vec<Connection>,
    /// How it ended, and whatever else is recorded of it.
    pub steps: Vec<Step>,
}

/// A connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// Its id.
    pub id: String,
    /// Login and end.
    pub steps: Vec<Step>,
    /// What was sent through it.
    pub statements: Vec<Statement>,
}

/// A statement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// The record.
    pub record: u64,
    /// When it came.
    pub at: String,
    /// Its number in the connection.
    pub number: u64,
    /// Its text.
    pub text: String,
    /// Its bind values, where the rule keeps them.
    pub values: Option<Vec<BindValue>>,
    /// What it does: `read`, `write`, ...
    pub effect: String,
    /// The code of the refusal; absent where it was permitted.
    pub refused: Option<String>,
    /// Why, where more is known than the code says.
    pub because: Option<String>,
    /// What was left out of the record because it was too long.
    pub cut: Option<Cut>,
    /// How it ended; absent where that is not recorded.
    pub outcome: Option<Ended>,
    /// The plan that was made of what it changed. Its client was told so by an error.
    pub plan: Option<String>,
    /// The change that was committed after it, on its connection.
    pub change: Option<String>,
}

/// How a statement ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ended {
    /// The record.
    pub record: u64,
    /// Rows returned or touched.
    pub rows: Option<u64>,
    /// Bytes returned.
    pub bytes: Option<u64>,
    /// The SQLSTATE of its error.
    pub sqlstate: Option<String>,
    /// The budget that stopped it.
    pub stopped: Option<String>,
    /// It was never run.
    pub skipped: bool,
    /// How long it took.
    pub micros: u64,
}

/// A write that was tried and rolled back, to be approved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Its id.
    pub id: String,
    /// The record.
    pub record: u64,
    /// When it was made.
    pub at: String,
    /// By whom.
    pub who: Option<String>,
    /// The session it was made in.
    pub session: Option<String>,
    /// `pending`, `approved`, `denied`, `lapsed`, `applied`, `replaced`.
    pub state: String,
    /// How many rows would change.
    pub rows: u64,
    /// The same by table.
    pub tables: Vec<ChangedTable>,
    /// What tells its rows from others.
    pub fingerprint: String,
    /// How many people had to say yes.
    pub approvals_needed: u8,
    /// The changes that it gives back.
    pub reverts: Vec<String>,
    /// What became of it.
    pub steps: Vec<Step>,
}

/// Rows that were changed in one transaction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Its id.
    pub id: String,
    /// The record.
    pub record: u64,
    /// When its rows were kept, just before its commit.
    pub at: String,
    /// Whose it is.
    pub who: Option<String>,
    /// The session it belongs to.
    pub session: Option<String>,
    /// The connection and the number of the statement that came last on it before.
    pub connection: Option<String>,
    /// See `connection`.
    pub statement: Option<u64>,
    /// The plan that it applies.
    pub plan: Option<String>,
    /// `kept`, `committed`, `rolled_back`, `unknown`.
    pub state: String,
    /// How many rows changed.
    pub rows: u64,
    /// The same by table, with the keys of the rows.
    pub tables: Vec<ChangedTable>,
    /// What tells its rows from others.
    pub fingerprint: String,
    /// The transaction's number in the target.
    pub transaction: Option<String>,
    /// The changes that it gives back.
    pub reverts: Vec<String>,
    /// It gives back only some of their rows.
    pub partial: bool,
    /// The changes that give it back.
    pub reverted_by: Vec<String>,
    /// The records that say how it ended.
    pub steps: Vec<Step>,
}

/// A change that nobody has given back, or only in part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Left {
    /// The change.
    pub change: String,
    /// As many rows as are not given back.
    pub rows: u64,
    /// By table.
    pub tables: Vec<LeftTable>,
}

/// Rows of a table that are not given back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftTable {
    /// The table.
    pub table: String,
    /// How many.
    pub rows: u64,
    /// Their keys.
    pub keys: Vec<String>,
    /// Some rows have no recorded key: `rows` counts what was changed less what was given back.
    pub by_count: bool,
}
