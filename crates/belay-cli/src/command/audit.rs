//! `belay audit`: reads and proves the ledger.

use crate::client::Client;
use crate::failure::{Exit, Failure};
use crate::output::Out;
use belay_ledger::Position;
use belay_server::ledger::read::{self, ReadError};
use belay_server::server::LEDGER_DIR;
use belay_web::shape::{AuditEntry, List, Verification};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// How often a followed ledger is asked for more.
const PAUSE: Duration = Duration::from_millis(500);

#[derive(clap::Args)]
#[command(before_help = "Examples:
  belay audit tail -f                                         as it happens
  belay audit search 'table:orders effect:write since:90d'
  belay audit verify --dir /var/lib/belay                     needs no server
")]
pub(crate) struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(clap::Subcommand)]
enum Act {
    /// The newest records
    Tail {
        /// How many
        #[arg(short = 'n', long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
        lines: u16,
        /// Go on as records come
        #[arg(short, long)]
        follow: bool,
    },
    /// Prove that every record is the one that was written
    Verify {
        /// Prove the files in this directory, without a server
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
        /// Also that the ledger went through a position that was noted before
        #[arg(long, value_name = "POSITION")]
        position: Option<Position>,
    },
    /// Records that match, e.g. `who:ann target:orders effect:read since:7d`
    Search {
        /// What is looked for
        query: String,
        /// At most so many, the newest
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
}

pub(crate) async fn run(args: Args, out: &Out) -> Result<ExitCode, Failure> {
    match args.act {
        Act::Tail { lines, follow } => tail(lines, follow, out).await?,
        Act::Search { query, limit } => {
            let limit = limit.to_string();
            let list: List<AuditEntry> =
                Client::open()?.get(&["audit"], &[("query", &query), ("limit", &limit)]).await?;
            out.list(&list);
        }
        Act::Verify { dir, position } => return verify(dir.as_deref(), position, out).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn tail(lines: u16, follow: bool, out: &Out) -> Result<(), Failure> {
    let client = Client::open()?;
    let list: List<AuditEntry> = client.get(&["audit"], &[("limit", &lines.to_string())]).await?;
    if !follow {
        out.list(&list);
        return Ok(());
    }
    out.stream(&list.items);
    let mut newest = list.items.last().map(|entry| entry.seq);
    // Ends with the person's Ctrl-C or with the server.
    loop {
        tokio::time::sleep(PAUSE).await;
        // Before the first record there is nothing to come after.
        let after = newest.map(|seq| seq.to_string());
        let query: Vec<(&str, &str)> =
            after.iter().map(|after| ("after", after.as_str())).chain([("limit", "1000")]).collect();
        let more: List<AuditEntry> = client.get(&["audit"], &query).await?;
        out.stream(&more.items);
        newest = more.items.last().map(|entry| entry.seq).or(newest);
    }
}

async fn verify(dir: Option<&Path>, position: Option<Position>, out: &Out) -> Result<ExitCode, Failure> {
    let report = match dir {
        Some(dir) => offline(dir, position)?,
        None => online(position).await?,
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

/// Takes a server's data directory as well as the ledger's own.
fn offline(dir: &Path, position: Option<Position>) -> Result<Verification, Failure> {
    let inside = dir.join(LEDGER_DIR);
    let dir = if inside.is_dir() { inside } else { dir.to_owned() };
    if !dir.is_dir() {
        return Err(Failure::usage(format!("`{}` is not a directory", dir.display()))
            .hint("name a server's data directory, or a copy of its ledger"));
    }
    let report = match position {
        Some(position) => read::verify_against(&dir, position),
        None => read::verify(&dir),
    };
    report.map(Verification::from).map_err(|error| match error {
        ReadError::Damaged { .. } => Failure::new(Exit::Integrity, error.to_string()),
        ReadError::Io { .. } | ReadError::Unreadable { .. } => Failure::new(Exit::Failure, error.to_string()),
    })
}
