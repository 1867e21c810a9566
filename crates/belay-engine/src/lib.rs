//! The contract that every protocol implements.
//!
//! Two parts. A *connection* that has logged in is sync and sans-IO: bytes and decisions go in through
//! [`Connection::handle`], outputs come out of [`Connection::poll`], in order, and the relay carries
//! them out in that order. What happens before (start-up, TLS, login) and beside it (roles in the
//! target, ending back ends) is protocol-specific IO behind [`Engine`] and [`Control`].
//!
//! This crate does not know any protocol, store, ledger or HTTP.

mod changes;
mod connection;
mod control;
mod gate;
mod settle;
mod upstream;

pub use changes::{Applied, Changes, Conflict, ConflictKind, Leave, Only, Order, Reversion, Reverted};
pub use connection::{Connection, Input, Output, ProtocolError};
pub use control::{ArmedTable, Arming, Control, ControlError, ControlFailure, Feasibility};
pub use control::{Layer, LayerState, Report, RoleSpec, Suspect};
pub use gate::{Arrival, BoxFuture, Candidate, ClientFacts, Engine, Entry, Gate, Joined, Login, Refusal, Stream};
pub use gate::{Life, ScramVerifier, SessionContext, TargetAccess, Upstream, Visitor};
pub use settle::{Answer, Draft, Keeper, Line, NotKept, Notice, Outcome, Settled, Settlement};
pub use upstream::{Housekeeping, UpstreamBytes};
