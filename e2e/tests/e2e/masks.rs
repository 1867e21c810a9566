//! Masked columns on the wire: shown masked in every way a result can come, and in no way as they are.

use e2e::{Raw, World, message};
use testkit::{SAMPLE_DATABASE, Ticket};

/// What every value of the masked column holds, and its mask does not.
const SECRET: &str = "@example";

fn masked(kind: &str) -> (World, Ticket) {
    let world = World::start();
    world.belay.run("admin", &["mask", "add", "orders", "public.customers.email", "--kind", kind]).ok();
    let ticket = world.belay.grant(&["public.*"], "30m");
    (world, ticket)
}

/// All that the client gets for a query, as text.
fn got(raw: &mut Raw, sql: &str) -> String {
    let bodies = raw.query(sql);
    bodies.iter().map(|message| String::from_utf8_lossy(&message.body).into_owned()).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_masked_column_is_masked_however_its_rows_come() {
    let (world, ticket) = masked("last-four");
    let psql = world.sql(&ticket, "SELECT id, email, name FROM customers WHERE id = 7").ok();
    assert_eq!(psql.out, "7|*****************.com|Customer 7\n");
    let script = "
        SELECT email FROM customers WHERE id = 7; SELECT count(*) FROM customers;
        PREPARE p AS SELECT id, email FROM customers WHERE id = $1;
        EXECUTE p(7);
        BEGIN; DECLARE c SCROLL CURSOR FOR SELECT email, id FROM customers ORDER BY id;
        FETCH 2 FROM c; MOVE 4 FROM c; FETCH FORWARD 1 FROM c; FETCH BACKWARD 1 FROM c; COMMIT;";
    let psql = world.script(&ticket, script).ok();
    let shown: Vec<&str> = psql.out.lines().filter(|line| line.contains('*')).collect();
    let mask = "*****************.com";
    let expected = [
        mask.to_owned(),
        format!("7|{mask}"),
        format!("{mask}|1"),
        format!("{mask}|2"),
        format!("{mask}|7"),
        format!("{mask}|6"),
    ];
    assert_eq!(shown, expected, "{}{}", psql.out, psql.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drivers_that_read_binary_get_the_mask_too() {
    let (world, ticket) = masked("last-four");
    let mut client = world.belay.connect(&ticket, SAMPLE_DATABASE).await.unwrap();
    let statement = client.prepare("SELECT id, email FROM customers WHERE id <= $1 ORDER BY id").await.unwrap();
    for _ in 0..2 {
        let rows = client.query(&statement, &[&3_i32]).await.unwrap();
        let emails: Vec<String> = rows.iter().map(|row| row.get(1)).collect();
        assert_eq!(emails, vec!["*****************.com"; 3]);
        assert_eq!(rows[2].get::<_, i32>(0), 3);
    }
    let transaction = client.transaction().await.unwrap();
    let portal = transaction.bind(&statement, &[&5_i32]).await.unwrap();
    for _ in 0..2 {
        let rows = transaction.query_portal(&portal, 2).await.unwrap();
        assert!(rows.iter().all(|row| row.get::<_, String>(1) == "*****************.com") && rows.len() == 2);
    }
}

#[test]
fn each_kind_shows_what_it_says() {
    for (kind, expected) in [("null", ""), ("fixed=hidden", "hidden")] {
        let (world, ticket) = masked(kind);
        let psql = world.sql(&ticket, "SELECT email FROM customers WHERE id = 7").ok();
        assert_eq!(psql.out, format!("{expected}\n"));
    }
    let (world, ticket) = masked("hash");
    let hash = || world.sql(&ticket, "SELECT email FROM customers WHERE id = 7").ok().out;
    let first = hash();
    assert!(first.trim_end().len() == 16 && first.trim_end().bytes().all(|byte| byte.is_ascii_hexdigit()), "{first}");
    assert_eq!(hash(), first, "two connections of one grant see the same");
    let other = world.belay.grant(&["public.*"], "30m");
    assert_ne!(world.sql(&other, "SELECT email FROM customers WHERE id = 7").ok().out, first);
}

/// Ways to come by the values that do not go straight from the table into the result.
const DETOURS: [&str; 22] = [
    "SELECT email FROM (SELECT email FROM customers) s",
    "WITH s AS (SELECT email FROM customers) SELECT email FROM s",
    "WITH s AS MATERIALIZED (SELECT * FROM customers) SELECT * FROM s",
    "SELECT email FROM customers UNION ALL SELECT 'x'",
    "SELECT 'x' UNION ALL SELECT email FROM customers",
    "SELECT email FROM customers EXCEPT SELECT 'x'",
    "WITH RECURSIVE r AS (SELECT email FROM customers UNION SELECT r.email FROM r) SELECT * FROM r",
    "SELECT a.email FROM customers a JOIN orders o ON o.customer_id = a.id",
    "SELECT j.email FROM (customers a JOIN orders o ON o.customer_id = a.id) AS j",
    "SELECT email FROM customers a JOIN customers b USING (id, name, email)",
    "SELECT email FROM customers a FULL JOIN customers b USING (email)",
    "SELECT email FROM customers a NATURAL JOIN customers b",
    "SELECT l.email FROM orders o, LATERAL (SELECT email FROM customers c WHERE c.id = o.customer_id) l",
    "SELECT (SELECT email FROM customers WHERE id = 1)",
    "SELECT ARRAY(SELECT email FROM customers)",
    "SELECT c FROM customers c",
    "SELECT (c).email FROM customers c",
    "SELECT email::varchar FROM customers",
    "SELECT email || '' FROM customers",
    "SELECT max(email) FROM customers",
    "SELECT to_json(c) FROM customers c",
    "SELECT * FROM (VALUES ((SELECT email FROM customers WHERE id = 1))) v",
];

#[test]
fn no_detour_shows_the_value() {
    let (world, ticket) = masked("last-four");
    let mut raw = Raw::log_in(&world.belay, &ticket, SAMPLE_DATABASE);
    let mut leaks = Vec::new();
    for (number, detour) in DETOURS.iter().enumerate() {
        let ways = [
            vec![(*detour).to_owned()],
            vec![format!("PREPARE p{number} AS {detour}"), format!("EXECUTE p{number}")],
            vec!["BEGIN".to_owned(), format!("DECLARE c CURSOR FOR {detour}"), "FETCH ALL FROM c".to_owned()],
            vec![format!("COPY ({detour}) TO STDOUT")],
            vec![format!("TABLE ({detour})"), format!("SELECT * FROM ({detour}) AS outermost")],
        ];
        for way in ways {
            let mut shown = way.iter().map(|sql| got(&mut raw, sql)).collect::<String>();
            if way.len() == 3 {
                shown += &got(&mut raw, "ROLLBACK");
            }
            if shown.contains(SECRET) {
                leaks.push(way.join("; "));
            }
        }
        let extended = [
            message(b'P', format!("\0{detour}\0\0\0").as_bytes()),
            message(b'B', b"\0\0\0\0\0\0\0\0"),
            message(b'E', b"\0\0\0\0\0"),
            message(b'S', b""),
        ];
        raw.send(&extended.concat());
        let answers = raw.await_ready();
        if answers.iter().any(|answer| String::from_utf8_lossy(&answer.body).contains(SECRET)) {
            leaks.push(format!("extended: {detour}"));
        }
    }
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
    assert_eq!(raw.tags("SELECT 1"), "TDCZ");
}

/// A table with partitions of partitions, and one that others inherit from.
const FAMILIES: &str = "
    CREATE TABLE public.people (id int, email text, region text) PARTITION BY LIST (region);
    CREATE TABLE public.people_eu PARTITION OF public.people FOR VALUES IN ('eu') PARTITION BY LIST (id);
    CREATE TABLE public.people_eu_1 PARTITION OF public.people_eu FOR VALUES IN (1);
    CREATE TABLE public.people_us PARTITION OF public.people FOR VALUES IN ('us');
    INSERT INTO public.people VALUES (1, 'a@example', 'eu'), (2, 'b@example', 'us');
    CREATE TABLE public.base (id int, email text);
    CREATE TABLE public.staff (desk int) INHERITS (public.base);
    CREATE TABLE public.guests (host int) INHERITS (public.base);
    INSERT INTO public.staff VALUES (3, 'c@example', 1);
    INSERT INTO public.guests VALUES (4, 'd@example', 1)";

#[test]
fn a_mask_holds_in_partitions_children_and_parents() {
    // The masked table; those that share rows with it; one that does not.
    for (masked, kin, beside) in [
        ("people", &["people_eu", "people_eu_1", "people_us"][..], None),
        ("people_eu_1", &["people", "people_eu"], Some("people_us")),
        ("staff", &["base"], Some("guests")),
        ("base", &["staff", "guests"], None),
    ] {
        for kind in ["hash", "withheld"] {
            let world = World::start();
            world.direct(FAMILIES);
            world
                .belay
                .run("admin", &["mask", "add", "orders", &format!("public.{masked}.email"), "--kind", kind])
                .ok();
            let ticket = world.belay.grant(&["public.*"], "30m");
            for table in kin.iter().chain([&masked]) {
                let shown = world.sql(&ticket, &format!("SELECT email FROM {table} UNION ALL SELECT 'end'"));
                assert!(!shown.out.contains(SECRET), "{masked} {kind} {table}: {}", shown.out);
                assert_eq!(shown.code == 0, kind == "hash", "{masked} {kind} {table}: {}", shown.err);
                for sql in ["WHERE email = 'a@example'", "ORDER BY email", "GROUP BY email"] {
                    let refused = world.sql(&ticket, &format!("SELECT count(*) FROM {table} {sql}"));
                    assert!(refused.err.contains("[BLY-1012]"), "{masked} {kind} {table} {sql}: {}", refused.err);
                }
                let prepared = format!("PREPARE p AS SELECT email FROM {table}; EXECUTE p");
                let shown = world.script(&ticket, &prepared);
                assert!(!shown.out.contains(SECRET), "{masked} {kind} {table}: {}", shown.out);
                let role = world.role(&ticket);
                let held = format!("SELECT has_column_privilege('{role}', 'public.{table}', 'email', 'SELECT')");
                assert_eq!(world.direct(&held) == "t", kind == "hash", "{masked} {kind} {table}");
                world.sql(&ticket, &format!("SELECT id FROM {table}")).ok();
            }
            if let Some(beside) = beside {
                let shown = world.sql(&ticket, &format!("SELECT email FROM {beside} WHERE email <> ''")).ok();
                assert!(shown.out.contains(SECRET), "{masked} {kind} {beside}: {}", shown.out);
            }
        }
    }
}

#[test]
fn a_row_filter_is_not_gone_round_through_a_partition() {
    let world = World::start();
    world.direct(FAMILIES);
    for (filtered, round) in [("people", "people_us"), ("people_us", "people"), ("staff", "base"), ("base", "guests")] {
        let rows = format!("public.{filtered}: id > 90");
        let words = ["request", "orders", "public.*", "--rows", &rows, "--for", "30m", "-m", "a test"];
        let asked = world.belay.json("alice", &words);
        let approved = world.belay.json("bob", &["approve", asked["id"].as_str().unwrap()]);
        let ticket = world.belay.claim("alice", approved["grant"]["id"].as_str().unwrap());
        assert_eq!(world.sql(&ticket, &format!("SELECT email FROM {filtered}")).ok().out, "");
        for explain in ["EXPLAIN", "EXPLAIN ANALYZE"] {
            let refused = world.sql(&ticket, &format!("{explain} SELECT email FROM {filtered} WHERE id = 1"));
            assert!(refused.err.contains("its plan tells of rows that are not shown [BLY-"), "{}", refused.err);
        }
        let refused = world.sql(&ticket, &format!("SELECT email FROM {round}"));
        assert!(refused.err.contains(&format!("which shares rows with public.{filtered} [BLY-")), "{}", refused.err);
        let role = world.role(&ticket);
        let held = format!("SELECT has_any_column_privilege('{role}', 'public.{round}', 'SELECT')");
        assert_eq!(world.direct(&held), "f", "{filtered} {round}");
    }
}

/// The same text as the protocol runs it by itself, and as SQL runs it by the name that the protocol gave it.
#[test]
fn sql_shows_what_the_protocol_has_prepared_as_the_protocol_does() {
    let (world, ticket) = masked("last-four");
    let mut raw = Raw::log_in(&world.belay, &ticket, SAMPLE_DATABASE);
    let text = |answers: &[e2e::Message]| {
        let rows = answers.iter().filter(|answer| answer.tag == b'D');
        rows.map(|row| String::from_utf8_lossy(&row.body).into_owned()).collect::<String>()
    };
    let appended = "SELECT email FROM customers WHERE id = 1 UNION ALL SELECT email FROM customers WHERE id = 2";
    for (number, query) in [appended, "SELECT email FROM customers WHERE id < 3"].iter().chain(&DETOURS).enumerate() {
        let parsed = [message(b'P', format!("s{number}\0{query}\0\0\0").as_bytes()), message(b'S', b"")];
        raw.send(&parsed.concat());
        raw.await_ready();
        let bound = [
            message(b'B', format!("\0s{number}\0\0\0\0\0\0\0").as_bytes()),
            message(b'E', b"\0\0\0\0\0"),
            message(b'S', b""),
        ];
        raw.send(&bound.concat());
        let by_protocol = text(&raw.await_ready());
        let executed = text(&raw.query(&format!("EXECUTE s{number}")));
        raw.query("BEGIN");
        let portal = [message(b'B', format!("p\0s{number}\0\0\0\0\0\0\0").as_bytes()), message(b'S', b"")];
        raw.send(&portal.concat());
        raw.await_ready();
        let fetched = text(&raw.query("FETCH ALL FROM p"));
        raw.query("ROLLBACK");
        assert!(!by_protocol.contains(SECRET), "{query}");
        assert!(number > 0 || by_protocol.contains("*.com"), "{by_protocol}");
        assert_eq!((&executed, &fetched), (&by_protocol, &by_protocol), "{query}");
    }
    assert_eq!(raw.tags("SELECT 1"), "TDCZ");
}

#[test]
fn a_cursor_that_takes_a_portals_name_is_not_shown_as_what_the_portal_was() {
    let (world, ticket) = masked("last-four");
    let mut raw = Raw::log_in(&world.belay, &ticket, SAMPLE_DATABASE);
    raw.query("BEGIN");
    let bound = [
        message(b'P', b"\0SELECT name FROM customers WHERE id = 1\0\0\0"),
        message(b'B', b"p\0\0\0\0\0\0\0\0"),
        message(b'S', b""),
    ];
    raw.send(&bound.concat());
    raw.await_ready();
    raw.query("CLOSE p");
    raw.query("DECLARE p CURSOR FOR SELECT email FROM customers WHERE id = 1");
    raw.send(&[message(b'E', b"p\0\0\0\0\0"), message(b'S', b"")].concat());
    let answers = raw.await_ready();
    assert!(answers.iter().all(|answer| answer.tag != b'D'));
}
