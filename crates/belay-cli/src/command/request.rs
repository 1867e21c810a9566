//! `belay request`: asks for access.

use crate::client::Client;
use crate::complete;
use crate::failure::Failure;
use crate::native::{self, Wanted};
use crate::output::Out;
use crate::prompt;
use belay_model::{Effect, Name, Resource, Span};
use belay_web::shape::Request;
use std::process::ExitCode;

#[derive(clap::Args)]
#[command(before_help = "Examples:
  belay request orders --for 1h -m 'INC-4881 refund stuck'
  belay request orders public.orders public.refunds --for 30m -m 'check totals'
  belay request orders --break-glass -m 'INC-4890 all orders fail'
")]
pub(crate) struct Args {
    /// The target
    #[arg(add = complete::targets())]
    target: Name,
    /// Tables: `schema.table`, `schema.*` or `database/schema.table`; none for all of the target's own database
    resources: Vec<Resource>,
    /// What is to be done
    #[arg(long, value_name = "EFFECT", default_value = "read", value_parser = ["read", "write"])]
    effect: Vec<String>,
    /// For how long, counted from the approval
    #[arg(long = "for", value_name = "SPAN", default_value = "1h")]
    span: Span,
    /// Why
    #[arg(short = 'm', long, value_name = "TEXT")]
    reason: Option<String>,
    /// Take it at once in an emergency: people are told, and somebody else must review it
    #[arg(long)]
    break_glass: bool,
    /// Wait until it is decided
    #[arg(long)]
    wait: bool,
}

pub(crate) async fn run(args: &Args, out: &Out) -> Result<ExitCode, Failure> {
    let client = Client::open()?;
    let reason = match &args.reason {
        Some(reason) => reason.clone(),
        None => prompt::line(out, "reason", "say why: -m 'INC-4881 refund stuck'")?,
    };
    let wanted = Wanted {
        target: args.target.clone(),
        resources: args.resources.clone(),
        write: args.effect.iter().any(|effect| effect == Effect::Write.word()),
        span: args.span,
        break_glass: args.break_glass,
    };
    let mut request: Request = native::ask(&client, &wanted, &reason).await?;
    if args.wait && request.state == "pending" {
        out.say(&waiting(&request));
        request = native::wait(&client, &request).await?;
    }
    out.one(&request);
    match (&request.grant, request.state.as_str()) {
        (Some(_), _) => out.next(&format!("belay psql {}", request.target)),
        (None, "pending") => {
            out.say(&waiting(&request));
            out.next(&format!("belay psql {} waits for it and connects", request.target));
        }
        (None, _) => return Err(native::decided_against(&request)),
    }
    Ok(ExitCode::SUCCESS)
}

/// What a pending request waits for.
pub(crate) fn waiting(request: &Request) -> String {
    let missing = usize::from(request.approvals_needed).saturating_sub(request.approved_by.len());
    let people = if missing == 1 { "one approval".to_owned() } else { format!("{missing} approvals") };
    format!(
        "{} waits for {people}, until {}: somebody else runs `belay approve {}`",
        request.id, request.decide_by, request.id
    )
}
