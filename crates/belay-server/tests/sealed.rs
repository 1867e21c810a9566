//! What a session typed is sealed under a key of the session: it is read as ever, and is gone when the key is.

#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy sees only functions marked as tests as tests")]

use belay_ledger::{Owner, Record};
use belay_model::{BindValue, ConnectionId, Effect, Event, EventKind, GrantId, Named, SessionId, Timestamp};
use belay_server::ledger::read::{self, Against, Filter};
use belay_server::ledger::{Ledger, SESSION_KEYS, Settings, search};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

const SENTINEL: &str = "sentinel4711";
const PATIENCE: Duration = Duration::from_secs(20);

fn statement(session: i64, number: u64) -> Event {
    let kind = EventKind::Statement {
        statement: number,
        text: format!("SELECT '{SENTINEL}' /* {session} */").into(),
        values: Some(vec![BindValue::Text(SENTINEL.to_owned())]),
        effect: Effect::Read,
        denied: None,
        because: None,
        relations: Named::default(),
    };
    let event = Event::new(Timestamp(9), kind).by("alice").on("orders").under(GrantId(3));
    Event { session: Some(SessionId(session)), connection: Some(ConnectionId(1)), ..event }
}

async fn written(dir: &Path) -> Ledger {
    let (ledger, _) = Ledger::open(dir).unwrap();
    for session in [7, 8] {
        for number in 0..3 {
            ledger.record_durable(statement(session, number)).await.unwrap();
        }
    }
    ledger
}

/// Files below the folder whose bytes hold it.
fn holding(folder: &Path, what: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, what));
        } else if std::fs::read(&path).unwrap().windows(what.len()).any(|part| part == what.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

fn texts(dir: &Path) -> Vec<(bool, String)> {
    let text = |record: Record| match record.event.kind {
        EventKind::Statement { text, .. } => (record.erased, text.to_string()),
        other => panic!("{other:?}"),
    };
    read::events(dir, 0).unwrap().map(|record| text(record.unwrap())).collect()
}

fn said(session: i64) -> (bool, String) {
    (false, format!("SELECT '{SENTINEL}' /* {session} */"))
}

#[tokio::test]
async fn content_is_in_no_file_of_the_ledger_and_is_read_as_ever() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = written(dir.path()).await;
    assert_eq!(holding(dir.path(), SENTINEL), [] as [String; 0]);
    let keys = dir.path().join(SESSION_KEYS);
    assert_eq!(std::fs::metadata(&keys).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_to_string(&keys).unwrap().lines().count(), 2);
    assert_eq!(texts(dir.path()), [said(7), said(7), said(7), said(8), said(8), said(8)]);
    let filter = Filter::parse(SENTINEL, Timestamp(0)).unwrap();
    assert_eq!(read::tail(dir.path(), &filter, 10, None).unwrap().len(), 6);
    let mut index = search::Index::temporary(dir.path()).await.unwrap();
    let found = index.search(&filter, search::Page::Newest, 10, PATIENCE).await.unwrap();
    assert_eq!((found.records.len(), found.records[0].erased), (6, false));
    ledger.close().unwrap();
    let (ledger, _) = Ledger::open(dir.path()).unwrap();
    ledger.record_durable(statement(7, 3)).await.unwrap();
    assert_eq!(texts(dir.path()).last(), Some(&said(7)), "the key of an earlier run is used");
    assert_eq!(std::fs::read_to_string(&keys).unwrap().lines().count(), 2);
}

#[tokio::test]
async fn an_erased_session_stays_in_the_ledger_without_its_content() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = written(dir.path()).await;
    let mut following = read::events(dir.path(), 0).unwrap();
    assert!(!following.next().unwrap().unwrap().erased);
    assert!(ledger.erase_keys(&[Owner::Session(SessionId(7))]).unwrap());
    assert!(!ledger.erase_keys(&[Owner::Session(SessionId(7))]).unwrap());
    assert_eq!(texts(dir.path()), [gone(), gone(), gone(), said(8), said(8), said(8)]);
    ledger.record_durable(statement(8, 3)).await.unwrap();
    ledger.record_durable(statement(7, 3)).await.unwrap();
    let last: Vec<Record> = following.by_ref().map(Result::unwrap).collect();
    assert_eq!((last.len(), last[6].erased), (7, false), "what comes after is under a key of its own");
    assert_eq!(texts(dir.path())[..3], [gone(), gone(), gone()]);
    ledger.close().unwrap();
    assert!(read::verify(dir.path(), &Against::default()).unwrap().is_intact());
    std::fs::remove_file(dir.path().join(SESSION_KEYS)).unwrap();
    assert!(texts(dir.path()).iter().all(|(erased, _)| *erased));
}

/// Another digit in the place of this one, counted from the end of the first line.
fn with_other_digit(keys: &Path, from_end: usize) {
    let mut text = std::fs::read_to_string(keys).unwrap();
    let place = text.find('\n').unwrap() - from_end;
    let other = if text.as_bytes()[place] == b'0' { "1" } else { "0" };
    text.replace_range(place..=place, other);
    std::fs::write(keys, text).unwrap();
}

fn gone() -> (bool, String) {
    (true, "[erased]".to_owned())
}

#[tokio::test]
async fn a_key_with_a_wrong_digit_loses_its_session_and_no_other() {
    // In the check, in the key, in its name, in the session.
    for from_end in [1, 20, 76, 84] {
        let dir = tempfile::tempdir().unwrap();
        written(dir.path()).await.close().unwrap();
        let keys = dir.path().join(SESSION_KEYS);
        with_other_digit(&keys, from_end);
        assert_eq!(texts(dir.path()), [gone(), gone(), gone(), said(8), said(8), said(8)], "{from_end}");
        let everything = read::tail(dir.path(), &Filter::default(), 10, None).unwrap();
        assert_eq!(everything.len(), 6);
        let report = read::verify(dir.path(), &Against::default()).unwrap();
        assert!(report.is_intact(), "no proof needs a key: {report:?}");
        assert_eq!(report.damaged_keys.len(), 1, "{report:?}");
        assert!(report.damaged_keys[0].starts_with("line 1"), "{report:?}");

        let damaged = std::fs::read_to_string(&keys).unwrap();
        let (ledger, _) = Ledger::open(dir.path()).unwrap();
        ledger.record_durable(statement(7, 3)).await.unwrap();
        assert_eq!(texts(dir.path()).last(), Some(&said(7)), "it goes on under another key");
        ledger.erase_keys(&[Owner::Session(SessionId(8))]).unwrap();
        let first = damaged.lines().next().unwrap();
        let left = std::fs::read_to_string(&keys).unwrap();
        assert!(left.contains(first), "what is damaged stays, to be put right by hand");
        ledger.erase_keys(&[Owner::Session(SessionId(9))]).unwrap();
        let left = std::fs::read_to_string(&keys).unwrap();
        assert!(!left.contains(first), "it may be the key that is to be erased");
        ledger.close().unwrap();
    }
}

#[tokio::test]
async fn keys_of_earlier_versions_have_no_check_and_are_read() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path()).await.close().unwrap();
    let keys = dir.path().join(SESSION_KEYS);
    let text = std::fs::read_to_string(&keys).unwrap();
    let earlier: Vec<&str> = text.lines().map(|line| line.rsplit_once(' ').unwrap().0).collect();
    std::fs::write(&keys, earlier.join("\n") + "\n").unwrap();
    assert_eq!(texts(dir.path()), [said(7), said(7), said(7), said(8), said(8), said(8)]);
    with_other_digit(&keys, 1);
    assert_eq!(texts(dir.path()), [gone(), gone(), gone(), said(8), said(8), said(8)]);
}

#[tokio::test]
async fn a_file_of_keys_that_is_full_refuses_new_sessions_and_lets_the_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let (ledger, _) = Ledger::open_with(&Settings { key_bytes: 200, ..Settings::new(dir.path()) }).unwrap();
    for session in [7, 8] {
        ledger.record_durable(statement(session, 0)).await.unwrap();
    }
    // What is written without asking is refused by the file itself; the ledger comes up again without it.
    let refused = ledger.record_durable(statement(9, 0)).await.unwrap_err().to_string();
    assert!(refused.contains("no room for the key of another session"), "{refused}");
    ledger.close().unwrap();
    let (ledger, _) = Ledger::open_with(&Settings { key_bytes: 174, ..Settings::new(dir.path()) }).unwrap();
    let refused = ledger.record_durable(statement(9, 0)).await.unwrap_err().to_string();
    assert!(refused.contains("it has 174 of 174 bytes, and no room"), "{refused}");
    assert!(ledger.try_record(statement(9, 0)).is_err());
    assert!(ledger.is_up(), "who is let in goes on");
    ledger.record_durable(statement(7, 1)).await.unwrap();
    let ended = EventKind::SessionEnded { reason: belay_model::EndReason::Closed };
    let ended = Event { session: Some(SessionId(9)), ..Event::new(Timestamp(9), ended) };
    ledger.record_durable(ended).await.unwrap();
    ledger.erase_keys(&[Owner::Session(SessionId(8))]).unwrap();
    ledger.record_durable(statement(9, 0)).await.unwrap();
    ledger.close().unwrap();
}

#[tokio::test]
async fn a_line_that_a_crash_cut_short_is_written_over() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path()).await.close().unwrap();
    let keys = dir.path().join(SESSION_KEYS);
    let whole = std::fs::read_to_string(&keys).unwrap();
    std::fs::write(&keys, format!("{whole}s_9 0badcafe 00")).unwrap();
    let (ledger, _) = Ledger::open(dir.path()).unwrap();
    ledger.record_durable(statement(9, 0)).await.unwrap();
    assert_eq!(texts(dir.path()).last(), Some(&said(9)));
    assert!(std::fs::read_to_string(&keys).unwrap().starts_with(&whole));
    ledger.close().unwrap();
}
