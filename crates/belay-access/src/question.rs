//! One question to Cedar: may this person do this with this one resource, seen as a whole.

use crate::decide::Asked;
use crate::policy::{Act, Deciding};
use crate::{Policies, entity, time};
use belay_model::{Principal, Resource};
use cedar_policy::{Context, Decision, Entities, Request, RestrictedExpression};
use std::fmt;

/// Cedar's answer where every policy could be evaluated.
pub(crate) struct Verdict {
    pub(crate) permitted: bool,
    /// The satisfied forbids where there are any, else the satisfied permits.
    pub(crate) policies: Vec<Deciding>,
}

impl Verdict {
    pub(crate) fn is_forbidden(&self) -> bool {
        !self.permitted && !self.policies.is_empty()
    }
}

/// A question that could not be answered; it counts as no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) what: String,
    pub(crate) policies: Vec<Deciding>,
}

impl Failure {
    #[allow(clippy::needless_pass_by_value, reason = "errors are mapped by value")]
    pub(crate) fn of(error: impl fmt::Display) -> Failure {
        Failure { what: error.to_string(), policies: Vec::new() }
    }
}

/// Asks. An error in any policy fails the whole question: Cedar would leave that policy out, and it may be a forbid.
pub(crate) fn ask(
    policies: &Policies,
    who: &Principal,
    act: Act,
    asked: &Asked<'_>,
    resource: &Resource,
) -> Result<Verdict, Failure> {
    let schema = Some(&policies.schema);
    let places = entity::places(asked.target, resource)?;
    let whole = places.first().map(cedar_policy::Entity::uid).ok_or_else(|| Failure::of("a resource is no place"))?;
    let action = entity::uid("Action", act.word())?;
    let mut entities = places;
    entities.push(entity::person(who)?);
    if who.name != asked.who.name {
        entities.push(entity::person(asked.who)?);
    }
    let entities = Entities::from_entities(entities, schema).map_err(Failure::of)?;
    let context = context(act, asked)?;
    let request = Request::new(entity::user(&who.name)?, action, whole, context, schema).map_err(Failure::of)?;
    let response = policies.authorizer.is_authorized(&request, &policies.set, &entities);
    let diagnostics = response.diagnostics();
    let mut failed: Vec<Deciding> = diagnostics.errors().map(|error| policies.deciding(&id_of(error))).collect();
    if !failed.is_empty() {
        failed.sort();
        let first = failed.first().map_or("?", |first| first.policy.as_str());
        return Err(Failure { what: format!("policy `{first}` cannot be evaluated"), policies: failed });
    }
    let mut deciding: Vec<Deciding> = diagnostics.reason().map(|id| policies.deciding(id.as_ref())).collect();
    deciding.sort();
    Ok(Verdict { permitted: response.decision() == Decision::Allow, policies: deciding })
}

fn id_of(error: &cedar_policy::AuthorizationError) -> String {
    match error {
        cedar_policy::AuthorizationError::PolicyEvaluationError(error) => error.policy_id().to_string(),
    }
}

fn context(act: Act, asked: &Asked<'_>) -> Result<Context, Failure> {
    let flag = RestrictedExpression::new_bool;
    let at = time::datetime(asked.at).ok_or_else(|| Failure::of("the time is out of bounds"))?;
    let day = entity::uid("Day", time::day(asked.at))?;
    let mut pairs = vec![
        ("read", flag(asked.effects.read)),
        ("write", flag(asked.effects.write)),
        ("direct", flag(asked.effects.direct)),
        ("all", flag(asked.effects.all)),
        ("duration", RestrictedExpression::new_duration(format!("{}s", asked.duration.seconds()))),
        ("reason", RestrictedExpression::new_string(asked.reason.to_owned())),
        ("at", RestrictedExpression::new_datetime(at)),
        ("hour", RestrictedExpression::new_long(time::hour(asked.at))),
        ("day", RestrictedExpression::new_entity_uid(day)),
    ];
    if act == Act::Approve {
        pairs.push(("requester", RestrictedExpression::new_entity_uid(entity::user(&asked.who.name)?)));
    } else {
        pairs.push(("break_glass", flag(asked.break_glass)));
        pairs.push(("rule_approvals", RestrictedExpression::new_long(i64::from(asked.rule_approvals))));
    }
    Context::from_pairs(pairs.into_iter().map(|(key, value)| (key.to_owned(), value))).map_err(Failure::of)
}

impl Policies {
    fn deciding(&self, id: &str) -> Deciding {
        let reason = self.described.get(id).map(|described| described.reason.clone()).unwrap_or_default();
        Deciding { policy: id.to_owned(), reason }
    }
}
