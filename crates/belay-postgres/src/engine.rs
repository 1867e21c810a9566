//! PostgreSQL as an engine: what its connections share.

use crate::cancel::CancelKeys;
use crate::classify::{Classifier, Limits};
use crate::control::PgControl;
use crate::front;
use aws_lc_rs::{digest, rand};
use base64::Engine as _;
use belay_engine::{Arrival, BoxFuture, Control, Engine, Gate, TargetAccess};
use std::io;
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
    acceptor: TlsAcceptor,
    end_point: Vec<u8>,
}

impl PostgresEngine {
    /// An engine that shows clients the certificate in `tls`, whose leaf is `leaf` in DER, and reads statements of at
    /// most `statement_bytes`.
    pub fn new(tls: Arc<rustls::ServerConfig>, leaf: &[u8], statement_bytes: usize) -> PostgresEngine {
        let end_point = end_point_hash(leaf).unwrap_or_default();
        PostgresEngine {
            shared: Shared {
                classifier: Arc::new(Classifier::new(Limits { text: statement_bytes, ..Limits::default() })),
                cancel_keys: CancelKeys::default(),
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
        Arc::new(PgControl::new(target))
    }
}

impl Shared {
    pub(crate) fn classifier(&self) -> Arc<Classifier> {
        Arc::clone(&self.classifier)
    }

    pub(crate) fn cancel_keys(&self) -> &CancelKeys {
        &self.cancel_keys
    }

    pub(crate) fn tls(&self) -> (&TlsAcceptor, Vec<u8>) {
        (&self.acceptor, self.end_point.clone())
    }
}

/// Random bytes from the system.
pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0u8; N];
    rand::fill(&mut bytes).map_err(|_| io::Error::other("no random numbers"))?;
    Ok(bytes)
}

/// A random text of printable characters, for a nonce.
pub(crate) fn random_text() -> io::Result<String> {
    Ok(base64::engine::general_purpose::STANDARD_NO_PAD.encode(random::<18>()?))
}

/// The `tls-server-end-point` of a certificate (RFC 5929, section 4.1): its hash by the hash of its signature, SHA-256
/// where that is MD5 or SHA-1. `None` where the certificate cannot be read or its signature has no one hash.
pub(crate) fn end_point_hash(certificate: &[u8]) -> Option<Vec<u8>> {
    use x509_parser::oid_registry as oid;
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let signature = &parsed.signature_algorithm.algorithm;
    let is_one_of = |known: &[x509_parser::der_parser::Oid<'_>]| known.iter().any(|oid| oid == signature);
    let algorithm = if is_one_of(&[oid::OID_PKCS1_SHA384WITHRSA, oid::OID_SIG_ECDSA_WITH_SHA384]) {
        &digest::SHA384
    } else if is_one_of(&[oid::OID_PKCS1_SHA512WITHRSA, oid::OID_SIG_ECDSA_WITH_SHA512]) {
        &digest::SHA512
    } else if is_one_of(&[oid::OID_SIG_ED25519, oid::OID_PKCS1_RSASSAPSS]) {
        return None;
    } else {
        &digest::SHA256
    };
    Some(digest::digest(algorithm, certificate).as_ref().to_vec())
}
