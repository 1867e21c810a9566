//! What a ledger must survive: gateways that die, and records that are changed.
//!
//! Judges a real gateway from outside, by the files that it leaves and by the rows that are in the database.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a broken test bed must stop the test")]

mod files;
mod kills;
mod load;
mod mutations;
mod stand;

use std::process::ExitCode;

const USAGE: &str = "usage: belay-ledger-trial kills N [--seed S]
       belay-ledger-trial mutations N [--seed S]";

#[tokio::main(flavor = "multi_thread", worker_threads = 4)]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let any = u64::from(std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a clock").subsec_nanos());
    let (what, times, seed) = match words[..] {
        [what, times] => (what, times.parse(), Ok(any)),
        [what, times, "--seed", seed] => (what, times.parse(), seed.parse()),
        _ => ("", Ok(0), Ok(0)),
    };
    let (Ok(times), Ok(seed)) = (times, seed) else { return usage() };
    match what {
        "kills" => kills::run(times, seed).await,
        "mutations" => mutations::run(times, seed).await,
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}
