//! `belay review`: looks at access that somebody else took in an emergency.

use crate::client::Client;
use crate::complete;
use crate::failure::Failure;
use crate::output::Out;
use crate::prompt;
use belay_web::shape::{Grant, List, Review};

#[derive(clap::Args)]
#[command(before_help = "Examples:
  belay review                                   what owes a review
  belay audit search 'grant:g_31'                what was done with it
  belay review g_31 -m 'two reads, as reported'
")]
pub(crate) struct Args {
    /// The grant; none for a list of what owes a review
    #[arg(add = complete::grants_to_review())]
    grant: Option<String>,
    /// What you found
    #[arg(short = 'm', long, value_name = "TEXT")]
    note: Option<String>,
}

pub(crate) async fn run(args: &Args, out: &Out) -> Result<(), Failure> {
    let client = Client::open()?;
    let Some(id) = &args.grant else { return owed(&client, out).await };
    let note = match &args.note {
        Some(note) => note.clone(),
        None => prompt::line(out, "what you found", "say it: -m 'two reads, as reported'")?,
    };
    let grant: Grant = client.post(&["grants", id, "review"], &Review { note }).await?;
    out.one(&grant);
    out.next("belay review");
    Ok(())
}

async fn owed(client: &Client, out: &Out) -> Result<(), Failure> {
    let mut list: List<Grant> = client.get(&["grants"], &[("all", "true")]).await?;
    list.items.retain(|grant| grant.break_glass && grant.reviewed_by.is_none());
    out.list(&list);
    let by_caller = || list.items.iter().filter(|grant| grant.principal != client.user());
    match (by_caller().find(|grant| grant.ended_at.is_some()), by_caller().next()) {
        (Some(grant), _) => {
            out.next(&format!("belay audit search 'grant:{}'; then belay review {} -m NOTE", grant.id, grant.id));
        }
        (None, Some(live)) => {
            out.say(&format!("{} owes a review once it has ended", live.id));
            out.next(&format!("belay revoke {} ends it now", live.id));
        }
        (None, None) => out.say("nothing owes a review by you"),
    }
    Ok(())
}
