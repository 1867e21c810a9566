//! TLS to a target, as its `tls` setting asks.
//!
//! Used by the control connections and by the dialer of sessions, so that both trust the same. There is no TLS
//! over a unix socket: PostgreSQL does not offer it there, and the kernel says who is at the other end.

use belay_model::Target;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::Arc;

/// How to speak TLS with one target.
#[derive(Clone)]
pub(crate) enum TargetTls {
    /// In the clear, or over a unix socket.
    Off,
    /// Encrypted.
    On {
        /// The client side.
        config: Arc<ClientConfig>,
        /// Who is expected there.
        name: ServerName<'static>,
    },
}

/// A `tls` setting that cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TargetTlsError {
    /// An unknown word.
    #[error("`{0}` is not a way of TLS; known: disable, require, verify-ca, verify-full")]
    Mode(String),
    /// No certificates to verify with.
    #[error("tls `{0}` needs the certificate of the target's authority")]
    NoAuthority(String),
    /// Certificates that cannot be read.
    #[error("the certificate of the target's authority cannot be read: {0}")]
    Authority(String),
    /// A host that no certificate can name.
    #[error("`{0}` is not a host name or an address")]
    Host(String),
}

impl TargetTls {
    /// Whether this target is reached over a unix socket: its host is then the socket's directory.
    pub(crate) fn is_socket(target: &Target) -> bool {
        target.host.starts_with('/')
    }

    /// Whether what is sent to this target stays on this machine's loopback.
    pub(crate) fn is_loopback(target: &Target) -> bool {
        target.host == "localhost" || target.host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// What the target's settings ask for.
    pub(crate) fn of(target: &Target) -> Result<TargetTls, TargetTlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let check = match target.tls.as_str() {
            "disable" => return Ok(TargetTls::Off),
            "require" => Check::Nothing,
            "verify-ca" => Check::Authority(roots(target)?),
            "verify-full" => Check::AuthorityAndName(roots(target)?),
            other => return Err(TargetTlsError::Mode(other.to_owned())),
        };
        if TargetTls::is_socket(target) {
            return Ok(TargetTls::Off);
        }
        let name = ServerName::try_from(target.host.clone()).map_err(|_| TargetTlsError::Host(target.host.clone()))?;
        Ok(TargetTls::On { config: Arc::new(client_config(provider, check)?), name })
    }
}

enum Check {
    Nothing,
    Authority(RootCertStore),
    AuthorityAndName(RootCertStore),
}

fn roots(target: &Target) -> Result<RootCertStore, TargetTlsError> {
    let pem = target.ca_pem.as_deref().ok_or_else(|| TargetTlsError::NoAuthority(target.tls.clone()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| TargetTlsError::Authority(error.to_string()))?;
        roots.add(certificate).map_err(|error| TargetTlsError::Authority(error.to_string()))?;
    }
    if roots.is_empty() { Err(TargetTlsError::NoAuthority(target.tls.clone())) } else { Ok(roots) }
}

fn client_config(provider: Arc<CryptoProvider>, check: Check) -> Result<ClientConfig, TargetTlsError> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| TargetTlsError::Authority(error.to_string()))?;
    let roots = match check {
        Check::AuthorityAndName(roots) => return Ok(builder.with_root_certificates(roots).with_no_client_auth()),
        Check::Authority(roots) => Some(roots),
        Check::Nothing => None,
    };
    let verifier = Arc::new(NameBlind { provider, roots });
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// Checks that the peer holds the key of its certificate, and who signed that if there are `roots`; never its name.
#[derive(Debug)]
struct NameBlind {
    provider: Arc<CryptoProvider>,
    roots: Option<RootCertStore>,
}

impl ServerCertVerifier for NameBlind {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(host: &str, tls: &str) -> Target {
        Target {
            name: "orders".parse().unwrap(),
            protocol: "postgres".to_owned(),
            host: host.to_owned(),
            port: 5432,
            database: "orders".to_owned(),
            user: "belay".to_owned(),
            tls: tls.to_owned(),
            ca_pem: None,
        }
    }

    #[test]
    fn unknown_words_and_missing_authorities_are_refused() {
        assert_eq!(
            TargetTls::of(&target("db", "prefer")).err().map(|error| error.to_string()),
            Some("`prefer` is not a way of TLS; known: disable, require, verify-ca, verify-full".to_owned())
        );
        assert!(matches!(TargetTls::of(&target("db", "verify-full")), Err(TargetTlsError::NoAuthority(_))));
        assert!(matches!(TargetTls::of(&target("not a host", "require")), Err(TargetTlsError::Host(_))));
    }

    #[test]
    fn a_socket_has_no_tls_and_require_needs_no_authority() {
        assert!(matches!(TargetTls::of(&target("/run/postgresql", "require")), Ok(TargetTls::Off)));
        assert!(matches!(TargetTls::of(&target("db", "require")), Ok(TargetTls::On { .. })));
    }
}
