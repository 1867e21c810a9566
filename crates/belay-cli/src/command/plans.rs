//! `belay plans`: writes that wait to be approved and applied.

use crate::client::Client;
use crate::command::grants::Shown;
use crate::failure::Failure;
use crate::output::Out;
use belay_web::shape::{List, Plan};

#[derive(clap::Args)]
#[command(before_help = "Examples:
  belay plans                          what waits
  belay plans --all --mine             your own, also those that are done
  belay review p_12                    the rows of one
")]
pub(crate) struct Args {
    #[command(flatten)]
    shown: Shown,
}

pub(crate) async fn run(args: &Args, out: &Out) -> Result<(), Failure> {
    let client = Client::open()?;
    let query = [("all", args.shown.all.to_string()), ("mine", args.shown.mine.to_string())];
    let list: List<Plan> = client.get(&["plans"], &query.each_ref().map(|(key, value)| (*key, value.as_str()))).await?;
    out.list(&list);
    let own = |plan: &&Plan| plan.principal == client.user();
    let to_apply = list.items.iter().filter(own).find(|plan| plan.state == "approved");
    let to_review = list.items.iter().find(|plan| !own(plan) && plan.state == "pending");
    match (to_apply, to_review) {
        (Some(plan), _) => out.next(&format!("belay apply {}", plan.id)),
        (None, Some(plan)) => out.next(&format!("belay review {}", plan.id)),
        (None, None) => {}
    }
    Ok(())
}
