//! What ties a login to the TLS connection it comes through.

use aws_lc_rs::digest;

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
