//! The bytes of a file.
//!
//! ```text
//! file    = magic (8), key id (8), nonce (12), wrapped key (48), block, ...
//! block   = length of what is sealed (4), 1 if it is the last (1), sealed
//! sealed  = AES-256-GCM(squeezed, nonce = number of the block, AAD = number of the block, last)
//! content = record, ...
//! record  = 'T', length (4), a table as JSON
//!         | 'O' or 'N', number of the table (2), length (4), an image
//!         | 'E', number of images (8)
//! ```
//! Numbers are big-endian. The key's owner is the name of the file, so a file under another name does not open.

use super::ChangesError;
use crate::secrets::Keys;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use belay_store::SealedSecret;
use zeroize::Zeroizing;

pub(super) const MAGIC: &[u8; 8] = b"BLYCHG1\n";
pub(super) const HEADER: usize = 8 + KEY_ID + NONCE + WRAPPED;
const KEY_ID: usize = 8;
const NONCE: usize = 12;
const WRAPPED: usize = 32 + TAG;
const TAG: usize = 16;

/// The content of one block, before it is squeezed.
pub(super) const BLOCK: usize = 64 * 1024;
/// What stands before each sealed block.
pub(super) const BLOCK_HEAD: usize = 5;
/// No sealed block is longer: content, how it is squeezed, tag.
pub(super) const SEALED_MOST: usize = BLOCK + 1 + TAG;
/// No record is longer. PostgreSQL's own bound of a field is 1 GiB, too much for a gateway.
pub(super) const RECORD_MOST: usize = 256 * 1024 * 1024;

/// The kinds of records.
pub(super) const TABLE: u8 = b'T';
pub(super) const OLD: u8 = b'O';
pub(super) const NEW: u8 = b'N';
pub(super) const END: u8 = b'E';

/// What the file's key is wrapped for.
fn owner(name: &str) -> String {
    format!("change/{name}")
}

/// The head of a finished file.
pub(super) fn header(keys: &Keys, name: &str, key: &[u8; 32]) -> Result<Vec<u8>, ChangesError> {
    let wrapped = keys.seal(&owner(name), key)?;
    let header = [MAGIC.as_slice(), wrapped.key_id.as_bytes(), &wrapped.nonce, &wrapped.sealed].concat();
    if header.len() == HEADER { Ok(header) } else { Err(ChangesError::Broken) }
}

/// The key of a finished file.
pub(super) fn unwrap_key(keys: &Keys, name: &str, header: &[u8; HEADER]) -> Result<FileKey, ChangesError> {
    let damaged = || ChangesError::Damaged(name.to_owned());
    let rest = header.strip_prefix(MAGIC.as_slice()).ok_or_else(damaged)?;
    let (key_id, rest) = rest.split_first_chunk::<KEY_ID>().ok_or_else(damaged)?;
    let (nonce, wrapped) = rest.split_first_chunk::<NONCE>().ok_or_else(damaged)?;
    if key_id != keys.id().as_bytes() {
        let shown = |byte: &u8| if byte.is_ascii_hexdigit() { char::from(*byte) } else { '?' };
        let sealed = key_id.iter().map(shown).collect();
        return Err(ChangesError::OtherKey { name: name.to_owned(), sealed, ours: keys.id().to_owned() });
    }
    let wrapped = SealedSecret { key_id: keys.id().to_owned(), nonce: *nonce, sealed: wrapped.to_vec() };
    let key = keys.unseal(&owner(name), &wrapped).map_err(|_| damaged())?;
    let mut bytes = Zeroizing::new([0; 32]);
    if key.len() != bytes.len() {
        return Err(damaged());
    }
    bytes.copy_from_slice(&key);
    FileKey::new(bytes)
}

/// The key of one file.
pub(super) struct FileKey {
    bytes: Zeroizing<[u8; 32]>,
    aead: LessSafeKey,
}

impl FileKey {
    /// Each file needs a key of its own: the blocks of all files have the same nonces.
    pub(super) fn new(bytes: Zeroizing<[u8; 32]>) -> Result<FileKey, ChangesError> {
        let aead = UnboundKey::new(&AES_256_GCM, bytes.as_ref()).map_err(|_| ChangesError::Broken)?;
        Ok(FileKey { bytes, aead: LessSafeKey::new(aead) })
    }

    pub(super) fn again(&self) -> Result<FileKey, ChangesError> {
        FileKey::new(self.bytes.clone())
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Seals a block in its place.
    pub(super) fn seal(&self, number: u64, last: bool, block: &mut Vec<u8>) -> Result<(), ChangesError> {
        self.aead
            .seal_in_place_append_tag(nonce(number), Aad::from(place(number, last)), block)
            .map_err(|_| ChangesError::Broken)
    }

    /// Opens a block in its place; `None` where it is not the one that was sealed there.
    pub(super) fn open<'a>(&self, number: u64, last: bool, block: &'a mut [u8]) -> Option<&'a [u8]> {
        let opened = self.aead.open_in_place(nonce(number), Aad::from(place(number, last)), block);
        opened.ok().map(|block| &*block)
    }
}

fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; NONCE];
    bytes[NONCE - 8..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

fn place(number: u64, last: bool) -> [u8; 9] {
    let mut bytes = [u8::from(last); 9];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes
}
