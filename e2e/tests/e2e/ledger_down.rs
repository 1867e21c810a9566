//! What cannot be recorded is not run.

use e2e::{Raw, World};
use std::process::Command;
use std::time::Duration;
use testkit::{Outcome, SAMPLE_DATABASE, until};

/// No file of the gateway may grow beyond this from here on, as on a full disk.
fn limit_files(world: &World, bytes: &str) {
    let limit = format!("--fsize={bytes}:unlimited");
    Outcome::of(Command::new("prlimit").args(["--pid", &world.belay.pid().to_string(), &limit])).ok();
}

fn ledger_bytes(world: &World) -> u64 {
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
