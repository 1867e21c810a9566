//! What Belay remembers: people, targets, rules, requests, grants, sessions, plans and changes, in one SQLite file.
//!
//! This crate does not decide and reads no clock. It keeps no secret in the clear: passwords come in
//! hashed or sealed, tokens as hashes and verifiers. Reads go through a [`Reader`], changes through one
//! [`Writing`] at a time: what it read is still true when it commits.

mod api_token;
mod belongs;
mod change;
mod erasure;
mod error;
mod grant;
mod hold;
mod lock;
mod look;
mod mask;
mod meta;
mod open;
mod owed;
mod plan;
mod request;
mod row;
mod rule;
mod session;
mod target;
mod user;

pub use api_token::{ApiToken, TokenOwner};
pub use belongs::Held;
pub use change::{ChangeRecord, WhichChanges};
pub use erasure::{ErasureRecord, ErasureState};
pub use error::StoreError;
pub use grant::{GrantRecord, LoginRecord, StoredVerifier};
pub use hold::HoldRecord;
pub use look::{Look, Reader, Writing};
pub use mask::MaskRecord;
pub use open::{FILE, Store};
pub use plan::PlanRecord;
pub use target::SealedSecret;
pub use user::User;

/// The most rows a list returns, newest first.
pub const LIST_MOST: i64 = 1_000;
