//! Records out of the files of a ledger.

use super::Filter;
use crate::ledger::kept;
use crate::ledger::recover::PIECE;
use crate::ledger::segment::{self, Segment};
use crate::ledger::session_keys::Opener;
use belay_ledger::{Damage, DamageKind, Opened, Position, Record, RecordError, Verifier};
use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    opener: Arc<Opener>,
}

struct Open {
    segment: Segment,
    source: Arc<Source>,
    file: File,
    verifier: Verifier,
    position: Option<Position>,
}

/// Where records come from, and what opens their content.
pub(in crate::ledger) struct Source {
    path: PathBuf,
    opener: Arc<Opener>,
}

/// A proven record, not yet read.
struct Raw {
    source: Arc<Source>,
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

    /// The same with its content, if there is any that can be read.
    pub(in crate::ledger) fn open(&self) -> Result<(Record, Option<String>), ReadError> {
        self.raw.open()
    }
}

/// The records of the ledger in `dir` from `seq` on, each proven before it is handed out.
pub fn events(dir: &Path, seq: u64) -> Result<Events, ReadError> {
    let mut events = Events { from: seq, ..starting_with(dir, None) };
    let mut segments = list(dir)?;
    let before = segments.iter().take_while(|segment| segment.first <= seq).count();
    segments.drain(..before.saturating_sub(1));
    events.later = segments.into();
    Ok(events)
}

/// Whether the segments with these first records are all there.
pub(in crate::ledger) fn has_segments(dir: &Path, firsts: &[u64]) -> Result<bool, ReadError> {
    let there: HashSet<u64> = list(dir)?.iter().map(|segment| segment.first).collect();
    Ok(firsts.iter().all(|first| there.contains(first)))
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
    let source = events.source(&segment);
    events.current = Some(Open { segment, source, file, verifier, position: Some(place.position) });
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
        let mut events = starting_with(dir, Some(segment));
        while let Some(raw) = events.next_raw().transpose()? {
            if raw.seq >= before {
                break;
            }
            // Reading is put off where the filter doesn't need it.
            let matches = |record: Option<Record>| record.is_some_and(|record| filter.matches(&record.event));
            if filter.is_everything() || matches(understood(raw.read())?) {
                kept.push_back(raw);
            }
            if kept.len() > wanted {
                kept.pop_front();
            }
        }
        for raw in kept.iter().rev() {
            found.extend(understood(raw.read())?);
        }
        before = before.min(first);
    }
    Ok(found)
}

/// The record, unless this version doesn't understand it.
pub(in crate::ledger) fn understood<T>(read: Result<T, ReadError>) -> Result<Option<T>, ReadError> {
    match read {
        Err(ReadError::Unreadable { .. }) => Ok(None),
        read => read.map(Some),
    }
}

/// The records of this segment and what follows it.
fn starting_with(dir: &Path, segment: Option<Segment>) -> Events {
    Events {
        dir: dir.to_owned(),
        from: 0,
        current: None,
        later: segment.into_iter().collect(),
        ready: VecDeque::new(),
        piece: vec![0; PIECE],
        failed: false,
        passed: None,
        opener: Opener::of(dir),
    }
}

fn list(dir: &Path) -> Result<Vec<Segment>, ReadError> {
    segment::list(dir).map_err(|source| ReadError::Io { path: dir.to_owned(), source })
}

impl Raw {
    fn read(&self) -> Result<Record, ReadError> {
        self.open().map(|(record, _)| record)
    }

    fn open(&self) -> Result<(Record, Option<String>), ReadError> {
        self.source.open(&self.payload, self.seq, self.offset)
    }
}

impl Source {
    /// Records of this file, with the content that this opens.
    pub(in crate::ledger) fn new(path: &Path, opener: &Arc<Opener>) -> Source {
        Source { path: path.to_owned(), opener: Arc::clone(opener) }
    }

    /// Reads a proven record: the one place where content is unsealed.
    pub(in crate::ledger) fn open(
        &self,
        payload: &[u8],
        seq: u64,
        offset: u64,
    ) -> Result<(Record, Option<String>), ReadError> {
        let mut failed = None;
        let opened = Record::open(payload, |sealed| {
            self.opener.open(sealed).unwrap_or_else(|source| {
                failed = Some(source);
                Opened::Gone
            })
        });
        if let Some(source) = failed {
            return Err(ReadError::Io { path: self.opener.path().to_owned(), source });
        }
        opened.map_err(|source| match source {
            RecordError::Content => {
                let damage = Damage { seq, offset, kind: DamageKind::Content };
                ReadError::Damaged { path: self.path.clone(), damage }
            }
            source @ RecordError::Unknown(_) => ReadError::Unreadable { seq, source },
        })
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

    fn source(&self, segment: &Segment) -> Arc<Source> {
        Arc::new(Source::new(&segment.path, &self.opener))
    }

    /// Returns false when there is nothing more for now.
    fn read_more(&mut self) -> Result<bool, ReadError> {
        self.opener.refresh();
        let Some(open) = &mut self.current else { return self.open_next(None) };
        let path = &open.segment.path;
        let read = open.file.read(&mut self.piece).map_err(|source| ReadError::Io { path: path.clone(), source })?;
        if read > 0 {
            let (ready, position, source) = (&mut self.ready, &mut open.position, &open.source);
            open.verifier.feed(&self.piece[..read], &mut |frame| {
                *position = Some(frame.after);
                ready.push_back(Raw {
                    source: Arc::clone(source),
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
        // Ends with what is left to read.
        while let Some(segment) = self.later.pop_front() {
            let file = match File::open(&segment.path) {
                Ok(file) => file,
                // It was deleted since they were listed. Whether it may have been is seen with the next one.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(ReadError::Io { path: segment.path.clone(), source }),
            };
            let expected = expected.or_else(|| (segment.first == 0).then_some(Position::START));
            let expected = expected.map(|expected| self.over_deleted(expected, segment.first)).transpose()?;
            let source = self.source(&segment);
            self.current = Some(Open { segment, source, file, verifier: Verifier::new(expected), position: None });
            return Ok(true);
        }
        Ok(false)
    }

    /// Where the ledger stands before record `to`, if retention deleted those from `from` on; else where it stood.
    fn over_deleted(&self, from: Position, to: u64) -> Result<Position, ReadError> {
        if from.size >= to {
            return Ok(from);
        }
        let deletions = kept::deletions(&self.dir);
        let deletions = deletions.map_err(|source| ReadError::Io { path: self.dir.clone(), source })?;
        Ok(kept::bridge(&deletions, from, to).unwrap_or(from))
    }
}
