//! Decisions: facts in, verdict out.
//!
//! This crate does no IO, reads no clock and never sees bytes of a protocol. [`decide`] is the only
//! place that can mint a [`Permit`].

mod ask;
mod decide;
mod kin;
mod lifecycle;
mod mask;
mod rules;
mod scope;

pub use decide::{Decision, Masked, Permit, decide};
pub use lifecycle::{
    Approved, Ask, BREAK_GLASS_MOST, DECIDE_WITHIN, GrantAct, PLAN_WITHIN, PlanAct, REASON_MOST, RESOURCES_MOST,
    Refused, RequestAct, USE_WITHIN, approve, approve_plan, ask, break_glass, deny, deny_plan, expire, extend,
    grant_after, lapse, lapse_plan, may_apply, missing, narrow, plan_after, plan_applied, plan_begins, plan_replaced,
    request_after, review, revoke, take_into_use, withdraw,
};
pub use rules::{Action, MAX_APPROVALS, Reach, RuleError, Terms, check_rule, may, may_for_all, reach, terms};
