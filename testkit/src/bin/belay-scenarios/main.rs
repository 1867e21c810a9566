//! Writes that must be reversible, and writes that must be refused, through a real gateway in front of a real server.
//!
//! Each scenario has a database of its own. A grant that plans writes leaves no trace; a grant that makes them at once is
//! reverted as a whole session, after a dry run that leaves no trace. What is compared is the text of every row under
//! pinned settings, over a direct connection.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a broken test bed must stop the test")]

mod either;
mod random;
mod scenario;
mod stand;
mod state;

use random::Wish;
use scenario::{Expect, Scenario, read};
use stand::Stand;
use std::process::ExitCode;
use std::sync::Arc;

const USAGE: &str = "usage: belay-scenarios MAJOR FILE...
       belay-scenarios MAJOR --random COUNT [--seed N] [--from N]
BELAY_PG_BIN names the folder of the server's programs.";

#[tokio::main(flavor = "multi_thread", worker_threads = 4)]
async fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (Some(major), files) = (words.next(), words.collect::<Vec<_>>()) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    if files.is_empty() {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    }
    if files.iter().any(|word| word.starts_with("--")) {
        return random(&files).await;
    }
    let all: Vec<Scenario> = files.iter().flat_map(|file| read(file)).collect();
    let mine: Vec<&Scenario> = all.iter().filter(|scenario| scenario.is_for(&major)).collect();
    let stand = Stand::start().await;
    let mut wrong = 0;
    for (number, scenario) in mine.iter().enumerate() {
        match stand.judge(number, scenario).await {
            Ok(()) => println!("right {}", scenario.id),
            Err(why) => {
                wrong += 1;
                let expect = match scenario.expect {
                    Expect::Reversible => "reversible",
                    Expect::MustRefuse => "must be refused",
                    Expect::Either => "refused or reversible",
                };
                println!("WRONG {} ({expect}): {why}", scenario.id);
            }
        }
    }
    if mine.len() < all.len() {
        println!("{} are for other servers", all.len() - mine.len());
    }
    println!("{} scenarios: {} right, {wrong} wrong", mine.len(), mine.len() - wrong);
    if mine.is_empty() {
        return ExitCode::from(2);
    }
    if wrong > 0 && std::env::var_os("BELAY_SCENARIO_LOG").is_some() {
        eprintln!("{}", stand.log());
    }
    ExitCode::from(u8::from(wrong > 0))
}

async fn random(words: &[String]) -> ExitCode {
    let Some(wish) = wish(words) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let stand = Arc::new(Stand::start().await);
    let wrong = random::run(Arc::clone(&stand), wish).await;
    if wrong > 0 && std::env::var_os("BELAY_SCENARIO_LOG").is_some() {
        eprintln!("{}", stand.log());
    }
    ExitCode::from(u8::from(wrong > 0))
}

/// Pairs of an option and its number.
fn wish(words: &[String]) -> Option<Wish> {
    let mut wish = Wish { count: 0, first: 0, seed: 1 };
    for pair in words.chunks(2) {
        let [option, number] = pair else { return None };
        let number = number.parse().ok()?;
        match option.as_str() {
            "--random" => wish.count = number,
            "--seed" => wish.seed = number,
            "--from" => wish.first = number,
            _ => return None,
        }
    }
    (wish.count > 0).then_some(wish)
}
