//! How large a ledger and its index become, and how long searches take:
//!
//! ```sh
//! cargo run --release -p belay-server --example search -- 10 /tmp/search
//! ```
//!
//! makes a ledger of ten million events in `/tmp/search`, unless it is there already.

#![allow(clippy::print_stdout, reason = "the figures are what it is for")]

use belay_model::{
    BindValue, Bounds, ChangeId, ChangedTable, Code, ConnectionId, Effect, Effects, EndReason, Event, EventKind,
    GrantId, Outcome, RequestId, SessionId, Span, Timestamp, TransactionStatus,
};
use belay_server::ledger::Ledger;
use belay_server::ledger::read::Filter;
use belay_server::ledger::search::{Index, Page, index_file};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const DAY: i64 = 86_400_000_000;
/// The newest event happens then; the others in the half year before.
const NOW: i64 = 1_795_000_000_000_000;
const FOREVER: Duration = Duration::from_hours(10);
const ROUNDS: usize = 5;

const TABLES: [&str; 12] = [
    "orders",
    "customers",
    "invoices",
    "payments",
    "products",
    "stock",
    "shipments",
    "users",
    "events",
    "prices",
    "returns",
    "carts",
];

const SEARCHES: [&str; 10] = [
    "who:person17 since:7d",
    "target:target12 effect:write since:90d",
    "who:person17 table:public.orders effect:write decision:denied since:90d",
    "decision:denied since:30d",
    "sqlstate:23505 target:target12",
    "\"delete from invoices\" who:person42",
    "session:s_1234",
    "table:public.customers row:41 since:90d",
    "kind:request_made -who:person1 incident",
    "table:payments who:person101 until:2026-08-01 -decision:permitted",
];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let millions: u64 = args.next().ok_or("how many million events?")?.parse()?;
    let dir = PathBuf::from(args.next().ok_or("in which directory?")?);
    let ledger = dir.join("ledger");
    if !ledger.exists() {
        let start = Instant::now();
        fs::create_dir_all(&ledger)?;
        make(&ledger, millions * 1_000_000).await?;
        println!("ledger made in {:.1} s", start.elapsed().as_secs_f64());
    }
    let events = millions * 1_000_000;
    let mut bytes = 0;
    for segment in fs::read_dir(&ledger)? {
        bytes += segment?.metadata()?.len();
    }
    println!("{events} events, {} bytes each", bytes / events);

    let file = index_file(&ledger);
    let start = Instant::now();
    search(&ledger, &file, "", 1).await?;
    let took = start.elapsed().as_secs_f64();
    let bytes = fs::metadata(&file)?.len();
    println!("index: {took:.1} s if it is made anew, {} bytes an event", bytes / events);

    let mut all = Vec::new();
    for filter in SEARCHES {
        let mut times = Vec::new();
        let mut found = 0;
        for _ in 0..ROUNDS {
            let start = Instant::now();
            found = search(&ledger, &file, filter, 100).await?;
            times.push(start.elapsed().as_secs_f64() * 1000.0);
        }
        times.sort_by(f64::total_cmp);
        println!("{:7.1} ms, worst {:7.1} ms, {found:3} found: {filter}", times[ROUNDS / 2], times[ROUNDS - 1]);
        all.extend(times);
    }
    all.sort_by(f64::total_cmp);
    println!("p50 {:.1} ms, worst {:.1} ms", all[all.len() / 2], all[all.len() - 1]);
    Ok(())
}

/// As the server does it: the index is opened for each search.
async fn search(ledger: &Path, file: &Path, filter: &str, count: usize) -> Result<usize, Box<dyn Error>> {
    let filter = Filter::parse(filter, Timestamp(NOW))?;
    let mut index = Index::open(ledger, file, FOREVER).await?;
    Ok(index.search(&filter, Page::Newest, count, FOREVER).await?.records.len())
}

/// As the server writes it, sealed.
async fn make(ledger: &Path, events: u64) -> Result<(), Box<dyn Error>> {
    let mut people = People { dice: Dice(42), at: NOW - 180 * DAY, step: 180 * DAY / i64::try_from(events)?, next: 0 };
    let (ledger, _) = Ledger::open(ledger)?;
    let mut made = 0;
    while made < events {
        for event in people.events() {
            ledger.record(event).await?;
            made += 1;
        }
    }
    Ok(ledger.close()?)
}

/// The same numbers each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }
}

/// Two hundred people who work on fifty targets, a few hundred statements a session.
struct People {
    dice: Dice,
    at: i64,
    step: i64,
    next: i64,
}

impl People {
    /// What one person does next.
    fn events(&mut self) -> Vec<Event> {
        self.next += 1;
        let number = self.next;
        // Some do much more than others.
        let person = self.dice.roll(200).min(self.dice.roll(200));
        let target = (person * 7 + self.dice.roll(5)) % 50;
        let session = number / 3000 * 20 + i64::try_from(person % 20).unwrap_or_default();
        let kinds = match self.dice.roll(100) {
            0 => self.request(number, session),
            1 => {
                vec![self.login(), EventKind::ConnectionEnded { reason: EndReason::Closed, in_transaction: false }]
            }
            2 => self.change(number),
            _ => self.statement(number),
        };
        let named = |event: Event| {
            let event = event.by(&format!("person{person}")).on(&format!("target{target}")).under(GrantId(session));
            Event { session: Some(SessionId(session)), connection: Some(ConnectionId(session * 3)), ..event }
        };
        let mut events = Vec::new();
        for kind in kinds {
            self.at += self.step;
            events.push(named(Event::new(Timestamp(self.at), kind)));
        }
        events
    }

    fn table(&mut self) -> &'static str {
        TABLES[usize::try_from(self.dice.roll(TABLES.len() as u64)).unwrap_or_default()]
    }

    fn statement(&mut self, number: i64) -> Vec<EventKind> {
        let (table, id) = (self.table(), self.dice.roll(5_000_000));
        let (effect, text, values) = match self.dice.roll(20) {
            0 => (Effect::Write, format!("UPDATE {table} SET status = $1, updated_at = now() WHERE id = $2"), 2),
            1 => (Effect::Write, format!("INSERT INTO {table} (id, name, total) VALUES ({id}, 'name {id}', 12.5)"), 0),
            2 => (Effect::Write, format!("DELETE FROM {table} WHERE id = {id}"), 0),
            3 if self.dice.one_in(10) => (Effect::Definition, format!("ALTER TABLE {table} ADD COLUMN c{id} text"), 0),
            3..8 => (Effect::Read, format!("SELECT id, name, total FROM {table} WHERE customer_id = {id} LIMIT 50"), 0),
            8..10 => (
                Effect::Read,
                format!(
                    "SELECT t.id, c.name, sum(t.total) FROM {table} t JOIN customers c ON c.id = t.customer_id WHERE t.created_at > $1 GROUP BY 1, 2 ORDER BY 3 DESC"
                ),
                1,
            ),
            _ => (Effect::Read, format!("SELECT * FROM public.{table} WHERE id = $1 AND deleted_at IS NULL"), 1),
        };
        let denied = self.dice.one_in(100).then_some(Code::WriteInReadOnly);
        let statement = u64::try_from(number).unwrap_or_default();
        let judged = EventKind::Statement {
            statement,
            text: text.into(),
            values: (values > 0).then(|| vec![BindValue::Text(id.to_string()); values]),
            effect,
            denied,
            because: denied.map(|_| format!("the grant does not let anybody write {table}")),
            relations: std::iter::once(format!("public.{table}")).collect(),
        };
        if denied.is_some() {
            return vec![judged];
        }
        let failed = self.dice.one_in(200).then(|| "23505".to_owned());
        let outcome = Outcome {
            rows: Some(self.dice.roll(50)),
            bytes: Some(self.dice.roll(9_000)),
            sqlstate: failed,
            stopped: None,
            skipped: false,
            micros: self.dice.roll(100_000),
        };
        vec![judged, EventKind::Outcome { statement, outcome, transaction: TransactionStatus::Idle }]
    }

    fn change(&mut self, number: i64) -> Vec<EventKind> {
        let keys = (0..=self.dice.roll(4)).map(|_| self.dice.roll(1_000).to_string()).collect();
        let table = ChangedTable {
            table: format!("public.{}", self.table()),
            inserted: 0,
            updated: 3,
            deleted: 0,
            indirect: false,
            keys,
            more_keys: 0,
        };
        let kept = serde_json::json!({
            "kind": "change_kept", "change": ChangeId(number), "tables": [table], "rows": 3,
            "fingerprint": format!("{number:064x}"), "transaction": number.to_string(),
        });
        let kept = serde_json::from_value(kept).unwrap_or(EventKind::TokenClaimed);
        vec![kept, EventKind::ChangeCommitted { change: ChangeId(number), transaction: Some(number.to_string()) }]
    }

    fn request(&mut self, number: i64, session: i64) -> Vec<EventKind> {
        let request = RequestId(number);
        let reason = match self.dice.roll(4) {
            0 => format!("incident INC-{}: customers see wrong totals", self.dice.roll(9_000)),
            _ => format!("ticket OPS-{}: check what came of the import", self.dice.roll(90_000)),
        };
        let made = EventKind::RequestMade {
            request,
            resources: Vec::new(),
            effects: Effects::DIRECT,
            bounds: Bounds::default(),
            duration: Span::from_seconds(3_600),
            reason,
            break_glass: false,
            rule: None,
            policies: Vec::new(),
        };
        let (ends_at, use_by) = (Timestamp(self.at + DAY / 24), Timestamp(self.at + DAY));
        vec![
            made,
            EventKind::RequestApproved { request, still_needed: 0, policies: Vec::new() },
            EventKind::GrantMade { request, ends_at, use_by },
            EventKind::RoleMade { role: format!("belay_g_{session}") },
        ]
    }

    fn login(&mut self) -> EventKind {
        EventKind::Login {
            client: format!("10.0.{}.{}:5{}", self.dice.roll(250), self.dice.roll(250), self.dice.roll(9_999)),
            application: "psql".to_owned(),
            database: "shop".to_owned(),
            backend: 1,
        }
    }
}
