//! What people see of a plan before they say yes to it.

use e2e::{Raw, World};
use serde_json::Value;
use std::process::Stdio;
use std::time::Duration;
use testkit::{SAMPLE_DATABASE, Ticket};

const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway and a ticket of `alice` for every table.
fn granted(effect: &str) -> (World, Ticket) {
    let world = World::start();
    let ask = ["request", "orders", "--effect", effect, "-m", "a test"];
    let request = world.belay.json("alice", &ask);
    let approved = world.belay.json("bob", &["approve", request["id"].as_str().unwrap()]);
    let ticket = world.belay.claim("alice", approved["grant"]["id"].as_str().unwrap());
    (world, ticket)
}

#[test]
fn a_review_tells_how_long_the_trial_took_what_it_locked_and_who_waited() {
    let (world, ticket) = granted("write");
    let mut alice = Raw::log_in(&world.belay, &ticket, SAMPLE_DATABASE);
    alice.tags("BEGIN");
    alice.tags("UPDATE orders SET status = 'held' WHERE id = 41");
    let mut other = world.postgres.psql(SAMPLE_DATABASE);
    other.args(["-c", "SELECT FROM orders WHERE id = 41 FOR UPDATE"]).stdout(Stdio::null());
    let mut other = other.spawn().unwrap();
    world.await_back_ends("wait_event_type = 'Lock'", 1, PATIENCE);
    alice.tags("COMMIT");
    assert!(other.wait().unwrap().success());
    let plan = world.belay.json("bob", &["review", "p_1"]);
    let trial = &plan["trial"];
    assert!(trial["milliseconds"].as_u64().unwrap() > 0, "{trial}");
    assert_eq!(trial["sessions_waiting"], 1, "{trial}");
    let lock = |lock: &&Value| lock["table"] == "public.orders";
    let lock = trial["locks"].as_array().unwrap().iter().find(lock).unwrap();
    assert_eq!(lock["modes"][0], "ROW EXCLUSIVE");
    let shown = world.belay.run("bob", &["review", "p_1"]).ok().out;
    assert!(shown.contains(" ms; locks held: public.orders ROW EXCLUSIVE"), "{shown}");
    assert!(shown.contains("\nwarning: 1 session waited for this trial\n"), "{shown}");
    alice.tags("UPDATE orders SET status = 'alone' WHERE id = 41");
    let shown = world.belay.run("bob", &["review", "p_2"]).ok().out;
    assert!(shown.contains("its trial took ") && !shown.contains("waited"), "{shown}");
}
