//! `belay requests`: what waits for a decision.

use crate::client::Client;
use crate::complete;
use crate::failure::Failure;
use crate::output::Out;
use belay_web::shape::{List, Request};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// One request
    #[arg(add = complete::all_requests())]
    request: Option<String>,
    /// Decided ones too
    #[arg(long, conflicts_with = "request")]
    all: bool,
    /// Only your own
    #[arg(long, conflicts_with = "request")]
    mine: bool,
}

pub(crate) async fn run(args: &Args, out: &Out) -> Result<(), Failure> {
    let client = Client::open()?;
    if let Some(id) = &args.request {
        out.one(&client.get::<Request>(&["requests", id], &[]).await?);
        return Ok(());
    }
    let query = [("all", args.all.to_string()), ("mine", args.mine.to_string())];
    let list: List<Request> =
        client.get(&["requests"], &query.each_ref().map(|(key, value)| (*key, value.as_str()))).await?;
    out.list(&list);
    if let Some(request) =
        list.items.iter().find(|request| request.state == "pending" && request.requester != client.user())
    {
        out.next(&format!("belay approve {}", request.id));
    }
    Ok(())
}
