//! `belay audit hold`: sessions of which nothing may be deleted.

use crate::client::Client;
use crate::failure::Failure;
use crate::output::Out;
use crate::prompt;
use belay_web::shape::{Hold, List, NewHold};
use reqwest::Method;
use std::process::ExitCode;

#[derive(clap::Args)]
#[command(before_help = "Examples:
  belay audit hold s_7 --reason 'lawsuit 12/26'    nothing of it is erased or deleted
  belay audit hold                                 what is on hold
  belay audit hold --release s_7
")]
pub(crate) struct Args {
    /// The session; without it all that are on hold are listed
    #[arg(value_name = "SESSION")]
    session: Option<String>,
    /// Why
    #[arg(short = 'm', long, value_name = "TEXT", requires = "session")]
    reason: Option<String>,
    /// Take the hold off
    #[arg(long, requires = "session", conflicts_with = "reason")]
    release: bool,
}

pub(crate) async fn run(args: Args, out: &Out) -> Result<ExitCode, Failure> {
    let client = Client::open()?;
    let Some(session) = args.session else {
        let list: List<Hold> = client.get(&["audit", "holds"], &[]).await?;
        out.list(&list);
        return Ok(ExitCode::SUCCESS);
    };
    if args.release {
        prompt::confirm(out, &format!("Take the hold off {session}, so that it may be erased and deleted?"))?;
        client.order(Method::DELETE, &["audit", "holds", &session], &()).await?;
        out.say(&format!("{session} is not on hold any more"));
        out.next("belay audit hold");
        return Ok(ExitCode::SUCCESS);
    }
    let reason = match args.reason {
        Some(reason) => reason,
        None => prompt::line(out, "reason", &format!("say why: belay audit hold {session} --reason TEXT"))?,
    };
    let hold: Hold = client.post(&["audit", "holds"], &NewHold { session, reason }).await?;
    out.one(&hold);
    out.next(&format!("belay audit hold --release {}", hold.session));
    Ok(ExitCode::SUCCESS)
}
