//! A session is seen while it happens, and again when it is over.

use e2e::{Terminal, World};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use testkit::Outcome;

#[test]
fn an_auditor_follows_a_session_to_its_end_and_walks_through_it_again_without_the_server() {
    let world = World::start();
    let ticket = world.belay.grant(&["public.*"], "30m");
    world.sql(&ticket, "SELECT count(*) FROM orders").ok();
    let mut tail = world.belay.command("admin");
    tail.args(["session", "tail", &ticket.grant]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let tail = tail.spawn().unwrap();
    world.sql(&ticket, "UPDATE orders SET total = 0");
    world.sql(&ticket, "SELECT 1/0");
    world.belay.run("admin", &["revoke", &ticket.grant]).ok();
    let seen: Outcome = tail.wait_with_output().unwrap().into();
    assert_eq!(seen.code, 0, "{}{}", seen.out, seen.err);
    let mut rest = seen.out.as_str();
    for part in [
        "login: alice on orders under ",
        "SELECT count(*) FROM orders\n",
        "-> 1 row, ",
        "UPDATE orders SET total = 0\n",
        "-> refused [BLY-1001]",
        "SELECT 1/0\n",
        "error 22012",
        "session ended: revoked",
    ] {
        let at = rest.find(part).unwrap_or_else(|| panic!("no `{part}` in\n{rest}\nof\n{}", seen.out));
        rest = &rest[at..];
    }

    let session = world.belay.json("admin", &["sessions", "--all"])["items"][0]["id"].as_str().unwrap().to_owned();
    let replayed = world.belay.run("admin", &["session", "replay", &session, "--speed", "1000"]).ok();
    assert_eq!(replayed.out, seen.out);
    assert_eq!(world.belay.run("alice", &["session", "replay", &session]).code, 3, "only for those who may");
    let stepped = world.belay.run("admin", &["session", "replay", &session, "--step"]);
    assert_eq!((stepped.code, stepped.err.contains("nobody can press Enter here")), (2, true), "{}", stepped.err);
    assert_eq!(world.belay.run("admin", &["session", "tail", "s_99"]).code, 1);

    let mut stepping = Command::new(testkit::binary());
    stepping.env("BELAY_HOME", world.belay.home("admin")).args(["session", "replay", &session, "--step"]);
    let mut terminal = Terminal::start(&stepping);
    terminal.expect("login: alice on orders");
    terminal.line("");
    assert!(!terminal.expect("SELECT count(*) FROM orders").contains("1 row"), "one record a step");
    terminal.line("");
    terminal.expect("1 row");
    terminal.line("q");

    world.belay.stop();
    let dir = world.belay.data_dir().display().to_string();
    let started = Instant::now();
    let offline =
        world.belay.run("nobody", &["session", "replay", &ticket.grant, "--dir", &dir, "--speed", "1000"]).ok();
    assert_eq!(offline.out, seen.out);
    assert!(started.elapsed() < Duration::from_secs(30));
    let records =
        world.belay.run("nobody", &["session", "replay", &session, "--dir", &dir, "--speed", "9", "-o", "jsonl"]);
    assert!(records.ok().out.lines().all(|line| line.contains("\"kind\":\"audit_entry\"")));
}
