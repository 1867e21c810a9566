//! What leaves the transaction that calls it is told apart from what extensions do inside of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use belay_postgres::catalog::Catalog;
use belay_postgres::classify::{Classifier, Limits, SearchPath};
use std::collections::BTreeSet;
use testkit::Postgres;

/// Extensions whose functions pass, but for those that are named.
const BENIGN: [&str; 15] = [
    "btree_gin",
    "btree_gist",
    "citext",
    "cube",
    "earthdistance",
    "fuzzystrmatch",
    "hstore",
    "intarray",
    "ltree",
    "pg_trgm",
    "pgcrypto",
    "seg",
    "tablefunc",
    "unaccent",
    "uuid-ossp",
];

const SCHEMA: &str = "CREATE EXTENSION dblink; CREATE EXTENSION adminpack;
    CREATE LANGUAGE wild HANDLER plpgsql_call_handler INLINE plpgsql_inline_handler;
    CREATE FUNCTION wild_one() RETURNS int IMMUTABLE LANGUAGE wild AS 'BEGIN RETURN 1; END';
    CREATE PROCEDURE wild_act() LANGUAGE wild AS 'BEGIN END';
    CREATE FUNCTION tame() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
    CREATE PROCEDURE tame_act(int) LANGUAGE plpgsql AS 'BEGIN END';
    CREATE FUNCTION imported(text) RETURNS oid LANGUAGE internal AS 'be_lo_import';
    CREATE FUNCTION counted(text) RETURNS int IMMUTABLE STRICT LANGUAGE internal AS 'textlen';
    CREATE FUNCTION wild_step(int, int) RETURNS int LANGUAGE wild AS 'BEGIN RETURN 1; END';
    CREATE AGGREGATE wild_sum(int) (SFUNC = wild_step, STYPE = int);
    CREATE FUNCTION through() RETURNS text BEGIN ATOMIC SELECT dblink_exec('', ''); END;
    CREATE VIEW far AS SELECT dblink_exec('', '') AS done;
    CREATE OPERATOR <<<< (FUNCTION = wild_step, LEFTARG = int, RIGHTARG = int);
    CREATE DOMAIN wilds AS int CHECK (wild_one() = value);
    CREATE TABLE t(id int, v text)";

/// A text, and what in it leaves the transaction.
const TEXTS: &[(&str, &str)] = &[
    ("SELECT dblink_exec('host=x', 'DELETE FROM t')", "dblink_exec"),
    ("SELECT public.dblink_exec('host=x', 'DELETE FROM t')", "dblink_exec"),
    ("SELECT * FROM dblink('host=x', 'SELECT 1') AS r(a int)", "dblink"),
    ("SELECT dblink_send_query('a', 'DELETE FROM t')", "dblink_send_query"),
    ("INSERT INTO t SELECT 1, dblink_exec('host=x', 'DELETE FROM t')", "dblink_exec"),
    ("UPDATE t SET v = dblink_exec(v, 'x') WHERE id = 1", "dblink_exec"),
    ("EXPLAIN ANALYZE SELECT dblink_exec('host=x', 'DELETE FROM t')", "dblink_exec"),
    ("PREPARE p AS SELECT dblink_exec('host=x', $1)", "dblink_exec"),
    ("COPY (SELECT dblink_exec('host=x', 'DELETE FROM t')) TO STDOUT", "dblink_exec"),
    ("SELECT pg_file_write('x', 'y', false)", "pg_file_write"),
    ("SELECT imported('/etc/passwd')", "imported"),
    ("SELECT wild_one()", "wild_one"),
    ("SELECT wild_sum(id) FROM t", "wild_sum"),
    ("SELECT 1 <<<< id FROM t", "wild_step"),
    ("SELECT 1::wilds", "wild_one"),
    ("PREPARE p (wilds) AS SELECT 1", "wild_one"),
    ("SELECT through()", "through"),
    ("SELECT * FROM far", "dblink_exec"),
    ("CALL wild_act()", "wild_act"),
    ("CALL public.wild_act()", "wild_act"),
    ("CALL tame_act(wild_one())", "wild_one"),
    ("DO $$BEGIN PERFORM dblink_exec('host=x', 'DELETE FROM t'); END$$", "dblink_exec"),
    ("DO $$BEGIN PERFORM public.\"dblink_exec\"('host=x', 'DELETE FROM t'); END$$", "dblink_exec"),
    ("DO 'BEGIN EXECUTE ''SELECT DBLINK_EXEC(1)''; END'", "dblink_exec"),
    ("DO $$BEGIN UPDATE t SET v = 'dblinked'; END$$", ""),
    ("CALL tame_act(1)", ""),
    ("SELECT tame(), counted('x'), length('x'), now()", ""),
    ("INSERT INTO t VALUES (1, gen_salt('bf')), (2, uuid_generate_v4()::text), (3, uuid_generate_v1()::text)", ""),
    ("UPDATE t SET v = pgp_sym_encrypt(v, 'k')::text, id = normal_rand(1, 1, 1)::int", ""),
    ("SELECT set_limit(0.5), similarity('a', 'b'), 'a' % 'b', crypt('a', 'b'), digest('a', 'md5')", ""),
    ("SELECT 'a=>1'::hstore || 'b=>2', 'Top.A'::ltree @> 'Top', 'A'::citext = 'a', unaccent('é')", ""),
    ("SELECT nextval('t_id_seq'), random(), gen_random_uuid(), clock_timestamp()", ""),
];

#[tokio::test]
async fn what_leaves_the_transaction_is_known_and_benign_extensions_stay_inside() {
    let postgres = Postgres::start();
    let count = "SELECT count(*) FROM pg_available_extensions WHERE name IN ('dblink', 'adminpack', 'tablefunc')";
    if postgres.scalar("postgres", count).await != "3" {
        return;
    }
    for extension in BENIGN {
        postgres.execute("postgres", &format!("CREATE EXTENSION \"{extension}\"")).await;
    }
    let mut client = postgres.client().await;
    let rows = Catalog::rows_of_database(&mut client).await.unwrap();
    let outward: Vec<_> = rows.functions.iter().filter(|row| row.outward && row.returns != INTERNAL).collect();
    assert!(outward.iter().all(|row| takes_internal(row)), "{outward:#?}");
    postgres.execute("postgres", SCHEMA).await;
    let catalog = Catalog::of_database(&mut client).await.unwrap();
    let classifier = Classifier::new(Limits::default(), Some(catalog));
    let place = classifier.place(vec![SearchPath::new("public", "nobody").unwrap()], None, "nobody");
    let mut wrong = Vec::new();
    for (text, expected) in TEXTS {
        let reading = classifier.read(text, &place);
        let outward = reading.statements.iter().flat_map(|statement| &statement.outward);
        let found: BTreeSet<&str> = outward.clone().map(|function| function.name.as_str()).collect();
        let found = found.into_iter().collect::<Vec<_>>().join(" ");
        if found != *expected {
            wrong.push(format!("{text}\n  expected {expected:?}, found {found:?}"));
        }
        for function in outward {
            assert!(reading.statements.iter().any(|statement| statement.calls.contains(function)), "{text}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The type `internal`: what has to do with it cannot be called from SQL.
const INTERNAL: u32 = 2281;

fn takes_internal(function: &belay_postgres::catalog::rows::FunctionRow) -> bool {
    function.arguments.contains(&INTERNAL) || ["trigger", "handler"].iter().any(|part| function.name.contains(part))
}
