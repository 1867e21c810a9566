//! Connections that came and did not end, as far as records say.
//!
//! Whoever opens a ledger looks at its last segments only. So, as each segment is begun, what is open is noted in a file
//! beside it. That file is no part of the ledger, and proves nothing.

use super::LedgerError;
use crate::files;
use belay_model::{ConnectionId, Event, EventKind, GrantId, SessionId, Timestamp, TransactionStatus};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many connections are remembered.
const MAX_UNFINISHED: usize = 100_000;
/// How the notes' names end.
const SUFFIX: &str = "open";
/// One more than whoever opens the ledger looks back to: the newest segment may have come to nothing.
const NOTES_KEPT: usize = 4;

/// A connection whose end is not in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// The connections that have been heard of and not ended.
#[derive(Debug, Default)]
pub(super) struct Connections {
    /// With the statement that runs.
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
    /// Those that were open when the segment with this first record was begun. A ledger of an earlier version has no
    /// note of them.
    pub(super) fn before(dir: &Path, first: u64) -> Result<Connections, LedgerError> {
        let path = note_of(dir, first);
        let failed = |source| LedgerError::Io { path: path.clone(), source };
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Connections::default()),
            Err(error) => return Err(failed(error)),
        };
        let all: Vec<(Unfinished, Option<u64>)> =
            serde_json::from_slice(&bytes).map_err(|error| failed(error.into()))?;
        Ok(Connections { open: all.into_iter().map(|one| (one.0.connection.0, one)).collect() })
    }

    /// Notes, durably, which are open as the segment with this first record is begun, and forgets the notes of those
    /// that nobody looks back to.
    pub(super) fn note(&self, dir: &Path, first: u64) -> io::Result<()> {
        let all: Vec<&(Unfinished, Option<u64>)> = self.open.values().collect();
        files::replace(&note_of(dir, first), &serde_json::to_vec(&all)?, 0o600)?;
        let mut notes: Vec<PathBuf> = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        notes.retain(|path| path.extension().is_some_and(|end| end == SUFFIX));
        notes.sort();
        let old = notes.len().saturating_sub(NOTES_KEPT);
        notes.iter().take(old).try_for_each(fs::remove_file)
    }

    /// A record as it is in the file.
    pub(super) fn see(&mut self, payload: &[u8]) {
        // A record of a later version that doesn't read so says nothing of a connection that is known here.
        if let Ok(trace) = serde_json::from_slice::<Trace<'_>>(payload) {
            self.follow(trace);
        }
    }

    /// The same before it is one.
    pub(super) fn hear(&mut self, event: &Event) {
        let Some(connection) = event.connection else { return };
        let is_new = !self.open.contains_key(&connection.0);
        let name = |name: &Option<Arc<str>>| name.as_deref().filter(|_| is_new).map(str::to_owned);
        let (statement, denied, transaction) = match &event.kind {
            EventKind::Statement { statement, denied, .. } => (Some(*statement), denied.map(|_| ""), None),
            EventKind::Outcome { statement, transaction, .. } => (Some(*statement), None, Some(*transaction)),
            _ => (None, None, None),
        };
        self.follow(Trace {
            at: event.at,
            who: name(&event.who),
            target: name(&event.target),
            grant: event.grant,
            session: event.session,
            connection: Some(connection),
            kind: event.kind.word(),
            statement,
            denied,
            transaction,
        });
    }

    fn follow(&mut self, trace: Trace<'_>) {
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

    pub(super) fn unfinished(&self) -> Vec<Unfinished> {
        self.open.values().map(|(seen, _)| seen.clone()).collect()
    }
}

fn note_of(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}.{SUFFIX}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Ledger, Settings};
    use belay_model::{Effect, Named, Outcome};

    fn event(connection: i64, kind: EventKind) -> Event {
        Event { connection: Some(ConnectionId(connection)), ..Event::new(Timestamp(7), kind).by("alice") }
    }

    fn statement(text: &str) -> EventKind {
        let (text, effect, relations) = (text.into(), Effect::Session, Named::default());
        EventKind::Statement { statement: 1, text, values: None, effect, denied: None, because: None, relations }
    }

    #[tokio::test]
    async fn a_connection_that_says_nothing_for_many_segments_is_not_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { segment_bytes: 4_000, ..Settings::new(dir.path()) };
        let (ledger, _) = Ledger::open_with(&settings).unwrap();
        ledger.record_durable(event(1, statement("BEGIN"))).await.unwrap();
        let outcome = Outcome { rows: None, bytes: None, sqlstate: None, stopped: None, skipped: false, micros: 0 };
        let open = EventKind::Outcome { statement: 1, outcome, transaction: TransactionStatus::Open };
        ledger.record_durable(event(1, open)).await.unwrap();
        for _ in 0..20 {
            ledger.record_durable(event(2, statement(&"x".repeat(2_000)))).await.unwrap();
        }
        let ended = EventKind::ConnectionEnded { reason: belay_model::EndReason::Closed, in_transaction: false };
        ledger.record_durable(event(2, ended)).await.unwrap();
        ledger.close().unwrap();
        for _ in 0..2 {
            let (ledger, opened) = Ledger::open_with(&settings).unwrap();
            let [left] = &*opened.unfinished else { panic!("{:?}", opened.unfinished) };
            assert_eq!((left.connection, left.transaction), (ConnectionId(1), TransactionStatus::Open));
            assert_eq!(left.who.as_deref(), Some("alice"));
            ledger.close().unwrap();
        }
        let files = fs::read_dir(dir.path()).unwrap().flatten();
        let notes = files.filter(|file| file.path().extension().is_some_and(|end| end == SUFFIX)).count();
        assert_eq!(notes, NOTES_KEPT);
    }
}
