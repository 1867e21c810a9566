//! The end of a grant: whatever runs under it is stopped, in the client and in the database.

use e2e::{Raw, World};
use std::time::Duration;
use testkit::{SAMPLE_DATABASE, Ticket, until};

const SOON: Duration = Duration::from_secs(3);

/// Every kind of session that an end can meet, and what it must hear.
struct Sessions {
    idle: Raw,
    transaction: Raw,
    sleeping: std::process::Child,
    /// What tells this one's statement from those of other tests.
    sleep: String,
}

impl Sessions {
    fn open(world: &World, ticket: &Ticket, seconds: u32) -> Sessions {
        let idle = Raw::log_in(&world.belay, ticket, SAMPLE_DATABASE);
        let mut transaction = Raw::log_in(&world.belay, ticket, SAMPLE_DATABASE);
        assert_eq!(transaction.tags("BEGIN"), "CZ");
        assert_eq!(transaction.tags("LOCK TABLE orders IN ACCESS SHARE MODE"), "CZ");
        let sleep = format!("SELECT pg_sleep({seconds})");
        let sleeping = world.running(ticket, &sleep);
        world.await_back_ends(&format!("query = '{sleep}'"), 1, Duration::from_secs(20));
        Sessions { idle, transaction, sleeping, sleep }
    }

    /// All three hear this, and nothing of them is left.
    fn assert_ended(mut self, world: &World, role: &str, verdict: &str) {
        for raw in [&mut self.idle, &mut self.transaction] {
            let said = raw.read_to_end();
            assert_eq!(said.last().expect("a last word").verdict(), verdict);
        }
        let output = self.sleeping.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let [severity, sqlstate, code] = verdict.split(' ').collect::<Vec<_>>().try_into().unwrap();
        assert!(said.contains(&format!("{severity}:  {sqlstate}: ")) && said.contains(&format!("[{code}]")), "{said}");
        world.await_back_ends(&format!("usename = '{role}'"), 0, SOON);
        world.await_back_ends(&format!("query = '{}'", self.sleep), 0, SOON);
        assert_eq!(
            world.direct(&format!(
                "SELECT count(*) FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
            WHERE l.relation = 'orders'::regclass AND (a.usename = '{role}' OR a.pid IS NULL)"
            )),
            "0"
        );
        assert!(until(SOON, || world.direct(&format!("SELECT count(*) FROM pg_roles WHERE rolname = '{role}'")) == "0"));
    }
}

/// With the right token the person is told that the grant has ended; with a wrong one nothing is told.
fn assert_shut(world: &World, ticket: &Ticket) {
    let mut right = Raw::open(&world.belay);
    right.start(0, &[("user", &ticket.user), ("database", SAMPLE_DATABASE)]);
    let told = match right.try_authenticate(&ticket.secret) {
        Err(told) => told,
        Ok(()) => right.read().unwrap().unwrap(),
    };
    assert_eq!(told.verdict(), "FATAL 28000 BLY-1051");
    let mut wrong = Raw::open(&world.belay);
    wrong.start(0, &[("user", &ticket.user), ("database", SAMPLE_DATABASE)]);
    assert_eq!(wrong.try_authenticate("bly_wrong").unwrap_err().verdict(), "FATAL 28P01 BLY-1050");
}

#[test]
fn revocation_ends_every_session_cancels_what_runs_and_drops_the_role() {
    let world = World::shared();
    let before = world.fingerprint();
    let ticket = world.belay.grant(&["public.*"], "30m");
    let sessions = Sessions::open(world, &ticket, 301);
    let role = world.role(&ticket);
    world.belay.run("bob", &["revoke", &ticket.grant]).ok();
    sessions.assert_ended(world, &role, "FATAL 57P01 BLY-1031");
    assert_shut(world, &ticket);
    assert_eq!(world.fingerprint(), before);
}

#[test]
fn expiry_ends_every_session_cancels_what_runs_and_drops_the_role() {
    let world = World::shared();
    let before = world.fingerprint();
    let ticket = world.belay.grant(&["public.*"], "12s");
    let sessions = Sessions::open(world, &ticket, 302);
    let role = world.role(&ticket);
    sessions.assert_ended(world, &role, "FATAL 57P01 BLY-1030");
    assert_shut(world, &ticket);
    assert_eq!(world.fingerprint(), before);
}

#[test]
fn an_extension_carries_a_running_statement_over_the_former_end() {
    let world = World::shared();
    let ticket = world.belay.grant(&["public.*"], "12s");
    let sleeping = world.running(&ticket, "SELECT pg_sleep(14)");
    world.await_back_ends("query = 'SELECT pg_sleep(14)' AND state = 'active'", 1, Duration::from_secs(10));
    world.belay.run("alice", &["grants", "extend", &ticket.grant, "--by", "12s"]).ok();
    let output = sleeping.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn an_unknown_user_a_wrong_token_and_another_target_all_look_the_same() {
    let world = World::shared();
    let ticket = world.belay.grant(&["public.*"], "30m");
    let said = |user: &str, database: &str, secret: &str| {
        let mut raw = Raw::open(&world.belay);
        raw.start(0, &[("user", user), ("database", database)]);
        raw.try_authenticate(secret).unwrap_err()
    };
    let wrong = said(&ticket.user, SAMPLE_DATABASE, "bly_wrong");
    assert_eq!(wrong.verdict(), "FATAL 28P01 BLY-1050");
    for (user, database) in
        [("nobody", "orders"), ("alice+g_99999", "orders"), ("bob", "orders"), (&ticket.user, "nothing")]
    {
        let other = said(user, database, &ticket.secret);
        assert_eq!(other.verdict(), wrong.verdict(), "{user} {database}");
        let text = wrong.fields()[&'M'].replace(&ticket.user, "USER");
        assert_eq!(other.fields()[&'M'].replace(user, "USER"), text);
    }
    // A token made anew shuts the former one out.
    let anew = world.belay.claim("alice", &ticket.grant);
    assert_eq!(said(&ticket.user, SAMPLE_DATABASE, &ticket.secret).verdict(), "FATAL 28P01 BLY-1050");
    assert_eq!(world.sql(&anew, "SELECT 1").ok().out, "1\n");
}
