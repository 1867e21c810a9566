//! Random schemas, rows and sessions, each judged through the gateway.

mod schema;
mod session;
mod value;

use crate::either::{Also, Room, Tally};
use crate::scenario::{Expect, Scenario};
use crate::stand::Stand;
use schema::{Has, any_schema};
use session::{any_beside, any_session};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use testkit::Dice;
use tokio::sync::Mutex;

/// How many cases a database is used for.
const CASES: usize = 100;
/// How many smaller cases are tried for one that failed.
const TRIES: usize = 60;
/// How many databases are used at the same time.
const LANES: usize = 2;

/// What to do, as the command line says it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    pub(crate) count: u64,
    pub(crate) first: u64,
    pub(crate) seed: u64,
}

/// Of all cases.
#[derive(Debug, Default)]
struct Total {
    tally: Tally,
    wrong: u64,
}

/// Judges that many cases; how many are wrong.
pub(crate) async fn run(stand: Arc<Stand>, wish: Wish) -> u64 {
    let has = Has { major: stand.postgres.major(), citext: has_citext(&stand).await };
    let (next, total) = (Arc::new(AtomicU64::new(wish.first)), Arc::new(Mutex::new(Total::default())));
    let lanes: Vec<_> = (0..LANES)
        .map(|lane| tokio::spawn(one_lane(Arc::clone(&stand), lane, wish, has, Arc::clone(&next), Arc::clone(&total))))
        .collect();
    for lane in lanes {
        lane.await.expect("a lane");
    }
    let total = total.lock().await;
    println!("{} steps made, {} sessions given back", total.tally.made, total.tally.reverted);
    for (code, times) in &total.tally.refused {
        println!("{times} refused with {code}");
    }
    println!(
        "{} random cases of seed {}: {} right, {} wrong",
        wish.count,
        wish.seed,
        wish.count - total.wrong,
        total.wrong
    );
    total.wrong
}

async fn one_lane(
    stand: Arc<Stand>,
    lane: usize,
    wish: Wish,
    has: Has,
    next: Arc<AtomicU64>,
    total: Arc<Mutex<Total>>,
) {
    let mut rooms = Rooms { stand: &stand, lane, opened: 0, used: 0, room: None };
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= wish.first + wish.count {
            break;
        }
        let scenario = case(has, wish.seed, number);
        let also = Also { planned: number.is_multiple_of(4), dry: number % 4 == 1 };
        match rooms.judge(&scenario, also).await {
            Ok(tally) => total.lock().await.tally.add(tally),
            Err(why) => {
                eprintln!("{} goes wrong, is made smaller: {why}", scenario.id);
                let (small, why) = rooms.shrink(scenario, also, why).await;
                println!("WRONG {}: {why}\n{}", small.id, small.line());
                total.lock().await.wrong += 1;
            }
        }
    }
    rooms.close().await;
}

fn case(has: Has, seed: u64, number: u64) -> Scenario {
    let mut dice = Dice::of(seed, number);
    let schema = any_schema(&mut dice, has);
    let write = any_session(&mut dice, has, &schema);
    let beside = any_beside(&mut dice, &schema);
    Scenario {
        id: format!("random-{seed}-{number}"),
        engine: format!("postgres{}", has.major),
        setup: schema.setup,
        write,
        beside,
        tables: Vec::new(),
        expect: Expect::Either,
    }
}

/// The databases of a lane, one after the other.
struct Rooms<'s> {
    stand: &'s Stand,
    lane: usize,
    opened: usize,
    used: usize,
    room: Option<Room>,
}

impl Rooms<'_> {
    async fn judge(&mut self, scenario: &Scenario, also: Also) -> Result<Tally, String> {
        if self.used >= CASES {
            self.close().await;
        }
        if self.room.is_none() {
            self.opened += 1;
            self.used = 0;
            self.room = Some(self.stand.room(&format!("lane_{}_{}", self.lane, self.opened)).await);
        }
        self.used += 1;
        let Some(room) = self.room.as_ref() else { return Err("there is no database".to_owned()) };
        let judged = self.stand.either(room, scenario, also).await;
        if judged.is_err() {
            // Nobody knows what is left of it.
            self.close().await;
        }
        judged
    }

    /// The same with as little as still goes wrong, and how that goes wrong.
    async fn shrink(&mut self, mut scenario: Scenario, also: Also, mut why: String) -> (Scenario, String) {
        let mut tries = 0;
        for list in [List::Beside, List::Write, List::Setup] {
            let mut place = list.length(&scenario);
            while place > 0 && tries < TRIES {
                place -= 1;
                tries += 1;
                let smaller = list.without(&scenario, place);
                match self.judge(&smaller, also).await {
                    Err(said) if !said.starts_with("its set-up fails") => (scenario, why) = (smaller, said),
                    _ => {}
                }
            }
        }
        (scenario, why)
    }

    async fn close(&mut self) {
        if let Some(room) = self.room.take() {
            self.stand.leave(room).await;
        }
    }
}

/// What can be left out of.
#[derive(Clone, Copy)]
enum List {
    Beside,
    Write,
    Setup,
}

impl List {
    fn length(self, scenario: &Scenario) -> usize {
        match self {
            List::Beside => scenario.beside.len(),
            List::Write => scenario.write.len(),
            List::Setup => scenario.setup.len(),
        }
    }

    fn without(self, scenario: &Scenario, place: usize) -> Scenario {
        let mut smaller = scenario.clone();
        match self {
            List::Beside => drop(smaller.beside.remove(place)),
            List::Write => drop(smaller.write.remove(place)),
            List::Setup => drop(smaller.setup.remove(place)),
        }
        smaller
    }
}

async fn has_citext(stand: &Stand) -> bool {
    let asked = "SELECT count(*) FROM pg_available_extensions WHERE name = 'citext'";
    stand.postgres.scalar("postgres", asked).await != "0"
}
