//! Transactions as clients begin and end them: isolated as they say, in messages of their own or all in one.

use super::{approve_and_apply, changes, granted, plans, shop};
use e2e::{Message, Raw, World, message};
use testkit::{Outcome, SAMPLE_DATABASE, Ticket};

const LEVEL: &str = "UPDATE orders SET status = current_setting('transaction_isolation') WHERE id = 41";

fn status(world: &World) -> String {
    world.direct("SELECT string_agg(status, ' ' ORDER BY id) FROM orders WHERE id IN (41, 57)")
}

/// Several messages, each of which may hold several statements.
fn messages(world: &World, ticket: &Ticket, messages: &[&str]) -> Outcome {
    let mut psql = world.psql(ticket, SAMPLE_DATABASE);
    for message in messages {
        psql.args(["-c", message]);
    }
    Outcome::of(&mut psql)
}

#[test]
fn a_plan_is_tried_again_and_applied_in_the_isolation_that_its_transaction_had() {
    let (world, ticket) = shop("write", &["public.*"]);
    for (script, level) in [
        (format!("BEGIN ISOLATION LEVEL SERIALIZABLE;\n{LEVEL};\nCOMMIT;"), "serializable"),
        (format!("BEGIN;\nSET TRANSACTION ISOLATION LEVEL REPEATABLE READ;\n{LEVEL};\nCOMMIT;"), "repeatable read"),
        (
            format!(
                "BEGIN;\nSHOW search_path;\nSET LOCAL lock_timeout = '5s';\nSET TRANSACTION ISOLATION LEVEL SERIALIZABLE;\n{LEVEL};\nCOMMIT;"
            ),
            "serializable",
        ),
        (
            format!("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ;\n{LEVEL};"),
            "repeatable read",
        ),
        (format!("SET default_transaction_isolation = 'serializable';\n{LEVEL};"), "serializable"),
        (format!("BEGIN ISOLATION LEVEL REPEATABLE READ\\;{LEVEL}\\; COMMIT;"), "repeatable read"),
        (format!("BEGIN\\; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE\\;{LEVEL}\\; COMMIT;"), "serializable"),
        (format!("{LEVEL};"), "read committed"),
    ] {
        world.direct("UPDATE orders SET status = 'open' WHERE id = 41");
        let plan = format!("p_{}", plans(&world).len() + 1);
        let said = world.script(&ticket, &script);
        assert!(
            said.err.contains(&format!("1 row of public.orders would change; plan {plan} [BLY-1040]")),
            "{script}: {}",
            said.err
        );
        assert!(!said.err.contains("decided when it is applied"), "both trials are isolated alike: {}", said.err);
        approve_and_apply(&world, &plan);
        assert_eq!(status(&world), format!("{level} open"), "{script}");
    }
}

#[test]
fn a_change_at_once_sees_what_its_isolation_lets_it_see() {
    let (world, ticket) = shop("direct", &["public.*"]);
    let said = world
        .script(&ticket, &format!("BEGIN;\nSET TRANSACTION ISOLATION LEVEL SERIALIZABLE;\n{LEVEL};\nCOMMIT;\n"))
        .ok();
    assert!(said.err.contains("1 row changed in public.orders; undo: belay revert c_1"), "{}", said.err);
    assert_eq!(status(&world), "serializable open");
    let late = world.script(&ticket, "BEGIN;\nSELECT 1;\nSET TRANSACTION ISOLATION LEVEL SERIALIZABLE;\nROLLBACK;\n");
    assert!(
        late.err.contains("25001: SET TRANSACTION ISOLATION LEVEL must be called before any query"),
        "{}",
        late.err
    );
    // What a client says only to read is kept from writing by the target.
    for begin in ["BEGIN READ ONLY", "BEGIN;\nSET TRANSACTION READ ONLY"] {
        let said =
            world.script(&ticket, &format!("{begin};\nSELECT 7;\n{LEVEL};\nROLLBACK;\n{begin};\nSELECT 8;\nCOMMIT;\n"));
        assert!(said.err.contains("25006: cannot execute UPDATE in a read-only transaction"), "{}", said.err);
        assert!(said.out.contains("\n7\n") && said.out.ends_with("\n8\nCOMMIT\n"), "{}", said.out);
    }
    // A transaction that fails before it ran anything, and what begins and ends without a word between.
    let script = "BEGIN;\nSET work_mem = 'nosuch';\nUPDATE orders SET total = 0;\nCOMMIT;\nBEGIN;\nCOMMIT;\nBEGIN;\nROLLBACK;\nSELECT 'after';\n";
    let said = world.script(&ticket, script);
    assert!(said.out.ends_with("BEGIN\nCOMMIT\nBEGIN\nROLLBACK\nafter\n"), "{}{}", said.out, said.err);
    assert_eq!(changes(&world).len(), 1);
}

#[test]
fn a_transaction_in_one_message_is_one_change() {
    let (world, ticket) = shop("direct", &["public.*"]);
    let before = world.fingerprint();
    let whole = "begin; update orders set status = 'é' where id = 41; savepoint s; delete from items; rollback to s; \
        update orders set status = 'b' where id = 57 returning status; end;";
    let said = messages(&world, &ticket, &[whole, "SELECT 'after'"]).ok();
    assert!(said.err.contains("2 rows changed in public.orders; undo: belay revert c_1 [BLY-1046]"), "{}", said.err);
    assert_eq!(said.out, "BEGIN\nUPDATE 1\nSAVEPOINT\nDELETE 5000\nROLLBACK\nb\nUPDATE 1\nCOMMIT\nafter\n");
    assert_eq!((status(&world), changes(&world).len()), ("é b".to_owned(), 1));
    world.belay.run("alice", &["revert", "c_1"]).ok();
    assert_eq!(world.fingerprint(), before);

    // Tried, looked at and rolled back; emptied alone; what only reads.
    let said = messages(&world, &ticket, &["BEGIN; DELETE FROM items; SELECT count(*) FROM items; ROLLBACK"]).ok();
    assert_eq!((said.out.as_str(), world.fingerprint()), ("BEGIN\nDELETE 5000\n0\nROLLBACK\n", before.clone()));
    let said = messages(
        &world,
        &ticket,
        &["START TRANSACTION; TRUNCATE items; COMMIT", "BEGIN; SELECT count(*) FROM items; COMMIT"],
    )
    .ok();
    assert!(said.err.contains("5000 rows changed in public.items"), "{}", said.err);
    assert_eq!(said.out, "START TRANSACTION\nTRUNCATE TABLE\nCOMMIT\nBEGIN\n0\nCOMMIT\n");
    let emptied = changes(&world)[0]["id"].as_str().unwrap().to_owned();
    world.belay.run("alice", &["revert", &emptied]).ok();
    assert_eq!(world.fingerprint(), before);

    let ticket = granted(&world, "write", &["public.*"]);
    let said = messages(
        &world,
        &ticket,
        &["BEGIN; UPDATE orders SET status = 'p' WHERE id IN (41, 57); COMMIT", "SELECT 'after'"],
    );
    assert!(
        said.err.contains("planned, not applied: 2 rows of public.orders would change; plan p_1 [BLY-1040]"),
        "{}",
        said.err
    );
    assert_eq!((said.out.as_str(), world.fingerprint()), ("BEGIN\nUPDATE 2\nafter\n", before));
    let script = world.belay.run("bob", &["review", "p_1"]).ok().out;
    assert!(!script.contains("BEGIN") && !script.contains("COMMIT"), "{script}");
    approve_and_apply(&world, "p_1");
    assert_eq!(status(&world), "p p");
}

#[test]
fn a_transaction_in_one_message_that_fails_stays_open_and_failed() {
    let (world, ticket) = shop("direct", &["public.*"]);
    let before = world.fingerprint();
    for broken in [
        "BEGIN; UPDATE orders SET status = 'é'; UPDATE orders SET total = 'many'; COMMIT",
        "BEGIN; UPDATE orders SET status = 'x'; SELECT 1 / 0; ROLLBACK",
        "BEGIN; DELETE FROM items; SELECT 'many'::int",
    ] {
        let said = messages(&world, &ticket, &[broken, "SELECT 'not yet'", "ROLLBACK", "SELECT 'after'"]);
        assert!(said.err.contains("25P02: current transaction is aborted"), "{broken}: {}", said.err);
        assert!(said.out.ends_with("ROLLBACK\nafter\n") && !said.out.contains("COMMIT"), "{broken}: {}", said.out);
        assert_eq!(world.fingerprint(), before, "{broken}");
    }
    // The place in the message is that which the client sent.
    let said =
        messages(&world, &ticket, &["BEGIN; UPDATE orders SET status = 'é'; UPDATE orders SET total = 'many'; COMMIT"]);
    assert!(
        said.err.contains("\nLINE 1: ...rders SET status = 'é'; UPDATE orders SET total = 'many'; CO...\n"),
        "{}",
        said.err
    );

    // Without its end it goes on.
    let open = [
        "BEGIN; UPDATE orders SET status = 'x' WHERE id = 41",
        "UPDATE orders SET status = 'y' WHERE id = 57",
        "COMMIT",
    ];
    let said = messages(&world, &ticket, &open).ok();
    assert!(said.err.contains("2 rows changed in public.orders; undo: belay revert c_1"), "{}", said.err);
    assert_eq!((status(&world).as_str(), said.out.as_str()), ("x y", "BEGIN\nUPDATE 1\nUPDATE 1\nCOMMIT\n"));
    let said =
        messages(&world, &ticket, &["BEGIN; SELECT 7", "UPDATE orders SET status = 'z' WHERE id = 41", "ROLLBACK"])
            .ok();
    assert_eq!((status(&world).as_str(), said.out.as_str()), ("x y", "BEGIN\n7\nUPDATE 1\nROLLBACK\n"));
    for mixed in [
        "UPDATE orders SET status = 'm'; COMMIT",
        "BEGIN; UPDATE orders SET status = 'm'; COMMIT; UPDATE orders SET status = 'n'",
        "BEGIN; TRUNCATE items; UPDATE orders SET status = 'm'; COMMIT",
        "SELECT 1; BEGIN",
    ] {
        let said = messages(&world, &ticket, &[mixed, "SELECT 'after'"]);
        assert!(said.err.contains("[BLY-1045]") && said.out == "after\n", "{mixed}: {}{}", said.out, said.err);
    }
    assert_eq!(status(&world), "x y");
}

/// The messages of the extended protocol that run a statement, without what ends a batch.
fn batch(sql: &str) -> Vec<u8> {
    let parse = message(b'P', format!("\0{sql}\0\0\0").as_bytes());
    [parse, message(b'B', b"\0\0\0\0\0\0\0\0"), message(b'E', b"\0\0\0\0\0")].concat()
}

fn told(messages: &[Message]) -> String {
    let tag = |message: &Message| String::from_utf8_lossy(&message.body).trim_end_matches('\0').to_owned();
    let told = messages.iter().filter(|message| matches!(message.tag, b'C' | b'Z' | b'E'));
    told.map(|message| if message.tag == b'E' { message.fields()[&'C'].clone() } else { tag(message) })
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn what_is_sent_ahead_waits_for_a_transaction_and_fails_or_passes_after_it() {
    let (world, ticket) = shop("direct", &["public.*"]);
    let mut session = Raw::log_in(&world.belay, &ticket, SAMPLE_DATABASE);
    let sync = message(b'S', b"");
    let set = |id: u8| format!("UPDATE orders SET status = 'ahead' WHERE id = {id}");
    for (sent, answers) in [
        (
            [message(b'Q', format!("BEGIN; {}; COMMIT\0", set(41)).as_bytes()), batch("SELECT 1"), sync.clone()]
                .concat(),
            ["BEGIN UPDATE 1 COMMIT I", "SELECT 1 I"],
        ),
        (
            [message(b'Q', b"BEGIN; SELECT 1; SELECT 1 / 0; COMMIT\0"), batch("ROLLBACK"), sync.clone()].concat(),
            ["BEGIN SELECT 1 22012 E", "ROLLBACK I"],
        ),
        (
            [
                batch("BEGIN"),
                batch("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"),
                batch(&set(57)),
                batch("COMMIT"),
                sync.clone(),
                batch("SELECT 1"),
                sync.clone(),
            ]
            .concat(),
            ["BEGIN SET UPDATE 1 COMMIT I", "SELECT 1 I"],
        ),
        // What is set fails, so nothing of the batch runs; the next finds the transaction failed.
        (
            [
                batch("BEGIN"),
                batch("SET work_mem = 'nosuch'"),
                batch(&set(60)),
                sync.clone(),
                batch(&set(60)),
                sync.clone(),
            ]
            .concat(),
            ["BEGIN 22023 E", "25P02 E"],
        ),
        ([message(b'Q', b"ROLLBACK\0"), batch("SELECT 1"), sync.clone()].concat(), ["ROLLBACK I", "SELECT 1 I"]),
    ] {
        session.send(&sent);
        let heard = [told(&session.await_ready()), told(&session.await_ready())];
        assert_eq!(heard, answers);
    }
    assert_eq!((status(&world).as_str(), changes(&world).len()), ("ahead ahead", 2));
    assert_eq!(world.direct("SELECT count(*) FROM orders WHERE status = 'ahead'"), "2");
}

#[test]
fn a_write_that_returns_more_rows_than_the_grant_allows_changes_nothing() {
    let (world, _) = shop("direct", &["public.*"]);
    let ticket = granted(&world, "direct", &["public.*", "--max-rows", "3"]);
    let before = world.fingerprint();
    for message in [
        "UPDATE orders SET status = 'x' WHERE id < 9 RETURNING id",
        "BEGIN; UPDATE orders SET status = 'x' WHERE id < 9 RETURNING id; COMMIT",
        "BEGIN; UPDATE orders SET status = 'x' WHERE id < 9 RETURNING id; ROLLBACK",
    ] {
        let said = messages(&world, &ticket, &[message, "ROLLBACK", "SELECT 'after'"]);
        assert!(said.err.contains("stopped: more than the 3 rows"), "{message}: {}{}", said.out, said.err);
        assert!(said.out.ends_with("ROLLBACK\nafter\n") && !said.err.contains("BLY-1046"), "{}{}", said.out, said.err);
        assert_eq!((world.fingerprint(), changes(&world).len()), (before.clone(), 0), "{message}");
    }
}

#[test]
fn a_batch_that_has_read_may_write_then_and_what_it_set_is_not_lost_on_the_way() {
    let (world, ticket) = shop("direct", &["public.*"]);
    let mut session = Raw::log_in(&world.belay, &ticket, SAMPLE_DATABASE);
    let mut heard = |statements: &[&str]| {
        let sent: Vec<u8> = statements.iter().flat_map(|sql| batch(sql)).chain(message(b'S', b"")).collect();
        session.send(&sent);
        told(&session.await_ready())
    };
    let read = "SELECT status FROM orders WHERE id = 41";
    let write = |status: &str, id: u32| format!("UPDATE orders SET status = '{status}' WHERE id = {id}");
    let said = heard(&[read, &write("one", 41), read, &write("two", 57)]);
    assert_eq!(said, "SELECT 1 UPDATE 1 SELECT 1 UPDATE 1 I");
    assert_eq!((status(&world).as_str(), changes(&world).len()), ("one two", 1));
    // What was set for the transaction would be over.
    assert_eq!(heard(&["SET LOCAL lock_timeout = '5s'", &write("three", 41)]), "SET 25006 I");
    assert_eq!(heard(&["SELECT 1 / 0", &write("four", 41)]), "22012 I");
    assert_eq!(heard(&[read, &write("five", 41), "SELECT 1 / 0"]), "SELECT 1 UPDATE 1 22012 I");
    assert_eq!((status(&world).as_str(), changes(&world).len()), ("one two", 1));
    assert_eq!(heard(&[read, &write("six", 41)]), "SELECT 1 UPDATE 1 I");
    assert_eq!(status(&world), "six two");
}
