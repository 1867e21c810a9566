//! Rules.

use super::{Head, words};
use belay_model::Hours;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A rule: who gets what at once, and who approves the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rule {
    /// What it is.
    #[serde(flatten)]
    pub head: Head,
    /// Its id.
    pub id: String,
    /// The target it speaks of; absent for every target.
    pub target: Option<String>,
    /// The group the requester must be in; absent for everybody.
    pub group: Option<String>,
    /// When it holds, in UTC: `08:00-18:00`; absent for always.
    pub hours: Option<String>,
    /// The effects a request may ask for under it.
    pub effects: Vec<String>,
    /// The longest grant under it.
    pub max_duration: String,
    /// The most rows that one transaction of a grant under it may be asked to change at once.
    pub max_changed_rows: u64,
    /// How many distinct people must approve; 0 grants at once.
    pub approvals: u8,
    /// Whether its grants may be extended once.
    pub extendable: bool,
    /// Whether the ledger keeps bind values.
    pub record_values: bool,
}

impl From<belay_model::Rule> for Rule {
    fn from(rule: belay_model::Rule) -> Rule {
        Rule {
            head: Head::of("rule"),
            id: rule.id.to_string(),
            target: rule.target.map(String::from),
            group: rule.group.map(String::from),
            hours: rule.hours.map(written),
            effects: words(rule.effects),
            max_duration: rule.max_duration.to_string(),
            max_changed_rows: rule.max_changed_rows,
            approvals: rule.approvals,
            extendable: rule.extendable,
            record_values: rule.record_values,
        }
    }
}

/// A rule to be added.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRule {
    /// The target it speaks of; left out for every target.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>)]
    pub target: Option<belay_model::Name>,
    /// The group the requester must be in; left out for everybody.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>)]
    pub group: Option<belay_model::Name>,
    /// When it holds, in UTC: `08:00-18:00`, also over midnight; left out for always.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hours: Option<String>,
    /// The effects a request may ask for under it; `read` when nothing is said.
    #[serde(default)]
    pub effects: Vec<String>,
    /// The longest grant under it, e.g. `2h`.
    #[schema(value_type = String)]
    pub max_duration: belay_model::Span,
    /// The most rows that one transaction may be asked to change at once under `direct`; 10,000 when nothing is said.
    #[serde(default = "changed_rows")]
    pub max_changed_rows: u64,
    /// How many distinct people must approve; 0 grants reads at once.
    pub approvals: u8,
    /// Whether its grants may be extended once.
    #[serde(default)]
    pub extendable: bool,
    /// Whether the ledger keeps bind values.
    #[serde(default = "yes")]
    pub record_values: bool,
}

fn changed_rows() -> u64 {
    belay_model::CHANGED_ROWS
}

fn yes() -> bool {
    true
}

fn written(hours: Hours) -> String {
    let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
    format!("{}-{}", clock(hours.from_minute), clock(hours.to_minute))
}

/// `08:00-18:00` as [`Hours`].
pub(crate) fn hours(text: &str) -> Option<Hours> {
    let (from, to) = text.split_once('-')?;
    let hours = Hours { from_minute: minute(from)?, to_minute: minute(to)? };
    (hours.from_minute < 1_440 && hours.from_minute != hours.to_minute).then_some(hours)
}

fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    if hour.len() != 2 || minute.len() != 2 || !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b':') {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let sum = hour * 60 + minute;
    (minute < 60 && sum <= 1_440).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_written_as_they_are_read() {
        for text in ["08:00-18:00", "22:30-06:00", "00:00-24:00"] {
            assert_eq!(written(hours(text).unwrap()), text);
        }
        for text in ["", "8-18", "08:00", "08:60-09:00", "25:00-26:00", "24:00-01:00", "09:00-09:00", "+8:00-10:00"] {
            assert!(hours(text).is_none(), "{text}");
        }
    }
}
