//! Reading the end of a ledger when it is opened: where it stands, what a crash left, who was cut.

use super::segment::{self, LedgerError, Segment, Tail};
use super::truncated::{Truncated, note};
use super::unfinished::Connections;
use belay_ledger::{Damage, DamageKind, End, Frame, HEADER_LEN, Position, Verifier};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::path::Path;

/// How many segments are looked at. What was open before them is noted beside the first of them.
const LOOK_BACK: usize = 2;
/// How much is read at a time.
pub(super) const PIECE: usize = 256 << 10;

pub(super) struct Recovery {
    pub(super) position: Position,
    pub(super) tail: Tail,
    pub(super) truncated: Option<Truncated>,
    /// Those that came and did not end.
    pub(super) connections: Connections,
}

/// Reads first and changes only then: a damaged ledger stays as it is.
pub(super) fn recover(dir: &Path) -> Result<Recovery, LedgerError> {
    let mut segments = segment::list(dir).map_err(|source| LedgerError::Io { path: dir.to_owned(), source })?;
    let mut headless = None;
    if let Some(last) = segments.last()
        && let Some(bytes) = headless_bytes(last)?
    {
        headless = Some((last.clone(), bytes));
        segments.pop();
    }
    let from = segments.len().saturating_sub(LOOK_BACK);
    let mut connections = match segments.get(from) {
        Some(first) => Connections::before(dir, first.first)?,
        None => Connections::default(),
    };
    let (position, end) = scan(&segments, from, &mut connections)?;
    if let Some((segment, _)) = headless.as_ref().filter(|(segment, _)| segment.first != position.size) {
        return Err(disconnected(segment, position));
    }
    let mut truncated = None;
    if let Some((segment, bytes)) = headless {
        let headless = Truncated { path: segment.path.clone(), seq: position.size, offset: 0, bytes };
        let removed = note(dir, &headless).and_then(|()| fs::remove_file(&segment.path));
        removed.map_err(|source| LedgerError::Io { path: segment.path, source })?;
        truncated = Some(headless);
    }
    let Some(last) = segments.last() else {
        let tail = Tail { position, file: None, len: HEADER_LEN as u64 };
        return Ok(Recovery { position, tail, truncated, connections });
    };
    let failed = |source| LedgerError::Io { path: last.path.clone(), source };
    let file = OpenOptions::new().read(true).write(true).open(&last.path).map_err(failed)?;
    if let Some(torn) = end.torn {
        let (path, seq) = (last.path.clone(), position.size);
        let tail = Truncated { path, seq, offset: torn.offset, bytes: torn.bytes };
        let cut = note(dir, &tail).and_then(|()| file.set_len(end.valid_len)).and_then(|()| file.sync_all());
        cut.map_err(failed)?;
        truncated = Some(tail);
    }
    let tail = Tail { position, file: Some(file), len: end.valid_len };
    Ok(Recovery { position, tail, truncated, connections })
}

/// Feeds a segment to `verifier` from where `file` stands to its end, for now.
pub(super) fn feed(file: &mut File, verifier: &mut Verifier, each: &mut dyn FnMut(Frame<'_>)) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(read) => verifier.feed(&piece[..read], each),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The name of a segment must be the number of its first record.
pub(super) fn disconnected(segment: &Segment, expected: Position) -> LedgerError {
    let kind = DamageKind::Disconnected { found: segment.first };
    LedgerError::Damaged { path: segment.path.clone(), damage: Damage { seq: expected.size, offset: 0, kind } }
}

/// The length of a segment whose header was not written when the gateway stopped; `None` if it has one, even a wrong one.
fn headless_bytes(segment: &Segment) -> Result<Option<u64>, LedgerError> {
    let failed = |source| LedgerError::Io { path: segment.path.clone(), source };
    let mut file = File::open(&segment.path).map_err(failed)?;
    let mut start = Vec::new();
    // A crash leaves at most the header and zeros here; more than a header is not worth a look.
    (&mut file).take(HEADER_LEN as u64 + 1).read_to_end(&mut start).map_err(failed)?;
    let headless = start.len() < HEADER_LEN || (start.len() == HEADER_LEN && start.iter().all(|byte| *byte == 0));
    Ok(headless.then_some(start.len() as u64))
}

/// Proves the last segments and returns where the ledger stands, and how the last one ends.
fn scan(segments: &[Segment], from: usize, connections: &mut Connections) -> Result<(Position, End), LedgerError> {
    let mut position = Position::START;
    let mut end = End { position: None, valid_len: 0, torn: None };
    let mut expected = (from == 0).then_some(Position::START);
    for (index, segment) in segments.iter().enumerate().skip(from) {
        let damaged = |damage| LedgerError::Damaged { path: segment.path.clone(), damage };
        let failed = |source| LedgerError::Io { path: segment.path.clone(), source };
        if expected.is_some_and(|expected| expected.size != segment.first) {
            return Err(disconnected(segment, expected.unwrap_or(Position::START)));
        }
        let mut file = File::open(&segment.path).map_err(failed)?;
        let mut verifier = Verifier::new(expected);
        feed(&mut file, &mut verifier, &mut |frame| connections.see(frame.payload)).map_err(failed)?;
        end = verifier.finish().map_err(damaged)?;
        position = end.position.unwrap_or(position);
        if let Some(torn) = end.torn
            && (index + 1 < segments.len() || end.position.is_none())
        {
            let kind = DamageKind::Truncated;
            return Err(damaged(Damage { seq: position.size.max(segment.first), offset: torn.offset, kind }));
        }
        expected = Some(position);
    }
    Ok((position, end))
}
