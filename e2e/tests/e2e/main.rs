//! End-to-end tests: the real program, a real PostgreSQL, real clients. One module a theme.
//!
//! No test trusts an answer of the gateway alone: what must not have changed is read over a second, direct connection.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "what goes wrong in a test stops it")]

mod archived;
mod armed;
mod budgets;
mod configuration;
mod end_of_grant;
mod events;
mod exactness;
mod gateway_killed;
mod ledger_down;
mod main_job;
mod masks;
mod measured_rules;
mod narrow_grant;
mod not_started;
mod notified;
mod passthrough;
mod people;
mod plans;
mod policy;
mod protocol;
mod reversible_table;
mod reviewed;
mod robustness;
mod scope;
mod searched;
mod session_watched;
mod signed;
mod typed_writes;
mod writes;
