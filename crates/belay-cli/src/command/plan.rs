//! `belay plan`: tries a script, and shows what it would change.
//!
//! The script runs through the gateway like any client's, in one transaction, and so is judged and recorded as such.

use super::psql;
use crate::client::Client;
use crate::complete;
use crate::failure::{Exit, Failure};
use crate::home::Home;
use crate::kept;
use crate::native::{self, Effect, Wanted};
use crate::output::Out;
use crate::prompt;
use belay_model::{Name, PlanId, Resource, Span};
use belay_web::shape::{Bounds, Grant, List};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
#[command(before_help = "Examples:
  belay plan orders -f fix.sql
  belay plan orders -c \"UPDATE public.orders SET status = 'paid' WHERE id = 41\"
  belay plan orders -f fix.sql --diff          as a unified diff
")]
pub(crate) struct Args {
    /// The target
    #[arg(add = complete::targets())]
    target: Name,
    /// A file of SQL; `-` for stdin
    #[arg(short, long, value_name = "FILE", required_unless_present = "command", conflicts_with = "command")]
    file: Option<PathBuf>,
    /// SQL
    #[arg(short, long, value_name = "SQL")]
    command: Vec<String>,
    /// A table that is needed, where access has to be asked for; several times for several; all without it
    #[arg(long = "resource", value_name = "TABLE")]
    resources: Vec<Resource>,
    /// Why; needed where there is no live grant yet
    #[arg(short = 'm', long, value_name = "TEXT")]
    reason: Option<String>,
    /// For how long, where access has to be asked for
    #[arg(long = "for", value_name = "SPAN", default_value = "1h")]
    span: Span,
    #[command(flatten)]
    seen: super::review::Seen,
}

pub(crate) async fn run(args: &Args, out: &Out) -> Result<ExitCode, Failure> {
    let home = Home::find()?;
    let client = Client::of(&home)?;
    let grant = grant(&client, &home, args, out).await?;
    let access = native::access(&client, &home, &grant).await?;
    let name = format!("run/{}-{}.conf", access.grant.id, std::process::id());
    let service = psql::Kept(home.write(&name, access.service().as_bytes())?);
    let mut command = psql::command(&access, &service.0);
    command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=default", "--single-transaction"]);
    for sql in &args.command {
        command.arg("-c").arg(sql);
    }
    if let Some(file) = &args.file {
        command.arg("-f").arg(file);
    }
    command.env("LC_ALL", "C").stdout(std::process::Stdio::null());
    let output = command.output().await.map_err(|error| psql::not_started(&error, args.target.as_str()))?;
    drop(service);
    let said = String::from_utf8_lossy(&output.stderr);
    match planned(&said) {
        Some(plan) => super::review::plan(&client, &plan.to_string(), &args.seen, out).await,
        None if output.status.success() => {
            out.say("the script changes nothing, so there is nothing to plan");
            out.next(&format!("belay psql {}", args.target));
            Ok(ExitCode::SUCCESS)
        }
        None => {
            let text = said.trim();
            let text = if text.is_empty() { "psql failed and said nothing" } else { text };
            Err(Failure::new(Exit::Failure, text).hint("nothing was changed; the script is rolled back as a whole"))
        }
    }
}

/// A live grant whose writes are planned: under one that writes at once, the script would take effect.
async fn grant(client: &Client, home: &Home, args: &Args, out: &Out) -> Result<String, Failure> {
    let list: List<Grant> = client.get(&["grants"], &[("mine", "true")]).await?;
    kept::forget_others(home, &list.items);
    let has = |grant: &Grant, word: &str| grant.effects.iter().any(|effect| effect == word);
    let fits = |grant: &&Grant| {
        grant.target == args.target.as_str()
            && matches!(grant.state.as_str(), "ready" | "active")
            && has(grant, "write")
            && !has(grant, "direct")
            && !has(grant, "all")
            && native::covers(grant, &args.resources)
    };
    if let Some(grant) = list.items.iter().filter(fits).max_by_key(|grant| grant.ends_at) {
        return Ok(grant.id.clone());
    }
    let reason = match &args.reason {
        Some(reason) => reason.clone(),
        None => {
            prompt::line(out, "reason", &format!("say why: belay plan {} -m 'INC-4881 refund stuck'", args.target))?
        }
    };
    let wanted = Wanted {
        target: args.target.clone(),
        resources: args.resources.clone(),
        effect: Effect::Write,
        bounds: Bounds::default(),
        existing_only: false,
        span: args.span,
        break_glass: false,
    };
    let mut request = native::ask(client, &wanted, &reason).await?;
    if request.state == "pending" {
        out.say(&super::request::waiting(&request));
        request = native::wait(client, &request).await?;
    }
    match &request.grant {
        Some(grant) => Ok(grant.id.clone()),
        None => Err(native::decided_against(&request)),
    }
}

/// The plan that the gateway speaks of.
fn planned(said: &str) -> Option<PlanId> {
    let line = said.lines().find(|line| line.contains("[BLY-1040]"))?;
    let words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    // A table may be named like a plan; the plan comes last.
    words.filter(|word| word.starts_with(PlanId::PREFIX)).filter_map(|word| word.parse().ok()).next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_is_read_from_what_the_gateway_says_and_from_nothing_else() {
        let said = "psql:fix.sql:3: NOTICE: p_9\n\
                    ERROR:  planned, not applied: 3 rows of public.p_7 would change [BLY-1040] plan p_12\n";
        assert_eq!(planned(said), Some(PlanId(12)));
        assert_eq!(planned("ERROR: no such table p_3 [BLY-1011]"), None);
    }
}
