//! Who may do what in Belay itself, and on which terms access is asked for.
//!
//! Statements are not judged here; see [`crate::decide`].

use crate::Refused;
use belay_model::{CHANGED_ROWS, Effects, Name, Principal, Role, Rule, RuleId, Span, Timestamp};
use std::fmt;

/// What a person can want to do in Belay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the words are the rows of the table that people read")]
pub enum Action {
    SeeUsers,
    ChangeUsers,
    SetPassword,
    UseApiTokens,
    SeeTargets,
    ChangeTargets,
    SeeRules,
    ChangeRules,
    Request,
    BreakGlass,
    SeeRequests,
    Withdraw,
    Decide,
    SeeGrants,
    ClaimToken,
    Extend,
    Narrow,
    Revoke,
    Review,
    SeeSessions,
    EndSession,
    SeePlans,
    SeeRows,
    DecidePlan,
    ApplyPlan,
    Revert,
    ReadLedger,
    ChangeLedgerKey,
    HoldSession,
    EraseSession,
}

impl Action {
    /// Every action, in the order of the table.
    pub const ALL: [Action; 30] = [
        Action::SeeUsers,
        Action::ChangeUsers,
        Action::SetPassword,
        Action::UseApiTokens,
        Action::SeeTargets,
        Action::ChangeTargets,
        Action::SeeRules,
        Action::ChangeRules,
        Action::Request,
        Action::BreakGlass,
        Action::SeeRequests,
        Action::Withdraw,
        Action::Decide,
        Action::SeeGrants,
        Action::ClaimToken,
        Action::Extend,
        Action::Narrow,
        Action::Revoke,
        Action::Review,
        Action::SeeSessions,
        Action::EndSession,
        Action::SeePlans,
        Action::SeeRows,
        Action::DecidePlan,
        Action::ApplyPlan,
        Action::Revert,
        Action::ReadLedger,
        Action::ChangeLedgerKey,
        Action::HoldSession,
        Action::EraseSession,
    ];

    /// The action in words that complete "may not ...".
    pub fn words(self) -> &'static str {
        match self {
            Action::SeeUsers => "see users",
            Action::ChangeUsers => "change users",
            Action::SetPassword => "set passwords",
            Action::UseApiTokens => "use API tokens",
            Action::SeeTargets => "see targets",
            Action::ChangeTargets => "change targets",
            Action::SeeRules => "see rules",
            Action::ChangeRules => "change rules",
            Action::Request => "request access",
            Action::BreakGlass => "break glass",
            Action::SeeRequests => "see requests",
            Action::Withdraw => "withdraw requests",
            Action::Decide => "decide on requests",
            Action::SeeGrants => "see grants",
            Action::ClaimToken => "claim tokens of grants",
            Action::Extend => "extend grants",
            Action::Narrow => "narrow grants",
            Action::Revoke => "revoke grants",
            Action::Review => "review break-glass grants",
            Action::SeeSessions => "see sessions",
            Action::EndSession => "end sessions",
            Action::SeePlans => "see plans and changes",
            Action::SeeRows => "see rows of changes",
            Action::DecidePlan => "decide on plans",
            Action::ApplyPlan => "apply plans",
            Action::Revert => "revert changes",
            Action::ReadLedger => "read the ledger",
            Action::ChangeLedgerKey => "change the ledger's key",
            Action::HoldSession => "hold sessions",
            Action::EraseSession => "erase what sessions hold",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// How far a right reaches. The order is the order of reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// Not at all.
    Nothing,
    /// Things of one's own.
    Own,
    /// Things of other people only: what one may not do for oneself.
    Others,
    /// Everything.
    Everything,
}

impl Reach {
    /// The word in the table.
    pub fn word(self) -> &'static str {
        match self {
            Reach::Nothing => "-",
            Reach::Own => "own",
            Reach::Others => "others'",
            Reach::Everything => "all",
        }
    }
}

/// What holding `role` gives. `None` is what everybody who is not disabled has.
pub fn reach(role: Option<Role>, action: Action) -> Reach {
    match role {
        None => match action {
            Action::SeeTargets | Action::SeeRules => Reach::Everything,
            Action::SetPassword
            | Action::UseApiTokens
            | Action::SeeRequests
            | Action::Withdraw
            | Action::SeeGrants
            | Action::ClaimToken
            | Action::Extend
            | Action::Narrow
            | Action::Revoke
            | Action::SeeSessions
            | Action::EndSession
            | Action::SeePlans
            | Action::SeeRows
            | Action::ApplyPlan
            | Action::Revert => Reach::Own,
            _ => Reach::Nothing,
        },
        Some(Role::Requester) => match action {
            Action::Request => Reach::Own,
            _ => Reach::Nothing,
        },
        Some(Role::Approver) => match action {
            Action::Decide | Action::Review | Action::DecidePlan => Reach::Others,
            Action::SeeRequests
            | Action::SeeGrants
            | Action::SeeSessions
            | Action::SeePlans
            | Action::SeeRows
            | Action::ApplyPlan
            | Action::Revert
            | Action::Narrow
            | Action::Revoke
            | Action::EndSession => Reach::Everything,
            _ => Reach::Nothing,
        },
        Some(Role::Administrator) => match action {
            Action::SeeUsers
            | Action::ChangeUsers
            | Action::SetPassword
            | Action::UseApiTokens
            | Action::ChangeTargets
            | Action::ChangeRules
            | Action::ChangeLedgerKey
            | Action::HoldSession
            | Action::EraseSession
            | Action::SeeRequests
            | Action::SeeGrants
            | Action::SeeSessions
            | Action::SeePlans
            | Action::Narrow
            | Action::Revoke
            | Action::EndSession => Reach::Everything,
            _ => Reach::Nothing,
        },
        Some(Role::Auditor) => match action {
            Action::SeeUsers
            | Action::SeeRequests
            | Action::SeeGrants
            | Action::SeeSessions
            | Action::SeePlans
            | Action::SeeRows
            | Action::ReadLedger
            | Action::HoldSession => Reach::Everything,
            _ => Reach::Nothing,
        },
        Some(Role::BreakGlass) => match action {
            Action::BreakGlass => Reach::Own,
            _ => Reach::Nothing,
        },
    }
}

/// Whether `who` may do `action` to a thing of `owner`.
pub fn may(who: &Principal, action: Action, owner: &Name) -> Result<(), Refused> {
    if who.disabled {
        return Err(Refused::Disabled);
    }
    let own = who.name == *owner;
    let reaches = held(who).any(|role| match reach(role, action) {
        Reach::Nothing => false,
        Reach::Own => own,
        Reach::Others => !own,
        Reach::Everything => true,
    });
    if reaches {
        return Ok(());
    }
    if own && held(who).any(|role| reach(role, action) == Reach::Others) {
        return Err(Refused::OwnThing { action });
    }
    Err(Refused::NoRight { who: who.name.clone(), action, roles: roles_with(action) })
}

/// Whether `who` may do `action` to everything, whoever owns it.
pub fn may_for_all(who: &Principal, action: Action) -> Result<(), Refused> {
    if who.disabled {
        return Err(Refused::Disabled);
    }
    if held(who).any(|role| reach(role, action) == Reach::Everything) {
        return Ok(());
    }
    Err(Refused::NoRight { who: who.name.clone(), action, roles: roles_with(action) })
}

fn held(who: &Principal) -> impl Iterator<Item = Option<Role>> + '_ {
    std::iter::once(None).chain(who.roles.iter().copied().map(Some))
}

fn roles_with(action: Action) -> Vec<Role> {
    Role::ALL.into_iter().filter(|role| reach(Some(*role), action) != Reach::Nothing).collect()
}

/// The terms a request is made on, fixed when it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The rule they come from; `None` where no rule matches.
    pub rule: Option<RuleId>,
    /// Distinct approvals needed; 0 grants at once.
    pub approvals: u8,
    /// The longest grant.
    pub max_duration: Span,
    /// The most rows that one transaction may be asked to change at once.
    pub max_changed_rows: u64,
    /// Whether the grant may be extended once.
    pub extendable: bool,
    /// Whether the ledger keeps bind values.
    pub record_values: bool,
}

impl Terms {
    /// The terms where no rule matches: one approval, at most eight hours, no extension, values kept.
    pub fn without_rule() -> Terms {
        Terms {
            rule: None,
            approvals: 1,
            max_duration: Span::from_seconds(8 * 3_600),
            max_changed_rows: CHANGED_ROWS,
            extendable: false,
            record_values: true,
        }
    }
}

/// The terms of a request made now: those of the first rule, by id, that matches it.
pub fn terms(rules: &[Rule], requester: &Principal, target: &Name, effects: Effects, now: Timestamp) -> Terms {
    let first = rules.iter().filter(|rule| matches(rule, requester, target, effects, now)).min_by_key(|rule| rule.id);
    let Some(rule) = first else { return Terms::without_rule() };
    // A rule that grants writes at once cannot be made; should one be there all the same, somebody must approve.
    let approvals = if effects.write { rule.approvals.max(1) } else { rule.approvals };
    Terms {
        rule: Some(rule.id),
        approvals,
        max_duration: rule.max_duration,
        max_changed_rows: rule.max_changed_rows,
        extendable: rule.extendable,
        record_values: rule.record_values,
    }
}

fn matches(rule: &Rule, requester: &Principal, target: &Name, effects: Effects, now: Timestamp) -> bool {
    rule.target.as_ref().is_none_or(|wanted| wanted == target)
        && rule.group.as_ref().is_none_or(|group| requester.groups.contains(group))
        && rule.hours.is_none_or(|hours| hours.contains(now))
        && effects.within(rule.effects)
}

/// The most approvals a rule can ask for.
pub const MAX_APPROVALS: u8 = 10;

/// Whether a rule makes sense; the error is for its author.
pub fn check_rule(rule: &Rule) -> Result<(), RuleError> {
    if rule.effects.is_empty() {
        return Err(RuleError::NoEffects);
    }
    if rule.approvals == 0 && rule.effects.write {
        return Err(RuleError::WritesAtOnce);
    }
    if rule.approvals > MAX_APPROVALS {
        return Err(RuleError::TooManyApprovals(rule.approvals));
    }
    if rule.max_duration.seconds() == 0 {
        return Err(RuleError::NoDuration);
    }
    if rule.max_changed_rows == 0 {
        return Err(RuleError::NoRows);
    }
    match rule.hours {
        Some(hours) if hours.from_minute > 1_439 || hours.to_minute > 1_440 || hours.from_minute == hours.to_minute => {
            Err(RuleError::Hours)
        }
        _ => Ok(()),
    }
}

/// What is wrong with a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// It allows nothing.
    #[error("a rule needs at least one effect: read, write, direct")]
    NoEffects,
    /// It would grant writes without anybody's approval.
    #[error("a rule with no approvals grants at once, and only reads can be granted at once")]
    WritesAtOnce,
    /// Nobody has that many approvers.
    #[error("`{0}` approvals are too many; at most 10")]
    TooManyApprovals(u8),
    /// It would grant for no time at all.
    #[error("the longest duration of a rule must be at least one second")]
    NoDuration,
    /// It would let nothing be changed.
    #[error("the most changed rows of a rule must be at least one")]
    NoRows,
    /// Its hours are empty or outside the day.
    #[error("hours run from 00:00 to 24:00 and cannot be empty")]
    Hours,
}
