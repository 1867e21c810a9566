//! The same writes in five clients: an UPDATE alone, and a transaction with parameters and a savepoint.

use super::{approve_and_apply, shop};
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::{Outcome, SAMPLE_DATABASE};

/// How long a client may take, in seconds.
const PATIENCE: &str = "60";

/// Where `e2e/drivers/install` puts them.
fn installed(name: &str) -> PathBuf {
    let cache = std::env::var_os("BELAY_E2E_CACHE").map(PathBuf::from);
    cache.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/e2e-cache")).join(name)
}

fn python(script: &str) -> Command {
    let mut command = Command::new("timeout");
    command.arg(PATIENCE).arg(installed("python/bin/python3")).arg(script);
    command
}

fn node(script: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args([PATIENCE, "node", script]).env("NODE_PATH", installed("node/node_modules"));
    command
}

fn java(script: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args([PATIENCE, "java", "-cp", "/usr/share/java/postgresql.jar", script]);
    command
}

/// What the client prints, under a grant of this effect, and the table as it is then.
fn writes(script: &str, needed: &Path, command: fn(&str) -> Command) {
    if !needed.exists() {
        eprintln!("not tried, because e2e/drivers/install was not run: {script}");
        return;
    }
    let path = format!("{}/tests/e2e/writes/{script}", env!("CARGO_MANIFEST_DIR"));
    let content = "SELECT (SELECT string_agg(status || total, ' ' ORDER BY id) FROM orders WHERE id IN (41, 57)) || ' '
        || (SELECT string_agg(quantity::text, ' ' ORDER BY id) FROM items WHERE order_id = 41)";
    let said = |effect| {
        let (world, ticket) = shop(effect, &["public.*"]);
        let mut client = command(&path);
        let out = Outcome::of(world.belay.libpq(&mut client, &ticket, SAMPLE_DATABASE)).ok().out;
        (world, out)
    };
    let (world, planned) = said("write");
    let expected = "alone 42501 planned, not applied: 1 row of public.orders would change; plan p_1 [BLY-1040]\n\
        sees it's mine\n\
        commit 42501 planned, not applied: 4 rows of 2 tables would change; plan p_2 [BLY-1040]\n\
        then 2000\n";
    assert_eq!(planned, expected);
    assert_eq!(world.direct(content), "shipped182.97 open281.94 1 1 1");
    approve_and_apply(&world, "p_2");
    assert_eq!(world.direct(content), "it's mine182.97 open281.94 3 3 3");

    let (world, direct) = said("direct");
    let expected = "alone 1 row changed in public.orders; undo: belay revert c_1 [BLY-1046]\n\
        sees it's mine\n\
        commit 4 rows changed in 2 tables; undo: belay revert c_2 [BLY-1046]\n\
        then 2000\n";
    assert_eq!(direct, expected);
    assert_eq!(world.direct(content), "it's mine182.97 open282.94 3 3 3");
    world.belay.run("alice", &["revert", "c_2"]).ok();
    world.belay.run("alice", &["revert", "c_1"]).ok();
    assert_eq!(world.direct(content), "shipped182.97 open281.94 1 1 1");
}

#[test]
fn psycopg2_hears_of_plans_and_changes() {
    writes("psycopg2_writes.py", &installed("python/bin/python3"), python);
}

#[test]
fn psycopg_hears_of_plans_and_changes() {
    writes("psycopg_writes.py", &installed("python/bin/python3"), python);
}

#[test]
fn sqlalchemy_hears_of_plans_and_changes() {
    writes("sqlalchemy_writes.py", &installed("python/bin/python3"), python);
}

#[test]
fn node_pg_hears_of_plans_and_changes() {
    writes("node_pg_writes.cjs", &installed("node/node_modules/pg"), node);
}

#[test]
fn pgjdbc_hears_of_plans_and_changes() {
    writes("PgjdbcWrites.java", Path::new("/usr/share/java/postgresql.jar"), java);
}
