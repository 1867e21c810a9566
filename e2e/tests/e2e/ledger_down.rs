//! What cannot be recorded is not run.

use e2e::{Raw, World};
use std::process::Command;
use std::time::Duration;
use testkit::{Belay, LedgerFiles, Outcome, SAMPLE_DATABASE, Ticket, until};

/// No file of the gateway may grow beyond this from here on, as on a full disk.
pub(crate) fn limit_files(world: &World, bytes: &str) {
    let limit = format!("--fsize={bytes}:unlimited");
    Outcome::of(Command::new("prlimit").args(["--pid", &world.belay.pid().to_string(), &limit])).ok();
}

pub(crate) fn ledger_bytes(world: &World) -> u64 {
    let files = std::fs::read_dir(world.belay.data_dir().join("ledger")).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len()).max().unwrap()
}

#[test]
fn statements_are_refused_while_the_ledger_cannot_be_written_and_pass_again_afterwards() {
    let world = World::start();
    let before = world.fingerprint();
    let ticket = world.belay.grant(&["public.*"], "30m");
    let mut raw = Raw::log_in(&world.belay, &ticket, SAMPLE_DATABASE);
    let mut idle = Raw::log_in(&world.belay, &ticket, SAMPLE_DATABASE);
    // The ledger must be the largest file, so that the limit meets it first.
    let padding = "x".repeat(60_000);
    for _ in 0..200 {
        assert_eq!(raw.tags(&format!("SELECT 1 /* {padding} */")), "TDCZ");
    }
    std::thread::sleep(Duration::from_millis(300));
    limit_files(&world, &ledger_bytes(&world).to_string());

    let mut said = String::new();
    let down = until(Duration::from_secs(10), || {
        let answer = raw.query("SELECT 1");
        let error = answer.iter().find(|message| message.tag == b'E').map(e2e::Message::verdict);
        said = error.unwrap_or_default();
        !said.is_empty()
    });
    assert!(down, "statements still pass");
    assert_eq!(said, "ERROR 58030 BLY-1060");
    let refused = raw.query("SELECT 1 AS never_sent");
    assert_eq!(refused[0].verdict(), "ERROR 58030 BLY-1060");
    assert!(refused[0].fields()[&'D'].contains("The statement was not sent to the database"));
    assert_eq!(idle.query("SELECT 1")[0].verdict(), "ERROR 58030 BLY-1060");
    assert_eq!(world.back_ends("query LIKE '%never_sent%'"), 0);
    let login = world.sql(&ticket, "SELECT 1");
    assert!(login.code == 2 && login.err.contains("[BLY-1060]"), "{}", login.err);
    let asked = world.belay.run("alice", &["request", "orders", "-m", "x"]);
    assert_eq!(asked.code, 1, "{}", asked.err);
    assert!(asked.err.contains("ledger"), "{}", asked.err);
    assert!(world.belay.log().contains("ledger cannot be written"), "{}", world.belay.log());

    limit_files(&world, "unlimited");
    assert!(until(Duration::from_secs(10), || raw.tags("SELECT 1") == "TDCZ"), "statements do not pass again");
    assert_eq!(world.sql(&ticket, "SELECT 1").ok().out, "1\n");
    assert_eq!(world.belay.json("admin", &["audit", "verify"])["intact"], true);
    assert_eq!(world.fingerprint(), before);
}

#[test]
fn a_refused_statement_inside_a_transaction_fails_it_while_the_ledger_is_down() {
    let world = World::start();
    let ticket = world.belay.grant(&["public.*"], "30m");
    let mut raw = Raw::log_in(&world.belay, &ticket, SAMPLE_DATABASE);
    let padding = "x".repeat(60_000);
    for _ in 0..200 {
        raw.query(&format!("SELECT 1 /* {padding} */"));
    }
    assert_eq!(raw.tags("BEGIN"), "CZ");
    std::thread::sleep(Duration::from_millis(300));
    limit_files(&world, &ledger_bytes(&world).to_string());
    let mut last = Vec::new();
    assert!(until(Duration::from_secs(10), || {
        last = raw.query("SELECT 1");
        last[0].tag == b'E'
    }));
    assert_eq!(last.last().unwrap().body, b"E", "the transaction has failed");
    limit_files(&world, "unlimited");
    assert!(until(Duration::from_secs(10), || raw.query("ROLLBACK")[0].tag == b'C'));
    assert_eq!(raw.tags("SELECT 1"), "TDCZ");
}

/// A gateway whose ledger has a small disk of its own, and a grant of everything; `None` where nobody may mount one.
fn on_a_small_disk() -> Option<(World, Ticket)> {
    let postgres = World::target();
    let Some(belay) = Belay::start_on_a_disk(&postgres, "[ledger]\nsegment_bytes = 65536", 8) else {
        eprintln!("not tested: this machine lets nobody mount a file system");
        return None;
    };
    let world = World { postgres, belay };
    world.direct("CREATE TABLE written (n int)");
    world.belay.run("admin", &["rule", "add", "--effect", "all", "--max", "1h", "--approvals", "1"]).ok();
    let request = world.belay.json("alice", &["request", "orders", "--effect", "all", "-m", "a test"]);
    let approved = world.belay.json("bob", &["approve", request["id"].as_str().unwrap()]);
    let ticket = world.belay.claim("alice", approved["grant"]["id"].as_str().unwrap());
    Some((world, ticket))
}

/// Writes until it is refused, each number in a transaction of its own; the numbers that the client was told are written.
fn write_until_refused(world: &World, ticket: &Ticket, from: u32) -> Vec<u32> {
    let padding = "x".repeat(3_000);
    let mut raw = Raw::log_in(&world.belay, ticket, SAMPLE_DATABASE);
    let mut write = |number: &u32| {
        raw.send(&e2e::message(b'Q', format!("INSERT INTO written VALUES ({number}) /* {padding} */\0").as_bytes()));
        loop {
            match raw.read().unwrap() {
                Some(message) if message.tag == b'Z' => return true,
                Some(message) if message.tag == b'E' => {
                    assert!(message.verdict().ends_with("BLY-1060"), "{}", message.verdict());
                    return false;
                }
                Some(_) => {}
                None => return false,
            }
        }
    };
    (from..from + 10_000).take_while(&mut write).collect()
}

/// What is in the table is what clients were told, and all of it is in the ledger.
fn nothing_is_lost(world: &World, told: &[u32]) {
    let text = world.direct("SELECT n FROM written ORDER BY n");
    let rows: Vec<u32> = text.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(rows, told);
    let dir = world.belay.data_dir().join("ledger");
    let seen = format!("/proc/{}/root{}", world.belay.pid(), dir.display());
    let records = LedgerFiles::of(seen).more();
    let permitted = |text: &str| {
        records.iter().any(|record| {
            record["denied"].is_null() && record["text"].as_str().is_some_and(|said| said.starts_with(text))
        })
    };
    for number in told {
        assert!(permitted(&format!("INSERT INTO written VALUES ({number}) ")), "{number} is in no record");
    }
    assert_eq!(world.belay.json("admin", &["audit", "verify"])["intact"], true);
}

#[test]
fn on_a_full_disk_writes_are_refused_and_nothing_is_lost() {
    let Some((world, ticket)) = on_a_small_disk() else { return };
    world.belay.on_its_disk("head -c 6M /dev/zero >$0/filler").ok();
    let mut told = write_until_refused(&world, &ticket, 0);
    assert!((1..10_000).contains(&told.len()), "{}", told.len());
    let login = world.sql(&ticket, "SELECT 1");
    assert!(login.code == 2 && login.err.contains("[BLY-1060]"), "{}", login.err);
    world.belay.on_its_disk("rm $0/filler").ok();
    assert!(until(Duration::from_secs(10), || world.sql(&ticket, "SELECT 1").code == 0), "{}", world.belay.log());
    assert_eq!(world.sql(&ticket, "INSERT INTO written VALUES (20000) ").code, 0);
    told.push(20_000);
    nothing_is_lost(&world, &told);
}

#[test]
fn on_a_read_only_file_system_writes_are_refused_and_nothing_is_lost() {
    let Some((world, ticket)) = on_a_small_disk() else { return };
    // A file that is open for writing keeps a file system from becoming read-only; the next segment meets it.
    world.belay.on_its_disk("mount --bind $0 $0 && mount -o remount,bind,ro $0").ok();
    let mut told = write_until_refused(&world, &ticket, 0);
    assert!((1..10_000).contains(&told.len()), "{}", told.len());
    assert!(world.belay.log().contains("Read-only file system"), "{}", world.belay.log());
    let login = world.sql(&ticket, "SELECT 1");
    assert!(login.code == 2 && login.err.contains("[BLY-1060]"), "{}", login.err);
    world.belay.on_its_disk("umount $0").ok();
    assert!(until(Duration::from_secs(10), || world.sql(&ticket, "SELECT 1").code == 0), "{}", world.belay.log());
    assert_eq!(world.sql(&ticket, "INSERT INTO written VALUES (20000) ").code, 0);
    told.push(20_000);
    nothing_is_lost(&world, &told);
}
