//! Who may say yes, to what, and for how long; and the exit codes that scripts rely on.

use e2e::{Raw, World};
use serde_json::Value;
use std::time::Duration;
use testkit::{Outcome, SAMPLE_DATABASE};

fn ask(world: &World, person: &str, words: &[&str]) -> Value {
    world.belay.json(person, &[&["request", "orders", "-m", "a test"], words].concat())
}

fn id(value: &Value) -> &str {
    value["id"].as_str().unwrap()
}

#[test]
fn nobody_approves_their_own_request_administrators_included() {
    let world = World::shared();
    for person in ["alice", "carol", "admin"] {
        let request = world.belay.run(person, &["-o", "json", "request", "orders", "-m", "mine"]);
        if request.code == 3 {
            // Who may not ask has nothing to approve.
            continue;
        }
        let request = request.ok().json();
        let own = world.belay.run(person, &["approve", id(&request)]);
        assert_eq!(own.code, 3, "{person}: {}{}", own.out, own.err);
        let shown = world.belay.json(person, &["requests"]);
        assert!(shown.to_string().contains(id(&request)));
        world.belay.run(person, &["withdraw", id(&request)]).ok();
    }
    // An administrator of full rights, too.
    world.belay.add_person("olga", &["--role", "administrator", "--role", "approver", "--role", "requester"]);
    let request = ask(world, "olga", &[]);
    let own = world.belay.run("olga", &["approve", id(&request)]);
    assert_eq!(own.code, 3, "{}{}", own.out, own.err);
    assert_eq!(world.belay.json("bob", &["approve", id(&request)])["state"], "approved");
}

#[test]
fn two_approvals_mean_two_different_people() {
    let world = World::shared();
    let request = ask(world, "dave", &[]);
    assert_eq!(request["approvals_needed"], 2);
    let first = world.belay.json("bob", &["approve", id(&request)]);
    assert_eq!(first["state"], "pending");
    let twice = world.belay.run("bob", &["approve", id(&request)]);
    assert_ne!(twice.code, 0, "{}", twice.out);
    let pending = world.belay.json("dave", &["requests"]);
    assert!(pending.to_string().contains(id(&request)), "{pending}");
    let second = world.belay.json("carol", &["approve", id(&request)]);
    assert_eq!(second["state"], "approved");
    let ticket = world.belay.claim("dave", id(&second["grant"]));
    assert_eq!(world.sql(&ticket, "SELECT count(*) FROM orders").ok().out, "2000\n");
}

#[test]
fn a_denied_request_opens_nothing_and_the_waiting_command_says_so() {
    let world = World::shared();
    let waiting = {
        let mut command = world.belay.command("alice");
        command.args(["request", "orders", "--for", "7m", "-m", "wait for it", "--wait"]);
        command
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        command.spawn().unwrap()
    };
    let mut found = None;
    testkit::until(Duration::from_secs(20), || {
        let requests = world.belay.json("bob", &["requests"]);
        let items = requests["items"].as_array().unwrap().clone();
        found = items.into_iter().find(|request| request["reason"] == "wait for it");
        found.is_some()
    });
    let request = found.expect("the request is shown to approvers");
    world.belay.run("bob", &["deny", id(&request), "-m", "use the replica"]).ok();
    let ended = Outcome::from(waiting.wait_with_output().unwrap());
    assert_eq!(ended.code, 4, "{}{}", ended.out, ended.err);
    assert!(format!("{}{}", ended.out, ended.err).contains("use the replica"), "{}{}", ended.out, ended.err);
    let late = world.belay.run("bob", &["approve", id(&request)]);
    assert_ne!(late.code, 0);
}

#[test]
fn a_narrowed_grant_starts_anew_with_less() {
    let world = World::shared();
    let before = world.fingerprint();
    let ticket = world.belay.grant(&["public.orders", "public.items"], "30m");
    let mut raw = Raw::log_in(&world.belay, &ticket, SAMPLE_DATABASE);
    assert_eq!(raw.tags("SELECT count(*) FROM items"), "TDCZ");
    world.belay.run("bob", &["grants", "narrow", &ticket.grant, "--resource", "public.orders"]).ok();
    let said = raw.read_to_end().pop().unwrap();
    assert_eq!(said.verdict(), "FATAL 57P01 BLY-1031");
    assert!(said.fields()[&'D'].starts_with("The grant holds less than before."), "{:?}", said.fields());
    assert_eq!(world.sql(&ticket, "SELECT count(*) FROM orders").ok().out, "2000\n");
    let taken = world.sql(&ticket, "SELECT count(*) FROM items");
    assert!(taken.code == 1 && taken.err.contains("42501"), "{}", taken.err);
    let more = world.belay.run("bob", &["grants", "narrow", &ticket.grant, "--resource", "public.items"]);
    assert_ne!(more.code, 0, "narrowing never gives");
    assert_eq!(world.fingerprint(), before);
}

#[test]
fn a_grant_is_extended_once_and_by_its_owner_only() {
    let world = World::shared();
    let ticket = world.belay.grant(&["public.orders"], "10m");
    let mut raw = Raw::log_in(&world.belay, &ticket, SAMPLE_DATABASE);
    let show = || world.belay.json("alice", &["grants", "show", &ticket.grant]);
    let before = show();
    assert_eq!(world.belay.run("carol", &["grants", "extend", &ticket.grant, "--by", "5m"]).code, 3);
    world.belay.run("alice", &["grants", "extend", &ticket.grant, "--by", "5m"]).ok();
    let after = show();
    assert_ne!(before["ends_at"], after["ends_at"]);
    assert_eq!(after["extendable"], false);
    let again = world.belay.run("alice", &["grants", "extend", &ticket.grant, "--by", "5m"]);
    assert_ne!(again.code, 0);
    assert_eq!(show()["ends_at"], after["ends_at"]);
    assert_eq!(raw.tags("SELECT 1"), "TDCZ", "the open session goes on");
}

#[test]
fn break_glass_opens_at_once_and_owes_a_review_by_somebody_else() {
    let world = World::shared();
    let refused = world.belay.run("alice", &["request", "orders", "--break-glass", "-m", "INC-1"]);
    assert_eq!(refused.code, 3, "{}", refused.err);
    let request = ask(world, "dave", &["--break-glass", "--for", "20m"]);
    assert_eq!(request["state"], "approved");
    let ticket = world.belay.claim("dave", id(&request["grant"]));
    let before = world.fingerprint();
    assert_eq!(world.sql(&ticket, "SELECT count(*) FROM orders").ok().out, "2000\n");
    assert_ne!(world.sql(&ticket, "DELETE FROM orders").code, 0);
    assert_eq!(world.fingerprint(), before);
    let early = world.belay.run("bob", &["review", &ticket.grant, "-m", "still open"]);
    assert_eq!(early.code, 9, "{}", early.err);
    world.belay.run("dave", &["revoke", &ticket.grant]).ok();
    let owed = world.belay.json("bob", &["review"]);
    assert!(owed.to_string().contains(&format!("\"{}\"", ticket.grant)), "{owed}");
    let own = world.belay.run("dave", &["review", &ticket.grant, "-m", "all fine"]);
    assert_eq!(own.code, 3, "{}", own.err);
    world.belay.run("bob", &["review", &ticket.grant, "-m", "one read, as reported"]).ok();
    assert!(!world.belay.json("bob", &["review"]).to_string().contains(&format!("\"{}\"", ticket.grant)));
}

#[test]
fn exit_codes_say_what_happened() {
    let world = World::shared();
    let belay = &world.belay;
    let cases: [(&str, &[&str], i32); 8] = [
        ("alice", &["grants"], 0),
        ("alice", &["grants", "show", "g_99999"], 1),
        ("alice", &["request", "orders", "--for", "30", "-m", "x"], 2),
        ("alice", &["nonsense"], 2),
        ("alice", &["user", "add", "mallory"], 3),
        ("alice", &["audit", "tail"], 3),
        ("nobody", &["grants"], 7),
        ("alice", &["request", "nowhere", "-m", "x"], 1),
    ];
    for (person, words, code) in cases {
        let outcome = belay.run(person, words);
        assert_eq!(outcome.code, code, "{words:?}: {}{}", outcome.out, outcome.err);
        if code != 0 {
            assert_eq!(outcome.out, "", "{words:?}: stdout is for data");
        }
    }
    let bare = belay.run("alice", &["request", "orders", "--for", "30", "-m", "x"]);
    assert!(bare.err.contains("30m"), "{}", bare.err);
    let pending = belay.run("alice", &["psql", "orders", "--resource", "hr.salaries", "-m", "x", "--no-wait"]);
    assert_eq!(pending.code, 5, "{}{}", pending.out, pending.err);
    let ticket = belay.grant(&["public.orders"], "30m");
    belay.run("bob", &["revoke", &ticket.grant]).ok();
    let over = belay.run("alice", &["grants", "token", &ticket.grant]);
    assert!(matches!(over.code, 6 | 9), "{}{}", over.code, over.err);
    let again = belay.run("bob", &["revoke", &ticket.grant]);
    assert!(matches!(again.code, 6 | 9), "{}{}", again.code, again.err);
    let home = belay.home("alice").join("login.toml");
    let login = std::fs::read_to_string(home).unwrap();
    let gone = login.replace(&belay.api_url(), "https://localhost:1");
    std::fs::create_dir_all(belay.home("lost")).unwrap();
    std::fs::write(belay.home("lost").join("login.toml"), gone).unwrap();
    std::fs::copy(belay.home("alice").join("ca.pem"), belay.home("lost").join("ca.pem")).unwrap();
    assert_eq!(belay.run("lost", &["grants"]).code, 8);
}
