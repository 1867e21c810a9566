//! What the shell completes beyond the grammar: names of targets, ids of grants, requests and sessions.
//!
//! Asks the server that one is logged in to, for a moment; says nothing where that does not work.

use crate::client::Client;
use crate::failure::Failure;
use crate::grammar::Cli;
use belay_web::shape::{Grant, KeptChange, List, Mask, Plan, Request, Rule, Session, Target, User};
use clap::CommandFactory;
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use serde::de::DeserializeOwned;
use std::ffi::OsStr;
use std::time::Duration;

/// Set by the scripts that `belay completion` prints.
pub(crate) const VARIABLE: &str = "BELAY_COMPLETE";
/// A shell that waits longer seems to hang.
const PATIENCE: Duration = Duration::from_secs(1);

/// Answers the shell and ends, where it is the shell that asks.
pub(crate) fn answer_shell() {
    CompleteEnv::with_factory(Cli::command).var(VARIABLE).complete();
}

/// Names of targets.
pub(crate) fn targets() -> ArgValueCompleter {
    completer(&["targets"], &[], |target: &Target, _| Some((target.name.clone(), target.protocol.clone())))
}

/// One's own live grants.
pub(crate) fn own_grants() -> ArgValueCompleter {
    completer(&["grants"], &[("mine", "true")], |grant: &Grant, _| Some(of_grant(grant)))
}

/// Live grants of everybody.
pub(crate) fn grants() -> ArgValueCompleter {
    completer(&["grants"], &[], |grant: &Grant, _| Some(of_grant(grant)))
}

/// Live and ended grants.
pub(crate) fn all_grants() -> ArgValueCompleter {
    completer(&["grants"], &[("all", "true")], |grant: &Grant, _| Some(of_grant(grant)))
}

/// Open plans, changes, and ended grants of others that owe a review.
pub(crate) fn to_review() -> ArgValueCompleter {
    several(|current| {
        let mut found = candidates(current, &["plans"], &[], |plan: &Plan, _| Some(of_plan(plan)));
        found.extend(candidates(current, &["changes"], &[], |change: &KeptChange, _| Some(of_change(change))));
        found.extend(candidates(current, &["grants"], &[("all", "true")], |grant: &Grant, user| {
            let owed = grant.break_glass && grant.reviewed_by.is_none() && grant.ended_at.is_some();
            (owed && grant.principal != user).then(|| of_grant(grant))
        }));
        found
    })
}

/// Requests and plans of others that wait for a decision.
pub(crate) fn to_decide() -> ArgValueCompleter {
    several(|current| {
        let mut found = candidates(current, &["requests"], &[], |request: &Request, user| {
            (request.requester != user).then(|| of_request(request))
        });
        found.extend(candidates(current, &["plans"], &[], |plan: &Plan, user| {
            (plan.principal != user && plan.state == "pending").then(|| of_plan(plan))
        }));
        found
    })
}

/// Plans that are approved.
pub(crate) fn plans_to_apply() -> ArgValueCompleter {
    completer(&["plans"], &[], |plan: &Plan, _| (plan.state == "approved").then(|| of_plan(plan)))
}

/// Changes that were committed, and sessions.
pub(crate) fn revertible() -> ArgValueCompleter {
    several(|current| {
        let mut found = candidates(current, &["changes"], &[], |change: &KeptChange, _| {
            (change.state == "committed").then(|| of_change(change))
        });
        found.extend(candidates(current, &["sessions"], &[("all", "true")], |session: &Session, _| {
            Some((session.id.clone(), format!("{} on {}", session.principal, session.target)))
        }));
        found
    })
}

/// Open and closed sessions.
pub(crate) fn all_sessions() -> ArgValueCompleter {
    completer(&["sessions"], &[("all", "true")], |session: &Session, _| {
        Some((session.id.clone(), format!("{} on {}", session.principal, session.target)))
    })
}

/// One's own requests that wait.
pub(crate) fn own_requests() -> ArgValueCompleter {
    completer(&["requests"], &[("mine", "true")], |request: &Request, _| Some(of_request(request)))
}

/// Every request.
pub(crate) fn all_requests() -> ArgValueCompleter {
    completer(&["requests"], &[("all", "true")], |request: &Request, _| Some(of_request(request)))
}

/// Open sessions.
pub(crate) fn sessions() -> ArgValueCompleter {
    completer(&["sessions"], &[], |session: &Session, _| {
        Some((session.id.clone(), format!("{} on {}", session.principal, session.target)))
    })
}

/// Masks.
pub(crate) fn masks() -> ArgValueCompleter {
    completer(&["masks"], &[], |mask: &Mask, _| Some((mask.id.clone(), format!("{} on {}", mask.shows, mask.target))))
}

/// Rules.
pub(crate) fn rules() -> ArgValueCompleter {
    completer(&["rules"], &[], |rule: &Rule, _| {
        let any = |name: &Option<String>| name.clone().unwrap_or_else(|| "any".to_owned());
        Some((rule.id.clone(), format!("target {}, group {}", any(&rule.target), any(&rule.group))))
    })
}

/// People.
pub(crate) fn users() -> ArgValueCompleter {
    completer(&["users"], &[], |user: &User, _| Some((user.name.clone(), user.roles.join(", "))))
}

/// A value and what it is. Only words that cannot steer a terminal: names, ids, states.
type Candidate = (String, String);

fn of_grant(grant: &Grant) -> Candidate {
    (grant.id.clone(), format!("{} on {}, {}", grant.principal, grant.target, grant.state))
}

fn of_request(request: &Request) -> Candidate {
    (request.id.clone(), format!("{} on {}, {}", request.requester, request.target, request.state))
}

fn of_plan(plan: &Plan) -> Candidate {
    (plan.id.clone(), format!("{} on {}, {} rows, {}", plan.principal, plan.target, plan.rows, plan.state))
}

fn of_change(change: &KeptChange) -> Candidate {
    (change.id.clone(), format!("{} on {}, {} rows", change.principal, change.target, change.rows))
}

fn completer<T: DeserializeOwned + 'static>(
    path: &'static [&'static str],
    query: &'static [(&'static str, &'static str)],
    candidate: fn(&T, &str) -> Option<Candidate>,
) -> ArgValueCompleter {
    several(move |begun| candidates(begun, path, query, candidate))
}

/// What fits, of several kinds.
fn several(of: impl Fn(&str) -> Vec<CompletionCandidate> + Send + Sync + 'static) -> ArgValueCompleter {
    ArgValueCompleter::new(move |current: &OsStr| current.to_str().map(&of).unwrap_or_default())
}

fn candidates<T: DeserializeOwned>(
    begun: &str,
    path: &[&str],
    query: &[(&str, &str)],
    candidate: fn(&T, &str) -> Option<Candidate>,
) -> Vec<CompletionCandidate> {
    let Ok((list, user)) = asked::<T>(path, query) else { return Vec::new() };
    let found = list.items.iter().filter_map(|item| candidate(item, &user));
    let fitting = found.filter(|(value, _)| value.starts_with(begun));
    fitting.map(|(value, help)| CompletionCandidate::new(value).help(Some(help.into()))).collect()
}

fn asked<T: DeserializeOwned>(path: &[&str], query: &[(&str, &str)]) -> Result<(List<T>, String), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::usage(error.to_string());
    let client = Client::open()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| failed(&error))?;
    let answer = runtime.block_on(async { tokio::time::timeout(PATIENCE, client.get(path, query)).await });
    // A name that is still being looked up must not hold the shell up.
    runtime.shutdown_background();
    Ok((answer.map_err(|error| failed(&error))??, client.user().to_owned()))
}
