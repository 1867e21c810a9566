//! `belay sessions`: who is connected.

use crate::client::Client;
use crate::command::grants::Shown;
use crate::complete;
use crate::failure::Failure;
use crate::output::Out;
use belay_web::shape::{Ended, List, Session};

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    act: Option<Act>,
    #[command(flatten)]
    shown: Shown,
}

#[derive(clap::Subcommand)]
enum Act {
    /// List them, with their connections
    Ls(Shown),
    /// End every connection of a session; its grant stays
    End {
        /// The session
        #[arg(add = complete::sessions())]
        session: String,
    },
}

pub(crate) async fn run(args: Args, out: &Out) -> Result<(), Failure> {
    let client = Client::open()?;
    match args.act.unwrap_or(Act::Ls(args.shown)) {
        Act::Ls(shown) => {
            let query = [("all", shown.all.to_string()), ("mine", shown.mine.to_string())];
            let query = query.each_ref().map(|(key, value)| (*key, value.as_str()));
            out.list(&client.get::<List<Session>>(&["sessions"], &query).await?);
        }
        Act::End { session } => {
            let ended: Ended = client.post(&["sessions", &session, "end"], &()).await?;
            let connections = match ended.connections {
                1 => "1 connection".to_owned(),
                number => format!("{number} connections"),
            };
            out.say(&format!("{}: {connections} ended; the grant is still live", ended.session));
            out.next("belay revoke GRANT, if it must not come back");
        }
    }
    Ok(())
}
