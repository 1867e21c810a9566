//! What else people type in sessions that write: COPY, roles, scripts in one transaction, tables that are dropped.

use e2e::{Raw, World};
use futures_util::SinkExt as _;
use testkit::{Outcome, SAMPLE_DATABASE, Ticket};

const SCHEMA: &str = "
CREATE SCHEMA app;
CREATE TABLE app.items (id int PRIMARY KEY, name text, price numeric(10,2) DEFAULT 1);
INSERT INTO app.items SELECT n, 'item ' || n, n FROM generate_series(1, 3) n;";

const CONTENT: &str = "SELECT string_agg(i::text, ' ' ORDER BY id) FROM app.items i";

fn world() -> World {
    let world = World::start();
    world.direct(SCHEMA);
    for rule in ["u_1", "u_2"] {
        world.belay.run("admin", &["rule", "rm", rule, "-y"]).ok();
    }
    for effect in ["write", "direct"] {
        let rule = ["rule", "add", "--target", "orders", "--effect", effect, "--max", "1h", "--approvals", "1"];
        world.belay.run("admin", &rule).ok();
    }
    world
}

fn ticket(world: &World, effect: &str, resource: &str) -> Ticket {
    let request = world.belay.json("alice", &["request", "orders", resource, "--effect", effect, "-m", "a test"]);
    let approved = world.belay.json("bob", &["approve", request["id"].as_str().unwrap()]);
    world.belay.claim("alice", approved["grant"]["id"].as_str().unwrap())
}

fn applied(world: &World, plan: &str) {
    world.belay.run("bob", &["approve", plan]).ok();
    world.belay.run("alice", &["apply", plan]).ok();
}

fn script(world: &World, ticket: &Ticket, words: &[&str], text: &str) -> Outcome {
    let file = world.belay.file("script.sql", text);
    Outcome::of(world.psql(ticket, SAMPLE_DATABASE).args(words).args(["-f", &file]))
}

#[test]
fn rows_that_psql_copies_are_planned_and_applied() {
    let world = world();
    let ticket = ticket(&world, "write", "app.items");
    let before = world.direct(CONTENT);
    let rows = world.belay.file("items.csv", "7,\"a, b\",2.50\n8,,\n");
    let copy = format!("\\copy app.items FROM '{rows}' WITH (FORMAT csv)");
    let planned = Outcome::of(world.psql(&ticket, SAMPLE_DATABASE).args(["-c", &copy]));
    assert!(planned.err.contains("planned, not applied: 2 rows of app.items would change"), "{}", planned.err);
    assert_eq!(world.direct(CONTENT), before);
    applied(&world, "p_1");
    assert_eq!(world.direct(CONTENT), format!("{before} (7,\"a, b\",2.50) (8,,)"));
    let empty = script(&world, &ticket, &[], "COPY app.items FROM STDIN;\n\\.\nSELECT 'still here';\n").ok();
    assert_eq!(empty.out.trim(), "COPY 0\nstill here", "{}", empty.err);
}

#[test]
fn rows_that_psql_copies_take_effect_at_once_and_are_given_back() {
    let world = world();
    let ticket = ticket(&world, "direct", "app.items");
    let before = world.direct(CONTENT);
    let text = "BEGIN;\nCOPY app.items (id, name) FROM STDIN;\n7\tseven\n\\.\nUPDATE app.items SET price = 9 WHERE id = 7;\n\
        COMMIT;\nCOPY app.items FROM STDIN;\n8\teight\tnone\n\\.\nCOPY app.items FROM STDIN;\n9\tnine\t9\n\\.\n";
    let copied = script(&world, &ticket, &[], text);
    assert!(copied.err.contains("22P02") && copied.err.contains("undo: belay revert c_2"), "{}", copied.err);
    assert_eq!(world.direct(CONTENT), format!("{before} (7,seven,9.00) (9,nine,9.00)"));
    world.belay.run("alice", &["-y", "revert", "c_2"]).ok();
    world.belay.run("alice", &["-y", "revert", "c_1"]).ok();
    assert_eq!(world.direct(CONTENT), before);
}

#[test]
fn a_script_in_one_transaction_is_one_plan_and_a_chained_commit_is_refused() {
    let world = world();
    let ticket = ticket(&world, "write", "app.items");
    let before = world.direct(CONTENT);
    let text = "UPDATE app.items SET price = 5 WHERE id = 1;\nCOPY app.items FROM STDIN;\n7\tseven\t7\n\\.\n\
        DELETE FROM app.items WHERE id = 2;\n";
    let planned = script(&world, &ticket, &["-1"], text);
    assert!(planned.err.contains("planned, not applied: 3 rows of app.items would change"), "{}", planned.err);
    assert_eq!(world.direct(CONTENT), before);
    applied(&world, "p_1");
    assert_eq!(world.direct(CONTENT), "(1,\"item 1\",5.00) (3,\"item 3\",3.00) (7,seven,7.00)");
    let chained = world.script(&ticket, "BEGIN;\nDELETE FROM app.items;\nCOMMIT AND CHAIN;\nROLLBACK;\n");
    assert!(chained.err.contains("refused: COMMIT AND CHAIN"), "{}", chained.err);
    assert_eq!(world.direct("SELECT count(*) FROM app.items"), "3");
}

#[test]
fn a_session_of_the_whole_database_acts_as_roles_that_it_may_and_its_plans_may_not() {
    let world = world();
    let trigger = "CREATE FUNCTION app.who() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.name := current_user; RETURN NEW; END';
        CREATE TRIGGER who BEFORE UPDATE ON app.items FOR EACH ROW EXECUTE FUNCTION app.who();";
    world.direct(&format!(
        "CREATE ROLE clerk; GRANT USAGE ON SCHEMA app TO clerk; GRANT ALL ON app.items TO clerk; {trigger}"
    ));
    let (whole, part) = (ticket(&world, "write", "*.*"), ticket(&world, "write", "app.items"));
    let refused = world.sql(&part, "SET ROLE clerk");
    assert!(refused.err.contains("refused: SET ROLE"), "{}", refused.err);
    let mut session = Raw::log_in(&world.belay, &whole, SAMPLE_DATABASE);
    // A member of nobody at the start of each connection.
    world.direct(&format!("GRANT clerk TO {}", world.role(&whole)));
    assert_eq!(session.tags("SET ROLE clerk"), "CZ");
    // Whoever applies it is a member of nobody again.
    let refused = |session: &mut Raw, sql: &str| {
        let said = session.query(sql);
        let error = said.iter().find(|message| message.tag == b'E').unwrap().fields();
        assert!(error[&'M'].contains("refused: SET ROLE comes before it"), "{error:?}");
        let plans = world.belay.json("admin", &["plans", "--all"])["items"].as_array().unwrap().len();
        assert_eq!((plans, world.direct("SELECT count(*) FROM app.items WHERE price = 0").as_str()), (0, "0"));
    };
    refused(&mut session, "UPDATE app.items SET price = 0");
    assert_eq!(session.tags("RESET ROLE"), "CZ");
    for sql in ["BEGIN", "SET LOCAL ROLE clerk", "UPDATE app.items SET price = 0"] {
        assert_eq!(session.tags(sql), "CZ");
    }
    refused(&mut session, "COMMIT");
    let planned = session.query("UPDATE app.items SET price = 0");
    let error = planned.iter().find(|message| message.tag == b'E').unwrap().fields();
    assert!(error[&'M'].contains("planned, not applied: 3 rows of app.items would change"), "{error:?}");
    assert_eq!(session.tags("SET ROLE nobody_of_this_name"), "EZ");
    assert_eq!(world.direct("SELECT count(*) FROM app.items WHERE price = 0"), "0");
}

/// All of a table that is to come back, but its rows.
const SHAPE: &str = "SELECT c.oid, c.relfilenode, c.relowner, c.relacl, obj_description(c.oid), (SELECT string_agg(\
    i.indexrelid::regclass::text || pg_get_indexdef(i.indexrelid), ' ' ORDER BY i.indexrelid) FROM pg_index i \
    WHERE i.indrelid = c.oid), (SELECT string_agg(conname || pg_get_constraintdef(k.oid), ' ' ORDER BY conname) \
    FROM pg_constraint k WHERE conrelid = c.oid), pg_get_serial_sequence('app.notes', 'id') \
    FROM pg_class c WHERE c.oid = to_regclass('app.notes')";

const NOTES: &str = "CREATE TABLE app.notes (id serial PRIMARY KEY, item int NOT NULL REFERENCES app.items, note text);
    CREATE INDEX by_note ON app.notes (note); COMMENT ON TABLE app.notes IS 'a note'; GRANT SELECT ON app.notes TO PUBLIC;
    INSERT INTO app.notes (item, note) SELECT id, name FROM app.items;";
const TRASH: &str = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'belay_trash%'";

#[test]
fn a_table_that_is_dropped_at_once_waits_in_the_trash_and_comes_back_as_it_was() {
    let world = world();
    world.direct(NOTES);
    let ticket = ticket(&world, "direct", "app.*");
    world.sql(&ticket, "SELECT 1").ok();
    let (shape, rows) = (world.direct(SHAPE), world.direct("SELECT string_agg(n::text, ' ') FROM app.notes n"));
    let dropped = world.sql(&ticket, "DROP TABLE app.notes").ok();
    assert_eq!(dropped.out.trim(), "DROP TABLE");
    assert!(dropped.err.contains("app.notes is in the trash; undo: belay revert c_1"), "{}", dropped.err);
    assert_eq!(world.direct(SHAPE), "");
    world.direct("DELETE FROM app.items WHERE id = 3");
    let refused = world.belay.run("alice", &["-y", "revert", "c_1"]);
    assert!(refused.code != 0 && refused.err.contains("not reverted"), "{}{}", refused.out, refused.err);
    world.direct("INSERT INTO app.items VALUES (3, 'item 3', 3); CREATE TABLE app.notes ()");
    let taken = world.belay.run("alice", &["-y", "revert", "c_1"]);
    assert!(taken.code != 0 && taken.err.contains("already exists"), "{}{}", taken.out, taken.err);
    world.direct("DROP TABLE app.notes");
    world.belay.run("alice", &["revert", "c_1", "--dry-run"]).ok();
    assert_eq!(world.direct(SHAPE), "");
    world.belay.run("alice", &["-y", "revert", "c_1"]).ok();
    assert_eq!(world.direct(SHAPE), shape);
    assert_eq!(world.direct("SELECT string_agg(n::text, ' ') FROM app.notes n"), rows);
    assert_eq!(world.direct(TRASH), "0");
}

#[test]
fn a_table_that_is_dropped_is_planned_and_refused_where_it_could_not_come_back() {
    let world = world();
    world.direct(NOTES);
    world.direct(
        "CREATE TABLE app.parts (id int) PARTITION BY RANGE (id); CREATE TABLE app.part PARTITION OF app.parts DEFAULT",
    );
    let whole = ticket(&world, "write", "app.*");
    let refused = [
        ("DROP TABLE app.items", "other objects depend on it"),
        ("DROP TABLE app.items CASCADE", "other objects depend on it"),
        ("DROP TABLE app.part", "shares its rows with other tables"),
        ("DROP TABLE app.notes; SELECT 1", "in a message with other statements"),
        ("DROP TABLE app.notes, app.nothing", "there is no table"),
        ("DROP TABLE app.nothing", "does not exist"),
    ];
    for (text, said) in refused {
        let refused = world.sql(&whole, text);
        assert!(refused.code != 0 && refused.err.contains(said), "{text}: {}", refused.err);
    }
    let within = world.script(&whole, "BEGIN;\nDROP TABLE app.notes;\nROLLBACK;\nSELECT 'goes on';\n");
    assert!(within.err.contains("DROP TABLE within a transaction"), "{}", within.err);
    assert!(within.out.contains("goes on"), "{}", within.out);
    let planned = world.sql(&whole, "DROP TABLE IF EXISTS app.notes, app.items RESTRICT");
    assert!(planned.err.contains("planned, not applied: DROP TABLE app.items, app.notes; plan p_1"), "{}", planned.err);
    let shape = world.direct(SHAPE);
    assert_ne!(shape, "");
    applied(&world, "p_1");
    assert_eq!(world.direct("SELECT to_regclass('app.notes') IS NULL AND to_regclass('app.items') IS NULL"), "t");
    assert_eq!(world.direct(TRASH), "1");
    let back = world.belay.json("alice", &["revert", "c_1"]);
    applied(&world, back["id"].as_str().unwrap());
    assert_eq!(world.direct(SHAPE), shape);
}

#[tokio::test]
async fn drivers_that_prepare_everything_copy_truncate_and_drop_too() {
    let world = tokio::task::spawn_blocking(world).await.unwrap();
    world.direct(NOTES);
    let at_once = ticket(&world, "direct", "app.*");
    let client = world.belay.connect(&at_once, SAMPLE_DATABASE).await.unwrap();
    let before = world.direct("SELECT string_agg(n::text, ' ' ORDER BY id) FROM app.notes n");
    let copy = client.copy_in::<_, bytes::Bytes>("COPY app.notes (item, note) FROM STDIN").await.unwrap();
    let mut copy = std::pin::pin!(copy);
    copy.as_mut().send(bytes::Bytes::from_static(b"1\tone\n2\ttwo\n")).await.unwrap();
    assert_eq!(copy.as_mut().finish().await.unwrap(), 2);
    client.execute("TRUNCATE app.notes", &[]).await.unwrap();
    client.execute("DROP TABLE app.notes", &[]).await.unwrap();
    assert_eq!(client.query("SELECT id FROM app.items", &[]).await.unwrap().len(), 3);
    drop(client);
    let session = world.belay.json("alice", &["changes"])["items"][0]["session"].as_str().unwrap().to_owned();
    world.belay.run("alice", &["-y", "revert", &session]).ok();
    assert_eq!(world.direct("SELECT string_agg(n::text, ' ' ORDER BY id) FROM app.notes n"), before);
}
