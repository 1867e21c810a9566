//! Applying a plan: the same again, committed only if the same rows change.

use super::draft::{Rows, script};
use super::keeper::PlanOf;
use super::revert::Reverting;
use super::{Vault, beside, failed, unreadable};
use crate::desk::{Caller, ChangeView, DeskError, Origin, PlanView};
use crate::gate::{in_database, role_spec};
use belay_change::{ChangeSet, Images, Script, Taken, difference};
use belay_engine::{Applied, Draft, Order, Outcome};
use belay_model::{Denial, Grant, Plan, PlanKind, PlanState};
use belay_store::PlanRecord;
use std::sync::Mutex;

/// Rows a table that are named where they differ.
const NAMED_MOST: usize = 5;
/// No more images are compared to name rows.
const COMPARED_MOST: u64 = 2_000_000;

/// How applying went.
#[derive(Debug)]
pub enum Applying {
    /// Committed, as approved.
    Done(Box<ChangeView>),
    /// Rows are given back.
    Reverted(Box<Reverting>),
    /// Other rows would have changed. Nothing was committed; the second plan shows them.
    Differs {
        /// The plan that was to be applied.
        plan: Box<Plan>,
        /// The plan with the rows that were found.
        instead: Box<PlanView>,
        /// Which rows differ, in words.
        rows: Vec<String>,
    },
    /// It could not be run, or what it did could not be captured. Nothing was committed.
    Refused(Denial),
    /// The connection was lost while it committed; the target is asked how it ended.
    Unknown(Box<ChangeView>),
}

impl Vault {
    /// Applies a plan that is approved.
    pub async fn apply(&self, who: &Caller, plan: &str) -> Result<Applying, DeskError> {
        let (record, grant) = self.desk.plan_to_apply(who, plan).await?;
        if record.plan.kind == PlanKind::Revert {
            return self.apply_revert(who, &record).await;
        }
        // On a task of its own: a caller who goes away in the middle leaves nothing half done.
        let (vault, who) = (self.clone(), who.clone());
        let applying = tokio::spawn(async move { vault.apply_write(&who, record, grant).await });
        applying
            .await
            .map_err(|_| DeskError::Store("it was interrupted; belay changes shows how it ended".to_owned()))?
    }

    async fn apply_write(&self, who: &Caller, record: PlanRecord, grant: Grant) -> Result<Applying, DeskError> {
        let PlanRecord { plan, summary, file, .. } = record;
        let expected = crate::desk::read_set(&summary)?;
        let file = file.ok_or_else(|| crate::desk::rows_gone(&plan.id.to_string()))?;
        let access = self.desk.target_access(&plan.target).await?;
        let here = in_database(grant, &plan.database, &access.target.database);
        let role = role_spec(&self.targets, &here, &plan.database, self.per_session);
        let (files, name) = (self.files.clone(), file.clone());
        let script = beside(move || script(&files, &name).map_err(|error| unreadable(&error))).await?;
        let origin = origin(&plan, &here);
        let control = self.targets.control(&access);
        let order = Order { role, script: script.clone(), expected: expected.clone() };
        let applied = control.changes().apply(order, self.keeper_of(origin.clone())).await;
        match applied.map_err(|error| failed(&plan.target, &error))? {
            Applied::Done { change, .. } => {
                self.desk.settle_change(change, Outcome::Committed).await?;
                Ok(Applying::Done(Box::new(self.desk.kept_change(who, &change.to_string()).await?)))
            }
            Applied::Differs { set, draft } => {
                self.differs(who, (plan, expected, file), (set, draft), script, &origin).await
            }
            Applied::Refused(denial) => Ok(Applying::Refused(denial)),
            Applied::Unknown(change) => {
                self.desk.settle_change(change, Outcome::Unknown).await?;
                Ok(Applying::Unknown(Box::new(self.desk.kept_change(who, &change.to_string()).await?)))
            }
        }
    }

    /// What was found becomes a plan of its own, which nobody has approved yet.
    async fn differs(
        &self,
        who: &Caller,
        (plan, expected, file): (Plan, ChangeSet, String),
        (set, draft): (ChangeSet, Box<dyn Draft>),
        script: Script,
        origin: &Origin,
    ) -> Result<Applying, DeskError> {
        let (draft, rows) = self.name_rows((expected, file), (set.clone(), draft)).await?;
        let origin = Origin { plan: None, ..origin.clone() };
        let of = PlanOf { replaces: Some(&plan), revert: None };
        let instead = self.keep_plan(&origin, draft, &set, script, of).await?;
        let instead = Box::new(self.desk.plan(who, &instead.id.to_string()).await?);
        let plan = Box::new(Plan { state: PlanState::Replaced, ..plan });
        Ok(Applying::Differs { plan, instead, rows })
    }

    /// Which rows differ. Where they cannot be told, their tables are.
    async fn name_rows(
        &self,
        (expected, file): (ChangeSet, String),
        (set, draft): (ChangeSet, Box<dyn Draft>),
    ) -> Result<(Box<dyn Draft>, Vec<String>), DeskError> {
        let files = self.files.clone();
        beside(move || {
            let draft = Mutex::new(draft);
            let planned = || Ok(Box::new(Rows::open(&files, &file)?) as Box<dyn Images>);
            let found = || draft.lock().unwrap_or_else(std::sync::PoisonError::into_inner).images();
            let told = difference(&Taken::of(&expected, &planned), &Taken::of(&set, &found), NAMED_MOST, COMPARED_MOST);
            let rows = match told {
                Ok(tables) => tables.iter().flat_map(in_words).collect(),
                Err(error) => {
                    tracing::warn!("rows that differ cannot be named: {error}");
                    Vec::new()
                }
            };
            Ok((draft.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner), rows))
        })
        .await
    }
}

/// `public.orders 41: status paid, planned open`.
fn in_words(difference: &belay_change::TableDifference) -> Vec<String> {
    let table = &difference.table;
    let name = format!("{}.{}", table.schema, table.name);
    let key = |row: &belay_change::Row| {
        let values: Vec<&str> = match table.key.as_slice() {
            [] => row.iter().map(|value| value.as_deref().unwrap_or("NULL")).collect(),
            key => key.iter().filter_map(|at| row.get(usize::from(*at))?.as_deref()).collect(),
        };
        values.join(",")
    };
    let which = |change: &belay_change::RowChange| match change {
        belay_change::RowChange::Inserted { new, .. } | belay_change::RowChange::Updated { new, .. } => key(new),
        belay_change::RowChange::Deleted { old, .. } => key(old),
    };
    let mut words: Vec<String> = Vec::new();
    for row in &difference.first {
        let (Some(one), why) = (match (row.planned.first(), row.found.first()) {
            (Some(planned), Some(_)) => (Some(planned), "changes in another way than planned"),
            (Some(planned), None) => (Some(planned), "was planned to change and would not"),
            (None, Some(found)) => (Some(found), "would change and was not planned to"),
            (None, None) => (None, ""),
        }) else {
            continue;
        };
        words.push(format!("{name} {}: {why}", which(one)));
    }
    let told = u64::try_from(words.len()).unwrap_or(u64::MAX);
    if difference.rows > told {
        words.push(format!("{name}: {} more rows differ", difference.rows - told));
    }
    words
}

fn origin(plan: &Plan, grant: &Grant) -> Origin {
    Origin {
        grant: grant.id,
        session: plan.session,
        connection: None,
        principal: plan.principal.clone(),
        target: plan.target.clone(),
        database: plan.database.clone(),
        plan: Some(plan.id),
        reverts: Vec::new(),
    }
}
