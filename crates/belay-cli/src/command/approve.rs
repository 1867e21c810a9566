//! `belay approve`: says yes to somebody else's request.

use crate::client::Client;
use crate::complete;
use crate::failure::Failure;
use crate::output::Out;
use crate::prompt;
use belay_web::shape::Request;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The request
    #[arg(add = complete::requests_to_decide())]
    request: String,
}

pub(crate) async fn run(args: &Args, out: &Out) -> Result<(), Failure> {
    let client = Client::open()?;
    // Who can be asked sees what they approve; a script has named it.
    if out.may_ask() && !out.says_yes() {
        let request: Request = client.get(&["requests", &args.request], &[]).await?;
        out.say(&format!(
            "{} asks for {} on {} ({}) for {}: {}",
            request.requester,
            request.effects.join(" and "),
            request.target,
            crate::rows::scope(&request.resources, request.new_tables, &request.bounds),
            request.duration,
            request.reason,
        ));
        prompt::confirm(out, "Approve?")?;
    }
    let request: Request = client.post(&["requests", &args.request, "approve"], &()).await?;
    out.one(&request);
    match &request.grant {
        Some(grant) => {
            out.say(&format!("{} may use {} until {}", request.requester, grant.id, grant.ends_at));
            out.next(&format!("belay revoke {} ends it early", grant.id));
        }
        None => out.next(&super::request::waiting(&request)),
    }
    Ok(())
}
