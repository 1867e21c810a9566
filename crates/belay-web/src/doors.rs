//! What the API needs from the rest of the server, and nothing else.

use belay_server::desk::{Clock, Desk};
use belay_server::ledger::Ledger;
use belay_server::listen::Gateway;
use std::sync::Arc;

/// Everything a handler may reach.
pub struct Doors {
    /// What people do.
    pub desk: Arc<Desk>,
    /// The ledger, for reading.
    pub ledger: Ledger,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Connections that are open now, and the control sides of the targets.
    pub gateway: Arc<Gateway>,
    /// The version of the server.
    pub version: String,
}
