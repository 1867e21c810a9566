//! `belay review`: looks at a plan or a change row by row, or at access that somebody else took in an emergency.

use super::every_row::{self, Of};
use crate::client::Client;
use crate::complete;
use crate::diff;
use crate::failure::Failure;
use crate::output::Out;
use crate::prompt;
use belay_web::shape::{Grant, KeptChange, List, Plan, Review, Rows, TableLock, Trial};
use serde::Serialize;
use std::process::ExitCode;

/// Locks that are told to people.
const LOCKS_MOST: usize = 20;

#[derive(clap::Args)]
#[command(before_help = "Examples:
  belay review p_12                              what a plan would change, row by row
  belay review c_12 --diff                       what a change did, as a unified diff
  belay review p_12 --all -o jsonl               every row, one a line
  belay review                                   which access owes a review
  belay review g_31 -m 'two reads, as reported'
")]
pub(crate) struct Args {
    /// The plan, the change or the grant; none for a list of what owes a review
    #[arg(add = complete::to_review())]
    what: Option<String>,
    /// What you found, of a grant
    #[arg(short = 'm', long, value_name = "TEXT")]
    note: Option<String>,
    #[command(flatten)]
    seen: Seen,
}

/// How rows are shown.
#[derive(clap::Args)]
pub(crate) struct Seen {
    /// As a unified diff
    #[arg(long)]
    diff: bool,
    /// All rows of a table with at most so many; else the first and the last ones
    #[arg(long = "rows", value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    rows: u16,
    /// Every row, as it comes: with `-o json` one array of rows, with `-o jsonl` one row a line
    #[arg(long, conflicts_with = "rows")]
    all: bool,
}

/// A plan or a change with its rows, for programs.
#[derive(Serialize)]
struct Reviewed<'a, T> {
    #[serde(flatten)]
    of: &'a T,
    reversible: bool,
    diff: &'a Rows,
}

pub(crate) async fn run(args: &Args, out: &Out) -> Result<ExitCode, Failure> {
    let client = Client::open()?;
    match &args.what {
        None => owed(&client, out).await?,
        Some(id) if id.starts_with("p_") => return plan(&client, id, &args.seen, out).await,
        Some(id) if id.starts_with("c_") => return change(&client, id, &args.seen, out).await,
        Some(id) => grant(&client, id, args.note.as_deref(), out).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows a plan with its rows, and what comes next.
pub(crate) async fn plan(client: &Client, id: &str, seen: &Seen, out: &Out) -> Result<ExitCode, Failure> {
    let plan: Plan = client.get(&["plans", id], &[]).await?;
    let rows: Rows = client.get(&["plans", &plan.id, "rows"], &[("limit", &seen.rows.to_string())]).await?;
    if seen.all {
        let of = Of { kind: "plans", id: &plan.id, tables: &plan.tables, diff: seen.diff };
        all(client, &summary(&plan), &rows, of, out).await?;
    } else if out.is_for_people() {
        show(&summary(&plan), &rows, seen, out);
        out.lines(&diff::conflicts(&plan.conflicts));
    } else {
        out.object(&Reviewed { of: &plan, reversible: true, diff: &rows });
    }
    let own = plan.principal == client.user();
    match plan.state.as_str() {
        "pending" if own => {
            out.say(&super::approve::plan_waits(&plan));
            out.next(&format!("belay apply {}, once it is approved", plan.id));
        }
        "pending" => out.next(&format!("belay approve {}; or belay deny {} -m REASON", plan.id, plan.id)),
        "approved" => out.next(&format!("belay apply {}", plan.id)),
        _ => match (&plan.applied, &plan.replaced_by) {
            (Some(change), _) => out.next(&format!("belay review {change}")),
            (None, Some(plan)) => out.next(&format!("belay review {plan}")),
            (None, None) => out.next("belay plans"),
        },
    }
    Ok(ExitCode::SUCCESS)
}

/// What a plan is, in a few lines.
pub(crate) fn summary(plan: &Plan) -> Vec<String> {
    let verb = if plan.does == "revert" { "would give back" } else { "would change" };
    let mut lines = vec![format!(
        "{} {}: {} {verb} {} on {} ({}), made {}, until {}",
        plan.id,
        plan.state,
        plan.principal,
        diff::rows(plan.rows),
        plan.target,
        plan.database,
        plan.made_at,
        plan.expires_at,
    )];
    lines.extend(plan.tables.iter().map(|table| {
        let indirect = if table.indirect { ", written by a cascade, a trigger or a function" } else { "" };
        let counts = diff::counts(table.inserted, table.updated, table.deleted);
        let how = match table.found_by.as_str() {
            "armed" => "captured by armed trigger".to_owned(),
            means => format!("found by {means}"),
        };
        format!("{}: {counts}{indirect}; {how}", table.table)
    }));
    lines.extend(plan.trial.iter().flat_map(of_trial));
    if !plan.reverts.is_empty() {
        lines.push(format!("gives back {}", plan.reverts.join(" ")));
    }
    lines.push(match &plan.unrepeatable {
        Some(why) => format!("cannot be applied: {why}"),
        None => format!("reversible: yes{}{}", moved(&plan.sequences), proven(plan.trial.as_ref())),
    });
    lines.push(format!("approved by {} of {}: {}", plan.approved_by.len(), plan.approvals_needed, people(plan)));
    lines
}

/// How long it took, what it locked, and who had to wait.
fn of_trial(trial: &Trial) -> Vec<String> {
    let lock = |lock: &TableLock| format!("{} {}", lock.table, lock.modes.join(", "));
    let mut locks: Vec<String> = trial.locks.iter().take(LOCKS_MOST).map(lock).collect();
    if trial.locks.len() > LOCKS_MOST {
        locks.push(format!("{} more tables", trial.locks.len() - LOCKS_MOST));
    }
    let mut lines = vec![format!("its trial took {} ms; locks held: {}", trial.milliseconds, locks.join("; "))];
    match trial.sessions_waiting {
        0 => {}
        1 => lines.push("warning: 1 session waited for this trial".to_owned()),
        waiting => lines.push(format!("warning: {waiting} sessions waited for this trial")),
    }
    lines
}

fn people(plan: &Plan) -> String {
    if plan.approved_by.is_empty() { "nobody yet".to_owned() } else { plan.approved_by.join(", ") }
}

fn moved(sequences: &[String]) -> String {
    if sequences.is_empty() {
        return String::new();
    }
    format!(", but sequences stay where they moved to: {}", sequences.join(", "))
}

/// Whether that was tried.
fn proven(trial: Option<&Trial>) -> String {
    match trial.map(|trial| (trial.revert_proven, &trial.revert_untried)) {
        Some((Some(true), _)) => "; given back in the trial, every row byte for byte".to_owned(),
        Some((_, Some(why))) => format!("; not tried: {why}"),
        _ => String::new(),
    }
}

async fn change(client: &Client, id: &str, seen: &Seen, out: &Out) -> Result<ExitCode, Failure> {
    let change: KeptChange = client.get(&["changes", id], &[]).await?;
    let rows: Rows = client.get(&["changes", &change.id, "rows"], &[("limit", &seen.rows.to_string())]).await?;
    let reversible = change.rows_kept && change.state == "committed";
    if !out.is_for_people() && !seen.all {
        out.object(&Reviewed { of: &change, reversible, diff: &rows });
        return Ok(ExitCode::SUCCESS);
    }
    let mut lines = vec![format!(
        "{} {}: {} changed {} on {} ({}), {}",
        change.id,
        change.state,
        change.principal,
        diff::rows(change.rows),
        change.target,
        change.database,
        change.made_at,
    )];
    lines.extend(change.plan.iter().map(|plan| format!("applies {plan}")));
    if !change.reverts.is_empty() {
        lines.push(format!("gives back {}", change.reverts.join(" ")));
    }
    if !change.reverted_by.is_empty() {
        lines.push(format!("given back by {}", change.reverted_by.join(" ")));
    }
    lines.push(if reversible {
        format!("reversible: until {}{}", change.kept_until, moved(&change.sequences))
    } else {
        format!("reversible: no, it is {}", change.state)
    });
    if seen.all {
        let of = Of { kind: "changes", id: &change.id, tables: &change.tables, diff: seen.diff };
        all(client, &lines, &rows, of, out).await?;
    } else {
        show(&lines, &rows, seen, out);
    }
    if reversible && change.reverted_by.is_empty() {
        out.next(&format!("belay revert {} --dry-run", change.id));
    }
    Ok(ExitCode::SUCCESS)
}

/// What it is, what is run, and every row. Programs get the rows alone.
async fn all(client: &Client, summary: &[String], rows: &Rows, of: Of<'_>, out: &Out) -> Result<(), Failure> {
    if of.diff || !out.is_for_people() {
        out.say_lines(summary);
    } else {
        out.lines(summary);
        out.lines(&diff::statements(rows));
    }
    every_row::run(client, of, out).await
}

fn show(summary: &[String], rows: &Rows, seen: &Seen, out: &Out) {
    let rows = if seen.diff { diff::unified(rows) } else { diff::listed(rows) };
    // A diff is for other programs, too: what is said about it goes beside.
    if seen.diff {
        out.say_lines(summary);
    } else {
        out.lines(summary);
    }
    out.lines(&rows);
}

async fn grant(client: &Client, id: &str, note: Option<&str>, out: &Out) -> Result<(), Failure> {
    let note = match note {
        Some(note) => note.to_owned(),
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
