//! The main job: ask, approve, read, be refused, and be ended when the time is up.

use e2e::{Raw, World, message};
use serde_json::Value;
use std::time::Duration;
use testkit::{Outcome, SAMPLE_DATABASE};

#[test]
fn a_person_asks_another_approves_and_psql_reads_until_the_grant_ends() {
    let world = World::shared();
    let before = world.fingerprint();

    let request = world.belay.json("alice", &["request", "orders", "public.orders", "--for", "12s", "-m", "INC-4881"]);
    assert_eq!(request["state"], "pending");
    let id = request["id"].as_str().unwrap();
    let own = world.belay.run("alice", &["approve", id]);
    assert_eq!(own.code, 3, "nobody approves for themselves: {}", own.err);
    let approved = world.belay.json("bob", &["approve", id]);
    assert_eq!(approved["state"], "approved");
    let ticket = world.belay.claim("alice", approved["grant"]["id"].as_str().unwrap());

    let read = world.sql(&ticket, "SELECT count(*), current_user = session_user FROM orders").ok();
    assert_eq!(read.out, "2000|t\n");

    let write = world.sql(&ticket, "UPDATE orders SET total = 0");
    assert_eq!(write.code, 1);
    assert!(write.err.starts_with("ERROR:  25006: ") && write.err.contains(" [BLY-1001]\n"), "{}", write.err);
    assert!(write.err.contains("DETAIL:") && write.err.contains("HINT:"), "{}", write.err);

    let other = world.sql(&ticket, "SELECT * FROM hr.salaries");
    assert!(other.err.starts_with("ERROR:  42501: "), "{}", other.err);
    assert_eq!(other.out, "");

    // The running statement is stopped by the end of the grant, in the database and not only in the client.
    let role = world.role(&ticket);
    let sleeping = world.running(&ticket, "SELECT pg_sleep(120)");
    world.await_back_ends(&format!("usename = '{role}' AND query LIKE '%pg_sleep(120)%'"), 1, Duration::from_secs(8));
    let ended: Outcome = sleeping.wait_with_output().unwrap().into();
    assert_eq!(ended.code, 2, "psql says that the connection was lost");
    assert!(ended.err.contains("FATAL:  57P01: ") && ended.err.contains("[BLY-1030]"), "{}", ended.err);
    world.await_back_ends("query LIKE '%pg_sleep(120)%'", 0, Duration::from_secs(2));
    assert!(testkit::until(Duration::from_secs(5), || world.role(&ticket).is_empty()), "the role is dropped");
    let late = world.sql(&ticket, "SELECT 1");
    assert!(late.err.contains("[BLY-1051]"), "{}", late.err);

    assert_eq!(world.fingerprint(), before);
    let verified = world.belay.json("admin", &["audit", "verify"]);
    assert_eq!(verified["intact"], true, "{verified}");
    let found = world.belay.json("admin", &["audit", "search", &format!("grant:{}", ticket.grant)]);
    let kinds: Vec<&str> = found["items"].as_array().unwrap().iter().filter_map(kind_of).collect();
    for kind in [
        "grant_made",
        "token_claimed",
        "login",
        "statement",
        "outcome",
        "connection_ended",
        "grant_ended",
        "role_dropped",
    ] {
        assert!(kinds.contains(&kind), "{kind} is not in {kinds:?}");
    }
    let text = found.to_string();
    assert!(text.contains("UPDATE orders SET total = 0") && text.contains("BLY-1001"), "{text}");
}

fn kind_of(item: &Value) -> Option<&str> {
    item["event"].as_str()
}

/// What people try who want out of a read-only session; none of it may reach the data.
const ATTEMPTS: &[&str] = &[
    "SET ROLE postgres",
    "SET SESSION AUTHORIZATION postgres",
    "RESET SESSION AUTHORIZATION",
    "SELECT set_config('default_transaction_read_only', 'off', false)",
    "SELECT set_config('transaction_read_only', 'off', true)",
    "SELECT set_config('ro' || 'le', 'postgres', false)",
    "SET default_transaction_read_only = off",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    "BEGIN READ WRITE",
    "START TRANSACTION READ WRITE",
    "BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE",
    "SET TRANSACTION READ WRITE",
    "ALTER ROLE CURRENT_USER SET default_transaction_read_only = off",
    "ALTER ROLE CURRENT_USER VALID UNTIL 'infinity'",
    "ALTER SYSTEM SET default_transaction_read_only = off",
    "GRANT ALL ON orders TO PUBLIC",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "COPY orders FROM PROGRAM 'echo 1'",
    "COPY orders TO '/tmp/belay-e2e-copy'",
    "COPY orders FROM STDIN",
    "DO $$ BEGIN DELETE FROM orders; END $$",
    "DO LANGUAGE plpgsql 'BEGIN EXECUTE ''TRUNCATE orders''; END'",
    "CREATE FUNCTION public.f() RETURNS void LANGUAGE sql AS 'DELETE FROM orders'",
    "CREATE TEMP TABLE t (n int)",
    "SELECT 1 INTO public.copied",
    "TRUNCATE orders",
    "DROP TABLE items",
    "WITH gone AS (DELETE FROM orders RETURNING id) SELECT count(*) FROM gone",
    "EXPLAIN ANALYZE DELETE FROM orders",
    "SELECT * FROM orders FOR UPDATE",
    "LOCK TABLE orders IN ACCESS EXCLUSIVE MODE",
    "PREPARE gone AS DELETE FROM orders",
    "EXECUTE gone",
    "MERGE INTO orders o USING items i ON o.id = i.order_id WHEN MATCHED THEN DELETE",
    "SELECT nextval('orders_id_seq')",
    "SELECT setval('orders_id_seq', 1)",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity",
    "SELECT pg_advisory_lock(422424500)",
    "SELECT pg_reload_conf()",
    "SELECT query_to_xml('DELETE FROM orders', true, true, '')",
    "SELECT 1 \\; DELETE FROM orders",
    "BEGIN \\; DELETE FROM orders \\; COMMIT",
    "/*/* nested */*/ DELETE FROM orders -- SELECT 1\n",
    "NOTIFY somebody",
    "VACUUM orders",
    "CALL public.f()",
    "DECLARE c CURSOR WITH HOLD FOR DELETE FROM orders RETURNING 1",
];

#[test]
fn no_attempt_to_escape_from_a_read_grant_reaches_the_data() {
    let world = World::shared();
    let ticket = world.belay.grant(&["public.orders", "public.items"], "30m");
    let before = world.fingerprint();
    for (attempt, said) in ATTEMPTS.iter().zip(world.said(&ticket, ATTEMPTS)) {
        let refused =
            said.contains("ERROR:  25006: ") || said.contains("ERROR:  42501: ") || said.contains("ERROR:  26000: ");
        assert!(refused, "{attempt}: {said}");
    }
    // One a session, because what one leaves behind could hide the next.
    for attempt in ["SET ROLE postgres", "BEGIN READ WRITE", "SELECT set_config('transaction_read_only', 'off', false)"]
    {
        let said = world.script(&ticket, &format!("{attempt};\nDELETE FROM orders;\nCOMMIT;\n"));
        assert_eq!(said.err.matches("[BLY-").count(), 2, "{attempt}: {}", said.err);
    }
    let left = world.sql(&ticket, "SELECT current_user = session_user, current_setting('transaction_read_only')").ok();
    assert_eq!(left.out, "t|on\n");
    assert!(!std::path::Path::new("/tmp/belay-e2e-copy").exists());
    assert_eq!(world.fingerprint(), before);
}

#[test]
fn a_function_call_that_carries_no_statement_is_refused_and_the_session_goes_on() {
    let world = World::shared();
    let ticket = world.belay.grant(&["public.orders"], "30m");
    let oid: u32 = world.direct("SELECT 'pg_catalog.lo_creat(int4)'::regprocedure::oid").parse().unwrap();
    let objects = world.direct("SELECT count(*) FROM pg_largeobject_metadata");
    let mut raw = Raw::log_in(&world.belay, &ticket, SAMPLE_DATABASE);
    let mut call = oid.to_be_bytes().to_vec();
    // One argument in text, its value, and a result in text.
    call.extend_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0, 0, 2, b'-', b'1', 0, 0]);
    raw.send(&message(b'F', &call));
    let answer = raw.await_ready();
    assert_eq!(answer[0].verdict(), "ERROR 08P01 BLY-1020");
    assert_eq!(raw.tags("SELECT 1"), "TDCZ");
    assert_eq!(world.direct("SELECT count(*) FROM pg_largeobject_metadata"), objects);
}

#[test]
fn replication_and_guarded_settings_are_refused_at_the_start_up() {
    let world = World::shared();
    let ticket = world.belay.grant(&["public.orders"], "30m");
    let user = ("user", ticket.user.as_str());
    let database = ("database", SAMPLE_DATABASE);
    for (parameter, verdict) in [
        (("replication", "database"), "FATAL 08P01 BLY-1020"),
        (("replication", "true"), "FATAL 08P01 BLY-1020"),
        (("options", "-c default_transaction_read_only=off"), "FATAL 42501 BLY-1005"),
        (("options", "-c role=postgres"), "FATAL 42501 BLY-1005"),
        (("options", "-csession_preload_libraries=x"), "FATAL 42501 BLY-1005"),
        (("role", "postgres"), "FATAL 42501 BLY-1005"),
        (("default_transaction_read_only", "off"), "FATAL 42501 BLY-1005"),
        (("client_encoding", "SJIS"), "FATAL 42501 BLY-1005"),
        (("search_path_of_mine.x", "y"), "FATAL 42501 BLY-1005"),
    ] {
        let mut raw = Raw::open(&world.belay);
        raw.start(0, &[user, database, parameter]);
        let refused = match raw.try_authenticate(&ticket.secret) {
            Err(refused) => refused,
            Ok(()) => raw.read().unwrap().unwrap(),
        };
        assert_eq!(refused.verdict(), verdict, "{parameter:?}");
        assert_eq!(raw.read().unwrap(), None, "the connection is closed");
    }
    let asked = Outcome::of(
        world.psql(&ticket, SAMPLE_DATABASE).env("PGOPTIONS", "-c work_mem=1MB").args(["-c", "SHOW work_mem"]),
    );
    assert_eq!(asked.ok().out, "1MB\n");
}
