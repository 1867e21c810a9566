//! `belay audit tail`: the newest records, and those that follow.

use crate::client::Client;
use crate::failure::Failure;
use crate::output::Out;
use belay_web::shape::{AuditEntry, List};
use std::process::ExitCode;
use std::time::Duration;

/// How often a followed ledger is asked for more.
const PAUSE: Duration = Duration::from_millis(500);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    lines: u16,
    /// Go on as records come
    #[arg(short, long)]
    follow: bool,
}

pub(crate) async fn run(args: Args, out: &Out) -> Result<ExitCode, Failure> {
    let client = Client::open()?;
    let list: List<AuditEntry> = client.get(&["audit"], &[("limit", &args.lines.to_string())]).await?;
    if !args.follow {
        out.list(&list);
        return Ok(ExitCode::SUCCESS);
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
