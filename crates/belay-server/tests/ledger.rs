//! The ledger on a real disk: what is told to be stored is stored, and what is wrong is found.

#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy sees only functions marked as tests as tests")]

use belay_ledger::Position;
use belay_model::{
    Code, ConnectionId, Effect, EndReason, Event, EventKind, GrantId, Named, Outcome, SessionId, Timestamp,
    TransactionStatus,
};
use belay_server::ledger::read::{self, Filter};
use belay_server::ledger::{Ledger, LedgerError, Opened, Settings};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn statement(number: u64, text: &str) -> Event {
    let kind = EventKind::Statement {
        statement: number,
        text: text.into(),
        values: None,
        effect: Effect::Read,
        denied: None,
        because: None,
        relations: Named::default(),
    };
    Event::new(Timestamp(i64::try_from(number).unwrap()), kind).by("alice").on("orders").under(GrantId(3))
}

fn of(connection: i64, kind: EventKind) -> Event {
    let event = Event::new(Timestamp(9), kind).by("alice").on("orders").under(GrantId(3));
    Event { session: Some(SessionId(7)), connection: Some(ConnectionId(connection)), ..event }
}

fn login() -> EventKind {
    EventKind::Login { client: "c".to_owned(), application: "psql".to_owned(), database: "d".to_owned(), backend: 1 }
}

fn outcome(statement: u64, transaction: TransactionStatus) -> EventKind {
    EventKind::Outcome {
        statement,
        outcome: Outcome { rows: Some(1), bytes: None, sqlstate: None, stopped: None, micros: 5, skipped: false },
        transaction,
    }
}

fn small(dir: &Path, segment_bytes: u64) -> Settings {
    Settings { segment_bytes, ..Settings::new(dir) }
}

fn open(dir: &Path) -> (Ledger, Opened) {
    Ledger::open(dir).unwrap()
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "ledger"));
    paths.sort();
    paths
}

fn texts(dir: &Path) -> Vec<String> {
    let text = |event: Event| match event.kind {
        EventKind::Statement { text, .. } => text.to_string(),
        other => other.word().to_owned(),
    };
    read::events(dir, 0).unwrap().map(|record| text(record.unwrap().event)).collect()
}

fn everything() -> Filter {
    Filter::default()
}

#[tokio::test]
async fn what_is_durable_can_be_read_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (ledger, opened) = open(dir.path());
    assert_eq!(opened.position, Position::START);
    ledger.record_durable(statement(0, "SELECT 1")).await.unwrap();
    assert_eq!(texts(dir.path()), ["SELECT 1"]);
    assert_eq!(ledger.counters().records, 1);
    ledger.close().unwrap();
}

#[tokio::test]
async fn what_nobody_waits_for_is_on_the_disk_soon() {
    let dir = tempfile::tempdir().unwrap();
    let (ledger, _) = open(dir.path());
    for number in 0..10 {
        ledger.try_record(statement(number, "SELECT 1")).unwrap();
    }
    let since = Instant::now();
    while ledger.counters().records < 10 {
        assert!(since.elapsed() < Duration::from_secs(2), "{:?}", ledger.counters());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(texts(dir.path()).len(), 10);
}

#[tokio::test]
async fn events_keep_their_order_and_closing_loses_none() {
    let dir = tempfile::tempdir().unwrap();
    let (ledger, _) = open(dir.path());
    for number in 0..20_000 {
        ledger.record(statement(number, &number.to_string())).await.unwrap();
    }
    ledger.close().unwrap();
    assert!(
        texts(dir.path()).iter().map(String::as_str).eq((0..20_000).map(|n| n.to_string()).collect::<Vec<_>>().iter())
    );
    let (_, opened) = open(dir.path());
    assert_eq!((opened.position.size, opened.truncated), (20_000, None));
}

#[tokio::test]
async fn a_closed_ledger_takes_nothing_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (ledger, _) = open(dir.path());
    ledger.close().unwrap();
    assert!(!ledger.is_up());
    assert!(ledger.try_record(statement(0, "x")).is_err());
    assert!(ledger.record_late(statement(0, "x")).is_err());
    let error = ledger.record_durable(statement(0, "x")).await.unwrap_err();
    assert_eq!(error.to_string(), "ledger cannot be written: it was closed");
}

#[tokio::test]
async fn a_full_queue_gives_the_event_back_and_the_patient_get_through() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { queue_events: 4, ..Settings::new(dir.path()) };
    let (ledger, _) = Ledger::open_with(&settings).unwrap();
    let mut refused = 0;
    for number in 0..5_000 {
        if let Err(event) = ledger.try_record(statement(number, "x")) {
            refused += 1;
            ledger.record(event).await.unwrap();
        }
    }
    assert!(refused > 0);
    ledger.close().unwrap();
    assert_eq!(texts(dir.path()).len(), 5_000);
}

#[test]
fn only_one_process_has_a_ledger_and_others_may_not_look() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("ledger");
    let (ledger, _) = open(&dir);
    assert!(matches!(Ledger::open(&dir), Err(LedgerError::Locked(_))));
    assert_eq!(std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    for file in segments(&dir) {
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    drop(ledger);
    open(&dir);
}

#[tokio::test]
async fn segments_rotate_and_stay_one_chain() {
    let dir = tempfile::tempdir().unwrap();
    let (ledger, _) = Ledger::open_with(&small(dir.path(), 4_000)).unwrap();
    for number in 0..60 {
        ledger.record_durable(statement(number, "SELECT 'a statement of some length'")).await.unwrap();
    }
    ledger.close().unwrap();
    assert!(segments(dir.path()).len() > 2);
    let report = read::verify(dir.path(), &read::Against::default()).unwrap();
    assert!(report.is_intact(), "{report:?}");
    assert_eq!((report.records, report.segments), (60, segments(dir.path()).len() as u64));
    let (ledger, opened) = Ledger::open_with(&small(dir.path(), 4_000)).unwrap();
    assert_eq!(opened.position.to_string(), report.position);
    ledger.record_durable(statement(60, "x")).await.unwrap();
    assert_eq!(
        read::events(dir.path(), 58).unwrap().map(|record| record.unwrap().seq).collect::<Vec<_>>(),
        [58, 59, 60]
    );
    assert!(
        read::verify(dir.path(), &read::Against { position: Some(opened.position), trust: None }).unwrap().is_intact()
    );
}

/// Sixty records in several segments.
async fn written() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (ledger, _) = Ledger::open_with(&small(dir.path(), 4_000)).unwrap();
    for number in 0..60 {
        ledger.record_durable(statement(number, "SELECT 'a statement of some length'")).await.unwrap();
    }
    ledger.close().unwrap();
    dir
}

#[tokio::test]
async fn a_removed_segment_and_a_rewritten_past_are_found() {
    let dir = written().await;
    let position: Position = read::verify(dir.path(), &read::Against::default()).unwrap().position.parse().unwrap();
    let files = segments(dir.path());
    let aside = dir.path().join("aside");

    std::fs::rename(&files[1], &aside).unwrap();
    let damage = read::verify(dir.path(), &read::Against::default()).unwrap().damage.unwrap();
    assert!(damage.what.ends_with("are missing, and no record says that they were deleted"), "{damage:?}");
    std::fs::rename(&aside, &files[1]).unwrap();

    std::fs::rename(&files[0], &aside).unwrap();
    assert!(!read::verify(dir.path(), &read::Against::default()).unwrap().is_intact());
    std::fs::rename(&aside, &files[0]).unwrap();

    let last = files.last().unwrap();
    std::fs::rename(last, &aside).unwrap();
    assert!(read::verify(dir.path(), &read::Against::default()).unwrap().is_intact());
    let report = read::verify(dir.path(), &read::Against { position: Some(position), trust: None }).unwrap();
    assert_eq!((report.known, report.is_intact()), (Some(false), false));
}

#[tokio::test]
async fn a_damaged_ledger_is_not_opened_and_not_changed() {
    let dir = written().await;
    let last = segments(dir.path()).pop().unwrap();
    let mut bytes = std::fs::read(&last).unwrap();
    bytes[200] ^= 1;
    std::fs::write(&last, &bytes).unwrap();
    let error = Ledger::open(dir.path()).err().unwrap().to_string();
    assert!(error.contains("is damaged: the record was changed (record "), "{error}");
    assert!(error.contains(last.to_str().unwrap()) && error.ends_with("nothing was changed"), "{error}");
    assert_eq!(std::fs::read(&last).unwrap(), bytes);
}

#[tokio::test]
async fn a_torn_tail_is_taken_off_and_said() {
    let dir = written().await;
    let last = segments(dir.path()).pop().unwrap();
    let whole = std::fs::read(&last).unwrap();
    for junk in [&[1, 2, 3][..], &[0; 500], &whole[64..100]] {
        std::fs::write(&last, [&whole[..], junk].concat()).unwrap();
        let (ledger, opened) = open(dir.path());
        let truncated = opened.truncated.unwrap();
        assert_eq!((truncated.bytes, truncated.offset, truncated.seq), (junk.len() as u64, whole.len() as u64, 60));
        ledger.close().unwrap();
        assert_eq!(std::fs::read(&last).unwrap(), whole);
    }
}

#[tokio::test]
async fn a_segment_whose_header_was_not_finished_is_begun_again() {
    let dir = written().await;
    let next = dir.path().join(format!("{:020}.ledger", 60));
    for start in [&b""[..], b"BLYLE", &[0; 64]] {
        std::fs::write(&next, start).unwrap();
        let (ledger, opened) = open(dir.path());
        assert_eq!(opened.truncated.unwrap().path, next);
        assert_eq!(opened.position.size, 60);
        ledger.close().unwrap();
    }
    std::fs::write(dir.path().join(format!("{:020}.ledger", 99)), b"BL").unwrap();
    assert!(matches!(Ledger::open(dir.path()), Err(LedgerError::Damaged { .. })));
}

#[tokio::test]
async fn connections_that_did_not_end_are_named_with_their_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let (ledger, _) = open(dir.path());
    let running = |number| statement(number, "BEGIN").kind;
    let events = [
        of(1, login()),
        of(2, login()),
        of(3, login()),
        of(4, login()),
        of(1, running(1)),
        of(1, outcome(1, TransactionStatus::Open)),
        of(2, running(1)),
        of(2, outcome(1, TransactionStatus::Idle)),
        of(3, running(1)),
        of(4, outcome(1, TransactionStatus::Open)),
        of(4, EventKind::ConnectionEnded { reason: EndReason::Closed, in_transaction: true }),
    ];
    for event in events {
        ledger.record(event).await.unwrap();
    }
    ledger.close().unwrap();
    let (_, opened) = open(dir.path());
    let found: Vec<_> = opened
        .unfinished
        .iter()
        .map(|unfinished| (unfinished.connection.0, unfinished.transaction, unfinished.in_flight))
        .collect();
    assert_eq!(
        found,
        [(1, TransactionStatus::Open, false), (2, TransactionStatus::Idle, false), (3, TransactionStatus::Idle, true)]
    );
    assert_eq!((opened.unfinished[0].session, opened.unfinished[0].grant), (Some(SessionId(7)), Some(GrantId(3))));
    assert_eq!(opened.unfinished[0].who.as_deref(), Some("alice"));
}

#[tokio::test]
async fn the_tail_is_newest_first_filtered_and_paged() {
    let dir = written().await;
    let (ledger, _) = open(dir.path());
    let denied = EventKind::Statement {
        statement: 60,
        text: "DROP TABLE orders".into(),
        values: None,
        effect: Effect::Definition,
        denied: Some(Code::Definition),
        because: None,
        relations: Named::default(),
    };
    ledger.record_durable(Event::new(Timestamp(60), denied).by("bob")).await.unwrap();
    let seqs = |filter: &Filter, count, before| -> Vec<u64> {
        read::tail(dir.path(), filter, count, before).unwrap().iter().map(|record| record.seq).collect()
    };
    let filter = |text: &str| Filter::parse(text, Timestamp(100)).unwrap();
    assert_eq!(seqs(&everything(), 3, None), [60, 59, 58]);
    assert_eq!(seqs(&everything(), 2, Some(40)), [39, 38]);
    assert_eq!(seqs(&everything(), 100, None), (0..=60).rev().collect::<Vec<_>>());
    assert_eq!(seqs(&filter("decision:denied"), 10, None), [60]);
    assert_eq!(seqs(&filter("who:alice"), 2, None), [59, 58]);
    assert_eq!(seqs(&filter("\"drop table\""), 10, None), [60]);
    assert!(seqs(&filter("who:carol"), 10, None).is_empty());
}

#[tokio::test]
async fn a_live_ledger_is_followed_over_segments() {
    let dir = tempfile::tempdir().unwrap();
    let (ledger, _) = Ledger::open_with(&small(dir.path(), 1_000)).unwrap();
    let mut follower = read::events(dir.path(), 0).unwrap();
    for number in 0..30 {
        assert!(follower.next().is_none());
        ledger.record_durable(statement(number, "SELECT 1")).await.unwrap();
        assert_eq!(follower.next().unwrap().unwrap().seq, number);
    }
    assert!(segments(dir.path()).len() > 3);
}

#[tokio::test]
async fn a_deleted_segment_takes_the_ledger_down() {
    let dir = tempfile::tempdir().unwrap();
    let (ledger, _) = open(dir.path());
    ledger.record_durable(statement(0, "x")).await.unwrap();
    std::fs::remove_file(&segments(dir.path())[0]).unwrap();
    let error = ledger.record_durable(statement(1, "x")).await.unwrap_err();
    assert_eq!(error.to_string(), "ledger cannot be written: its last segment was deleted by another program");
    assert!(!ledger.is_up());
}

#[test]
fn a_file_that_is_no_ledger_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(format!("{:020}.ledger", 0)), [7; 300]).unwrap();
    let error = Ledger::open(dir.path()).err().unwrap().to_string();
    assert!(error.contains("this is not a segment of a ledger"), "{error}");
}
