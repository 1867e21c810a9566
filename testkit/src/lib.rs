//! Real servers in temporary folders, for tests and benchmarks.
//!
//! This crate does not mock anything, never touches a server it did not start itself, and is no part
//! of the gateway: what fails here panics with one line that says what to do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a broken test bed must stop the test")]

mod belay;
mod bypass;
mod certificate;
mod dice;
mod ledger;
mod moto;
mod port;
mod postgres;
mod sample;
mod wait;

pub use belay::{Belay, Outcome, Ticket, binary};
pub use bypass::{Bypass, Prepare};
pub use certificate::Certificates;
pub use dice::Dice;
pub use ledger::{LedgerFiles, link};
pub use moto::Moto;
pub use port::free_port;
pub use postgres::{Builder, Postgres};
pub use sample::{SAMPLE_DATABASE, sample};
pub use wait::{until, wait_until};
