//! Rules of the default policy.

use super::{Caller, Desk, DeskError, NewRule};
use belay_model::{EventKind, Rule, RuleId};
use belay_policy::{Action, check_rule, may_for_all};

/// The most rules in force: every request tries them all.
const RULES_MOST: usize = 1_000;

impl Desk {
    /// Every rule in force, in the order they are tried.
    pub async fn rules(&self, who: &Caller) -> Result<Vec<Rule>, DeskError> {
        may_for_all(&who.principal, Action::SeeRules)?;
        Ok(self.store.reader().await?.look().rules().await?)
    }

    /// Adds a rule behind the others.
    pub async fn add_rule(&self, who: &Caller, new: NewRule) -> Result<Rule, DeskError> {
        let rule = Rule {
            id: RuleId(0),
            target: new.target,
            group: new.group,
            hours: new.hours,
            effects: new.effects,
            max_duration: new.max_duration,
            max_changed_rows: new.max_changed_rows,
            approvals: new.approvals,
            extendable: new.extendable,
            record_values: new.record_values,
        };
        let mut act = self.act_with(who, Action::ChangeRules).await?;
        check_rule(&rule)?;
        if act.writing.look().rules().await?.len() >= RULES_MOST {
            return Err(DeskError::Conflict {
                message: format!("there are {RULES_MOST} rules already"),
                hint: "belay rule rm RULE".to_owned(),
            });
        }
        let rule = act.writing.add_rule(rule).await?;
        act.event(EventKind::RuleAdded { rule: rule.id, text: in_words(&rule) });
        self.finish(act).await?;
        Ok(rule)
    }

    /// Removes a rule. Requests and grants made under it stay as they are.
    pub async fn remove_rule(&self, who: &Caller, rule: &str) -> Result<(), DeskError> {
        let mut act = self.act_with(who, Action::ChangeRules).await?;
        let missing = || DeskError::NotFound { kind: "rule", name: rule.to_owned() };
        let id: RuleId = rule.parse().map_err(|_| missing())?;
        if !act.writing.look().rules().await?.iter().any(|rule| rule.id == id) {
            return Err(missing());
        }
        act.writing.remove_rule(id, act.now).await?;
        act.event(EventKind::RuleRemoved { rule: id });
        // Without it another rule decides, which may ask for less: this is no act that only takes away.
        self.finish(act).await
    }
}

/// The rule as one line for the ledger.
fn in_words(rule: &Rule) -> String {
    let target = rule.target.as_ref().map_or("any target".to_owned(), |name| format!("target {name}"));
    let group = rule.group.as_ref().map_or("everybody".to_owned(), |name| format!("group {name}"));
    let hours = rule.hours.map_or("always".to_owned(), |hours| {
        let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        format!("{}-{} UTC", clock(hours.from_minute), clock(hours.to_minute))
    });
    let approvals = match rule.approvals {
        0 => "granted at once".to_owned(),
        number => format!("{number} approvals"),
    };
    let extendable = if rule.extendable { "extendable" } else { "not extendable" };
    let values = if rule.record_values { "values recorded" } else { "values masked" };
    format!(
        "{target}, {group}, {hours}: {}, at most {}, {approvals}, {extendable}, {values}",
        rule.effects, rule.max_duration
    )
}
