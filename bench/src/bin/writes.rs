//! What it costs that a write can be given back.
//!
//!     writes [ROUNDS]
//!
//! Starts a PostgreSQL that puts its commits on the disk, the gateway, and a table of a million rows with a primary key
//! and a second index. The same UPDATE is run over a direct connection and through a session that changes rows at once,
//! turn by turn; of each turn the ratio of the two times is taken. Then 100,000 rows are given back, and somebody else
//! writes to other rows of the table while plans of 10,000 rows are made. Prints medians beside their bounds; exits 1
//! where one is missed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a broken bench must stop")]

use bench::{Peak, Servers, cpu, median, ms, percentile};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use testkit::{Belay, Postgres, SAMPLE_DATABASE, Ticket};
use tokio_postgres::Client;

const ROUNDS: usize = 5;
/// Rows at once, turns a round, and how many times as long as without Belay it may take.
const SMALL: [(i64, usize, f64); 2] = [(1, 40, 2.0), (1_000, 4, 2.5)];
const LARGE: (i64, f64) = (100_000, 2.0);
/// Giving [`LARGE`] back, to the plain UPDATE.
const REVERT: f64 = 5.0;
/// How long a round of somebody else's writes lasts, and how many rows the plans beside it have.
const BESIDE: Duration = Duration::from_secs(3);
const PLANNED: i64 = 10_000;
const MOST_ROWS: [&str; 2] = ["--max-changed-rows", "200000"];
const ROWS: i64 = 1_000_000;
/// What somebody else writes to lies beyond these.
const OURS: i64 = 900_000;
const TABLE: &str = "
CREATE TABLE public.entries (id bigint PRIMARY KEY, account int NOT NULL, status text NOT NULL,
    amount numeric(12, 2) NOT NULL, note text NOT NULL, at timestamptz NOT NULL);
INSERT INTO public.entries SELECT n, n % 5000, 'open', n % 1000, repeat(md5(n::text), 3), now()
    FROM generate_series(1, 1000000) n;
CREATE INDEX ON public.entries (account);
VACUUM ANALYZE public.entries";

#[tokio::main]
async fn main() -> ExitCode {
    let rounds = match std::env::args().nth(1).map(|text| text.parse()) {
        None => ROUNDS,
        Some(Ok(rounds @ 1..)) => rounds,
        Some(_) => {
            eprintln!("writes [ROUNDS]: ROUNDS is a number above 0, {ROUNDS} without it");
            return ExitCode::from(2);
        }
    };
    let bench = Bench::start().await;
    let mut met = true;
    println!(
        "{:<34}{:>10}{:>10}{:>8}{:>7}  CPU of the target, of the gateway",
        "UPDATE of a row in 1,000,000", "plain", "Belay", "ratio", "bound"
    );
    for (rows, turns, bound) in SMALL {
        met &= report(&format!("{rows} rows"), &bench.small(rows, turns * rounds).await, bound);
    }
    let (large, back, peak) = bench.large(rounds).await;
    met &= report(&format!("{} rows", LARGE.0), &large, LARGE.1);
    met &= report(&format!("{} rows given back", LARGE.0), &back, REVERT);
    println!("memory at most: gateway {} MiB, private memory of the target's processes {} MiB", peak.0, peak.1);
    bench.beside(rounds).await;
    println!("bounds: {}", if met { "met" } else { "MISSED" });
    if met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One act beside the plain one.
struct Turn {
    plain: Cost,
    ours: Cost,
}

/// What an act took: time, CPU of the target, CPU of the gateway.
#[derive(Clone, Copy)]
struct Cost {
    time: Duration,
    target: Duration,
    gateway: Duration,
}

struct Bench {
    belay: Belay,
    servers: Servers,
    plain: Client,
    /// Changes rows at once.
    direct: Client,
    /// Makes plans.
    planning: Client,
    beside: Client,
    // Last: it ends with this.
    _postgres: Postgres,
}

impl Bench {
    async fn start() -> Bench {
        let durable = [("fsync", "on"), ("full_page_writes", "on"), ("synchronous_commit", "on")];
        // What comes at any time would be in one figure and not in the other.
        let quiet = [("autovacuum", "off"), ("checkpoint_timeout", "1h"), ("max_wal_size", "20GB")];
        let size = [("shared_buffers", "512MB")];
        let settings = durable.iter().chain(&quiet).chain(&size);
        let builder = settings.fold(Postgres::builder(), |builder, (name, value)| builder.setting(name, value));
        let postgres = builder.start();
        testkit::sample(&postgres).await;
        for statement in TABLE.split(';') {
            postgres.execute(SAMPLE_DATABASE, statement).await;
        }
        let belay = Belay::start(&postgres);
        let rule = ["rule", "add", "--target", "orders", "--effect", "direct", "--max", "2h", "--approvals", "1"];
        belay.run("admin", &[&rule[..], &MOST_ROWS].concat()).ok();
        let plain = postgres.client_in(SAMPLE_DATABASE).await;
        let pid: i32 = plain.query_one("SELECT pg_backend_pid()", &[]).await.expect("a look").get(0);
        let direct = belay.connect(&ticket(&belay, "direct", &MOST_ROWS), SAMPLE_DATABASE).await.expect("a login");
        let planning = belay.connect(&ticket(&belay, "write", &[]), SAMPLE_DATABASE).await.expect("a login");
        let beside = postgres.client_in(SAMPLE_DATABASE).await;
        let servers = Servers::of(pid.unsigned_abs());
        Bench { belay, servers, plain, direct, planning, beside, _postgres: postgres }
    }

    /// Turns of few rows. Each has rows of its own.
    async fn small(&self, rows: i64, turns: usize) -> Vec<Turn> {
        let mut took = Vec::with_capacity(turns);
        for turn in 0..turns {
            let one = |client, side| self.cost(execute(client, update(rows, at(turn * 2 + side, rows))));
            // The first of both finds the caches colder.
            let (plain, ours) = if turn % 2 == 0 {
                let plain = one(&self.plain, 0).await;
                (plain, one(&self.direct, 1).await)
            } else {
                let ours = one(&self.direct, 1).await;
                (one(&self.plain, 0).await, ours)
            };
            took.push(Turn { plain, ours });
        }
        self.tidy().await;
        took
    }

    /// Turns of many rows, each given back.
    async fn large(&self, rounds: usize) -> (Vec<Turn>, Vec<Turn>, (u64, u64)) {
        let (mut applied, mut given_back) = (Vec::new(), Vec::new());
        let mut most = (0, 0);
        for round in 0..rounds {
            let plain = self.cost(execute(&self.plain, update(LARGE.0, at(round * 2, LARGE.0)))).await;
            self.tidy().await;
            let peak = Peak::watch(self.belay.pid(), self.servers);
            let ours = self.cost(execute(&self.direct, update(LARGE.0, at(round * 2 + 1, LARGE.0)))).await;
            applied.push(Turn { plain, ours });
            self.tidy().await;
            let change = self.newest_change();
            let ours = self.cost(async { _ = self.belay.run("alice", &["revert", &change]).ok() }).await;
            given_back.push(Turn { plain, ours });
            let peak = peak.mib();
            most = (most.0.max(peak.0), most.1.max(peak.1));
            self.tidy().await;
            eprintln!("{} of {rounds} rounds", round + 1);
        }
        (applied, given_back, most)
    }

    /// Somebody else's writes of one row each, with and without plans beside them.
    async fn beside(&self, rounds: usize) {
        let (mut quiet, mut busy) = (Vec::new(), Vec::new());
        let mut plans = 0;
        for _ in 0..rounds {
            self.others(&mut quiet).await;
            let planning = async {
                let start = Instant::now();
                while start.elapsed() < BESIDE {
                    planned(&self.planning, &update(PLANNED, 1)).await;
                    plans += 1;
                }
            };
            tokio::join!(planning, self.others(&mut busy));
            self.tidy().await;
        }
        for (what, took) in [("alone", &mut quiet), ("beside plans of 10,000 rows", &mut busy)] {
            took.sort_unstable();
            let [half, most] = [50, 99].map(|percent| ms(percentile(took, percent)));
            println!("others' writes {what:<30} p50 {half:>7.2} ms  p99 {most:>7.2} ms  ({} writes)", took.len());
        }
        println!("plans made meanwhile: {plans}");
    }

    async fn others(&self, took: &mut Vec<Duration>) {
        let start = Instant::now();
        while start.elapsed() < BESIDE {
            let id = OURS + 1 + i64::try_from(took.len()).expect("few") * 7 % (ROWS - OURS);
            let before = Instant::now();
            execute(&self.beside, update(1, id)).await;
            took.push(before.elapsed());
        }
    }

    fn newest_change(&self) -> String {
        let changes = self.belay.json("alice", &["changes"]);
        changes["items"][0]["id"].as_str().expect("a change").to_owned()
    }

    async fn cost(&self, act: impl Future<Output = ()>) -> Cost {
        let (target, gateway) = (self.servers.cpu(), cpu(self.belay.pid()));
        let start = Instant::now();
        act.await;
        let time = start.elapsed();
        let since = |now: Duration, before| now.saturating_sub(before);
        Cost { time, target: since(self.servers.cpu(), target), gateway: since(cpu(self.belay.pid()), gateway) }
    }

    /// Dead rows of one act are not to be in the way of the next.
    async fn tidy(&self) {
        execute(&self.plain, "VACUUM public.entries".to_owned()).await;
        execute(&self.plain, "CHECKPOINT".to_owned()).await;
    }
}

fn ticket(belay: &Belay, effect: &str, more: &[&str]) -> Ticket {
    let words = ["request", "orders", "public.entries", "--effect", effect, "--for", "2h", "-m", "a measurement"];
    let request = belay.json("alice", &[&words[..], more].concat());
    let approved = belay.json("bob", &["approve", request["id"].as_str().expect("an id")]);
    belay.claim("alice", approved["grant"]["id"].as_str().expect("an id"))
}

/// Where rows of a turn begin.
fn at(turn: usize, rows: i64) -> i64 {
    1 + i64::try_from(turn).expect("few") * rows.max(37) % OURS
}

fn update(rows: i64, from: i64) -> String {
    format!("UPDATE public.entries SET amount = amount + 1 WHERE id BETWEEN {from} AND {}", from + rows - 1)
}

async fn execute(client: &Client, sql: String) {
    client.batch_execute(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

/// Has a plan made, and says which.
async fn planned(client: &Client, sql: &str) -> String {
    let error = client.batch_execute(sql).await.expect_err("a plan");
    let said = error.as_db_error().map(|error| error.message().to_owned()).unwrap_or_default();
    let plan = said.split_once("; plan ").and_then(|(_, rest)| rest.split_whitespace().next());
    plan.unwrap_or_else(|| panic!("no plan: {error:?}")).to_owned()
}

fn report(what: &str, turns: &[Turn], bound: f64) -> bool {
    let of = |figure: fn(&Turn) -> f64| median(turns.iter().map(figure).collect());
    let ratio = of(|turn| turn.ours.time.as_secs_f64() / turn.plain.time.as_secs_f64());
    // Of short acts one CPU tick more or less says nothing: all of them together.
    let count = u32::try_from(turns.len()).expect("few");
    let mean = |figure: fn(&Turn) -> Duration| ms(turns.iter().map(figure).sum::<Duration>() / count);
    let met = ratio <= bound;
    println!(
        "{what:<34}{:>7.2} ms{:>7.2} ms{ratio:>8.2}{bound:>7.1}  {:.2} -> {:.2} ms, {:.2} ms{}",
        of(|turn| ms(turn.plain.time)),
        of(|turn| ms(turn.ours.time)),
        mean(|turn| turn.plain.target),
        mean(|turn| turn.ours.target),
        mean(|turn| turn.ours.gateway),
        if met { "" } else { "  MISSED" },
    );
    met
}
