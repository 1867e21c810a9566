//! `belay psql`: from nothing to a guarded prompt in one command.

use crate::client::Client;
use crate::complete;
use crate::failure::{Exit, Failure};
use crate::home::Home;
use crate::native::{self, Access, Effect, Wanted};
use crate::output::Out;
use crate::prompt;
use belay_model::{Name, Resource, Span};
use belay_web::shape::{Bounds, Grant};
use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

/// How many other grants are named.
const OTHERS_MOST: usize = 5;
/// How long before the end the terminal is told.
const WARNINGS: [u64; 2] = [600, 60];
/// The environment that only changes how psql shows things. Everything else that begins with `PG` could send the
/// connection elsewhere or weaken its TLS.
const HARMLESS: [&str; 7] =
    ["PGAPPNAME", "PGCLIENTENCODING", "PGCONNECT_TIMEOUT", "PGDATESTYLE", "PGGEQO", "PGTZ", "PGSYSCONFDIR"];

#[derive(clap::Args)]
#[command(before_help = "Examples:
  belay psql orders -m 'INC-4881 refund stuck'
  belay psql orders --resource public.orders --for 30m -m 'check totals'
  belay psql orders -- -c 'SELECT count(*) FROM orders'
")]
pub(crate) struct Args {
    /// The target
    #[arg(add = complete::targets())]
    target: Name,
    #[command(flatten)]
    need: Need,
    /// What psql is given
    #[arg(last = true, value_name = "PSQL ARGS")]
    psql: Vec<String>,
}

/// The access a client needs, and what to do where there is none yet.
#[derive(clap::Args)]
pub(crate) struct Need {
    /// Why; needed where there is no live grant yet
    #[arg(short = 'm', long, value_name = "TEXT")]
    reason: Option<String>,
    /// For how long, where access has to be asked for
    #[arg(long = "for", value_name = "SPAN", default_value = "1h")]
    span: Span,
    /// A table that is needed; several times for several; all without it
    #[arg(long = "resource", value_name = "TABLE")]
    resources: Vec<Resource>,
    /// What is to be done
    #[arg(long, value_name = "EFFECT", value_enum, default_value = "read")]
    effect: Effect,
    /// The grant, where there are several; without it the one that allows least, and of equals the one that lasts longest
    #[arg(long, value_name = "GRANT", conflicts_with_all = ["resources", "effect"], add = complete::own_grants())]
    grant: Option<String>,
    /// Do not wait for an approval
    #[arg(long)]
    no_wait: bool,
}

pub(crate) async fn run(args: &Args, out: &Out) -> Result<ExitCode, Failure> {
    let home = Home::find()?;
    let client = Client::of(&home)?;
    let grant = grant(&client, &home, &args.target, &args.need, out).await?;
    let access = native::access(&client, &home, &grant).await?;
    let name = format!("run/{}-{}.conf", access.grant.id, std::process::id());
    let file = Kept(home.write(&name, access.service().as_bytes())?);
    let mut child = start(&access, &file.0, &args.psql)?;
    let status = attend(&mut child, &access, out).await?;
    drop(file);
    Ok(passed_on(status))
}

/// The live grant, or one that is asked and waited for.
pub(crate) async fn grant(
    client: &Client,
    home: &Home,
    target: &Name,
    need: &Need,
    out: &Out,
) -> Result<String, Failure> {
    if let Some(grant) = &need.grant {
        return named(client, target, grant).await;
    }
    let wanted = Wanted {
        target: target.clone(),
        resources: need.resources.clone(),
        effect: need.effect,
        bounds: Bounds::default(),
        existing_only: false,
        span: need.span,
        break_glass: false,
    };
    let live = native::live_grants(client, home, &wanted).await?;
    if let Some((grant, others)) = live.split_first() {
        if !others.is_empty() {
            out.say(&taken(grant, others));
        }
        return Ok(grant.id.clone());
    }
    let reason = match &need.reason {
        Some(reason) => reason.clone(),
        None => prompt::line(out, "reason", &format!("say why: belay psql {target} -m 'INC-4881 refund stuck'"))?,
    };
    let mut request = native::ask(client, &wanted, &reason).await?;
    if request.state == "pending" {
        out.say(&super::request::waiting(&request));
        if need.no_wait {
            return Err(native::decided_against(&request));
        }
        request = native::wait(client, &request).await?;
    }
    match &request.grant {
        Some(grant) => {
            out.say(&format!("{} on {target} until {}", grant.id, grant.ends_at));
            Ok(grant.id.clone())
        }
        None => Err(native::decided_against(&request)),
    }
}

/// A grant that was asked for by its id.
async fn named(client: &Client, target: &Name, id: &str) -> Result<String, Failure> {
    let grant: Grant = client.get(&["grants", id], &[]).await?;
    if grant.target != target.as_str() {
        return Err(Failure::new(Exit::Usage, format!("{} is for {}, not for {target}", grant.id, grant.target))
            .hint(format!("belay psql {} --grant {}", grant.target, grant.id)));
    }
    Ok(grant.id)
}

/// `g_3 (RO, until ...) of several; others: g_4 (PLAN, until ...); choose with --grant`.
fn taken(grant: &Grant, others: &[Grant]) -> String {
    let told = |grant: &Grant| format!("{} ({}, until {})", grant.id, native::mode(grant), grant.ends_at);
    let others: Vec<String> = others.iter().take(OTHERS_MOST).map(told).collect();
    format!("taking {}; choose another with --grant: {}", told(grant), others.join(", "))
}

fn start(access: &Access, service_file: &Path, args: &[String]) -> Result<Child, Failure> {
    let mut command = command(access, service_file);
    command.arg("-v").arg(format!("PROMPT1={}", prompt_of(access)));
    command.args(args);
    command.spawn().map_err(|error| not_started(&error, &access.grant.target))
}

/// psql on the way to the gateway, and with nothing of the environment that could send it elsewhere.
pub(crate) fn command(access: &Access, service_file: &Path) -> Command {
    let mut command = Command::new("psql");
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("PG") && !HARMLESS.contains(&&*text) {
            command.env_remove(&name);
        }
    }
    command.env("PGSERVICEFILE", service_file).env("PGSERVICE", &access.grant.target);
    command.kill_on_drop(true);
    command
}

pub(crate) fn not_started(error: &std::io::Error, target: &str) -> Failure {
    match error.kind() {
        ErrorKind::NotFound => Failure::new(Exit::Failure, "psql is not installed")
            .hint(format!("apt-get install postgresql-client; or any other client: belay connect {target}")),
        _ => Failure::new(Exit::Failure, format!("psql cannot be started: {error}")),
    }
}

/// `orders RO 59m=> `, with the minutes counted anew at each prompt. A prompt in the user's own psqlrc wins.
fn prompt_of(access: &Access) -> String {
    let left = format!("echo $(( ({} - $(date +%s)) / 60 ))", access.ends_at_seconds());
    format!("{} {} %`{left}`m%R%x%# ", access.grant.target, native::mode(&access.grant))
}

/// Stays beside psql: passes signals on and warns before the end.
async fn attend(child: &mut Child, access: &Access, out: &Out) -> Result<ExitStatus, Failure> {
    let failed = |error: std::io::Error| Failure::new(Exit::Failure, format!("psql was lost: {error}"));
    // The terminal sends Ctrl-C to both; it is psql's to answer.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut quit = signal(SignalKind::quit()).map_err(failed)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let left = native::left(access.grant.ends_at);
    let mut warnings = WARNINGS
        .iter()
        .map(|seconds| Duration::from_secs(*seconds))
        .filter(|before| *before < left)
        .map(|before| (before, tokio::time::Instant::now() + left.saturating_sub(before)));
    let mut warning = warnings.next();
    loop {
        let until = warning.map_or(Duration::MAX, |(_, at)| at - tokio::time::Instant::now());
        tokio::select! {
            status = child.wait() => return status.map_err(failed),
            _ = interrupt.recv() => {}
            _ = quit.recv() => {}
            _ = hangup.recv() => child.start_kill().map_err(failed)?,
            _ = terminate.recv() => child.start_kill().map_err(failed)?,
            () = sleep(until.min(Duration::from_hours(24))), if warning.is_some() => {
                if let Some((before, at)) = warning && at <= tokio::time::Instant::now() {
                    warn(out, access, before);
                    warning = warnings.next();
                }
            }
        }
    }
}

fn warn(out: &Out, access: &Access, before: Duration) {
    if prompt::is_terminal() {
        let minutes = before.as_secs() / 60;
        out.say(&format!("\nbelay: {} ends in {minutes}m; running statements are cancelled then", access.grant.id));
    }
}

/// psql's own code; 128 and the signal where one ended it, as shells say it.
fn passed_on(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// A file that is removed when it is done with.
pub(crate) struct Kept(pub(crate) PathBuf);

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
