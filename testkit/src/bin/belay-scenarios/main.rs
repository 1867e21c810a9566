//! Writes that must be reversible, and writes that must be refused, through a real gateway in front of a real server.
//!
//! Each scenario has a database of its own. A grant that plans writes leaves no trace; a grant that makes them at once is
//! reverted as a whole session, after a dry run that leaves no trace. What is compared is the text of every row under
//! pinned settings, over a direct connection.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a broken test bed must stop the test")]

mod scenario;
mod stand;
mod state;

use scenario::{Expect, Scenario, read};
use stand::Stand;
use std::process::ExitCode;

const USAGE: &str = "usage: belay-scenarios MAJOR FILE...
BELAY_PG_BIN names the folder of the server's programs.";

#[tokio::main]
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
