//! Plans: made, seen, decided on, and what becomes of them.

use super::act::Act;
use super::belongs::belonging;
use super::changes::{Origin, read, rows, rows_gone, written};
use super::row_keys::Told;
use super::{Caller, Change, Desk, DeskError, Listing, pick};
use belay_change::{ChangeSet, RowKey};
use belay_engine::Conflict;
use belay_model::{AccessRequest, ChangeId, EventKind, Grant, Plan, PlanId, PlanKind, Resource};
use belay_policy::{
    Action, PLAN_WITHIN, approve_plan, deny_plan, lapse_plan, may, may_apply, may_for_all, missing, plan_begins,
    plan_replaced,
};
use belay_store::PlanRecord;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The most plans of one person that are open at once.
const OPEN_MOST: i64 = 200;

/// What a plan to give rows back says beyond its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevertOrder {
    /// The changes, newest first.
    pub changes: Vec<ChangeId>,
    /// Leave rows that have changed since, instead of giving nothing back.
    pub keep_conflicts: bool,
    /// Only these tables and rows; empty for all.
    pub only: Vec<RevertPart>,
    /// Rows that have changed since, as the trial saw them.
    pub conflicts: Vec<Conflict>,
}

/// A part of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevertPart {
    /// The table, with or without its schema.
    pub table: String,
    /// Values of its key, as text, one row each; empty for every row.
    pub keys: Vec<String>,
}

/// A plan with what is known beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanView {
    /// The plan.
    pub plan: Plan,
    /// What would change, table by table.
    pub set: ChangeSet,
    /// Of a plan to give rows back.
    pub revert: Option<RevertOrder>,
    /// How many more people have to say yes.
    pub missing: u8,
    /// Whether its rows are still kept.
    pub rows_kept: bool,
}

/// A plan to be kept.
pub(crate) struct NewPlan<'a> {
    pub(crate) set: &'a ChangeSet,
    /// Which rows, by the tables of `set`.
    pub(crate) keys: Vec<Vec<RowKey>>,
    pub(crate) file: &'a str,
    pub(crate) unrepeatable: Option<String>,
    pub(crate) revert: Option<RevertOrder>,
    /// The plan whose rows have turned out to be others.
    pub(crate) replaces: Option<&'a Plan>,
}

impl Desk {
    /// Plans the caller may see, newest first: open ones, or all.
    pub async fn plans(&self, who: &Caller, listing: Listing) -> Result<Vec<PlanView>, DeskError> {
        let everybody = !listing.mine && may_for_all(&who.principal, Action::SeePlans).is_ok();
        let of = (!everybody).then_some(&who.principal.name);
        let found = self.store.reader().await?.look().plans(of, listing.all).await?;
        found.into_iter().map(view).collect()
    }

    /// One plan, by id or unique prefix.
    pub async fn plan(&self, who: &Caller, plan: &str) -> Result<PlanView, DeskError> {
        let mut reader = self.store.reader().await?;
        view(pick::plan(&mut reader.look(), &who.principal, plan).await?)
    }

    /// The sealed file of a plan whose rows the caller may see.
    pub(crate) async fn rows_of_plan(&self, who: &Caller, plan: &str) -> Result<(PlanView, String), DeskError> {
        let mut reader = self.store.reader().await?;
        let record = pick::plan(&mut reader.look(), &who.principal, plan).await?;
        may(&who.principal, Action::SeeRows, &record.plan.principal)?;
        let file = record.file.clone().ok_or_else(|| rows_gone(&record.plan.id.to_string()))?;
        Ok((view(record)?, file))
    }

    /// Says yes to the rows of somebody else's plan. `fingerprint` is that of the rows that were looked at; without
    /// one, those that it has.
    pub async fn approve_plan(
        &self,
        who: &Caller,
        plan: &str,
        fingerprint: Option<&str>,
    ) -> Result<PlanView, DeskError> {
        let (mut act, approver) = self.act(who).await?;
        let record = pick::plan(&mut act.writing.look(), &approver, plan).await?;
        let fingerprint = fingerprint.unwrap_or(&record.plan.fingerprint);
        let after = approve_plan(&record.plan, &approver, fingerprint, act.now)?;
        let request = as_request(&mut act, &record).await?;
        let (mut act, policies) = self.may_approve_plan(act, &approver, &request, record.plan.id).await?;
        let (fingerprint, still_needed) = (after.fingerprint.clone(), missing(&after));
        act.event_of_plan(&after, EventKind::PlanApproved { plan: after.id, fingerprint, still_needed, policies });
        act.save_plan(&after).await?;
        self.finish(act).await?;
        view(PlanRecord { plan: after, ..record })
    }

    /// Says no to a plan, with a reason.
    pub async fn deny_plan(&self, who: &Caller, plan: &str, reason: &str) -> Result<PlanView, DeskError> {
        let (mut act, approver) = self.act(who).await?;
        let record = pick::plan(&mut act.writing.look(), &approver, plan).await?;
        let after = deny_plan(&record.plan, &approver, reason, act.now)?;
        let reason = after.denial.clone().unwrap_or_default();
        act.event_of_plan(&after, EventKind::PlanDenied { plan: after.id, reason });
        act.save_plan(&after).await?;
        self.finish_in_any_case(act).await?;
        view(PlanRecord { plan: after, ..record })
    }

    /// Keeps a plan whose rows are on the disk.
    pub(crate) async fn keep_plan(&self, origin: &Origin, new: NewPlan<'_>) -> Result<Plan, DeskError> {
        let mut act = self.act_alone().await?;
        if act.writing.look().open_plans(&origin.principal).await? >= OPEN_MOST {
            return Err(DeskError::Conflict {
                message: format!("{OPEN_MOST} plans of {} wait already", origin.principal),
                hint: "belay plans --mine; apply them, or have them denied".to_owned(),
            });
        }
        let (origin, sessions) = belonging(&mut act.writing.look(), origin).await?;
        let missing = || DeskError::NotFound { kind: "grant", name: origin.grant.to_string() };
        let grant = act.writing.look().grant(origin.grant).await?.ok_or_else(missing)?.grant;
        let request = act.writing.look().request(grant.request).await?.ok_or_else(missing)?;
        let reverts = new.revert.as_ref().map(|order| order.changes.clone()).unwrap_or_default();
        // Access in an emergency is reviewed as a whole afterwards. It is the grant of who asks for a revert that
        // counts there, and that is asked before.
        let approvals_needed =
            if grant.break_glass && reverts.is_empty() { 0 } else { request.approvals_needed.max(1) };
        let plan = Plan {
            id: PlanId(0),
            kind: if new.revert.is_some() { PlanKind::Revert } else { PlanKind::Write },
            grant: origin.grant,
            session: origin.session,
            principal: origin.principal.clone(),
            target: origin.target.clone(),
            database: origin.database.clone(),
            state: plan_begins(approvals_needed),
            made_at: act.now,
            expires_at: act.now.plus(PLAN_WITHIN),
            fingerprint: new.set.fingerprint.clone(),
            rows: rows(new.set),
            approvals_needed,
            approvals: Vec::new(),
            unrepeatable: new.unrepeatable,
            denial: None,
            applied: None,
            replaced_by: None,
        };
        let revert = new.revert.as_ref().map(serde_json::to_string).transpose();
        let revert = revert.map_err(|error| DeskError::Store(error.to_string()))?;
        let record = PlanRecord { plan, summary: written(new.set)?, revert, file: Some(new.file.to_owned()) };
        let plan = act.writing.add_plan(record).await?.plan;
        act.writing.plan_belongs(plan.id, &sessions).await?;
        let made = EventKind::PlanMade {
            plan: plan.id,
            tables: Told::of(new.set, new.keys).first(),
            rows: plan.rows,
            fingerprint: plan.fingerprint.clone(),
            approvals_needed,
            reverts,
        };
        act.event_of(&origin, made);
        act.announce(Change::Plan(Arc::new(plan.clone())));
        if let Some(replaced) = new.replaces {
            replace(&mut act, replaced, &plan).await?;
        }
        self.finish(act).await?;
        Ok(plan)
    }

    /// A plan that the caller may apply now, with the grant it runs under. That it begins is on the record.
    pub(crate) async fn plan_to_apply(&self, who: &Caller, plan: &str) -> Result<(PlanRecord, Grant), DeskError> {
        let (mut act, person) = self.act(who).await?;
        let record = pick::plan(&mut act.writing.look(), &person, plan).await?;
        may_apply(&record.plan, &person, act.now)?;
        let grant = grant_to_apply(&mut act, &record.plan).await?;
        let started = EventKind::PlanStarted { plan: record.plan.id, fingerprint: record.plan.fingerprint.clone() };
        act.event_under(&grant, started);
        self.finish(act).await?;
        Ok((record, grant))
    }

    /// Lapses a plan that is due; one that is not, any more, is left alone.
    pub(super) async fn lapse_plan(&self, plan: PlanId) -> Result<(), DeskError> {
        let mut act = self.act_alone().await?;
        let Some(record) = act.writing.look().plan(plan).await? else { return Ok(()) };
        let Ok(lapsed) = lapse_plan(&record.plan, act.now) else { return Ok(()) };
        act.event_of_plan(&lapsed, EventKind::PlanLapsed { plan });
        act.save_plan(&lapsed).await?;
        self.finish_in_any_case(act).await
    }
}

/// Of a write: the live grant of whoever made the plan, that it was made under if it still lives. Which tables it may
/// write is for its role to say. What is given back runs under no grant.
async fn grant_to_apply(act: &mut Act, plan: &Plan) -> Result<Grant, DeskError> {
    let made_under = act.writing.look().grant(plan.grant).await?;
    let missing = || DeskError::NotFound { kind: "grant", name: plan.grant.to_string() };
    let made_under = made_under.ok_or_else(missing)?.grant;
    if plan.kind == PlanKind::Revert {
        return Ok(made_under);
    }
    let now = act.now;
    let fits =
        |grant: &Grant| grant.state.is_live() && now < grant.ends_at && grant.effects.write && !grant.effects.all;
    if fits(&made_under) {
        return Ok(made_under);
    }
    let grants = act.writing.look().live_grants(Some(&plan.principal), Some(&plan.target)).await?;
    grants.into_iter().find(fits).ok_or_else(|| DeskError::Over {
        message: format!("{} has no live grant that writes on {}", plan.principal, plan.target),
        hint: format!("belay request {} --effect write --for 1h -m REASON; then belay apply {}", plan.target, plan.id),
    })
}

/// Whether writes under the grant need nobody's approval.
pub(super) fn allows_at_once(grant: &Grant) -> bool {
    grant.effects.write && !grant.effects.all && (grant.effects.direct || grant.break_glass)
}

/// A later trial showed other rows.
async fn replace(act: &mut Act, replaced: &Plan, by: &Plan) -> Result<(), DeskError> {
    let differs = EventKind::PlanDiffers {
        plan: replaced.id,
        fingerprint: replaced.fingerprint.clone(),
        found: by.fingerprint.clone(),
        replaced_by: Some(by.id),
    };
    act.event_of_plan(replaced, differs);
    // It may have been decided on meanwhile.
    let Some(now) = act.writing.look().plan(replaced.id).await? else { return Ok(()) };
    if let Ok(after) = plan_replaced(&now.plan, by.id) {
        act.save_plan(&after).await?;
    }
    Ok(())
}

/// What policies are asked about who approves: the tables that the plan changes.
async fn as_request(act: &mut Act, record: &PlanRecord) -> Result<AccessRequest, DeskError> {
    let plan = &record.plan;
    let missing = || DeskError::NotFound { kind: "grant", name: plan.grant.to_string() };
    let grant = act.writing.look().grant(plan.grant).await?.ok_or_else(missing)?.grant;
    let request = act.writing.look().request(grant.request).await?.ok_or_else(missing)?;
    let target = pick::target(&mut act.writing.look(), &plan.target).await?;
    let database = (plan.database != target.database).then(|| plan.database.clone());
    let exact = |name: &str| belay_model::Pattern::Exact(name.to_owned());
    let table = |change: &belay_change::TableChange| Resource {
        database: database.clone(),
        schema: exact(&change.table.schema),
        table: exact(&change.table.name),
        column: None,
    };
    let resources: Vec<Resource> = read(&record.summary)?.tables.iter().map(table).collect();
    let resources = if resources.is_empty() { request.resources.clone() } else { resources };
    Ok(AccessRequest { requester: plan.principal.clone(), target: plan.target.clone(), resources, ..request })
}

fn view(record: PlanRecord) -> Result<PlanView, DeskError> {
    let revert = record.revert.as_deref().map(serde_json::from_str).transpose();
    let revert = revert.map_err(|error| DeskError::Store(format!("a plan cannot be read: {error}")))?;
    let (set, missing) = (read(&record.summary)?, missing(&record.plan));
    Ok(PlanView { set, revert, missing, rows_kept: record.file.is_some(), plan: record.plan })
}

impl Act {
    /// Adds an event that concerns a plan, of whoever acts.
    fn event_of_plan(&mut self, plan: &Plan, kind: EventKind) {
        self.event_about(&plan.target, plan.grant, plan.session, kind);
    }

    async fn save_plan(&mut self, plan: &Plan) -> Result<(), DeskError> {
        self.writing.save_plan(plan).await?;
        self.announce(Change::Plan(Arc::new(plan.clone())));
        Ok(())
    }
}
