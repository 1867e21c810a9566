//! Everything an honest client of PostgreSQL needs works as without a gateway.

use e2e::{Raw, World, cancel_in_the_clear, cancel_over_tls, message};
use futures_util::{StreamExt, TryStreamExt, future};
use std::time::{Duration, Instant};
use testkit::{Outcome, SAMPLE_DATABASE};
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, SimpleQueryMessage};

const CANCEL: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn extended_queries_named_statements_and_pipelines_work_in_one_session() {
    let world = World::shared();
    let ticket = world.belay.grant(&["public.*"], "30m");
    let client = world.belay.connect(&ticket, SAMPLE_DATABASE).await.unwrap();
    let by_id = client.prepare("SELECT status, total::text FROM orders WHERE id = $1").await.unwrap();
    let direct = world.direct("SELECT string_agg(total::text, ',' ORDER BY id) FROM orders WHERE id <= 100");
    // All of them are under way before the first is answered.
    let rows = future::try_join_all((1..=100).map(|id: i32| {
        let (client, by_id) = (&client, &by_id);
        async move { client.query_one(by_id, &[&id]).await }
    }));
    let totals: Vec<String> = rows.await.unwrap().iter().map(|row| row.get(1)).collect();
    assert_eq!(totals.join(","), direct);
    // A refusal in the middle of a pipeline fails what is refused and nothing else.
    let (first, refused, last) = future::join3(
        client.query_one(&by_id, &[&1_i32]),
        client.execute("DELETE FROM orders WHERE id = $1", &[&1_i32]),
        client.query_one(&by_id, &[&2_i32]),
    )
    .await;
    assert!(first.is_ok() && last.is_ok());
    assert_eq!(refused.unwrap_err().code(), Some(&SqlState::READ_ONLY_SQL_TRANSACTION));
    assert_eq!(world.direct("SELECT count(*) FROM orders"), "2000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn portals_with_row_limits_and_cursors_hand_rows_out_in_pieces() {
    let world = World::shared();
    let ticket = world.belay.grant(&["public.*"], "30m");
    let mut client = world.belay.connect(&ticket, SAMPLE_DATABASE).await.unwrap();
    let transaction = client.transaction().await.unwrap();
    let portal = transaction.bind("SELECT id FROM items ORDER BY id", &[]).await.unwrap();
    let (mut sizes, mut last) = (Vec::new(), 0_i64);
    loop {
        let rows = transaction.query_portal(&portal, 1999).await.unwrap();
        for row in &rows {
            assert_eq!(row.get::<_, i64>(0), last + 1);
            last += 1;
        }
        sizes.push(rows.len());
        if rows.len() < 1999 {
            break;
        }
    }
    assert_eq!(sizes, [1999, 1999, 1002]);
    transaction
        .batch_execute("DECLARE c SCROLL CURSOR FOR SELECT n FROM generate_series(1, 9) n; MOVE 4 IN c")
        .await
        .unwrap();
    assert_eq!(transaction.query_one("FETCH 1 FROM c", &[]).await.unwrap().get::<_, i32>(0), 5);
    transaction.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copy_to_stdout_sends_every_row() {
    let world = World::shared();
    let ticket = world.belay.grant(&["public.*"], "30m");
    let client = world.belay.connect(&ticket, SAMPLE_DATABASE).await.unwrap();
    let stream = client.copy_out("COPY (SELECT * FROM items ORDER BY id) TO STDOUT (FORMAT csv)").await.unwrap();
    let parts: Vec<_> = stream.try_collect().await.unwrap();
    let text = String::from_utf8(parts.concat()).unwrap();
    let direct = world.direct("COPY (SELECT * FROM items ORDER BY id) TO STDOUT (FORMAT csv)");
    assert_eq!(text.trim_end(), direct);
    assert_eq!(client.query_one("SELECT 1", &[]).await.unwrap().get::<_, i32>(0), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notices_and_changed_parameters_reach_the_client() {
    let world = World::shared();
    let ticket = world.belay.grant(&["public.*"], "30m");
    let (client, mut connection) =
        world.belay.config(&ticket, SAMPLE_DATABASE).connect(world.belay.tls()).await.unwrap();
    let (sender, mut notices) = tokio::sync::mpsc::unbounded_channel();
    let mut messages = futures_util::stream::poll_fn(move |cx| connection.poll_message(cx));
    tokio::spawn(async move {
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notice(notice) = message {
                let _ = sender.send(notice.message().to_owned());
            }
        }
    });
    // A COMMIT without a transaction is a WARNING of PostgreSQL's own.
    client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(notices.recv().await.unwrap(), "there is no transaction in progress");
    let mut raw = Raw::log_in(&world.belay, &ticket, SAMPLE_DATABASE);
    assert_eq!(raw.parameters["server_version"], world.direct("SHOW server_version"));
    assert_eq!(raw.parameters["default_transaction_read_only"], "on");
    raw.query("SET TimeZone = 'Asia/Tokyo'");
    assert_eq!(raw.parameters["TimeZone"], "Asia/Tokyo");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_statements_in_one_message_run_in_order_and_stop_at_the_first_error() {
    let world = World::shared();
    let ticket = world.belay.grant(&["public.*"], "30m");
    let client = world.belay.connect(&ticket, SAMPLE_DATABASE).await.unwrap();
    let rows = |messages: &[SimpleQueryMessage]| -> Vec<String> {
        let row = |message: &SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        };
        messages.iter().filter_map(row).collect()
    };
    let three = client.simple_query("SELECT 1; SELECT 'a;b'; ; SELECT 3").await.unwrap();
    assert_eq!(rows(&three), ["1", "a;b", "3"]);
    let mut raw = Raw::log_in(&world.belay, &ticket, SAMPLE_DATABASE);
    assert_eq!(raw.tags("SELECT 1; SELECT 1/0; SELECT 2"), "TDCEZ");
    assert_eq!(raw.tags(""), "IZ");
    // One refused statement refuses the message: nothing of it is sent.
    assert_eq!(raw.tags("SELECT 1; DELETE FROM orders; SELECT 2"), "EZ");
    assert_eq!(world.direct("SELECT count(*) FROM orders"), "2000");
}

#[test]
fn a_cancel_by_key_stops_the_statement_within_200_ms_in_the_clear_and_over_tls() {
    let world = World::shared();
    let ticket = world.belay.grant(&["public.*"], "30m");
    for (minor, over_tls) in [(0, false), (0, true), (2, false), (2, true)] {
        let mut raw = Raw::open(&world.belay);
        raw.start(minor, &[("user", &ticket.user), ("database", SAMPLE_DATABASE)]);
        raw.authenticate(&ticket.secret);
        raw.await_ready();
        assert_eq!(raw.key.len(), if minor == 2 { 4 + 32 } else { 4 + 4 }, "the key of protocol 3.{minor}");
        raw.send(&message(b'Q', b"SELECT pg_sleep(30)\0"));
        world.await_back_ends("query = 'SELECT pg_sleep(30)' AND state = 'active'", 1, Duration::from_secs(10));
        // A wrong key stops nothing.
        let mut wrong = raw.key.clone();
        *wrong.last_mut().unwrap() ^= 1;
        cancel_in_the_clear(&world.belay, &wrong);
        let start = Instant::now();
        if over_tls {
            cancel_over_tls(&world.belay, &raw.key);
        } else {
            cancel_in_the_clear(&world.belay, &raw.key);
        }
        let answer = raw.await_ready();
        let took = start.elapsed();
        let error = answer.iter().find(|message| message.tag == b'E').unwrap();
        assert_eq!(error.verdict(), "ERROR 57014");
        assert!(took < CANCEL, "protocol 3.{minor}, over TLS {over_tls}: {took:?}");
        assert_eq!(raw.tags("SELECT 1"), "TDCZ");
    }
}

#[test]
fn a_client_that_speaks_a_newer_protocol_is_told_what_is_spoken() {
    let world = World::shared();
    let ticket = world.belay.grant(&["public.*"], "30m");
    let mut raw = Raw::open(&world.belay);
    raw.start(9, &[("user", &ticket.user), ("database", SAMPLE_DATABASE), ("_pq_.unheard_of", "1")]);
    let told = raw.read().unwrap().unwrap();
    assert_eq!(told.tag, b'v');
    assert_eq!(told.body[..8], [0, 3, 0, 2, 0, 0, 0, 1]);
    assert_eq!(&told.body[8..], b"_pq_.unheard_of\0");
    raw.authenticate(&ticket.secret);
    raw.await_ready();
    assert_eq!(raw.tags("SELECT 1"), "TDCZ");
}

#[test]
fn libpq_logs_in_with_channel_binding_and_refuses_to_send_the_token_in_the_clear() {
    let world = World::shared();
    let ticket = world.belay.grant(&["public.*"], "30m");
    for (name, value) in [
        ("PGCHANNELBINDING", "require"),
        ("PGCHANNELBINDING", "disable"),
        ("PGSSLMODE", "require"),
        ("PGGSSENCMODE", "prefer"),
    ] {
        let outcome = Outcome::of(world.psql(&ticket, SAMPLE_DATABASE).env(name, value).args(["-c", "SELECT 1"]));
        assert_eq!(outcome.ok().out, "1\n", "{name}={value}");
    }
    let plain = Outcome::of(world.psql(&ticket, SAMPLE_DATABASE).env("PGSSLMODE", "disable").args(["-c", "SELECT 1"]));
    assert!(plain.code == 2 && plain.err.contains("[BLY-1057]"), "{}", plain.err);
}

#[test]
fn tls_may_begin_without_being_asked_for() {
    let world = World::shared();
    let ticket = world.belay.grant(&["public.*"], "30m");
    let mut raw = Raw::open_direct(&world.belay);
    raw.start(0, &[("user", &ticket.user), ("database", SAMPLE_DATABASE)]);
    raw.authenticate(&ticket.secret);
    raw.await_ready();
    assert_eq!(raw.tags("SELECT 1"), "TDCZ");
}

#[test]
fn a_grant_that_names_several_databases_opens_each_of_them_and_no_other() {
    let world = World::shared();
    let ticket = world.belay.grant(&["public.*", "analytics/public.*"], "30m");
    let there = Outcome::of(world.psql(&ticket, "orders/analytics").args(["-c", "SELECT count(*) FROM facts"])).ok();
    assert_eq!(there.out, "7\n");
    let moved = world.script(
        &ticket,
        "SELECT count(*) FROM orders;\n\\c analytics\nSELECT count(*), current_database() FROM facts;\n",
    );
    assert!(moved.out.contains("2000\n") && moved.out.contains("7|analytics\n"), "{moved:?}");
    let before = world.fingerprint();
    let write = Outcome::of(world.psql(&ticket, "orders/analytics").args(["-c", "DELETE FROM facts"]));
    assert!(write.err.contains("[BLY-1001]"), "{}", write.err);
    for elsewhere in ["orders/postgres", "orders/template1", "orders/nowhere"] {
        let refused = Outcome::of(world.psql(&ticket, elsewhere).args(["-c", "SELECT 1"]));
        assert!(refused.code == 2 && refused.err.contains("[BLY-1051]"), "{elsewhere}: {}", refused.err);
    }
    assert_eq!(world.fingerprint(), before);
}

#[test]
fn connections_beyond_the_bound_of_a_session_are_refused_and_a_closed_one_makes_room() {
    let world = World::start_with("[limits]\nconnections_per_session = 3\n");
    let ticket = world.belay.grant(&["public.*"], "30m");
    let mut open: Vec<Raw> = (0..3).map(|_| Raw::log_in(&world.belay, &ticket, SAMPLE_DATABASE)).collect();
    let mut fourth = Raw::open(&world.belay);
    fourth.start(0, &[("user", &ticket.user), ("database", SAMPLE_DATABASE)]);
    let refused = match fourth.try_authenticate(&ticket.secret) {
        Err(refused) => refused,
        Ok(()) => fourth.read().unwrap().unwrap(),
    };
    assert_eq!(refused.verdict(), "FATAL 53300 BLY-1054");
    open[0].send(&message(b'X', b""));
    open.remove(0).read_to_end();
    assert!(testkit::until(Duration::from_secs(5), || world.sql(&ticket, "SELECT 1").code == 0));
    for raw in &mut open {
        assert_eq!(raw.tags("SELECT 1"), "TDCZ");
    }
}

#[test]
fn a_large_result_for_a_slow_reader_costs_no_memory_and_arrives_whole() {
    let world = World::start();
    let ticket = world.belay.grant(&["public.*"], "30m");
    let mut raw = Raw::log_in(&world.belay, &ticket, SAMPLE_DATABASE);
    let before = world.belay.resident_kib();
    // 200 MB.
    raw.send(&message(b'Q', b"SELECT repeat('x', 10000) FROM generate_series(1, 20000)\0"));
    std::thread::sleep(Duration::from_secs(2));
    let grown = world.belay.resident_kib().saturating_sub(before);
    assert!(grown < 16 * 1024, "{grown} KiB are held for a client that does not read");
    let answer = raw.await_ready();
    let bytes: usize = answer.iter().filter(|message| message.tag == b'D').map(|message| message.body.len() - 6).sum();
    assert_eq!(bytes, 200_000_000);
    // Another session of the same gateway, while one stands still.
    raw.send(&message(b'Q', b"SELECT repeat('x', 10000) FROM generate_series(1, 20000)\0"));
    assert_eq!(world.sql(&ticket, "SELECT 1").ok().out, "1\n");
    world.belay.run("bob", &["revoke", &ticket.grant]).ok();
    world.await_back_ends("query LIKE '%repeat(%'", 0, Duration::from_secs(3));
}
