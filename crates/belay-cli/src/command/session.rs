//! `belay session`: what happens or happened in one session, out of the ledger.

mod line;
mod records;
mod replay;
mod tail;

use crate::failure::Failure;
use crate::output::Out;

#[derive(clap::Args)]
#[command(before_help = "Examples:
  belay session tail s_7                         as it happens
  belay session replay s_7 --speed 4             as it happened, four times as fast
  belay session replay g_31 --dir /backup/ledger --step
")]
pub(crate) struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(clap::Subcommand)]
enum Act {
    /// Follow a session until it ends
    Tail(tail::Args),
    /// Walk through a session again: at its own pace, or step by step
    Replay(replay::Args),
}

pub(crate) async fn run(args: Args, out: &Out) -> Result<(), Failure> {
    match args.act {
        Act::Tail(args) => tail::run(&args, out).await,
        Act::Replay(args) => replay::run(&args, out).await,
    }
}
