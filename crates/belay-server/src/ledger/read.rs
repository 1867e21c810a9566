//! Reading a ledger: in order, newest first, and the proof that it is whole.
//!
//! Works on the directory of a running gateway and on a copy of it elsewhere; needs no server and no lock, and changes
//! nothing. Everything is a scan of the files; memory is bounded by what is asked for.

mod events;
pub(super) mod filter;
mod gone;
mod report;
mod signed;
mod unsigned;

pub use events::{Events, ReadError, events, tail};
pub(super) use events::{Place, Placed, Source, has_segments, resume, understood};
pub(super) use filter::Test;
pub use filter::{Filter, FilterError};
pub use gone::Gone;
pub use report::{Against, Fault, Report, verify};
pub use signed::Trust;
