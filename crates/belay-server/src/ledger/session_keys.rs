//! The keys under which the content of records is sealed: one for each session, in a file beside the segments. Without its
//! line in the file the content of a session cannot be read by anybody; the records stay, and so does every proof.
//!
//! A line is `s_7 ID KEY`, in hex. It is on the disk before the first record that is sealed with it.

use crate::files;
use crate::secrets;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rand;
use belay_ledger::{Opened, SALT_LEN, Seal, Sealed};
use belay_model::SessionId;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use zeroize::Zeroizing;

/// The file in the ledger's directory.
pub const SESSION_KEYS: &str = "session.keys";
/// The file is not longer: three million sessions.
const BYTES_MOST: u64 = 256 << 20;
/// Keys that are ready for use at once.
const READY_MOST: usize = 256;
/// A line is not longer.
const LINE_MOST: usize = 128;
const KEY_LEN: usize = 32;
/// What tells a key from another of the same session.
const ID_LEN: usize = 4;
const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;
const RANDOMS: usize = 4096;
const FAILED: &str = "the cryptographic library failed";

struct Key {
    id: [u8; ID_LEN],
    key: Zeroizing<[u8; KEY_LEN]>,
}

/// What is in the file.
#[derive(Default)]
struct Table {
    /// Boxed, so that growing leaves no copies.
    keys: HashMap<SessionId, Box<Key>>,
    ready: HashMap<SessionId, LessSafeKey>,
}

impl Table {
    /// Also says how many bytes are whole lines.
    fn read(file: &mut File) -> io::Result<(Table, u64)> {
        let length = file.metadata()?.len();
        if length > BYTES_MOST {
            return Err(io::Error::other(format!("it has more than {BYTES_MOST} bytes")));
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or_default() + 1));
        file.take(length).read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let mut table = Table::default();
        for line in bytes[..whole].split(|byte| *byte == b'\n') {
            // What is no key opens nothing: its session reads as erased.
            if let Some((session, key)) = parse(line) {
                table.keys.insert(session, Box::new(key));
            }
        }
        Ok((table, whole as u64))
    }

    fn ready(&mut self, session: SessionId) -> Option<(&Key, &LessSafeKey)> {
        let key = self.keys.get(&session)?;
        if !self.ready.contains_key(&session) {
            if self.ready.len() >= READY_MOST {
                self.ready.clear();
            }
            self.ready.insert(session, LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.key.as_ref()).ok()?));
        }
        Some((key, self.ready.get(&session)?))
    }

    fn open(&mut self, mut sealed: Sealed) -> Opened {
        let (session, seq) = (sealed.session, sealed.seq);
        let Some(body) = sealed.bytes.len().checked_sub(ID_LEN + NONCE_LEN).filter(|body| *body >= TAG_LEN) else {
            return Opened::Broken;
        };
        let Some((key, ready)) = self.ready(session) else { return Opened::Gone };
        if sealed.bytes[body + NONCE_LEN..] != key.id {
            return Opened::Gone;
        }
        let Ok(nonce) = Nonce::try_assume_unique_for_key(&sealed.bytes[body..body + NONCE_LEN]) else {
            return Opened::Broken;
        };
        sealed.bytes.truncate(body);
        let Ok(length) =
            ready.open_in_place(nonce, Aad::from(place(session, seq)), &mut sealed.bytes).map(|it| it.len())
        else {
            return Opened::Broken;
        };
        sealed.bytes.truncate(length);
        Opened::Content(sealed.bytes)
    }
}

/// What content is sealed for: it opens nowhere else.
fn place(session: SessionId, seq: u64) -> [u8; 16] {
    let mut place = [0; 16];
    place[..8].copy_from_slice(&session.0.to_le_bytes());
    place[8..].copy_from_slice(&seq.to_le_bytes());
    place
}

fn parse(line: &[u8]) -> Option<(SessionId, Key)> {
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let session = words.next()?.parse().ok()?;
    let mut key = Key { id: [0; ID_LEN], key: Zeroizing::new([0; KEY_LEN]) };
    hex::decode_to_slice(words.next()?, &mut key.id).ok()?;
    hex::decode_to_slice(words.next()?, key.key.as_mut()).ok()?;
    words.next().is_none().then_some((session, key))
}

fn line(session: SessionId, key: &Key) -> io::Result<Zeroizing<Vec<u8>>> {
    let (mut id, mut digits) = ([0; 2 * ID_LEN], Zeroizing::new([0; 2 * KEY_LEN]));
    hex::encode_to_slice(key.id, &mut id).map_err(io::Error::other)?;
    hex::encode_to_slice(key.key.as_ref(), digits.as_mut()).map_err(io::Error::other)?;
    let mut line = Zeroizing::new(Vec::with_capacity(LINE_MOST));
    write!(line, "{session} ")?;
    for part in [&id[..], b" ", digits.as_ref(), b"\n"] {
        line.extend_from_slice(part);
    }
    Ok(line)
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
    /// Its bytes that are on the disk.
    synced: u64,
    /// Another file may be in its place.
    stale: bool,
    table: Table,
    randoms: Randoms,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The keyring, which is used by the writer and by whoever erases.
pub(super) type Shared = Arc<Mutex<Keyring>>;

impl Keyring {
    /// Opens the file in the ledger's directory, or makes it.
    pub(super) fn open(dir: &Path) -> io::Result<Keyring> {
        let path = dir.join(SESSION_KEYS);
        let is_new = !path.exists();
        let mut file = options().create(true).truncate(false).open(&path)?;
        // A line that a kill left unsynced is a key that is used from now on.
        file.sync_all()?;
        if is_new {
            File::open(dir)?.sync_all()?;
        }
        let (table, synced) = Table::read(&mut file)?;
        let randoms = Randoms { bytes: Zeroizing::new([0; RANDOMS]), left: 0 };
        Ok(Keyring { path, file, synced, stale: false, table, randoms })
    }

    /// Opens the file anew where another may have taken its place.
    fn freshen(&mut self) -> io::Result<()> {
        if self.stale {
            self.file = options().open(&self.path)?;
            (self.table, self.synced) = Table::read(&mut self.file)?;
            self.stale = false;
        }
        Ok(())
    }

    pub(super) fn has(&self, session: SessionId) -> bool {
        self.table.keys.contains_key(&session)
    }

    fn add(&mut self, session: SessionId) -> io::Result<()> {
        self.freshen()?;
        let failed = |error: secrets::SecretError| io::Error::other(error.to_string());
        let key =
            Key { id: secrets::random().map_err(failed)?, key: Zeroizing::new(secrets::random().map_err(failed)?) };
        let line = line(session, &key)?;
        // Over what an attempt before this may have left.
        self.file.write_all_at(&line, self.synced)?;
        self.file.set_len(self.synced + line.len() as u64)?;
        self.file.sync_data()?;
        self.synced += line.len() as u64;
        self.table.keys.insert(session, Box::new(key));
        Ok(())
    }

    /// Forgets the key of this session; false where there is none. Waits for the disk.
    pub(super) fn erase(&mut self, session: SessionId) -> io::Result<bool> {
        self.freshen()?;
        if !self.has(session) {
            // An attempt before this one may have taken it out, and not have come to the disk.
            files::sync_folder(&self.path)?;
            return Ok(false);
        }
        let mut left: Vec<SessionId> = self.table.keys.keys().copied().filter(|other| *other != session).collect();
        left.sort_unstable_by_key(|session| session.0);
        let mut lines = Zeroizing::new(Vec::with_capacity(left.len() * LINE_MOST));
        for session in &left {
            if let Some(key) = self.table.keys.get(session) {
                lines.extend_from_slice(&line(*session, key)?);
            }
        }
        // Until it is known to be done, nothing goes to the file that is open: it may be the old one.
        self.stale = true;
        files::replace(&self.path, &lines, 0o600)?;
        self.freshen()?;
        Ok(true)
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

    fn seal(&mut self, session: SessionId, seq: u64, content: &mut Vec<u8>) -> Result<(), String> {
        if !self.has(session) {
            // Once for each session, with its first record, which is a login.
            self.add(session).map_err(|error| format!("`{}`: {error}", self.path.display()))?;
        }
        let failed = || FAILED.to_owned();
        let nonce: [u8; NONCE_LEN] = self.randoms.take()?;
        let (key, ready) = self.table.ready(session).ok_or_else(failed)?;
        let (unique, place) = (Nonce::assume_unique_for_key(nonce), Aad::from(place(session, seq)));
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
        let has_key = |loaded: &Loaded| loaded.table.keys.contains_key(&sealed.session);
        let current = match state.take() {
            Some(loaded) if has_key(&loaded) || self.stamp()? == loaded.stamp => loaded,
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
