//! A gateway that dies at any point, and what it must have left.

use crate::load::{Done, Load};
use crate::stand::{Stand, text};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::{Duration, Instant};
use testkit::{Dice, LedgerFiles, Outcome};

/// How long a gateway lives at the most before it is killed.
const LIFE: usize = 1000;
/// The same for one that is killed while it starts.
const START: usize = 500;

/// So many kills; the last line says how many the ledger survived.
pub(crate) async fn run(kills: u64, seed: u64) -> ExitCode {
    let mut trial = Trial::start(seed).await;
    let since = Instant::now();
    for kill in 1..=kills {
        if let Err(why) = trial.kill().await {
            eprintln!("kill {kill} of seed {seed}: {why}\n{}", trial.stand.last_words());
            println!("{kills} kills: {} survived", kill - 1);
            return ExitCode::FAILURE;
        }
    }
    let Seen { statements, segments, torn, starts, read, crashed, refused } = &trial.seen;
    eprintln!(
        "seed {seed}, {:.1} s: {} numbers in the database, {statements} statements and {} records in {segments} \
         segments; {torn} torn tails, {starts} kills during a start, {crashed} connections cut, {read} reads, refused {refused:?}",
        since.elapsed().as_secs_f64(),
        trial.known.len(),
        trial.files.read(),
    );
    println!("{kills} kills: {kills} survived");
    ExitCode::SUCCESS
}

struct Trial {
    stand: Stand,
    files: LedgerFiles,
    dice: Dice,
    next: Arc<AtomicI64>,
    /// The numbers that statements of the ledger would write.
    intended: BTreeSet<i64>,
    /// The numbers that are in the database.
    known: BTreeSet<i64>,
    /// The number of the last statement of each connection.
    last: BTreeMap<String, u64>,
    /// What was taken off, as records say.
    recovered: Vec<String>,
    seen: Seen,
}

#[derive(Default)]
struct Seen {
    statements: u64,
    segments: usize,
    torn: u64,
    starts: u64,
    read: u64,
    crashed: u64,
    refused: BTreeMap<String, u64>,
}

impl Trial {
    async fn start(seed: u64) -> Trial {
        let stand = Stand::start().await;
        let files = LedgerFiles::of(stand.ledger());
        Trial {
            stand,
            files,
            dice: Dice::of(seed, 0),
            next: Arc::default(),
            intended: BTreeSet::new(),
            known: BTreeSet::new(),
            last: BTreeMap::new(),
            recovered: Vec::new(),
            seen: Seen::default(),
        }
    }

    async fn kill(&mut self) -> Result<(), String> {
        let load = Load::start(&self.stand, &self.next, &mut self.dice);
        tokio::time::sleep(milliseconds(self.dice.below(LIFE))).await;
        self.stand.belay.kill();
        let done = load.end().await;
        self.read_on()?;
        let open = self.open();
        let torn = self.tear();
        if self.dice.once_in(3) {
            self.seen.starts += 1;
            self.stand.belay.restart_and_kill(milliseconds(self.dice.below(START)));
        }
        self.stand.belay.restart();
        self.read_on()?;
        self.says_what_was_taken_off(torn)?;
        self.has_every_effect(&done).await?;
        self.is_intact()?;
        self.ended(&open)?;
        if !self.stand.is_quiet().await {
            return Err("back ends of the dead gateway are still at work".to_owned());
        }
        self.stand.wrong_access().map_or(Ok(()), Err)
    }

    /// Takes in what the ledger has. Within a connection no statement may be missing.
    fn read_on(&mut self) -> Result<(), String> {
        for record in self.files.more() {
            match text(&record["kind"]) {
                "statement" => {
                    let number = record["statement"].as_u64().expect("a number");
                    let last = self.last.entry(text(&record["connection"]).to_owned()).or_default();
                    if number != *last + 1 {
                        return Err(format!("a statement is missing before {record}"));
                    }
                    *last = number;
                    self.seen.statements += 1;
                    self.intended.extend(number_in(&record));
                }
                "login" => drop(self.last.insert(text(&record["connection"]).to_owned(), 0)),
                "connection_ended" => {
                    self.last.remove(text(&record["connection"]));
                    self.seen.crashed += u64::from(record["reason"] == "crashed");
                }
                "recovered" => self.recovered.push(text(&record["what"]).to_owned()),
                _ => {}
            }
        }
        let segments = std::fs::read_dir(self.stand.ledger()).expect("the ledger");
        let is_segment = |entry: &std::fs::DirEntry| entry.path().extension().is_some_and(|end| end == "ledger");
        self.seen.segments = segments.flatten().filter(is_segment).count();
        Ok(())
    }

    /// The connections whose end is not in the ledger.
    fn open(&self) -> Vec<String> {
        self.last.keys().cloned().collect()
    }

    /// Leaves behind the last record what a crash of the machine could have left there, in every other turn. How many
    /// bytes are not part of the ledger.
    fn tear(&mut self) -> u64 {
        let (segment, end) = self.files.end().map(|(path, end)| (path.to_owned(), end)).expect("a segment");
        let (mine, before) = (self.dice.once_in(2), self.files.torn());
        if mine && before == 0 {
            let whole = std::fs::read(&segment).expect("the segment");
            let is_empty = end == 64;
            let torn = match self.dice.below(3) {
                // The first bytes of a frame.
                0 if !is_empty => {
                    let first = &whole[64..usize::try_from(end).expect("a size")];
                    let length = 40 + first.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize);
                    first[..self.dice.between(1, length - 1)].to_vec()
                }
                // Room that was never written.
                1 | 0 => vec![0; self.dice.between(1, 9000)],
                _ if is_empty => vec![0],
                // A segment that was just begun.
                _ => return self.begin_segment(&segment),
            };
            append(&segment, &torn);
        }
        let torn = self.files.torn();
        self.seen.torn += u64::from(torn > 0);
        torn
    }

    fn begin_segment(&mut self, segment: &Path) -> u64 {
        let header = std::fs::read(segment).expect("the segment");
        let next = segment.with_file_name(format!("{:020}.ledger", self.files.read()));
        // Of an empty file nothing is torn, though it is told as well.
        append(&next, &header[..=self.dice.below(63)]);
        self.seen.torn += 1;
        self.files.torn()
    }

    fn says_what_was_taken_off(&mut self, torn: u64) -> Result<(), String> {
        let said = std::mem::take(&mut self.recovered);
        let expected = format!("took {torn} bytes of an unfinished append off");
        let found = said.iter().any(|what| what.starts_with(&expected));
        // A start that is killed may leave a tail of its own.
        let another = said.iter().any(|what| what.contains("of an unfinished append"));
        if torn > 0 && !found {
            return Err(format!("{torn} bytes were taken off, and no record says so: {said:?}"));
        }
        if torn == 0 && another && self.seen.starts == 0 {
            return Err(format!("nothing was torn, but something was taken off: {said:?}"));
        }
        match self.files.torn() {
            0 => Ok(()),
            left => Err(format!("{left} bytes behind the last record are no record")),
        }
    }

    /// No effect in the database without its intent in the ledger; and what a client was told took effect.
    async fn has_every_effect(&mut self, done: &Done) -> Result<(), String> {
        self.seen.read += done.read;
        for (why, times) in &done.refused {
            *self.seen.refused.entry(why.clone()).or_default() += times;
        }
        self.known = self.stand.numbers().await;
        if let Some(number) = self.known.difference(&self.intended).next() {
            return Err(format!("{number} is in the database, and no statement of the ledger has written it"));
        }
        match done.written.difference(&self.known).next() {
            Some(number) => Err(format!("{number} is not in the database, but its client was told so")),
            None => Ok(()),
        }
    }

    fn is_intact(&self) -> Result<(), String> {
        let mut verify = self.stand.belay.command("admin");
        let dir = self.stand.belay.data_dir().display().to_string();
        let Outcome { code, out, err } = Outcome::of(verify.args(["audit", "verify", "--dir", &dir]));
        if code == 0 { Ok(()) } else { Err(format!("`audit verify` ends with {code}: {out}{err}")) }
    }

    /// Every connection that the dead gateway had has an end on the record.
    fn ended(&mut self, open: &[String]) -> Result<(), String> {
        let soon = Instant::now();
        while let Some(left) = open.iter().find(|connection| self.last.contains_key(*connection)) {
            if soon.elapsed() > Duration::from_secs(10) {
                return Err(format!("connection {left} has no end"));
            }
            std::thread::sleep(Duration::from_millis(5));
            self.read_on()?;
        }
        Ok(())
    }
}

fn append(path: &Path, bytes: &[u8]) {
    let file = OpenOptions::new().append(true).create(true).open(path);
    file.and_then(|mut file| file.write_all(bytes)).expect("write");
}

/// The number that an INSERT writes: in its text, or bound in binary format.
fn number_in(record: &Value) -> Option<i64> {
    let (_, behind) = text(&record["text"]).split_once(" VALUES (")?;
    let number = behind.split(')').next()?;
    match record["values"][0]["binary"].as_str() {
        Some(hex) if number == "$1" => i64::from_str_radix(hex, 16).ok(),
        _ => number.parse().ok(),
    }
}

fn milliseconds(number: usize) -> Duration {
    Duration::from_millis(number as u64)
}
