//! PostgreSQL and a gateway with the grant that the corpus's policy describes, for a program that sends the corpus.
//!
//! Judges nothing. Everything it starts ends with it, and the command it runs gives its exit code.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a broken test bed must stop the test")]

mod corpus;
mod stand;

use stand::{Layers, Stand};
use std::path::PathBuf;
use std::process::{Command, ExitCode};

const USAGE: &str = "usage: belay-stand --corpus FOLDER [--layers both|gateway|database|none] -- COMMAND [ARGUMENT]...
In the command {direct} is the URL of the server's superuser, {through} what is to be tested, {folder} a folder that
the server may write to. BELAY_PG_BIN names the folder of the server's programs.";

#[tokio::main]
async fn main() -> ExitCode {
    let Some((corpus, layers, command)) = wish(std::env::args().skip(1).collect()) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let stand = Stand::start(&corpus, layers).await;
    let words: Vec<String> = command.iter().map(|word| stand.fill_in(word)).collect();
    let status = tokio::task::spawn_blocking(move || Command::new(&words[0]).args(&words[1..]).status()).await;
    let code = match status.expect("the command's thread") {
        Ok(status) => u8::try_from(status.code().unwrap_or(1)).unwrap_or(1),
        Err(error) => {
            eprintln!("belay-stand: `{}`: {error}", command[0]);
            2
        }
    };
    if code > 1 {
        eprintln!("{}", stand.last_words());
    }
    ExitCode::from(code)
}

fn wish(words: Vec<String>) -> Option<(PathBuf, Layers, Vec<String>)> {
    let (mut corpus, mut layers) = (None, Layers::Both);
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--corpus" => corpus = Some(PathBuf::from(words.next()?)),
            "--layers" => layers = Layers::of(&words.next()?)?,
            "--" => break,
            _ => return None,
        }
    }
    let command: Vec<String> = words.collect();
    (!command.is_empty()).then_some((corpus?, layers, command))
}
