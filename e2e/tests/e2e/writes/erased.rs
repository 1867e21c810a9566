//! What a session typed and what its rows held is sealed, and erased with the key of the session; its records stay, and so
//! does every proof of them.

use super::{changes, granted, shop, text, typed};
use e2e::World;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use testkit::{Outcome, SAMPLE_DATABASE, Ticket, binary, until};

const SENTINEL: &str = "sentinel4711";
const SOON: Duration = Duration::from_secs(20);

/// As the ledger writes a bind value in binary format.
fn in_hex() -> String {
    let digits: Vec<String> = SENTINEL.bytes().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

/// Files below the folder whose bytes hold it.
fn holding(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let bytes = std::fs::read(&entry).unwrap_or_default();
        let holds = |what: &str| bytes.windows(what.len()).any(|part| part.eq_ignore_ascii_case(what.as_bytes()));
        if entry.is_dir() {
            found.extend(holding(&entry));
        } else if holds(SENTINEL) || holds(&in_hex()) {
            found.push(entry.display().to_string());
        }
    }
    found
}

/// A statement with a text, one with a bind value, one that fails, and a row by its key.
fn write(world: &World, ticket: &Ticket) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = world.belay.connect(ticket, SAMPLE_DATABASE).await.unwrap();
        client.query("SELECT $1::text", &[&SENTINEL]).await.unwrap();
    });
    typed(world, ticket, &format!("SELECT '{SENTINEL}'::int"));
    typed(world, ticket, &format!("INSERT INTO notes VALUES ('{SENTINEL}', 'a body')")).ok();
}

fn notes() -> (World, Ticket) {
    let (world, ticket) = shop("direct", &["public.*"]);
    world.direct("CREATE TABLE notes (id text PRIMARY KEY, body text)");
    (world, ticket)
}

fn search(world: &World, query: &str) -> Vec<Value> {
    let found = world.belay.run("admin", &["-o", "jsonl", "audit", "search", query]).ok().out;
    found.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The session under this grant, which is over then.
fn ended(world: &World, ticket: &Ticket) -> String {
    world.belay.run("admin", &["revoke", &ticket.grant]).ok();
    let closed = || {
        let all = world.belay.json("admin", &["sessions", "--all"])["items"].as_array().unwrap().clone();
        let ours = all.into_iter().find(|session| session["grant"] == ticket.grant.as_str()).unwrap();
        (text(&ours, "state") == "closed" && ours["connections"].as_array().unwrap().is_empty())
            .then(|| text(&ours, "id").to_owned())
    };
    assert!(until(SOON, || closed().is_some()));
    closed().unwrap()
}

fn erase(world: &World, session: &str) -> Outcome {
    world.belay.run("admin", &["-y", "-o", "json", "audit", "erase", session, "--reason", "ticket 12"])
}

#[test]
fn an_erased_session_is_nowhere_in_the_data_directory_and_its_records_still_verify() {
    let (world, ticket) = notes();
    write(&world, &ticket);
    let other = granted(&world, "direct", &["public.*"]);
    typed(&world, &other, "SELECT 'anotherword'").ok();
    let found = search(&world, SENTINEL);
    assert_eq!(found.len(), 2, "{found:?}");
    let bound = search(&world, "kind:statement -decision:denied");
    assert!(bound.iter().any(|record| record["fields"]["values"].to_string().contains(&in_hex())), "{bound:?}");
    assert!(!search(&world, &format!("row:{SENTINEL}")).is_empty());
    assert_eq!(holding(&world.belay.data_dir().join("ledger")), [] as [String; 0]);

    let elsewhere = tempfile::tempdir().unwrap();
    let file = |name: &str| elsewhere.path().join(name).display().to_string();
    let key = world.belay.data_dir().join("ledger.pub").display().to_string();
    std::fs::write(file("noted"), world.belay.run("admin", &["audit", "checkpoint"]).ok().out).unwrap();
    let proven = found[0]["seq"].to_string();
    let before = world.belay.json("admin", &["audit", "prove", &proven, "--key", &key]);
    assert!(!text(&before, "record").contains(SENTINEL) && text(&before, "content").contains(SENTINEL), "{before}");
    let session = text(&found[0], "session").to_owned();
    let early = erase(&world, &session);
    assert!(early.code != 0 && early.err.contains("is still open"), "{}", early.err);
    assert_eq!(ended(&world, &ticket), session);
    let report = file("before.html");
    world.belay.run("admin", &["audit", "report", &session, "--html", &report]).ok();
    assert!(std::fs::read_to_string(&report).unwrap().contains(SENTINEL));

    let asked = world.belay.run("admin", &["audit", "erase", &session, "--reason", "ticket 12"]);
    assert_eq!(asked.code, 2, "nobody said yes: {}", asked.err);
    let done = erase(&world, &session).ok().json();
    assert_eq!((&done["session"], &done["done"]), (&Value::from(session.as_str()), &Value::Bool(true)));
    assert_eq!(holding(&world.belay.data_dir()), [] as [String; 0]);

    assert_eq!(search(&world, SENTINEL), [] as [Value; 0]);
    let left = search(&world, &format!("session:{session} kind:statement"));
    assert!(left.len() >= 3 && left.iter().all(|record| record["fields"]["erased"] == true), "{left:?}");
    assert!(left.iter().all(|record| record["fields"]["text"] == "[erased]"), "{left:?}");
    assert_eq!(search(&world, "anotherword").len(), 1, "another session is as it was");
    let told = search(&world, "kind:session_erased");
    assert_eq!((&told[0]["who"], &told[0]["fields"]["reason"]), (&"admin".into(), &"ticket 12".into()));
    let after = file("after.html");
    world.belay.run("admin", &["audit", "report", &session, "--html", &after]).ok();
    assert!(std::fs::read_to_string(&after).unwrap().contains("[erased]"));

    let dir = world.belay.data_dir().display().to_string();
    let verify = ["audit", "verify", "--dir", &dir, "--key", &key, "--checkpoint", &file("noted")];
    world.belay.run("nobody", &verify).ok();
    let proof = world.belay.json("admin", &["audit", "prove", &proven, "--key", &key]);
    assert_eq!((&proof["record"], &proof["content"]), (&before["record"], &Value::Null));
    for report in [&report, &after] {
        world.belay.run("nobody", &["audit", "check", report, "--key", &key, "--dir", &dir]).ok();
    }
    let change = text(&search(&world, "kind:change_kept")[0]["fields"], "change").to_owned();
    let revert = world.belay.run("alice", &["-y", "revert", &change]);
    assert!(revert.code != 0 && revert.err.contains("not kept any more"), "{}", revert.err);
    world.belay.run("admin", &["-y", "audit", "erase", &session, "--reason", "once more"]).ok();
}

/// What `who` gives back at once, as the change that did it.
fn given_back(world: &World, who: &str, words: &[&str]) -> Value {
    world.belay.run(who, &[&["-y", "-o", "json", "revert"], words].concat()).ok();
    changes(world)[0].clone()
}

#[test]
fn what_gave_a_session_back_at_once_is_sealed_and_erased_with_it_whoever_did_it() {
    let (world, ticket) = notes();
    write(&world, &ticket);
    let session = ended(&world, &ticket);
    let later = granted(&world, "direct", &["public.*"]);
    let back = given_back(&world, "alice", &[&session]);
    assert_eq!(back["session"], session.as_str(), "{back}");
    assert_eq!(search(&world, &format!("row:{SENTINEL} kind:change_kept")).len(), 2);
    assert_eq!(holding(&world.belay.data_dir().join("ledger")), [] as [String; 0]);
    erase(&world, &session).ok();
    assert_eq!(holding(&world.belay.data_dir()), [] as [String; 0]);
    assert_eq!(search(&world, &format!("row:{SENTINEL}")), [] as [Value; 0]);
    let undo = world.belay.run("alice", &["-y", "revert", text(&back, "id")]);
    assert!(undo.code != 0 && undo.err.contains("not kept any more"), "{}", undo.err);
    world.belay.run("admin", &["revoke", &later.grant]).ok();
}

#[test]
fn what_gave_several_sessions_back_is_erased_with_any_of_them() {
    let (world, ticket) = notes();
    write(&world, &ticket);
    let session = ended(&world, &ticket);
    let second = granted(&world, "direct", &["public.*"]);
    typed(&world, &second, "INSERT INTO notes VALUES ('anotherword', 'a body')").ok();
    let other = ended(&world, &second);
    granted(&world, "direct", &["public.*"]);
    let back = given_back(&world, "alice", &["--since", "2020-01-01T00:00:00Z"]);
    assert_eq!(back["session"], Value::Null, "{back}");
    assert_eq!(search(&world, &format!("row:{SENTINEL} kind:change_kept")).len(), 2);
    assert_eq!(holding(&world.belay.data_dir().join("ledger")), [] as [String; 0]);
    world.belay.json("admin", &["audit", "hold", &other, "--reason", "lawsuit 12/26"]);
    let refused = erase(&world, &session);
    assert!(
        refused.err.contains(&format!("was given back together with {other}, which is on hold")),
        "{}",
        refused.err
    );
    world.belay.run("admin", &["-y", "audit", "hold", "--release", &other]).ok();
    erase(&world, &session).ok();
    assert_eq!(holding(&world.belay.data_dir()), [] as [String; 0]);
    assert_eq!(search(&world, "row:anotherword").len(), 1, "what the other session did is as it was");
}

#[test]
fn a_session_on_hold_is_not_erased_and_only_administrators_erase() {
    let (world, ticket) = notes();
    write(&world, &ticket);
    let session = ended(&world, &ticket);
    world.belay.add_person("otto", &["--role", "auditor"]);
    let held = world.belay.json("otto", &["audit", "hold", &session, "--reason", "lawsuit 12/26"]);
    assert_eq!((&held["by"], &held["reason"]), (&"otto".into(), &"lawsuit 12/26".into()));
    let again = world.belay.run("admin", &["audit", "hold", &session, "--reason", "twice"]);
    assert!(again.code != 0 && again.err.contains("is on hold already, by otto"), "{}", again.err);
    let refused = erase(&world, &session);
    assert!(refused.code != 0 && refused.err.contains("is on hold, by otto: lawsuit 12/26"), "{}", refused.err);
    let listed = world.belay.json("admin", &["audit", "hold"]);
    assert_eq!(listed["items"][0]["session"], session.as_str());
    assert_eq!(world.belay.run("alice", &["audit", "hold", &session, "--reason", "mine"]).code, 3);
    assert_eq!(search(&world, SENTINEL).len(), 2);
    world.belay.run("otto", &["-y", "audit", "hold", "--release", &session]).ok();
    assert_eq!(world.belay.run("otto", &["-y", "audit", "erase", &session, "--reason", "x"]).code, 3);
    erase(&world, &session).ok();
    let kinds: Vec<Value> =
        search(&world, &format!("session:{session}")).iter().map(|one| one["event"].clone()).collect();
    assert_eq!(kinds[kinds.len() - 3..], ["session_held", "session_released", "session_erased"]);
}

#[test]
fn a_session_whose_key_is_lost_reads_as_erased_and_is_not_said_to_be() {
    let (world, ticket) = notes();
    write(&world, &ticket);
    let session = ended(&world, &ticket);
    world.belay.stop();
    let ledger = world.belay.data_dir().join("ledger");
    std::fs::remove_file(ledger.join("session.keys")).unwrap();
    let words = ["-o", "jsonl", "audit", "search", "kind:statement", "--scan", "--dir", ledger.to_str().unwrap()];
    let offline = world.belay.run("nobody", &words).ok();
    assert!(offline.err.contains("there is no `session.keys` beside the records"), "{}", offline.err);
    assert!(offline.out.lines().all(|line| line.contains("\"text\":\"[erased]\"")), "{}", offline.out);
    let words = ["session", "replay", &session, "--speed", "1000", "--dir", ledger.to_str().unwrap()];
    let replayed = world.belay.run("nobody", &words).ok();
    assert!(replayed.err.contains("there is no `session.keys` beside the records"), "{}", replayed.err);
    world.belay.restart();
    let refused = erase(&world, &session);
    assert!(refused.code != 0 && refused.err.contains("there is no key to what s_1 typed"), "{}", refused.err);
    assert_eq!(search(&world, "kind:session_erased"), [] as [Value; 0]);
}

#[test]
fn an_erasure_that_is_killed_at_any_moment_is_finished_at_the_next_start() {
    let (world, ticket) = notes();
    write(&world, &ticket);
    search(&world, SENTINEL);
    let session = ended(&world, &ticket);
    let mut millis = 1;
    // Ends with the first that is faster than its killer.
    for _ in 0..12 {
        let mut erasing = Command::new(binary());
        erasing.env("BELAY_HOME", world.belay.home("admin"));
        erasing.args(["-y", "audit", "erase", &session, "--reason", "ticket 12"]);
        let mut erasing = erasing.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(millis));
        world.belay.kill();
        let finished = erasing.wait().unwrap().success();
        world.belay.restart();
        let ordered = !search(&world, "kind:session_erased").is_empty();
        if ordered {
            assert_eq!(holding(&world.belay.data_dir()), [] as [String; 0], "killed after {millis} ms");
            assert_eq!(search(&world, SENTINEL), [] as [Value; 0]);
        } else {
            assert_eq!(search(&world, SENTINEL).len(), 2, "killed after {millis} ms");
        }
        if finished {
            return;
        }
        millis = millis * 3 / 2 + 7;
    }
    erase(&world, &session).ok();
}

#[test]
fn a_damaged_key_is_named_and_loses_its_session_alone() {
    let (world, ticket) = notes();
    write(&world, &ticket);
    let other = granted(&world, "direct", &["public.*"]);
    typed(&world, &other, "SELECT 'anotherword'").ok();
    let fine = world.belay.run("admin", &["doctor"]);
    assert!(fine.out.contains("ok       session keys: 2, "), "{}", fine.out);
    let keys = world.belay.data_dir().join("ledger/session.keys");
    let text = std::fs::read_to_string(&keys).unwrap();
    std::fs::write(&keys, text.replacen("s_1 ", "s_1 x", 1)).unwrap();
    let told = world.belay.run("admin", &["doctor"]);
    assert!(
        told.code != 0 && told.out.contains("line 1, which begins with s_1 of `session.keys` is no key"),
        "{}",
        told.out
    );
    let dir = world.belay.data_dir().display().to_string();
    let public = world.belay.data_dir().join("ledger.pub").display().to_string();
    for words in [&["audit", "verify"][..], &["audit", "verify", "--dir", &dir, "--key", &public]] {
        let verified = world.belay.run("admin", words).ok();
        assert!(verified.err.contains("line 1, which begins with s_1 is no key"), "{}", verified.err);
    }
    let offline = world.belay.run("admin", &["audit", "verify", "--dir", &dir, "--key", &public]).ok();
    assert!(
        offline.err.contains("no part of the ledger, so not proven: ") && offline.err.contains("session.keys"),
        "{}",
        offline.err
    );
    world.belay.stop();
    world.belay.restart();
    assert_eq!(search(&world, "anotherword").len(), 1);
    let lost = search(&world, "session:s_1 kind:statement");
    assert!(!lost.is_empty() && lost.iter().all(|record| record["fields"]["text"] == "[erased]"), "{lost:?}");
}
