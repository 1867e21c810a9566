//! The HTTP side of Belay: the API under `/v1`, and the operator's listener.
//!
//! Decides nothing: every act is the desk's. Holds no state of its own and knows no protocol of a target. Only
//! this crate knows the shapes of JSON and of HTTP errors; the command line shares the shapes.

#![allow(clippy::result_large_err, reason = "a problem is made once a request, where a box would save nothing")]

pub mod admin;
pub mod api;
mod body;
mod caller;
mod doors;
mod problem;
mod serve;
pub mod shape;
mod tls_listener;

pub use doors::Doors;
pub use problem::Problem;
pub use serve::serve;
pub use tls_listener::TlsListener;
