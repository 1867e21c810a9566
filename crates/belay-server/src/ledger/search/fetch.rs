//! Records out of the ledger by their places, each proven against its own frame.

use crate::ledger::kept::{self, Deletion};
use crate::ledger::read::{ReadError, Source, understood};
use crate::ledger::segment::{self, Segment};
use crate::ledger::session_keys::Opener;
use belay_ledger::{Damage, DamageKind, FRAME_HEAD, FRAME_TAIL, MAX_PAYLOAD, Position, Record, Verifier};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

/// A record, and the place of one at or before it in the same segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) seq: u64,
    pub(super) mark: u64,
    pub(super) segment: u64,
    pub(super) offset: u64,
}

/// The wanted records, which come in ascending order. Those that this version doesn't understand are left out, and those
/// that retention deleted.
pub(super) fn fetch(dir: &Path, wanted: Vec<Wanted>) -> Result<Vec<Record>, ReadError> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let segments = segment::list(dir).map_err(|source| ReadError::Io { path: dir.to_owned(), source })?;
    let opener = Opener::of(dir);
    let mut walk: Option<Walk<'_>> = None;
    let mut deletions = None;
    let mut gone = 0..0;
    let mut records = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        if gone.contains(&wanted.seq) {
            continue;
        }
        let begun = match walk.take().filter(|walk| walk.leads_to(wanted)) {
            Some(walk) => Ok(walk),
            None => Walk::begin(&segments, wanted, dir, &opener),
        };
        match begun.and_then(|mut here| Ok((here.record(wanted.seq)?, here))) {
            Ok((record, here)) => {
                records.extend(record);
                walk = Some(here);
            }
            Err(error) => gone = deleted_around(dir, wanted.seq, &mut deletions)?.ok_or(error)?,
        }
    }
    Ok(records)
}

/// The records that retention deleted together with this one. What it deleted is read once, and only if it is asked.
fn deleted_around(
    dir: &Path,
    seq: u64,
    deletions: &mut Option<Vec<Deletion>>,
) -> Result<Option<Range<u64>>, ReadError> {
    let known = match deletions.take() {
        Some(known) => known,
        None => kept::deletions(dir).map_err(|source| ReadError::Io { path: dir.to_owned(), source })?,
    };
    let all = deletions.insert(known).iter().map(|deletion| deletion.first..deletion.last.saturating_add(1));
    Ok(all.into_iter().find(|range| range.contains(&seq)))
}

/// From frame to frame of a segment.
struct Walk<'a> {
    segment: &'a Segment,
    source: Source,
    file: File,
    seq: u64,
    offset: u64,
}

impl<'a> Walk<'a> {
    fn begin(segments: &'a [Segment], wanted: Wanted, dir: &Path, opener: &Arc<Opener>) -> Result<Walk<'a>, ReadError> {
        let segment = segments.iter().find(|segment| segment.first == wanted.segment);
        let gone = || ReadError::Io { path: dir.to_owned(), source: io::ErrorKind::NotFound.into() };
        let segment = segment.ok_or_else(gone)?;
        let file = File::open(&segment.path).map_err(|source| ReadError::Io { path: segment.path.clone(), source })?;
        let source = Source::new(&segment.path, opener);
        Ok(Walk { segment, source, file, seq: wanted.mark, offset: wanted.offset })
    }

    /// Whether it is nearer to go on than to begin at the mark.
    fn leads_to(&self, wanted: Wanted) -> bool {
        self.segment.first == wanted.segment && (wanted.mark..=wanted.seq).contains(&self.seq)
    }

    fn record(&mut self, seq: u64) -> Result<Option<Record>, ReadError> {
        while self.seq < seq {
            let length = self.length()?;
            self.step(length);
        }
        let length = self.length()?;
        let chain = segment::chain_before(&self.file, self.offset).map_err(|source| self.failed(source))?;
        let chain = chain.ok_or_else(|| self.damaged())?;
        let mut frame = vec![0; length];
        self.read(&mut frame, self.offset)?;
        let mut verifier = Verifier::resume(Position { size: seq, chain }, self.offset);
        let mut record = None;
        verifier.feed(&frame, &mut |frame| record = Some(self.source.open(frame.payload, seq, frame.offset)));
        let record = record.ok_or_else(|| self.damaged())?;
        self.step(length);
        Ok(understood(record)?.map(|(record, _)| record))
    }

    /// Of the whole frame.
    fn length(&self) -> Result<usize, ReadError> {
        let mut length = [0; 4];
        self.read(&mut length, self.offset)?;
        let payload = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        if payload > MAX_PAYLOAD { Err(self.damaged()) } else { Ok(FRAME_HEAD + payload + FRAME_TAIL) }
    }

    fn step(&mut self, length: usize) {
        self.seq += 1;
        self.offset += length as u64;
    }

    fn read(&self, bytes: &mut [u8], offset: u64) -> Result<(), ReadError> {
        self.file.read_exact_at(bytes, offset).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => self.damaged(),
            _ => self.failed(source),
        })
    }

    fn failed(&self, source: io::Error) -> ReadError {
        ReadError::Io { path: self.segment.path.clone(), source }
    }

    fn damaged(&self) -> ReadError {
        let damage = Damage { seq: self.seq, offset: self.offset, kind: DamageKind::Changed };
        ReadError::Damaged { path: self.segment.path.clone(), damage }
    }
}
