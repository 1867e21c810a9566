//! `belay rule`: who gets what at once, and how many people approve the rest.

use crate::client::Client;
use crate::complete;
use crate::failure::Failure;
use crate::output::Out;
use crate::prompt;
use belay_model::{Name, Span};
use belay_web::shape::{List, NewRule, Rule};
use reqwest::Method;

#[derive(clap::Args)]
#[command(before_help = "Examples:
  belay rule add --group support --target orders --max 1h --approvals 0    reads at once
  belay rule add --target billing --max 30m --approvals 2
  belay rule ls                                                            in the order they are tried
")]
pub(crate) struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(clap::Subcommand)]
enum Act {
    /// Add a rule behind the others
    Add(Add),
    /// List them in the order they are tried
    Ls,
    /// Remove one; what was granted under it stays
    Rm {
        /// The rule
        #[arg(add = complete::rules())]
        rule: String,
    },
}

#[derive(clap::Args)]
struct Add {
    /// The target; every target without it
    #[arg(long, add = complete::targets())]
    target: Option<Name>,
    /// The group of the requester; everybody without it
    #[arg(long)]
    group: Option<Name>,
    /// When it holds, in UTC, e.g. `08:00-18:00`
    #[arg(long, value_name = "FROM-TO")]
    hours: Option<String>,
    /// What may be asked for
    #[arg(long, value_name = "EFFECT", default_value = "read", value_parser = ["read", "write", "direct", "all"])]
    effect: Vec<String>,
    /// The longest grant
    #[arg(long, value_name = "SPAN")]
    max: Span,
    /// The most rows that one transaction may be asked to change at once under `direct`
    #[arg(long, value_name = "N", default_value_t = belay_model::CHANGED_ROWS, value_parser = clap::value_parser!(u64).range(1..))]
    max_changed_rows: u64,
    /// How many distinct people must approve; 0 grants reads at once
    #[arg(long, value_name = "N")]
    approvals: u8,
    /// Whether its grants may be extended once
    #[arg(long)]
    extendable: bool,
    /// Keep bind values out of the ledger
    #[arg(long)]
    mask_values: bool,
}

/// Whoever may write may read what they write.
fn with_reads(mut effects: Vec<String>) -> Vec<String> {
    if effects.iter().any(|effect| effect == "write") && !effects.iter().any(|effect| effect == "read") {
        effects.push("read".to_owned());
    }
    effects
}

pub(crate) async fn run(args: Args, out: &Out) -> Result<(), Failure> {
    let client = Client::open()?;
    match args.act {
        Act::Add(add) => {
            let new = NewRule {
                target: add.target,
                group: add.group,
                hours: add.hours,
                effects: with_reads(add.effect),
                max_duration: add.max,
                max_changed_rows: add.max_changed_rows,
                approvals: add.approvals,
                extendable: add.extendable,
                record_values: !add.mask_values,
            };
            out.one(&client.post::<Rule>(&["rules"], &new).await?);
            out.next("belay rule ls shows the order: the first that matches counts");
        }
        Act::Ls => out.list(&client.get::<List<Rule>>(&["rules"], &[]).await?),
        Act::Rm { rule } => {
            prompt::confirm(out, &format!("Remove rule {rule}?"))?;
            client.order(Method::DELETE, &["rules", &rule], &()).await?;
            out.say(&format!("{rule} is removed; what was granted under it stays"));
            out.next("belay rule ls");
        }
    }
    Ok(())
}
