//! Configured production systems.

use crate::Name;
use serde::{Deserialize, Serialize};

/// A production system that Belay guards. Its credentials are not part of this: they are sealed in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The name people connect to.
    pub name: Name,
    /// The protocol, which names the engine: `postgres`.
    pub protocol: String,
    /// Host name, address, or the absolute path of a socket directory.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The database a connection gets when it names none.
    pub database: String,
    /// The user of Belay's own control connections.
    pub user: String,
    /// How TLS to the target is done: `disable`, `require`, `verify-ca` or `verify-full`.
    pub tls: String,
    /// PEM certificates to verify the target with, where `tls` asks for it.
    pub ca_pem: Option<String>,
}
