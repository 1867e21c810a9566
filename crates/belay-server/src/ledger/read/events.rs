//! Records out of the files of a ledger.

use super::Filter;
use crate::ledger::recover::PIECE;
use crate::ledger::segment::{self, Segment};
use belay_ledger::{Damage, DamageKind, Position, Record, RecordError, Verifier};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// The most records that [`tail`] returns.
const MAX_TAIL: usize = 100_000;

/// Why reading stopped.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The disk or its permissions.
    #[error("ledger file `{path}`: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The records from here on cannot be trusted.
    #[error("ledger file `{path}` is damaged: {damage}")]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// What is wrong with it.
        damage: Damage,
    },
    /// The record is intact, but this version doesn't understand it. Reading can go on.
    #[error("record {seq}: {source}")]
    Unreadable {
        /// The record.
        seq: u64,
        /// What is not understood.
        source: RecordError,
    },
}

/// The records of a ledger in order.
///
/// After `None` it may be asked again: records that were appended meanwhile follow, which is how a live ledger is
/// followed.
pub struct Events {
    dir: PathBuf,
    from: u64,
    current: Option<Open>,
    later: VecDeque<Segment>,
    ready: VecDeque<Raw>,
    piece: Vec<u8>,
    failed: bool,
    passed: Option<Position>,
}

struct Open {
    segment: Segment,
    file: File,
    verifier: Verifier,
    position: Option<Position>,
}

/// A proven record, not yet read.
struct Raw {
    seq: u64,
    payload: Vec<u8>,
    after: Position,
    offset: u64,
    end: u64,
}

/// Where a frame begins or would begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ledger) struct Place {
    /// The first record of its segment.
    pub(in crate::ledger) segment: u64,
    pub(in crate::ledger) offset: u64,
    /// Where the ledger stands before it.
    pub(in crate::ledger) position: Position,
}

/// A proven record that is not yet read.
pub(in crate::ledger) struct Placed {
    raw: Raw,
    segment: u64,
}

impl Placed {
    pub(in crate::ledger) fn seq(&self) -> u64 {
        self.raw.seq
    }

    /// Where its frame begins in the segment.
    pub(in crate::ledger) fn offset(&self) -> u64 {
        self.raw.offset
    }

    /// Where the next frame begins.
    pub(in crate::ledger) fn after(&self) -> Place {
        Place { segment: self.segment, offset: self.raw.end, position: self.raw.after }
    }

    pub(in crate::ledger) fn payload(&self) -> &[u8] {
        &self.raw.payload
    }

    /// Its leaf in the tree.
    pub(in crate::ledger) fn leaf(&self) -> belay_ledger::Hash {
        belay_ledger::leaf(&self.raw.payload)
    }

    pub(in crate::ledger) fn bytes(&self) -> usize {
        self.raw.payload.len()
    }

    pub(in crate::ledger) fn read(&self) -> Result<Record, ReadError> {
        self.raw.read()
    }
}

/// The records of the ledger in `dir` from `seq` on, each proven before it is handed out.
pub fn events(dir: &Path, seq: u64) -> Result<Events, ReadError> {
    let mut events = Events {
        dir: dir.to_owned(),
        from: seq,
        current: None,
        later: VecDeque::new(),
        ready: VecDeque::new(),
        piece: vec![0; PIECE],
        failed: false,
        passed: None,
    };
    let mut segments = list(dir)?;
    let before = segments.iter().take_while(|segment| segment.first <= seq).count();
    segments.drain(..before.saturating_sub(1));
    events.later = segments.into();
    Ok(events)
}

/// The records from `place` on, which is where a record was found to end before. `None` when no record of this ledger
/// ends there.
pub(in crate::ledger) fn resume(dir: &Path, place: Place) -> Result<Option<Events>, ReadError> {
    let Some(segment) = list(dir)?.into_iter().find(|segment| segment.first == place.segment) else { return Ok(None) };
    let failed = |source| ReadError::Io { path: segment.path.clone(), source };
    let mut file = File::open(&segment.path).map_err(failed)?;
    if segment::chain_before(&file, place.offset).map_err(failed)? != Some(place.position.chain) {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(place.offset)).map_err(failed)?;
    let mut events = events(dir, place.position.size)?;
    events.later.retain(|later| later.first > segment.first);
    let verifier = Verifier::resume(place.position, place.offset);
    events.current = Some(Open { segment, file, verifier, position: Some(place.position) });
    Ok(Some(events))
}

/// The newest records that `filter` matches, newest first, at most `count`; only those before `before`, if given.
/// Records that this version doesn't understand are left out.
pub fn tail(dir: &Path, filter: &Filter, count: usize, before: Option<u64>) -> Result<Vec<Record>, ReadError> {
    let count = count.min(MAX_TAIL);
    let mut before = before.unwrap_or(u64::MAX);
    let mut found: Vec<Record> = Vec::new();
    // Newest segment first; within one, forwards.
    for segment in list(dir)?.into_iter().rev() {
        let wanted = count - found.len();
        if wanted == 0 {
            break;
        }
        let mut kept = VecDeque::new();
        let first = segment.first;
        let mut events = starting_with(dir, segment);
        while let Some(raw) = events.next_raw().transpose()? {
            if raw.seq >= before {
                break;
            }
            // Reading is put off where the filter doesn't need it.
            if filter.is_everything() || raw.read().is_ok_and(|record| filter.matches(&record.event)) {
                kept.push_back(raw);
            }
            if kept.len() > wanted {
                kept.pop_front();
            }
        }
        found.extend(kept.iter().rev().filter_map(|raw| raw.read().ok()));
        before = before.min(first);
    }
    Ok(found)
}

/// The records of this segment and what follows it.
fn starting_with(dir: &Path, segment: Segment) -> Events {
    Events {
        dir: dir.to_owned(),
        from: 0,
        current: None,
        later: VecDeque::from([segment]),
        ready: VecDeque::new(),
        piece: vec![0; PIECE],
        failed: false,
        passed: None,
    }
}

fn list(dir: &Path) -> Result<Vec<Segment>, ReadError> {
    segment::list(dir).map_err(|source| ReadError::Io { path: dir.to_owned(), source })
}

impl Raw {
    fn read(&self) -> Result<Record, ReadError> {
        Record::decode(&self.payload).map_err(|source| ReadError::Unreadable { seq: self.seq, source })
    }
}

impl Iterator for Events {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.next_raw()? {
                Ok(raw) if raw.seq < self.from => {}
                other => return Some(other.and_then(|raw| raw.read())),
            }
        }
    }
}

impl Events {
    /// Where the ledger stood after the record that was handed out last, or found unreadable.
    pub fn position(&self) -> Option<Position> {
        self.passed
    }

    /// The next record with its place.
    pub(in crate::ledger) fn next_placed(&mut self) -> Option<Result<Placed, ReadError>> {
        let raw = self.next_raw()?;
        let segment = self.current.as_ref().map_or(0, |open| open.segment.first);
        Some(raw.map(|raw| Placed { raw, segment }))
    }

    fn next_raw(&mut self) -> Option<Result<Raw, ReadError>> {
        loop {
            if let Some(raw) = self.ready.pop_front() {
                self.passed = Some(raw.after);
                return Some(Ok(raw));
            }
            if self.failed {
                return None;
            }
            match self.read_more() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
    }

    /// Returns false when there is nothing more for now.
    fn read_more(&mut self) -> Result<bool, ReadError> {
        let Some(open) = &mut self.current else { return self.open_next(None) };
        let path = &open.segment.path;
        let read = open.file.read(&mut self.piece).map_err(|source| ReadError::Io { path: path.clone(), source })?;
        if read > 0 {
            let (ready, position) = (&mut self.ready, &mut open.position);
            open.verifier.feed(&self.piece[..read], &mut |frame| {
                *position = Some(frame.after);
                ready.push_back(Raw {
                    seq: frame.seq,
                    payload: frame.payload.to_vec(),
                    after: frame.after,
                    offset: frame.offset,
                    end: frame.end(),
                });
            });
            return Ok(true);
        }
        let damaged = |damage| ReadError::Damaged { path: path.clone(), damage };
        let end = open.verifier.finish().map_err(damaged)?;
        if self.later.is_empty() {
            // What is torn may be an append in progress. A segment begun meanwhile is taken up in the next turn,
            // after this one was read to its end once more.
            let first = open.segment.first;
            self.later = list(&self.dir)?.into_iter().filter(|segment| segment.first > first).collect();
            return Ok(!self.later.is_empty());
        }
        match (end.position, end.torn) {
            (Some(position), None) => self.open_next(Some(position)),
            (position, _) => {
                let seq = position.map_or(open.segment.first, |position| position.size);
                Err(damaged(Damage { seq, offset: end.valid_len, kind: DamageKind::Truncated }))
            }
        }
    }

    fn open_next(&mut self, expected: Option<Position>) -> Result<bool, ReadError> {
        if self.later.is_empty() {
            self.later = list(&self.dir)?.into();
        }
        let Some(segment) = self.later.pop_front() else { return Ok(false) };
        let file = File::open(&segment.path).map_err(|source| ReadError::Io { path: segment.path.clone(), source })?;
        let expected = expected.or_else(|| (segment.first == 0).then_some(Position::START));
        self.current = Some(Open { segment, file, verifier: Verifier::new(expected), position: None });
        Ok(true)
    }
}
