//! The session report: what one session or one access request was, made of the ledger's records alone.
//!
//! Pure: records in, a document out. [`gather`] makes a [`Report`] of records, and always the same of the same ones. A
//! [`Document`] holds both, with proofs that the records are in the ledger; [`check`] makes the report anew and compares,
//! so that nobody can change what it says. [`page`] writes it for people.

mod check;
mod document;
mod gather;
mod hash;
mod html;
mod left;
mod report;
mod select;
mod strict;
mod subject;
mod words;

pub use check::{Checked, Fault, check, check_page};
pub use document::{API_VERSION, Document, KIND, Proof, Proven, RowsBefore, Taken, Values, ValuesOfTable, signed_text};
pub use gather::gather;
pub use hash::Hashes;
pub use html::{embedded, page};
pub use report::{
    Change, Connection, Ended, Grant, Left, LeftTable, Plan, Report, Request, Session, Statement, Step, Summary,
};
pub use select::{Scout, Selection};
pub use subject::{Subject, SubjectError};

/// The most records of one report.
pub const RECORDS_MOST: usize = 100_000;
