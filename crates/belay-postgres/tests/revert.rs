//! Giving rows back on a real PostgreSQL. Change sets are made of whole tables before and after, not by the capture.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed step fails the test")]

#[path = "revert/cases.rs"]
mod cases;
#[path = "revert/conflicts.rs"]
mod conflicts;
#[path = "revert/fixture.rs"]
mod fixture;
#[path = "revert/speed.rs"]
mod speed;
#[path = "revert/strategies.rs"]
mod strategies;
