//! The ledger when its process is killed and when its disk is full, with real processes and real files.

#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy sees only functions marked as tests as tests")]

use belay_model::{Effect, Event, EventKind, Named, Timestamp};
use belay_server::ledger::read;
use belay_server::ledger::{Ledger, Settings};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Set for a child process: the directory of its ledger.
const CHILD_DIR: &str = "BELAY_TEST_LEDGER_DIR";
const KILLS: u64 = 20;

fn statement(number: u64) -> Event {
    let kind = EventKind::Statement {
        statement: number,
        text: format!("UPDATE orders SET total = total + {number} WHERE id = {number}").into(),
        values: None,
        effect: Effect::Write,
        denied: None,
        because: None,
        relations: Named::default(),
    };
    Event::new(Timestamp(0), kind).by("alice").on("orders")
}

fn number_of(event: &Event) -> Option<u64> {
    match &event.kind {
        EventKind::Statement { statement, .. } => Some(*statement),
        _ => None,
    }
}

/// This test program, running only the test `name` with a ledger in `dir`; SIGXFSZ is ignored, so that a file at its
/// limit is an error and not the end.
fn child(name: &str, dir: &Path) -> Child {
    Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--ignored"])
        .env(CHILD_DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn say(text: &str) {
    // Not println!, which the test harness may keep.
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).unwrap();
}

#[test]
#[ignore = "the writer that the kill test starts and kills"]
fn a_writer_that_says_what_is_durable() {
    let Ok(dir) = std::env::var(CHILD_DIR) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let settings = Settings { segment_bytes: 20_000, ..Settings::new(dir) };
        let (ledger, opened) = Ledger::open_with(&settings).unwrap();
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..4_u64 {
            let ledger = ledger.clone();
            let first = opened.position.size * 10;
            writers.spawn(async move {
                for round in 0.. {
                    let number = first + round * 8 + writer * 2;
                    ledger.record(statement(number + 1)).await.unwrap();
                    ledger.record_durable(statement(number)).await.unwrap();
                    say(&format!("durable {number}"));
                }
            });
        }
        while writers.join_next().await.is_some() {}
    });
}

#[test]
fn whatever_was_durable_survives_twenty_kills_and_the_ledger_reopens() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for kill in 0..KILLS {
        let mut writer = child("a_writer_that_says_what_is_durable", dir.path());
        let out = BufReader::new(writer.stdout.take().unwrap());
        let (began, begins) = std::sync::mpsc::channel();
        let reader = std::thread::spawn(move || {
            let numbers = out.lines().map_while(Result::ok);
            let number = |line: String| line.strip_prefix("durable ")?.parse().ok();
            // Nobody listens after the first.
            numbers.filter_map(number).inspect(|_| began.send(()).unwrap_or(())).collect::<Vec<u64>>()
        });
        begins.recv_timeout(Duration::from_secs(30)).unwrap();
        std::thread::sleep(Duration::from_micros(kill * 1_733 % 41_000));
        writer.kill().unwrap();
        writer.wait().unwrap();
        let durable = reader.join().unwrap();
        let (ledger, _) = Ledger::open(dir.path()).unwrap();
        ledger.close().unwrap();
        let report = read::verify(dir.path(), &read::Against::default()).unwrap();
        assert!(report.is_intact(), "kill {kill}: {report:?}");
        let stored: std::collections::HashSet<u64> =
            read::events(dir.path(), 0).unwrap().filter_map(|record| number_of(&record.unwrap().event)).collect();
        let missing: Vec<_> = durable.iter().filter(|number| !stored.contains(number)).collect();
        assert!(missing.is_empty(), "kill {kill}: durable and gone: {missing:?}");
        acknowledged += durable.len();
    }
    assert!(acknowledged > 100, "only {acknowledged} durable events in {KILLS} rounds: a writer stood still");
}

fn limit_files(bytes: Option<u64>) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(Resource::Fsize, Rlimit { current: bytes, maximum }).unwrap();
}

async fn until_up(ledger: &Ledger) {
    let since = Instant::now();
    while !ledger.is_up() {
        assert!(since.elapsed() < Duration::from_secs(10), "did not come up again: {:?}", ledger.why_down());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Writes until the disk is full, frees it by `free`, and checks that nothing is lost and nothing half accepted.
async fn fill_and_free(dir: &Path, free: impl FnOnce()) {
    let (ledger, _) = Ledger::open(dir).unwrap();
    let (mut told, mut refused) = (Vec::new(), None);
    for number in 0..100_000 {
        // One that nobody waits for rides in the same group.
        let accepted = ledger.try_record(statement(2 * number + 1)).is_ok();
        match ledger.record_durable(statement(2 * number)).await {
            Ok(()) => told.push(2 * number),
            Err(error) => {
                refused = Some((2 * number, error.to_string()));
            }
        }
        if accepted {
            told.push(2 * number + 1);
        }
        if refused.is_some() {
            break;
        }
    }
    let (refused, why) = refused.unwrap();
    assert!(why.starts_with("ledger cannot be written: "), "{why}");
    assert!(!ledger.is_up());
    assert!(ledger.try_record(statement(1_000_001)).is_err());
    assert!(ledger.record(statement(1_000_002)).await.is_err());
    ledger.record_late(statement(1_000_003)).unwrap();
    // It tries, and stays down while the disk is full.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(!ledger.is_up() && ledger.counters().failures >= 2, "{:?}", ledger.counters());
    assert!(read::verify(dir, &read::Against::default()).unwrap().is_intact());

    free();
    until_up(&ledger).await;
    ledger.record_durable(statement(1_000_004)).await.unwrap();
    ledger.close().unwrap();
    let stored: Vec<Event> = read::events(dir, 0).unwrap().map(|record| record.unwrap().event).collect();
    let numbers: std::collections::HashSet<u64> = stored.iter().filter_map(number_of).collect();
    let missing: Vec<_> = told.iter().filter(|number| !numbers.contains(number)).collect();
    assert!(missing.is_empty(), "accepted and gone: {missing:?}");
    assert!(!numbers.contains(&refused), "refused and yet there");
    assert!(numbers.contains(&1_000_003) && numbers.contains(&1_000_004));
    assert!(!numbers.contains(&1_000_001) && !numbers.contains(&1_000_002));
    let said = stored.iter().any(|event| matches!(&event.kind, EventKind::Recovered { what } if what.starts_with("the ledger could not be written for")));
    assert!(said, "the outage is not in the ledger");
    assert!(read::verify(dir, &read::Against::default()).unwrap().is_intact());
}

#[test]
#[ignore = "run as a child by the test of a full disk, because a file size limit is the process's"]
fn a_writer_at_its_file_size_limit() {
    let Ok(dir) = std::env::var(CHILD_DIR) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    limit_files(Some(50_000));
    runtime.block_on(fill_and_free(Path::new(&dir), || limit_files(None)));
    say("held");
}

#[test]
fn a_file_that_cannot_grow_takes_the_ledger_down_until_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let output = child("a_writer_at_its_file_size_limit", dir.path()).wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("held"), "{said}");
}

/// A small file system in memory, unmounted when dropped.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    /// `None` where mounting is not allowed.
    fn mount(size: &str) -> Option<Tmpfs> {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={size},mode=700");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "belay-test"]).arg(dir.path()).status();
        mounted.is_ok_and(|status| status.success()).then_some(Tmpfs(dir))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(self.0.path()).status());
    }
}

#[tokio::test]
async fn a_full_disk_takes_the_ledger_down_until_there_is_room() {
    let Some(disk) = Tmpfs::mount("256k") else {
        say("skipped: mounting a small file system needs root; the file size limit is tested without it");
        return;
    };
    let ballast = disk.0.path().join("ballast");
    std::fs::write(&ballast, vec![1; 128 << 10]).unwrap();
    fill_and_free(&disk.0.path().join("ledger"), || std::fs::remove_file(&ballast).unwrap()).await;
}
