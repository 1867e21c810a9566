//! The rules that measurements of real clients forced, one test each.

use e2e::{Raw, Terminal, World};
use std::process::Command;
use std::time::Duration;
use testkit::{Outcome, SAMPLE_DATABASE};
use tokio_postgres::error::SqlState;

const SOON: Duration = Duration::from_secs(3);

#[test]
fn a_refused_statement_fails_its_transaction_until_rollback_and_commit_answers_rollback() {
    let world = World::shared();
    let ticket = world.belay.grant(&["public.*"], "30m");
    let before = world.fingerprint();
    let outcome = world.script(
        &ticket,
        "BEGIN;\nSELECT 'begun';\nUPDATE orders SET total = 0;\nSELECT 'never';\nDELETE FROM items;\nCOMMIT;\nSELECT 'after';\n",
    );
    assert_eq!(outcome.out, "BEGIN\nbegun\nROLLBACK\nafter\n");
    let errors: Vec<&str> = outcome.err.lines().filter(|line| line.starts_with("ERROR:")).collect();
    assert_eq!(errors.len(), 3, "{errors:?}");
    assert!(errors[0].starts_with("ERROR:  25006: ") && errors[0].ends_with("[BLY-1001]"), "{errors:?}");
    assert!(errors[1..].iter().all(|error| error.starts_with("ERROR:  25P02: ")), "{errors:?}");
    assert_eq!(world.fingerprint(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_statement_fails_the_transaction_of_a_driver_too() {
    let world = World::shared();
    let ticket = world.belay.grant(&["public.*"], "30m");
    let before = world.fingerprint();
    let mut client = world.belay.connect(&ticket, SAMPLE_DATABASE).await.unwrap();
    let transaction = client.transaction().await.unwrap();
    let refused = transaction.execute("UPDATE orders SET total = $1::int", &[&0_i32]).await.unwrap_err();
    assert_eq!(refused.code(), Some(&SqlState::READ_ONLY_SQL_TRANSACTION));
    let after = transaction.query("SELECT 1", &[]).await.unwrap_err();
    assert_eq!(after.code(), Some(&SqlState::IN_FAILED_SQL_TRANSACTION));
    transaction.rollback().await.unwrap();
    assert_eq!(client.query_one("SELECT 1", &[]).await.unwrap().get::<_, i32>(0), 1);
    assert_eq!(world.fingerprint(), before);
}

#[test]
fn interactive_psql_that_reconnects_after_a_cut_inside_a_transaction_meets_a_failed_one() {
    let world = World::shared();
    let ticket = world.belay.grant(&["public.*"], "30m");
    let mut psql = Command::new(world.postgres.bin().join("psql"));
    psql.args(["-X", "-At", "-v", "VERBOSITY=verbose", "-v", "PROMPT1=%x> "]);
    world.belay.libpq(&mut psql, &ticket, SAMPLE_DATABASE);
    let mut terminal = Terminal::start(&psql);
    terminal.line("BEGIN;");
    terminal.line("SELECT 'in' || 'side';");
    terminal.expect("inside");
    world.belay.run("admin", &["sessions", "end", &session_of(world, &ticket.grant)]).ok();
    terminal.line("SELECT 'ha' || 'lf';");
    terminal.expect("FATAL:  57P01");
    terminal.expect("[BLY-1022]");
    terminal.expect("Succeeded.");
    terminal.line("SELECT 'pa' || 'ssed';");
    let shown = terminal.expect("ERROR:  25P02");
    assert!(!shown.contains("passed\r"), "{shown}");
    terminal.line("COMMIT;");
    terminal.expect("ROLLBACK");
    terminal.line("SELECT 'we' || 'll';");
    terminal.expect("well");
}

fn session_of(world: &World, grant: &str) -> String {
    let sessions = world.belay.json("admin", &["sessions"]);
    let mut items = sessions["items"].as_array().unwrap().iter();
    let session = items.find(|session| session["grant"] == grant).expect("a session of the grant");
    session["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_notice_comes_after_the_login_and_never_before_it() {
    let world = World::shared();
    let ticket = world.belay.grant(&["public.*"], "30m");
    let mut cut = Raw::log_in(&world.belay, &ticket, SAMPLE_DATABASE);
    assert_eq!(cut.tags("BEGIN"), "CZ");
    world.belay.run("admin", &["sessions", "end", &session_of(world, &ticket.grant)]).ok();
    assert_eq!(cut.read_to_end().last().unwrap().verdict(), "FATAL 57P01 BLY-1033");

    let mut raw = Raw::open(&world.belay);
    raw.start(0, &[("user", &ticket.user), ("database", SAMPLE_DATABASE)]);
    raw.authenticate(&ticket.secret);
    let greeting = raw.await_ready();
    let notice = greeting.iter().find(|message| message.tag == b'N').expect("a notice");
    assert_eq!(notice.verdict(), "WARNING 25P02 BLY-1022");
    assert_eq!(greeting.last().unwrap().body, b"E");
    assert_eq!(raw.tags("SELECT 1"), "EZ");
    assert_eq!(raw.tags("ROLLBACK"), "CZ");
    assert_eq!(raw.tags("SELECT 1"), "TDCZ");
    // It is said once: the next connection starts as always.
    assert_eq!(world.sql(&ticket, "SELECT 1").ok().err, "");
}

#[test]
fn belay_psql_shows_target_mode_and_time_left_in_its_prompt_and_passes_the_exit_code_on() {
    let world = World::shared();
    world.belay.grant(&["public.*"], "90m");
    let bin = world.postgres.bin().display().to_string();
    let path = format!("{bin}:{}", std::env::var("PATH").unwrap());
    let mut psql = world.belay.command("alice");
    psql.env("PATH", &path).args(["psql", "orders", "--", "-X"]);
    let mut terminal = Terminal::start(&psql);
    let shown = terminal.expect("=> ");
    assert!(shown.contains("orders RO ") && shown.contains("m=> "), "{shown}");
    terminal.line("\\q");
    let mut failing = world.belay.command("alice");
    failing.env("PATH", &path).args(["psql", "orders", "--", "-X", "-c", "DELETE FROM orders"]);
    let failed = Outcome::of(&mut failing);
    assert_eq!(failed.code, 1);
    assert!(failed.err.contains("[BLY-1001]"), "{}", failed.err);
}

#[test]
fn belay_psql_warns_in_the_terminal_before_the_end_though_psql_is_idle() {
    let world = World::shared();
    let path = format!("{}:{}", world.postgres.bin().display(), std::env::var("PATH").unwrap());
    // Nothing longer may be live for this table and person, or that is taken.
    world.belay.add_person("wendy", &["--role", "requester"]);
    let request = world.belay.json("wendy", &["request", "orders", "public.customers", "--for", "66s", "-m", "a test"]);
    world.belay.run("bob", &["approve", request["id"].as_str().unwrap()]).ok();
    let mut psql = world.belay.command("wendy");
    psql.env("PATH", &path).args(["psql", "orders", "--resource", "public.customers", "--", "-X"]);
    let mut terminal = Terminal::start(&psql);
    terminal.expect("=> ");
    terminal.expect("ends in 1m; running statements are cancelled then");
    terminal.line("\\q");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_carry_a_standard_sqlstate_and_the_code_at_the_end_of_one_short_line() {
    let world = World::shared();
    let ticket = world.belay.grant(&["public.orders"], "30m");
    let before = world.fingerprint();
    let client = world.belay.connect(&ticket, SAMPLE_DATABASE).await.unwrap();
    for (sql, sqlstate, code) in [
        ("DELETE FROM orders", "25006", "[BLY-1001]"),
        ("DROP TABLE orders", "25006", "[BLY-1002]"),
        ("SET ROLE postgres", "42501", "[BLY-100"),
        ("SELECT FROM WHERE", "42501", "[BLY-1004]"),
        ("SET log_statement = 'none'", "42501", "[BLY-1005]"),
        ("COPY orders TO PROGRAM 'true'", "42501", "[BLY-1009]"),
    ] {
        let error = client.simple_query(sql).await.unwrap_err();
        let error = error.as_db_error().unwrap();
        let line = error.message();
        assert_eq!(error.code().code(), sqlstate, "{sql}: {line}");
        let (_, end) = line.rsplit_once(' ').unwrap();
        assert!(end.starts_with(code.trim_end_matches(']')) && end.ends_with(']'), "{sql}: {line}");
        assert!(line.chars().count() <= 120 && !line.contains('\n'), "{sql}: {line}");
        assert!(error.detail().is_some() && error.hint().is_some(), "{sql}: {error:?}");
        // The wish in the statement may be long; the line is not.
        let long = format!("{sql} /* {} */", "x".repeat(5000));
        let error = client.simple_query(&long).await.unwrap_err();
        assert!(error.as_db_error().unwrap().message().chars().count() <= 120, "{sql}");
    }
    assert_eq!(world.fingerprint(), before);
}

#[test]
fn reset_all_does_not_lift_read_only() {
    let world = World::shared();
    let ticket = world.belay.grant(&["public.*"], "30m");
    let before = world.fingerprint();
    let outcome = world.script(
        &ticket,
        "SET work_mem = '2MB';\nRESET ALL;\nSHOW default_transaction_read_only;\nDISCARD ALL;\n\
         SHOW default_transaction_read_only;\nUPDATE orders SET total = 0;\nSHOW transaction_read_only;\n",
    );
    let shown: Vec<&str> = outcome.out.lines().filter(|line| matches!(*line, "on" | "off")).collect();
    assert_eq!(shown, ["on", "on", "on"], "{outcome:?}");
    assert!(outcome.err.contains("25006") && outcome.err.contains("[BLY-1001]"), "{outcome:?}");
    assert_eq!(world.fingerprint(), before);
}

#[test]
fn pg_dump_of_a_granted_table_is_complete_though_it_switches_the_time_outs_off() {
    dump(&["--no-subscriptions"]);
}

#[test]
fn pg_dump_needs_no_option_of_its_own() {
    dump(&[]);
}

fn dump(options: &[&str]) {
    let world = World::shared();
    let ticket = world.belay.grant(&["public.*"], "30m");
    let mut dump = Command::new(world.postgres.bin().join("pg_dump"));
    dump.args(["-t", "public.orders"]).args(options);
    let dumped = Outcome::of(world.belay.libpq(&mut dump, &ticket, SAMPLE_DATABASE)).ok();
    let rows = dumped.out.lines().filter(|line| line.split('\t').count() == 5).count();
    assert_eq!(rows, 2000);
    assert!(dumped.out.contains("CREATE TABLE public.orders"), "{}", dumped.out);
}

#[test]
fn a_killed_clients_statement_is_stopped_in_the_target() {
    let world = World::shared();
    for sql in ["SELECT pg_sleep(299)", "SELECT count(*) FROM items a, items b, items c"] {
        // A grant for each: the session after a cut one starts in a failed transaction.
        let ticket = world.belay.grant(&["public.*"], "30m");
        let mut client = world.running(&ticket, sql);
        let here = format!("query = '{sql}' AND state = 'active'");
        world.await_back_ends(&here, 1, Duration::from_secs(20));
        client.kill().unwrap();
        client.wait().unwrap();
        world.await_back_ends(&here, 0, SOON);
    }
}

#[test]
fn no_idle_transaction_stays_behind_a_lost_client() {
    let world = World::shared();
    let ticket = world.belay.grant(&["public.*"], "30m");
    let mut client = Raw::log_in(&world.belay, &ticket, SAMPLE_DATABASE);
    client.query("BEGIN");
    client.query("SELECT count(*) FROM orders AS lost_client");
    let here = "query LIKE '%lost_client%' AND state = 'idle in transaction'";
    world.await_back_ends(here, 1, SOON);
    drop(client);
    world.await_back_ends(here, 0, SOON);
    world.await_back_ends(&format!("usename = '{}'", world.role(&ticket)), 0, SOON);
}
