//! Who may ask for what, who approves it, and what is granted at once: policies in Cedar, beside the rules.
//!
//! Judges no statement, reads no file and no clock, and knows no store: texts, people and times go in, decisions come
//! out. An evaluation error in any policy denies. See `docs/policies.md` for how policies are written.

mod decide;
mod entity;
mod explain;
mod load;
mod place;
mod policy;
mod question;
mod time;

pub use decide::{Asked, Decided, Denied, Why};

pub use explain::{Answer, Basis, Beside, Change, Explained, Nearest, World};
pub use load::{DEFAULT, LoadError, Policies, SCHEMA, Source};
pub use policy::{Deciding, Described};
