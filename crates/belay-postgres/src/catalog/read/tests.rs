//! Against a real server, of any version.

use super::{Reading, fingerprint, read};
use crate::catalog::rows::{FIRST_USER_ID, FunctionRow, ReadRow, RelationKind, RelationRow, Rows, TypeRow};
use std::fmt::Write as _;
use std::time::{Duration, Instant};
use testkit::Postgres;
use tokio_postgres::Client;

const SCHEMA: &str = include_str!("tests/schema.sql");

async fn reading(client: &mut Client) -> Reading {
    read(client).await.unwrap()
}

/// A server with the schema of these tests.
async fn server() -> (Postgres, Client) {
    let postgres = Postgres::start();
    postgres.execute("postgres", SCHEMA).await;
    let client = postgres.client().await;
    (postgres, client)
}

fn relation<'r>(rows: &'r Rows, name: &str) -> &'r RelationRow {
    let (schema, name) = name.split_once('.').unwrap_or(("app", name));
    rows.relations.iter().find(|row| row.schema == schema && row.name == name).expect(name)
}

fn function<'r>(rows: &'r Rows, name: &str) -> &'r FunctionRow {
    let (schema, name) = name.split_once('.').unwrap_or(("app", name));
    rows.functions.iter().find(|row| row.schema == schema && row.name == name).expect(name)
}

fn type_named<'r>(rows: &'r Rows, name: &str) -> &'r TypeRow {
    rows.types.iter().find(|row| row.schema == "app" && row.name == name).expect(name)
}

fn names(rows: &Rows, functions: &[u32]) -> Vec<String> {
    let name = |id: &u32| rows.functions.iter().find(|row| row.id == *id).expect("a function").name.clone();
    let mut names: Vec<String> = functions.iter().map(name).collect();
    names.sort();
    names
}

fn calls_of(rows: &Rows, name: &str) -> Vec<String> {
    names(rows, &relation(rows, name).calls)
}

fn type_calls_of(rows: &Rows, name: &str) -> Vec<String> {
    names(rows, &type_named(rows, name).calls)
}

/// `people(1,2) v(0)`
fn reads_of(rows: &Rows, name: &str) -> String {
    let one = |read: &ReadRow| {
        let read_name = &rows.relations.iter().find(|row| row.id == read.relation).expect("a relation").name;
        let columns: Vec<String> = read.columns.iter().map(ToString::to_string).collect();
        format!("{read_name}({})", columns.join(","))
    };
    let mut reads: Vec<String> = relation(rows, name).reads.iter().map(one).collect();
    reads.sort();
    reads.join(" ")
}

#[tokio::test]
async fn relations_come_with_their_kinds_and_columns() {
    let (postgres, mut client) = server().await;
    let rows = reading(&mut client).await.rows;
    let kinds = [
        ("people", RelationKind::Table),
        ("adults", RelationKind::View),
        ("counted", RelationKind::MaterializedView),
        ("events", RelationKind::Partitioned),
        ("events_1", RelationKind::Table),
        ("people_id_seq", RelationKind::Sequence),
        ("people_pkey", RelationKind::Other),
        ("pair", RelationKind::Other),
        ("outside", RelationKind::Foreign),
        ("pg_catalog.pg_class", RelationKind::Table),
        ("pg_catalog.pg_stats", RelationKind::View),
        ("information_schema.tables", RelationKind::View),
    ];
    for (name, kind) in kinds {
        assert_eq!(relation(&rows, name).kind, kind, "{name}");
    }
    let columns: Vec<(i16, &str)> =
        relation(&rows, "people").columns.iter().map(|column| (column.number, column.name.as_str())).collect();
    assert_eq!(columns, [(1, "id"), (2, "name"), (4, "Age of"), (5, "boss")], "the third was dropped");
    let oid = postgres.scalar("postgres", "SELECT oid FROM pg_class WHERE relname = 'people'").await;
    let toast = relation(&rows, &format!("pg_toast.pg_toast_{oid}"));
    assert_eq!((toast.kind, toast.columns.len()), (RelationKind::Toast, 3));
    assert!(relation(&rows, "people_pkey").columns.is_empty());
    if postgres.major() < 16 {
        assert_eq!(relation(&rows, "turned").kind, RelationKind::View);
        assert_eq!((reads_of(&rows, "turned"), calls_of(&rows, "turned")), ("people(2)".into(), vec!["loud".into()]));
    }
}

#[tokio::test]
async fn views_say_which_columns_they_read() {
    let (_postgres, mut client) = server().await;
    let rows = reading(&mut client).await.rows;
    assert_eq!(reads_of(&rows, "adults"), "people(1,2,4)");
    assert_eq!(reads_of(&rows, "loud_adults"), "adults(2)");
    assert_eq!(reads_of(&rows, "how_many"), "people(0)");
    assert_eq!(reads_of(&rows, "as_rows"), "people(0,1)");
    assert_eq!(reads_of(&rows, "where_it_lies"), "people(0)");
    assert_eq!(reads_of(&rows, "counted"), "people(2)");
    assert_eq!(reads_of(&rows, "passwords"), "pg_authid(0)");
    assert_eq!(reads_of(&rows, "people"), "", "only views read");
}

#[tokio::test]
async fn relations_say_which_functions_reading_them_calls() {
    let (_postgres, mut client) = server().await;
    let rows = reading(&mut client).await.rows;
    assert_eq!(calls_of(&rows, "adults"), [""; 0]);
    assert_eq!(calls_of(&rows, "loud_adults"), ["loud"]);
    assert_eq!(calls_of(&rows, "by_operator"), ["loud_equals"]);
    let of_pair = ["compare_pairs", "is_even", "pair_below", "pair_text"];
    assert_eq!(calls_of(&rows, "by_cast"), of_pair, "the cast, and whatever its type may call");
    assert_eq!(calls_of(&rows, "by_domain"), ["is_even"]);
    assert_eq!(calls_of(&rows, "by_aggregate"), ["total"]);
    assert_eq!(calls_of(&rows, "by_own"), ["nextval"], "a volatile function of the database's own");
    assert_eq!(calls_of(&rows, "counted"), [""; 0], "what is stored is read");
    assert_eq!(calls_of(&rows, "secrets"), ["loud", "may_see"], "by the policy, and by the view that it looks into");
    assert_eq!(calls_of(&rows, "written"), [""; 0], "policies and rules for writes are not met by reads");
    assert_eq!(calls_of(&rows, "pg_catalog.pg_stats"), [""; 0]);
}

#[tokio::test]
async fn types_say_which_functions_their_values_call() {
    let (_postgres, mut client) = server().await;
    let rows = reading(&mut client).await.rows;
    assert_eq!(type_calls_of(&rows, "even"), ["is_even"]);
    assert_eq!(type_calls_of(&rows, "small_even"), ["is_even"], "by the domain below");
    assert_eq!(type_calls_of(&rows, "_even"), ["is_even"], "by the elements");
    assert_eq!(type_calls_of(&rows, "pair"), ["compare_pairs", "is_even", "pair_below"], "by a column, and in order");
    assert_eq!(type_calls_of(&rows, "by_domain"), ["is_even"], "a row of a view");
    assert_eq!(type_calls_of(&rows, "span"), ["compare_pairs", "is_even", "pair_below", "span_distance"]);
    assert_eq!(type_calls_of(&rows, "drawn"), ["nextval"]);
    assert_eq!(type_calls_of(&rows, "people"), [""; 0]);
    let even = type_named(&rows, "even");
    assert_eq!(even.base, 23);
    assert_eq!(type_named(&rows, "_even").element, even.id);
    assert_eq!(type_named(&rows, "pair").relation, relation(&rows, "pair").id);
    assert_eq!(type_named(&rows, "pair").category, 'C');
}

#[tokio::test]
async fn functions_come_as_they_can_be_called() {
    let (postgres, mut client) = server().await;
    let rows = reading(&mut client).await.rows;
    let loud = function(&rows, "loud");
    assert!(loud.volatile && !loud.definer && !loud.native && !loud.procedure && loud.extension.is_none());
    assert_eq!((loud.owner.as_str(), loud.returns), ("postgres", 25));
    let many = function(&rows, "many");
    assert_eq!(many.argument_names, ["app.pair", "integer[]"]);
    assert_eq!((many.variadic, many.volatile, many.definer), (true, false, true));
    let defaulted = function(&rows, "with_out");
    assert_eq!((defaulted.arguments.as_slice(), defaulted.defaults), ([23, 25].as_slice(), 1));
    assert!(!defaulted.volatile);
    assert!(function(&rows, "by_default").volatile, "its default draws a number, whatever it says of itself");
    assert!(function(&rows, "by_body").volatile, "its body calls a function whose default does");
    assert!(function(&rows, "act").procedure);
    let total = function(&rows, "total");
    assert!(total.volatile && total.definer && !total.native, "as its parts are");
    let sum = function(&rows, "pg_catalog.sum");
    assert!(!sum.volatile && sum.native);
    let language = function(&rows, "pg_catalog.plpgsql_call_handler");
    assert_eq!(language.extension.as_deref(), Some("plpgsql"));
    assert!(language.native);
    let available = "SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_trgm'";
    if postgres.scalar("postgres", available).await == "1" {
        postgres.execute("postgres", "CREATE EXTENSION pg_trgm SCHEMA app").await;
        let rows = reading(&mut client).await.rows;
        assert_eq!(function(&rows, "similarity").extension.as_deref(), Some("pg_trgm"));
    }
}

#[tokio::test]
async fn operators_casts_and_children_are_there() {
    let (_postgres, mut client) = server().await;
    let rows = reading(&mut client).await.rows;
    let operator = rows.operators.iter().find(|row| row.name == "===").unwrap();
    assert_eq!((operator.schema.as_str(), operator.left, operator.right, operator.result), ("app", 25, 25, 16));
    assert_eq!(operator.function, function(&rows, "loud_equals").id);
    let pair = type_named(&rows, "pair").id;
    let cast = rows.casts.iter().find(|row| row.source == pair).unwrap();
    assert_eq!((cast.target, cast.function, cast.implicit), (25, function(&rows, "pair_text").id, false));
    let children = |name| relation(&rows, name).children.clone();
    assert_eq!(children("people"), [relation(&rows, "staff").id]);
    assert!(children("events").is_empty(), "its parts are itself");
    assert!(!relation(&rows, "events").parts.is_empty() && relation(&rows, "people").parts.is_empty());
    assert!(rows.functions.len() > 3_000 && rows.operators.len() > 700 && rows.casts.len() > 200);
}

#[tokio::test]
async fn temporary_objects_of_sessions_are_left_out() {
    let (postgres, mut client) = server().await;
    let other = postgres.client().await;
    let before = fingerprint(&client).await.unwrap();
    other
        .batch_execute("CREATE TEMP TABLE people (a int DEFAULT 1); CREATE TEMP VIEW v AS SELECT * FROM people")
        .await
        .unwrap();
    assert_eq!(fingerprint(&client).await.unwrap(), before);
    let rows = reading(&mut client).await.rows;
    assert!(rows.relations.iter().all(|row| !row.schema.starts_with("pg_temp")));
    assert!(rows.types.iter().all(|row| !row.schema.starts_with("pg_temp")));
}

#[tokio::test]
async fn a_reader_without_rights_reads_the_same() {
    let (postgres, mut client) = server().await;
    postgres.execute("postgres", "CREATE ROLE nobody LOGIN PASSWORD 'nobody'").await;
    let settings =
        "ALTER ROLE nobody SET standard_conforming_strings = off; ALTER ROLE nobody SET quote_all_identifiers = on;
        ALTER ROLE nobody SET search_path = app, pg_catalog; ALTER ROLE nobody SET bytea_output = 'escape'";
    postgres.execute("postgres", settings).await;
    let mut nobody = postgres.login("nobody", "nobody", "postgres").await.unwrap();
    let (mine, theirs) = (reading(&mut nobody).await, reading(&mut client).await);
    assert_eq!(mine.fingerprint, theirs.fingerprint);
    assert_eq!(sorted(&mine.rows), sorted(&theirs.rows));
}

/// Everything as text, in an order of its own.
fn sorted(rows: &Rows) -> Vec<String> {
    let mut lines: Vec<String> = rows.relations.iter().map(|row| format!("{row:?}")).collect();
    lines.extend(rows.functions.iter().map(|row| format!("{row:?}")));
    lines.extend(rows.operators.iter().map(|row| format!("{row:?}")));
    lines.extend(rows.casts.iter().map(|row| format!("{row:?}")));
    lines.extend(rows.types.iter().map(|row| format!("{row:?}")));
    lines.sort();
    lines
}

#[tokio::test]
async fn the_fingerprint_notices_every_change_of_definition() {
    let (postgres, client) = server().await;
    let changes = [
        "ALTER TABLE app.people RENAME COLUMN name TO title",
        "ALTER TABLE app.people RENAME COLUMN title TO name",
        "ALTER TABLE app.written ALTER COLUMN a TYPE bigint",
        "ALTER TABLE app.people ADD COLUMN extra int",
        "ALTER TABLE app.people DROP COLUMN extra",
        "ALTER TABLE app.written RENAME TO scribbled",
        "BEGIN; DROP TABLE app.scribbled; CREATE TABLE app.scribbled (a int, b text); COMMIT",
        "ALTER TABLE app.scribbled SET SCHEMA public",
        "ALTER TABLE app.staff NO INHERIT app.people",
        "CREATE OR REPLACE VIEW app.adults AS SELECT id, name, \"Age of\" FROM app.people WHERE \"Age of\" > 21",
        "CREATE OR REPLACE FUNCTION app.loud() RETURNS text VOLATILE LANGUAGE plpgsql AS 'BEGIN RETURN 2; END'",
        "ALTER FUNCTION app.loud() STABLE",
        "ALTER FUNCTION app.loud() SECURITY DEFINER",
        "ALTER FUNCTION app.loud() SET work_mem = '1MB'",
        "CREATE ROLE owner; ALTER FUNCTION app.loud() OWNER TO owner",
        "ALTER ROLE owner RENAME TO keeper",
        "ALTER FUNCTION pg_catalog.lower(text) VOLATILE",
        "ALTER POLICY seen ON app.secrets USING (true)",
        "CREATE POLICY more ON app.secrets USING (app.may_see(1))",
        "ALTER DOMAIN app.even ADD CHECK (value <> 8)",
        "ALTER TYPE app.pair ADD ATTRIBUTE c int",
        "CREATE OPERATOR app.~~~ (LEFTARG = text, RIGHTARG = text, FUNCTION = app.loud_equals)",
        "DROP CAST (app.pair AS text) CASCADE",
        "ALTER SCHEMA app RENAME TO apple",
        "ALTER SCHEMA apple RENAME TO app",
        "CREATE RULE r AS ON INSERT TO app.people DO ALSO SELECT 1",
        "ALTER EXTENSION plpgsql ADD FUNCTION app.loud()",
        "ALTER TABLE app.events DETACH PARTITION app.events_1",
    ];
    let mut seen = fingerprint(&client).await.unwrap();
    for change in changes {
        postgres.execute("postgres", change).await;
        let now = fingerprint(&client).await.unwrap();
        assert_ne!(now, seen, "{change}");
        seen = now;
    }
}

#[tokio::test]
async fn the_fingerprint_stays_when_rows_and_access_lists_change() {
    let (postgres, client) = server().await;
    let seen = fingerprint(&client).await.unwrap();
    let harmless = [
        "INSERT INTO app.people (name) SELECT 'x' FROM generate_series(1, 100)",
        "VACUUM ANALYZE app.people",
        "CREATE ROLE reader; GRANT USAGE ON SCHEMA app TO reader; GRANT SELECT ON app.people TO reader",
        "GRANT SELECT (name) ON app.staff TO reader; GRANT EXECUTE ON FUNCTION app.loud() TO reader",
        "DROP OWNED BY reader; DROP ROLE reader",
        "SELECT nextval('app.people_id_seq')",
    ];
    for statement in harmless {
        postgres.execute("postgres", statement).await;
        assert_eq!(fingerprint(&client).await.unwrap(), seen, "{statement}");
    }
}

#[tokio::test]
async fn a_reading_carries_the_fingerprint_of_its_moment() {
    let (postgres, mut client) = server().await;
    let first = reading(&mut client).await;
    assert_eq!(fingerprint(&client).await.unwrap(), first.fingerprint);
    postgres.execute("postgres", "CREATE TABLE app.later ()").await;
    let second = reading(&mut client).await;
    assert_ne!(first.fingerprint, second.fingerprint);
    assert!(relation(&second.rows, "later").id >= FIRST_USER_ID);
}

#[tokio::test]
async fn a_thousand_tables_are_read_in_a_moment() {
    let postgres = Postgres::start();
    let mut client = postgres.client().await;
    let spent = |start: Instant| start.elapsed();
    let start = Instant::now();
    let small = reading(&mut client).await;
    let read_small = spent(start);
    let mut script = String::new();
    for n in 1..=1000 {
        let columns: Vec<String> = (1..=9).map(|c| format!("c{c} text")).collect();
        let _ = writeln!(script, "CREATE TABLE t{n} (id bigint PRIMARY KEY, {});", columns.join(", "));
    }
    for n in 1..=200 {
        let _ = writeln!(
            script,
            "CREATE VIEW v{n} AS SELECT t.*, lower(u.c1) AS low FROM t{n} t JOIN t{} u USING (id);",
            n + 1
        );
    }
    postgres.execute("postgres", &script).await;
    let start = Instant::now();
    let large = reading(&mut client).await;
    let read_large = spent(start);
    let start = Instant::now();
    assert_eq!(fingerprint(&client).await.unwrap(), large.fingerprint);
    let looked = spent(start);
    println!("read: {read_small:?} of the system's own, {read_large:?} with 1,000 tables; fingerprint: {looked:?}");
    assert!(large.rows.relations.len() > small.rows.relations.len() + 3_000);
    assert!(read_large < Duration::from_secs(10) && looked < Duration::from_secs(2));
}
