//! What the ledger holds reaches others: every record, in order, whatever happens on the way.

mod receiver;

use crate::ledger_down::{ledger_bytes, limit_files};
use e2e::{Raw, World};
use receiver::{Mood, SECRET, Taken, collector, datagrams, syslog, syslog_over_tls, webhook};
use serde_json::Value;
use std::collections::HashMap;
use std::time::Duration;
use tempfile::TempDir;
use testkit::{Belay, Certificates, SAMPLE_DATABASE, Ticket, until};

const PATIENCE: Duration = Duration::from_mins(2);

/// How each record of the ledger is called, from the first on.
fn kinds(belay: &Belay) -> Vec<String> {
    let all = belay.run("admin", &["audit", "export", "", "--format", "jsonl"]).ok().out;
    let records: Vec<Value> = all.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(records.iter().map(|record| record["seq"].as_u64().unwrap()).eq(0..records.len() as u64));
    records.iter().map(|record| record["event"].as_str().unwrap().to_owned()).collect()
}

/// Every record came, in order, and is the one that the ledger has.
fn assert_complete(belay: &Belay, taken: &Taken, who: &str) {
    let expected = kinds(belay);
    let all = || taken.numbers().len() >= expected.len();
    assert!(until(PATIENCE, all), "{who}: {:?} of {} came\n{}", taken.numbers(), expected.len(), belay.log());
    let numbers = taken.numbers();
    assert!(numbers.iter().copied().eq(0..numbers.len() as u64), "{who}: not in order: {numbers:?}");
    let mut ids = HashMap::new();
    for event in taken.all() {
        let number = usize::try_from(event["event"]["sequence"].as_u64().unwrap()).unwrap();
        let id = event["event"]["id"].as_str().unwrap().to_owned();
        assert_eq!(ids.entry(number).or_insert_with(|| id.clone()), &id, "{who}: record {number} came in two forms");
        if let Some(kind) = expected.get(number) {
            assert_eq!(event["event"]["action"].as_str(), Some(kind.as_str()), "{who}");
        }
    }
}

/// Some of everything: reads, a refusal, an error, a write.
fn work(world: &World, ticket: &Ticket) {
    for sql in ["SELECT count(*) FROM orders", "UPDATE orders SET total = 0", "SELECT 1/0", "SELECT 'grüße 😀'"] {
        world.sql(ticket, sql);
    }
}

fn secret_file(dir: &TempDir) -> String {
    let path = dir.path().join("secret");
    std::fs::write(&path, SECRET).unwrap();
    path.display().to_string()
}

#[test]
fn a_webhook_that_fails_now_and_then_gets_every_record_in_order_across_a_killed_gateway() {
    use Mood::{Hangs, HangsUp, Refuses, Takes};
    let (port, taken) = webhook(&[Refuses, Takes, HangsUp, Takes, Hangs, Takes, Takes]);
    let dir = tempfile::tempdir().unwrap();
    let world = World::start_with(&format!(
        "[[events]]\nname = \"hook\"\nto = \"http://127.0.0.1:{port}/events\"\nsecret = \"file:{}\"\n",
        secret_file(&dir)
    ));
    let ticket = world.belay.grant(&["public.*"], "30m");
    for round in 0..6 {
        work(&world, &ticket);
        if round % 2 == 1 {
            world.belay.kill();
            world.belay.restart();
        }
    }
    assert_complete(&world.belay, &taken, "webhook");
    let all = taken.all();
    let texts: Vec<&Value> = all.iter().map(|event| &event["belay"]["text"]).collect();
    assert!(texts.iter().any(|text| **text == "SELECT 'grüße 😀'"), "{texts:?}");

    // What the receiver holds proves the ledger, up to there.
    let last = all.iter().max_by_key(|event| event["event"]["sequence"].as_u64()).unwrap();
    let position = last["belay"]["position"].as_str().unwrap();
    let proven = world.belay.json("admin", &["audit", "verify", "--position", position]);
    assert_eq!((&proven["intact"], &proven["known"]), (&true.into(), &true.into()), "{proven}");

    // Nothing was lost on the way, and those who run it see that.
    let caught_up = || world.belay.run("admin", &["doctor"]).out.contains("events to hook: webhook, ");
    assert!(until(PATIENCE, caught_up), "{}", world.belay.run("admin", &["doctor"]).out);
    assert!(!world.belay.run("alice", &["doctor"]).out.contains("hook"), "only for those who may read the ledger");
}

#[test]
fn nothing_goes_out_that_a_full_disk_kept_from_the_ledger() {
    let (port, taken) = webhook(&[Mood::Takes]);
    let dir = tempfile::tempdir().unwrap();
    let world = World::start_with(&format!(
        "[[events]]\nname = \"hook\"\nto = \"http://127.0.0.1:{port}/\"\nsecret = \"file:{}\"\n",
        secret_file(&dir)
    ));
    let ticket = world.belay.grant(&["public.*"], "30m");
    let mut raw = Raw::log_in(&world.belay, &ticket, SAMPLE_DATABASE);
    // The ledger must be the largest file, so that the limit meets it first.
    let padding = "x".repeat(60_000);
    let padded = format!("SELECT 1 /* {padding} */");
    for _ in 0..150 {
        assert_eq!(raw.tags(&padded), "TDCZ");
    }
    for round in 0..3 {
        std::thread::sleep(Duration::from_millis(300));
        // Some of what comes next fits, and the rest does not.
        limit_files(&world, &(ledger_bytes(&world) + 150_000).to_string());
        let refused = until(Duration::from_secs(20), || raw.query(&padded).iter().any(|message| message.tag == b'E'));
        assert!(refused, "statements still pass in round {round}");
        limit_files(&world, "unlimited");
        assert!(until(Duration::from_secs(10), || raw.tags("SELECT 1") == "TDCZ"), "statements do not pass again");
    }
    assert_complete(&world.belay, &taken, "webhook");
    let last = taken.all().into_iter().max_by_key(|event| event["event"]["sequence"].as_u64()).unwrap();
    let position = last["belay"]["position"].as_str().unwrap();
    assert_eq!(world.belay.json("admin", &["audit", "verify", "--position", position])["known"], true);
}

#[test]
fn syslog_otlp_and_standard_output_get_the_same_records_and_leave_out_what_they_shall() {
    let certificates = Certificates::for_names(&["localhost"]);
    let (tcp, over_tcp) = syslog(&[7, 20]);
    let (tls, over_tls) = syslog_over_tls(&certificates, &[25]);
    let (udp, over_udp) = datagrams();
    let (otlp, over_otlp) = collector(&[Mood::Refuses, Mood::Takes]);
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, &certificates.ca).unwrap();
    let world = World::start_with(&format!(
        "[[events]]\nname = \"tcp\"\nto = \"syslog+tcp://127.0.0.1:{tcp}\"\n\
         [[events]]\nname = \"tls\"\nto = \"syslog+tls://localhost:{tls}\"\nca = \"{}\"\n\
         [[events]]\nname = \"udp\"\nto = \"syslog+udp://127.0.0.1:{udp}\"\nstatements = \"none\"\n\
         [[events]]\nname = \"otlp\"\nto = \"otlp+http://127.0.0.1:{otlp}\"\nonly = \"kind:statement\"\n\
         headers = {{ authorization = \"file:{}\" }}\n\
         [[events]]\nname = \"out\"\nto = \"stdout\"\nonly = \"kind:login\"\n",
        ca.display(),
        secret_file(&dir)
    ));
    let ticket = world.belay.grant(&["public.*"], "30m");
    work(&world, &ticket);
    assert_complete(&world.belay, &over_udp, "UDP");
    assert!(!over_udp.all().iter().any(|event| event.to_string().contains("grüße")), "without texts");
    assert_complete(&world.belay, &over_tls, "TLS");
    assert_complete(&world.belay, &over_tcp, "TCP");

    let statements = kinds(&world.belay).iter().filter(|kind| *kind == "statement").count();
    assert!(until(PATIENCE, || over_otlp.numbers().len() == statements), "{:?}", over_otlp.numbers());
    let refused = over_otlp.all().into_iter().find(|event| event["event"]["outcome"] == "failure").unwrap();
    assert_eq!((&refused["user"]["name"], &refused["event"]["code"]), (&"alice".into(), &"BLY-1001".into()));

    let logins = || world.belay.log().lines().filter(|line| line.starts_with('{')).count();
    let expected = kinds(&world.belay).iter().filter(|kind| *kind == "login").count();
    assert!(until(PATIENCE, || logins() == expected), "{}", world.belay.log());
}
