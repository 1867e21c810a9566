//! The life of a request, of a grant and of a plan, as pure steps: what is, who acts and when go in; what comes
//! of it, or a refusal, comes out.
//!
//! Nothing is stored or announced here. [`request_after`], [`grant_after`] and [`plan_after`] are the whole table of
//! states and acts; the steps add the conditions that depend on people and time.

mod grant;
mod plan;
mod refused;
mod request;
mod table;

pub use grant::{expire, extend, narrow, review, revoke, take_into_use};
pub use plan::{approve_plan, deny_plan, lapse_plan, may_apply, missing, plan_applied, plan_begins, plan_replaced};
pub use refused::Refused;
pub use request::{Approved, Ask, approve, ask, break_glass, deny, lapse, withdraw};
pub use table::{GrantAct, PlanAct, RequestAct, grant_after, plan_after, request_after};

use belay_model::Span;

/// How long a request waits for a decision.
pub const DECIDE_WITHIN: Span = Span::from_seconds(24 * 3_600);
/// How long a grant waits for its first use, unless it ends earlier.
pub const USE_WITHIN: Span = Span::from_seconds(4 * 3_600);
/// How long a plan waits to be approved and applied.
pub const PLAN_WITHIN: Span = Span::from_seconds(24 * 3_600);
/// The longest grant under break-glass.
pub const BREAK_GLASS_MOST: Span = Span::from_seconds(3_600);
/// The longest reason, in characters.
pub const REASON_MOST: usize = 2_000;
/// The most resources of one request.
pub const RESOURCES_MOST: usize = 100;
