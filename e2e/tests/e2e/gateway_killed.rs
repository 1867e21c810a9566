//! A gateway that dies without a word leaves nothing in the target once it is back.

use e2e::{Raw, World};
use std::time::Duration;
use testkit::{Outcome, SAMPLE_DATABASE, until};

const SOON: Duration = Duration::from_secs(5);

#[test]
fn after_sigkill_the_next_start_ends_back_ends_drops_orphaned_roles_and_fails_open_transactions() {
    let world = World::start();
    let before = world.fingerprint();
    let lasting = world.belay.grant(&["public.*"], "30m");
    let short = world.belay.grant(&["public.*"], "8s");
    let mut transaction = Raw::log_in(&world.belay, &lasting, SAMPLE_DATABASE);
    transaction.query("BEGIN");
    let mut other = Raw::log_in(&world.belay, &short, SAMPLE_DATABASE);
    assert_eq!(other.tags("SELECT 1"), "TDCZ");
    let (lasting_role, short_role) = (world.role(&lasting), world.role(&short));
    assert!(!lasting_role.is_empty() && !short_role.is_empty());
    // As a client that holds on to the role directly would.
    world.direct(&format!("ALTER ROLE {short_role} PASSWORD 'known'"));
    let as_role = || {
        let mut psql = std::process::Command::new(world.postgres.bin().join("psql"));
        psql.args(["-X", "-At", "-h", "127.0.0.1", "-U", &short_role, "-d", SAMPLE_DATABASE, "-c", "SELECT 'in'"]);
        Outcome::of(psql.arg("-p").arg(world.postgres.port().to_string()).env("PGPASSWORD", "known"))
    };
    assert_eq!(as_role().ok().out, "in\n");

    // Something that works on without its gateway: PostgreSQL notices a lost client at its next word only.
    let mut sleeping = world.running(&lasting, "SELECT pg_sleep(280)");
    world.await_back_ends("query LIKE '%pg_sleep(280)%'", 1, Duration::from_secs(20));
    world.belay.kill();
    sleeping.wait().unwrap();

    // Nobody watches now; the role's own end holds.
    assert!(until(Duration::from_secs(15), || as_role().code != 0), "the role can still log in after its end");
    let refused = as_role();
    assert!(refused.err.contains("password authentication failed"), "{}", refused.err);

    world.belay.restart();
    world.await_back_ends("query LIKE '%pg_sleep(280)%'", 0, SOON);
    world.await_back_ends(&format!("usename IN ('{lasting_role}', '{short_role}')"), 0, SOON);
    assert!(until(SOON, || world.role(&short).is_empty()), "the orphaned role is dropped");
    assert_eq!(world.role(&lasting), lasting_role, "the grant that lives on keeps its role");

    let said = world.said(&lasting, &["SELECT 1", "ROLLBACK", "SELECT 2"]);
    assert!(said[0].contains("25P02"), "{said:?}");
    assert_eq!((said[1].as_str(), said[2].as_str()), ("", ""));
    let again = world.sql(&lasting, "SELECT count(*) FROM orders").ok();
    assert_eq!(again.out, "2000\n");
    assert!(world.sql(&short, "SELECT 1").err.contains("[BLY-1051]"));
    assert_eq!(world.fingerprint(), before);
    assert_eq!(world.belay.json("admin", &["audit", "verify"])["intact"], true);
    let ended = world.belay.json("admin", &["audit", "search", &format!("grant:{}", lasting.grant)]).to_string();
    assert!(ended.contains("crashed"), "{ended}");
}

#[test]
fn a_gateway_that_is_told_to_stop_tells_its_sessions_and_leaves_no_back_end() {
    let world = World::start();
    let ticket = world.belay.grant(&["public.*"], "30m");
    let mut idle = Raw::log_in(&world.belay, &ticket, SAMPLE_DATABASE);
    let sleeping = world.running(&ticket, "SELECT pg_sleep(270)");
    world.await_back_ends("query LIKE '%pg_sleep(270)%'", 1, Duration::from_secs(20));
    let role = world.role(&ticket);
    assert_eq!(world.belay.stop(), 0);
    assert_eq!(idle.read_to_end().last().unwrap().verdict(), "FATAL 57P03 BLY-1056");
    let said = Outcome::from(sleeping.wait_with_output().unwrap()).err;
    assert!(said.contains("FATAL:  57P03: ") && said.contains("[BLY-1056]"), "{said}");
    world.await_back_ends(&format!("usename = '{role}'"), 0, SOON);
    world.belay.restart();
    // The message that was cut may have held a transaction of its own.
    let said = world.said(&ticket, &["ROLLBACK", "SELECT 1"]);
    assert!(!said[1].contains("ERROR"), "{said:?}");
}
