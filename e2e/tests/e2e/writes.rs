//! Writes typed in the clients that people have: psql, psycopg, `SQLAlchemy`, node-pg and pgjdbc. A grant of `write` makes
//! plans of them, a grant of `direct` lets them take effect and tells how to give them back.

mod clients;
mod contended;
mod crashed;
mod direct;
mod erased;
mod failing;
mod planned;
mod refused;
mod replayed;
mod row_keys;
mod session_report;
mod transactions;

use e2e::World;
use serde_json::Value;
use testkit::{Outcome, SAMPLE_DATABASE, Ticket};

/// A gateway and a ticket of `alice` for these resources.
fn shop(effect: &str, resources: &[&str]) -> (World, Ticket) {
    let world = World::start();
    if effect == "direct" {
        allow_direct(&world);
    }
    let ticket = granted(&world, effect, resources);
    (world, ticket)
}

/// Puts a rule that allows writes at once in the place of those that do not.
fn allow_direct(world: &World) {
    for rule in ["u_1", "u_2"] {
        world.belay.run("admin", &["rule", "rm", rule, "-y"]).ok();
    }
    let rule = ["rule", "add", "--target", "orders", "--effect", "direct", "--max", "1h", "--approvals", "1"];
    world.belay.run("admin", &rule).ok();
}

fn granted(world: &World, effect: &str, resources: &[&str]) -> Ticket {
    let ask = ["request", "orders", "--effect", effect, "-m", "a test"];
    let request = world.belay.json("alice", &[&ask[..], resources].concat());
    let approved = world.belay.json("bob", &["approve", text(&request, "id")]);
    world.belay.claim("alice", text(&approved["grant"], "id"))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no `{key}` in {value}"))
}

/// Changes, the newest first; those that were rolled back too.
fn changes(world: &World) -> Vec<Value> {
    world.belay.json("admin", &["changes", "--all"])["items"].as_array().unwrap().clone()
}

/// Plans, the newest first.
fn plans(world: &World) -> Vec<Value> {
    world.belay.json("admin", &["plans", "--all"])["items"].as_array().unwrap().clone()
}

/// `bob` approves, `alice` applies.
fn approve_and_apply(world: &World, plan: &str) -> Value {
    world.belay.run("bob", &["approve", plan]).ok();
    world.belay.json("alice", &["apply", plan])
}

fn expect(outcome: &Outcome, code: i32, said: &str) {
    assert_eq!(outcome.code, code, "{}{}", outcome.out, outcome.err);
    assert!(outcome.err.contains(said), "{said}: {}", outcome.err);
}

/// One statement in `psql`, as people see it.
fn typed(world: &World, ticket: &Ticket, sql: &str) -> Outcome {
    Outcome::of(world.psql(ticket, SAMPLE_DATABASE).args(["-v", "VERBOSITY=default", "-c", sql]))
}
