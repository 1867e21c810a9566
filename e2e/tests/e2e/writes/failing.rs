//! What the database itself refuses, late: the client hears it in the database's own words, and nothing is kept of it.

use super::{changes, granted, plans, shop};
use e2e::World;
use std::process::Stdio;
use testkit::{Outcome, SAMPLE_DATABASE};

const SCHEMA: &str = "
CREATE TABLE parts (id int PRIMARY KEY, whole int REFERENCES parts DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE marks (id int, CONSTRAINT once UNIQUE (id) DEFERRABLE INITIALLY DEFERRED);
INSERT INTO parts VALUES (1, NULL), (2, 1);
INSERT INTO marks VALUES (1);
CREATE FUNCTION checked() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.id = 13 THEN RAISE 'thirteen' USING ERRCODE = 'ZZ013', DETAIL = 'it is odd', HINT = 'take 12'; END IF; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER checks AFTER INSERT ON marks DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION checked();";

const STATE: &str = "SELECT md5((SELECT string_agg(p::text, '|' ORDER BY id) FROM parts p)
    || (SELECT string_agg(m::text, '|' ORDER BY id) FROM marks m))";

/// Each a session of its own, one message a line.
const FAILING: [&str; 11] = [
    "INSERT INTO parts VALUES (3, 99);",
    "BEGIN;\nINSERT INTO parts VALUES (3, 99);\nCOMMIT;\nSELECT 'after';",
    "BEGIN;\nDELETE FROM parts WHERE id = 1;\nEND;\nSELECT count(*) FROM parts;",
    "INSERT INTO marks VALUES (1);\nSELECT 'after';",
    "INSERT INTO marks VALUES (13);",
    "BEGIN;\nINSERT INTO marks VALUES (13);\nSET CONSTRAINTS ALL IMMEDIATE;\nCOMMIT;",
    "TRUNCATE orders;\nSELECT 'after';",
    "BEGIN;\nTRUNCATE orders;\nTRUNCATE items;\nCOMMIT;",
    "BEGIN;\nSELECT 1 / 0;\nTRUNCATE items;\nDELETE FROM marks;\nCOMMIT;",
    "BEGIN;\nDECLARE c CURSOR FOR SELECT * FROM marks;\nFETCH c;\nTRUNCATE marks;\nCOMMIT;",
    "BEGIN;\nSAVEPOINT a;\nTRUNCATE orders;\nROLLBACK TO a;\nSELECT 'goes on';\nROLLBACK;",
];

/// The script without Belay, as the same role would see it.
fn plainly(world: &World, script: &str) -> Outcome {
    let mut psql = world.postgres.psql(SAMPLE_DATABASE);
    psql.args(["-X", "-At", "-v", "VERBOSITY=verbose", "-v", "ON_ERROR_STOP=0"]);
    let mut child = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_bytes()).unwrap();
    Outcome::from(child.wait_with_output().unwrap())
}

fn fail_alike(effect: &str) {
    let (world, _) = shop(effect, &["public.*"]);
    world.direct(SCHEMA);
    let ticket = granted(&world, effect, &["public.*"]);
    let before = (world.direct(STATE), world.fingerprint());
    for script in FAILING {
        let (plain, through) = (plainly(&world, script), world.script(&ticket, script));
        assert!(plain.err.contains("ERROR:"), "{script}");
        assert_eq!((through.out, through.err), (plain.out, plain.err), "{script}");
        assert_eq!((world.direct(STATE), world.fingerprint()), before, "{script}");
    }
    assert_eq!((plans(&world).len(), changes(&world).len()), (0, 0));
}

#[test]
fn what_fails_at_the_end_of_a_transaction_reads_as_without_belay_where_writes_are_planned() {
    fail_alike("write");
}

#[test]
fn what_fails_at_the_end_of_a_transaction_reads_as_without_belay_where_writes_take_effect() {
    fail_alike("direct");
}
