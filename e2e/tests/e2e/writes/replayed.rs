//! What a session has around a write is there when the plan runs it again, or the plan is refused with the reason.

use super::{approve_and_apply, plans, shop};

fn state(world: &e2e::World) -> String {
    world.direct("SELECT string_agg(id || status, ' ' ORDER BY id) FROM orders WHERE id IN (41, 57, 60, 61)")
}

#[test]
fn writes_at_cursors_savepoints_and_prepared_statements_are_planned_and_applied() {
    let (world, ticket) = shop("write", &["public.*"]);
    let cursor = "DECLARE c CURSOR FOR SELECT id FROM orders WHERE id IN (41, 57, 60) ORDER BY id FOR UPDATE;";
    for (script, planned, applied) in [
        (
            format!("BEGIN;\n{cursor}\nFETCH c;\nMOVE c;\nFETCH c;\nUPDATE orders SET status = 'x' WHERE CURRENT OF c;\nCOMMIT;"),
            "1 row of public.orders",
            "41shipped 57open 60x 61paid",
        ),
        (
            format!("BEGIN;\n{cursor}\nFETCH 2 FROM c\\; DELETE FROM items WHERE order_id = 41\\; UPDATE orders SET status = 'y' WHERE CURRENT OF c;\nCOMMIT;"),
            "4 rows of 2 tables",
            "41shipped 57y 60x 61paid",
        ),
        (
            "BEGIN;\nUPDATE orders SET status = 'a' WHERE id = 41;\nSAVEPOINT s;\nUPDATE orders SET total = 1\\; SELECT 1 / 0;\n\
             ROLLBACK TO s;\nDELETE FROM items;\nSAVEPOINT s;\nDELETE FROM customers;\nROLLBACK TO s;\nRELEASE s;\nROLLBACK TO s;\n\
             UPDATE orders SET status = 'b' WHERE id = 57;\nCOMMIT;"
                .to_owned(),
            "2 rows of public.orders",
            "41a 57b 60x 61paid",
        ),
        (
            "PREPARE p(int) AS UPDATE orders SET status = 'p' WHERE id = $1;\nBEGIN;\nEXECUTE p(60);\nDEALLOCATE p;\n\
             PREPARE p(int, text) AS UPDATE orders SET status = $2 WHERE id = $1;\nEXECUTE p(61, 'q');\nEXECUTE p(57, 'r');\nCOMMIT;\n"
                .to_owned(),
            "3 rows of public.orders",
            "41a 57r 60p 61q",
        ),
        (
            "PREPARE p AS UPDATE orders SET status = 'z' WHERE id = 41\\; EXECUTE p;".to_owned(),
            "1 row of public.orders",
            "41z 57r 60p 61q",
        ),
    ] {
        let plan = plans(&world).len() + 1;
        let said = world.script(&ticket, &script);
        assert!(said.err.contains(&format!("planned, not applied: {planned} would change; plan p_{plan}")), "{script}{}", said.err);
        assert!(!said.err.contains("WARNING"), "{}", said.err);
        approve_and_apply(&world, &format!("p_{plan}"));
        assert_eq!(state(&world), applied, "{script}");
    }
}

#[test]
fn what_cannot_be_run_again_is_refused_with_the_reason() {
    let (world, ticket) = shop("write", &["public.*"]);
    let before = world.fingerprint();
    for (script, why) in [
        (
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1;\nBEGIN;\nFETCH c;\n\
             DECLARE d CURSOR FOR SELECT id FROM orders WHERE id = 41 FOR UPDATE;\nFETCH d;\n\
             UPDATE orders SET status = 'x' WHERE CURRENT OF d;\nCOMMIT;",
            "it fails when it is run again: cursor \"c\" does not exist (34000)",
        ),
        (
            "BEGIN;\nDECLARE c CURSOR FOR SELECT id FROM orders ORDER BY id FOR UPDATE;\nSAVEPOINT s;\nFETCH c;\nROLLBACK TO s;\n\
             FETCH c;\nUPDATE orders SET status = 'x' WHERE CURRENT OF c;\nCOMMIT;",
            "it moved a cursor before it went back to a savepoint",
        ),
    ] {
        let said = world.script(&ticket, script);
        assert!(said.err.contains(why) && said.err.contains("[BLY-1041]"), "{}{}", said.out, said.err);
        assert_eq!((world.fingerprint(), plans(&world).len()), (before.clone(), 0));
    }
}

#[test]
fn what_an_apply_would_write_in_its_commit_is_refused_there() {
    let (world, ticket) = shop("write", &["*.*"]);
    world.direct(
        "CREATE FUNCTION public.late(int) RETURNS void LANGUAGE sql
            AS 'UPDATE public.orders SET status = ''late'' WHERE id = $1'",
    );
    let before = world.fingerprint();
    let script = "BEGIN;\nUPDATE orders SET status = 'seen' WHERE id = 41;\n\
        DECLARE c CURSOR WITH HOLD FOR SELECT public.late(57);\nCOMMIT;";
    let said = world.script(&ticket, script);
    assert!(said.err.contains("planned, not applied: 1 row of public.orders would change; plan p_1"), "{}", said.err);
    world.belay.run("bob", &["approve", "p_1"]).ok();
    let applied = world.belay.run("alice", &["apply", "p_1"]);
    let why = "it writes in its COMMIT, after its rows were taken";
    assert!(applied.code != 0 && applied.err.contains(why), "{}{}", applied.out, applied.err);
    assert_eq!(world.fingerprint(), before);
}
