//! Records that are changed, removed, reordered, inserted or cut off, also by somebody who knows the format and makes
//! everything anew but the signatures: each to a copy of a ledger that a real gateway left, and each has to be found by
//! `belay audit verify` with the public key alone, which also has to say which record it is.

use crate::files::Files;
use crate::stand::Stand;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU64, Ordering};
use testkit::{Dice, Outcome, SAMPLE_DATABASE, binary};

/// Statements that the ledger is made of, beside what comes with them.
const STATEMENTS: i64 = 500;
const WORKERS: u64 = 2;
/// What `belay audit verify` ends with where something is wrong.
const INTEGRITY: i32 = 10;

/// So many changes, each to a copy of a ledger.
pub(crate) async fn run(times: u64, seed: u64) -> ExitCode {
    let stand = Stand::start().await;
    let auditor = tempfile::tempdir().expect("a temporary folder");
    let whole = leave_a_ledger(&stand, auditor.path()).await;
    println!("{} records in {} segments, seed {seed}", whole.size(), whole.segments.len());
    let sound = verify(&whole.dir, auditor.path(), true);
    assert!(sound.code == 0, "the ledger that nobody touched: {}{}", sound.out, sound.err);
    let found = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (whole, found, auditor) = (&whole, &found, auditor.path());
            scope.spawn(move || {
                for case in (0..times).filter(|case| case % WORKERS == worker) {
                    if is_found(whole, auditor, seed, case) {
                        found.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let found = found.into_inner();
    println!("{times} mutations: {found} found");
    if found == times { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What was done to a copy, and which record `verify` has to name; none where it is not about one.
struct Done {
    what: String,
    record: Option<u64>,
    /// Only a checkpoint that was kept elsewhere tells.
    needs_noted: bool,
}

/// Traffic, a checkpoint that the auditor keeps, more traffic, the public key.
async fn leave_a_ledger(stand: &Stand, auditor: &Path) -> Files {
    let data = stand.belay.data_dir();
    // The first one: what was signed with the next is proven by it.
    fs::copy(data.join("ledger.pub"), auditor.join("key")).expect("the public key");
    let client = stand.belay.connect(&stand.tickets.everything, SAMPLE_DATABASE).await.expect("a login");
    for n in 0..STATEMENTS {
        if n == STATEMENTS / 2 {
            // Also, a checkpoint is kept for good here.
            stand.belay.run("admin", &["audit", "key", "rotate"]).ok();
        }
        client.batch_execute(&format!("INSERT INTO marks VALUES ({n})")).await.expect("an INSERT");
        client
            .batch_execute(&format!("SELECT * FROM marks WHERE n = {n} /* {} */", "x".repeat(300)))
            .await
            .expect("rows");
    }
    drop(client);
    assert_eq!(stand.belay.stop(), 0);
    fs::copy(data.join("ledger/checkpoint"), auditor.join("noted")).expect("a checkpoint");
    Files::read(&stand.ledger())
}

fn is_found(whole: &Files, auditor: &Path, seed: u64, case: u64) -> bool {
    let copy = tempfile::tempdir().expect("a temporary folder");
    let mut dice = Dice::of(seed, case);
    let done = mutate(whole, copy.path(), &mut dice);
    let said = verify(copy.path(), auditor, done.needs_noted);
    let named = said.err.split("record ").nth(1).and_then(|rest| rest.split([':', ' ']).next()?.parse::<u64>().ok());
    let found = said.code == INTEGRITY && (done.record.is_none() || named == done.record);
    if !found {
        let Done { what, record, .. } = done;
        println!("NOT FOUND, case {case}: {what} (record {record:?}); exit {}: {}", said.code, said.err);
    }
    found
}

fn verify(dir: &Path, auditor: &Path, with_noted: bool) -> Outcome {
    let mut command = Command::new(binary());
    command.args(["audit", "verify", "--dir"]).arg(dir).arg("--key").arg(auditor.join("key"));
    if with_noted {
        command.arg("--checkpoint").arg(auditor.join("noted"));
    }
    Outcome::of(&mut command)
}

/// Leaves a changed copy.
fn mutate(whole: &Files, copy: &Path, dice: &mut Dice) -> Done {
    match dice.below(4) {
        0 => by_hand(whole, copy, dice),
        1 | 2 => by_an_expert(whole, copy, dice),
        _ => beside_the_records(whole, copy, dice),
    }
}

/// The bytes of a frame, and nothing else.
fn by_hand(whole: &Files, copy: &Path, dice: &mut Dice) -> Done {
    whole.copy(copy);
    let several: Vec<_> = whole.segments.iter().filter(|segment| segment.payloads.len() > 1).collect();
    let segment = *dice.pick(&several);
    let place = dice.below(segment.payloads.len() - 1);
    let record = segment.first + place as u64;
    let (from, to) = segment.frame(place);
    let path = copy.join(&segment.name);
    let mut bytes = fs::read(&path).expect("a segment");
    let what = match dice.below(6) {
        0 => {
            let byte = from + dice.below(to - from);
            bytes[byte] ^= 1 << dice.below(8);
            format!("byte {byte} of {} is another", segment.name)
        }
        1 => {
            bytes.drain(from..to);
            format!("the frame of record {record} is cut out")
        }
        2 => {
            let (next, end) = segment.frame(place + 1);
            let swapped = [&bytes[next..end], &bytes[from..to]].concat();
            bytes.splice(from..end, swapped);
            format!("the frames of records {record} and {} are swapped", record + 1)
        }
        3 => {
            let other = segment.frame(another(place, segment.payloads.len(), dice));
            let frame = bytes[other.0..other.1].to_vec();
            bytes.splice(from..from, frame);
            format!("a frame is inserted before record {record}")
        }
        4 => {
            bytes.truncate(from + dice.below(to - from).max(1));
            format!("{} ends within record {record}", segment.name)
        }
        _ => {
            bytes.truncate(from);
            format!("{} ends before record {record}", segment.name)
        }
    };
    fs::write(&path, bytes).expect("a segment");
    Done { what, record: Some(record), needs_noted: false }
}

/// The payloads, with numbers, lengths, sums and the chain as they have to be.
fn by_an_expert(whole: &Files, copy: &Path, dice: &mut Dice) -> Done {
    let mut payloads: Vec<Vec<u8>> = whole.segments.iter().flat_map(|segment| segment.payloads.clone()).collect();
    let place = dice.below(payloads.len() - 1);
    let record = place as u64;
    let what = match dice.below(5) {
        0 => {
            let body = payloads[place].iter().position(|byte| *byte == b',').expect("a record");
            let byte = body + dice.below(payloads[place].len() - body);
            payloads[place][byte] = if payloads[place][byte] == b'7' { b'8' } else { b'7' };
            format!("record {record} says something else")
        }
        1 => {
            payloads.remove(place);
            format!("record {record} is left out")
        }
        2 => {
            payloads.swap(place, place + 1);
            format!("records {record} and {} are swapped", record + 1)
        }
        3 => {
            let more = payloads[another(place, payloads.len(), dice)].clone();
            payloads.insert(place, more);
            format!("another record is inserted before record {record}")
        }
        _ => {
            payloads.truncate(place);
            format!("all from record {record} on are left out")
        }
    };
    whole.copy(copy);
    whole.write_anew(copy, &payloads);
    Done { what, record: Some(record), needs_noted: false }
}

/// Headers, tiles, checkpoints and whole files.
fn beside_the_records(whole: &Files, copy: &Path, dice: &mut Dice) -> Done {
    whole.copy(copy);
    let done = |what: String| Done { what, record: None, needs_noted: false };
    let segment = &whole.segments[dice.below(whole.segments.len())];
    match dice.below(6) {
        0 => {
            let byte = flip(&copy.join(&segment.name), dice, 64);
            done(format!("byte {byte} of the header of {} is another", segment.name))
        }
        1 => {
            fs::remove_file(copy.join(&segment.name)).expect("a segment");
            Done { record: Some(segment.first), ..done(format!("{} is gone", segment.name)) }
        }
        2 => {
            let tiles = files_below(&copy.join("tile"));
            let tile = dice.pick(&tiles).clone();
            let byte = flip(&tile, dice, usize::MAX);
            done(format!("byte {byte} of {} is another", tile.display()))
        }
        3 => {
            let tiles = files_below(&copy.join("tile"));
            let tile = dice.pick(&tiles).clone();
            fs::remove_file(&tile).expect("a tile");
            done(format!("{} is gone", tile.display()))
        }
        4 => {
            let byte = flip(&copy.join("checkpoint"), dice, usize::MAX);
            done(format!("byte {byte} of the checkpoint is another"))
        }
        _ => {
            let size = whole.roll_back(copy);
            let what = format!("everything behind an older checkpoint, of {size} records, is gone with all traces");
            Done { what, record: Some(size), needs_noted: true }
        }
    }
}

/// A place other than this one.
fn another(place: usize, places: usize, dice: &mut Dice) -> usize {
    (place + 1 + dice.below(places - 1)) % places
}

/// Changes one bit among the first bytes of a file.
fn flip(path: &Path, dice: &mut Dice, first: usize) -> usize {
    let mut bytes = fs::read(path).expect("a file");
    let byte = dice.below(bytes.len().min(first));
    bytes[byte] ^= 1 << dice.below(8);
    fs::write(path, bytes).expect("a file");
    byte
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path());
    let (folders, mut files): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|path| path.is_dir());
    files.extend(folders.iter().flat_map(|folder| files_below(folder)));
    files.sort();
    files
}
