//! The exact row images of a transaction that is still open, taken from the server's own row versions.
//!
//! The client's statements are neither rewritten nor watched, and nothing is installed in the target. The *writer* is
//! the transaction's own connection; the *outsider*, a second connection, still sees every row as it was. Before
//! anything is committed the *witness* (locks and counts of the server itself) must account for all that was written;
//! what it does not account for is refused.

mod ask;
mod error;

pub use ask::{Ask, EachRow, Row};
pub use error::CaptureError;
