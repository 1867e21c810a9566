//! `belay audit verify`: the proof that the ledger is whole.

use super::{ledger_in, unreadable};
use crate::client::Client;
use crate::failure::{Exit, Failure};
use crate::output::Out;
use belay_ledger::Position;
use belay_server::ledger::read;
use belay_web::shape::Verification;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Prove the files in this directory, without a server
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Also that the ledger went through a position that was noted before
    #[arg(long, value_name = "POSITION")]
    position: Option<Position>,
}

pub(crate) async fn run(args: Args, out: &Out) -> Result<ExitCode, Failure> {
    let report = match &args.dir {
        Some(dir) => offline(dir, args.position)?,
        None => online(args.position).await?,
    };
    out.one(&report);
    if report.intact {
        out.next("note the position elsewhere; compare later: belay audit verify --position POSITION");
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

fn offline(dir: &Path, position: Option<Position>) -> Result<Verification, Failure> {
    let dir = ledger_in(dir)?;
    let report = match position {
        Some(position) => read::verify_against(&dir, position),
        None => read::verify(&dir),
    };
    report.map(Verification::from).map_err(unreadable)
}
