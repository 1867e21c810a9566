//! Writes as people meet them: planned, looked at, approved by somebody else, applied as approved, and given back.

use e2e::World;
use serde_json::Value;
use testkit::{Outcome, SAMPLE_DATABASE};

const SCHEMA: &str = "
CREATE SCHEMA app;
CREATE TABLE app.accounts (id int PRIMARY KEY, owner text, balance numeric(10,2));
CREATE TABLE app.notes (id int PRIMARY KEY, account int REFERENCES app.accounts ON DELETE CASCADE, note text);
INSERT INTO app.accounts SELECT n, 'owner ' || n, n * 10 FROM generate_series(1, 5) n;
INSERT INTO app.notes SELECT n, n, 'note ' || n FROM generate_series(1, 5) n;";

const CONTENT: &str = "SELECT md5((SELECT string_agg(a::text, '|' ORDER BY id) FROM app.accounts a)
    || (SELECT coalesce(string_agg(n::text, '|' ORDER BY id), '') FROM app.notes n))";

fn world() -> World {
    let world = World::start();
    world.direct(SCHEMA);
    world
}

/// A grant of `alice` with this effect on the tables of the schema.
fn granted(world: &World, effect: &str) -> String {
    let ask = ["request", "orders", "app.accounts", "app.notes", "--effect", effect, "-m", "a test"];
    let request = world.belay.json("alice", &ask);
    let approved = world.belay.json("bob", &["approve", request["id"].as_str().unwrap()]);
    approved["grant"]["id"].as_str().unwrap().to_owned()
}

fn planned(world: &World, sql: &str) -> Value {
    world.belay.json("alice", &["plan", "orders", "-c", sql])
}

fn id(value: &Value) -> &str {
    value["id"].as_str().unwrap()
}

fn expect(outcome: &Outcome, code: i32, said: &str) {
    assert_eq!(outcome.code, code, "{}{}", outcome.out, outcome.err);
    assert!(outcome.err.contains(said), "{}", outcome.err);
}

#[test]
fn a_plan_changes_nothing_until_somebody_else_has_approved_its_rows() {
    let world = world();
    granted(&world, "write");
    let before = world.direct(CONTENT);
    let plan = planned(&world, "DELETE FROM app.accounts WHERE id <= 2");
    assert_eq!(world.direct(CONTENT), before);
    assert_eq!((plan["state"].as_str(), plan["rows"].as_u64()), (Some("pending"), Some(4)));
    let tables = plan["tables"].as_array().unwrap();
    let notes = tables.iter().find(|table| table["table"] == "app.notes").unwrap();
    assert_eq!((notes["deleted"].as_u64(), notes["indirect"].as_bool()), (Some(2), Some(true)), "the cascade");
    let plan = id(&plan);
    expect(&world.belay.run("alice", &["apply", plan]), 5, "waits for one approval");
    expect(&world.belay.run("alice", &["approve", plan]), 3, "`alice` may not decide on plans");
    let approver = ["user", "change", "alice", "--role", "requester", "--role", "approver", "--role", "administrator"];
    world.belay.run("admin", &approver).ok();
    expect(&world.belay.run("alice", &["approve", plan]), 3, "nobody may decide on plans of their own");
    expect(&world.belay.run("dave", &["review", plan]), 1, "no plan");
    let shown = world.belay.run("bob", &["review", plan]).ok();
    assert!(shown.out.contains("  - id=1  owner='owner 1'  balance=10.00"), "{}", shown.out);
    assert!(shown.out.contains("written by cascades, triggers and functions:\napp.notes: 2 deleted"), "{}", shown.out);
    let diff = world.belay.run("bob", &["review", plan, "--diff"]).ok();
    assert!(diff.out.starts_with("--- app."), "{}", diff.out);
    world.belay.run("bob", &["approve", plan]).ok();
    let applied = world.belay.run("alice", &["apply", plan]).ok();
    assert!(applied.err.contains("applied 4 rows; undo: belay revert c_"), "{}", applied.err);
    assert_eq!(
        world.direct("SELECT (SELECT count(*) FROM app.accounts) || ' ' || (SELECT count(*) FROM app.notes)"),
        "3 3"
    );
    expect(&world.belay.run("alice", &["apply", plan]), 9, "is applied already");
}

#[test]
fn a_plan_whose_rows_have_changed_is_not_applied_and_the_rows_are_named() {
    let world = world();
    granted(&world, "write");
    let first = planned(&world, "UPDATE app.accounts SET balance = balance + 1 WHERE id <= 2");
    world.belay.run("bob", &["approve", id(&first)]).ok();
    world.direct("UPDATE app.accounts SET owner = 'somebody else' WHERE id = 2");
    let before = world.direct(CONTENT);
    let differs = world.belay.run("alice", &["apply", id(&first)]);
    expect(&differs, 9, "app.accounts 2:");
    assert_eq!(world.direct(CONTENT), before);
    let replaced = world.belay.json("alice", &["review", id(&first)]);
    assert_eq!(replaced["state"], "replaced");
    let second = replaced["replaced_by"].as_str().unwrap();
    expect(&world.belay.run("alice", &["apply", second]), 5, "waits for one approval");
    world.belay.run("bob", &["approve", second]).ok();
    world.belay.run("alice", &["apply", second]).ok();
    assert_eq!(
        world.direct("SELECT string_agg(balance::text, ' ' ORDER BY id) FROM app.accounts WHERE id <= 2"),
        "11.00 21.00"
    );
}

#[test]
fn what_is_given_back_is_approved_like_a_write_and_is_as_it_was_byte_for_byte() {
    let world = world();
    granted(&world, "write");
    let before = world.direct(CONTENT);
    let plan = planned(&world, "DELETE FROM app.accounts WHERE id = 3");
    world.belay.run("bob", &["approve", id(&plan)]).ok();
    let change = world.belay.json("alice", &["apply", id(&plan)]);
    let gone = world.direct(CONTENT);
    let dry = world.belay.run("alice", &["revert", id(&change), "--dry-run"]).ok();
    assert!(dry.out.contains("  + id=3  owner='owner 3'  balance=30.00"), "{}", dry.out);
    assert_eq!(world.direct(CONTENT), gone);
    let back = world.belay.json("alice", &["revert", id(&plan)]);
    assert_eq!((back["does"].as_str(), back["state"].as_str()), (Some("revert"), Some("pending")));
    assert_eq!(world.direct(CONTENT), gone);
    expect(&world.belay.run("alice", &["apply", id(&back)]), 5, "waits for one approval");
    world.belay.run("bob", &["approve", id(&back)]).ok();
    let reverted = world.belay.json("alice", &["apply", id(&back)]);
    assert_eq!(world.direct(CONTENT), before);
    let seen = world.belay.json("alice", &["review", id(&change)]);
    assert_eq!(seen["reverted_by"][0], reverted["id"]);
    world.direct("UPDATE app.accounts SET balance = 99 WHERE id = 3");
    let conflict = world.belay.run("alice", &["revert", id(&reverted)]);
    expect(&conflict, 9, "have changed since");
    assert!(conflict.out.contains("app.accounts 3: somebody changed it since"), "{}", conflict.out);
    assert!(conflict.out.contains("30.00") && conflict.out.contains("99.00"), "{}", conflict.out);
}

#[test]
fn under_a_direct_grant_writes_take_effect_and_a_session_is_given_back_at_once() {
    let world = world();
    let refused = world.belay.run("alice", &["request", "orders", "app.accounts", "--effect", "direct", "-m", "x"]);
    expect(&refused, 3, "no rule lets you ask for `direct`");
    for rule in ["u_1", "u_2"] {
        world.belay.run("admin", &["rule", "rm", rule, "-y"]).ok();
    }
    let rule = ["rule", "add", "--target", "orders", "--effect", "direct", "--max", "1h", "--approvals", "1"];
    world.belay.run("admin", &rule).ok();
    let grant = granted(&world, "direct");
    let before = world.direct(CONTENT);
    let ticket = world.belay.claim("alice", &grant);
    let mut psql = world.psql(&ticket, SAMPLE_DATABASE);
    psql.args(["-c", "UPDATE app.accounts SET balance = 0 WHERE id = 1"]);
    psql.args(["-c", "UPDATE app.accounts SET balance = 1 WHERE id <= 2"]);
    let done = Outcome::of(&mut psql).ok();
    assert!(done.err.contains("undo: belay revert c_1") && done.err.contains("undo: belay revert c_2"), "{}", done.err);
    assert_ne!(world.direct(CONTENT), before);
    let changes = world.belay.json("alice", &["changes"]);
    let session = changes["items"][0]["session"].as_str().unwrap().to_owned();
    let back = world.belay.run("alice", &["revert", &session]).ok();
    assert!(back.err.contains("gave back 2 rows; undo: belay revert c_3"), "{}", back.err);
    assert_eq!(world.direct(CONTENT), before);
    let events = world.belay.run("admin", &["audit", "search", "kind:change_reverted", "-o", "jsonl"]).ok();
    assert_eq!(events.out.lines().count(), 2, "{}", events.out);
}
