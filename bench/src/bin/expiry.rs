//! How long a revoked grant still has back ends in the target.
//!
//!     expiry [TRIALS]
//!
//! Starts a PostgreSQL and the gateway. In each trial four sessions are open under one grant: a long UPDATE, a
//! `pg_sleep`, an idle transaction, and a reader that has stopped reading. Then the grant is revoked over the API, and
//! `pg_stat_activity` is asked every 2 ms until none of them is left. Prints the 50th and 99th percentile and the
//! maximum; exits 1 when the 99th percentile is not below the bound.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a broken bench must stop")]

use bench::{ms, percentile};
use futures_util::future::poll_fn;
use std::pin::pin;
use std::process::ExitCode;
use std::task::Poll;
use std::time::{Duration, Instant};
use testkit::{Belay, Postgres, SAMPLE_DATABASE, Ticket, wait_until};
use tokio::task::JoinHandle;
use tokio_postgres::Client;

const TRIALS: usize = 200;
const BOUND: Duration = Duration::from_millis(250);
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks; what is printed may be that much too long.
const PAUSE: Duration = Duration::from_millis(2);
/// Several seconds a row.
const UPDATE: &str = "UPDATE public.orders SET total = total + (SELECT count(*) FROM public.items a, public.items b)";
/// A gigabyte.
const RESULT: &str = "SELECT repeat('x', 10000) FROM generate_series(1, 100000)";
/// The sessions as the target sees them.
const SEEN: &str = "SELECT count(*) FILTER (WHERE query LIKE 'UPDATE%' AND state = 'active'),
    count(*) FILTER (WHERE query LIKE '%pg_sleep%' AND state = 'active'),
    count(*) FILTER (WHERE state = 'idle in transaction'),
    count(*) FILTER (WHERE query LIKE '%repeat%' AND wait_event = 'ClientWrite')
    FROM pg_stat_activity WHERE usesysid = $1";
const LEFT: &str =
    "SELECT coalesce(string_agg(split_part(query, ' ', 1) || ' ' || left(split_part(query, ' ', 2), 9), ', '), '')
    FROM pg_stat_activity WHERE usesysid = $1";

#[tokio::main]
async fn main() -> ExitCode {
    let trials = match std::env::args().nth(1).map(|text| text.parse()) {
        None => TRIALS,
        Some(Ok(trials @ 1..)) => trials,
        Some(_) => {
            eprintln!("expiry [TRIALS]: TRIALS is a number above 0, {TRIALS} without it");
            return ExitCode::from(2);
        }
    };
    let postgres = Postgres::start();
    testkit::sample(&postgres).await;
    let belay = Belay::start(&postgres);
    let bench = Bench { control: postgres.client_in(SAMPLE_DATABASE).await, http: belay.http(), postgres, belay };
    let before = bench.totals().await;
    let mut took = Vec::with_capacity(trials);
    for trial in 1..=trials {
        took.push(bench.trial().await);
        if trial % 20 == 0 {
            eprintln!("{trial} of {trials} trials");
        }
    }
    assert_eq!(bench.totals().await, before, "an UPDATE was stored");
    report(&took)
}

/// What a trial took.
struct Took {
    /// From before the call of the API to no back end.
    whole: Duration,
    /// The call of the API alone; the commit is inside it.
    call: Duration,
    /// What was seen last.
    last: String,
}

struct Bench {
    postgres: Postgres,
    belay: Belay,
    http: reqwest::Client,
    /// A superuser's connection, which sees every back end.
    control: Client,
}

impl Bench {
    async fn trial(&self) -> Took {
        let ticket = self.belay.grant(&["public.*"], "30m");
        let idle = self.belay.connect(&ticket, SAMPLE_DATABASE).await.expect("a login");
        idle.batch_execute("BEGIN; SELECT count(*) FROM public.orders").await.expect("a transaction");
        let sleeping = self.belay.connect(&ticket, SAMPLE_DATABASE).await.expect("a login");
        let sleeping = tokio::spawn(async move { sleeping.batch_execute("SELECT pg_sleep(60)").await });
        let stalled = self.stall(&ticket).await;
        let (updating, role) = self.update(&ticket).await;
        wait_until(PATIENCE, || async {
            let row = self.control.query_one(SEEN, &[&role]).await.expect("a look");
            (0..4).all(|column| row.get::<_, i64>(column) == 1)
        })
        .await;

        let start = Instant::now();
        let path = format!("grants/{}/revoke", ticket.grant);
        let revoke = async {
            self.belay.post(&self.http, "bob", &path).await;
            start.elapsed()
        };
        let watch = async {
            let mut last = String::new();
            loop {
                let left: String = self.control.query_one(LEFT, &[&role]).await.expect("a look").get(0);
                if left.is_empty() {
                    return (start.elapsed(), last);
                }
                assert!(start.elapsed() < PATIENCE, "left after {PATIENCE:?}: {left}");
                last = left;
                // Looking all the time would take a core away from those who are looked at.
                tokio::time::sleep(PAUSE).await;
            }
        };
        let (call, (whole, last)) = tokio::join!(revoke, watch);
        assert!(updating.await.unwrap().is_err() && sleeping.await.unwrap().is_err(), "a statement came to its end");
        assert!(idle.batch_execute("COMMIT").await.is_err(), "a transaction outlived its grant");
        drop(stalled);
        Took { whole, call, last }
    }

    /// A client that has asked for much, and reads no more.
    async fn stall(&self, ticket: &Ticket) -> impl Send + use<> {
        let config = self.belay.config(ticket, SAMPLE_DATABASE);
        let (client, mut connection) = config.connect(self.belay.tls()).await.expect("a login");
        {
            let mut query = pin!(client.simple_query_raw(RESULT));
            poll_fn(|cx| {
                let _ = query.as_mut().poll(cx);
                // Sends the query; nobody polls it again, so nothing is read.
                let _ = connection.poll_message(cx);
                Poll::Ready(())
            })
            .await;
        }
        (client, connection)
    }

    /// The UPDATE goes round the gateway, as the grant's role; returns the role's oid too.
    async fn update(&self, ticket: &Ticket) -> (JoinHandle<Result<(), tokio_postgres::Error>>, u32) {
        let sql =
            "SELECT oid, rolname::text FROM pg_roles WHERE rolname LIKE 'belay\\_%\\_' || replace($1, '_', '\\_')";
        let role = self.control.query_one(sql, &[&ticket.grant]).await.expect("one role of the grant");
        let (oid, name): (u32, String) = (role.get(0), role.get(1));
        let open = format!("ALTER ROLE {name} PASSWORD 'bench'; GRANT UPDATE ON public.orders TO {name}");
        self.control.batch_execute(&open).await.expect("rights for the role");
        let client = self.postgres.login(&name, "bench", SAMPLE_DATABASE).await.expect("a login of the role");
        client.batch_execute("SET default_transaction_read_only = off").await.expect("a setting");
        (tokio::spawn(async move { client.batch_execute(UPDATE).await }), oid)
    }

    async fn totals(&self) -> String {
        let sql = "SELECT md5(string_agg(total::text, ',' ORDER BY id)) FROM public.orders";
        self.control.query_one(sql, &[]).await.expect("a look").get(0)
    }
}

fn report(took: &[Took]) -> ExitCode {
    let of = |which: fn(&Took) -> Duration| {
        let mut sorted: Vec<Duration> = took.iter().map(which).collect();
        sorted.sort_unstable();
        [percentile(&sorted, 50), percentile(&sorted, 99), sorted[sorted.len() - 1]]
    };
    let line = |what: &str, [half, most, max]: [Duration; 3]| {
        println!("{what:<46} p50 {:>6.1} ms  p99 {:>6.1} ms  max {:>6.1} ms", ms(half), ms(most), ms(max));
    };
    println!("{} trials, each with a long UPDATE, a pg_sleep, an idle transaction and a stalled reader", took.len());
    println!(
        "The UPDATE runs as the grant's role over a direct connection, because no grant carries writes: a superuser"
    );
    println!("gave the role UPDATE and a password, and its session has default_transaction_read_only off.");
    println!("Time runs from before the call of the API, so the commit of the revocation is inside it.");
    let whole = of(|took| took.whole);
    line("revocation called to no back end of the grant", whole);
    line("of that, until the API answered", of(|took| took.call));
    let slowest = took.iter().max_by_key(|took| took.whole).map_or("", |took| took.last.as_str());
    println!("seen last in the slowest trial: {slowest}");
    let met = whole[1] < BOUND;
    println!("bound: p99 below {} ms: {}", BOUND.as_millis(), if met { "met" } else { "MISSED" });
    if met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
