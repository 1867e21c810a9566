//! What is in the file of keys, line by line.
//!
//! A line is `s_7 ID KEY CHECK`, in hex; the check is over what is before it. One that does not fit its check is nobody's key:
//! what it was to open reads as erased, and nothing else does.

use super::KeyState;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use belay_ledger::{Opened, Owner, Sealed};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use zeroize::Zeroizing;

/// The file is not longer: three million sessions.
pub(super) const BYTES_MOST: u64 = 256 << 20;
/// Keys that are ready for use at once.
const READY_MOST: usize = 256;
/// A line is not longer.
const LINE_MOST: usize = 128;
pub(super) const KEY_LEN: usize = 32;
/// What tells a key from another of the same owner.
pub(super) const ID_LEN: usize = 4;
const CHECK_LEN: usize = 4;
pub(super) const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;
/// Lines that are named one by one.
const NAMED_MOST: usize = 20;

pub(super) struct Key {
    pub(super) id: [u8; ID_LEN],
    pub(super) secret: Zeroizing<[u8; KEY_LEN]>,
    /// Earlier versions wrote none.
    pub(super) has_check: bool,
}

/// A line that is no key.
struct Damaged {
    /// Counted from 1.
    number: usize,
    /// What it begins with, if that can be read.
    owner: Option<Owner>,
    bytes: Zeroizing<Vec<u8>>,
}

/// What is in the file.
#[derive(Default)]
pub(super) struct Table {
    /// Boxed, so that growing leaves no copies.
    keys: HashMap<Owner, Box<Key>>,
    ready: HashMap<Owner, LessSafeKey>,
    damaged: Vec<Damaged>,
}

impl Table {
    /// Also says how many bytes are whole lines.
    pub(super) fn read(file: &mut File) -> io::Result<(Table, u64)> {
        let length = file.metadata()?.len();
        if length > BYTES_MOST {
            return Err(io::Error::other(format!("it has more than {BYTES_MOST} bytes")));
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or_default() + 1));
        file.take(length).read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let mut table = Table::default();
        for (place, line) in bytes[..whole].split(|byte| *byte == b'\n').enumerate() {
            match parse(line) {
                Some((owner, key)) => drop(table.keys.insert(owner, Box::new(key))),
                None if line.is_empty() => {}
                None => table.damaged.push(Damaged {
                    number: place + 1,
                    owner: begins_with(line),
                    bytes: Zeroizing::new(line.to_vec()),
                }),
            }
        }
        Ok((table, whole as u64))
    }

    pub(super) fn has(&self, owner: Owner) -> bool {
        self.keys.contains_key(&owner)
    }

    /// Whether there are lines that are nobody's key, so that any of them may have been this or that.
    pub(super) fn is_damaged(&self) -> bool {
        !self.damaged.is_empty()
    }

    pub(super) fn owners(&self) -> Vec<Owner> {
        self.keys.keys().copied().collect()
    }

    pub(super) fn add(&mut self, owner: Owner, key: Key) {
        self.keys.insert(owner, Box::new(key));
        self.ready.remove(&owner);
    }

    /// The lines of a file without these. What is damaged stays as it is, to be put right by hand; unless one of these has no
    /// key, so that it may be a damaged one.
    pub(super) fn lines_without(&self, gone: &[Owner]) -> io::Result<Zeroizing<Vec<u8>>> {
        let mut left: Vec<&Owner> = self.keys.keys().filter(|owner| !gone.contains(owner)).collect();
        left.sort_unstable();
        let kept = self.damaged.iter().filter(|_| gone.iter().all(|owner| self.has(*owner)));
        let kept: Vec<&[u8]> = kept.map(|damaged| damaged.bytes.as_slice()).collect();
        let room: usize = kept.iter().map(|line| line.len() + 1).sum();
        let mut lines = Zeroizing::new(Vec::with_capacity(left.len() * LINE_MOST + room));
        for owner in left {
            if let Some(key) = self.keys.get(owner) {
                lines.extend_from_slice(&line(*owner, key)?);
            }
        }
        for damaged in kept {
            lines.extend_from_slice(damaged);
            lines.push(b'\n');
        }
        Ok(lines)
    }

    pub(super) fn state(&self, bytes: u64) -> KeyState {
        let named = |line: &Damaged| match line.owner {
            Some(owner) => format!("line {}, which begins with {owner}", line.number),
            None => format!("line {}", line.number),
        };
        KeyState {
            keys: self.keys.len() as u64,
            bytes,
            bytes_most: BYTES_MOST,
            damaged: self.damaged.len() as u64,
            named: self.damaged.iter().take(NAMED_MOST).map(named).collect(),
        }
    }

    pub(super) fn ready(&mut self, owner: Owner) -> Option<(&Key, &LessSafeKey)> {
        let key = self.keys.get(&owner)?;
        if !self.ready.contains_key(&owner) {
            if self.ready.len() >= READY_MOST {
                self.ready.clear();
            }
            self.ready.insert(owner, LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.secret.as_ref()).ok()?));
        }
        Some((key, self.ready.get(&owner)?))
    }

    pub(super) fn open(&mut self, mut sealed: Sealed) -> Opened {
        let (owner, seq) = (sealed.owner, sealed.seq);
        let Some(body) = sealed.bytes.len().checked_sub(ID_LEN + NONCE_LEN).filter(|body| *body >= TAG_LEN) else {
            return Opened::Broken;
        };
        let Some((key, ready)) = self.ready(owner) else { return Opened::Gone };
        if sealed.bytes[body + NONCE_LEN..] != key.id {
            return Opened::Gone;
        }
        let Ok(nonce) = Nonce::try_assume_unique_for_key(&sealed.bytes[body..body + NONCE_LEN]) else {
            return Opened::Broken;
        };
        sealed.bytes.truncate(body);
        let opened = ready.open_in_place(nonce, Aad::from(place(owner, seq)), &mut sealed.bytes).map(|it| it.len());
        match opened {
            Ok(length) => {
                sealed.bytes.truncate(length);
                Opened::Content(sealed.bytes)
            }
            Err(_) if key.has_check => Opened::Broken,
            // It may be the key that is damaged.
            Err(_) => Opened::Gone,
        }
    }
}

/// What content is sealed for: it opens nowhere else.
pub(super) fn place(owner: Owner, seq: u64) -> [u8; 16] {
    let mut place = [0; 16];
    place[..8].copy_from_slice(&owner.number().to_le_bytes());
    place[8..].copy_from_slice(&seq.to_le_bytes());
    place
}

fn begins_with(line: &[u8]) -> Option<Owner> {
    let end = line.iter().take(LINE_MOST).position(|byte| *byte == b' ')?;
    std::str::from_utf8(&line[..end]).ok()?.parse().ok()
}

fn parse(line: &[u8]) -> Option<(Owner, Key)> {
    let text = std::str::from_utf8(line).ok()?;
    let mut words = text.split(' ');
    let owner = words.next()?.parse().ok()?;
    let mut key = Key { id: [0; ID_LEN], secret: Zeroizing::new([0; KEY_LEN]), has_check: false };
    hex::decode_to_slice(words.next()?, &mut key.id).ok()?;
    hex::decode_to_slice(words.next()?, key.secret.as_mut()).ok()?;
    if let Some(told) = words.next() {
        let before = text.strip_suffix(told)?.strip_suffix(' ')?;
        if told != hex::encode(check(before.as_bytes())) {
            return None;
        }
        key.has_check = true;
    }
    words.next().is_none().then_some((owner, key))
}

pub(super) fn line(owner: Owner, key: &Key) -> io::Result<Zeroizing<Vec<u8>>> {
    let (mut id, mut digits) = ([0; 2 * ID_LEN], Zeroizing::new([0; 2 * KEY_LEN]));
    hex::encode_to_slice(key.id, &mut id).map_err(io::Error::other)?;
    hex::encode_to_slice(key.secret.as_ref(), digits.as_mut()).map_err(io::Error::other)?;
    let mut line = Zeroizing::new(Vec::with_capacity(LINE_MOST));
    write!(line, "{owner} ")?;
    for part in [&id[..], b" ", digits.as_ref()] {
        line.extend_from_slice(part);
    }
    if key.has_check {
        let check = check(&line);
        write!(line, " {}", hex::encode(check))?;
    }
    line.push(b'\n');
    Ok(line)
}

/// Finds a digit that is wrong; who writes to the file can make it fit.
fn check(line: &[u8]) -> [u8; CHECK_LEN] {
    let mut check = [0; CHECK_LEN];
    check.copy_from_slice(&Sha256::digest(line)[..CHECK_LEN]);
    check
}
