//! The key that signs a ledger's checkpoints: `ledger.key` in the data directory, not in the ledger's own, so that a copy
//! of the ledger does not hold it. `ledger.pub` is its public half.

use super::checkpoint::{self, CheckpointsError, Signed};
use crate::files;
use crate::secrets::{self, SecretError};
use belay_ledger::{Note, Signer};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const KEY: &str = "ledger.key";
/// The key that is being changed to.
const NEXT: &str = "ledger.key.next";
/// The checkpoint that was signed last.
const LAST: &str = "ledger.last";
/// The public half.
pub const PUBLIC: &str = "ledger.pub";

/// Where the key is.
#[derive(Debug, Clone)]
pub(crate) struct KeyFiles {
    dir: PathBuf,
    /// What the ledger is called; a part of the key.
    name: String,
}

impl KeyFiles {
    pub(crate) fn new(data_dir: &Path, name: String) -> KeyFiles {
        KeyFiles { dir: data_dir.to_owned(), name }
    }

    /// The key, and whether it is new.
    pub(crate) fn open(&self) -> Result<(Signer, bool), SecretError> {
        let path = self.dir.join(KEY);
        let (seed, new) = match secrets::read_key(&path)? {
            Some(seed) => (seed, false),
            None => (secrets::make_key(&path)?, true),
        };
        let signer = Signer::new(&self.name, seed.as_ref()).ok_or(SecretError::Library)?;
        self.publish(&signer).map_err(|error| secrets::file_error(&self.dir.join(PUBLIC), &error))?;
        Ok((signer, new))
    }

    /// The key that an interrupted change left behind.
    pub(crate) fn next(&self) -> Result<Option<Signer>, SecretError> {
        let seed = secrets::read_key(&self.dir.join(NEXT))?;
        seed.map(|seed| Signer::new(&self.name, seed.as_ref()).ok_or(SecretError::Library)).transpose()
    }

    /// A key to change to.
    pub(crate) fn make_next(&self) -> Result<Signer, SecretError> {
        let path = self.dir.join(NEXT);
        if let Some(next) = self.next()? {
            return Ok(next);
        }
        let seed = secrets::make_key(&path)?;
        Signer::new(&self.name, seed.as_ref()).ok_or(SecretError::Library)
    }

    /// The next key becomes the key; the one before is gone.
    pub(crate) fn change(&self, next: &Signer) -> io::Result<()> {
        fs::rename(self.dir.join(NEXT), self.dir.join(KEY))?;
        fs::File::open(&self.dir)?.sync_all()?;
        self.publish(next)
    }

    /// Notes what was signed last, out of reach of who can write to the ledger's directory only.
    pub(crate) fn note(&self, note: &Note) -> io::Result<()> {
        files::replace(&self.dir.join(LAST), note.to_string().as_bytes(), 0o600)
    }

    /// What was signed last.
    pub(crate) fn noted(&self) -> Result<Option<Signed>, CheckpointsError> {
        checkpoint::read_one(&self.dir.join(LAST))
    }

    fn publish(&self, signer: &Signer) -> io::Result<()> {
        let (path, line) = (self.dir.join(PUBLIC), format!("{}\n", signer.verifier()));
        if fs::read_to_string(&path).is_ok_and(|there| there == line) {
            return Ok(());
        }
        files::replace(&path, line.as_bytes(), 0o600)
    }
}
