//! `belay request`: asks for access.

use crate::bounds::BoundArgs;
use crate::client::Client;
use crate::complete;
use crate::failure::Failure;
use crate::native::{self, Effect, Wanted};
use crate::output::Out;
use crate::prompt;
use belay_model::{Name, Resource, Span};
use belay_web::shape::Request;
use std::process::ExitCode;

#[derive(clap::Args)]
#[command(before_help = "Examples:
  belay request orders --for 1h -m 'INC-4881 refund stuck'
  belay request orders public.orders public.refunds --for 30m -m 'check totals'
  belay request orders public.orders.status --rows 'public.orders: customer_id = 7' -m 'INC-4881'
  belay request orders --break-glass -m 'INC-4890 all orders fail'
")]
pub(crate) struct Args {
    /// The target
    #[arg(add = complete::targets())]
    target: Name,
    /// Tables: `schema.table`, a pattern such as `schema.*` or `schema.orders_*`, one column as `schema.table.column`, each
    /// with `database/` before it for another database; none for all of the target's own. A pattern covers tables that
    /// are made later, too
    resources: Vec<Resource>,
    /// Take patterns for the tables that exist now: tables that are made later are not covered
    #[arg(long)]
    existing_only: bool,
    /// What is to be done
    #[arg(long, value_name = "EFFECT", value_enum, default_value = "read")]
    effect: Vec<Effect>,
    #[command(flatten)]
    bounds: BoundArgs,
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
        effect: args.effect.iter().copied().max().unwrap_or(Effect::Read),
        bounds: args.bounds.bounds(),
        existing_only: args.existing_only,
        span: args.span,
        break_glass: args.break_glass,
    };
    let mut request: Request = native::ask(&client, &wanted, &reason).await?;
    if args.wait && request.state == "pending" {
        out.say(&waiting(&request));
        let notes = request.notes.clone();
        request = Request { notes, ..native::wait(&client, &request).await? };
    }
    out.one(&request);
    for note in &request.notes {
        out.say(&format!("note: {note}"));
    }
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
