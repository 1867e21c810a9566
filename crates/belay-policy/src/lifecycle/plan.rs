//! Steps of a plan.

use super::{PlanAct, REASON_MOST, Refused, plan_after};
use crate::{Action, may};
use belay_model::{ChangeId, Name, Plan, PlanApproval, PlanId, PlanState, Principal, Timestamp};

/// Where a plan stands that was just made: nobody is asked where no approval is needed.
pub fn plan_begins(approvals_needed: u8) -> PlanState {
    if approvals_needed == 0 { PlanState::Approved } else { PlanState::Pending }
}

/// One person's yes to the rows with this fingerprint.
pub fn approve_plan(plan: &Plan, approver: &Principal, fingerprint: &str, now: Timestamp) -> Result<Plan, Refused> {
    may(approver, Action::DecidePlan, &plan.principal)?;
    still_open(plan, now)?;
    if plan.fingerprint != fingerprint {
        return Err(Refused::OtherRows(plan.id));
    }
    if plan.approvals.iter().any(|approval| approval.approver == approver.name) {
        return Err(Refused::PlanApprovedAlready(plan.id));
    }
    let mut after = plan.clone();
    let fingerprint = fingerprint.to_owned();
    after.approvals.push(PlanApproval { approver: approver.name.clone(), at: now, fingerprint });
    let act = if missing(&after) == 0 { PlanAct::ApproveLast } else { PlanAct::ApproveNotLast };
    after.state = step(plan, act)?;
    Ok(after)
}

/// One person's no; also to a plan that others have approved and nobody has applied.
pub fn deny_plan(plan: &Plan, approver: &Principal, reason: &str, now: Timestamp) -> Result<Plan, Refused> {
    may(approver, Action::DecidePlan, &plan.principal)?;
    still_open(plan, now)?;
    let reason = reason.trim();
    if reason.is_empty() {
        return Err(Refused::NoReason);
    }
    if reason.chars().count() > REASON_MOST {
        return Err(Refused::ReasonTooLong);
    }
    Ok(Plan { state: step(plan, PlanAct::Deny)?, denial: Some(reason.to_owned()), ..plan.clone() })
}

/// Whether this person may apply it now.
pub fn may_apply(plan: &Plan, who: &Principal, now: Timestamp) -> Result<(), Refused> {
    may(who, Action::ApplyPlan, &plan.principal)?;
    still_open(plan, now)?;
    step(plan, PlanAct::Apply).map(drop)?;
    match missing(plan) {
        0 => Ok(()),
        missing => Err(Refused::NotApproved { id: plan.id, missing }),
    }
}

/// It was applied, and this is what came of it.
pub fn plan_applied(plan: &Plan, change: ChangeId) -> Result<Plan, Refused> {
    Ok(Plan { state: step(plan, PlanAct::Apply)?, applied: Some(change), ..plan.clone() })
}

/// A later trial showed other rows, which have a plan of their own.
pub fn plan_replaced(plan: &Plan, by: PlanId) -> Result<Plan, Refused> {
    Ok(Plan { state: step(plan, PlanAct::Replace)?, replaced_by: Some(by), ..plan.clone() })
}

/// Nobody approved or applied it in time.
pub fn lapse_plan(plan: &Plan, now: Timestamp) -> Result<Plan, Refused> {
    if now < plan.expires_at {
        return Err(Refused::NotDue(plan.id.to_string()));
    }
    Ok(Plan { state: step(plan, PlanAct::PassExpiry)?, ..plan.clone() })
}

/// How many more people have to say yes to these very rows. One's own yes does not count.
pub fn missing(plan: &Plan) -> u8 {
    let of_these_rows = |approval: &&PlanApproval| approval.fingerprint == plan.fingerprint;
    let mut people: Vec<&Name> = plan.approvals.iter().filter(of_these_rows).map(|yes| &yes.approver).collect();
    people.retain(|name| **name != plan.principal);
    people.sort();
    people.dedup();
    plan.approvals_needed.saturating_sub(u8::try_from(people.len()).unwrap_or(u8::MAX))
}

fn still_open(plan: &Plan, now: Timestamp) -> Result<(), Refused> {
    if plan.state.is_open() && now >= plan.expires_at {
        return Err(Refused::PlanClosed { id: plan.id, state: PlanState::Lapsed });
    }
    if plan.state.is_open() { Ok(()) } else { Err(Refused::PlanClosed { id: plan.id, state: plan.state }) }
}

fn step(plan: &Plan, act: PlanAct) -> Result<PlanState, Refused> {
    let closed = || match plan.state {
        PlanState::Pending => Refused::NotApproved { id: plan.id, missing: missing(plan) },
        state => Refused::PlanClosed { id: plan.id, state },
    };
    plan_after(plan.state, act).ok_or_else(closed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use belay_model::{GrantId, PlanKind, Role};

    fn plan(approvals_needed: u8) -> Plan {
        Plan {
            id: PlanId(12),
            kind: PlanKind::Write,
            grant: GrantId(3),
            session: None,
            principal: "alice".parse().unwrap(),
            target: "orders".parse().unwrap(),
            database: "orders".to_owned(),
            state: plan_begins(approvals_needed),
            made_at: Timestamp(0),
            expires_at: Timestamp(100),
            fingerprint: "f".to_owned(),
            rows: 3,
            approvals_needed,
            approvals: Vec::new(),
            unrepeatable: None,
            denial: None,
            applied: None,
            replaced_by: None,
        }
    }

    fn person(name: &str, roles: &[Role]) -> Principal {
        Principal { name: name.parse().unwrap(), roles: roles.to_vec(), groups: Vec::new(), disabled: false }
    }

    #[test]
    fn nobody_approves_their_own_plan_whatever_their_roles() {
        for roles in [&[Role::Approver][..], &Role::ALL] {
            let refused = approve_plan(&plan(1), &person("alice", roles), "f", Timestamp(1)).unwrap_err();
            assert_eq!(refused.to_string(), "nobody may decide on plans of their own");
        }
        let administrator = person("root", &[Role::Administrator]);
        assert!(matches!(
            approve_plan(&plan(1), &administrator, "f", Timestamp(1)).unwrap_err(),
            Refused::NoRight { .. }
        ));
    }

    #[test]
    fn a_plan_is_applied_once_distinct_people_have_approved_its_very_rows() {
        let (bob, carol) = (person("bob", &[Role::Approver]), person("carol", &[Role::Approver]));
        let alice = person("alice", &[Role::Requester]);
        let one = approve_plan(&plan(2), &bob, "f", Timestamp(1)).unwrap();
        assert_eq!(one.state, PlanState::Pending);
        assert_eq!(may_apply(&one, &alice, Timestamp(2)).unwrap_err().to_string(), "p_12 waits for 1 more approval");
        assert!(approve_plan(&one, &bob, "f", Timestamp(2)).is_err());
        assert_eq!(approve_plan(&one, &carol, "g", Timestamp(2)), Err(Refused::OtherRows(PlanId(12))));
        let two = approve_plan(&one, &carol, "f", Timestamp(2)).unwrap();
        assert_eq!((two.state, may_apply(&two, &alice, Timestamp(3))), (PlanState::Approved, Ok(())));
        assert!(may_apply(&two, &person("dave", &[Role::Requester]), Timestamp(3)).is_err());
        assert!(may_apply(&two, &alice, Timestamp(100)).is_err(), "it has lapsed by then");
        let changed = Plan { fingerprint: "g".to_owned(), ..two.clone() };
        assert!(may_apply(&changed, &alice, Timestamp(3)).is_err(), "its approvals are of other rows");
        let done = plan_applied(&two, ChangeId(1)).unwrap();
        assert!(may_apply(&done, &alice, Timestamp(4)).is_err() && deny_plan(&done, &bob, "no", Timestamp(4)).is_err());
    }

    #[test]
    fn an_approved_plan_can_be_denied_and_one_that_nobody_wanted_lapses() {
        let bob = person("bob", &[Role::Approver]);
        let approved = approve_plan(&plan(1), &bob, "f", Timestamp(1)).unwrap();
        assert_eq!(deny_plan(&approved, &bob, " no ", Timestamp(2)).unwrap().denial.as_deref(), Some("no"));
        assert!(lapse_plan(&approved, Timestamp(99)).is_err());
        assert_eq!(lapse_plan(&approved, Timestamp(100)).unwrap().state, PlanState::Lapsed);
        assert_eq!(plan(0).state, PlanState::Approved);
    }
}
