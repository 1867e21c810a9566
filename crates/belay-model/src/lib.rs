//! The vocabulary of Belay: plain data, one file per thing.
//!
//! This crate does not decide, parse protocols, read clocks or do IO. Time is a parameter
//! ([`Timestamp`], microseconds since the Unix epoch), never read.

mod bounds;
mod change;
mod code;
mod deciding;
mod decision;
mod effect;
mod event;
mod grant;
mod id;
mod named;
mod plan;
mod principal;
mod request;
mod resource;
mod rule;
mod session;
mod statement;
mod target;
mod time;
mod token;

pub use bounds::{
    Bounds, Budgets, CHANGED_ROWS, FunctionName, FunctionNameError, Mask, MaskKind, MaskKindError, RowFilter,
};
pub use change::{ChangeState, KeptChange};
pub use code::{Code, UnknownCode};
pub use deciding::Deciding;
pub use decision::Denial;
pub use effect::{Effect, Effects, UnknownEffect};
pub use event::{BindValue, ChangedTable, Event, EventKind, Outcome, TransactionStatus};
pub use grant::{EndReason, Grant, GrantState};
pub use id::{ApiTokenId, ChangeId, ConnectionId, GrantId, IdError, MaskId, PlanId, RequestId, RuleId, SessionId};
pub use named::Named;
pub use plan::{Plan, PlanApproval, PlanKind, PlanState};
pub use principal::{Name, NameError, Principal, Role, UnknownRole};
pub use request::{AccessRequest, Approval, RequestState};
pub use resource::{Pattern, Relation, Resource, ResourceError};
pub use rule::{Hours, Rule};
pub use session::{Session, SessionState};
pub use statement::{Access, ColumnUse, Shown, Statement, Via};
pub use target::Target;
pub use time::{Span, SpanError, Timestamp};
pub use token::{Token, TokenError};
