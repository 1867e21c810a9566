//! What people see of a plan before they say yes to it.

use e2e::{Raw, World};
use serde_json::Value;
use std::process::Stdio;
use std::time::Duration;
use testkit::{Outcome, SAMPLE_DATABASE, Ticket};

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

#[test]
fn a_review_tells_whether_the_rows_were_given_back_in_the_trial() {
    let (world, ticket) = granted("write");
    world.direct(
        "CREATE TABLE parents (id int PRIMARY KEY); INSERT INTO parents VALUES (1), (2);
         CREATE TABLE children (id int PRIMARY KEY, parent int REFERENCES parents ON DELETE CASCADE);
         INSERT INTO children VALUES (1, 1), (2, 1), (3, 2);
         CREATE TABLE many AS SELECT n AS id, 'a' AS note FROM generate_series(1, 1001) n;
         CREATE TABLE watched (id int PRIMARY KEY, note text); INSERT INTO watched VALUES (1, 'a');
         CREATE FUNCTION pass() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
         CREATE TRIGGER looks BEFORE UPDATE ON watched FOR EACH ROW EXECUTE FUNCTION pass()",
    );
    let before = world.fingerprint();
    for (number, sql, expected) in [
        (1, "DELETE FROM parents WHERE id = 1", "reversible: yes; given back in the trial, every row byte for byte\n"),
        (2, "INSERT INTO parents VALUES (7)", "reversible: yes; given back in the trial, every row byte for byte\n"),
        (3, "UPDATE many SET note = 'b'", "reversible: yes; not tried: it has more than 2000 row images\n"),
        (
            4,
            "UPDATE watched SET note = 'b'",
            "reversible: yes; not tried: the trigger `looks` on public.watched would act",
        ),
    ] {
        world.sql(&ticket, sql);
        let shown = world.belay.run("bob", &["review", &format!("p_{number}")]).ok().out;
        assert!(shown.contains(expected), "{sql}: {shown}");
    }
    assert_eq!(world.belay.json("bob", &["review", "p_1"])["trial"]["revert_proven"], true);
    assert_eq!(world.belay.json("bob", &["review", "p_3"])["trial"]["revert_proven"], false);
    assert_eq!(world.fingerprint(), before, "a trial leaves nothing");
}

#[test]
fn every_row_of_a_plan_and_of_a_change_is_shown_a_page_at_a_time() {
    const ROWS: usize = 50_010;
    let (world, ticket) = granted("write");
    world.direct(&format!(
        "CREATE TABLE many (id int PRIMARY KEY, secret text, note text);
         INSERT INTO many SELECT n, 'hidden', 'a' FROM generate_series(1, {ROWS}) n"
    ));
    world.sql(&ticket, "UPDATE many SET secret = 'known', note = 'b'");
    world.belay.run("admin", &["mask", "add", "orders", "public.many.secret", "--kind", "hash"]).ok();
    let shown = world.belay.run("bob", &["review", "p_1"]).ok().out;
    assert!(shown.contains("belay review p_1 --all"), "{shown}");
    let ids = |rows: &[Value]| {
        let id = |row: &Value| {
            assert_eq!((&row["table"], &row["operation"]), (&"public.many".into(), &"updated".into()));
            assert_eq!((&row["before"]["note"], &row["after"]["note"]), (&"a".into(), &"b".into()));
            assert_eq!(row["after"]["secret"], "(masked)");
            row["after"]["id"].as_str().unwrap().parse::<usize>().unwrap()
        };
        let mut ids: Vec<usize> = rows.iter().map(id).collect();
        ids.sort_unstable();
        ids
    };
    let array = world.belay.json("bob", &["review", "p_1", "--all"]);
    assert_eq!(ids(array.as_array().unwrap()), (1..=ROWS).collect::<Vec<_>>());
    world.belay.run("bob", &["approve", "p_1"]).ok();
    let change = world.belay.json("alice", &["apply", "p_1"]);
    let all = world.belay.run("alice", &["review", change["id"].as_str().unwrap(), "--all", "-o", "jsonl"]).ok();
    let rows: Vec<Value> = all.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(ids(&rows), (1..=ROWS).collect::<Vec<_>>());
    world.sql(&ticket, "DELETE FROM many WHERE id <= 3");
    let listed = world.belay.run("bob", &["review", "p_2", "--all"]).ok().out;
    assert!(listed.contains("\npublic.many: 3 deleted\n  - id=1  secret='(masked)'  note=b\n"), "{listed}");
    let diff = world.belay.run("bob", &["review", "p_2", "--all", "--diff"]).ok().out;
    assert!(diff.starts_with("--- public.many\n+++ public.many\n@@ 3 deleted @@\n-id=1 secret='(masked)'"), "{diff}");
}

/// A session of `alice` under a direct grant, whose changes are `c_1`, `c_2` and so on.
fn direct(statements: &[&str]) -> (World, Ticket) {
    let world = World::start();
    for rule in ["u_1", "u_2"] {
        world.belay.run("admin", &["rule", "rm", rule, "-y"]).ok();
    }
    let rule = ["rule", "add", "--target", "orders", "--effect", "direct", "--max", "1h", "--approvals", "1"];
    world.belay.run("admin", &rule).ok();
    let request = world.belay.json("alice", &["request", "orders", "--effect", "direct", "-m", "a test"]);
    let approved = world.belay.json("bob", &["approve", request["id"].as_str().unwrap()]);
    let ticket = world.belay.claim("alice", approved["grant"]["id"].as_str().unwrap());
    let mut psql = world.psql(&ticket, SAMPLE_DATABASE);
    for statement in statements {
        psql.args(["-c", statement]);
    }
    if !statements.is_empty() {
        Outcome::of(&mut psql).ok();
    }
    (world, ticket)
}

fn statuses(world: &World) -> String {
    world.direct("SELECT string_agg(status, ' ' ORDER BY id) FROM orders WHERE id IN (41, 57)")
}

/// The session of the oldest change.
fn session(world: &World) -> String {
    world.belay.json("alice", &["changes"])["items"].as_array().unwrap().last().unwrap()["session"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn a_session_is_given_back_with_what_was_given_back_of_it_in_part_or_made_again() {
    let update =
        ["UPDATE orders SET status = 'one' WHERE id IN (41, 57)", "UPDATE orders SET status = 'two' WHERE id = 41"];
    let (world, ticket) = direct(&[]);
    let before = statuses(&world);
    let mut psql = world.psql(&ticket, SAMPLE_DATABASE);
    Outcome::of(psql.args(["-c", update[0], "-c", update[1]])).ok();
    assert_eq!(statuses(&world), "two one");
    world.belay.run("alice", &["revert", "c_1", "--only", "orders:57"]).ok();
    world.belay.run("alice", &["revert", "c_2"]).ok();
    world.belay.run("alice", &["revert", "c_4"]).ok();
    let halfway = statuses(&world);
    assert_eq!(halfway, format!("two {}", before.split(' ').nth(1).unwrap()));
    let session = session(&world);
    let dry = world.belay.run("alice", &["revert", &session, "--dry-run"]).ok();
    assert!(
        dry.out.contains("public.orders: 1 updated") && dry.err.contains("c_2 c_1 would be given back"),
        "{}{}",
        dry.out,
        dry.err
    );
    assert_eq!(statuses(&world), halfway);
    world.belay.run("alice", &["revert", &session]).ok();
    assert_eq!(statuses(&world), before);
    let again = world.belay.run("alice", &["revert", &session]).ok();
    assert!(again.err.contains("given back already, by c_6"), "{}", again.err);
    assert_eq!(statuses(&world), before);
}

#[test]
fn changes_that_cancel_each_other_out_are_not_given_back_again_with_later_ones() {
    let (world, ticket) = direct(&[]);
    world.sql(&ticket, "INSERT INTO items (order_id, product, quantity, price) VALUES (8, 'new', 1, 1)");
    world.sql(&ticket, "DELETE FROM items WHERE product = 'new'");
    let before = statuses(&world);
    let mine = ["revert", "--since", "2026-01-01T00:00:00Z", "--target", "orders"];
    let dry = world.belay.run("alice", &[&mine[..], &["--dry-run"]].concat()).ok();
    let done = world.belay.run("alice", &mine).ok();
    for said in [&dry.err, &done.err] {
        assert!(said.contains("nothing was done"), "{said}");
    }
    world.direct("DROP TABLE items");
    world.sql(&ticket, "UPDATE orders SET status = 'later' WHERE id IN (41, 57)");
    let done = world.belay.run("alice", &mine).ok();
    assert!(done.err.contains("gave back 2 rows"), "{}", done.err);
    assert_eq!(statuses(&world), before);
}

#[test]
fn ones_own_changes_since_a_moment_are_given_back_as_one() {
    let (world, ticket) = direct(&["UPDATE orders SET status = 'early' WHERE id = 41"]);
    std::thread::sleep(Duration::from_millis(1_100));
    let since = world.direct("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')");
    let early = statuses(&world);
    world.sql(&ticket, "UPDATE orders SET status = 'later' WHERE id IN (41, 57)");
    world.sql(&ticket, "UPDATE orders SET status = 'latest' WHERE id = 57");
    let nobodys = world.belay.run("bob", &["revert", "--since", &since]);
    assert!(nobodys.err.contains("nothing of your changes is there to be given back"), "{}", nobodys.err);
    let elsewhere = world.belay.run("alice", &["revert", "--since", &since, "--target", "other"]);
    assert!(elsewhere.err.contains("nothing of your changes on other is there"), "{}", elsewhere.err);
    assert_eq!(world.belay.run("alice", &["revert"]).code, 2);
    assert_eq!(statuses(&world), "later latest");
    let dry = world.belay.run("alice", &["revert", "--since", &since, "--target", "orders", "--dry-run"]).ok();
    assert!(dry.out.contains("public.orders: 2 updated"), "{}", dry.out);
    let done = world.belay.run("alice", &["revert", "--since", &since, "--target", "orders"]).ok();
    assert!(done.err.contains("gave back 2 rows; undo: belay revert c_4"), "{}", done.err);
    assert_eq!(statuses(&world), early);
    let again = world.belay.run("alice", &["revert", "--since", &since]).ok();
    assert!(again.err.contains("what you have changed was given back already, by c_4"), "{}", again.err);
}

#[test]
fn a_script_is_planned_from_a_file_and_shown_as_a_table_as_json_and_as_a_diff() {
    let (world, _ticket) = granted("write");
    let before = world.fingerprint();
    let script = "UPDATE orders SET status = 'a' WHERE id = 41;\nDELETE FROM items WHERE order_id = 57;\n";
    let file = world.belay.file("fix.sql", script);
    let file = file.as_str();
    let table = world.belay.run("alice", &["plan", "orders", "-f", file]).ok();
    assert!(table.out.starts_with("p_1 pending: alice would change "), "{}", table.out);
    assert!(table.out.contains("  UPDATE orders SET status = 'a' WHERE id = 41"), "{}", table.out);
    assert!(table.out.contains("\n  ~ id=41  status: "), "{}", table.out);
    let json = world.belay.json("alice", &["plan", "orders", "-f", file]);
    assert_eq!((json["id"].as_str(), json["reversible"].as_bool()), (Some("p_2"), Some(true)));
    let diff = world.belay.run("alice", &["plan", "orders", "-f", file, "--diff"]).ok();
    assert!(diff.out.starts_with("--- public.") && diff.err.contains("p_3 pending: alice"), "{}{}", diff.out, diff.err);
    assert_eq!(world.fingerprint(), before);
    let early = world.belay.run("alice", &["revert", "p_1"]);
    assert!(early.err.contains("p_1 is pending, so there is nothing to give back"), "{}", early.err);
    world.belay.run("bob", &["approve", "p_1"]).ok();
    world.belay.run("alice", &["apply", "p_1"]).ok();
    let done = world.fingerprint();
    assert_ne!(done, before);
    let dry = world.belay.run("alice", &["revert", "p_1", "--dry-run"]).ok();
    assert!(dry.out.contains("status: a -> "), "{}", dry.out);
    let back = world.belay.json("alice", &["revert", "p_1"]);
    assert_eq!(world.fingerprint(), done);
    let back = back["id"].as_str().unwrap();
    world.belay.run("bob", &["approve", back]).ok();
    world.belay.run("alice", &["apply", back]).ok();
    assert_eq!(world.fingerprint(), before);
    let twice = world.belay.run("alice", &["revert", "p_1"]).ok();
    assert!(twice.err.contains("p_1 was given back already, by c_2"), "{}", twice.err);
}
