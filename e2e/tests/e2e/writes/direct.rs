//! Under a grant of `direct` writes take effect, and are given back.

use super::{changes, expect, granted, shop, text, typed};

#[test]
fn a_write_tells_how_to_undo_it_and_the_undo_gives_every_row_back() {
    let (world, ticket) = shop("direct", &["public.*"]);
    let before = world.fingerprint();
    let said = typed(&world, &ticket, "UPDATE orders SET status = 'x' WHERE id IN (41, 57, 60)").ok();
    assert_eq!(said.err, "NOTICE:  3 rows changed in public.orders; undo: belay revert c_1 [BLY-1046]\n");
    let after = world.fingerprint();
    assert_ne!(after, before);
    let dry = world.belay.run("alice", &["revert", "c_1", "--dry-run"]).ok();
    assert!(dry.out.contains("  ~ id=41  status: x -> shipped\n"), "{}", dry.out);
    assert_eq!(world.fingerprint(), after);
    let back = world.belay.run("alice", &["revert", "c_1"]).ok();
    assert!(back.err.contains("gave back 3 rows; undo: belay revert c_2"), "{}", back.err);
    assert_eq!(world.fingerprint(), before);
    world.belay.run("alice", &["revert", "c_2"]).ok();
    assert_eq!(world.fingerprint(), after, "a revert can be given back like any change");
    world.belay.run("alice", &["revert", "c_3"]).ok();
    assert_eq!(world.fingerprint(), before);
}

#[test]
fn a_whole_session_is_given_back_as_one_in_the_right_order() {
    let (world, ticket) = shop("direct", &["public.*"]);
    let before = world.fingerprint();
    let script = "UPDATE orders SET total = 1 WHERE id < 20;\nUPDATE orders SET total = 2 WHERE id < 10;\n\
        BEGIN;\nDELETE FROM orders WHERE id = 3;\nSAVEPOINT a;\nDELETE FROM orders WHERE id = 4;\nROLLBACK TO a;\nCOMMIT;\n\
        INSERT INTO customers (name, email) VALUES ('n', 'n@example.org');\n\
        PREPARE p(int) AS UPDATE items SET price = $1 WHERE order_id = 5;\nEXECUTE p(9);\n\
        TRUNCATE items;\nINSERT INTO items (order_id, product, quantity, price) VALUES (8, 'new', 1, 1);\n";
    let said = world.script(&ticket, script).ok();
    assert_eq!(said.err.matches("undo: belay revert c_").count(), 7, "{}", said.err);
    let session = text(&changes(&world)[0], "session").to_owned();
    world.belay.run("alice", &["revert", &session]).ok();
    assert_eq!(world.fingerprint(), before);
    expect(&world.belay.run("alice", &["revert", &session]), 0, "was given back already, by c_8 at 20");
}

#[test]
fn rows_that_somebody_changed_since_are_shown_three_ways_and_may_be_left_as_they_are() {
    let (world, ticket) = shop("direct", &["public.*"]);
    typed(&world, &ticket, "UPDATE orders SET status = 'x' WHERE id IN (41, 57, 60)").ok();
    world.direct("UPDATE orders SET total = 7 WHERE id = 57");
    let now = world.fingerprint();
    let conflict = world.belay.run("alice", &["revert", "c_1"]);
    expect(&conflict, 9, "rows of c_1 have changed since");
    expect(&conflict, 9, "--keep-conflicts");
    let shown = "public.orders 57: somebody changed it since\n\
        \x20 before (57,58,open,281.94,\"2026-01-01 06:39:00+00\")\n\
        \x20 left   (57,58,x,281.94,\"2026-01-01 06:39:00+00\")\n\
        \x20 now    (57,58,x,7.00,\"2026-01-01 06:39:00+00\")\n";
    assert_eq!(conflict.out, shown);
    assert_eq!(world.fingerprint(), now);
    let kept = world.belay.run("alice", &["revert", "c_1", "--keep-conflicts"]).ok();
    assert!(kept.err.contains("left as they are, because they have changed since:\npublic.orders 57:"), "{}", kept.err);
    let rows = "SELECT string_agg(status || total, ' ' ORDER BY id) FROM orders WHERE id IN (41, 57, 60)";
    assert_eq!(world.direct(rows), "shipped182.97 x7.00 open749.85");
}

#[test]
fn some_rows_of_a_change_are_given_back_and_the_others_afterwards() {
    let (world, ticket) = shop("direct", &["public.*"]);
    let before = world.fingerprint();
    typed(&world, &ticket, "DELETE FROM orders WHERE id IN (1, 2, 3)").ok();
    let some = world.belay.run("alice", &["revert", "c_1", "--only", "orders:1,2"]).ok();
    assert!(some.err.contains("gave back 2 rows"), "{}", some.err);
    assert_eq!(world.direct("SELECT string_agg(id::text, ' ' ORDER BY id) FROM orders WHERE id < 5"), "1 2 4");
    let rest = world.belay.run("alice", &["revert", "c_1"]).ok();
    assert!(rest.err.contains("undo: belay revert c_3"), "{}", rest.err);
    assert_eq!(world.fingerprint(), before);
    for again in [&["revert", "c_1"][..], &["revert", "c_1", "--dry-run"], &["revert", "c_1", "--keep-conflicts"]] {
        let again = world.belay.run("alice", again).ok();
        assert!(again.err.contains("c_1 was given back already, by c_3 at 20"), "{}", again.err);
        assert!(again.err.contains("; nothing was done"), "{}", again.err);
    }
    assert_eq!((world.fingerprint(), changes(&world).len()), (before, 3));
    for (what, said) in [
        (&["c_1", "--only", "nosuch"][..], "nothing in `nosuch` was changed"),
        (&["c_1", "--only", "orders:77"][..], "the row `77` of public.orders was not changed"),
        (&["c_99"][..], "no change set `c_99`"),
    ] {
        let refused = world.belay.run("alice", &[&["revert"], what].concat());
        assert!(refused.code != 0 && refused.err.contains(said), "{}{}", refused.out, refused.err);
    }
}

#[test]
fn more_rows_than_the_grant_writes_at_once_are_planned() {
    let (world, ticket) = shop("direct", &["public.*"]);
    world.direct(
        "INSERT INTO items (order_id, product, quantity, price) SELECT 1, 'p', 1, 1 FROM generate_series(1, 6000)",
    );
    let before = world.fingerprint();
    let said = typed(&world, &ticket, "UPDATE items SET price = 0");
    assert!(said.err.contains("planned, not applied: 11000 rows of public.items would change"), "{}", said.err);
    assert!(said.err.contains("the grant makes changes of at most 10000 rows at once"), "{}", said.err);
    assert_eq!(world.fingerprint(), before);
}

#[test]
fn a_grant_says_how_many_rows_it_changes_at_once_and_a_rule_how_many_may_be_asked_for() {
    let world = e2e::World::start();
    for rule in ["u_1", "u_2"] {
        world.belay.run("admin", &["rule", "rm", rule, "-y"]).ok();
    }
    let rule = ["rule", "add", "--target", "orders", "--effect", "direct", "--max", "1h", "--approvals", "1"];
    world.belay.run("admin", &[&rule[..], &["--max-changed-rows", "12000"]].concat()).ok();
    let ask = ["request", "orders", "public.*", "--effect", "direct", "-m", "a test", "--max-changed-rows"];
    expect(
        &world.belay.run("alice", &[&ask[..], &["12001"]].concat()),
        3,
        "`12001` changed rows are more than the 12000",
    );
    let planned = ["request", "orders", "public.*", "--effect", "write", "-m", "a test", "--max-changed-rows", "3"];
    expect(&world.belay.run("alice", &planned), 2, "only a grant of `direct` changes rows at once");
    let grant_of = |most: &str| {
        let request = world.belay.json("alice", &[&ask[..], &[most]].concat());
        let grant = world.belay.json("bob", &["approve", text(&request, "id")])["grant"].clone();
        let shown = world.belay.run("alice", &["grants", "show", text(&grant, "id")]).ok();
        assert!(shown.out.contains(&format!("changes at most {most} row")), "{}", shown.out);
        world.belay.claim("alice", text(&grant, "id"))
    };
    let few = grant_of("2");
    world.direct(
        "INSERT INTO items (order_id, product, quantity, price) SELECT 1, 'p', 1, 1 FROM generate_series(1, 6000)",
    );
    let before = world.fingerprint();
    let said =
        world.script(&few, "BEGIN;\nUPDATE orders SET status = 'a' WHERE id < 3;\nDELETE FROM items;\nCOMMIT;\n");
    assert!(said.err.contains("planned, not applied"), "{}", said.err);
    let said = typed(&world, &few, "UPDATE orders SET status = 'a' WHERE id <= 3");
    assert!(said.err.contains("the grant makes changes of at most 2 rows at once"), "{}", said.err);
    assert_eq!(world.fingerprint(), before);
    let said = typed(&world, &few, "UPDATE orders SET status = 'a' WHERE id <= 2").ok();
    assert!(said.err.contains("2 rows changed in public.orders"), "{}", said.err);
    let said = typed(&world, &grant_of("11000"), "UPDATE items SET price = 0").ok();
    assert!(said.err.contains("11000 rows changed in public.items"), "{}", said.err);
}

#[test]
fn of_several_grants_psql_takes_the_one_that_allows_least_and_says_so() {
    let (world, direct) = shop("direct", &["public.*"]);
    let update = "UPDATE orders SET status = 'x' WHERE id = 1";
    let reads = granted(&world, "read", &["public.*"]).grant;
    let run = |words: &[&str]| {
        world.belay.run("alice", &[&["psql", "orders"][..], words, &["--", "-At", "-c", update]].concat())
    };
    let refused = run(&[]);
    assert_ne!(refused.code, 0);
    assert!(refused.err.contains(&format!("taking {reads} (RO, until ")), "{}", refused.err);
    assert!(
        refused.err.contains(&format!("choose another with --grant: {} (RW, until ", direct.grant)),
        "{}",
        refused.err
    );
    let done = run(&["--grant", &direct.grant]).ok();
    assert!(done.err.contains("1 row changed in public.orders"), "{}", done.err);
    let done = run(&["--effect", "direct"]).ok();
    assert!(!done.err.contains("taking"), "{}", done.err);
    expect(&run(&["--grant", "g_99"]), 1, "g_99");
}
