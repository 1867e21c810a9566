//! The local authority: a small CA that signs one certificate, the server's own.
//!
//! Its key never leaves the data directory. It signs nothing else, and clients trust it only where they are told to.

use super::{TlsError, files};
use aws_lc_rs::rand;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SerialNumber,
};
use rustls::RootCertStore;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::server::ParsedCertificate;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_parser::prelude::{FromDer, X509Certificate};

/// The server's certificate.
pub(super) const CERT_FILE: &str = "server.pem";
/// The server's key.
pub(super) const KEY_FILE: &str = "server.key";
const CA_KEY_FILE: &str = "ca.key";

const DAY: Duration = Duration::from_hours(24);
const AUTHORITY_DAYS: u32 = 3_650;
/// The longest life that all clients accept (Apple's bound is 398 days).
const SERVER_DAYS: u32 = 397;
const RENEW_DAYS: u32 = 30;

/// Makes what is missing or near its end. Returns whether the server's certificate was made.
pub(super) fn ensure(dir: &Path, ca: &Path, names: &[String], now: SystemTime) -> Result<bool, TlsError> {
    files::make_dir(dir)?;
    let key_path = dir.join(CA_KEY_FILE);
    if !ca.exists() && !key_path.exists() {
        make_authority(ca, &key_path, now)?;
    }
    let authority = Authority::read(ca, &key_path)?;
    let wanted = wanted_names(names);
    if is_current(&dir.join(CERT_FILE), &dir.join(KEY_FILE), &authority.der, &wanted, now) {
        return Ok(false);
    }
    authority.sign_server(dir, &wanted, now)?;
    Ok(true)
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
}

impl Authority {
    fn read(ca: &Path, key_path: &Path) -> Result<Authority, TlsError> {
        let wrong = |path: &Path, what: &str| TlsError::Content { path: path.to_owned(), what: what.to_owned() };
        let der = CertificateDer::from_pem_slice(&files::read(ca)?).map_err(|_| {
            wrong(ca, "holds no PEM certificate; move it and the `tls` directory away to make a new authority")
        })?;
        let key_pem = zeroize::Zeroizing::new(String::from_utf8_lossy(&files::read(key_path)?).into_owned());
        let key = KeyPair::from_pem(&key_pem).map_err(|_| wrong(key_path, "holds no usable private key"))?;
        let (_, certificate) = X509Certificate::from_der(&der).map_err(|_| wrong(ca, "holds no X.509 certificate"))?;
        let common_name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        let common_name = common_name.ok_or_else(|| wrong(ca, "is not an authority that this server made"))?;
        if certificate.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
            return Err(wrong(ca, "does not belong to the key beside it"));
        }
        let issuer = Issuer::new(authority_params(common_name), key);
        Ok(Authority { issuer, der })
    }

    fn sign_server(&self, dir: &Path, names: &BTreeSet<String>, now: SystemTime) -> Result<(), TlsError> {
        let mut params = CertificateParams::new(names.iter().cloned().collect::<Vec<_>>())?;
        params.distinguished_name = common_name("Belay gateway");
        params.not_before = (now - DAY).into();
        params.not_after = (now + SERVER_DAYS * DAY).into();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(SerialNumber::from_slice(&random_serial()?));
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        files::replace(&dir.join(KEY_FILE), key.serialize_pem().as_bytes(), 0o600)?;
        files::replace(&dir.join(CERT_FILE), certificate.pem().as_bytes(), 0o644)
    }
}

fn make_authority(ca: &Path, key_path: &Path, now: SystemTime) -> Result<(), TlsError> {
    let serial = random_serial()?;
    // Clients that trust several gateways must be able to tell their authorities apart.
    let name = format!("Belay authority {}", hex::encode(serial.get(..4).unwrap_or_default()));
    let mut params = authority_params(&name);
    params.not_before = (now - DAY).into();
    params.not_after = (now + AUTHORITY_DAYS * DAY).into();
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    files::replace(key_path, key.serialize_pem().as_bytes(), 0o600)?;
    files::replace(ca, certificate.pem().as_bytes(), 0o644)
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn random_serial() -> Result<[u8; 16], TlsError> {
    let mut serial = [0; 16];
    rand::fill(&mut serial).map_err(|_| TlsError::Unusable(rustls::Error::FailedToGetRandomBytes))?;
    // A serial number is positive (RFC 5280, 4.1.2.2).
    serial[0] &= 0x7f;
    Ok(serial)
}

fn wanted_names(configured: &[String]) -> BTreeSet<String> {
    let local = ["localhost".to_owned(), Ipv4Addr::LOCALHOST.to_string(), Ipv6Addr::LOCALHOST.to_string()];
    local.into_iter().chain(configured.iter().map(|name| name.to_ascii_lowercase())).collect()
}

/// Whether the certificate on disk can be kept. Anything unreadable about it is a reason to make a new one.
fn is_current(cert: &Path, key: &Path, ca: &CertificateDer<'_>, wanted: &BTreeSet<String>, now: SystemTime) -> bool {
    let Some(der) = files::read(cert).ok().and_then(|pem| CertificateDer::from_pem_slice(&pem).ok()) else {
        return false;
    };
    fits_key(&der, key) && stands_under(&der, ca, wanted, now + RENEW_DAYS * DAY)
}

fn fits_key(der: &CertificateDer<'_>, key: &Path) -> bool {
    let Ok(pem) = files::read(key) else { return false };
    let pem = zeroize::Zeroizing::new(String::from_utf8_lossy(&pem).into_owned());
    let (Ok(key), Ok((_, certificate))) = (KeyPair::from_pem(&pem), X509Certificate::from_der(der)) else {
        return false;
    };
    certificate.public_key().subject_public_key.data.as_ref() == key.public_key_raw()
}

/// Whether a client that trusts `ca` would take the certificate at `time` for every one of `names`.
fn stands_under(der: &CertificateDer<'_>, ca: &CertificateDer<'_>, names: &BTreeSet<String>, time: SystemTime) -> bool {
    let Ok(since_epoch) = time.duration_since(UNIX_EPOCH) else { return false };
    let mut roots = RootCertStore::empty();
    let Ok(certificate) = ParsedCertificate::try_from(der) else { return false };
    if roots.add(ca.clone().into_owned()).is_err() {
        return false;
    }
    let algorithms = super::provider().signature_verification_algorithms;
    let time = UnixTime::since_unix_epoch(since_epoch);
    verify_server_cert_signed_by_trust_anchor(&certificate, &roots, &[], time, algorithms.all).is_ok()
        && names.iter().all(|name| {
            ServerName::try_from(name.as_str()).is_ok_and(|name| verify_server_name(&certificate, &name).is_ok())
        })
}
