//! What a record costs: `cargo run --release -p belay-server --example ledger_cost [DIRECTORY]`.
//!
//! Prints the processor time of encoding alone, of giving an event to the ledger at 15,000 a second and as fast as it
//! goes (both with the writer's share and the kernel's), the latency of a durable record, how many are made durable in
//! a second when many wait at a time, what each takes on the disk, and how fast all of it is verified.

#![allow(clippy::unwrap_used, reason = "a measurement that fails has nothing to report")]

use belay_ledger::{Encoder, Position};
use belay_model::{ConnectionId, Effect, Event, EventKind, GrantId, Named, SessionId, Timestamp};
use belay_server::ledger::{Ledger, read};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const RECORDS: u32 = 500_000;
/// How many wait for their record at a time, as connections that write do, and how many records each of them makes.
const WAITING: u32 = 256;
const EACH: u32 = 400;
/// The kernel counts processor time in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

fn main() {
    let base = std::env::args().nth(1).map_or_else(std::env::temp_dir, Into::into);
    let dir = base.join(format!("belay-ledger-cost-{}", std::process::id()));
    let text: Arc<str> =
        "SELECT o.id, o.total, c.name FROM public.orders o JOIN public.customers c ON c.id = o.customer \
                          WHERE o.id = $1 AND o.created_at > now() - interval '1 day' ORDER BY o.id"
            .into();
    encode(&text);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (ledger, _) = Ledger::open(&dir).unwrap();
    runtime.block_on(async {
        paced(&ledger, &text).await;
        flat_out(&ledger, &text).await;
        durable(&ledger, &text).await;
        durable_together(&ledger, &text).await;
    });
    ledger.close().unwrap();
    verify(&dir);
    std::fs::remove_dir_all(&dir).unwrap();
}

fn event(number: u32, text: &Arc<str>) -> Event {
    let kind = EventKind::Statement {
        statement: u64::from(number),
        text: Arc::clone(text),
        values: None,
        effect: Effect::Read,
        denied: None,
        because: None,
        relations: Named::default(),
    };
    let event = Event::new(Timestamp(1_790_000_000_000_000), kind).by("alice").on("orders").under(GrantId(31));
    Event { session: Some(SessionId(7)), connection: Some(ConnectionId(9)), ..event }
}

fn encode(text: &Arc<str>) {
    let (mut encoder, mut out) = (Encoder::new(Position::START), Vec::new());
    let event = event(1, text);
    let since = Instant::now();
    let mut bytes = 0;
    for _ in 0..RECORDS {
        out.clear();
        encoder.append(black_box(&event), &mut out).unwrap();
        bytes += out.len();
    }
    let each = since.elapsed() / RECORDS;
    println!("encoding: {} ns a record of {} bytes", each.as_nanos(), bytes / RECORDS as usize);
}

async fn paced(ledger: &Ledger, text: &Arc<str>) {
    let (syncs, before, since) = (ledger.counters().syncs, processor_time(), Instant::now());
    let mut given = 0;
    let mut giving = Duration::ZERO;
    for _ in 0..500 {
        let start = Instant::now();
        for _ in 0..150 {
            ledger.try_record(event(given, text)).unwrap();
            given += 1;
        }
        giving += start.elapsed();
        tokio::time::sleep_until((since + Duration::from_millis(10) * (given / 150)).into()).await;
    }
    let spent = processor_time().saturating_sub(before);
    let syncs = ledger.counters().syncs - syncs;
    println!(
        "15,000 a second: {} ns to give one, {} ns of processor time in all, {syncs} syncs in {:.1} s",
        (giving / given).as_nanos(),
        (spent / given).as_nanos(),
        since.elapsed().as_secs_f64()
    );
}

async fn flat_out(ledger: &Ledger, text: &Arc<str>) {
    let (before, since) = (processor_time(), Instant::now());
    for number in 0..RECORDS {
        ledger.record(event(number, text)).await.unwrap();
    }
    ledger.record_durable(event(0, text)).await.unwrap();
    let (spent, took) = (processor_time().saturating_sub(before), since.elapsed());
    println!(
        "flat out: {} ns of processor time a record, {:.0} records a second to the disk",
        (spent / RECORDS).as_nanos(),
        f64::from(RECORDS) / took.as_secs_f64()
    );
}

async fn durable(ledger: &Ledger, text: &Arc<str>) {
    let mut each = Vec::new();
    for number in 0..500 {
        let start = Instant::now();
        ledger.record_durable(event(number, text)).await.unwrap();
        each.push(start.elapsed());
    }
    each.sort_unstable();
    println!(
        "durable, one at a time: median {} us, 99th percentile {} us",
        each[250].as_micros(),
        each[495].as_micros()
    );
}

async fn durable_together(ledger: &Ledger, text: &Arc<str>) {
    let (before, since) = (ledger.counters(), Instant::now());
    let each = |place: u32| async move {
        for number in 0..EACH {
            ledger.record_durable(event(place * EACH + number, text)).await.unwrap();
        }
    };
    futures_util::future::join_all((0..WAITING).map(each)).await;
    let (after, took) = (ledger.counters(), since.elapsed());
    let (records, syncs) = (after.records - before.records, after.syncs - before.syncs);
    println!(
        "durable, {WAITING} at a time: {:.0} events a second in {syncs} synced groups of {}; {} bytes an event on the disk",
        f64::from(WAITING * EACH) / took.as_secs_f64(),
        records / syncs.max(1),
        (after.bytes - before.bytes) / records.max(1)
    );
}

fn verify(dir: &Path) {
    let since = Instant::now();
    let report = read::verify(dir, &read::Against::default()).unwrap();
    let took = since.elapsed();
    assert!(report.is_intact());
    let second = |number: u64| u128::from(number) * 1_000_000 / took.as_micros().max(1);
    println!(
        "verifying {} records of {} MB: {} records a second, {} MB a second",
        report.records,
        report.bytes / 1_000_000,
        second(report.records),
        second(report.bytes / 1_000_000)
    );
}

/// User and system time of the process (fields 14 and 15 of proc(5), `/proc/pid/stat`).
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_ascii_whitespace();
    let ticks: u32 = fields.skip(11).take(2).map(|field| field.parse::<u32>().unwrap()).sum();
    TICK * ticks
}
