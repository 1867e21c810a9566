//! Reading over what retention has deleted in the middle, because something on hold lies before it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy sees only functions marked as tests as tests")]

mod ledger_bed;

use belay_ledger::VerifierKey;
use belay_model::{Event, EventKind, GrantId, RequestId, SessionId, Timestamp};
use belay_report::{Subject, check};
use belay_server::ledger::account::account;
use belay_server::ledger::read::{self, Filter};
use belay_server::ledger::search::{Index, Page, index_file, scan};
use ledger_bed::{Bed, HOUR, at_hour, pass};
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

fn at(hour: u64, kind: EventKind) -> Event {
    Event::new(Timestamp(i64::try_from(hour).unwrap() * HOUR), kind)
}

/// Six hundred hours: a session each hundred, and two that last from the first hour to the last.
async fn written() -> Bed {
    let bed = Bed::start();
    let made = |grant: i64| {
        let times = Timestamp(0);
        let made = EventKind::GrantMade { request: RequestId(grant), ends_at: times, use_by: times };
        at(0, made).under(GrantId(grant))
    };
    for grant in [8, 9] {
        bed.ledger.record_durable(made(grant)).await.unwrap();
    }
    for hour in 0..600 {
        let session = if hour % 10 == 0 { 9 } else { i64::try_from(hour / 100).unwrap() };
        let event = at_hour(hour, session);
        let connection = Some(belay_model::ConnectionId(session));
        bed.ledger.record_durable(Event { grant: Some(GrantId(session)), connection, ..event }).await.unwrap();
    }
    bed.sealer.now().await.unwrap();
    bed
}

/// The numbers that are left, out of the files.
fn left(dir: &Path) -> Vec<u64> {
    read::events(dir, 0).unwrap().map(|record| record.unwrap().seq).collect()
}

/// Page by page, as an export reads.
async fn exported(dir: &Path, query: &str, index: Option<&mut Index>) -> Vec<u64> {
    let filter = Filter::parse(query, Timestamp(0)).unwrap();
    let (mut found, mut from, mut index) = (Vec::new(), 0, index);
    loop {
        let page = match &mut index {
            Some(index) => index.search(&filter, Page::From(from), 7, PATIENCE).await.unwrap(),
            None => scan(dir, &filter, Page::From(from), 7).await.unwrap(),
        };
        found.extend(page.records.iter().map(|record| record.seq));
        match page.next {
            Some(next) => from = next + 1,
            None => return found,
        }
    }
}

#[tokio::test]
async fn everything_that_is_left_on_both_sides_of_a_gap_is_exported_and_reported() {
    let bed = written().await;
    let dir = bed.dir();
    // Session 1 is held, and what lies around it goes, but for the newest.
    let passed = pass(&bed, 520, &[1]).await;
    assert!(passed.deleted > 5 && passed.held > 3, "{passed:?}");
    let numbers = left(&dir);
    let gaps = numbers.windows(2).filter(|pair| pair[0] + 1 != pair[1]).count();
    assert!(numbers[0] > 50 && gaps >= 1, "{numbers:?}");
    let own = |session: u64| -> Vec<u64> {
        let hour = |seq: u64| seq.saturating_sub(2);
        let of = |seq: &u64| (2..602).contains(seq) && hour(*seq) % 10 != 0 && hour(*seq) / 100 == session;
        numbers.iter().copied().filter(of).collect()
    };
    let long: Vec<u64> = numbers.iter().copied().filter(|seq| (2..602).contains(seq) && (seq - 2) % 10 == 0).collect();
    assert!(long.first().unwrap() < &200 && long.last().unwrap() > &590, "{long:?}");
    let mut index = Index::open(&dir, &index_file(&dir), PATIENCE).await.unwrap();
    for (query, expected) in [("session:s_9", &long), ("session:s_1", &own(1)), ("", &numbers)] {
        assert_eq!(exported(&dir, query, None).await, *expected, "{query}");
        assert_eq!(exported(&dir, query, Some(&mut index)).await, *expected, "{query}, with the index");
    }
    let keys: Vec<VerifierKey> = vec![bed.sealer.key().await.unwrap()];
    for (session, expected) in [(9, &long), (1, &own(1))] {
        let document = account(&dir, Subject::Session(SessionId(session))).unwrap();
        let found: Vec<u64> = document.records.iter().map(|record| record.record).collect();
        assert_eq!(found, *expected, "s_{session}");
        check(&serde_json::to_string(&document).unwrap(), &keys).unwrap();
    }
    let gone = account(&dir, Subject::Session(SessionId(3))).unwrap_err().to_string();
    assert!(gone.starts_with("the ledger has no record of s_3; records up to 4"), "{gone}");
    let gone = account(&dir, Subject::Request(RequestId(9))).unwrap_err().to_string();
    assert!(gone.starts_with("the ledger has no record of r_9; records up to"), "{gone}");
    bed.stop();
}
