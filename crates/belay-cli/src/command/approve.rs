//! `belay approve`: says yes to somebody else's request, or to the rows of a plan.

use crate::client::Client;
use crate::complete;
use crate::diff;
use crate::failure::Failure;
use crate::output::Out;
use crate::prompt;
use belay_web::shape::{ApprovePlan, Plan, Request, Rows};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The request, or the plan
    #[arg(add = complete::to_decide())]
    request: String,
}

pub(crate) async fn run(args: &Args, out: &Out) -> Result<(), Failure> {
    let client = Client::open()?;
    if args.request.starts_with("p_") {
        return approve_plan(&client, &args.request, out).await;
    }
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

/// The yes is to the rows that were shown: should they be others by then, it does not count.
async fn approve_plan(client: &Client, id: &str, out: &Out) -> Result<(), Failure> {
    let plan: Plan = client.get(&["plans", id], &[]).await?;
    if out.may_ask() && !out.says_yes() {
        let rows: Rows = client.get(&["plans", &plan.id, "rows"], &[]).await?;
        out.say_lines(&super::review::summary(&plan));
        out.say_lines(&diff::listed(&rows));
        prompt::confirm(out, "Approve these rows?")?;
    }
    let yes = ApprovePlan { fingerprint: Some(plan.fingerprint.clone()) };
    let plan: Plan = client.post(&["plans", &plan.id, "approve"], &yes).await?;
    out.one(&plan);
    if plan.state == "approved" {
        out.say(&format!("{} may apply it until {}", plan.principal, plan.expires_at));
        out.next(&format!("belay apply {}", plan.id));
    } else {
        out.next(&plan_waits(&plan));
    }
    Ok(())
}

/// What a plan waits for.
pub(crate) fn plan_waits(plan: &Plan) -> String {
    let people = match plan.approvals_missing {
        1 => "one approval".to_owned(),
        number => format!("{number} approvals"),
    };
    format!("{} waits for {people}, until {}: somebody else runs `belay approve {}`", plan.id, plan.expires_at, plan.id)
}
