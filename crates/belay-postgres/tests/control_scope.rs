//! What a grant's role can and cannot read in a real PostgreSQL: columns, patterns, masks, row filters, functions.
//!
//! Everything is tried over a connection of the role itself, past the gateway.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

use belay_engine::{Control, ControlFailure, RoleSpec, TargetAccess};
use belay_model::{Bounds, Effects, Mask, MaskKind, Resource, RowFilter, Target, Timestamp};
use belay_postgres::{PgControl, setup_sql};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use testkit::Postgres;
use tokio::sync::OnceCell;
use tokio_postgres::Client;

const CONTROL_PASSWORD: &str = "belay's own";

const SHOP: &str = "
CREATE SCHEMA app; CREATE SCHEMA hr;
CREATE TABLE app.customers (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text, email text, ssn text);
CREATE TABLE app.orders (id int PRIMARY KEY, customer_id int, total numeric, note text);
CREATE TABLE app.orders_old (id int PRIMARY KEY, customer_id int);
CREATE TABLE hr.salaries (person text, amount int);
INSERT INTO app.customers (name, email, ssn) SELECT 'n' || n, 'e' || n, 's' || n FROM generate_series(1, 20) n;
INSERT INTO app.orders SELECT n, n % 10, n * 10, 'note ' || n FROM generate_series(1, 100) n;
INSERT INTO hr.salaries VALUES ('ann', 1);
CREATE VIEW app.pay AS SELECT person, amount FROM hr.salaries;
CREATE VIEW app.pay_twice AS SELECT person FROM app.pay;
CREATE VIEW app.totals AS SELECT customer_id, sum(total) FROM app.orders GROUP BY 1;
CREATE VIEW app.contacts AS SELECT id, ssn FROM app.customers;
CREATE VIEW app.rows AS SELECT c FROM app.customers c;
CREATE VIEW app.names AS SELECT id, name FROM app.customers;
CREATE TABLE app.events (id int, secret text) PARTITION BY RANGE (id);
CREATE TABLE app.events_1 PARTITION OF app.events FOR VALUES FROM (0) TO (100);
INSERT INTO app.events VALUES (1, 'x');
CREATE TABLE app.animals (name text); CREATE TABLE hr.cats (lives int) INHERITS (app.animals);
CREATE FUNCTION app.money(numeric) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1::text';
CREATE FUNCTION app.money(int) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1::text';
REVOKE EXECUTE ON FUNCTION app.money(numeric), app.money(int) FROM PUBLIC;
CREATE FUNCTION public.leak(value text) RETURNS bool LANGUAGE plpgsql COST 0.0000001
    AS $$ BEGIN RAISE EXCEPTION 'leaked %', value; END $$;
CREATE FUNCTION public.mine(int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true';
";

async fn server() -> &'static Postgres {
    static SERVER: OnceCell<Postgres> = OnceCell::const_new();
    let start = || async {
        let postgres = Postgres::start();
        postgres.execute("postgres", "CREATE DATABASE shop").await;
        postgres.execute("shop", SHOP).await;
        postgres.execute("shop", &setup_sql("belay", Some(CONTROL_PASSWORD))).await;
        let rights = "GRANT CREATE ON DATABASE shop TO belay;
            GRANT EXECUTE ON FUNCTION app.money(numeric), app.money(int) TO belay WITH GRANT OPTION";
        postgres.execute("shop", rights).await;
        postgres
    };
    SERVER.get_or_init(start).await
}

fn control_of(postgres: &Postgres, user: &str, password: &str) -> PgControl {
    let target = Target {
        name: "shop".parse().unwrap(),
        protocol: "postgres".to_owned(),
        host: postgres.host().to_owned(),
        port: postgres.port(),
        database: "shop".to_owned(),
        user: user.to_owned(),
        tls: "verify-full".to_owned(),
        ca_pem: Some(postgres.certificates().ca.clone()),
    };
    PgControl::new(&TargetAccess { target, password: password.into() })
}

fn humble(postgres: &Postgres) -> PgControl {
    control_of(postgres, "belay", CONTROL_PASSWORD)
}

fn mighty(postgres: &Postgres) -> PgControl {
    control_of(postgres, postgres.superuser(), postgres.password())
}

/// A role of its own for each call.
fn spec(resources: &[&str]) -> RoleSpec {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap();
    RoleSpec {
        name: format!("belay_t2_g_{}", NEXT.fetch_add(1, Ordering::Relaxed)),
        comment: "belay: grant g_1 of ann".to_owned(),
        valid_until: Timestamp(now + 600_000_000),
        connection_limit: 8,
        effects: Effects::READ,
        resources: resources.iter().map(|text| text.parse::<Resource>().unwrap()).collect(),
        bounds: Bounds::default(),
        masks: Vec::new(),
        database: "shop".to_owned(),
    }
}

fn filter(table: &str, predicate: &str) -> RowFilter {
    RowFilter { table: table.parse().unwrap(), predicate: predicate.to_owned() }
}

fn withheld(column: &str) -> Mask {
    Mask { column: column.parse().unwrap(), kind: MaskKind::Withheld }
}

async fn login(postgres: &Postgres, control: &PgControl, spec: &RoleSpec) -> Client {
    let password = control.ensure_role(spec).await.unwrap();
    postgres.login(&spec.name, &password, "shop").await.expect("role logs in")
}

/// `ok`, or the SQLSTATE.
async fn outcome(client: &Client, sql: &str) -> String {
    match client.batch_execute(sql).await {
        Ok(()) => "ok".to_owned(),
        Err(error) => error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned()),
    }
}

async fn expect(client: &Client, expected: &[(&str, &str)]) {
    for (sql, outcome_expected) in expected {
        assert_eq!(outcome(client, sql).await, *outcome_expected, "{sql}");
    }
}

async fn count(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// As the superuser, in line with the control side's changes of access lists.
async fn alter(postgres: &Postgres, sql: &str) {
    postgres.execute("shop", &format!("SELECT pg_advisory_xact_lock(422424500); {sql}")).await;
}

#[tokio::test]
async fn a_role_of_columns_reads_these_columns_and_no_others() {
    let postgres = server().await;
    for control in [humble(postgres), mighty(postgres)] {
        let mut spec = spec(&["app.customers.id", "app.customers.name", "app.orders"]);
        let client = login(postgres, &control, &spec).await;
        let expected = [
            ("SELECT id, name FROM app.customers WHERE name <> ''", "ok"),
            ("SELECT count(*) FROM app.customers", "ok"),
            ("SELECT * FROM app.orders", "ok"),
            ("SELECT email FROM app.customers", "42501"),
            ("SELECT * FROM app.customers", "42501"),
            ("SELECT c FROM app.customers c", "42501"),
            ("SELECT id FROM app.customers ORDER BY ssn", "42501"),
            ("COPY app.customers TO STDOUT", "42501"),
            ("SELECT FROM app.names", "42501"),
        ];
        expect(&client, &expected).await;
        let shown = "SELECT count(*) FROM pg_stats WHERE tablename = 'customers' AND attname IN ('email', 'ssn')";
        assert_eq!(count(&client, shown).await, 0);
        // Less is put right too.
        spec.resources.remove(1);
        control.ensure_role(&spec).await.unwrap();
        expect(&client, &[("SELECT name FROM app.customers", "42501"), ("SELECT id FROM app.customers", "ok")]).await;
        spec.resources[0] = "app.customers".parse().unwrap();
        control.ensure_role(&spec).await.unwrap();
        expect(&client, &[("SELECT * FROM app.customers", "ok")]).await;
        control.end_role(&spec.name).await.unwrap();
    }
}

#[tokio::test]
async fn a_pattern_covers_the_tables_of_its_name_and_new_ones_at_the_next_session() {
    let postgres = server().await;
    let control = humble(postgres);
    let spec = spec(&["app.orders*"]);
    let client = login(postgres, &control, &spec).await;
    let expected = [
        ("SELECT FROM app.orders", "ok"),
        ("SELECT FROM app.orders_old", "ok"),
        ("SELECT FROM app.customers", "42501"),
        ("SELECT FROM hr.salaries", "42501"),
    ];
    expect(&client, &expected).await;
    postgres.execute("shop", "CREATE TABLE app.orders_new (id int)").await;
    expect(&client, &[("SELECT FROM app.orders_new", "42501")]).await;
    control.ensure_role(&spec).await.unwrap();
    expect(&client, &[("SELECT FROM app.orders_new", "ok")]).await;
    control.end_role(&spec.name).await.unwrap();
    postgres.execute("shop", "DROP TABLE app.orders_new").await;
}

#[tokio::test]
async fn views_of_a_pattern_that_read_more_than_is_named_are_left_out() {
    let postgres = server().await;
    let control = humble(postgres);
    let mut spec = spec(&["app.*"]);
    let client = login(postgres, &control, &spec).await;
    let expected = [
        ("SELECT FROM app.totals", "ok"),
        ("SELECT FROM app.contacts", "ok"),
        ("SELECT FROM app.pay", "42501"),
        ("SELECT FROM app.pay_twice", "42501"),
    ];
    expect(&client, &expected).await;
    let found = control.feasible(&spec).await.unwrap();
    assert_eq!(found.against, [""; 0]);
    assert!(found.notes.iter().any(|note| note.contains("app.pay") && note.contains("app.pay_twice")), "{found:?}");
    spec.resources.push("app.pay".parse().unwrap());
    control.ensure_role(&spec).await.unwrap();
    expect(&client, &[("SELECT FROM app.pay", "ok"), ("SELECT FROM hr.salaries", "42501")]).await;
    spec.masks = vec![withheld("app.customers.ssn")];
    control.ensure_role(&spec).await.unwrap();
    let expected = [
        ("SELECT FROM app.names", "ok"),
        ("SELECT FROM app.contacts", "42501"),
        ("SELECT FROM app.rows", "42501"),
        ("SELECT FROM app.totals", "ok"),
    ];
    expect(&client, &expected).await;
    control.end_role(&spec.name).await.unwrap();
}

#[tokio::test]
async fn a_withheld_column_is_not_granted_and_new_columns_are() {
    let postgres = server().await;
    let control = humble(postgres);
    postgres.execute("shop", "CREATE TABLE app.cards (id int, number text, owner text)").await;
    let mut spec = spec(&["app.*"]);
    spec.masks = vec![withheld("app.cards.number"), withheld("app.events.secret")];
    let client = login(postgres, &control, &spec).await;
    let expected = [
        ("SELECT id, owner FROM app.cards", "ok"),
        ("SELECT number FROM app.cards", "42501"),
        ("SELECT * FROM app.cards", "42501"),
        ("SELECT id FROM app.cards WHERE number = '1'", "42501"),
        ("SELECT secret FROM app.events", "42501"),
        ("SELECT secret FROM app.events_1", "42501"),
        ("SELECT id FROM app.events_1", "ok"),
    ];
    expect(&client, &expected).await;
    postgres.execute("shop", "ALTER TABLE app.cards ADD COLUMN city text").await;
    expect(&client, &[("SELECT city FROM app.cards", "42501")]).await;
    control.ensure_role(&spec).await.unwrap();
    expect(&client, &[("SELECT city FROM app.cards", "ok"), ("SELECT number FROM app.cards", "42501")]).await;
    spec.masks.clear();
    control.ensure_role(&spec).await.unwrap();
    expect(&client, &[("SELECT * FROM app.cards", "ok")]).await;
    control.end_role(&spec.name).await.unwrap();
    postgres.execute("shop", "DROP TABLE app.cards").await;
}

#[tokio::test]
async fn only_some_rows_are_read_through_a_view_that_leaks_nothing() {
    let postgres = server().await;
    for control in [humble(postgres), mighty(postgres)] {
        let mut spec = spec(&["app.orders.id", "app.orders.total", "app.orders.customer_id", "app.customers"]);
        spec.bounds.rows = vec![filter("app.orders", "customer_id = 7 -- hers")];
        assert_eq!(control.feasible(&spec).await.unwrap().against, [""; 0]);
        let client = login(postgres, &control, &spec).await;
        assert_eq!(count(&client, "SELECT count(*) FROM orders").await, 10);
        assert_eq!(count(&client, "SELECT count(*) FROM orders WHERE customer_id <> 7").await, 0);
        let expected = [
            ("SELECT id, total, customer_id FROM orders", "ok"),
            ("SELECT note FROM orders", "42703"),
            ("SELECT FROM app.orders", "42501"),
            ("SELECT FROM app.totals", "42501"),
            ("SELECT id FROM app.customers", "ok"),
            ("SET default_transaction_read_only = off", "ok"),
        ];
        expect(&client, &expected).await;
        // A function that tells what it sees must not see the other rows.
        let sql = "SELECT id FROM orders WHERE public.leak(customer_id::text)";
        let error = client.batch_execute(sql).await.unwrap_err();
        assert_eq!(error.as_db_error().unwrap().message(), "leaked 7");
        expect(&client, &[("DELETE FROM orders", "42501"), ("CREATE TABLE t ()", "42501")]).await;
        let path = client.query_one("SHOW search_path", &[]).await.unwrap().get::<_, String>(0);
        assert_eq!(path, format!("{}, \"$user\", public", spec.name));
        // Another column of the table, and a table that was replaced.
        spec.resources.push("app.orders.note".parse().unwrap());
        control.ensure_role(&spec).await.unwrap();
        expect(&client, &[("SELECT note FROM orders", "ok")]).await;
        let schemas = format!("SELECT count(*) FROM pg_namespace WHERE nspname = '{}'", spec.name);
        assert_eq!(postgres.scalar("shop", &schemas).await, "1");
        assert_eq!(control.roles(&spec.name).await.unwrap(), [spec.name.clone()]);
        control.end_role(&spec.name).await.unwrap();
        assert_eq!(postgres.scalar("shop", &schemas).await, "0");
        assert!(control.roles(&spec.name).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn the_schema_of_a_role_that_somebody_dropped_is_found_and_dropped() {
    let postgres = server().await;
    let control = humble(postgres);
    let mut spec = spec(&["app.orders"]);
    spec.bounds.rows = vec![filter("app.orders", "customer_id = 7")];
    control.ensure_role(&spec).await.unwrap();
    let name = &spec.name;
    alter(postgres, &format!("DROP OWNED BY {name}; DROP ROLE {name}")).await;
    assert_eq!(control.roles(name).await.unwrap(), std::slice::from_ref(name));
    control.end_role(name).await.unwrap();
    assert!(control.roles(name).await.unwrap().is_empty());
}

#[tokio::test]
async fn another_grant_of_everything_does_not_reach_the_filter_views() {
    let postgres = server().await;
    let control = humble(postgres);
    let (mut filtered, all) = (spec(&["app.orders"]), spec(&["*.*"]));
    filtered.bounds.rows = vec![filter("app.orders", "customer_id = 7")];
    control.ensure_role(&filtered).await.unwrap();
    let client = login(postgres, &control, &all).await;
    expect(&client, &[(&format!("SELECT FROM {}.orders", filtered.name), "42501"), ("SELECT FROM app.orders", "ok")])
        .await;
    control.end_role(&filtered.name).await.unwrap();
    control.end_role(&all.name).await.unwrap();
}

#[tokio::test]
async fn a_function_is_called_where_the_grant_names_it() {
    let postgres = server().await;
    let control = humble(postgres);
    let mut spec = spec(&["app.orders"]);
    spec.bounds.functions = vec!["app.money(numeric)".parse().unwrap()];
    let client = login(postgres, &control, &spec).await;
    expect(&client, &[("SELECT app.money(1.5)", "ok"), ("SELECT app.money(1)", "42501")]).await;
    spec.bounds.functions.clear();
    control.ensure_role(&spec).await.unwrap();
    expect(&client, &[("SELECT app.money(1.5)", "42501"), ("SELECT FROM app.orders", "ok")]).await;
    control.end_role(&spec.name).await.unwrap();
}

#[tokio::test]
async fn budgets_are_settings_of_the_role_too() {
    let postgres = server().await;
    let mut spec = spec(&["app.orders"]);
    let budgets = &mut spec.bounds.budgets;
    budgets.statement_time = Some("30s".parse().unwrap());
    budgets.lock_wait = Some("2s".parse().unwrap());
    budgets.temporary_bytes = Some(10 << 20);
    assert!(humble(postgres).feasible(&spec).await.unwrap().against[0].contains("temp_file_limit"));
    assert_eq!(mighty(postgres).feasible(&spec).await.unwrap().against, [""; 0]);
    for (control, limit) in [(humble(postgres), "-1"), (mighty(postgres), "10MB")] {
        let client = login(postgres, &control, &spec).await;
        for (name, value) in [("statement_timeout", "30s"), ("lock_timeout", "2s"), ("temp_file_limit", limit)] {
            let row = client.query_one("SELECT current_setting($1)", &[&name]).await.unwrap();
            assert_eq!(row.get::<_, String>(0), value, "{name}");
        }
        control.end_role(&spec.name).await.unwrap();
    }
}

#[tokio::test]
async fn a_role_of_everything_does_what_the_control_user_may_and_leaves_its_work_behind() {
    let postgres = server().await;
    let control = mighty(postgres);
    let mut spec = spec(&["*.*"]);
    spec.effects = Effects::ALL;
    assert_eq!(control.feasible(&spec).await.unwrap().against, [""; 0]);
    let client = login(postgres, &control, &spec).await;
    let expected = [
        ("CREATE TABLE app.made (id int)", "ok"),
        ("INSERT INTO app.made VALUES (1)", "ok"),
        ("SELECT FROM pg_authid", "ok"),
        ("CREATE SCHEMA left_over; CREATE TABLE left_over.t ()", "ok"),
    ];
    expect(&client, &expected).await;
    // Narrowed, it is an ordinary role again.
    spec.effects = Effects::READ;
    spec.resources = vec!["app.made".parse().unwrap()];
    control.ensure_role(&spec).await.unwrap();
    control.end_backends(&spec.name).await.unwrap();
    let client = login(postgres, &control, &spec).await;
    let expected = [
        ("SELECT FROM pg_authid", "42501"),
        ("SET default_transaction_read_only = off", "ok"),
        ("INSERT INTO app.made VALUES (2)", "42501"),
        ("SELECT FROM app.made", "ok"),
    ];
    expect(&client, &expected).await;
    spec.effects = Effects::ALL;
    control.ensure_role(&spec).await.unwrap();
    control.end_backends(&spec.name).await.unwrap();
    let client = login(postgres, &control, &spec).await;
    expect(&client, &[("CREATE TABLE app.made_too ()", "ok")]).await;
    assert_eq!(control.end_role(&spec.name).await.unwrap(), 1);
    assert!(control.roles(&spec.name).await.unwrap().is_empty());
    let owners = "SELECT string_agg(DISTINCT relowner::regrole::text, ',') FROM pg_class WHERE relname IN ('made', 'made_too', 't')";
    assert_eq!(postgres.scalar("shop", owners).await, "postgres");
    postgres.execute("shop", "DROP TABLE app.made, app.made_too; DROP SCHEMA left_over CASCADE").await;
}

#[tokio::test]
async fn a_control_user_that_is_no_superuser_passes_on_the_roles_it_may() {
    let postgres = Postgres::start();
    postgres.execute("postgres", "CREATE DATABASE shop").await;
    postgres.execute("shop", &setup_sql("belay", Some(CONTROL_PASSWORD))).await;
    let control = humble(&postgres);
    let mut spec = spec(&["*.*"]);
    spec.effects = Effects::ALL;
    let found = control.feasible(&spec).await.unwrap();
    assert!(found.against[0].contains("WITH ADMIN OPTION"), "{found:?}");
    let owner = "CREATE ROLE owner; GRANT owner TO belay WITH ADMIN OPTION; CREATE SCHEMA app AUTHORIZATION owner;
        CREATE TABLE app.t (id int); ALTER TABLE app.t OWNER TO owner; GRANT CONNECT ON DATABASE shop TO owner";
    postgres.execute("shop", owner).await;
    assert_eq!(control.feasible(&spec).await.unwrap().against, [""; 0]);
    let client = login(&postgres, &control, &spec).await;
    expect(&client, &[("INSERT INTO app.t VALUES (1)", "ok"), ("CREATE TABLE app.made ()", "ok")]).await;
    assert_eq!(control.end_role(&spec.name).await.unwrap(), 1);
    let owner = "SELECT relowner::regrole FROM pg_class WHERE relname = 'made'";
    assert_eq!(postgres.scalar("shop", owner).await, "belay");
}

#[tokio::test]
async fn what_a_target_cannot_keep_is_refused_before_it_is_granted() {
    let postgres = server().await;
    let control = humble(postgres);
    let against = async |resources: &[&str], rows: &[(&str, &str)], functions: &[&str]| {
        let mut spec = spec(resources);
        spec.bounds.rows = rows.iter().map(|(table, predicate)| filter(table, predicate)).collect();
        spec.bounds.functions = functions.iter().map(|text| text.parse().unwrap()).collect();
        spec.masks = vec![withheld("app.customers.ssn")];
        control.feasible(&spec).await.unwrap().against.join("; ")
    };
    let rows = async |predicate: &str| against(&["app.*", "hr.*"], &[("app.customers", predicate)], &[]).await;
    for (found, expected) in [
        (against(&["app.nothing"], &[], &[]).await, "`app.nothing` is not in the target"),
        (against(&["app.orders.colour"], &[], &[]).await, "there is no column `app.orders.colour`"),
        (against(&["app.orders"], &[], &["app.nope"]).await, "there is no function `app.nope`"),
        (against(&["app.animals.name"], &[], &[]).await, "a read of app.animals also reads hr.cats"),
        (against(&["app.orders"], &[("hr.salaries", "true")], &[]).await, "does not name"),
        (against(&["app.orders"], &[("app.nothing", "true")], &[]).await, "does not name"),
        (rows("id =").await, "is not one boolean expression"),
        (rows("id").await, "argument of WHERE must be type boolean"),
        (rows("colour = 1").await, "column \"colour\" does not exist"),
        (rows("true) UNION SELECT (1").await, "is not one boolean expression"),
        (rows("EXISTS (SELECT FROM hr.salaries)").await, "`hr.salaries`"),
        (rows("id IN (SELECT id FROM app.customers)").await, "holds a query"),
        (rows("public.mine(id)").await, "calls `public.mine(integer)`"),
        (rows("id > random()").await, "calls `random()`, which is volatile"),
        (rows("ssn = '1'").await, "uses the masked column `ssn`"),
        (rows("customers IS NOT NULL").await, "takes a row as a whole"),
    ] {
        assert!(found.contains(expected), "{found} / {expected}");
    }
    assert_eq!(rows("id = 7 AND lower(name) LIKE 'n%' OR name IN ('a', 'b')").await, "");
    let leftovers = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'belay\\_try%'";
    assert_eq!(postgres.scalar("shop", leftovers).await, "0");
    let mut elsewhere = spec(&["nowhere/app.orders"]);
    elsewhere.database = "nowhere".to_owned();
    assert_eq!(control.feasible(&elsewhere).await.unwrap_err().failure, ControlFailure::Other);
}

#[tokio::test]
async fn row_filters_need_a_control_user_that_may_make_views_and_a_table_that_is_not_open_to_all() {
    let postgres = Postgres::start();
    postgres.execute("postgres", "CREATE DATABASE shop").await;
    postgres
        .execute("shop", "CREATE SCHEMA a; CREATE TABLE a.t (id int); CREATE SCHEMA b; CREATE TABLE b.t (id int)")
        .await;
    postgres.execute("shop", &setup_sql("belay", Some(CONTROL_PASSWORD))).await;
    let control = humble(&postgres);
    let mut spec = spec(&["a.*", "b.*"]);
    spec.bounds.rows = vec![filter("a.t", "id = 1"), filter("b.t", "id = 1")];
    let against = control.feasible(&spec).await.unwrap().against.join("; ");
    assert!(against.contains("`GRANT CREATE ON DATABASE \"shop\" TO \"belay\"` lets it"), "{against}");
    assert!(against.contains("two tables named `t` are filtered"), "{against}");
    postgres.execute("shop", "GRANT CREATE ON DATABASE shop TO belay").await;
    spec.bounds.rows.pop();
    assert_eq!(control.feasible(&spec).await.unwrap().against, [""; 0]);
    postgres.execute("shop", "GRANT SELECT ON a.t TO PUBLIC; GRANT USAGE ON SCHEMA a TO PUBLIC").await;
    let against = control.feasible(&spec).await.unwrap().against.join("; ");
    assert!(against.contains("everybody may read it (PUBLIC)"), "{against}");
    assert_eq!(control.ensure_role(&spec).await.unwrap_err().failure, ControlFailure::Forbidden);
}

#[tokio::test]
async fn patterns_can_be_taken_as_the_tables_that_exist() {
    let postgres = server().await;
    let found = humble(postgres).feasible(&spec(&["app.order*", "app.customers.id"])).await.unwrap();
    let existing: Vec<String> = found.existing.iter().map(ToString::to_string).collect();
    assert_eq!(existing, ["app.orders", "app.orders_old", "app.customers.id"]);
}

#[tokio::test]
async fn columns_that_look_as_if_they_should_be_masked_are_found_by_their_names() {
    let postgres = server().await;
    let suspects = humble(postgres).sensitive_columns().await.unwrap();
    let found: Vec<String> = suspects.iter().map(|suspect| suspect.column.to_string()).collect();
    assert!(found.contains(&"app.customers.email".to_owned()) && found.contains(&"app.customers.ssn".to_owned()));
    assert!(!found.contains(&"app.customers.name".to_owned()), "{found:?}");
}

#[tokio::test]
async fn a_request_to_write_where_nothing_can_be_written_is_refused_before_it_is_granted() {
    let postgres = server().await;
    let control = humble(postgres);
    let asked = async |resources: &[&str]| {
        let mut spec = spec(resources);
        spec.effects = Effects { write: true, ..Effects::READ };
        control.feasible(&spec).await.unwrap()
    };
    let tables = "CREATE SCHEMA till; CREATE TABLE till.open (id int); CREATE TABLE till.shut (id int);
        GRANT USAGE ON SCHEMA till TO belay WITH GRANT OPTION;
        GRANT SELECT ON ALL TABLES IN SCHEMA till TO belay WITH GRANT OPTION";
    postgres.execute("shop", tables).await;
    for resource in ["till.open", "till.*"] {
        let found = asked(&[resource]).await;
        let expected = "the control user may not grant INSERT, UPDATE or DELETE on `till.open`";
        assert!(found.against.iter().any(|text| text.starts_with(expected)), "{resource}: {found:?}");
    }
    postgres.execute("shop", "GRANT UPDATE ON till.open TO belay WITH GRANT OPTION").await;
    let found = asked(&["till.*"]).await;
    assert_eq!(found.against, [""; 0]);
    let expected = "read only, because the control user may not grant INSERT, UPDATE or DELETE: `till.shut`";
    assert!(found.notes.iter().any(|note| note == expected), "{found:?}");
    assert_eq!(asked(&["till.open"]).await.against, [""; 0]);
    assert!(asked(&["till.shut"]).await.against[0].contains("`till.shut`; `GRANT INSERT"), "a table by its name");
    postgres.execute("shop", "REVOKE TEMPORARY ON DATABASE shop FROM PUBLIC").await;
    let against = asked(&["till.open"]).await.against;
    assert!(against[0].ends_with(r#"`GRANT TEMPORARY ON DATABASE "shop" TO "belay"` lets it"#), "{against:?}");
    postgres.execute("shop", "GRANT TEMPORARY ON DATABASE shop TO PUBLIC").await;
    let mut reads = spec(&["till.*"]);
    reads.effects = Effects::READ;
    assert_eq!(control.feasible(&reads).await.unwrap().against, [""; 0]);
    postgres.execute("shop", "DROP SCHEMA till CASCADE").await;
}
