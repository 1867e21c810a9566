//! PostgreSQL, protocol 3, server versions 14 to 18.
//!
//! This crate does not decide (that is `belay-policy`), keep anything (that is `belay-store`) or record anything
//! (it says what to record). The way of a connection: `front` takes the start-up, `scram` the login, `back` dials
//! the target, `phase` relays statements; `classify` says what a statement does; `control` is Belay's own hand
//! in the target.

#[doc(hidden)]
pub mod catalog;
pub mod classify;
pub mod settings;
pub mod wire;

mod apply;
mod back;
mod cancel;
#[doc(hidden)]
pub mod capture;
mod change;
mod channel_binding;
mod control;
mod drop_table;
mod engine;
mod front;
mod mask;
mod passing;
mod phase;
mod plan;
mod random;
#[doc(hidden)]
pub mod revert;
mod scram;
mod target_tls;

pub use control::{PgControl, setup_sql};
pub use engine::PostgresEngine;
pub use mask::{MaskKey, MaskedColumns};
pub use phase::{Established, Outset};
pub use scram::verifier_from_password;
