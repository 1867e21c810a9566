//! A table that is too large to be scanned: what is written past its keys is refused, and captured once it is armed.

use crate::ledger_down::{ledger_bytes, limit_files};
use e2e::{Raw, World};
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::time::Duration;
use testkit::{Outcome, SAMPLE_DATABASE, Ticket, until};

const SCHEMA: &str = "
CREATE SCHEMA app;
CREATE TABLE app.events (id int PRIMARY KEY, note text, much float8) WITH (autovacuum_enabled = off);
INSERT INTO app.events SELECT n, 'event ' || n, n / 7.0 FROM generate_series(1, 5000) n;
CREATE VIEW app.shown AS SELECT * FROM app.events;
CHECKPOINT;";

/// By its index: the table is made of more pages than a test should read.
const CONTENT: &str = "SELECT md5(string_agg(e::text, '|' ORDER BY id)) FROM app.events e WHERE id BETWEEN 1 AND 9000";

/// What says nothing of where its rows lie.
const WRITE: &str = "DO $$BEGIN UPDATE app.events SET note = upper(note), much = -much WHERE id IN (7, 8);
    DELETE FROM app.events WHERE id = 9; INSERT INTO app.events VALUES (6000, 'new', 'NaN'); END$$";

/// A gateway before a table that measures more than 4 GiB, most of it empty pages that take no place on the disk.
fn world() -> World {
    let world = World::start();
    for statement in SCHEMA.split_inclusive(';') {
        world.direct(statement);
    }
    let file = world.postgres.data_dir().join(world.direct("SELECT pg_relation_filepath('app.events')"));
    let first = fs::metadata(&file).unwrap();
    for (number, bytes) in [(0, 1 << 30), (1, 1 << 30), (2, 1 << 30), (3, 1 << 30), (4, 64 << 20)] {
        let path = if number == 0 { file.clone() } else { file.with_added_extension(number.to_string()) };
        let part = fs::OpenOptions::new().create(true).append(true).open(&path).unwrap();
        part.set_len(bytes).unwrap();
        chown(&path, Some(first.uid()), Some(first.gid())).unwrap();
    }
    assert_eq!(world.direct("SELECT pg_relation_size('app.events') > 4::int8 << 30"), "t");
    for rule in ["u_1", "u_2"] {
        world.belay.run("admin", &["rule", "rm", rule, "-y"]).ok();
    }
    for effect in ["write", "direct"] {
        let rule = ["rule", "add", "--target", "orders", "--effect", effect, "--max", "1h", "--approvals", "1"];
        world.belay.run("admin", &rule).ok();
    }
    world
}

fn ticket(world: &World, effect: &str) -> Ticket {
    let request = world.belay.json("alice", &["request", "orders", "*.*", "--effect", effect, "-m", "a test"]);
    let approved = world.belay.json("bob", &["approve", request["id"].as_str().unwrap()]);
    world.belay.claim("alice", approved["grant"]["id"].as_str().unwrap())
}

fn admin(world: &World, words: &[&str]) -> Outcome {
    world.belay.run("admin", words)
}

fn applied(world: &World, plan: &str) {
    world.belay.run("bob", &["approve", plan]).ok();
    world.belay.run("alice", &["apply", plan]).ok();
}

fn events(world: &World, kind: &str) -> usize {
    world.belay.json("admin", &["audit", "search", &format!("kind:{kind}")])["items"].as_array().unwrap().len()
}

#[test]
fn a_large_table_is_written_past_its_keys_once_it_is_armed_and_comes_back_byte_for_byte() {
    let world = world();
    let before = world.direct(CONTENT);
    let (planned, direct) = (ticket(&world, "write"), ticket(&world, "direct"));

    let refused = world.sql(&planned, WRITE);
    assert!(refused.err.contains("cannot be told without reading all of it"), "{}", refused.err);
    assert!(refused.err.contains("[BLY-1042]"), "{}", refused.err);
    assert!(refused.err.contains("belay target arm TARGET app.events"), "{}", refused.err);

    assert_eq!(world.belay.run("alice", &["target", "arm", "orders", "app.events"]).code, 3);
    let view = admin(&world, &["target", "arm", "orders", "app.shown"]);
    assert!(view.code != 0 && view.err.contains("app.shown is a view"), "{}", view.err);
    assert_eq!(events(&world, "table_armed"), 0);
    admin(&world, &["target", "arm", "orders", "app.events"]).ok();
    admin(&world, &["target", "arm", "orders", "app.events"]).ok();
    assert_eq!(events(&world, "table_armed"), 1);
    let shown = world.belay.json("admin", &["target", "show", "orders"]);
    assert_eq!(shown["armed"][0]["table"], "app.events", "{shown}");
    let card = admin(&world, &["target", "show", "orders"]).ok().out;
    assert!(card.contains("app.events"), "{card}");
    let check = admin(&world, &["target", "check", "orders"]).out;
    let layer = "ok        armed tables: a trigger writes down what sessions of Belay's change in app.events";
    assert!(check.contains(layer) && !check.contains("belay_armed"), "{check}");

    let plan = world.sql(&planned, WRITE);
    assert!(plan.err.contains("planned, not applied: 4 rows of app.events would change; plan p_1"), "{}", plan.err);
    assert_eq!(world.direct(CONTENT), before);
    let review = world.belay.run("bob", &["review", "p_1"]).ok().out;
    assert!(review.contains("app.events: 2 updated, 1 inserted, 1 deleted"), "{review}");
    assert!(review.contains("captured by armed trigger") && !review.contains("belay_armed"), "{review}");
    assert!(review.contains("reversible: yes; given back in the trial"), "{review}");
    let review = world.belay.json("bob", &["review", "p_1"]);
    assert_eq!(review["tables"][0]["found_by"], "armed", "{review}");
    applied(&world, "p_1");
    let left = "SELECT count(*) FROM belay_armed.images";
    assert_ne!(world.direct(CONTENT), before);
    assert_eq!(world.direct(left), "0");
    world.belay.run("alice", &["-y", "revert", "c_1"]).ok();
    assert_eq!((world.direct(CONTENT), world.direct(left)), (before.clone(), "0".to_owned()));

    let done = world.sql(&direct, WRITE);
    assert!(done.err.contains("4 rows changed in app.events; undo: belay revert c_3"), "{}", done.err);
    assert_ne!(world.direct(CONTENT), before);
    assert_eq!(world.direct(left), "0");
    world.belay.run("alice", &["-y", "revert", "c_3"]).ok();
    assert_eq!(world.direct(CONTENT), before);

    // Nobody through Belay gets at the images, nor past the trigger.
    for sql in [
        "SELECT * FROM belay_armed.images",
        "SELECT secret FROM belay_armed.kept",
        "DELETE FROM belay_armed.images",
        "ALTER TABLE app.events DISABLE TRIGGER belay_armed",
        "SET session_replication_role = replica",
        "DO $$BEGIN SET LOCAL belay.armed = off; UPDATE app.events SET note = 'x' WHERE id = 7; END$$",
    ] {
        let refused = world.sql(&direct, sql);
        assert!(refused.code != 0, "{sql}: {}", refused.out);
    }
    assert_eq!(world.direct(CONTENT), before);

    admin(&world, &["target", "disarm", "orders", "app.events"]).ok();
    assert_eq!(events(&world, "table_disarmed"), 1);
    assert_eq!(world.direct("SELECT count(*) FROM pg_namespace WHERE nspname = 'belay_armed'"), "0");
    assert!(world.sql(&planned, WRITE).err.contains("belay target arm TARGET app.events"));
}

#[test]
fn a_table_does_not_stay_armed_where_that_cannot_be_recorded() {
    let world = World::start();
    world.direct("CREATE TABLE public.large (id int PRIMARY KEY)");
    let ticket = world.belay.grant(&["public.*"], "30m");
    let mut raw = Raw::log_in(&world.belay, &ticket, SAMPLE_DATABASE);
    // The ledger must be the largest file, so that the limit meets it first.
    let padding = "x".repeat(60_000);
    for _ in 0..200 {
        raw.query(&format!("SELECT 1 /* {padding} */"));
    }
    std::thread::sleep(Duration::from_millis(300));
    limit_files(&world, &ledger_bytes(&world).to_string());
    let refused = admin(&world, &["target", "arm", "orders", "public.large"]);
    assert!(refused.code != 0 && refused.err.contains("ledger"), "{}", refused.err);
    let left = "SELECT count(*) FROM pg_trigger WHERE tgname = 'belay_armed'";
    assert_eq!(world.direct(left), "0");
    limit_files(&world, "unlimited");
    let arm = || admin(&world, &["target", "arm", "orders", "public.large"]).code == 0;
    assert!(until(Duration::from_secs(10), arm), "{}", world.belay.log());
    assert_eq!(world.direct(left), "1");
}
