//! `belay audit search`: the records that match.

use crate::client::Client;
use crate::failure::Failure;
use crate::output::Out;
use belay_web::shape::{AuditEntry, List};
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What is looked for
    query: String,
    /// At most so many, the newest
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
}

pub(crate) async fn run(args: Args, out: &Out) -> Result<ExitCode, Failure> {
    let limit = args.limit.to_string();
    let list: List<AuditEntry> = Client::open()?.get(&["audit"], &[("query", &args.query), ("limit", &limit)]).await?;
    out.list(&list);
    Ok(ExitCode::SUCCESS)
}
