//! What a request can be bounded to, and masks: as people write and read them, and as the database keeps them.

use e2e::World;
use serde_json::{Value, json};
use testkit::Ticket;

/// Asks as alice, approves as bob.
fn granted(world: &World, words: &[&str]) -> (Value, Ticket) {
    let asked = world.belay.json("alice", &[&["request", "orders", "--for", "30m", "-m", "a test"], words].concat());
    let approved = world.belay.json("bob", &["approve", asked["id"].as_str().unwrap()]);
    let grant = approved["grant"]["id"].as_str().unwrap().to_owned();
    (asked, world.belay.claim("alice", &grant))
}

/// Whether the grant's role holds SELECT on a column, once a session has made it.
fn holds(world: &World, ticket: &Ticket, table: &str, column: &str) -> bool {
    let role = world.role(ticket);
    assert!(!role.is_empty(), "no session has made the role");
    let sql = format!("SELECT has_column_privilege('{role}', '{table}', '{column}', 'SELECT')");
    world.direct(&sql) == "t"
}

#[test]
fn the_terms_of_a_request_are_shown_to_everybody_who_has_to_do_with_it() {
    let world = World::shared();
    let words = [
        "public.orders.id",
        "public.orders.total",
        "--rows",
        "public.orders: customer_id = 7",
        "--function",
        "public.order_total(int)",
        "--max-rows",
        "100",
        "--max-bytes",
        "10MB",
        "--statement-time",
        "30s",
        "--lock-wait",
        "2s",
        "--temp-bytes",
        "1GB",
        "--max-connections",
        "3",
        "--statements-per-minute",
        "60",
    ];
    let (asked, ticket) = granted(world, &words);
    assert!(asked["notes"][0].as_str().unwrap().contains("while the grant lives"), "{asked}");
    let bounds = json!({
        "functions": ["public.order_total(integer)"],
        "rows": [{"table": "public.orders", "predicate": "customer_id = 7"}],
        "budgets": {"rows": 100, "bytes": 10_485_760, "statement_time": "30s", "lock_wait": "2s",
            "temporary_bytes": 1_073_741_824, "connections": 3, "statements_per_minute": 60},
    });
    let shown = world.belay.json("alice", &["grants", "show", &ticket.grant]);
    assert_eq!((&asked["bounds"], &shown["bounds"]), (&bounds, &bounds));
    assert_eq!(shown["new_tables"], json!(false));
    let card = world.belay.run("alice", &["grants", "show", &ticket.grant]).ok().out;
    let line = "rows of public.orders where customer_id = 7; may call public.order_total(integer); \
         at most 100 rows a statement, at most 10MB a statement, at most 30s a statement, waits at most 2s for a lock, \
         at most 1GB of temporary files, at most 3 connections, at most 60 statements a minute";
    assert!(card.contains(line), "{card}");
    let request = asked["id"].as_str().unwrap();
    let found = world.belay.json("admin", &["audit", "search", "kind:request_made", "--limit", "200"]);
    let made = found["items"].as_array().unwrap().iter().find(|entry| entry["fields"]["request"] == request);
    assert_eq!(made.unwrap()["fields"]["bounds"]["rows"][0]["predicate"], "customer_id = 7");
}

#[test]
fn a_pattern_covers_new_tables_unless_only_the_existing_are_asked_for() {
    let world = World::shared();
    let (asked, _) = granted(world, &["public.order*"]);
    assert_eq!((&asked["resources"], &asked["new_tables"]), (&json!(["public.order*"]), &json!(true)));
    let card = world.belay.run("bob", &["requests", asked["id"].as_str().unwrap()]).ok().out;
    assert!(card.contains("public.order* (new tables too)"), "{card}");
    let (asked, _) = granted(world, &["public.order*", "--existing-only"]);
    assert_eq!((&asked["resources"], &asked["new_tables"]), (&json!(["public.orders"]), &json!(false)));
    let help = world.belay.run("alice", &["request", "--help"]).ok().out;
    assert!(help.contains("A pattern covers tables that are made later, too"), "{help}");
}

#[test]
fn what_the_target_cannot_keep_is_refused_when_it_is_asked_for() {
    let world = World::shared();
    for (words, expected) in [
        (&["public.nothing"][..], "`public.nothing` is not in the target"),
        (&["public.orders.colour"], "there is no column `public.orders.colour`"),
        (&["public.orders", "--function", "public.nope"], "there is no function `public.nope`"),
        (&["public.orders", "--rows", "public.orders: colour = 1"], "column \"colour\" does not exist"),
        (&["public.orders", "--rows", "public.orders: EXISTS (SELECT FROM hr.salaries)"], "`hr.salaries`"),
        (&["public.orders", "--rows", "public.orders: true) UNION SELECT (1"], "is not one boolean expression"),
        (&["public.orders", "--rows", "public.items: id = 1"], "does not name"),
        (&["nowhere/public.orders"], "orders could not be asked whether it can keep this"),
        (&["--effect", "all"], "no rule lets you ask for `all` on orders"),
    ] {
        let refused = world.belay.run("alice", &[&["request", "orders", "-m", "a test"], words].concat());
        assert_ne!(refused.code, 0, "{words:?}");
        assert!(refused.err.contains(expected), "{words:?}: {}", refused.err);
    }
    for words in [["--max-bytes", "10"], ["--max-rows", "0"], ["--rows", "public.orders"], ["--statement-time", "30"]] {
        let refused = world.belay.run("alice", &[&["request", "orders", "-m", "a test"][..], &words].concat());
        assert_eq!(refused.code, 2, "{words:?}: {}", refused.err);
    }
}

#[test]
fn the_database_holds_no_more_than_the_columns_and_rows_of_the_grant() {
    let world = World::shared();
    let (_, ticket) =
        granted(world, &["public.customers.id", "public.orders", "--rows", "public.orders: customer_id = 7"]);
    world.sql(&ticket, "SELECT 1").ok();
    assert!(holds(world, &ticket, "public.customers", "id") && !holds(world, &ticket, "public.customers", "email"));
    assert!(!holds(world, &ticket, "public.orders", "id"));
    let role = world.role(&ticket);
    let count = |who: &str, table: &str| world.direct(&format!("SET ROLE {who}; SELECT count(*) FROM {table}"));
    assert_eq!(count(&role, &format!("{role}.orders")).lines().last(), Some("4"));
    assert_eq!(world.direct("SELECT count(*) FROM public.orders WHERE customer_id = 7"), "4");
    world.belay.run("alice", &["revoke", &ticket.grant, "-y"]).ok();
    let gone = || world.direct(&format!("SELECT count(*) FROM pg_namespace WHERE nspname = '{role}'")) == "0";
    assert!(testkit::until(std::time::Duration::from_secs(5), gone), "the schema is dropped with the role");
}

#[test]
fn masks_are_made_by_administrators_shown_with_grants_and_kept_by_the_database() {
    let world = World::start();
    let (_, ticket) = granted(&world, &["public.*"]);
    world.sql(&ticket, "SELECT 1").ok();
    assert!(holds(&world, &ticket, "public.customers", "email"));

    let suggested = world.belay.run("admin", &["mask", "suggest", "orders"]).ok().out;
    assert!(suggested.contains("belay mask add orders public.customers.email --kind hash"), "{suggested}");
    assert!(!suggested.contains("customers.name"), "{suggested}");
    assert_eq!(world.belay.json("admin", &["mask", "ls"])["items"], json!([]), "a proposal decides nothing");

    let add = ["mask", "add", "orders", "public.customers.email", "--kind", "withheld"];
    assert_eq!(world.belay.run("alice", &add).code, 3);
    assert_ne!(world.belay.run("admin", &["mask", "add", "orders", "public.customers.mail", "--kind", "null"]).code, 0);
    assert_eq!(
        world.belay.run("admin", &["mask", "add", "orders", "public.customers.email", "--kind", "blur"]).code,
        2
    );
    let mask = world.belay.json("admin", &add);
    assert_eq!((&mask["column"], &mask["shows"]), (&json!("public.customers.email"), &json!("withheld")));
    let shown = world.belay.json("alice", &["grants", "show", &ticket.grant]);
    assert_eq!(shown["masks"], json!([{"column": "public.customers.email", "shows": "withheld"}]));

    world.sql(&ticket, "SELECT 1").ok();
    assert!(!holds(&world, &ticket, "public.customers", "email") && holds(&world, &ticket, "public.customers", "name"));
    world.direct("ALTER TABLE public.customers ADD COLUMN city text");
    world.sql(&ticket, "SELECT 1").ok();
    assert!(holds(&world, &ticket, "public.customers", "city"), "a new column is granted at the next session");

    world.belay.run("admin", &["-y", "mask", "rm", mask["id"].as_str().unwrap()]).ok();
    world.sql(&ticket, "SELECT 1").ok();
    assert!(holds(&world, &ticket, "public.customers", "email"));
    let events = world.belay.json("admin", &["audit", "search", "target:orders", "--limit", "200"]);
    let kinds: Vec<&str> =
        events["items"].as_array().unwrap().iter().filter_map(|entry| entry["event"].as_str()).collect();
    assert!(kinds.contains(&"mask_added") && kinds.contains(&"mask_removed"), "{kinds:?}");
}

#[test]
fn a_live_session_starts_anew_when_a_mask_is_made() {
    let world = World::start();
    let (_, ticket) = granted(&world, &["public.orders"]);
    let mut sleeping = world.running(&ticket, "SELECT pg_sleep(60)");
    let role = || world.role(&ticket);
    assert!(testkit::until(std::time::Duration::from_secs(10), || !role().is_empty()));
    let running = format!("usename = '{}' AND query LIKE '%pg_sleep%'", role());
    world.await_back_ends(&running, 1, std::time::Duration::from_secs(10));
    world.belay.run("admin", &["mask", "add", "orders", "public.orders.status", "--kind", "null"]).ok();
    world.await_back_ends(&running, 0, std::time::Duration::from_secs(5));
    assert!(!sleeping.wait().unwrap().success());
    world.sql(&ticket, "SELECT 1").ok();
}

#[test]
fn a_grant_of_everything_is_given_by_a_rule_and_leaves_its_work_to_the_control_user() {
    let world = World::start();
    let words = ["rule", "add", "--target", "orders", "--effect", "all", "--max", "1h", "--approvals", "1"];
    world.belay.run("admin", &words).ok();
    let named = ["request", "orders", "public.orders", "--effect", "all", "-m", "a test"];
    assert_eq!(world.belay.run("alice", &named).code, 2, "it names no tables");
    let (asked, ticket) = granted(&world, &["--effect", "all"]);
    assert_eq!((&asked["effects"], &asked["resources"]), (&json!(["all"]), &json!(["*.*"])));
    world.sql(&ticket, "SELECT 1").ok();
    let role = world.role(&ticket);
    assert_eq!(world.direct(&format!("SELECT rolsuper FROM pg_roles WHERE rolname = '{role}'")), "t");
    world.direct(&format!("SET ROLE {role}; CREATE TABLE public.made ()"));
    world.belay.run("alice", &["revoke", &ticket.grant, "-y"]).ok();
    assert!(testkit::until(std::time::Duration::from_secs(10), || world.role(&ticket).is_empty()));
    assert_eq!(world.direct("SELECT relowner::regrole FROM pg_class WHERE relname = 'made'"), "postgres");
}
