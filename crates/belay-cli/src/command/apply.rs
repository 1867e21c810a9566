//! `belay apply`: runs an approved plan again, and commits if exactly its rows change.

use crate::client::Client;
use crate::complete;
use crate::diff;
use crate::failure::{Exit, Failure};
use crate::output::Out;
use belay_web::shape::{Plan, WriteOutcome};
use std::process::ExitCode;

#[derive(clap::Args)]
#[command(before_help = "Examples:
  belay apply p_12                     exit 9 if other rows would change than were approved
")]
pub(crate) struct Args {
    /// The plan
    #[arg(add = complete::plans_to_apply())]
    plan: String,
}

pub(crate) async fn run(args: &Args, out: &Out) -> Result<ExitCode, Failure> {
    let client = Client::open()?;
    let plan: Plan = client.get(&["plans", &args.plan], &[]).await?;
    if plan.state == "pending" {
        return Err(Failure::new(Exit::Pending, super::approve::plan_waits(&plan)).hint("belay plans"));
    }
    let outcome: WriteOutcome = client.post(&["plans", &plan.id, "apply"], &()).await?;
    tell(&plan.id, &outcome, out)
}

/// Says what came of applying or giving back; the failure where it did not come about.
pub(crate) fn tell(what: &str, outcome: &WriteOutcome, out: &Out) -> Result<ExitCode, Failure> {
    match (outcome.outcome.as_str(), &outcome.change, &outcome.plan) {
        ("applied" | "reverted", Some(change), _) => {
            out.one(change);
            let verb = if outcome.outcome == "applied" { "applied" } else { "gave back" };
            if !outcome.conflicts.is_empty() {
                out.say("left as they are, because they have changed since:");
                out.say_lines(&diff::conflicts(&outcome.conflicts));
            }
            out.say(&format!("{verb} {}; undo: belay revert {}", diff::rows(change.rows), change.id));
            out.next(&format!("belay review {}", change.id));
            Ok(ExitCode::SUCCESS)
        }
        ("nothing", by, _) => {
            if !out.is_for_people() {
                out.object(outcome);
            }
            if !outcome.conflicts.is_empty() {
                out.say("left as they are, because they have changed since:");
                out.say_lines(&diff::conflicts(&outcome.conflicts));
            }
            out.say(&match by {
                Some(by) => format!("{what} was given back already, by {} at {}; nothing was done", by.id, by.made_at),
                None => format!("nothing of {what} is left to give back; nothing was done"),
            });
            out.next("belay changes");
            Ok(ExitCode::SUCCESS)
        }
        ("planned", _, Some(plan)) => {
            out.one(plan);
            out.say(&super::approve::plan_waits(plan));
            out.next(&format!("belay apply {}, once it is approved", plan.id));
            Ok(ExitCode::SUCCESS)
        }
        ("differs", _, plan) => {
            let rows = outcome.differs.join("; ");
            let rows = if rows.is_empty() { String::new() } else { format!(": {rows}") };
            let message = format!("{what} was not applied, because other rows would change than were approved{rows}");
            let hint = plan.as_ref().map_or("plan it again".to_owned(), |plan| {
                format!("{} shows what would change now: belay review {}", plan.id, plan.id)
            });
            Err(Failure::new(Exit::Conflict, message).hint(hint))
        }
        ("conflicts", ..) => {
            if out.is_for_people() {
                out.lines(&diff::conflicts(&outcome.conflicts));
            } else {
                out.object(outcome);
            }
            let message = format!("nothing was given back: rows of {what} have changed since");
            Err(Failure::new(Exit::Conflict, message).hint("leave those rows as they are: --keep-conflicts"))
        }
        ("unknown", change, _) => {
            let id = change.as_ref().map_or("it", |change| change.id.as_str());
            Err(Failure::new(Exit::Unreachable, format!("the connection was lost while {id} was committed"))
                .hint("the gateway asks the target how it ended: belay changes"))
        }
        (other, ..) => Err(Failure::new(Exit::Failure, format!("the server's answer `{other}` is not understood"))
            .hint("compare the versions: belay --version, belay doctor")),
    }
}
