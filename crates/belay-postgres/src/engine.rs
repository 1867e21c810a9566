//! PostgreSQL as an engine: what its connections share.

use crate::cancel::CancelKeys;
use crate::catalog::keep::{Catalogs, Pace};
use crate::channel_binding::end_point_hash;
use crate::classify::{Classifier, Limits};
use crate::control::PgControl;
use crate::front;
use belay_engine::{Arrival, BoxFuture, Control, Engine, Gate, TargetAccess};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// The PostgreSQL engine.
pub struct PostgresEngine {
    shared: Shared,
}

/// What all connections use.
pub(crate) struct Shared {
    classifier: Arc<Classifier>,
    cancel_keys: CancelKeys,
    catalogs: Arc<Catalogs>,
    acceptor: TlsAcceptor,
    end_point: Vec<u8>,
}

impl PostgresEngine {
    /// An engine that shows clients the certificate in `tls`, whose leaf is `leaf` in DER, and reads statements of at
    /// most `statement_bytes`.
    pub fn new(tls: Arc<rustls::ServerConfig>, leaf: &[u8], statement_bytes: usize) -> PostgresEngine {
        let end_point = end_point_hash(leaf).unwrap_or_default();
        let limits = Limits { text: statement_bytes, ..Limits::default() };
        PostgresEngine {
            shared: Shared {
                classifier: Arc::new(Classifier::new(limits, None)),
                cancel_keys: CancelKeys::default(),
                catalogs: Arc::new(Catalogs::with_pace(Pace { limits, ..Pace::default() })),
                acceptor: TlsAcceptor::from(tls),
                end_point,
            },
        }
    }
}

impl Engine for PostgresEngine {
    fn protocol(&self) -> &'static str {
        "postgres"
    }

    fn arrive<'a>(&'a self, stream: TcpStream, peer: SocketAddr, gate: &'a dyn Gate) -> BoxFuture<'a, Arrival> {
        Box::pin(front::arrive(&self.shared, stream, peer, gate))
    }

    fn control(&self, target: &TargetAccess) -> Arc<dyn Control> {
        Arc::new(PgControl::with_catalogs(target, Arc::clone(&self.shared.catalogs)))
    }
}

impl Shared {
    pub(crate) fn classifier(&self) -> Arc<Classifier> {
        Arc::clone(&self.classifier)
    }

    pub(crate) fn cancel_keys(&self) -> &CancelKeys {
        &self.cancel_keys
    }

    /// The catalogs of the databases that connections are in. [`PgControl`] makes one fresh before a connection opens.
    pub(crate) fn catalogs(&self) -> &Catalogs {
        &self.catalogs
    }

    pub(crate) fn tls(&self) -> (&TlsAcceptor, Vec<u8>) {
        (&self.acceptor, self.end_point.clone())
    }
}
