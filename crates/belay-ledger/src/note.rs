//! Signed notes: a text with signatures beneath it that a person can read and any C2SP tool can check.
//!
//! ```text
//! <text, ends with a newline>
//!
//! — <name> <base64 of the key's id and the signature>
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;

/// The type byte of Ed25519 keys.
const ED25519_TYPE: u8 = 1;
/// Bytes of a public key, and of the seed of a private one.
pub const KEY_LEN: usize = 32;
/// Signatures that are read of one note.
const SIGNATURES: usize = 100;

/// A public key with its name: `<name>+<id>+<base64>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    public: [u8; KEY_LEN],
}

/// A text that is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a key of a ledger; expected `NAME+ID+BASE64`, as `belay audit key` prints it")]
pub struct KeyError(String);

impl VerifierKey {
    fn new(name: &str, public: [u8; KEY_LEN]) -> Option<VerifierKey> {
        let plain = !name.is_empty() && !name.contains(|letter: char| letter.is_whitespace() || letter == '+');
        plain.then(|| VerifierKey { name: name.to_owned(), id: id_of(name, public), public })
    }

    /// The name that its signatures bear.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn is_of(&self, signature: &Signature) -> bool {
        self.name == signature.name && self.id == signature.id
    }

    fn verifies(&self, text: &str, signature: &Signature) -> bool {
        let key = VerifyingKey::from_bytes(&self.public);
        let signature = ed25519_dalek::Signature::from_slice(&signature.bytes);
        key.and_then(|key| key.verify_strict(text.as_bytes(), &signature?)).is_ok()
    }
}

fn id_of(name: &str, public: [u8; KEY_LEN]) -> [u8; 4] {
    let hash = Sha256::new().chain_update(name).chain_update([b'\n', ED25519_TYPE]).chain_update(public).finalize();
    let [a, b, c, d, ..]: [u8; 32] = hash.into();
    [a, b, c, d]
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key: Vec<u8> = std::iter::once(ED25519_TYPE).chain(self.public).collect();
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id), STANDARD.encode(key))
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<VerifierKey, KeyError> {
        let wrong = || KeyError(text.to_owned());
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else { return Err(wrong()) };
        let key = STANDARD.decode(key).map_err(|_| wrong())?;
        let public = key.strip_prefix(&[ED25519_TYPE]).and_then(|key| key.try_into().ok()).ok_or_else(wrong)?;
        let key = VerifierKey::new(name, public).ok_or_else(wrong)?;
        if hex::encode(key.id) == id { Ok(key) } else { Err(wrong()) }
    }
}

/// A private key with its name.
pub struct Signer {
    key: VerifierKey,
    pair: SigningKey,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signer").field(&self.key).finish()
    }
}

impl Signer {
    /// The key of this seed; nothing where the name or the seed is none.
    pub fn new(name: &str, seed: &[u8]) -> Option<Signer> {
        let pair = SigningKey::from_bytes(seed.try_into().ok()?);
        let public = pair.verifying_key().to_bytes();
        Some(Signer { key: VerifierKey::new(name, public)?, pair })
    }

    /// Its public half.
    pub fn verifier(&self) -> &VerifierKey {
        &self.key
    }

    fn sign(&self, text: &str) -> Signature {
        let bytes = self.pair.sign(text.as_bytes()).to_bytes().to_vec();
        Signature { name: self.key.name.clone(), id: self.key.id, bytes }
    }
}

/// One signature of a note.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Signature {
    name: String,
    id: [u8; 4],
    bytes: Vec<u8>,
}

/// A text with signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

/// A text that is no signed note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not a signed note")]
pub struct NoteError;

impl Note {
    /// Signs a text, which has to end with a newline, with each of these keys.
    pub fn sign(text: String, signers: &[&Signer]) -> Note {
        let signatures = signers.iter().map(|signer| signer.sign(&text)).collect();
        Note { text, signatures }
    }

    /// What is signed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Adds the signatures of somebody else for the same text, as lines of a note; nothing where one is none.
    pub fn add(&mut self, lines: &str) -> Result<(), NoteError> {
        for line in lines.lines().take(SIGNATURES) {
            let signature = signature(line)?;
            if !self.signatures.contains(&signature) {
                self.signatures.push(signature);
            }
        }
        Ok(())
    }

    /// Which of these keys have signed it. None where a signature of one of them is not right: then somebody has
    /// changed it.
    pub fn verify<'a>(&self, keys: impl IntoIterator<Item = &'a VerifierKey>) -> Vec<&'a VerifierKey> {
        let mut signed = Vec::new();
        for key in keys {
            for signature in self.signatures.iter().filter(|signature| key.is_of(signature)) {
                if !key.verifies(&self.text, signature) {
                    return Vec::new();
                }
                signed.push(key);
            }
        }
        signed
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for Signature { name, id, bytes } in &self.signatures {
            let signed: Vec<u8> = id.iter().chain(bytes).copied().collect();
            writeln!(f, "\u{2014} {name} {}", STANDARD.encode(signed))?;
        }
        Ok(())
    }
}

impl FromStr for Note {
    type Err = NoteError;

    fn from_str(note: &str) -> Result<Note, NoteError> {
        // The text may have empty lines of its own: the signatures come after the last.
        let (text, lines) = note.rsplit_once("\n\n").ok_or(NoteError)?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError)?;
        let signatures = lines.split('\n').map(signature).collect::<Result<Vec<_>, _>>()?;
        if signatures.len() > SIGNATURES || note.chars().any(|letter| letter.is_control() && letter != '\n') {
            return Err(NoteError);
        }
        Ok(Note { text: format!("{text}\n"), signatures })
    }
}

fn signature(line: &str) -> Result<Signature, NoteError> {
    let (name, signed) = line.strip_prefix("\u{2014} ").and_then(|line| line.split_once(' ')).ok_or(NoteError)?;
    let signed = STANDARD.decode(signed).map_err(|_| NoteError)?;
    let (id, bytes) = signed.split_first_chunk().ok_or(NoteError)?;
    if name.is_empty() || bytes.is_empty() {
        return Err(NoteError);
    }
    Ok(Signature { name: name.to_owned(), id: *id, bytes: bytes.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(seed: u8) -> Signer {
        Signer::new("ledger.example", &[seed; KEY_LEN]).unwrap()
    }

    #[test]
    fn a_note_reads_back_and_verifies_with_its_own_key_only() {
        let note = Note::sign("one\n\ntwo\n".to_owned(), &[&signer(1), &signer(2)]);
        let read: Note = note.to_string().parse().unwrap();
        assert_eq!(read, note);
        let (one, three) = (signer(1), signer(3));
        assert_eq!(read.verify([one.verifier()]), [one.verifier()]);
        assert!(read.verify([three.verifier()]).is_empty());
        for changed in [note.to_string().replace("one", "ene"), note.to_string().replacen("two\n", "two\n\n", 1)] {
            assert!(changed.parse::<Note>().unwrap().verify([one.verifier()]).is_empty(), "{changed}");
        }
    }

    #[test]
    fn a_key_reads_back_and_a_changed_one_does_not() {
        let key = signer(1).verifier().clone();
        let text = key.to_string();
        assert_eq!(text.parse(), Ok(key));
        for wrong in [text.replace("ledger", "ladger"), text.replacen('+', "", 1), text[..text.len() - 4].to_owned()] {
            assert!(wrong.parse::<VerifierKey>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn nonsense_is_no_note() {
        for text in [
            "",
            "\n\n",
            "a\n\n",
            "a\n\n\u{2014} x\n",
            "a\n\n\u{2014} x AAAA\n",
            "a\n\n- x AAAAAAAA\n",
            "a\n\n\u{2014} x AAAAAAAA",
        ] {
            assert_eq!(text.parse::<Note>(), Err(NoteError), "{text:?}");
        }
    }
}
