//! The files of a ledger, read as `docs/ledger.md` describes them: a second reader, with none of Belay's code in it.
//!
//! It proves the chain as it goes, so what it returns once can never turn into something else unseen.

mod sealed;

use aws_lc_rs::digest::{Context, SHA256};
use serde_json::Value;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const HEADER: usize = 64;
const MOST: usize = 1 << 20;

/// The records of a ledger in order, and where reading them stands.
pub struct LedgerFiles {
    dir: PathBuf,
    /// The segment that is read, and the byte behind its last whole record.
    segment: Option<PathBuf>,
    offset: u64,
    seq: u64,
    chain: [u8; 32],
}

impl LedgerFiles {
    /// From the first record on. `dir` has the segments.
    pub fn of(dir: impl Into<PathBuf>) -> LedgerFiles {
        LedgerFiles { dir: dir.into(), segment: None, offset: 0, seq: 0, chain: [0; 32] }
    }

    /// The records that came since the last call. What is cut short at the end is left for later. Panics where what is
    /// there does not continue what was read before.
    pub fn more(&mut self) -> Vec<Value> {
        let mut records = Vec::new();
        loop {
            if self.segment.is_some() {
                self.read_on(&mut records);
            }
            if !self.enter() {
                return records;
            }
        }
    }

    /// How many records were read.
    pub fn read(&self) -> u64 {
        self.seq
    }

    /// The segment that holds the last record that was read, and the byte behind that.
    pub fn end(&self) -> Option<(&Path, u64)> {
        self.segment.as_deref().map(|segment| (segment, self.offset))
    }

    /// The bytes behind the last record that was read: of its segment, and of a next one whose header is not whole.
    pub fn torn(&self) -> u64 {
        let length = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
        let next = self.next();
        let headless = if self.segment.as_ref() == Some(&next) { 0 } else { length(&next) };
        self.segment.as_deref().map_or(0, |segment| length(segment) - self.offset) + headless
    }

    fn next(&self) -> PathBuf {
        self.dir.join(format!("{:020}.ledger", self.seq))
    }

    /// Goes on to the next segment, if its header is there.
    fn enter(&mut self) -> bool {
        let next = self.next();
        if self.segment.as_ref() == Some(&next) {
            return false;
        }
        let Ok(file) = File::open(&next) else { return false };
        let mut header = [0; HEADER];
        if file.read_exact_at(&mut header, 0).is_err() {
            return false;
        }
        assert_eq!(&header[..8], b"BLYLEDGR", "{}", next.display());
        assert_eq!(header[8..12], 1_u32.to_le_bytes(), "{}", next.display());
        assert_eq!(header[12..20], self.seq.to_le_bytes(), "{}", next.display());
        assert_eq!(header[20..52], self.chain, "{} does not continue the one before it", next.display());
        (self.segment, self.offset) = (Some(next), HEADER as u64);
        true
    }

    fn read_on(&mut self, records: &mut Vec<Value>) {
        let Some(path) = self.segment.clone() else { return };
        let file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let length = file.metadata().expect("metadata").len();
        assert!(length >= self.offset, "{}: {length} bytes, but {} were read", path.display(), self.offset);
        let mut bytes = vec![0; usize::try_from(length - self.offset).expect("a size")];
        file.read_exact_at(&mut bytes, self.offset).expect("read");
        let mut rest = bytes.as_slice();
        while let Some((payload, stored, behind)) = frame(rest) {
            let chain = link(&self.chain, payload);
            // The last frame may be one that was never finished; the next call sees what became of it.
            if chain != stored {
                return;
            }
            let mut record: Value = serde_json::from_slice(payload).expect("a record in JSON");
            assert_eq!(record["seq"].as_u64(), Some(self.seq), "{}: {record}", path.display());
            self.offset += (rest.len() - behind.len()) as u64;
            (self.seq, self.chain) = (self.seq + 1, chain);
            sealed::open(&self.dir, &mut record);
            records.push(record);
            rest = behind;
        }
    }
}

/// Payload, chain and what follows, if a whole frame is there.
fn frame(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let length = u32::from_le_bytes(bytes.first_chunk().copied()?) as usize;
    if length > MOST {
        return None;
    }
    let (payload, rest) = bytes.get(8..)?.split_at_checked(length)?;
    let (chain, behind) = rest.split_at_checked(32)?;
    Some((payload, chain, behind))
}

/// The chain after a record: SHA-256(chain || SHA-256(0x00 || payload)).
pub fn link(chain: &[u8; 32], payload: &[u8]) -> [u8; 32] {
    let hash = |parts: [&[u8]; 2]| {
        let mut context = Context::new(&SHA256);
        for part in parts {
            context.update(part);
        }
        context.finish()
    };
    let leaf = hash([&[0], payload]);
    hash([chain, leaf.as_ref()]).as_ref().try_into().expect("32 bytes")
}
