//! Changes: kept before they are committed, settled afterwards, and seen.

use super::act::Act;
use super::belongs::belonging;
use super::plans::allows_at_once;
use super::row_keys::Told;
use super::{Caller, Change, Desk, DeskError, Listing, pick};
use belay_change::{ChangeSet, RowKey};
use belay_engine::Outcome;
use belay_model::{
    ChangeId, ChangeState, ConnectionId, EventKind, Grant, GrantId, KeptChange, Mask, Name, PlanId, PlanState,
    SessionId, Span, Timestamp,
};
use belay_policy::{Action, may, may_for_all, plan_applied};
use belay_store::{ChangeRecord, WhichChanges};
use std::sync::Arc;

/// Where a plan or a change comes from.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// The grant.
    pub(crate) grant: GrantId,
    /// The session, if it is one.
    pub(crate) session: Option<SessionId>,
    /// The connection of the session.
    pub(crate) connection: Option<ConnectionId>,
    /// Who.
    pub(crate) principal: Name,
    /// The target.
    pub(crate) target: Name,
    /// The database in the target.
    pub(crate) database: String,
    /// The plan that is applied.
    pub(crate) plan: Option<PlanId>,
    /// The changes that are given back.
    pub(crate) reverts: Vec<ChangeId>,
}

/// A change with what is known beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeView {
    /// The change.
    pub change: KeptChange,
    /// What changed, table by table.
    pub set: ChangeSet,
    /// Committed changes that give it back, oldest first; they may do so in part.
    pub reverted_by: Vec<ChangeId>,
    /// Whether its rows are still kept.
    pub rows_kept: bool,
}

impl Desk {
    /// Changes the caller may see, newest first, those that were rolled back only where all are wanted.
    pub async fn kept_changes(
        &self,
        who: &Caller,
        listing: Listing,
        session: Option<&str>,
    ) -> Result<Vec<ChangeView>, DeskError> {
        let everybody = !listing.mine && may_for_all(&who.principal, Action::SeePlans).is_ok();
        let of = (!everybody).then_some(&who.principal.name);
        let mut reader = self.store.reader().await?;
        let session = match session {
            Some(session) => Some(pick::session(&mut reader.look(), &who.principal, session).await?.id),
            None => None,
        };
        let found = reader.look().changes(WhichChanges { of, session, all: listing.all }).await?;
        found.into_iter().map(view).collect()
    }

    /// One change, by id or unique prefix.
    pub async fn kept_change(&self, who: &Caller, change: &str) -> Result<ChangeView, DeskError> {
        let mut reader = self.store.reader().await?;
        view(pick::change(&mut reader.look(), &who.principal, change).await?)
    }

    /// The sealed file of a change whose rows the caller may see.
    pub(crate) async fn rows_of_change(&self, who: &Caller, change: &str) -> Result<(ChangeView, String), DeskError> {
        let mut reader = self.store.reader().await?;
        let record = pick::change(&mut reader.look(), &who.principal, change).await?;
        may(&who.principal, Action::SeeRows, &record.change.principal)?;
        let file = record.file.clone().ok_or_else(|| rows_gone(&record.change.id.to_string()))?;
        Ok((view(record)?, file))
    }

    /// Makes a change known before its COMMIT leaves: its rows are on the disk in `file`. `keys` are of the tables of
    /// `set`, in their order.
    pub(crate) async fn keep_change(
        &self,
        origin: &Origin,
        (set, keys): (&ChangeSet, Vec<Vec<RowKey>>),
        file: &str,
        retention: Span,
    ) -> Result<KeptChange, DeskError> {
        let mut act = self.act_alone().await?;
        if let Some(plan) = origin.plan {
            still_to_apply(&mut act, plan).await?;
        }
        let (origin, sessions) = belonging(&mut act.writing.look(), origin).await?;
        let change = KeptChange {
            id: ChangeId(0),
            plan: origin.plan,
            reverts: origin.reverts.clone(),
            grant: origin.grant,
            session: origin.session,
            principal: origin.principal.clone(),
            target: origin.target.clone(),
            database: origin.database.clone(),
            state: ChangeState::Kept,
            transaction: set.transaction.clone(),
            made_at: act.now,
            expires_at: act.now.plus(retention),
            fingerprint: set.fingerprint.clone(),
            rows: rows(set),
        };
        let summary = written(set)?;
        let record = ChangeRecord { change, reverted_by: Vec::new(), summary, file: Some(file.to_owned()) };
        let change = act.writing.add_change(record).await?.change;
        act.writing.change_belongs(change.id, &sessions).await?;
        let (tables, more) = Told::of(set, keys).all(change.id);
        let kept = EventKind::ChangeKept {
            change: change.id,
            plan: change.plan,
            tables,
            rows: change.rows,
            fingerprint: change.fingerprint.clone(),
            transaction: change.transaction.clone(),
            reverts: change.reverts.clone(),
            partial: set.partial,
        };
        act.event_of(&origin, kept);
        more.for_each(|rows| act.event_of(&origin, rows));
        let Err(error) = self.finish_at_once(act).await else { return Ok(change) };
        self.never_sent(change.id).await;
        Err(error)
    }

    /// Writes that the COMMIT of a change is never sent. Where that cannot be written, the target is asked.
    pub(crate) async fn never_sent(&self, change: ChangeId) {
        if let Err(error) = self.settle_change(change, Outcome::RolledBack).await {
            tracing::warn!(%change, "it was not kept, and that is not known yet: {error}");
        }
    }

    /// Writes how the transaction of a change ended. What is settled stays settled.
    pub(crate) async fn settle_change(&self, change: ChangeId, outcome: Outcome) -> Result<(), DeskError> {
        let mut act = self.act_alone().await?;
        let Some(record) = act.writing.look().change(change).await? else { return Ok(()) };
        let state = match outcome {
            Outcome::Committed => ChangeState::Committed,
            Outcome::RolledBack => ChangeState::RolledBack,
            Outcome::Unknown => ChangeState::Unknown,
        };
        if record.change.state.is_settled() || record.change.state == state {
            return Ok(());
        }
        let change = KeptChange { state, ..record.change };
        act.writing.save_change(&change).await?;
        let origin = origin_of(&change);
        let kind = match outcome {
            Outcome::Committed => {
                EventKind::ChangeCommitted { change: change.id, transaction: change.transaction.clone() }
            }
            Outcome::RolledBack => EventKind::ChangeRolledBack { change: change.id },
            Outcome::Unknown => EventKind::ChangeUnknown { change: change.id },
        };
        act.event_of(&origin, kind);
        if state == ChangeState::Committed {
            committed(&mut act, &change, &origin).await?;
        }
        // The target has done it, whatever becomes of the ledger.
        self.finish_in_any_case(act).await
    }

    /// The masks of a database of the target.
    pub(crate) async fn masks_in(&self, target: &Name, database: &str) -> Result<Vec<Mask>, DeskError> {
        let masks = self.store.reader().await?.look().masks(Some(target)).await?;
        if masks.is_empty() {
            return Ok(Vec::new());
        }
        let home = self.target_access(target).await?.target.database;
        let here = |mask: &Mask| mask.column.database.as_deref().unwrap_or(&home) == database;
        Ok(masks.into_iter().map(|record| record.mask).filter(here).collect())
    }

    /// Changes of which nobody knows how they ended.
    pub(crate) async fn unsettled_changes(&self) -> Result<Vec<KeptChange>, DeskError> {
        let found = self.store.reader().await?.look().unsettled_changes().await?;
        Ok(found.into_iter().map(|record| record.change).collect())
    }

    /// Every sealed file that is somebody's.
    pub(crate) async fn change_files(&self) -> Result<Vec<String>, DeskError> {
        Ok(self.store.reader().await?.look().change_files().await?)
    }

    /// Forgets files whose time is over, and says which. Those of plans go a while after the plan has lapsed.
    pub(crate) async fn forget_change_files(&self, retention: Span) -> Result<Vec<String>, DeskError> {
        let now = self.clock.now();
        let micros = i64::from(retention.seconds()).saturating_mul(1_000_000);
        let mut writing = self.store.write().await?;
        let files = writing.forget_change_files(now, Timestamp(now.0.saturating_sub(micros))).await?;
        writing.commit().await?;
        Ok(files)
    }

    /// Changes that dropped tables and whose time is over, with their files.
    pub(crate) async fn due_trash(&self) -> Result<Vec<(KeptChange, ChangeSet, String)>, DeskError> {
        let found = self.store.reader().await?.look().due_trash(self.clock.now()).await?;
        let due = found.into_iter().filter_map(|record| Some((record.change, record.summary, record.file?)));
        due.map(|(change, summary, file)| Ok((change, read(&summary)?, file))).collect()
    }

    /// Their tables are gone for good.
    pub(crate) async fn trash_emptied(&self, change: ChangeId) -> Result<(), DeskError> {
        let mut writing = self.store.write().await?;
        writing.forget_change_file(change).await?;
        Ok(writing.commit().await?)
    }

    /// Whether the caller holds a live grant under which this may be given back without asking anybody.
    pub(crate) async fn revert_at_once(
        &self,
        who: &Caller,
        change: &KeptChange,
        set: &ChangeSet,
    ) -> Result<Option<Grant>, DeskError> {
        let mut reader = self.store.reader().await?;
        let target = pick::target(&mut reader.look(), &change.target).await?;
        let grants = reader.look().live_grants(Some(&who.principal.name), Some(&change.target)).await?;
        let now = self.clock.now();
        let fits = |grant: &Grant| {
            grant.ends_at > now && allows_at_once(grant) && covers(grant, set, &change.database, &target.database)
        };
        Ok(grants.into_iter().find(fits))
    }
}

/// Whether the grant names every table of the change.
pub(super) fn covers(grant: &Grant, set: &ChangeSet, database: &str, home: &str) -> bool {
    let in_database = |resource: &belay_model::Resource| resource.database.as_deref().unwrap_or(home) == database;
    let held = |schema: &str, table: &str| {
        grant
            .resources
            .iter()
            .any(|resource| in_database(resource) && resource.column.is_none() && resource.names(schema, table))
    };
    set.tables.iter().all(|change| held(&change.table.schema, &change.table.name))
}

/// What follows from a commit: the plan has been applied, other changes have been given back.
async fn committed(act: &mut Act, change: &KeptChange, origin: &Origin) -> Result<(), DeskError> {
    if let Some(plan) = change.plan
        && let Some(record) = act.writing.look().plan(plan).await?
    {
        // Whatever happened to the plan since: it was applied.
        let plan = plan_applied(&record.plan, change.id).unwrap_or(belay_model::Plan {
            state: PlanState::Applied,
            applied: Some(change.id),
            ..record.plan
        });
        act.writing.save_plan(&plan).await?;
        let applied = EventKind::PlanApplied {
            plan: plan.id,
            change: change.id,
            rows: change.rows,
            fingerprint: change.fingerprint.clone(),
        };
        act.event_of(origin, applied);
        act.announce(Change::Plan(Arc::new(plan)));
    }
    for reverted in &change.reverts {
        act.event_of(origin, EventKind::ChangeReverted { change: *reverted, by: change.id });
    }
    Ok(())
}

/// A plan is applied once, while it is approved.
async fn still_to_apply(act: &mut Act, plan: PlanId) -> Result<(), DeskError> {
    let missing = || DeskError::NotFound { kind: "plan", name: plan.to_string() };
    let record = act.writing.look().plan(plan).await?.ok_or_else(missing)?;
    if record.plan.state != PlanState::Approved {
        return Err(belay_policy::Refused::PlanClosed { id: plan, state: record.plan.state }.into());
    }
    if let Some(change) = act.writing.look().change_of_plan(plan).await? {
        return Err(DeskError::Conflict {
            message: format!("{plan} is being applied already: {change}"),
            hint: "belay changes shows how it ends".to_owned(),
        });
    }
    Ok(())
}

fn origin_of(change: &KeptChange) -> Origin {
    Origin {
        grant: change.grant,
        session: change.session,
        connection: None,
        principal: change.principal.clone(),
        target: change.target.clone(),
        database: change.database.clone(),
        plan: change.plan,
        reverts: change.reverts.clone(),
    }
}

fn view(record: ChangeRecord) -> Result<ChangeView, DeskError> {
    let set = read(&record.summary)?;
    Ok(ChangeView { set, reverted_by: record.reverted_by, rows_kept: record.file.is_some(), change: record.change })
}

pub(crate) fn rows_gone(id: &str) -> DeskError {
    DeskError::Conflict {
        message: format!("the rows of {id} are not kept any more"),
        hint: "belay changes shows until when rows are kept".to_owned(),
    }
}

pub(crate) fn read(summary: &str) -> Result<ChangeSet, DeskError> {
    serde_json::from_str(summary).map_err(|error| DeskError::Store(format!("a change set cannot be read: {error}")))
}

pub(super) fn written(set: &ChangeSet) -> Result<String, DeskError> {
    serde_json::to_string(set).map_err(|error| DeskError::Store(format!("a change set cannot be written: {error}")))
}

/// As many rows as change in all tables together.
pub(super) fn rows(set: &ChangeSet) -> u64 {
    set.tables.iter().map(|table| table.inserted + table.updated + table.deleted).sum()
}
