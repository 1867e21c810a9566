//! The shell around the pure core: listeners, the relay, the end of grants, the desk, the ledger's thread, configuration.
//!
//! This crate does not parse any protocol (engines do), decide on statements (`belay-policy` does) or speak HTTP
//! (`belay-web` does).

pub mod bucket;
pub mod changes;
pub mod config;
mod counts;
pub mod desk;
pub mod eraser;
mod expiry;
pub mod feed;
mod files;
mod gate;
pub mod ledger;
pub mod listen;
pub mod metrics;
mod notify;
pub mod people;
pub mod policy_files;
mod relay;
pub mod secrets;
pub mod server;
pub mod sessions;
pub mod shutdown;
mod signature;
mod signed_post;
pub mod targets;
pub mod tls;
pub mod vault;
