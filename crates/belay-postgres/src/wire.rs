//! PostgreSQL's frontend/backend protocol, version 3 (PostgreSQL documentation, chapter "Frontend/Backend
//! Protocol"): frames, the few messages that are read, the few that are made.
//!
//! Nothing here does IO, and no result row is ever decoded.

mod build;
mod field;
mod frame;
mod options;
mod read;
mod startup;

pub use build::{OWN, Report, Severity};
pub use build::{
    authentication, backend_key, command_complete, command_in_batch, describe_portal, error_response,
    negotiate_version, notice_response, own_query, parameter_status, parse_unnamed, passed_on, query, ready_for_query,
    refusal_text,
};
pub use field::{Fields, error_fields};
pub use frame::{FRONTEND_LIMIT, Frame, frame};
pub use options::options;
pub use read::{
    Bind, bind, bind_parameters, execute, function_call, parameter_types, parse, query_text, rows_of_tag, target_of,
};
pub use startup::{CancelKey, Opening, OpeningError, StartupParameters, opening, opening_length};

/// Bytes that do not follow the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A length field below its own size.
    #[error("invalid message length")]
    Length,
    /// A message longer than the bound for its kind.
    #[error("message `{tag}` of {length} bytes is longer than the bound of {bound}")]
    TooLong {
        /// The message type.
        tag: char,
        /// Its length.
        length: usize,
        /// The bound.
        bound: usize,
    },
    /// A type that is not in the protocol, or not in this phase of it.
    #[error("invalid frontend message type {0}")]
    Type(u8),
    /// Content that ends early or goes on too long.
    #[error("invalid message format in `{0}`")]
    Format(char),
}
