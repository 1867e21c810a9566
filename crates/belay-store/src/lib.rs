//! What Belay remembers: people, targets, rules, requests, grants and sessions, in one SQLite file.
//!
//! This crate does not decide and reads no clock. It keeps no secret in the clear: passwords come in
//! hashed or sealed, tokens as hashes and verifiers. Changes go through one [`Writing`] at a time.

mod user;

pub use user::{ApiToken, User};
