//! `belay revoke`: ends a grant now. Never asks: it takes access away, and it may be urgent.

use crate::client::Client;
use crate::complete;
use crate::failure::Failure;
use crate::home::Home;
use crate::kept;
use crate::output::Out;
use belay_web::shape::Grant;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The grant
    #[arg(add = complete::grants())]
    grant: String,
}

pub(crate) async fn run(args: &Args, out: &Out) -> Result<(), Failure> {
    let home = Home::find()?;
    let client = Client::of(&home)?;
    let grant: Grant = client.post(&["grants", &args.grant, "revoke"], &()).await?;
    kept::forget_if_over(&home, &grant);
    out.one(&grant);
    out.say(&format!("{} is revoked; its sessions end now", grant.id));
    out.next(&format!("belay audit search 'grant:{}' shows what was done with it", grant.id));
    Ok(())
}
