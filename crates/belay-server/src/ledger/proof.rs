//! One record with the proof that it is in the ledger, as a text that needs nothing else but the public key to check:
//! C2SP tlog-proof.

use super::checkpoint::{self, CheckpointsError, Signed};
use super::kept;
use super::read::{self, ReadError};
use super::tiles::{TileError, Tiles};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use belay_ledger::{Hash, InclusionProof, VerifierKey, leaf};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";
/// Hashes of the largest tree.
const HASHES: usize = 64;

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The checkpoint.
    #[error(transparent)]
    Checkpoints(#[from] CheckpointsError),
    /// The records.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The tiles.
    #[error(transparent)]
    Tiles(#[from] TileError),
    /// No checkpoint is signed over it.
    #[error("record {0} is not signed: the newest checkpoint has {1} records")]
    Unsigned(u64, u64),
    /// Retention deleted it.
    #[error("record {0} was deleted because it was too old, as record {1} says; only its hash is left")]
    Deleted(u64, u64),
}

/// A proof that a record is in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The way to the root.
    pub inclusion: InclusionProof,
    /// The root, signed.
    pub signed: Signed,
}

impl Proof {
    /// Whether this payload is the record that it speaks of, signed by one of these keys.
    pub fn verify(&self, payload: &[u8], keys: &[VerifierKey]) -> bool {
        let checkpoint = &self.signed.checkpoint;
        !self.signed.note.verify(keys).is_empty()
            && self.inclusion.size == checkpoint.size
            && self.inclusion.verify(leaf(payload), checkpoint.root)
    }
}

/// A record to be shown to somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its bytes in the ledger.
    pub payload: Vec<u8>,
    /// What is sealed in them, if there is a key to it. Its SHA-256 is in the payload.
    pub content: Option<String>,
}

/// A record with its proof against the newest checkpoint of the ledger in this directory.
pub fn prove(dir: &Path, seq: u64) -> Result<(Shown, Proof), ProofError> {
    let missing = |size| ProofError::Unsigned(seq, size);
    let signed = checkpoint::latest(dir)?.ok_or_else(|| missing(0))?;
    let size = signed.checkpoint.size;
    let inclusion = Tiles::open(dir).inclusion(seq, size)?.ok_or_else(|| missing(size))?;
    let mut events = read::events(dir, seq)?;
    while let Some(placed) = events.next_placed().transpose()? {
        if placed.seq() > seq {
            return deleted(dir, seq, Proof { inclusion, signed });
        }
        if placed.seq() == seq {
            let content = read::understood(placed.open())?.and_then(|(_, content)| content);
            let shown = Shown { payload: placed.payload().to_vec(), content };
            return Ok((shown, Proof { inclusion, signed }));
        }
    }
    Err(missing(size))
}

/// A record whose segment is not there: some are kept in files of their own.
fn deleted(dir: &Path, seq: u64, proof: Proof) -> Result<(Shown, Proof), ProofError> {
    let failed = |source| ReadError::Io { path: dir.to_owned(), source };
    let size = proof.inclusion.size;
    let kept = kept::load(dir).map_err(failed)?;
    let deletion = kept.iter().filter_map(kept::Kept::deletion).find(|next| (next.first..=next.last).contains(&seq));
    match kept.into_iter().find(|kept| kept.seq == seq) {
        Some(kept) => Ok((Shown { payload: kept.payload, content: None }, proof)),
        None => Err(deletion.map_or(ProofError::Unsigned(seq, size), |by| ProofError::Deleted(seq, by.record))),
    }
}

/// A text that is no proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not a proof of a record")]
pub struct NoProof;

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}\nindex {}", self.inclusion.index)?;
        for hash in &self.inclusion.hashes {
            writeln!(f, "{}", STANDARD.encode(hash.0))?;
        }
        write!(f, "\n{}", self.signed.note)
    }
}

impl FromStr for Proof {
    type Err = NoProof;

    fn from_str(text: &str) -> Result<Proof, NoProof> {
        let (head, note) = text.split_once("\n\n").ok_or(NoProof)?;
        let signed = Signed::read(note).ok_or(NoProof)?;
        let mut lines = head.lines();
        let index = match (lines.next(), lines.next()) {
            (Some(FIRST_LINE), Some(index)) => index.strip_prefix("index ").and_then(|index| index.parse().ok()),
            _ => None,
        };
        let hash = |line: &str| STANDARD.decode(line).ok().and_then(|hash| hash.try_into().ok()).map(Hash);
        let hashes: Option<Vec<Hash>> = lines.take(HASHES + 1).map(hash).collect();
        let hashes = hashes.filter(|hashes| hashes.len() <= HASHES).ok_or(NoProof)?;
        let size = signed.checkpoint.size;
        Ok(Proof { inclusion: InclusionProof { index: index.ok_or(NoProof)?, size, hashes }, signed })
    }
}
