//! Policies, and what would come of a request.

use super::{Head, Time, words};
use belay_access::{Answer, Change, Described, Explained};
use belay_model::Effects;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A policy in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Policy {
    /// What it is.
    #[serde(flatten)]
    pub head: Head,
    /// Its `@id`.
    pub id: String,
    /// Its `@reason`.
    pub reason: String,
    /// `permit` or `forbid`.
    pub effect: String,
    /// The actions its head names; empty for every action.
    pub actions: Vec<String>,
    /// Its `@max_duration`.
    pub max_duration: Option<String>,
    /// Its `@approvals`.
    pub approvals: Option<u8>,
    /// The file it came from.
    pub file: String,
    /// Its first line there.
    pub line: usize,
    /// Its text.
    pub text: String,
}

impl From<Described> for Policy {
    fn from(policy: Described) -> Policy {
        Policy {
            head: Head::of("policy"),
            id: policy.id,
            reason: policy.reason,
            effect: if policy.permits { "permit" } else { "forbid" }.to_owned(),
            actions: policy.actions,
            max_duration: policy.max_duration.map(|span| span.to_string()),
            approvals: policy.approvals,
            file: policy.file,
            line: policy.line,
            text: policy.text,
        }
    }
}

/// A question about what would come of a request.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Can {
    /// Whose request it would be.
    #[schema(value_type = String)]
    pub who: belay_model::Name,
    /// The target.
    #[schema(value_type = String)]
    pub target: belay_model::Name,
    /// The resources; none for every table of the target's own database.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub resources: Vec<belay_model::Resource>,
    /// The effects; `read` when nothing is said.
    #[serde(default)]
    pub effects: Vec<String>,
    /// For how long, e.g. `1h`.
    #[schema(value_type = String)]
    pub duration: belay_model::Span,
    /// When; now when nothing is said.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub at: Option<Time>,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// In an emergency.
    #[serde(default)]
    pub break_glass: bool,
    /// Groups the person would be in, beside their own.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub groups: Vec<belay_model::Name>,
}

/// What would come of a request, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CanAnswer {
    /// What it is.
    #[serde(flatten)]
    pub head: Head,
    /// `no`, `approvals` or `at_once`.
    pub answer: String,
    /// How many distinct people would have to approve.
    pub approvals: Option<u8>,
    /// What decides it; the first is the one that matters most.
    pub because: Vec<Because>,
    /// The longest grant there is for this.
    pub max_duration: Option<String>,
    /// Who may approve it.
    pub approvers: Vec<String>,
    /// The nearest change that gives another answer, of those that are tried.
    pub nearest: Option<NearestChange>,
}

/// A rule or policy that decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Because {
    /// `policy no-payroll`, `rule u_2`, `no rule`, `role`, `break-glass`, `belay`.
    pub by: String,
    /// Its reason.
    pub reason: String,
}

/// A single change that gives another answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NearestChange {
    /// `effects`, `duration`, `at`, `group`, `without_group`, `approvals`.
    pub change: String,
    /// To what: `read`, `2h`, a time, a group, or the people who may approve.
    pub to: Vec<String>,
    /// The answer then: `no`, `approvals` or `at_once`.
    pub answer: String,
    /// How many distinct people would have to approve then.
    pub approvals: Option<u8>,
}

impl From<Explained> for CanAnswer {
    fn from(explained: Explained) -> CanAnswer {
        let because = explained.because.into_iter().map(|basis| Because { by: basis.by, reason: basis.reason });
        CanAnswer {
            head: Head::of("can"),
            answer: word(explained.answer).to_owned(),
            approvals: explained.answer.approvals(),
            because: because.collect(),
            max_duration: explained.most.map(|most| most.to_string()),
            approvers: explained.approvers.iter().map(ToString::to_string).collect(),
            nearest: explained.nearest.map(|nearest| {
                let (change, to) = changed(nearest.change);
                NearestChange {
                    change: change.to_owned(),
                    to,
                    answer: word(nearest.answer).to_owned(),
                    approvals: nearest.answer.approvals(),
                }
            }),
        }
    }
}

fn word(answer: Answer) -> &'static str {
    match answer {
        Answer::No => "no",
        Answer::Approvals(_) => "approvals",
        Answer::AtOnce => "at_once",
    }
}

fn changed(change: Change) -> (&'static str, Vec<String>) {
    match change {
        Change::Reads => ("effects", words(Effects::READ)),
        Change::Duration(span) => ("duration", vec![span.to_string()]),
        Change::At(at) => ("at", vec![Time::from(at).to_string()]),
        Change::Group(group) => ("group", vec![group.to_string()]),
        Change::WithoutGroup(group) => ("without_group", vec![group.to_string()]),
        Change::Approvals(_, people) => ("approvals", people.iter().map(ToString::to_string).collect()),
    }
}
