//! Reading a ledger: in order, newest first, and the proof that it is whole.
//!
//! Works on the directory of a running gateway and on a copy of it elsewhere; needs no server and no lock, and changes
//! nothing. Everything is a scan of the files; memory is bounded by what is asked for.

mod events;
mod filter;
mod report;

pub use events::{Events, ReadError, events, tail};
pub use filter::{Filter, FilterError};
pub use report::{Fault, Report, verify, verify_against};
