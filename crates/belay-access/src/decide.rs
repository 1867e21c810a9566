//! The decisions: on which terms somebody may ask, and whether somebody may approve.
//!
//! What policies cannot change is not here but in `belay_policy`: nobody approves their own requests, and roles.

use crate::Policies;
use crate::place::Place;
use crate::policy::{Act, Deciding};
use crate::question::{Failure, Verdict, ask};
use belay_model::{Effects, Name, Principal, Resource, Span, Timestamp};
use belay_policy::Terms;
use std::fmt;

/// The most parts of one request that policies are asked about.
const PARTS_MOST: usize = 1_000;

/// What somebody asks for, as policies see it.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    /// Who asks.
    pub who: &'a Principal,
    /// The target.
    pub target: &'a Name,
    /// The name of the target's own database, which paths leave out.
    pub own_database: &'a str,
    /// The resources.
    pub resources: &'a [Resource],
    /// The effects.
    pub effects: Effects,
    /// For how long.
    pub duration: Span,
    /// Why.
    pub reason: &'a str,
    /// Under the right of break-glass.
    pub break_glass: bool,
    /// The approvals that the rules ask for.
    pub rule_approvals: u8,
    /// When.
    pub at: Timestamp,
}

/// Leave to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The terms, by rules and policies together.
    pub terms: Terms,
    /// The policies that had a say.
    pub policies: Vec<Deciding>,
}

/// Why policies say no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// A policy forbids it.
    Forbidden,
    /// No policy permits it.
    NotPermitted,
    /// A policy could not be evaluated, or there was too much to ask.
    Failed,
}

/// A no of the policies.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Denied {
    /// Why.
    pub why: Why,
    /// What happened, in words.
    pub what: String,
    /// The policies that said no, or failed.
    pub policies: Vec<Deciding>,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.why, self.policies.first()) {
            (Why::Forbidden, Some(first)) => {
                write!(f, "policy `{}` forbids {}: {}", first.policy, self.what, first.reason)
            }
            (Why::Forbidden, None) => write!(f, "a policy forbids {}", self.what),
            (Why::NotPermitted, _) => write!(f, "no policy permits {}", self.what),
            (Why::Failed, _) => write!(f, "denied, because {}", self.what),
        }
    }
}

impl Policies {
    /// Whether this may be asked for, and on which terms. `rules` are the terms by the rules; the stricter wins, but
    /// for two things: a permit of granting at once takes the place of the rule's approvals, and where no rule
    /// matches, `@max_duration` takes the place of the longest grant without a rule.
    pub fn terms(&self, asked: &Asked<'_>, rules: &Terms) -> Result<Decided, Denied> {
        let asked = Asked { rule_approvals: rules.approvals, ..asked.clone() };
        let request = self.over_all(asked.who, Act::Request, &asked)?;
        let mut policies = request.permits()?;
        let max_duration = self.longest(&request, rules);
        if asked.break_glass {
            let max_duration = max_duration.min(rules.max_duration);
            return Ok(Decided { terms: Terms { max_duration, ..rules.clone() }, policies });
        }
        let demanded = policies.iter().filter_map(|deciding| self.described.get(&deciding.policy)?.approvals).max();
        let at_once = self.at_once(&asked)?;
        let approvals = match demanded {
            Some(demanded) => rules.approvals.max(demanded),
            None if at_once.granted => 0,
            None => rules.approvals.max(1),
        };
        if demanded.is_none() {
            policies.extend(at_once.policies);
        }
        Ok(Decided { terms: Terms { approvals, max_duration, ..rules.clone() }, policies: distinct(policies) })
    }

    /// Whether `approver` may approve this, as far as policies go.
    pub fn approve(&self, approver: &Principal, asked: &Asked<'_>) -> Result<Vec<Deciding>, Denied> {
        self.over_all(approver, Act::Approve, asked)?.permits()
    }

    fn at_once(&self, asked: &Asked<'_>) -> Result<AtOnce, Denied> {
        let act = match asked.effects {
            Effects { all: true, .. } => Act::GrantAllAtOnce,
            Effects { direct: true, .. } => Act::GrantDirectAtOnce,
            Effects { write: true, .. } => Act::GrantWriteAtOnce,
            Effects { .. } => Act::GrantAtOnce,
        };
        let over = self.over_all(asked.who, act, asked)?;
        let mut at_once = AtOnce { granted: true, policies: Vec::new() };
        for Judged { verdict, .. } in &over.judged {
            // A permit for less time than is asked for is none.
            let lasts = |deciding: &&Deciding| self.most(deciding).is_none_or(|most| asked.duration <= most);
            let lasting: Vec<Deciding> = verdict.policies.iter().filter(lasts).cloned().collect();
            at_once.granted &= verdict.permitted && !lasting.is_empty();
            // What keeps a rule from granting at once is worth telling; that nothing grants is not.
            if verdict.permitted || asked.rule_approvals == 0 {
                at_once.policies.extend(lasting);
            }
        }
        if !at_once.granted {
            at_once
                .policies
                .retain(|deciding| self.described.get(&deciding.policy).is_some_and(|known| !known.permits));
        }
        Ok(at_once)
    }

    /// Asks about each resource as a whole, and about each part of one that some policy names: what holds for a part
    /// must not be dodged by asking for the whole.
    fn over_all(&self, who: &Principal, act: Act, asked: &Asked<'_>) -> Result<OverAll, Denied> {
        self.check_own_database(asked)?;
        let target = asked.target.as_str();
        let (who_name, target_name) = (who.name.clone(), asked.target.clone());
        let mut over = OverAll { who: who_name, target: target_name, act, effects: asked.effects, judged: Vec::new() };
        for resource in asked.resources {
            let resource = normal(resource, asked.own_database);
            let named = self.places.keys().filter(|place| place.target == target);
            let parts: Vec<Resource> = named.filter_map(|place| place.part_of(&resource)).collect();
            if over.judged.len() + parts.len() >= PARTS_MOST {
                return Err(failed(Failure::of("policies name too many parts of this; ask for less at a time")));
            }
            let all = std::iter::once((resource, false)).chain(parts.into_iter().map(|part| (part, true)));
            for (resource, part) in all {
                let verdict = ask(self, who, act, asked, &resource).map_err(failed)?;
                over.judged.push(Judged { resource, part, verdict });
            }
        }
        Ok(over)
    }

    /// A policy that writes out the target's own database names a place that no request ever is in.
    fn check_own_database(&self, asked: &Asked<'_>) -> Result<(), Denied> {
        let own = |place: &Place| {
            place.target == asked.target.as_str() && place.database.as_deref() == Some(asked.own_database)
        };
        match self.places.iter().find(|(place, _)| own(place)) {
            None => Ok(()),
            Some((_, id)) => {
                let what = format!(
                    "policy `{id}` writes out `{}`, the target's own database; leave it out",
                    asked.own_database
                );
                Err(failed(Failure::of(what)))
            }
        }
    }

    /// The longest grant: the shortest that any permit of a whole or a part says, and no longer than the rule says.
    fn longest(&self, request: &OverAll, rules: &Terms) -> Span {
        let said = request.judged.iter().filter_map(|judged| {
            let most = judged.verdict.policies.iter().filter_map(|deciding| self.most(deciding)).min();
            // Where neither rule nor policy says anything of a resource, the length without a rule holds.
            most.or((!judged.part).then_some(rules.max_duration))
        });
        let most = said.min().unwrap_or(rules.max_duration);
        if rules.rule.is_some() { most.min(rules.max_duration) } else { most }
    }

    fn most(&self, deciding: &Deciding) -> Option<Span> {
        self.described.get(&deciding.policy)?.max_duration
    }
}

struct AtOnce {
    granted: bool,
    policies: Vec<Deciding>,
}

/// The verdict on a resource, or on a part of one.
struct Judged {
    resource: Resource,
    part: bool,
    verdict: Verdict,
}

/// The verdicts on everything asked for; each resource is followed by its parts.
struct OverAll {
    who: Name,
    target: Name,
    act: Act,
    effects: Effects,
    judged: Vec<Judged>,
}

impl OverAll {
    /// The permits, where everything is permitted.
    fn permits(&self) -> Result<Vec<Deciding>, Denied> {
        // A forbid says more than a missing permit.
        let refused = |judged: &&Judged| !judged.verdict.permitted;
        let forbidden = self.judged.iter().find(|judged| judged.verdict.is_forbidden());
        match forbidden.or_else(|| self.judged.iter().find(refused)) {
            Some(judged) => {
                let verdict = &judged.verdict;
                let why = if verdict.is_forbidden() { Why::Forbidden } else { Why::NotPermitted };
                Err(Denied { why, what: self.words(&judged.resource), policies: verdict.policies.clone() })
            }
            None => Ok(distinct(self.judged.iter().flat_map(|judged| judged.verdict.policies.clone()).collect())),
        }
    }

    fn words(&self, resource: &Resource) -> String {
        let (who, target, effects) = (&self.who, &self.target, self.effects);
        match self.act {
            Act::Approve => format!("`{who}` to approve {effects} on `{target}/{resource}`"),
            _ => format!("`{who}` to ask for {effects} on `{target}/{resource}`"),
        }
    }
}

/// The target's own database is left out of paths, however it was asked for.
fn normal(resource: &Resource, own_database: &str) -> Resource {
    let database = resource.database.clone().filter(|database| database != own_database);
    Resource { database, ..resource.clone() }
}

fn failed(failure: Failure) -> Denied {
    Denied { why: Why::Failed, what: failure.what, policies: failure.policies }
}

fn distinct(mut policies: Vec<Deciding>) -> Vec<Deciding> {
    policies.sort();
    policies.dedup();
    policies
}
