//! A store that was killed in the middle of its work, and stores that must not be opened.

use super::*;
use crate::desk::Listing;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

const FOLDER: &str = "BELAY_TEST_CRASH_FOLDER";

/// Run as a child by the test below: asks and approves without an end, and says each grant after it was told.
#[tokio::test]
#[ignore = "only the child of the next test runs this"]
async fn child_that_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let (book, clock) = (Arc::new(Book::default()), Arc::new(Hand(AtomicI64::new(1_000_000_000_000_000))));
    let desk = reopen(Path::new(&folder), &book, &clock).await.unwrap();
    for _ in 0..100_000 {
        let id = desk.request(&alice(), wish("1h")).await.unwrap().request.id.to_string();
        let grant = desk.approve(&bob(), &id).await.unwrap().grant.unwrap();
        println!("granted {}", grant.id.0);
    }
}

#[tokio::test]
async fn what_was_answered_before_a_kill_is_there_after_it_and_nothing_is_half_there() {
    let Office { desk, book, clock, folder, .. } = Office::open().await;
    drop(desk);
    for _ in 0..3 {
        let told = kill_a_child(folder.path());
        let desk = reopen(folder.path(), &book, &clock).await.unwrap();
        let grants = desk.grants(&bob(), Listing { all: true, mine: false }).await.unwrap();
        let newest = grants.iter().map(|view| view.grant.id.0).max().unwrap();
        assert!(newest >= told, "grant {told} was answered and {newest} is the newest there");
        let requests = desk.requests(&bob(), Listing { all: true, mine: false }).await.unwrap();
        for view in requests {
            let approved = view.request.state == belay_model::RequestState::Approved;
            assert_eq!(approved, view.grant.is_some(), "{:?}", view.request);
            assert_eq!(approved, view.request.approvals.len() == 1);
            if view.request.state == belay_model::RequestState::Pending {
                desk.withdraw(&alice(), &view.request.id.to_string()).await.unwrap();
            }
        }
    }
}

/// The last grant that the child said before it was killed.
fn kill_a_child(folder: &Path) -> i64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "desk::tests::crash::child_that_is_killed", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said = |line: &str| line.rsplit_once("granted ").and_then(|(_, number)| number.parse::<i64>().ok());
    let mut told = Vec::new();
    for line in lines {
        told.extend(said(&line.unwrap()));
        if told.len() == 20 {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(told.len() >= 20, "the child ended by itself after {} grants", told.len());
    *told.last().unwrap()
}

#[tokio::test]
async fn with_the_real_ledger_every_act_is_on_the_disk_when_it_is_answered() {
    let Office { desk, clock, folder, .. } = Office::open().await;
    drop(desk);
    let (ledger, _) = crate::ledger::Ledger::open(&folder.path().join("ledger")).unwrap();
    let recorder = Arc::new(ledger.clone()) as Arc<dyn Recorder>;
    let desk = Desk::open(folder.path(), recorder, clock as Arc<dyn Clock>).await.unwrap();
    desk.meet(Arc::new(Oracle::default()));
    let id = desk.request(&alice(), wish("1h")).await.unwrap().request.id.to_string();
    assert_eq!(ledger.counters().records, 1);
    let grant = desk.approve(&bob(), &id).await.unwrap().grant.unwrap();
    assert_eq!(ledger.counters().records, 3);
    desk.open_session(grant.id).await.unwrap();
    desk.revoke(&bob(), &grant.id.to_string()).await.unwrap();
    let mut text = String::new();
    for entry in std::fs::read_dir(ledger.dir()).unwrap() {
        text.push_str(&String::from_utf8_lossy(&std::fs::read(entry.unwrap().path()).unwrap()));
    }
    let places: Vec<_> = ["request_made", "request_approved", "grant_made", "grant_ended", "session_ended"]
        .map(|word| text.find(&format!("\"{word}\"")).unwrap_or_else(|| panic!("no {word} in {text}")))
        .into();
    assert!(places.is_sorted(), "{text}");
}

#[tokio::test]
async fn a_second_server_on_the_same_store_is_refused_and_told_who_has_it() {
    let office = Office::empty().await;
    let refused = reopen(office.path(), &office.book, &office.clock).await.unwrap_err().to_string();
    assert!(refused.contains("is in use by another server (process "), "{refused}");
    assert!(refused.contains(&std::process::id().to_string()), "{refused}");
}

#[tokio::test]
async fn a_lost_key_file_is_noticed_before_anything_is_sealed_under_another() {
    let Office { desk, book, clock, folder, .. } = Office::open().await;
    desk.close().await;
    drop(desk);
    std::fs::remove_file(folder.path().join("key")).unwrap();
    let refused = reopen(folder.path(), &book, &clock).await.unwrap_err().to_string();
    assert!(refused.contains("the store is sealed under key") && refused.contains("is missing"), "{refused}");
    assert!(!folder.path().join("key").exists());
}
