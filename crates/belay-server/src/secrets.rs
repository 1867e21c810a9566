//! Secrets: the key file, sealing, tokens, and what checks a token without holding it.
//!
//! Nothing here is stored, logged or compared in a way that shows how much of it matched.

use crate::files;
use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, hmac, pbkdf2, rand};
use belay_engine::ScramVerifier;
use belay_model::Token;
use belay_store::SealedSecret;
use std::fs::File;
use std::io::Read;
use std::num::NonZeroU32;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use zeroize::Zeroizing;

/// PBKDF2 rounds of a verifier, as PostgreSQL has them. The tokens behind them are random, not chosen.
const ITERATIONS: NonZeroU32 = match NonZeroU32::new(4_096) {
    Some(iterations) => iterations,
    None => NonZeroU32::MIN,
};
const SALT: usize = 16;

/// A secret that could not be made, sealed or opened. The text holds none of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The key file can be read by others.
    #[error("the key file `{0}` can be read by others; chmod 600 it, and think of its secrets as known")]
    OpenToOthers(String),
    /// The key file is not one.
    #[error("the key file `{0}` is not 32 bytes long; restore it from a backup")]
    Malformed(String),
    /// The store was sealed under a key that is not there any more.
    #[error("the store is sealed under key {wanted}, and the key file `{file}` {found}; restore it from a backup")]
    WrongKey {
        /// The file.
        file: String,
        /// The key the store wants.
        wanted: String,
        /// `holds key 1a2b` or `is missing`.
        found: String,
    },
    /// The file system said no.
    #[error("the key file `{file}`: {detail}")]
    File {
        /// The file.
        file: String,
        /// What the system says.
        detail: String,
    },
    /// What was sealed does not open: another key, another owner, or damage.
    #[error("the sealed secret of `{0}` does not open")]
    DoesNotOpen(String),
    /// The system gave no random bytes, or a primitive failed.
    #[error("the cryptographic library failed")]
    Library,
}

/// The keys made from the key file.
pub struct Keys {
    id: String,
    seal: RandomizedNonceKey,
    mock: hmac::Key,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Keys {
    /// Reads the key file. Makes it only where the store is not sealed under any key (`wanted`) yet.
    pub fn open(path: &Path, wanted: Option<&str>) -> Result<Keys, SecretError> {
        let file = path.display().to_string();
        let key = match (read_key(path)?, wanted) {
            (Some(key), _) => key,
            (None, None) => make_key(path)?,
            (None, Some(wanted)) => {
                return Err(SecretError::WrongKey { file, wanted: wanted.to_owned(), found: "is missing".to_owned() });
            }
        };
        let keys = Keys::from_master(&key)?;
        match wanted {
            Some(wanted) if wanted != keys.id => {
                let found = format!("holds key {}", keys.id);
                Err(SecretError::WrongKey { file, wanted: wanted.to_owned(), found })
            }
            _ => Ok(keys),
        }
    }

    fn from_master(master: &[u8; 32]) -> Result<Keys, SecretError> {
        let master = hmac::Key::new(hmac::HMAC_SHA256, master);
        let derived = |label: &str| hmac::sign(&master, label.as_bytes());
        let id = hex::encode(derived("belay key id").as_ref().get(..4).unwrap_or_default());
        let seal = RandomizedNonceKey::new(&AES_256_GCM, derived("belay sealing 1").as_ref())
            .map_err(|_| SecretError::Library)?;
        let mock = hmac::Key::new(hmac::HMAC_SHA256, derived("belay mock verifier 1").as_ref());
        Ok(Keys { id, seal, mock })
    }

    /// What tells this key from another; not secret.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Seals a secret so that it opens only for the same owner, e.g. `target/orders`.
    pub fn seal(&self, owner: &str, secret: &[u8]) -> Result<SealedSecret, SecretError> {
        let mut sealed = secret.to_vec();
        let nonce = self
            .seal
            .seal_in_place_append_tag(Aad::from(owner.as_bytes()), &mut sealed)
            .map_err(|_| SecretError::Library)?;
        Ok(SealedSecret { key_id: self.id.clone(), nonce: *nonce.as_ref(), sealed })
    }

    /// Opens what was sealed for this owner.
    pub fn unseal(&self, owner: &str, secret: &SealedSecret) -> Result<Zeroizing<Vec<u8>>, SecretError> {
        let mut bytes = Zeroizing::new(secret.sealed.clone());
        let nonce = Nonce::assume_unique_for_key(secret.nonce);
        let length = self
            .seal
            .open_in_place(nonce, Aad::from(owner.as_bytes()), &mut bytes)
            .map_err(|_| SecretError::DoesNotOpen(owner.to_owned()))?
            .len();
        bytes.truncate(length);
        Ok(bytes)
    }

    /// A verifier that nothing satisfies, the same each time for the same user: a login that cannot
    /// succeed looks like one that could.
    pub fn mock_verifier(&self, user: &str) -> ScramVerifier {
        let derived = |label: &str| {
            let mut context = hmac::Context::with_key(&self.mock);
            context.update(label.as_bytes());
            context.update(user.as_bytes());
            let mut bytes = [0; 32];
            bytes.copy_from_slice(context.sign().as_ref());
            bytes
        };
        ScramVerifier {
            iterations: ITERATIONS.get(),
            salt: derived("salt\0").get(..SALT).unwrap_or_default().to_vec(),
            stored_key: derived("stored\0"),
            server_key: derived("server\0"),
        }
    }
}

/// Random bytes from the system.
pub fn random<const N: usize>() -> Result<[u8; N], SecretError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| SecretError::Library)?;
    Ok(bytes)
}

/// A new token.
pub fn mint_token() -> Result<Token, SecretError> {
    Ok(Token::from_random(random()?))
}

/// What is stored of a token. The token is 32 random bytes, so a plain hash is enough.
pub fn token_hash(token: &Token) -> [u8; 32] {
    sha256(token.reveal().as_bytes())
}

/// Whether two hashes are the same, in a time that says nothing.
pub fn same_hash(one: &[u8; 32], other: &[u8; 32]) -> bool {
    verify_slices_are_equal(one, other).is_ok()
}

/// What checks a token in SCRAM-SHA-256 (RFC 5802, section 3), under a fresh salt.
pub fn verifier_of(token: &Token) -> Result<ScramVerifier, SecretError> {
    Ok(derive_verifier(token.reveal().as_bytes(), random::<SALT>()?.to_vec()))
}

fn derive_verifier(secret: &[u8], salt: Vec<u8>) -> ScramVerifier {
    let mut salted = Zeroizing::new([0; 32]);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ITERATIONS, &salt, secret, salted.as_mut());
    let key = hmac::Key::new(hmac::HMAC_SHA256, salted.as_ref());
    let mut server_key = [0; 32];
    server_key.copy_from_slice(hmac::sign(&key, b"Server Key").as_ref());
    let stored_key = sha256(hmac::sign(&key, b"Client Key").as_ref());
    ScramVerifier { iterations: ITERATIONS.get(), salt, stored_key, server_key }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

pub(crate) fn read_key(path: &Path) -> Result<Option<Zeroizing<[u8; 32]>>, SecretError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(file_error(path, &error)),
    };
    let facts = file.metadata().map_err(|error| file_error(path, &error))?;
    if facts.mode() & 0o077 != 0 {
        return Err(SecretError::OpenToOthers(path.display().to_string()));
    }
    let mut key = Zeroizing::new([0; 32]);
    if facts.len() != 32 || file.read_exact(key.as_mut()).is_err() {
        return Err(SecretError::Malformed(path.display().to_string()));
    }
    Ok(Some(key))
}

pub(crate) fn make_key(path: &Path) -> Result<Zeroizing<[u8; 32]>, SecretError> {
    let key = Zeroizing::new(random::<32>()?);
    files::create(path, key.as_ref(), 0o600).map_err(|error| file_error(path, &error))?;
    Ok(key)
}

pub(crate) fn file_error(path: &Path, error: &std::io::Error) -> SecretError {
    SecretError::File { file: path.display().to_string(), detail: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_verifier_gives_the_signature_of_the_example_in_rfc_7677() {
        let salt = BASE64_STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = derive_verifier(b"pencil", salt);
        let message = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
                       r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
                       c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let key = hmac::Key::new(hmac::HMAC_SHA256, &verifier.server_key);
        let signature = BASE64_STANDARD.encode(hmac::sign(&key, message.as_bytes()));
        assert_eq!(signature, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn a_sealed_secret_opens_for_its_owner_and_key_only() {
        let keys = Keys::from_master(&[7; 32]).unwrap();
        let sealed = keys.seal("target/orders", b"s3cret").unwrap();
        assert_eq!(keys.unseal("target/orders", &sealed).unwrap().as_slice(), b"s3cret");
        assert!(!sealed.sealed.windows(6).any(|window| window == b"s3cret"));
        assert!(keys.unseal("target/billing", &sealed).is_err());
        assert!(Keys::from_master(&[8; 32]).unwrap().unseal("target/orders", &sealed).is_err());
        let mut changed = sealed;
        changed.sealed[0] ^= 1;
        assert!(keys.unseal("target/orders", &changed).is_err());
    }

    #[test]
    fn the_key_file_is_made_once_and_refused_when_others_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let made = Keys::open(&path, None).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(Keys::open(&path, Some(made.id())).unwrap().id(), made.id());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Keys::open(&path, None), Err(SecretError::OpenToOthers(_))));
    }

    #[test]
    fn a_lost_or_foreign_key_file_is_noticed_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let lost = Keys::open(&path, Some("0badcafe")).unwrap_err();
        assert!(lost.to_string().contains("is missing"), "{lost}");
        assert!(!path.exists());
        Keys::open(&path, None).unwrap();
        let foreign = Keys::open(&path, Some("0badcafe")).unwrap_err();
        assert!(foreign.to_string().contains("holds key"), "{foreign}");
    }

    #[test]
    fn unknown_users_get_the_same_salt_at_every_try_and_different_ones_among_them() {
        let keys = Keys::from_master(&[7; 32]).unwrap();
        assert_eq!(keys.mock_verifier("eve"), keys.mock_verifier("eve"));
        assert_ne!(keys.mock_verifier("eve").salt, keys.mock_verifier("mallory").salt);
        assert_eq!(keys.mock_verifier("eve").salt.len(), 16);
    }
}
