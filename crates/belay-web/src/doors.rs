//! What the API needs from the rest of the server, and nothing else.

use crate::Problem;
use axum::http::StatusCode;
use belay_server::desk::{Clock, Desk};
use belay_server::feed::Feeds;
use belay_server::ledger::Ledger;
use belay_server::ledger::archive::Archive;
use belay_server::ledger::seal::Sealer;
use belay_server::listen::Gateway;
use std::sync::{Arc, Weak};

/// Everything a handler may reach.
pub struct Doors {
    /// What people do.
    pub desk: Arc<Desk>,
    /// The ledger, for reading.
    pub ledger: Ledger,
    /// Who signs it.
    pub sealer: Arc<Sealer>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Connections that are open now, and the control sides of the targets. Weak, because the gateway stops before
    /// the last answer has gone out.
    pub gateway: Weak<Gateway>,
    /// Where the ledger's files go to be kept.
    pub archive: Option<Archive>,
    /// Whom events go to.
    pub feeds: Arc<Feeds>,
    /// The version of the server.
    pub version: String,
}

impl Doors {
    pub(crate) fn gateway(&self) -> Result<Arc<Gateway>, Problem> {
        self.gateway.upgrade().ok_or_else(|| {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the gateway is stopping")
                .hint("try again in a moment")
        })
    }
}
