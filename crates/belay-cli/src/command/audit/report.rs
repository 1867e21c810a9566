//! `belay audit report`: what one session or one access request was.

use super::source::{DELETIONS, ask, mind_deleted};
use super::{ledger_in, mind_keys, unreadable};
use crate::client::Client;
use crate::failure::{Exit, Failure};
use crate::output::Out;
use belay_model::Timestamp;
use belay_report::{Document, Subject, page};
use belay_server::ledger::account::{AccountError, account};
use belay_server::ledger::read::{Filter, tail};
use belay_server::ledger::search::Page;
use belay_web::shape::AuditEntry;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(clap::Args)]
#[command(before_help = "Examples:
  belay audit report s_7 --html s_7.html         a page for people, with everything that proves it
  belay audit report r_3 --json r_3.json         a request with all of its sessions
  belay audit report s_7 --dir /backup/ledger --html s_7.html
                                                 needs no server; values before and after are on the server only
")]
pub(crate) struct Args {
    /// A session, or an access request with all of its sessions
    #[arg(value_name = "SESSION|REQUEST")]
    subject: Subject,
    /// Out of the files in this directory, without a server
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Write it as a page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write it as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(crate) async fn run(args: Args, out: &Out) -> Result<ExitCode, Failure> {
    let (document, deletions) = if let Some(dir) = &args.dir {
        let ledger = ledger_in(dir)?;
        mind_keys(&ledger, out);
        (account(&ledger, args.subject).map_err(unmade)?, deletions(&ledger)?)
    } else {
        let client = Client::open()?;
        let document = client.get(&["audit", "report"], &[("of", &args.subject.to_string())]).await?;
        (document, ask(&client, DELETIONS, Page::Newest, 1).await?.list.items)
    };
    mind_deleted(&deletions, out);
    if document.proof.is_none() {
        out.say("the ledger has no signed checkpoint: nothing proves this report");
    }
    if let Some(file) = &args.html {
        write(file, &page(&document))?;
        out.next(&format!("belay audit check {} --key KEY", file.display()));
    }
    if let Some(file) = &args.json {
        write(file, &json(&document)?)?;
        out.next(&format!("belay audit check {} --key KEY", file.display()));
    }
    if args.html.is_none() && args.json.is_none() {
        out.data(&json(&document)?);
    }
    Ok(ExitCode::SUCCESS)
}

fn deletions(ledger: &Path) -> Result<Vec<AuditEntry>, Failure> {
    let filter = Filter::parse(DELETIONS, Timestamp(0)).map_err(|error| Failure::usage(error.to_string()))?;
    let found = tail(ledger, &filter, 1, None).map_err(unreadable)?;
    Ok(found.iter().filter_map(AuditEntry::new).collect())
}

/// In one line: so it is the same text wherever it is checked.
fn json(document: &Document) -> Result<String, Failure> {
    let text = serde_json::to_string(document);
    Ok(text.map_err(|error| Failure::new(Exit::Failure, error.to_string()))? + "\n")
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(Exit::Failure, format!("`{}`: {error}", file.display()));
    std::fs::write(file, text).map_err(failed)
}

/// Why there is no report out of files.
pub(super) fn unmade(error: AccountError) -> Failure {
    match error {
        AccountError::Read(error) => unreadable(error),
        AccountError::Unknown(_) | AccountError::Deleted(..) | AccountError::TooMany(_) => {
            Failure::new(Exit::Failure, error.to_string())
        }
        AccountError::Checkpoints(_) | AccountError::Tiles(_) | AccountError::Unproven(_) => {
            Failure::new(Exit::Integrity, error.to_string()).hint("belay audit verify --dir DIR --key KEY")
        }
    }
}
