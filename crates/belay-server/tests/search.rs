//! The index of the ledger: it finds what the filter matches, and nothing is lost with it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy sees only functions marked as tests as tests")]

use belay_ledger::Record;
use belay_model::{
    ChangeId, ChangedTable, Code, ConnectionId, Effect, Event, EventKind, GrantId, Outcome, PlanId, RequestId,
    SessionId, Timestamp, TransactionStatus,
};
use belay_server::ledger::read::{self, Filter};
use belay_server::ledger::search::{Found, Index, Page, SearchError, index_file};
use belay_server::ledger::{Ledger, Settings};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_mins(1);
const NOW: Timestamp = Timestamp(1_000_000_000_000);

/// A ledger with small segments, so that records are in many.
struct Bed {
    _dir: tempfile::TempDir,
    ledger: PathBuf,
}

impl Bed {
    fn new() -> Bed {
        let dir = tempfile::tempdir().unwrap();
        let ledger = dir.path().join("ledger");
        Bed { _dir: dir, ledger }
    }

    fn write(&self, events: impl IntoIterator<Item = Event>) {
        let settings = Settings { segment_bytes: 4_000, ..Settings::new(&self.ledger) };
        let (ledger, _) = Ledger::open_with(&settings).unwrap();
        for event in events {
            ledger.try_record(event).unwrap();
        }
        ledger.close().unwrap();
    }

    fn index(&self) -> PathBuf {
        index_file(&self.ledger)
    }

    async fn search(&self, filter: &str, page: Page, count: usize) -> Result<Found, SearchError> {
        let filter = Filter::parse(filter, NOW).unwrap();
        let mut index = Index::open(&self.ledger, &self.index(), PATIENCE).await?;
        index.search(&filter, page, count, PATIENCE).await
    }

    async fn seqs(&self, filter: &str) -> Vec<u64> {
        seqs(&self.search(filter, Page::Newest, 1_000).await.unwrap().records)
    }

    /// Cuts a file at so many bytes.
    fn cut(path: &Path, len: u64) {
        std::fs::File::options().write(true).open(path).unwrap().set_len(len).unwrap();
    }
}

fn seqs(records: &[Record]) -> Vec<u64> {
    records.iter().map(|record| record.seq).collect()
}

fn statement(number: u64, text: &str) -> Event {
    let kind = EventKind::Statement {
        statement: number,
        text: text.into(),
        values: None,
        effect: Effect::Read,
        denied: None,
        because: None,
        relations: std::iter::once("public.orders".to_owned()).collect(),
    };
    Event::new(Timestamp(i64::try_from(number).unwrap()), kind).by("alice").on("orders").under(GrantId(3))
}

fn statements(numbers: std::ops::Range<u64>) -> impl Iterator<Item = Event> {
    numbers.map(|number| statement(number, &format!("SELECT {number} FROM orders")))
}

fn names() -> impl Strategy<Value = String> {
    select(vec!["ann", "Ann", "bob", "o'hara", "x^41", "ünsal", "a b"]).prop_map(str::to_owned)
}

fn tables() -> impl Strategy<Value = String> {
    select(vec!["orders", "public.orders", "hr.orders", "hr.pay", "db.hr.pay"]).prop_map(str::to_owned)
}

fn texts() -> impl Strategy<Value = String> {
    let word = select(vec!["SELECT", "drop", "Table", "orders", "order_id", "41", "Ünsal", ";", "public.orders", "--"]);
    vec(word, 0..6).prop_map(|words| words.join(" "))
}

fn changed() -> impl Strategy<Value = ChangedTable> {
    let key = select(
        vec!["41", "4", "a b", "1,2", &"k".repeat(300), &"k".repeat(301)]
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>(),
    );
    (tables(), vec(key, 0..3)).prop_map(|(table, keys)| ChangedTable {
        table,
        inserted: 0,
        updated: 1,
        deleted: 0,
        indirect: false,
        keys,
        more_keys: 0,
    })
}

fn kinds() -> impl Strategy<Value = EventKind> {
    let effect = select(vec![Effect::Read, Effect::Write, Effect::Definition]);
    let code = option::of(select(vec![Code::WriteInReadOnly, Code::Definition]));
    let statement = (texts(), effect, code, vec(tables(), 0..3)).prop_map(|(text, effect, denied, tables)| {
        let relations = tables.into_iter().collect();
        let because = denied.map(|_| "not granted".to_owned());
        EventKind::Statement { statement: 1, text: text.into(), values: None, effect, denied, because, relations }
    });
    let outcome = option::of(select(vec!["23505", "22P02"])).prop_map(|sqlstate| {
        let sqlstate = sqlstate.map(str::to_owned);
        let outcome = Outcome { rows: Some(1), bytes: None, sqlstate, stopped: None, skipped: false, micros: 5 };
        EventKind::Outcome { statement: 1, outcome, transaction: TransactionStatus::Idle }
    });
    let kept = (0..4i64, option::of(0..3i64), vec(changed(), 0..3)).prop_map(|(change, plan, tables)| {
        let mut kept = serde_json::json!({
            "kind": "change_kept", "change": ChangeId(change), "tables": tables, "rows": 1, "fingerprint": "",
        });
        if let Some(plan) = plan {
            kept["plan"] = serde_json::json!(PlanId(plan));
        }
        serde_json::from_value(kept).unwrap()
    });
    let denied = (0..3i64, texts())
        .prop_map(|(request, reason)| EventKind::RequestDenied { request: RequestId(request), reason });
    prop_oneof![4 => statement, 3 => outcome, 2 => kept, 1 => denied, 1 => Just(EventKind::TokenClaimed)]
}

/// Times go forth and back a little, as they do where many write.
fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = (kinds(), option::of(names()), option::of(names()), option::of(0..3i64), -500..500i64).prop_map(
        |(kind, who, target, session, jitter)| Event {
            who: who.map(Into::into),
            target: target.map(Into::into),
            session: session.map(SessionId),
            connection: session.map(ConnectionId),
            ..Event::new(Timestamp(jitter), kind)
        },
    );
    vec(event, 1..300).prop_map(|mut events| {
        for (number, event) in (0i64..).zip(&mut events) {
            event.at = Timestamp(NOW.0 - 30_000_000 + (number * 100 + event.at.0) * 1_000);
        }
        events
    })
}

fn conditions() -> impl Strategy<Value = String> {
    let fixed = select(vec![
        "kind:statement",
        "kind:outcome",
        "kind:change_kept",
        "effect:read",
        "effect:write",
        "decision:denied",
        "decision:permitted",
        "session:s_1",
        "connection:n_2",
        "request:r_1",
        "plan:p_1",
        "change:c_2",
        "code:BLY-1001",
        "sqlstate:22p02",
        "row:41",
        "row:\"a b\"",
        "since:20s",
        "until:10s",
        "drop",
        "drop*",
        "\"drop table\"",
        "orders",
        "public.orders",
        "order*",
        "ünsal",
        "\"table orders\"",
        "not",
        "x^41",
    ]);
    let long = select(vec![300, 301, 302]).prop_map(|length| format!("row:{}", "k".repeat(length)));
    let who = names().prop_map(|name| format!("who:\"{name}\""));
    let target = names().prop_map(|name| format!("target:\"{name}\""));
    let table = tables().prop_map(|name| format!("table:{name}"));
    let positive = prop_oneof![6 => fixed.prop_map(str::to_owned), 1 => long, 2 => who, 1 => target, 2 => table];
    (any::<bool>(), positive).prop_map(|(negated, text)| if negated { format!("-{text}") } else { text })
}

fn filters() -> impl Strategy<Value = String> {
    vec(conditions(), 0..4).prop_map(|conditions| conditions.join(" "))
}

fn scanned(ledger: &Path, filter: &Filter) -> Vec<u64> {
    let records = read::events(ledger, 0).unwrap().map(Result::unwrap);
    records.filter(|record| filter.matches(&record.event)).map(|record| record.seq).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_index_finds_exactly_what_the_filter_matches(
        first in events(), second in events(), filters in vec(filters(), 12), count in 1usize..40, before in 0u64..400
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let bed = Bed::new();
        for events in [first, second] {
            bed.write(events);
            for text in &filters {
                let filter = Filter::parse(text, NOW).unwrap();
                let mut expected = scanned(&bed.ledger, &filter);
                let found = |page, count| seqs(&runtime.block_on(bed.search(text, page, count)).unwrap().records);
                prop_assert_eq!(found(Page::From(0), 10_000), expected.clone(), "{}", text);
                let from: Vec<u64> = expected.iter().copied().filter(|seq| *seq >= before).take(count).collect();
                prop_assert_eq!(found(Page::From(before), count), from, "{} from {}", text, before);
                expected.reverse();
                prop_assert_eq!(found(Page::Newest, 10_000), expected.clone(), "{}", text);
                expected.retain(|seq| *seq < before);
                expected.truncate(count);
                prop_assert_eq!(found(Page::Before(before), count), expected, "{} before {}", text, before);
            }
        }
    }
}

#[tokio::test]
async fn pages_follow_each_other_without_a_gap() {
    let bed = Bed::new();
    bed.write(statements(0..500));
    let (mut all, mut page) = (Vec::new(), Page::Newest);
    loop {
        let found = bed.search("who:alice -\"select 77\"", page, 70).await.unwrap();
        all.extend(seqs(&found.records));
        let Some(next) = found.next else { break };
        page = Page::Before(next);
    }
    assert_eq!(all, (0..500).rev().filter(|seq| *seq != 77).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_appended_to_a_running_ledger_is_found_by_the_next_search() {
    let bed = Bed::new();
    let (ledger, _) = Ledger::open_with(&Settings { segment_bytes: 4_000, ..Settings::new(&bed.ledger) }).unwrap();
    for number in 0..60 {
        ledger.record_durable(statement(number, &format!("SELECT {number}"))).await.unwrap();
        assert_eq!(bed.seqs(&format!("\"select {number}\"")).await, [number]);
    }
    assert_eq!(bed.seqs("who:alice").await.len(), 60);
}

#[tokio::test]
async fn an_index_that_is_gone_or_damaged_is_made_anew() {
    let bed = Bed::new();
    bed.write(statements(0..300));
    assert_eq!(bed.seqs("\"select 123\"").await, [123]);
    let index = bed.index();
    assert_eq!(std::fs::metadata(&index).unwrap().permissions().mode() & 0o777, 0o600);
    let len = std::fs::metadata(&index).unwrap().len();
    std::fs::remove_file(&index).unwrap();
    assert_eq!(bed.seqs("\"select 123\"").await, [123]);
    for left in [len - 4096, len / 2 + 17, 4096, 100, 1, 0] {
        Bed::cut(&index, left);
        assert_eq!(bed.seqs("\"select 123\"").await, [123], "{left}");
    }
    std::fs::write(&index, "not a database at all, but something somebody put here".repeat(100)).unwrap();
    assert_eq!(bed.seqs("\"select 123\"").await, [123]);
}

#[tokio::test]
async fn an_index_of_another_ledger_is_made_anew() {
    let (bed, other) = (Bed::new(), Bed::new());
    bed.write(statements(0..300));
    other.write((0..400).map(|number| statement(number, &format!("DELETE {number}"))));
    assert_eq!(bed.seqs("who:alice").await.len(), 300);
    std::fs::remove_dir_all(&bed.ledger).unwrap();
    std::fs::rename(&other.ledger, &bed.ledger).unwrap();
    assert!(bed.seqs("select").await.is_empty());
    assert_eq!(bed.seqs("\"delete 399\"").await, [399]);
}

#[tokio::test]
async fn a_ledger_that_became_shorter_is_indexed_anew() {
    let bed = Bed::new();
    bed.write(statements(0..300));
    assert_eq!(bed.seqs("who:alice").await.len(), 300);
    let mut segments: Vec<PathBuf> =
        std::fs::read_dir(&bed.ledger).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "ledger"));
    segments.sort();
    std::fs::remove_file(segments.last().unwrap()).unwrap();
    let left = read::events(&bed.ledger, 0).unwrap().count();
    assert!(left < 300);
    assert_eq!(bed.seqs("who:alice").await.len(), left);
}

#[tokio::test]
async fn an_index_of_another_version_is_made_anew() {
    let bed = Bed::new();
    bed.write(statements(0..30));
    assert_eq!(bed.seqs("who:alice").await.len(), 30);
    // The schema's number stands at byte 60 of the file.
    let mut bytes = std::fs::read(bed.index()).unwrap();
    bytes[60..64].copy_from_slice(&77u32.to_be_bytes());
    std::fs::write(bed.index(), bytes).unwrap();
    assert_eq!(bed.seqs("\"select 12\"").await, [12]);
}

#[tokio::test]
async fn a_record_that_was_changed_is_not_shown() {
    let bed = Bed::new();
    bed.write(statements(0..300));
    assert_eq!(bed.seqs("\"select 7\"").await, [7]);
    let path = bed.ledger.join(format!("{:020}.ledger", 0));
    let mut bytes = std::fs::read(&path).unwrap();
    let text = b"SELECT 7 FROM";
    let at = bytes.windows(text.len()).position(|part| part == text).unwrap();
    bytes[at..at + text.len()].copy_from_slice(b"SELECT 8 FROM");
    std::fs::write(&path, bytes).unwrap();
    let error = bed.search("\"select 7\"", Page::Newest, 10).await.unwrap_err().to_string();
    assert!(error.contains("is damaged: the record was changed (record 7, byte"), "{error}");
    assert_eq!(bed.seqs("\"select 200\"").await, [200]);
}

#[tokio::test]
async fn a_ledger_that_cannot_be_written_beside_is_searched_with_an_index_that_goes() {
    let bed = Bed::new();
    bed.write(statements(0..300));
    let mut index = Index::temporary(&bed.ledger).await.unwrap();
    let filter = Filter::parse("who:alice -\"select 3\"", NOW).unwrap();
    let found = index.search(&filter, Page::Newest, 1_000, PATIENCE).await.unwrap();
    assert_eq!(found.records.len(), 299);
    assert!(!bed.index().exists());
}

#[tokio::test]
async fn an_index_is_used_by_one_at_a_time() {
    let bed = Bed::new();
    bed.write(statements(0..3));
    let held = Index::open(&bed.ledger, &bed.index(), PATIENCE).await.unwrap();
    let refused = Index::open(&bed.ledger, &bed.index(), Duration::from_millis(50)).await;
    assert!(matches!(refused, Err(SearchError::Busy(_))));
    drop(held);
    assert_eq!(bed.seqs("who:alice").await.len(), 3);
}
