//! Under a grant of `write` nothing changes until somebody else has seen it.

use super::{approve_and_apply, expect, plans, shop, text, typed};
use e2e::Terminal;
use testkit::SAMPLE_DATABASE;

#[test]
fn an_update_in_psql_is_planned_and_says_which_rows_and_what_comes_next() {
    let (world, ticket) = shop("write", &["public.*"]);
    let before = world.fingerprint();
    let said = typed(&world, &ticket, "UPDATE orders SET status = 'refunded' WHERE id IN (41, 57, 60)");
    let expected = "ERROR:  planned, not applied: 3 rows of public.orders would change; plan p_1 [BLY-1040]\n\
                    DETAIL:  public.orders: 3 updated\n\
                    update id=41: status shipped -> refunded\n\
                    update id=57: status open -> refunded\n\
                    update id=60: status open -> refunded\n\
                    HINT:  belay review p_1 shows all of it; once it is approved: belay apply p_1\n";
    assert_eq!((said.err.as_str(), said.out.as_str(), said.code), (expected, "", 1));
    assert_eq!(world.fingerprint(), before);

    // From a file, and at a prompt: the session goes on.
    let file = world.belay.file("fix.sql", "DELETE FROM orders WHERE id = 41;\nSELECT count(*) FROM orders;\n");
    let script = testkit::Outcome::of(world.psql(&ticket, SAMPLE_DATABASE).args(["-f", &file])).ok();
    assert!(script.err.contains(&format!("psql:{file}:1: ERROR:  42501: planned, not applied: ")), "{}", script.err);
    assert_eq!(script.out, "2000\n");
    let mut terminal = Terminal::start(&world.psql(&ticket, SAMPLE_DATABASE));
    terminal.line("INSERT INTO orders (customer_id) VALUES (1);");
    terminal.expect("1 row of public.orders would change; plan p_3 [BLY-1040]");
    terminal.line("SELECT 'still ' || 'here';");
    terminal.expect("still here");
    assert_eq!(world.fingerprint(), before);
}

#[test]
fn a_transaction_sees_its_own_writes_and_is_one_plan_at_its_commit() {
    let (world, ticket) = shop("write", &["public.*"]);
    let before = world.fingerprint();
    let script = "BEGIN;\n\
        UPDATE orders SET status = 'refunded' WHERE id = 41;\n\
        SAVEPOINT careful;\n\
        DELETE FROM items;\n\
        ROLLBACK TO careful;\n\
        SELECT 'none' FROM nosuch;\n\
        ROLLBACK TO careful;\n\
        UPDATE items SET quantity = quantity + 1 WHERE order_id = 41;\n\
        SELECT status FROM orders WHERE id = 41;\n\
        COMMIT;\n\
        SELECT status FROM orders WHERE id = 41;\n";
    let said = world.script(&ticket, script);
    assert!(
        said.err.contains("planned, not applied: 4 rows of 2 tables would change; plan p_1 [BLY-1040]"),
        "{}",
        said.err
    );
    assert!(said.out.contains("\nrefunded\n") && said.out.ends_with("\nshipped\n"), "{}", said.out);
    assert_eq!(world.fingerprint(), before);

    expect(&world.belay.run("alice", &["approve", "p_1"]), 3, "may not decide on plans");
    expect(&world.belay.run("alice", &["apply", "p_1"]), 5, "waits for one approval");
    let review = world.belay.run("bob", &["review", "p_1"]).ok();
    assert!(review.out.contains("  ~ id=41  status: shipped -> refunded\n"), "{}", review.out);
    let change = approve_and_apply(&world, "p_1");
    assert_eq!((text(&change, "state"), change["rows"].as_u64()), ("committed", Some(4)));
    assert_eq!(world.direct("SELECT status FROM orders WHERE id = 41"), "refunded");
    assert_eq!(world.direct("SELECT count(*) FROM items"), "5000");
    world.direct("UPDATE items SET quantity = quantity - 1 WHERE order_id = 41");
    world.direct("UPDATE orders SET status = 'shipped' WHERE id = 41");
    assert_eq!(world.fingerprint(), before, "exactly that was applied");
}

#[test]
fn a_transaction_that_fails_or_is_rolled_back_is_no_plan() {
    let (world, ticket) = shop("write", &["public.*"]);
    let before = world.fingerprint();
    let script = "BEGIN; \nUPDATE orders SET total = 0;\nROLLBACK;\n\
        BEGIN;\nUPDATE orders SET total = 0;\nSELECT 1 / 0;\nCOMMIT;\n\
        UPDATE items SET quantity = 0;\nSELECT 'done';\n";
    let said = world.script(&ticket, script);
    assert!(said.out.ends_with("\ndone\n") && said.out.contains("\nROLLBACK\n"), "{}", said.out);
    assert!(said.err.contains("ERROR:  23514: new row for relation"), "the database's own words: {}", said.err);
    assert_eq!((plans(&world).len(), world.fingerprint()), (0, before));
}

#[test]
fn a_read_in_a_session_that_may_write_is_a_read() {
    let (world, ticket) = shop("write", &["public.*"]);
    let script = "SELECT count(*) FROM orders;\nBEGIN;\nSELECT count(*) FROM items;\nCOMMIT;\n\
        BEGIN READ ONLY;\nSELECT 7;\nEND;\nCOPY (SELECT 8) TO STDOUT;\nEXPLAIN (COSTS OFF) UPDATE orders SET total = 0;\n";
    let said = world.script(&ticket, script).ok();
    assert_eq!(
        said.out,
        "2000\nBEGIN\n5000\nCOMMIT\nBEGIN\n7\nCOMMIT\n8\nUpdate on orders\n  ->  Seq Scan on orders\n"
    );
    assert_eq!((said.err.as_str(), plans(&world).len()), ("", 0));
}

#[test]
fn what_differs_from_run_to_run_is_named_and_decided_when_it_is_applied() {
    let (world, ticket) = shop("write", &["public.*"]);
    let said = typed(&world, &ticket, "INSERT INTO orders (customer_id, placed_at) VALUES (7, clock_timestamp())");
    assert!(said.err.contains("\ndecided when it is applied: id, placed_at of public.orders\n"), "{}", said.err);
    let review = world.belay.run("bob", &["review", "p_1"]).ok();
    assert!(review.out.contains("  decided when it is applied: id, placed_at\n"), "{}", review.out);
    assert!(review.out.contains("sequences stay where they moved to: public.orders_id_seq"), "{}", review.out);
    approve_and_apply(&world, "p_1");
    assert_eq!(
        world.direct("SELECT count(*) FROM orders WHERE customer_id = 7 AND placed_at > now() - interval '1h'"),
        "1"
    );
}

#[test]
fn rows_that_changed_meanwhile_keep_a_plan_from_being_applied_and_are_named() {
    let (world, ticket) = shop("write", &["public.*"]);
    typed(&world, &ticket, "UPDATE orders SET total = total + 1 WHERE id IN (41, 57)");
    world.belay.run("bob", &["approve", "p_1"]).ok();
    world.direct("UPDATE orders SET status = 'held' WHERE id = 57");
    let before = world.fingerprint();
    expect(&world.belay.run("alice", &["apply", "p_1"]), 9, "public.orders 57:");
    assert_eq!(world.fingerprint(), before);
    let new = world.belay.json("alice", &["review", "p_1"]);
    approve_and_apply(&world, text(&new, "replaced_by"));
    assert_eq!(
        world.direct("SELECT string_agg(status || total, ' ' ORDER BY id) FROM orders WHERE id IN (41, 57)"),
        "shipped183.97 held282.94"
    );
}

#[test]
fn a_write_inside_a_function_is_captured_like_any_other() {
    let (world, _) = shop("write", &["public.*"]);
    world.direct(
        "CREATE FUNCTION pay(of int) RETURNS int LANGUAGE plpgsql AS
         $$ BEGIN UPDATE orders SET status = 'paid' WHERE id = of; UPDATE items SET price = 0 WHERE order_id = of; RETURN of; END $$",
    );
    let before = world.fingerprint();
    let ticket = super::granted(&world, "write", &["public.*", "--function", "public.pay(integer)"]);
    let said = typed(&world, &ticket, "SELECT pay(41)");
    assert!(said.err.contains("4 rows of 2 tables would change; plan p_1"), "{}{}", said.out, said.err);
    let direct = said.err.contains("public.items: 3 updated by a cascade, a trigger or a function");
    assert!(direct, "{}", said.err);
    assert_eq!(world.fingerprint(), before);
    approve_and_apply(&world, "p_1");
    assert_eq!(world.direct("SELECT status FROM orders WHERE id = 41"), "paid");
}

#[test]
fn what_the_grant_or_the_plan_does_not_cover_is_refused_with_a_reason() {
    let (world, ticket) = shop("write", &["public.orders"]);
    let before = world.fingerprint();
    for (sql, said) in [
        ("UPDATE items SET price = 0", "refused: UPDATE on public.items [BLY-1007]"),
        ("UPDATE ordrs SET total = 0", "the table ordrs is not in the catalog [BLY-1011]"),
        ("DELETE FROM orders WHERE id IN (SELECT order_id FROM items)", "[BLY-1007]"),
    ] {
        let outcome = typed(&world, &ticket, sql);
        assert!(outcome.err.contains(said), "{sql}: {}", outcome.err);
    }
    assert_eq!((plans(&world).len(), world.fingerprint()), (0, before));
}
