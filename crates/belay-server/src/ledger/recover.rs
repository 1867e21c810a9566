//! Reading the end of a ledger when it is opened: where it stands, what a crash left, who was cut.

use super::segment::{self, LedgerError, Segment, Tail};
use belay_ledger::{Damage, DamageKind, End, Frame, HEADER_LEN, Position, Verifier};
use belay_model::{ConnectionId, GrantId, SessionId, Timestamp, TransactionStatus};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// How many segments are looked at for connections that did not end.
const LOOK_BACK: usize = 2;
/// How many such connections are remembered.
const MAX_UNFINISHED: usize = 100_000;
/// How much is read at a time.
pub(super) const PIECE: usize = 256 << 10;

/// The end of an append that a crash cut short. Nobody was told that it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truncated {
    /// The segment.
    pub path: PathBuf,
    /// The number that the record would have had.
    pub seq: u64,
    /// Where it began.
    pub offset: u64,
    /// How many bytes were taken off.
    pub bytes: u64,
}

impl fmt::Display for Truncated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Truncated { path, seq, offset, bytes } = self;
        let path = path.display();
        write!(f, "took {bytes} bytes of an unfinished append off `{path}` at byte {offset}, before record {seq}")
    }
}

/// A connection whose end is not in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// The connection.
    pub connection: ConnectionId,
    /// Its session.
    pub session: Option<SessionId>,
    /// The grant it came under.
    pub grant: Option<GrantId>,
    /// Whose it was.
    pub who: Option<String>,
    /// The target.
    pub target: Option<String>,
    /// What its last outcome said.
    pub transaction: TransactionStatus,
    /// A permitted statement has no outcome, so that the transaction may stand elsewhere than `transaction` says.
    pub in_flight: bool,
    /// When it was last heard of.
    pub last_seen: Timestamp,
}

pub(super) struct Recovery {
    pub(super) position: Position,
    pub(super) tail: Tail,
    pub(super) truncated: Option<Truncated>,
    pub(super) unfinished: Vec<Unfinished>,
}

/// Reads first and changes only then: a damaged ledger stays as it is.
pub(super) fn recover(dir: &Path) -> Result<Recovery, LedgerError> {
    let mut segments = segment::list(dir).map_err(|source| LedgerError::Io { path: dir.to_owned(), source })?;
    let mut connections = Connections::default();
    let mut headless = None;
    if let Some(last) = segments.last()
        && let Some(bytes) = headless_bytes(last)?
    {
        headless = Some((last.clone(), bytes));
        segments.pop();
    }
    let (position, end) = scan(&segments, &mut connections)?;
    if let Some((segment, _)) = headless.as_ref().filter(|(segment, _)| segment.first != position.size) {
        return Err(disconnected(segment, position));
    }
    let mut truncated = None;
    if let Some((segment, bytes)) = headless {
        let failed = |source| LedgerError::Io { path: segment.path.clone(), source };
        fs::remove_file(&segment.path).map_err(failed)?;
        truncated = Some(Truncated { path: segment.path, seq: position.size, offset: 0, bytes });
    }
    let Some(last) = segments.last() else {
        let tail = Tail { position, file: None, len: HEADER_LEN as u64 };
        return Ok(Recovery { position, tail, truncated, unfinished: Vec::new() });
    };
    let failed = |source| LedgerError::Io { path: last.path.clone(), source };
    let file = OpenOptions::new().read(true).write(true).open(&last.path).map_err(failed)?;
    if let Some(torn) = end.torn {
        file.set_len(end.valid_len).and_then(|()| file.sync_all()).map_err(failed)?;
        let (path, seq) = (last.path.clone(), position.size);
        truncated = Some(Truncated { path, seq, offset: torn.offset, bytes: torn.bytes });
    }
    let tail = Tail { position, file: Some(file), len: end.valid_len };
    Ok(Recovery { position, tail, truncated, unfinished: connections.unfinished() })
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
fn scan(segments: &[Segment], connections: &mut Connections) -> Result<(Position, End), LedgerError> {
    let mut position = Position::START;
    let mut end = End { position: None, valid_len: 0, torn: None };
    let from = segments.len().saturating_sub(LOOK_BACK);
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

/// The connections that have been heard of and not ended.
#[derive(Default)]
struct Connections {
    open: BTreeMap<i64, (Unfinished, Option<u64>)>,
}

/// What is looked at of each record.
#[derive(Deserialize)]
struct Trace<'a> {
    at: Timestamp,
    #[serde(default)]
    who: Option<String>,
    #[serde(default)]
    target: Option<String>,
    #[serde(default)]
    grant: Option<GrantId>,
    #[serde(default)]
    session: Option<SessionId>,
    #[serde(default)]
    connection: Option<ConnectionId>,
    kind: &'a str,
    #[serde(default)]
    statement: Option<u64>,
    #[serde(default)]
    denied: Option<&'a str>,
    #[serde(default)]
    transaction: Option<TransactionStatus>,
}

impl Connections {
    fn see(&mut self, payload: &[u8]) {
        // A record of a later version that doesn't read so says nothing of a connection that is known here.
        let Ok(trace) = serde_json::from_slice::<Trace<'_>>(payload) else { return };
        let Some(connection) = trace.connection else { return };
        if trace.kind == "connection_ended" {
            self.open.remove(&connection.0);
            return;
        }
        if self.open.len() >= MAX_UNFINISHED && !self.open.contains_key(&connection.0) {
            return;
        }
        let (seen, running) = self.open.entry(connection.0).or_insert_with(|| {
            let seen = Unfinished {
                connection,
                session: None,
                grant: None,
                who: None,
                target: None,
                transaction: TransactionStatus::Idle,
                in_flight: false,
                last_seen: trace.at,
            };
            (seen, None)
        });
        seen.last_seen = trace.at;
        seen.session = trace.session.or(seen.session);
        seen.grant = trace.grant.or(seen.grant);
        seen.who = trace.who.or_else(|| seen.who.take());
        seen.target = trace.target.or_else(|| seen.target.take());
        match trace.kind {
            "statement" if trace.denied.is_none() => *running = trace.statement,
            "outcome" => {
                seen.transaction = trace.transaction.unwrap_or(seen.transaction);
                // Statements run in order, so the outcome of the last one leaves none running.
                *running = running.filter(|running| trace.statement.is_none_or(|ended| ended < *running));
            }
            _ => {}
        }
        seen.in_flight = running.is_some();
    }

    fn unfinished(self) -> Vec<Unfinished> {
        self.open.into_values().map(|(seen, _)| seen).collect()
    }
}
