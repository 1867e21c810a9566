//! Decisions: facts in, verdict out.
//!
//! This crate does no IO, reads no clock and never sees bytes of a protocol. [`decide`] is the only
//! place that can mint a [`Permit`].

mod decide;
mod scope;

pub use decide::{Decision, Permit, decide};
