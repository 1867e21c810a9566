//! Budgets while statements run: whatever the client does to the server's settings, the gateway holds them.

use e2e::{Raw, World, message};
use std::time::{Duration, Instant};
use testkit::{SAMPLE_DATABASE, Ticket};

const SOON: Duration = Duration::from_secs(3);
/// How much later than its budget a statement may be cancelled.
const LATE: Duration = Duration::from_secs(3);

fn grant(world: &World, budgets: &[&str]) -> Ticket {
    world.belay.grant(&[&["public.*"], budgets].concat(), "30m")
}

/// The connection goes on, and the target works on nothing of it.
fn assert_usable(world: &World, raw: &mut Raw, ticket: &Ticket) {
    assert_eq!(raw.tags("SELECT 1"), "TDCZ");
    assert_nothing_runs(world, ticket);
}

fn assert_nothing_runs(world: &World, ticket: &Ticket) {
    world.await_back_ends(&format!("usename = '{}' AND state = 'active'", world.role(ticket)), 0, SOON);
}

/// The types of messages as one text, an error as its verdict.
fn told(messages: &[e2e::Message]) -> String {
    let told = messages.iter().map(|message| match message.tag {
        b'E' => format!(" {} ", message.verdict()),
        tag => char::from(tag).to_string(),
    });
    told.collect()
}

#[test]
fn a_statement_that_returns_too_many_rows_is_cancelled_and_its_session_goes_on() {
    let world = World::shared();
    let ticket = grant(world, &["--max-rows", "3"]);
    let mut raw = Raw::log_in(&world.belay, &ticket, SAMPLE_DATABASE);
    assert_eq!(raw.tags("SELECT id FROM orders LIMIT 3"), "TDDDCZ");
    // In the target list the function returns row by row; in FROM its rows would be kept in temporary files first.
    for endless in ["SELECT generate_series(1, 1000000000)", "SELECT id FROM orders LIMIT 4"] {
        let said = raw.query(endless);
        assert_eq!(told(&said), "TDDD ERROR 54000 BLY-1013 Z", "{endless}");
        assert_usable(world, &mut raw, &ticket);
    }
    let copied = raw.query("COPY (SELECT generate_series(1, 1000000000)) TO STDOUT");
    assert_eq!(told(&copied), "Hddd ERROR 54000 BLY-1013 Z");
    assert_usable(world, &mut raw, &ticket);
    let psql = world.script(&ticket, "SELECT generate_series(1, 1000000000);\nSELECT 'after';\n");
    assert!(psql.err.contains("ERROR:  54000: stopped: more than the 3 rows"), "{}", psql.err);
    assert_eq!(psql.out, "after\n");
    assert_nothing_runs(world, &ticket);
}

#[test]
fn bytes_are_bounded_too() {
    let world = World::shared();
    let ticket = grant(world, &["--max-bytes", "100KB"]);
    let mut raw = Raw::log_in(&world.belay, &ticket, SAMPLE_DATABASE);
    let said = raw.query("SELECT repeat('x', 30000), generate_series(1, 1000000000)");
    assert_eq!(told(&said), "TDDD ERROR 54000 BLY-1014 Z");
    assert_usable(world, &mut raw, &ticket);
}

#[test]
fn a_cursor_returns_no_more_than_a_statement_and_the_transaction_has_failed() {
    let world = World::shared();
    let ticket = grant(world, &["--max-rows", "3"]);
    let mut raw = Raw::log_in(&world.belay, &ticket, SAMPLE_DATABASE);
    for fetch in ["FETCH ALL FROM c", "FETCH 4 FROM c"] {
        assert_eq!(raw.tags("BEGIN"), "CZ");
        // PostgreSQL sends nothing of a FETCH before it has all its rows.
        assert_eq!(raw.tags("DECLARE c CURSOR FOR SELECT generate_series(1, 100000)"), "CZ");
        let said = raw.query(fetch);
        assert_eq!(told(&said), "TDDD ERROR 54000 BLY-1013 Z", "{fetch}");
        assert_eq!(said.last().unwrap().body, b"E", "{fetch}: the transaction has failed");
        assert_eq!(told(&raw.query("SELECT 1")), " ERROR 25P02 Z");
        assert_eq!(raw.tags("ROLLBACK"), "CZ");
        assert_usable(world, &mut raw, &ticket);
    }
}

#[test]
fn a_portal_returns_no_more_in_many_pieces_than_in_one() {
    let world = World::shared();
    let ticket = grant(world, &["--max-rows", "5"]);
    let mut raw = Raw::log_in(&world.belay, &ticket, SAMPLE_DATABASE);
    assert_eq!(raw.tags("BEGIN"), "CZ");
    let execute = message(b'E', b"p\0\0\0\0\x02");
    let batch = [
        message(b'P', b"\0SELECT n FROM generate_series(1, 100) n\0\0\0"),
        message(b'B', b"p\0\0\0\0\0\0\0\0"),
        execute.clone(),
        execute.clone(),
        execute,
        message(b'S', b""),
    ];
    raw.send(&batch.concat());
    assert_eq!(told(&raw.await_ready()), "12DDsDDsD ERROR 54000 BLY-1013 Z");
    assert_eq!(told(&raw.query("SELECT 1")), " ERROR 25P02 Z");
}

#[test]
fn a_statement_is_cancelled_at_the_end_of_its_time_whatever_the_client_sets() {
    let world = World::shared();
    let ticket = grant(world, &["--statement-time", "2s"]);
    let mut raw = Raw::log_in(&world.belay, &ticket, SAMPLE_DATABASE);
    assert_eq!(raw.tags("SET statement_timeout = 0"), "CZ");
    let start = Instant::now();
    let said = raw.query("SELECT pg_sleep(60)");
    let taken = start.elapsed();
    assert_eq!(told(&said), "T ERROR 57014 BLY-1015 Z");
    assert!((Duration::from_secs(2)..Duration::from_secs(2) + LATE).contains(&taken), "{taken:?}");
    assert_usable(world, &mut raw, &ticket);
    // Those of one message share its time, because the target holds their answers back; others do not, nor does the
    // time between them count.
    assert_eq!(told(&raw.query("SELECT pg_sleep(1.5); SELECT pg_sleep(1.5)")), "TDCT ERROR 57014 BLY-1015 Z");
    assert_eq!(raw.tags("SELECT pg_sleep(1.5)"), "TDCZ");
    assert_eq!(raw.tags("SELECT pg_sleep(1.5)"), "TDCZ");
    std::thread::sleep(Duration::from_millis(2500));
    assert_usable(world, &mut raw, &ticket);
    let script = "SET statement_timeout = 0;\nSELECT pg_sleep(60);\nSELECT 'after';\n";
    let psql = world.script(&ticket, script);
    assert!(psql.err.contains("ERROR:  57014: stopped: longer than the 2s"), "{}", psql.err);
    assert!(psql.out.ends_with("after\n"), "{}", psql.out);
    assert_nothing_runs(world, &ticket);
}

#[test]
fn a_statement_that_waits_for_a_lock_too_long_is_cancelled() {
    let world = World::start();
    let ticket = grant(&world, &["--lock-wait", "1s"]);
    let mut raw = Raw::log_in(&world.belay, &ticket, SAMPLE_DATABASE);
    let _ = raw.query("SET lock_timeout = 0");
    let hold = "BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(30)";
    let mut holder = world.postgres.psql(SAMPLE_DATABASE).args(["-c", hold]).spawn().unwrap();
    world.await_back_ends("query LIKE 'BEGIN; LOCK TABLE%' AND wait_event = 'PgSleep'", 1, Duration::from_secs(10));
    // What runs for long without waiting for a lock is left alone.
    assert_eq!(raw.tags("SELECT pg_sleep(3)"), "TDCZ");
    let said = raw.query("SELECT count(*) FROM orders");
    assert_eq!(told(&said), " ERROR 57014 BLY-1015 Z");
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_usable(&world, &mut raw, &ticket);
}

#[test]
fn connections_and_statements_per_minute_are_bounded_over_the_whole_grant() {
    let world = World::shared();
    let ticket = grant(world, &["--max-connections", "2", "--statements-per-minute", "6"]);
    let mut first = Raw::log_in(&world.belay, &ticket, SAMPLE_DATABASE);
    let mut second = Raw::log_in(&world.belay, &ticket, SAMPLE_DATABASE);
    let third = world.sql(&ticket, "SELECT 1");
    assert!(third.err.contains("[BLY-1054]"), "{}", third.err);
    assert_eq!(first.tags("BEGIN"), "CZ");
    assert_eq!(first.tags("SELECT 1; SELECT 2"), "TDCTDCZ");
    assert_eq!(second.tags("SELECT 1"), "TDCZ");
    assert_eq!(second.tags("SELECT 1"), "TDCZ");
    assert_eq!(second.tags("SELECT 1"), "TDCZ");
    assert_eq!(told(&second.query("SELECT 1")), " ERROR 54000 BLY-1016 Z");
    let said = first.query("SELECT 3");
    assert_eq!(told(&said), " ERROR 54000 BLY-1016 Z");
    assert_eq!(said.last().unwrap().body, b"E", "as other refusals do, it fails the transaction");
    assert_eq!(first.tags("ROLLBACK"), "CZ", "nobody is kept in a transaction");
}
