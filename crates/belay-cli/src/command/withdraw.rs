//! `belay withdraw`: takes one's own request back.

use crate::client::Client;
use crate::complete;
use crate::failure::Failure;
use crate::output::Out;
use belay_web::shape::Request;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The request
    #[arg(add = complete::own_requests())]
    request: String,
}

pub(crate) async fn run(args: &Args, out: &Out) -> Result<(), Failure> {
    let client = Client::open()?;
    let request: Request = client.post(&["requests", &args.request, "withdraw"], &()).await?;
    out.one(&request);
    out.next(&format!("belay request {} --for {} -m REASON", request.target, request.duration));
    Ok(())
}
