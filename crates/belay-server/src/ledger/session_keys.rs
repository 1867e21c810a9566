//! The keys under which the content of records is sealed: one for each session, in a file beside the segments. Without its
//! line in the file the content of a session cannot be read by anybody; the records stay, and so does every proof.
//!
//! A line is on the disk before the first record that is sealed with it.

mod table;

use crate::files;
use crate::secrets;
use aws_lc_rs::aead::{Aad, Nonce};
use aws_lc_rs::rand;
use belay_ledger::{Opened, Owner, SALT_LEN, Seal, Sealed};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use table::{BYTES_MOST, Key, NONCE_LEN, Table, line, place};
use zeroize::Zeroizing;

/// The file in the ledger's directory.
pub const SESSION_KEYS: &str = "session.keys";
/// The part of its room that is left to who is let in already.
const SPARE: u64 = 256;
const RANDOMS: usize = 4096;
const FAILED: &str = "the cryptographic library failed";

/// What the file of keys is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyState {
    /// Keys in it.
    pub keys: u64,
    /// Its length.
    pub bytes: u64,
    /// The most that it may have.
    pub bytes_most: u64,
    /// Lines that are no keys: what they were to open reads as erased.
    pub damaged: u64,
    /// The first of them, in words.
    pub named: Vec<String>,
}

impl KeyState {
    /// Those lines in words, but for the many that are only counted.
    pub fn lines(&self) -> Vec<String> {
        let more = self.damaged.saturating_sub(self.named.len() as u64);
        self.named.iter().cloned().chain((more > 0).then(|| format!("{more} more lines"))).collect()
    }
}

/// What the file of keys in this directory is like; `None` where there is none.
pub fn key_state(dir: &Path) -> io::Result<Option<KeyState>> {
    match File::open(dir.join(SESSION_KEYS)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        opened => {
            let mut file = opened?;
            let (table, _) = Table::read(&mut file)?;
            Ok(Some(table.state(file.metadata()?.len())))
        }
    }
}

/// Random bytes, asked for in large pieces: each question costs as much as sealing a record.
struct Randoms {
    bytes: Zeroizing<[u8; RANDOMS]>,
    left: usize,
}

impl Randoms {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        if self.left < N {
            rand::fill(self.bytes.as_mut()).map_err(|_| FAILED.to_owned())?;
            self.left = RANDOMS;
        }
        let mut taken = [0; N];
        let from = &mut self.bytes[self.left - N..self.left];
        taken.copy_from_slice(from);
        // No two get the same.
        from.fill(0);
        self.left -= N;
        Ok(taken)
    }
}

/// The keys as the writer has them. Nobody else writes the file.
pub(super) struct Keyring {
    path: PathBuf,
    file: File,
    /// The most bytes that it may have.
    most: u64,
    /// Its bytes that are on the disk.
    synced: u64,
    /// Another file may be in its place.
    stale: bool,
    table: Table,
    randoms: Randoms,
    is_full: Arc<AtomicBool>,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The keyring, which is used by the writer and by whoever erases.
pub(super) type Shared = Arc<Mutex<Keyring>>;

impl Keyring {
    /// Opens the file in the ledger's directory, or makes it. It is not to be longer than `most`.
    pub(super) fn open(dir: &Path, most: u64) -> io::Result<Keyring> {
        let path = dir.join(SESSION_KEYS);
        let is_new = !path.exists();
        let mut file = options().create(true).truncate(false).open(&path)?;
        // A line that a kill left unsynced is a key that is used from now on.
        file.sync_all()?;
        if is_new {
            File::open(dir)?.sync_all()?;
        }
        let (table, synced) = Table::read(&mut file)?;
        for damaged in table.state(synced).named {
            tracing::error!("`{}`: {damaged} is no key: what it was to open reads as erased", path.display());
        }
        let randoms = Randoms { bytes: Zeroizing::new([0; RANDOMS]), left: 0 };
        let (most, is_full) = (most.min(BYTES_MOST), Arc::default());
        let keyring = Keyring { path, file, most, synced, stale: false, table, randoms, is_full };
        keyring.tell_full();
        Ok(keyring)
    }

    /// Whether it has no room for those who are not let in yet.
    pub(super) fn is_full(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_full)
    }

    /// Why, in words.
    pub(super) fn full(&self) -> String {
        let Keyring { synced, most, .. } = self;
        format!(
            "it has {synced} of {most} bytes, and no room for the key of another session; keys go with the records that they \
             open, see `retention`, or with belay audit erase"
        )
    }

    fn tell_full(&self) {
        self.is_full.store(self.synced >= self.most - self.most / SPARE, Relaxed);
    }

    /// Opens the file anew where another may have taken its place.
    fn freshen(&mut self) -> io::Result<()> {
        if self.stale {
            self.file = options().open(&self.path)?;
            (self.table, self.synced) = Table::read(&mut self.file)?;
            self.stale = false;
            self.tell_full();
        }
        Ok(())
    }

    pub(super) fn has(&self, owner: Owner) -> bool {
        self.table.has(owner)
    }

    /// Whether it has a key, or one that is damaged.
    pub(super) fn may_have(&self, owner: Owner) -> bool {
        self.has(owner) || self.table.is_damaged()
    }

    /// Everybody who has a key.
    pub(super) fn owners(&self) -> Vec<Owner> {
        self.table.owners()
    }

    fn add(&mut self, owner: Owner) -> io::Result<()> {
        self.freshen()?;
        let failed = |error: secrets::SecretError| io::Error::other(error.to_string());
        let (id, secret) = (secrets::random().map_err(failed)?, Zeroizing::new(secrets::random().map_err(failed)?));
        let key = Key { id, secret, has_check: true };
        let line = line(owner, &key)?;
        let end = self.synced + line.len() as u64;
        if end > self.most {
            return Err(io::Error::other(self.full()));
        }
        // Over what an attempt before this may have left.
        self.file.write_all_at(&line, self.synced)?;
        self.file.set_len(end)?;
        self.file.sync_data()?;
        self.synced = end;
        self.table.add(owner, key);
        self.tell_full();
        Ok(())
    }

    /// Forgets the keys of these; false where there are none. Waits for the disk.
    pub(super) fn erase(&mut self, owners: &[Owner]) -> io::Result<bool> {
        self.freshen()?;
        if !owners.iter().any(|owner| self.may_have(*owner)) {
            // An attempt before this one may have taken them out, and not have come to the disk.
            files::sync_folder(&self.path)?;
            return Ok(false);
        }
        let had = owners.iter().any(|owner| self.has(*owner));
        let lines = self.table.lines_without(owners)?;
        // Until it is known to be done, nothing goes to the file that is open: it may be the old one.
        self.stale = true;
        files::replace(&self.path, &lines, 0o600)?;
        self.freshen()?;
        Ok(had)
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

impl Seal for Keyring {
    fn salt(&mut self) -> Result<[u8; SALT_LEN], String> {
        self.randoms.take()
    }

    fn seal(&mut self, owner: Owner, seq: u64, content: &mut Vec<u8>) -> Result<(), String> {
        if !self.has(owner) {
            // Once for each session, with its first record, which is a login.
            self.add(owner).map_err(|error| format!("`{}`: {error}", self.path.display()))?;
        }
        let failed = || FAILED.to_owned();
        let nonce: [u8; NONCE_LEN] = self.randoms.take()?;
        let (key, ready) = self.table.ready(owner).ok_or_else(failed)?;
        let (unique, place) = (Nonce::assume_unique_for_key(nonce), Aad::from(place(owner, seq)));
        ready.seal_in_place_append_tag(unique, place, content).map_err(|_| failed())?;
        content.extend_from_slice(&nonce);
        content.extend_from_slice(&key.id);
        Ok(())
    }
}

/// Opens what is sealed in the records of a directory, by the keys that are in its file then.
pub(super) struct Opener {
    path: PathBuf,
    state: Mutex<Option<Loaded>>,
}

struct Loaded {
    table: Table,
    /// Which file it was, and which of its states.
    stamp: Option<[i64; 4]>,
}

impl Opener {
    pub(super) fn of(dir: &Path) -> Arc<Opener> {
        Arc::new(Opener { path: dir.join(SESSION_KEYS), state: Mutex::new(None) })
    }

    /// Where the keys are.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Forgets keys that are not in the file any more. To be called now and then by who goes on for long.
    pub(super) fn refresh(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.as_ref().is_some_and(|loaded| self.stamp().ok() != Some(loaded.stamp)) {
            *state = None;
        }
    }

    pub(super) fn open(&self, sealed: Sealed) -> io::Result<Opened> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let current = match state.take() {
            Some(loaded) if loaded.table.has(sealed.owner) || self.stamp()? == loaded.stamp => loaded,
            _ => self.load()?,
        };
        Ok(state.insert(current).table.open(sealed))
    }

    fn load(&self) -> io::Result<Loaded> {
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Loaded { table: Table::default(), stamp: None });
            }
            opened => opened?,
        };
        let stamp = Some(stamp(&file.metadata()?));
        Ok(Loaded { table: Table::read(&mut file)?.0, stamp })
    }

    fn stamp(&self) -> io::Result<Option<[i64; 4]>> {
        match std::fs::metadata(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            found => Ok(Some(stamp(&found?))),
        }
    }
}

#[allow(clippy::cast_possible_wrap, reason = "only compared with itself")]
fn stamp(found: &std::fs::Metadata) -> [i64; 4] {
    [found.ino() as i64, found.len() as i64, found.mtime(), found.mtime_nsec()]
}
