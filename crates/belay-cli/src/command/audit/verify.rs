//! `belay audit verify`: the proof that the ledger is whole.

use super::{ledger_in, unreadable};
use crate::client::Client;
use crate::failure::{Exit, Failure};
use crate::output::Out;
use belay_ledger::{Position, VerifierKey};
use belay_server::ledger::SESSION_KEYS;
use belay_server::ledger::checkpoint::Signed;
use belay_server::ledger::read::{self, Against, Trust};
use belay_web::shape::Verification;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Prove the files in this directory, without a server
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Also that they are signed with this key, or with one that it has signed in: the key, or a file with it
    #[arg(long, value_name = "KEY", requires = "dir")]
    key: Vec<String>,
    /// Also that the ledger went through this checkpoint, which was kept elsewhere
    #[arg(long, value_name = "FILE", requires = "dir")]
    checkpoint: Vec<PathBuf>,
    /// Also that the ledger went through a position that was noted before
    #[arg(long, value_name = "POSITION")]
    position: Option<Position>,
}

pub(crate) async fn run(args: Args, out: &Out) -> Result<ExitCode, Failure> {
    let report = match &args.dir {
        Some(dir) => offline(dir, &args)?,
        None => online(args.position).await?,
    };
    out.one(&report);
    for damaged in &report.damaged_keys {
        out.say(&format!("`{SESSION_KEYS}`: {damaged} is no key: what it was to open reads as erased"));
    }
    if report.intact {
        for gone in &report.deleted {
            out.say(&format!("{gone}; the tree over all of them is whole"));
        }
        let there = report.records + report.deleted_records;
        match (&report.signed, args.dir.is_some()) {
            (Some(signed), _) if *signed < there => {
                out.say(&format!("the last {} records are not signed yet; what is signed is proven", there - signed));
            }
            (None, true) => out.say("no signature was checked; with the public key: --key FILE"),
            _ => {}
        }
        if args.dir.is_some() && !report.unproven.is_empty() {
            out.say(&format!("no part of the ledger, so not proven: {}", report.unproven.join(", ")));
        }
        out.next("keep the checkpoint elsewhere: belay audit checkpoint; compare later: belay audit verify --dir DIR --checkpoint FILE");
        return Ok(ExitCode::SUCCESS);
    }
    let what = match report.damage {
        Some(damage) => format!("the ledger is not intact: {damage}"),
        None => "the ledger never went through that position: records were cut off or written anew".to_owned(),
    };
    Err(Failure::new(Exit::Integrity, what).hint("keep the files as they are, and compare with a backup"))
}

async fn online(position: Option<Position>) -> Result<Verification, Failure> {
    let client = Client::open()?;
    let position = position.map(|position| position.to_string());
    let query: Vec<(&str, &str)> = position.iter().map(|position| ("position", position.as_str())).collect();
    client.post_with(&["audit", "verify"], &query).await
}

fn offline(dir: &Path, args: &Args) -> Result<Verification, Failure> {
    let dir = ledger_in(dir)?;
    let keys = args.key.iter().map(|key| trusted(key)).collect::<Result<Vec<_>, _>>()?;
    let noted = args.checkpoint.iter().map(|file| noted(file)).collect::<Result<Vec<_>, _>>()?;
    let against = Against { position: args.position, trust: Some(Trust { keys, noted }) };
    read::verify(&dir, &against).map(Verification::from).map_err(unreadable)
}

/// A public key, or the file that holds one.
pub(super) fn trusted(key: &str) -> Result<VerifierKey, Failure> {
    let text = match std::fs::read_to_string(key) {
        Ok(text) => text,
        Err(_) => key.to_owned(),
    };
    text.trim().parse().map_err(|error: belay_ledger::KeyError| {
        Failure::usage(error.to_string()).hint("a file like ledger.pub of the data directory; or: belay audit key")
    })
}

fn noted(file: &Path) -> Result<Signed, Failure> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| Failure::usage(format!("`{shown}`: {error}")))?;
    Signed::read(&text).ok_or_else(|| Failure::usage(format!("`{shown}` holds no signed checkpoint")))
}
