//! A certificate authority of one test, and a certificate of it.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::sync::Arc;

/// An authority's certificate and a server's certificate and key, in PEM.
#[derive(Clone)]
pub struct Certificates {
    /// The authority.
    pub ca: String,
    /// The server's certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Certificates {
    /// A new authority, and a certificate for these names and addresses.
    pub fn for_names(names: &[&str]) -> Certificates {
        let ca_key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "testkit authority");
        let ca = authority.self_signed(&ca_key).unwrap().pem();
        let issuer = Issuer::new(authority, ca_key);
        let key = KeyPair::generate().unwrap();
        let mut server = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        server.distinguished_name.push(DnType::CommonName, names.first().copied().unwrap_or("server"));
        let certificate = server.signed_by(&key, &issuer).unwrap().pem();
        Certificates { ca, certificate, key: key.serialize_pem() }
    }

    /// A TLS client that trusts this authority and nothing else.
    pub fn client_config(&self) -> rustls::ClientConfig {
        trusting(&self.ca)
    }
}

/// A TLS client that trusts this authority and nothing else.
pub(crate) fn trusting(ca: &str) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
    rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}
