//! `belay policy`: who may ask for what, as files say it. `check` and `schema` ask no server.

use crate::client::Client;
use crate::failure::{Exit, Failure};
use crate::output::{Out, Row};
use belay_server::policy_files;
use belay_web::shape::{List, Policy};
use std::path::PathBuf;

#[derive(clap::Args)]
#[command(before_help = "Examples:
  belay policy ls                            the policies in force
  belay policy check policies/*.cedar        strictly, as the server does at its start
  belay policy reload                        after the files have changed
")]
pub(crate) struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(clap::Subcommand)]
enum Act {
    /// List the policies in force
    Ls,
    /// Show one, as it was written
    Show {
        /// Its id
        policy: String,
    },
    /// Check files without a server
    Check {
        /// The files
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Without the default policy beside them, as `default = false` in the configuration
        #[arg(long)]
        alone: bool,
    },
    /// Print the schema that policies are checked against
    Schema,
    /// Print the default policy
    Default,
    /// Have the server read its policy files again
    Reload,
}

impl Row for Policy {
    const COLUMNS: &'static [&'static str] = &["id", "effect", "actions", "terms", "from", "reason"];
    fn cells(&self) -> Vec<String> {
        let actions = if self.actions.is_empty() { "every".to_owned() } else { self.actions.join(", ") };
        let most = self.max_duration.as_ref().map(|most| format!("at most {most}"));
        let approvals = self.approvals.map(|number| format!("{number} approvals"));
        let terms: Vec<String> = most.into_iter().chain(approvals).collect();
        let from = format!("{}:{}", self.file, self.line);
        vec![self.id.clone(), self.effect.clone(), actions, terms.join(", "), from, self.reason.clone()]
    }
}

pub(crate) async fn run(args: Args, out: &Out) -> Result<(), Failure> {
    match args.act {
        Act::Ls => out.list(&in_force(&Client::open()?).await?),
        Act::Show { policy } => show(&in_force(&Client::open()?).await?, &policy, out)?,
        Act::Check { files, alone } => check(&files, !alone, out)?,
        Act::Schema => out.data(belay_access::SCHEMA),
        Act::Default => out.data(belay_access::DEFAULT.text),
        Act::Reload => {
            let policies: List<Policy> = Client::open()?.post(&["policies", "reload"], &()).await?;
            out.say(&format!("{} policies are in force", policies.items.len()));
            out.next("belay policy ls");
        }
    }
    Ok(())
}

async fn in_force(client: &Client) -> Result<List<Policy>, Failure> {
    client.get(&["policies"], &[]).await
}

fn show(policies: &List<Policy>, id: &str, out: &Out) -> Result<(), Failure> {
    let found = policies.items.iter().find(|policy| policy.id == id);
    let policy =
        found.ok_or_else(|| Failure::new(Exit::Failure, format!("no policy `{id}`")).hint("belay policy ls"))?;
    if out.is_for_people() {
        out.data(&policy.text);
        out.say(&format!("{}:{}", policy.file, policy.line));
    } else {
        out.one(policy);
    }
    Ok(())
}

/// Says each thing that is wrong, one a line.
fn check(files: &[PathBuf], default: bool, out: &Out) -> Result<(), Failure> {
    match policy_files::check(files, default) {
        Ok(loaded) => {
            let beside = if default { ", with those of the default policy" } else { "" };
            out.say(&format!("{} policies are right{beside}", loaded.policies.described().count()));
            out.next("belay policy reload, once they are in the server's policy folder");
            Ok(())
        }
        Err(error) => {
            let text = error.to_string();
            let count = text.lines().count();
            text.lines().for_each(|line| out.data(line));
            let things = if count == 1 { "1 thing is wrong".to_owned() } else { format!("{count} things are wrong") };
            Err(Failure::new(Exit::Failure, things).hint("belay policy schema shows what policies may speak of"))
        }
    }
}
