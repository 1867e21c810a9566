//! `belay revert`: gives rows back as they were.

use super::apply::tell;
use crate::client::Client;
use crate::complete;
use crate::diff;
use crate::failure::Failure;
use crate::output::Out;
use crate::prompt;
use belay_model::Name;
use belay_web::shape::{Revert, RevertOwn, RevertPart, Time, WriteOutcome};
use std::process::ExitCode;

#[derive(clap::Args)]
#[command(before_help = "Examples:
  belay revert c_12 --dry-run                  what would be given back, and what is in the way
  belay revert c_12 --only orders:41,57        two rows of it
  belay revert s_7 --since 10:00               all of a session since ten o'clock UTC, as one
  belay revert --since 10:00 --target orders   all that you have changed since
")]
pub(crate) struct Args {
    /// A change, a plan that was applied, or a session with all its changes; with `--since` none for your own changes
    #[arg(add = complete::revertible(), required_unless_present = "since")]
    what: Option<String>,
    /// Show what would happen, and leave it at that
    #[arg(long)]
    dry_run: bool,
    /// Leave rows that have changed since, instead of giving nothing back
    #[arg(long)]
    keep_conflicts: bool,
    /// Only a table, or only rows of it by their key, e.g. `orders:41,57`; several times for several. Keys of several
    /// columns are joined by commas and parted by semicolons: `lines:7,1;7,2`
    #[arg(long = "only", visible_alias = "rows", value_name = "TABLE[:KEYS]", value_parser = part)]
    only: Vec<RevertPart>,
    /// Only what was changed after this: `10:00` in UTC, or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Time>,
    /// Of your own changes only those on this target
    #[arg(long, value_name = "TARGET", conflicts_with = "what", add = complete::targets())]
    target: Option<Name>,
}

pub(crate) async fn run(args: &Args, out: &Out) -> Result<ExitCode, Failure> {
    let client = Client::open()?;
    let what = args.what.as_deref().unwrap_or("what you have changed");
    let asks = out.may_ask() && !out.says_yes();
    if args.dry_run || asks {
        let would = revert(&client, args, true).await?;
        if would.outcome != "would" {
            return tell(what, &would, out);
        }
        show(&would, args, out);
        if args.dry_run {
            return Ok(ExitCode::SUCCESS);
        }
        prompt::confirm(out, "Give these rows back?")?;
    }
    let outcome = revert(&client, args, false).await?;
    tell(what, &outcome, out)
}

async fn revert(client: &Client, args: &Args, dry_run: bool) -> Result<WriteOutcome, Failure> {
    let (keep_conflicts, only) = (args.keep_conflicts, args.only.clone());
    match (&args.what, args.since) {
        (Some(what), since) => {
            client.post(&["changes", what, "revert"], &Revert { dry_run, keep_conflicts, only, since }).await
        }
        (None, Some(since)) => {
            let target = args.target.as_ref().map(ToString::to_string);
            client.post(&["changes", "revert"], &RevertOwn { since, target, dry_run, keep_conflicts, only }).await
        }
        (None, None) => Err(Failure::usage("say what: a change, a plan, a session, or --since TIME")),
    }
}

fn show(would: &WriteOutcome, args: &Args, out: &Out) {
    if !out.is_for_people() {
        out.object(would);
        return;
    }
    if let Some(rows) = &would.rows {
        out.lines(&diff::listed(rows));
    }
    if !would.conflicts.is_empty() {
        out.say("in the way, because they have changed since:");
        out.lines(&diff::conflicts(&would.conflicts));
    }
    if args.dry_run {
        out.say(&format!("a dry run: nothing was changed; {} would be given back", would.reverts.join(" ")));
        let target = args.target.iter().map(|target| format!(" --target {target}"));
        let since = args.since.iter().map(|since| format!(" --since {since}"));
        let what = args.what.iter().map(|what| format!(" {what}"));
        out.next(&format!("belay revert{}", what.chain(since).chain(target).collect::<String>()));
    }
}

/// `orders`, `public.orders:41,57`, `lines:7,1;7,2`.
fn part(text: &str) -> Result<RevertPart, String> {
    let (table, keys) = text.split_once(':').unwrap_or((text, ""));
    if table.trim().is_empty() {
        return Err(format!("`{text}` names no table; write for example `orders:41,57`"));
    }
    let by = if keys.contains(';') { ';' } else { ',' };
    let keys = keys.split(by).map(str::trim).filter(|key| !key.is_empty()).map(str::to_owned).collect();
    Ok(RevertPart { table: table.trim().to_owned(), keys })
}

/// A time of today in UTC, or of yesterday where today's is yet to come; or a whole time.
fn time(text: &str) -> Result<Time, String> {
    let wrong = || format!("`{text}` is not a time; write for example `10:00` or `2026-12-24T20:00:00Z`");
    let read = |text: &str| text.parse::<jiff::Timestamp>().map_err(|_| wrong());
    let found = match text.split_once(':') {
        Some((hour, rest)) if hour.len() == 2 && rest.len() == 2 => {
            let now = jiff::Timestamp::now();
            let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
            let at = read(&format!("{today}T{text}:00Z"))?;
            let day = jiff::SignedDuration::from_hours(24);
            if at > now { at.checked_sub(day).map_err(|_| wrong())? } else { at }
        }
        _ => read(text)?,
    };
    serde_json::from_value(found.to_string().into()).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_parted_by_commas_and_those_of_several_columns_by_semicolons() {
        for (text, table, keys) in [
            ("orders", "orders", &[][..]),
            ("public.orders:41, 57", "public.orders", &["41", "57"]),
            ("lines:7,1;7,2", "lines", &["7,1", "7,2"]),
            ("lines:7,1;", "lines", &["7,1"]),
        ] {
            let part = part(text).unwrap();
            assert_eq!((part.table.as_str(), part.keys), (table, keys.iter().map(|key| (*key).to_owned()).collect()));
        }
        assert!(part(":41").is_err());
    }

    #[test]
    fn a_clock_time_has_been() {
        let now = i128::from(jiff::Timestamp::now().as_microsecond());
        for text in ["00:00", "10:00", "23:59"] {
            let at = i128::from(time(text).unwrap().timestamp().0);
            assert!(at <= now && now - at <= 86_400_000_000, "{text}");
        }
        assert!(time("2026-12-24T20:00:00Z").is_ok() && time("25:00").is_err() && time("noon").is_err());
    }
}
