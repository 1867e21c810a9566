//! The shell around the pure core: listeners, the relay, the end of grants, the desk, the ledger's thread, configuration.
//!
//! This crate does not parse any protocol (engines do), decide on statements (`belay-policy` does) or speak HTTP
//! (`belay-web` does).

pub mod ledger;
pub mod desk;
pub mod people;
pub mod secrets;
pub mod config;
pub mod tls;
pub mod server;
pub mod shutdown;
pub mod metrics;
pub mod listen;
pub mod sessions;
pub mod targets;
mod counts;
mod expiry;
mod gate;
mod notify;
mod relay;
