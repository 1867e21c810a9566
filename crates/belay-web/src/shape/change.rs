//! Plans, changes and their rows.

use super::rows::names;
use super::{Head, RowConflict, Rows, Time, word};
use belay_change::{ChangeSet, RevertTrial};
use belay_engine::Conflict;
use belay_server::desk::{ChangeView, PlanView};
use belay_server::vault::{Applying, Reverting};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A write that was tried, kept and rolled back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Plan {
    /// What it is.
    #[serde(flatten)]
    pub head: Head,
    /// Its id.
    pub id: String,
    /// `write`, or `revert` where it gives back what changes have done.
    pub does: String,
    /// `pending`, `approved`, `denied`, `applied`, `lapsed`, `replaced`.
    pub state: String,
    /// Whose it is.
    pub principal: String,
    /// The target.
    pub target: String,
    /// The database in the target.
    pub database: String,
    /// The grant it was made under.
    pub grant: String,
    /// The session it was made in.
    pub session: Option<String>,
    /// When it was made.
    pub made_at: Time,
    /// When it lapses if it is not applied.
    pub expires_at: Time,
    /// What tells its rows from others: approvals are of these.
    pub fingerprint: String,
    /// How many rows would change.
    pub rows: u64,
    /// The same by table.
    pub tables: Vec<ChangedTable>,
    /// Sequences that it moves; they stay moved.
    pub sequences: Vec<String>,
    /// How its trial went; absent where it gives back, or drops a table.
    pub trial: Option<Trial>,
    /// How many distinct people must approve.
    pub approvals_needed: u8,
    /// How many of them are missing.
    pub approvals_missing: u8,
    /// Who approved so far.
    pub approved_by: Vec<String>,
    /// Why it was denied.
    pub denial: Option<String>,
    /// Why it cannot be run again, if it cannot.
    pub unrepeatable: Option<String>,
    /// The change it has become.
    pub applied: Option<String>,
    /// The plan with the rows of a later trial.
    pub replaced_by: Option<String>,
    /// The changes that it gives back.
    pub reverts: Vec<String>,
    /// Whether rows that have changed since are left as they are.
    pub keep_conflicts: bool,
    /// Rows that had changed since when it was made.
    pub conflicts: Vec<RowConflict>,
    /// Whether its rows are still kept.
    pub rows_kept: bool,
}

/// What the trial of a plan has cost the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Trial {
    /// Milliseconds from the beginning of its transaction until its rows had been taken: so long it held its locks at
    /// most.
    pub milliseconds: u64,
    /// Other sessions of the database server that waited for it at its end.
    pub sessions_waiting: u64,
    /// The tables that it held locked, but for the modes of readers.
    pub locks: Vec<TableLock>,
    /// Whether it was given back before it was rolled back, and every row came back byte for byte. Absent in plans of
    /// earlier versions.
    pub revert_proven: Option<bool>,
    /// Why it was not, or why that proves nothing.
    pub revert_untried: Option<String>,
}

/// The locks on a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TableLock {
    /// The table, with its schema.
    pub table: String,
    /// Their modes: `ROW EXCLUSIVE`.
    pub modes: Vec<String>,
}

/// What a committed transaction changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeptChange {
    /// What it is.
    #[serde(flatten)]
    pub head: Head,
    /// Its id.
    pub id: String,
    /// `kept`, `committed`, `rolled_back`, `unknown`.
    pub state: String,
    /// Who made it.
    pub principal: String,
    /// The target.
    pub target: String,
    /// The database in the target.
    pub database: String,
    /// The grant it was made under.
    pub grant: String,
    /// The session it was made in.
    pub session: Option<String>,
    /// The plan that was applied.
    pub plan: Option<String>,
    /// The changes it gives back.
    pub reverts: Vec<String>,
    /// The changes that give it back, or a part of it.
    pub reverted_by: Vec<String>,
    /// When it was made.
    pub made_at: Time,
    /// Until when its rows are kept.
    pub kept_until: Time,
    /// What tells its rows from others.
    pub fingerprint: String,
    /// The transaction's number in the target.
    pub transaction: Option<String>,
    /// How many rows changed.
    pub rows: u64,
    /// The same by table.
    pub tables: Vec<ChangedTable>,
    /// Sequences that it moved; they stay moved.
    pub sequences: Vec<String>,
    /// Whether its rows are still kept: without them it cannot be given back.
    pub rows_kept: bool,
}

/// How many rows of a table change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangedTable {
    /// The table, with its schema.
    pub table: String,
    /// Rows that come.
    pub inserted: u64,
    /// Rows that get another content.
    pub updated: u64,
    /// Rows that go.
    pub deleted: u64,
    /// No statement names the table: a cascade, a trigger or a function writes it.
    pub indirect: bool,
    /// How its rows were found: `key`, `scan`, `armed` (written down by a trigger), `whole`, `trash`.
    pub found_by: String,
    /// Columns whose values are decided when the change is applied.
    pub volatile: Vec<String>,
}

/// What came of applying or of giving back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WriteOutcome {
    /// What it is.
    #[serde(flatten)]
    pub head: Head,
    /// `applied`, `reverted`, `nothing` to give back; `planned`, where somebody has to approve it; `would`, after a dry
    /// run; `differs` or `conflicts`, where rows have changed and nothing was done; `unknown`, where the connection was
    /// lost while it committed.
    pub outcome: String,
    /// The change that did it; where `nothing` is left, the last one that gave some of it back.
    pub change: Option<KeptChange>,
    /// The plan that waits: of giving back, or with the rows that were found instead.
    pub plan: Option<Plan>,
    /// The rows that would change.
    pub rows: Option<Rows>,
    /// The changes that are given back.
    pub reverts: Vec<String>,
    /// Rows that have changed since.
    pub conflicts: Vec<RowConflict>,
    /// Which rows differ from the plan, in words.
    pub differs: Vec<String>,
}

/// A yes to the rows that were shown.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApprovePlan {
    /// The fingerprint of the rows that were looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

/// What is to be given back.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Revert {
    /// Find out what would happen, and leave it at that.
    pub dry_run: bool,
    /// Leave rows that have changed since, instead of giving nothing back.
    pub keep_conflicts: bool,
    /// Only these tables and rows; none for all.
    pub only: Vec<RevertPart>,
    /// Of several changes only those that were made after this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

/// What is to be given back of one's own changes.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevertOwn {
    /// Only those that were made after this.
    pub since: Time,
    /// Only those on this target; needed where there are some on several.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub target: Option<String>,
    /// Find out what would happen, and leave it at that.
    #[serde(default)]
    pub dry_run: bool,
    /// Leave rows that have changed since, instead of giving nothing back.
    #[serde(default)]
    pub keep_conflicts: bool,
    /// Only these tables and rows; none for all.
    #[serde(default)]
    pub only: Vec<RevertPart>,
}

/// A part of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevertPart {
    /// The table, with or without its schema.
    pub table: String,
    /// Values of its key, one row each; with several key columns joined by commas. None for every row.
    #[serde(default)]
    pub keys: Vec<String>,
}

impl From<PlanView> for Plan {
    fn from(view: PlanView) -> Plan {
        let plan = view.plan;
        let revert = view.revert;
        Plan {
            head: Head::of("plan"),
            id: plan.id.to_string(),
            does: word(plan.kind),
            state: word(plan.state),
            principal: plan.principal.to_string(),
            target: plan.target.to_string(),
            database: plan.database,
            grant: plan.grant.to_string(),
            session: plan.session.map(|id| id.to_string()),
            made_at: plan.made_at.into(),
            expires_at: plan.expires_at.into(),
            fingerprint: plan.fingerprint,
            rows: plan.rows,
            tables: tables(&view.set),
            trial: trial(&view.set),
            sequences: view.set.sequences,
            approvals_needed: plan.approvals_needed,
            approvals_missing: view.missing,
            approved_by: plan.approvals.iter().map(|yes| yes.approver.to_string()).collect(),
            denial: plan.denial,
            unrepeatable: plan.unrepeatable,
            applied: plan.applied.map(|id| id.to_string()),
            replaced_by: plan.replaced_by.map(|id| id.to_string()),
            reverts: revert.iter().flat_map(|order| &order.changes).map(ToString::to_string).collect(),
            keep_conflicts: revert.as_ref().is_some_and(|order| order.keep_conflicts),
            conflicts: revert.map(|order| order.conflicts).unwrap_or_default().into_iter().map(Into::into).collect(),
            rows_kept: view.rows_kept,
        }
    }
}

impl From<ChangeView> for KeptChange {
    fn from(view: ChangeView) -> KeptChange {
        let change = view.change;
        KeptChange {
            head: Head::of("change"),
            id: change.id.to_string(),
            state: word(change.state),
            principal: change.principal.to_string(),
            target: change.target.to_string(),
            database: change.database,
            grant: change.grant.to_string(),
            session: change.session.map(|id| id.to_string()),
            plan: change.plan.map(|id| id.to_string()),
            reverts: change.reverts.iter().map(ToString::to_string).collect(),
            reverted_by: view.reverted_by.iter().map(ToString::to_string).collect(),
            made_at: change.made_at.into(),
            kept_until: change.expires_at.into(),
            fingerprint: change.fingerprint,
            transaction: change.transaction,
            rows: change.rows,
            tables: tables(&view.set),
            sequences: view.set.sequences,
            rows_kept: view.rows_kept,
        }
    }
}

fn trial(set: &ChangeSet) -> Option<Trial> {
    let lock = |lock: &belay_change::TableLock| TableLock { table: lock.table.clone(), modes: lock.modes.clone() };
    set.trial.as_ref().map(|trial| Trial {
        milliseconds: trial.micros.div_ceil(1_000),
        sessions_waiting: trial.waiting,
        locks: set.locks.iter().map(lock).collect(),
        revert_proven: trial.revert.as_ref().map(|revert| *revert == RevertTrial::Proven),
        revert_untried: match &trial.revert {
            Some(RevertTrial::Untried(why)) => Some(why.clone()),
            _ => None,
        },
    })
}

fn tables(set: &ChangeSet) -> Vec<ChangedTable> {
    let of = |change: &belay_change::TableChange| ChangedTable {
        table: format!("{}.{}", change.table.schema, change.table.name),
        inserted: change.inserted,
        updated: change.updated,
        deleted: change.deleted,
        indirect: change.indirect,
        found_by: word(change.means),
        volatile: names(&change.table, &change.volatile),
    };
    set.tables.iter().map(of).collect()
}

impl WriteOutcome {
    fn new(outcome: &str) -> WriteOutcome {
        WriteOutcome {
            head: Head::of("write_outcome"),
            outcome: outcome.to_owned(),
            change: None,
            plan: None,
            rows: None,
            reverts: Vec::new(),
            conflicts: Vec::new(),
            differs: Vec::new(),
        }
    }

    /// What came of applying; an error where it was refused.
    pub(crate) fn of_applying(applying: Applying) -> Result<WriteOutcome, belay_model::Denial> {
        Ok(match applying {
            Applying::Done(change) => WriteOutcome { change: Some((*change).into()), ..WriteOutcome::new("applied") },
            Applying::Reverted(reverting) => return WriteOutcome::of_reverting(*reverting),
            Applying::Differs { instead, rows, .. } => {
                WriteOutcome { plan: Some((*instead).into()), differs: rows, ..WriteOutcome::new("differs") }
            }
            Applying::Refused(denial) => return Err(denial),
            Applying::Unknown(change) => {
                WriteOutcome { change: Some((*change).into()), ..WriteOutcome::new("unknown") }
            }
        })
    }

    /// What came of giving back; an error where it was refused.
    pub(crate) fn of_reverting(reverting: Reverting) -> Result<WriteOutcome, belay_model::Denial> {
        let ids = |ids: Vec<belay_model::ChangeId>| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
        let conflicts = |rows: Vec<Conflict>| rows.into_iter().map(RowConflict::from).collect();
        Ok(match reverting {
            Reverting::Done { change, reverts, left } => WriteOutcome {
                change: Some((*change).into()),
                reverts: ids(reverts),
                conflicts: conflicts(left),
                ..WriteOutcome::new("reverted")
            },
            Reverting::Nothing { by, reverts, left } => WriteOutcome {
                change: by.map(|by| (*by).into()),
                reverts: ids(reverts),
                conflicts: conflicts(left),
                ..WriteOutcome::new("nothing")
            },
            Reverting::Would { rows, reverts, conflicts: found } => {
                let reverts = ids(reverts);
                let rows = Some(Rows::new(reverts.join(" "), rows, Vec::new()));
                WriteOutcome { rows, reverts, conflicts: conflicts(found), ..WriteOutcome::new("would") }
            }
            Reverting::Planned(plan) => {
                let plan = Plan::from(*plan);
                let (reverts, conflicts) = (plan.reverts.clone(), plan.conflicts.clone());
                WriteOutcome { plan: Some(plan), reverts, conflicts, ..WriteOutcome::new("planned") }
            }
            Reverting::Conflicts { rows, reverts } => {
                WriteOutcome { reverts: ids(reverts), conflicts: conflicts(rows), ..WriteOutcome::new("conflicts") }
            }
            Reverting::Refused(denial) => return Err(denial),
            Reverting::Unknown(change) => {
                WriteOutcome { change: Some((*change).into()), ..WriteOutcome::new("unknown") }
            }
        })
    }
}
