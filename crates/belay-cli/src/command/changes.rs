//! `belay changes`: what was committed, and can be given back.

use crate::client::Client;
use crate::command::grants::Shown;
use crate::complete;
use crate::failure::Failure;
use crate::output::Out;
use belay_web::shape::{KeptChange, List};

#[derive(clap::Args)]
#[command(before_help = "Examples:
  belay changes                        the newest first
  belay changes --session s_7          those of one session
  belay review c_12                    the rows of one
")]
pub(crate) struct Args {
    #[command(flatten)]
    shown: Shown,
    /// Only those of a session
    #[arg(long, value_name = "SESSION", add = complete::all_sessions())]
    session: Option<String>,
}

pub(crate) async fn run(args: &Args, out: &Out) -> Result<(), Failure> {
    let (all, mine) = (args.shown.all.to_string(), args.shown.mine.to_string());
    let mut query = vec![("all", all.as_str()), ("mine", mine.as_str())];
    query.extend(args.session.as_deref().map(|session| ("session", session)));
    let list: List<KeptChange> = Client::open()?.get(&["changes"], &query).await?;
    out.list(&list);
    let newest = list.items.iter().find(|change| change.state == "committed" && change.reverted_by.is_empty());
    if let Some(change) = newest {
        out.next(&format!("belay review {}; belay revert {} --dry-run", change.id, change.id));
    }
    Ok(())
}
