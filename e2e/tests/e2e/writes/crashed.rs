//! Clients and gateways that die in the middle.

use super::{allow_direct, changes, granted, plans, shop, text};
use e2e::World;
use serde_json::Value;
use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};
use testkit::{Outcome, SAMPLE_DATABASE, Ticket};

const SOON: Duration = Duration::from_secs(10);
/// How long a gateway may take until it asks a target again that did not answer.
const ASKED_AGAIN: Duration = Duration::from_secs(90);
/// How often something is killed where `BELAY_KILLS` does not say.
const ROUNDS: u64 = 20;
const TOTAL: &str = "SELECT min(total)::int || CASE WHEN min(total) = max(total) THEN '' ELSE ' mixed' END FROM orders";

#[test]
fn a_client_that_dies_in_the_middle_of_a_transaction_leaves_no_row_no_lock_and_no_back_end() {
    for effect in ["write", "direct"] {
        let (world, ticket) = shop(effect, &["public.*"]);
        let before = world.fingerprint();
        let role = world.role(&ticket);
        let mut psql = world.psql(&ticket, SAMPLE_DATABASE);
        let mut child = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let script = b"BEGIN;\nUPDATE orders SET total = 0;\nDELETE FROM items;\nSELECT pg_sleep(240);\n";
        child.stdin.as_mut().unwrap().write_all(script).unwrap();
        world.await_back_ends("query LIKE '%pg_sleep(240)%' AND state = 'active'", 1, Duration::from_secs(30));
        child.kill().unwrap();
        child.wait().unwrap();
        world.await_back_ends(&format!("usename = '{role}'"), 0, SOON);
        world.direct("SET lock_timeout = '2s'; BEGIN; UPDATE orders SET total = 0; DELETE FROM items; ROLLBACK");
        assert_eq!(world.fingerprint(), before);
        assert_eq!((plans(&world).len(), changes(&world).len()), (0, 0));
    }
}

/// Two ways to write, and what the orders must be like.
struct Bed {
    world: World,
    direct: Ticket,
}

impl Bed {
    fn start() -> Bed {
        let world = World::start();
        // Without it, PostgreSQL itself forgets what it has said was committed.
        world.direct("ALTER SYSTEM SET synchronous_commit = 'on'");
        world.direct("SELECT pg_reload_conf()");
        world.direct("UPDATE orders SET total = 0 ");
        let ask = ["request", "orders", "public.*", "--effect", "write", "-m", "a test"];
        world.belay.run("admin", &["rule", "add", "--effect", "write", "--max", "2h", "--approvals", "1"]);
        let request = world.belay.json("alice", &ask);
        world.belay.run("bob", &["approve", text(&request, "id")]).ok();
        allow_direct(&world);
        let direct = granted(&world, "direct", &["public.*"]);
        Bed { world, direct }
    }

    fn total(&self) -> String {
        self.world.direct(TOTAL)
    }

    /// The newest change that took effect, and the total that it left.
    fn last_committed(&self) -> Option<(String, String)> {
        let all = changes(&self.world);
        let last = all.iter().find(|change| text(change, "state") == "committed")?;
        let id = text(last, "id");
        let rows = self.world.belay.json("bob", &["review", id]);
        Some((id.to_owned(), left(&rows)))
    }

    /// The gateway, or PostgreSQL in each third run of three rounds; both are there again afterwards.
    fn kill(&self, round: u64) -> &'static str {
        if !(round / 3).is_multiple_of(3) {
            self.world.belay.kill();
            return "gateway";
        }
        // PostgreSQL takes the end of any of its processes for a crash: it ends the others and recovers.
        let pid = self.world.direct("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'");
        let killed = std::process::Command::new("kill").args(["-9", pid.trim()]).status().unwrap();
        assert!(killed.success(), "{pid}");
        "PostgreSQL"
    }

    fn is_back(&self, killed: &str) {
        if killed == "gateway" {
            self.world.belay.restart();
        }
        let answers = || Outcome::of(self.world.postgres.psql(SAMPLE_DATABASE).args(["-c", "SELECT 1"])).code == 0;
        assert!(testkit::until(ASKED_AGAIN, answers), "PostgreSQL has not recovered");
    }

    /// Makes ready and starts something that sets the total of all orders; how it is called, and the process.
    fn begin(&self, round: u64) -> (&'static str, std::process::Child) {
        let sql = format!("UPDATE orders SET total = {}", round + 1);
        let quiet = |mut command: std::process::Command| {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        };
        let belay = |words: &[&str]| {
            let mut command = self.world.belay.command("alice");
            command.args(words);
            quiet(command)
        };
        match (round % 3, self.last_committed()) {
            (1, Some((change, _))) => ("revert", belay(&["revert", &change])),
            (2, _) => {
                let plan = self.world.belay.json("alice", &["plan", "orders", "-c", &sql]);
                self.world.belay.run("bob", &["approve", text(&plan, "id")]).ok();
                ("apply", belay(&["apply", text(&plan, "id")]))
            }
            _ => {
                let mut psql = self.world.psql(&self.direct, SAMPLE_DATABASE);
                // The transaction that the last crash cut is over first.
                psql.args(["-c", "ROLLBACK", "-c", &sql]);
                ("write", quiet(psql))
            }
        }
    }
}

/// The total after the change, of the first of its rows.
fn left(rows: &Value) -> String {
    let table = &rows["diff"]["tables"][0];
    let at = table["columns"].as_array().unwrap().iter().position(|column| column == "total").unwrap();
    table["first"][0]["after"][at].as_str().unwrap().trim_end_matches(".00").to_owned()
}

#[test]
fn a_gateway_or_a_target_that_dies_at_any_point_leaves_no_committed_change_without_its_rows() {
    let kills = std::env::var("BELAY_KILLS").map_or(ROUNDS, |kills| kills.parse().unwrap());
    let bed = Bed::start();
    // How long each takes when nobody interferes; and something to revert.
    let mut spans = [Duration::ZERO; 3];
    for round in 0..3 {
        let (_, mut child) = bed.begin(round);
        let start = Instant::now();
        assert!(child.wait().unwrap().success(), "{round}");
        spans[usize::try_from(round).unwrap()] = start.elapsed();
    }
    let mut seed = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
    let mut took_effect = 0;
    for round in 3..3 + kills {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let before = bed.total();
        let (what, mut child) = bed.begin(round);
        let span = spans[usize::try_from(round % 3).unwrap()];
        // A gateway that has just started is slower; its clients need the first part for themselves.
        let wait = span.mul_f64(0.3 + 1.7 * f64::from(seed >> 8) / f64::from(1_u32 << 24));
        std::thread::sleep(wait);
        let killed = bed.kill(round);
        let ended = child.wait().unwrap();
        bed.is_back(killed);
        let told = format!("round {round}, {what}, {killed} killed after {wait:?} of {span:?}");
        bed.world.await_back_ends("usename LIKE 'belay\\_%\\_g\\_%'", 0, SOON);
        let open = |change: &Value| ["kept", "unknown"].contains(&text(change, "state"));
        let settled = testkit::until(ASKED_AGAIN, || !changes(&bed.world).iter().any(open));
        assert!(settled, "{told}: {:?}", changes(&bed.world));
        let now = bed.total();
        took_effect += u32::from(now != before);
        let last = changes(&bed.world).swap_remove(0);
        println!("{told}: {ended}; {before} -> {now}; last {} {}", text(&last, "id"), text(&last, "state"));
        assert_eq!(bed.last_committed().unwrap().1, now, "{told}, was {before}: {:?}", changes(&bed.world).first());
    }
    assert_eq!(bed.world.belay.json("admin", &["audit", "verify"])["intact"], true);
    println!("{kills} kills: {kills} survived, {took_effect} of what was under way took effect");
}

#[test]
fn a_gateway_that_dies_while_the_target_commits_asks_it_afterwards_how_that_ended() {
    let (world, ticket) = shop("direct", &["public.*"]);
    let mut psql = world.psql(&ticket, SAMPLE_DATABASE);
    let mut child = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"SELECT pg_sleep(0.01);\n").unwrap();
    world.await_back_ends("query LIKE '%pg_sleep(0.01)%' AND state = 'idle'", 1, SOON);
    // A standby that never answers: the target has committed, and nobody is told.
    let wait_for = |standby: &str| {
        let mut psql = world.postgres.psql(SAMPLE_DATABASE);
        let set = format!("ALTER SYSTEM SET synchronous_standby_names = '{standby}'");
        psql.args(["-c", "ALTER SYSTEM SET synchronous_commit = 'on'", "-c", &set, "-c", "SELECT pg_reload_conf()"]);
        testkit::Outcome::of(&mut psql).ok();
    };
    wait_for("nobody");
    stdin.write_all(b"UPDATE orders SET total = 77 WHERE id = 41;\n").unwrap();
    world.await_back_ends("wait_event = 'SyncRep'", 1, SOON);
    let states = || changes(&world).iter().map(|change| text(change, "state").to_owned()).collect::<Vec<_>>();
    assert_eq!(states(), ["kept"], "the rows are kept before the target commits");
    world.belay.kill();
    child.wait().unwrap();
    wait_for("");
    world.belay.restart();
    assert!(testkit::until(SOON, || states() == ["committed"]), "{:?}", states());
    assert_eq!(world.direct("SELECT total FROM orders WHERE id = 41"), "77.00");
    world.belay.run("alice", &["revert", "c_1"]).ok();
    assert_eq!(world.direct("SELECT total FROM orders WHERE id = 41"), "182.97");
}
