//! `belay audit`: reads and proves the ledger.

mod check;
mod erase;
mod export;
mod hold;
mod key;
mod report;
mod search;
pub(crate) mod source;
mod tail;
mod verify;

use crate::failure::{Exit, Failure};
use crate::output::Out;
use belay_server::ledger::SESSION_KEYS;
use belay_server::ledger::read::ReadError;
use belay_server::server::LEDGER_DIR;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(clap::Args)]
#[command(before_help = "Examples:
  belay audit tail -f                                         as it happens
  belay audit search 'table:orders effect:write since:90d'
  belay audit search --dir /backup/ledger 'row:41 -who:bob'   needs no server
  belay audit export kind:statement --format csv -f october.csv
  belay audit verify --dir /var/lib/belay                     needs no server
")]
pub(crate) struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(clap::Subcommand)]
enum Act {
    /// The newest records
    Tail(tail::Args),
    /// Prove that every record is the one that was written
    Verify(verify::Args),
    /// The public key that signs the ledger
    Key(key::KeyArgs),
    /// The newest signed state of the ledger, to be kept elsewhere
    Checkpoint(key::CheckpointArgs),
    /// One record with the proof that it is in the ledger
    Prove(key::ProveArgs),
    /// Records that match, e.g. `who:ann target:orders effect:read since:7d`
    Search(search::Args),
    /// What one session or one access request was, on one page
    Report(report::Args),
    /// Whether such a page is what the ledger's records make it
    Check(check::Args),
    /// Keep a session from being erased or deleted, and see which are kept
    Hold(hold::Args),
    /// Erase for good what a session typed, and the rows of its changes; its records stay
    Erase(erase::Args),
    /// All records that match as CSV, JSON Lines or Parquet
    Export(export::Args),
}

pub(crate) async fn run(args: Args, out: &Out) -> Result<ExitCode, Failure> {
    match args.act {
        Act::Tail(args) => tail::run(args, out).await,
        Act::Verify(args) => verify::run(args, out).await,
        Act::Key(args) => key::key(args, out).await,
        Act::Checkpoint(args) => key::checkpoint(args, out).await,
        Act::Prove(args) => key::prove(args, out).await,
        Act::Search(args) => search::run(args, out).await,
        Act::Report(args) => report::run(args, out).await,
        Act::Check(args) => check::run(&args, out),
        Act::Erase(args) => erase::run(args, out).await,
        Act::Hold(args) => hold::run(args, out).await,
        Act::Export(args) => export::run(args, out).await,
    }
}

/// Takes a server's data directory as well as the ledger's own.
fn ledger_in(dir: &Path) -> Result<PathBuf, Failure> {
    let inside = dir.join(LEDGER_DIR);
    let dir = if inside.is_dir() { inside } else { dir.to_owned() };
    if !dir.is_dir() {
        return Err(Failure::usage(format!("`{}` is not a directory", dir.display()))
            .hint("name a server's data directory, or a copy of its ledger"));
    }
    Ok(dir)
}

/// Says that content will read as erased, where a copy came without its keys.
fn mind_keys(ledger: &Path, out: &Out) {
    if !ledger.join(SESSION_KEYS).exists() {
        out.say(&format!("there is no `{SESSION_KEYS}` beside the records: what is sealed in them reads as erased"));
    }
}

/// A ledger that could not be read.
#[allow(clippy::needless_pass_by_value, reason = "the shape that `map_err` wants")]
fn unreadable(error: ReadError) -> Failure {
    let exit = match error {
        ReadError::Damaged { .. } => Exit::Integrity,
        ReadError::Io { .. } | ReadError::Unreadable { .. } => Exit::Failure,
    };
    Failure::new(exit, error.to_string())
}
