//! `belay deny`: says no to somebody else's request or plan, with a reason.

use crate::client::Client;
use crate::complete;
use crate::failure::Failure;
use crate::output::Out;
use crate::prompt;
use belay_web::shape::{Deny, Plan, Request};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The request, or the plan
    #[arg(add = complete::to_decide())]
    request: String,
    /// Why, for the requester
    #[arg(short = 'm', long, value_name = "TEXT")]
    reason: Option<String>,
}

pub(crate) async fn run(args: &Args, out: &Out) -> Result<(), Failure> {
    let client = Client::open()?;
    let reason = match &args.reason {
        Some(reason) => reason.clone(),
        None => prompt::line(out, "reason", "say why: -m 'use the replica'")?,
    };
    if args.request.starts_with("p_") {
        let plan: Plan = client.post(&["plans", &args.request, "deny"], &Deny { reason }).await?;
        out.one(&plan);
        out.next("belay plans");
        return Ok(());
    }
    let request: Request = client.post(&["requests", &args.request, "deny"], &Deny { reason }).await?;
    out.one(&request);
    out.next("belay requests");
    Ok(())
}
