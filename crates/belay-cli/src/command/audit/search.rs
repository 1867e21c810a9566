//! `belay audit search`: the records that match.

use super::source::{Place, Source};
use crate::failure::Failure;
use crate::output::Out;
use belay_server::ledger::search::Page;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What is looked for
    #[arg(allow_hyphen_values = true)]
    query: String,
    #[command(flatten)]
    place: Place,
    /// At most so many, the newest
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Only those before this record: the next page
    #[arg(long, value_name = "SEQ")]
    before: Option<u64>,
}

pub(crate) async fn run(args: Args, out: &Out) -> Result<ExitCode, Failure> {
    let mut source = Source::open(&args.place, out).await?;
    let limit = usize::from(args.limit);
    let first = args.before.map_or(Page::Newest, Page::Before);
    let mut found = source.page(&args.query, first, limit, out).await?;
    // A page may end early, after so many records were looked at. Ends because pages go back in the ledger.
    while let Some(next) = found.next.filter(|_| found.list.items.len() < limit) {
        out.say(&format!("looked at everything down to record {next}"));
        let left = limit - found.list.items.len();
        let mut older = source.page(&args.query, Page::Before(next), left, out).await?;
        older.list.items.append(&mut found.list.items);
        found = older;
    }
    out.list(&found.list);
    if let Some(next) = found.next {
        out.next(&format!("there may be older ones: the same search with --before {next}"));
    }
    Ok(ExitCode::SUCCESS)
}
