//! The server's certificate and what the listeners need of it.
//!
//! Knows nothing of what is spoken inside the TLS streams, and does no login: clients show no certificates.

mod authority;
mod files;

use crate::config::{Config, OwnCertificate};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::version::{TLS12, TLS13};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// The authority's certificate in the data directory, for clients.
pub const CA_FILE: &str = "ca.pem";

/// A certificate that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("`{}` cannot be used: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("`{}` {what}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The library refused.
    #[error("certificate cannot be made: {0}")]
    Making(#[from] rcgen::Error),
    /// The certificate does not fit its key, or cannot be used.
    #[error("certificate cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
}

/// The server's certificate with its key.
pub struct ServerIdentity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    ca: Option<PathBuf>,
    renewed: bool,
}

impl ServerIdentity {
    /// Opens the configured certificate, or the local authority's: made at the first start, and made again
    /// when less than 30 days are left or a configured name is missing from it.
    pub fn open(config: &Config, now: SystemTime) -> Result<ServerIdentity, TlsError> {
        match &config.tls {
            Some(own) => open_own(own),
            None => open_local(&config.data_dir.join("tls"), &config.data_dir.join(CA_FILE), &config.listen.names, now),
        }
    }

    /// The certificate itself, which channel binding of the type `tls-server-end-point` is computed from (RFC 5929).
    pub fn leaf(&self) -> Option<&CertificateDer<'static>> {
        self.chain.first()
    }

    /// The file with the authority that clients are to trust, where there is one of our own.
    pub fn ca(&self) -> Option<&Path> {
        self.ca.as_deref()
    }

    /// Whether the certificate was made at this start.
    pub fn was_renewed(&self) -> bool {
        self.renewed
    }

    /// For the HTTP listeners.
    pub fn http(&self) -> Result<Arc<ServerConfig>, TlsError> {
        self.server_config(&[b"h2", b"http/1.1"])
    }

    /// For the PostgreSQL listener.
    pub fn postgres(&self) -> Result<Arc<ServerConfig>, TlsError> {
        self.server_config(&[b"postgresql"])
    }

    fn server_config(&self, protocols: &[&[u8]]) -> Result<Arc<ServerConfig>, TlsError> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), self.key.clone_key())?;
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Arc::new(config))
    }
}

/// The one provider of cryptography.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Makes [`provider`] the process's default, for libraries that ask for one. Idempotent.
pub fn install_provider() {
    // An error says that one is installed already; there is only this one to install.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

fn open_own(own: &OwnCertificate) -> Result<ServerIdentity, TlsError> {
    let (chain, key) = read_pair(&own.cert, &own.key)?;
    if let Some(ca) = &own.ca {
        files::read(ca)?;
    }
    let identity = ServerIdentity { chain, key, ca: own.ca.clone(), renewed: false };
    identity.http()?;
    Ok(identity)
}

fn open_local(dir: &Path, ca: &Path, names: &[String], now: SystemTime) -> Result<ServerIdentity, TlsError> {
    let renewed = authority::ensure(dir, ca, names, now)?;
    let (chain, key) = read_pair(&dir.join(authority::CERT_FILE), &dir.join(authority::KEY_FILE))?;
    Ok(ServerIdentity { chain, key, ca: Some(ca.to_owned()), renewed })
}

type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn read_pair(cert: &Path, key: &Path) -> Result<Pair, TlsError> {
    let wrong = |path: &Path, what: &str| TlsError::Content { path: path.to_owned(), what: what.to_owned() };
    let chain = CertificateDer::pem_slice_iter(&files::read(cert)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| wrong(cert, "holds no readable PEM certificate"))?;
    if chain.is_empty() {
        return Err(wrong(cert, "holds no PEM certificate"));
    }
    let key_pem = zeroize::Zeroizing::new(files::read(key)?);
    let key = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|_| wrong(key, "holds no PEM private key"))?;
    Ok((chain, key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

    const DAY: Duration = Duration::from_hours(24);

    fn config(dir: &Path, names: &[&str]) -> Config {
        let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
        let text = format!("data_dir = {:?}\n[listen]\nnames = [{}]\n", dir.display().to_string(), names.join(", "));
        Config::parse(&text, Path::new("belay.toml"), &|_| None).unwrap()
    }

    fn names_of(identity: &ServerIdentity) -> Vec<String> {
        let (_, certificate) = X509Certificate::from_der(identity.leaf().unwrap()).unwrap();
        let names = certificate.subject_alternative_name().unwrap().unwrap();
        names
            .value
            .general_names
            .iter()
            .map(|name| match name {
                GeneralName::DNSName(name) => (*name).to_owned(),
                GeneralName::IPAddress(bytes) => format!("{bytes:?}"),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn the_first_start_makes_an_authority_and_the_second_keeps_it() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), &["gateway.example.org"]);
        let first = ServerIdentity::open(&config, SystemTime::now()).unwrap();
        assert!(first.was_renewed());
        assert!(names_of(&first).contains(&"localhost".to_owned()));
        assert!(names_of(&first).contains(&"gateway.example.org".to_owned()));
        assert!(names_of(&first).contains(&"[127, 0, 0, 1]".to_owned()));
        let second = ServerIdentity::open(&config, SystemTime::now()).unwrap();
        assert!(!second.was_renewed());
        assert_eq!(first.leaf(), second.leaf());
    }

    #[test]
    fn keys_are_readable_by_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        ServerIdentity::open(&config(dir.path(), &[]), SystemTime::now()).unwrap();
        let mut seen = 0;
        for entry in std::fs::read_dir(dir.path().join("tls")).unwrap() {
            let entry = entry.unwrap();
            if entry.path().extension().is_some_and(|end| end == "key") {
                assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
                seen += 1;
            }
        }
        assert_eq!(seen, 2);
    }

    #[test]
    fn a_certificate_near_its_end_is_made_again_under_the_same_authority() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), &[]);
        let now = SystemTime::now();
        let first = ServerIdentity::open(&config, now).unwrap();
        let ca = std::fs::read(dir.path().join(CA_FILE)).unwrap();
        let early = ServerIdentity::open(&config, now + 300 * DAY).unwrap();
        assert!(!early.was_renewed());
        let late = ServerIdentity::open(&config, now + 370 * DAY).unwrap();
        assert!(late.was_renewed());
        assert_ne!(first.leaf(), late.leaf());
        assert_eq!(ca, std::fs::read(dir.path().join(CA_FILE)).unwrap());
    }

    #[test]
    fn a_new_name_in_the_configuration_makes_a_new_certificate() {
        let dir = tempfile::tempdir().unwrap();
        ServerIdentity::open(&config(dir.path(), &[]), SystemTime::now()).unwrap();
        let wider =
            ServerIdentity::open(&config(dir.path(), &["db.example.org", "10.1.2.3"]), SystemTime::now()).unwrap();
        assert!(wider.was_renewed());
        assert!(names_of(&wider).contains(&"db.example.org".to_owned()));
        assert!(names_of(&wider).contains(&"[10, 1, 2, 3]".to_owned()));
    }

    #[test]
    fn a_damaged_authority_is_an_error_and_nothing_is_changed() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), &[]);
        ServerIdentity::open(&config, SystemTime::now()).unwrap();
        std::fs::write(dir.path().join("tls/ca.key"), "nonsense").unwrap();
        let error = ServerIdentity::open(&config, SystemTime::now() + 390 * DAY).err().unwrap();
        assert!(error.to_string().contains("ca.key"), "{error}");
        assert_eq!(std::fs::read_to_string(dir.path().join("tls/ca.key")).unwrap(), "nonsense");
    }

    #[test]
    fn the_certificate_stands_under_its_authority_for_a_real_verifier() {
        install_provider();
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let config = config(dir.path(), &[]);
        ServerIdentity::open(&config, now).unwrap();
        let late = now + 380 * DAY;
        let identity = ServerIdentity::open(&config, late).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        let pem = std::fs::read(dir.path().join(CA_FILE)).unwrap();
        roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
        let verifier = rustls::client::WebPkiServerVerifier::builder(Arc::new(roots)).build().unwrap();
        let time = rustls_pki_types::UnixTime::since_unix_epoch(late.duration_since(SystemTime::UNIX_EPOCH).unwrap());
        for name in ["localhost", "127.0.0.1", "::1"] {
            use rustls::client::danger::ServerCertVerifier;
            let name = rustls_pki_types::ServerName::try_from(name).unwrap();
            verifier.verify_server_cert(identity.leaf().unwrap(), &[], &name, &[], time).unwrap();
        }
    }
}
