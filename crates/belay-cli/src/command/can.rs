//! `belay can`: what would come of a request, why, and the nearest change that gives another answer.

use crate::client::Client;
use crate::failure::{Exit, Failure};
use crate::output::{Out, Row};
use belay_model::{Name, Resource, Span};
use belay_web::shape::{Can, CanAnswer, NearestChange};
use std::process::ExitCode;

#[derive(clap::Args)]
#[command(before_help = "Examples:
  belay can alice read orders
  belay can alice update orders/public.orders --for 30m
  belay can bob read orders/payroll.salaries --at 2026-12-24T20:00:00Z --group oncall
")]
pub(crate) struct Args {
    /// Who would ask
    who: Name,
    /// For what: `read` (`select`), `write` (`insert`, `update`, `delete`), `direct` or `all`
    #[arg(value_parser = effect)]
    effect: &'static str,
    /// On what: `target`, `target/schema.table` or `target/database/schema.table`, all of one target
    #[arg(required = true)]
    resources: Vec<String>,
    /// For how long
    #[arg(long = "for", value_name = "SPAN", default_value = "1h")]
    span: Span,
    /// When, as RFC 3339; now without it
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<String>,
    /// As if they were in this group, too
    #[arg(long, value_name = "GROUP")]
    group: Vec<Name>,
    /// The reason they would give
    #[arg(short = 'm', long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// In an emergency
    #[arg(long)]
    break_glass: bool,
}

impl Row for CanAnswer {
    const COLUMNS: &'static [&'static str] = &["answer", "because", "at_most", "approvers", "nearest"];
    fn cells(&self) -> Vec<String> {
        let because: Vec<_> = self.because.iter().map(|one| format!("{}: {}", one.by, one.reason)).collect();
        vec![
            answer(&self.answer, self.approvals),
            because.join("; "),
            self.max_duration.clone().unwrap_or_default(),
            self.approvers.join(", "),
            self.nearest.as_ref().map(nearest).unwrap_or_default(),
        ]
    }
}

pub(crate) async fn run(args: Args, out: &Out) -> Result<ExitCode, Failure> {
    let (target, resources) = split(&args.resources)?;
    let at = args.at.as_deref().map(|text| serde_json::from_value(text.into()));
    let question = Can {
        who: args.who,
        target,
        resources,
        effects: vec![args.effect.to_owned()],
        duration: args.span,
        at: at.transpose().map_err(|error| Failure::usage(error.to_string()))?,
        reason: args.reason,
        break_glass: args.break_glass,
        groups: args.group,
    };
    let explained: CanAnswer = Client::open()?.post(&["can"], &question).await?;
    if out.is_for_people() {
        out.data(&in_words(&explained));
    } else {
        out.one(&explained);
    }
    Ok(if explained.answer == "no" { Exit::DeniedByPolicy.into() } else { ExitCode::SUCCESS })
}

fn in_words(explained: &CanAnswer) -> String {
    let mut lines = vec![answer(&explained.answer, explained.approvals)];
    lines.extend(explained.because.iter().map(|one| format!("  {}: {}", one.by, one.reason)));
    if let Some(most) = &explained.max_duration {
        lines.push(format!("  the longest grant: {most}"));
    }
    if explained.approvals.is_some() {
        let people = &explained.approvers;
        let said = if people.is_empty() { "nobody".to_owned() } else { people.join(", ") };
        lines.push(format!("  who may approve: {said}"));
    }
    lines.push(match &explained.nearest {
        Some(change) => format!("nearest: {}", nearest(change)),
        None => "nearest: no single change that was tried gives another answer".to_owned(),
    });
    lines.join("\n")
}

fn answer(word: &str, approvals: Option<u8>) -> String {
    match (word, approvals) {
        ("no", _) => "no".to_owned(),
        (_, Some(1)) => "yes, with one approval".to_owned(),
        (_, Some(number)) => format!("yes, with {number} approvals"),
        _ => "yes, at once".to_owned(),
    }
}

fn nearest(change: &NearestChange) -> String {
    let to = change.to.join(", ");
    let said = match change.change.as_str() {
        "effects" => format!("asking for {to} only"),
        "duration" => format!("asking for {to}"),
        "at" => format!("asking at {to}"),
        "group" => format!("being in the group {to}"),
        "without_group" => format!("not being in the group {to}"),
        _ => format!("the approval of {to}"),
    };
    format!("{said}: {}", answer(&change.answer, change.approvals))
}

fn effect(word: &str) -> Result<&'static str, String> {
    match word {
        "read" | "select" => Ok("read"),
        "write" | "insert" | "update" | "delete" => Ok("write"),
        "direct" => Ok("direct"),
        "all" => Ok("all"),
        other => {
            Err(format!("`{other}` is not an effect; known: read, write, direct, all, select, insert, update, delete"))
        }
    }
}

fn time(text: &str) -> Result<String, String> {
    let read: Result<jiff::Timestamp, _> = text.parse();
    let wrong = |_| format!("`{text}` is not a time; write for example `2026-12-24T20:00:00Z`");
    read.map(|time| time.to_string()).map_err(wrong)
}

/// `orders/public.orders` is a target and a path in it.
fn split(texts: &[String]) -> Result<(Name, Vec<Resource>), Failure> {
    let mut target = None;
    let mut resources = Vec::new();
    for text in texts {
        let (name, path) = text.split_once('/').map_or((text.as_str(), None), |(name, path)| (name, Some(path)));
        let name: Name = name.parse().map_err(|error: belay_model::NameError| Failure::usage(error.to_string()))?;
        if target.get_or_insert_with(|| name.clone()) != &name {
            return Err(Failure::usage("one target at a time").hint("ask about each target on its own"));
        }
        let path = path.unwrap_or("*.*");
        let resource = path.parse().map_err(|error: belay_model::ResourceError| Failure::usage(error.to_string()))?;
        resources.push(resource);
    }
    let target = target.ok_or_else(|| Failure::usage("a target is needed"))?;
    Ok((target, resources))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_part_of_a_path_is_the_target() {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let (target, resources) = split(&owned(&["orders/public.a", "orders/db/public.b", "orders"])).unwrap();
        let paths: Vec<_> = resources.iter().map(ToString::to_string).collect();
        assert_eq!((target.as_str(), paths.join(" ").as_str()), ("orders", "public.a db/public.b *.*"));
        assert!(split(&owned(&["orders/public.a", "billing"])).is_err());
        assert!(split(&owned(&["orders/a"])).is_err());
    }

    #[test]
    fn the_words_of_sql_are_effects() {
        assert_eq!(
            ["select", "update", "delete", "all"].map(|word| effect(word).unwrap()),
            ["read", "write", "write", "all"]
        );
        assert!(effect("drop").is_err());
    }
}
