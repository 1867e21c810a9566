//! `belay audit erase`: what a session typed, and the rows of its changes, for good.

use crate::client::Client;
use crate::failure::Failure;
use crate::output::Out;
use crate::prompt;
use belay_web::shape::{Erasure, NewErasure};
use std::process::ExitCode;

#[derive(clap::Args)]
#[command(before_help = "Examples:
  belay audit erase s_7 --reason 'request of a customer, ticket 12'
")]
pub(crate) struct Args {
    /// The session, which has to be over
    #[arg(value_name = "SESSION")]
    session: String,
    /// Why
    #[arg(short = 'm', long, value_name = "TEXT")]
    reason: String,
}

pub(crate) async fn run(args: Args, out: &Out) -> Result<ExitCode, Failure> {
    let Args { session, reason } = args;
    let question =
        format!("Erase for good what {session} typed, and the rows of its changes, which can then not be given back?");
    prompt::confirm(out, &question)?;
    let erased: Erasure = Client::open()?.post(&["audit", "erasures"], &NewErasure { session, reason }).await?;
    out.one(&erased);
    if !erased.done {
        out.say("tables that it dropped wait in the target's trash; they go as soon as the target answers");
    }
    out.next(&format!("belay audit search session:{}", erased.session));
    Ok(ExitCode::SUCCESS)
}
