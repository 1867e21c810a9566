//! Deadlocks and serialization failures: sessions get them as from the database itself, what Belay does by itself is tried
//! again, and nothing is ever half done.

use super::{changes, plans, shop, text, typed};
use e2e::World;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use testkit::{Outcome, SAMPLE_DATABASE};

const PATIENCE: Duration = Duration::from_secs(20);
const BOTH: &str = "UPDATE orders SET status = 'x' WHERE id = 41; UPDATE items SET price = 1 WHERE order_id = 41";

/// A `psql` that is told line by line what to do.
struct Typing(Child);

impl Typing {
    fn start(mut psql: Command, name: &str) -> Typing {
        psql.env("PGAPPNAME", name).args(["-X", "-At", "-v", "ON_ERROR_STOP=0", "-v", "VERBOSITY=verbose"]);
        Typing(psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn line(&mut self, sql: &str) {
        let input = self.0.stdin.as_mut().unwrap();
        input.write_all(sql.as_bytes()).and_then(|()| input.write_all(b"\n")).unwrap();
    }

    fn end(mut self) -> Outcome {
        drop(self.0.stdin.take());
        self.0.wait_with_output().unwrap().into()
    }
}

/// Somebody who holds rows of `items` until Belay waits for them, and then wants a row of `orders` that Belay holds.
/// Never the one whom the database lets go first.
fn crosses(world: &World, meanwhile: impl FnOnce() + Send) -> Outcome {
    let mut other = Typing::start(world.postgres.psql(SAMPLE_DATABASE), "other");
    other.line("SET deadlock_timeout = '1min';\nBEGIN;\nSELECT count(*) FROM (SELECT FROM items FOR UPDATE) i;");
    world.await_back_ends("application_name = 'other' AND state = 'idle in transaction'", 1, PATIENCE);
    std::thread::scope(|scope| {
        let done = scope.spawn(meanwhile);
        world.await_back_ends("wait_event_type = 'Lock'", 1, PATIENCE);
        other.line("SELECT status FROM orders WHERE id = 41 FOR UPDATE;\nCOMMIT;");
        let outcome = other.end();
        done.join().unwrap();
        outcome
    })
}

#[test]
fn a_plan_that_is_applied_gives_way_in_a_deadlock_and_is_tried_again() {
    let (world, ticket) = shop("write", &["public.*"]);
    typed(&world, &ticket, BOTH);
    world.belay.run("bob", &["approve", "p_1"]).ok();
    let other = crosses(&world, || {
        world.belay.run("alice", &["apply", "p_1"]).ok();
    });
    assert!(other.err.is_empty(), "{}", other.err);
    let all = changes(&world);
    assert_eq!((all.len(), text(&all[0], "state")), (1, "committed"));
    assert_eq!(world.direct("SELECT status FROM orders WHERE id = 41"), "x");
}

#[test]
fn a_revert_gives_way_in_a_deadlock_and_is_tried_again() {
    let (world, ticket) = shop("direct", &["public.*"]);
    let before = world.fingerprint();
    typed(&world, &ticket, BOTH).ok();
    let other = crosses(&world, || {
        world.belay.run("alice", &["revert", "c_1"]).ok();
    });
    assert!(other.err.is_empty() && other.out.ends_with("\nx\nCOMMIT\n"), "{}{}", other.out, other.err);
    assert_eq!(world.fingerprint(), before);
    assert_eq!(changes(&world).len(), 2);
}

#[test]
fn a_transaction_that_cannot_be_serialized_fails_as_without_belay() {
    for effect in ["write", "direct"] {
        let (world, ticket) = shop(effect, &["public.*"]);
        let mut session = Typing::start(world.psql(&ticket, SAMPLE_DATABASE), "session");
        session.line("BEGIN ISOLATION LEVEL SERIALIZABLE;\nSELECT sum(total) FROM orders;");
        session.line("UPDATE orders SET total = 0 WHERE id = 1;");
        world.await_back_ends("query LIKE 'UPDATE orders%' AND state = 'idle in transaction'", 1, PATIENCE);
        world.direct(
            "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT sum(total) FROM orders; UPDATE orders SET total = 0 WHERE id = 2; COMMIT",
        );
        let now = world.fingerprint();
        session.line("COMMIT;\nSELECT 'goes on';");
        let outcome = session.end();
        let said = "ERROR:  40001: could not serialize access due to read/write dependencies among transactions\n";
        assert!(outcome.err.contains(said), "{}", outcome.err);
        assert!(outcome.out.ends_with("\ngoes on\n"), "{}", outcome.out);
        assert_eq!(world.fingerprint(), now);
        assert_eq!(plans(&world).len(), 0);
        assert!(changes(&world).iter().all(|change| text(change, "state") == "rolled_back"));
    }
}
