//! What could not be given back is refused, under either grant, and changes nothing.

use super::{changes, plans, shop};
use e2e::World;
use testkit::Ticket;

const SCHEMA: &str = "
SELECT lo_from_bytea(4711, 'kept');
CREATE FUNCTION unlinked() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT lo_unlink(4711)';
CREATE FUNCTION hidden() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN ALTER TABLE orders ADD COLUMN hidden int; END $$;
CREATE FUNCTION emptied() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN TRUNCATE items; END $$;
CREATE FUNCTION rewound() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN PERFORM setval('orders_id_seq', 1); END $$;";

const STATE: &str = "SELECT (SELECT last_value FROM orders_id_seq) || ' ' || (SELECT count(*) FROM pg_largeobject_metadata)
    || ' ' || (SELECT count(*) FROM pg_prepared_xacts) || ' ' || (SELECT count(*) FROM pg_attribute WHERE attrelid = 'orders'::regclass)";

/// Every one of these, in a session of its own, so that none hides behind another's failed transaction.
const REFUSED: [&str; 12] = [
    "ALTER TABLE orders ADD COLUMN more int",
    "CREATE TABLE public.more (id int)",
    "CREATE INDEX ON orders (total)",
    "SELECT unlinked()",
    "SELECT hidden()",
    "SELECT emptied()",
    "SELECT setval('orders_id_seq', 1)",
    "SELECT lo_unlink(4711)",
    "SELECT lo_create(4712)",
    "TRUNCATE items RESTART IDENTITY",
    "NOTIFY everybody",
    "GRANT SELECT ON orders TO PUBLIC",
];

fn nothing_changes(world: &World, ticket: &Ticket) {
    let look = || (world.fingerprint(), world.direct(STATE));
    let before = look();
    for sql in REFUSED {
        let said = world.sql(ticket, sql);
        assert!(said.code == 1 && said.err.contains("[BLY-10"), "{sql}: {}{}", said.out, said.err);
        assert!(said.err.contains("DETAIL:") && said.err.contains("HINT:"), "{sql}: {}", said.err);
        assert_eq!(look(), before, "{sql}");
    }
    // Here it is the database that does not let the grant's role.
    for sql in [
        "DO $$ BEGIN ALTER TABLE orders ADD COLUMN more int; END $$",
        "DO $$ BEGIN UPDATE orders SET total = 0; EXECUTE 'CREATE TABLE public.more (id int)'; END $$",
    ] {
        let said = world.sql(ticket, sql);
        assert!(said.code == 1 && said.err.starts_with("ERROR:  42501: "), "{sql}: {}{}", said.out, said.err);
        assert_eq!(look(), before, "{sql}");
    }
    let script = "BEGIN;\nUPDATE orders SET total = 0;\nPREPARE TRANSACTION 'later';\nROLLBACK;\n\
        BEGIN;\nUPDATE orders SET total = 0;\nALTER TABLE orders ADD COLUMN more int;\nCOMMIT;\nSELECT 'after';\n";
    let said = world.script(ticket, script);
    assert!(said.err.contains("refused: PREPARE TRANSACTION"), "{}", said.err);
    assert!(said.out.ends_with("ROLLBACK\nafter\n"), "{}", said.out);
    assert_eq!(look(), before);
    assert_eq!((plans(world).len(), changes(world).len()), (0, 0));
}

#[test]
fn under_a_grant_that_plans() {
    let (world, ticket) = shop("write", &["*.*"]);
    world.direct(SCHEMA);
    nothing_changes(&world, &ticket);
}

#[test]
fn under_a_grant_that_writes_at_once() {
    let (world, ticket) = shop("direct", &["*.*"]);
    world.direct(SCHEMA);
    nothing_changes(&world, &ticket);
}

#[test]
fn a_block_of_code_that_only_changes_rows_is_captured_under_a_grant_of_the_whole_database() {
    let (world, ticket) = shop("direct", &["*.*"]);
    let before = world.fingerprint();
    let block = "DO $$ BEGIN UPDATE orders SET total = 0 WHERE id < 4; DELETE FROM items WHERE order_id = 9; END $$";
    let said = world.sql(&ticket, block).ok();
    assert!(said.err.contains("6 rows changed in 2 tables; undo: belay revert c_1"), "{}", said.err);
    world.belay.run("alice", &["revert", "c_1"]).ok();
    assert_eq!(world.fingerprint(), before);
    let narrow = super::granted(&world, "direct", &["public.*"]);
    let said = world.sql(&narrow, block);
    assert!(said.err.contains("[BLY-1004]") && said.err.contains("ask for `*.*`"), "{}", said.err);
}

#[test]
fn a_function_that_leaves_the_transaction_is_called_where_the_grant_names_it() {
    let (world, ticket) = shop("direct", &["*.*"]);
    let extensions = "CREATE EXTENSION dblink; CREATE EXTENSION pgcrypto; CREATE EXTENSION \"uuid-ossp\"";
    world.direct(extensions);
    world.direct("ALTER TABLE orders ADD COLUMN note text");
    let before = world.fingerprint();
    let far = format!(
        "dblink_exec('host=127.0.0.1 port={} dbname={} user={} password={}', 'DELETE FROM items')",
        world.postgres.port(),
        testkit::SAMPLE_DATABASE,
        world.postgres.superuser(),
        world.postgres.password()
    );
    for sql in [
        format!("SELECT {far}"),
        format!("SELECT public.{far} FROM orders WHERE id = 1"),
        format!("UPDATE orders SET note = {far} WHERE id = 1"),
        format!("DO $$ BEGIN PERFORM {far}; END $$"),
    ] {
        let said = world.sql(&ticket, &sql);
        assert!(said.code == 1 && said.err.contains("[BLY-1006]"), "{sql}: {}{}", said.out, said.err);
        assert!(said.err.contains("dblink_exec(text, text)"), "{sql}: {}", said.err);
        assert_eq!(world.fingerprint(), before, "{sql}");
    }
    let random =
        "UPDATE orders SET note = gen_salt('bf') || uuid_generate_v4() || crypt('a', gen_salt('md5')) WHERE id = 1";
    let said = world.sql(&ticket, random).ok();
    assert!(said.err.contains("1 row changed in public.orders"), "{}", said.err);
    let ask = ["request", "orders", "*.*", "--effect", "direct", "--function", "public.dblink_exec", "-m", "x"];
    let request = world.belay.json("alice", &ask);
    let approved = world.belay.json("bob", &["approve", super::text(&request, "id")]);
    let naming = world.belay.claim("alice", super::text(&approved["grant"], "id"));
    let said = world.sql(&naming, &format!("SELECT {}", far.replace("DELETE FROM items", "SELECT 1"))).err;
    assert!(!said.contains("[BLY-"), "{said}");
}
