//! What would come of asking, why, and the nearest change that would make it another answer.
//!
//! Nothing is inferred from the text of a policy: each change is tried, by asking again.

use crate::decide::{Asked, Decided};
use crate::{Deciding, Policies};
use belay_model::{Effects, Name, Principal, Rule, RuleId, Span, Timestamp};
use belay_policy::{Action, BREAK_GLASS_MOST, Terms, may, terms};

/// Lengths of time that are tried, from long to short.
const LENGTHS: [u32; 9] = [86_400, 28_800, 14_400, 7_200, 3_600, 1_800, 900, 600, 300];
/// Full hours that are tried: a week of them.
const HOURS: i64 = 7 * 24;
const HOUR_MICROS: i64 = 3_600_000_000;
/// The most groups that are tried.
const GROUPS_MOST: usize = 200;

/// What is known beside the question.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// The rules in force.
    pub rules: &'a [Rule],
    /// Everybody.
    pub people: &'a [Principal],
    /// What the gateway asks of everybody beside rules and policies, with the rule that matches; an error says why not.
    pub beside: &'a Beside<'a>,
}

/// What is asked beside rules and policies; an error is in words for who asks.
pub type Beside<'a> = dyn Fn(&Asked<'_>, Option<RuleId>) -> Result<(), String> + 'a;

/// What would come of asking. The order is from worse to better for who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// Denied.
    No,
    /// It would wait for this many distinct people.
    Approvals(std::cmp::Reverse<u8>),
    /// Granted at once.
    AtOnce,
}

impl Answer {
    fn of(terms: &Terms) -> Answer {
        match terms.approvals {
            0 => Answer::AtOnce,
            number => Answer::Approvals(std::cmp::Reverse(number)),
        }
    }

    /// How many people would have to approve.
    pub fn approvals(self) -> Option<u8> {
        match self {
            Answer::Approvals(number) => Some(number.0),
            Answer::No | Answer::AtOnce => None,
        }
    }
}

/// What an answer rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basis {
    /// `policy no-payroll`, `rule u_2`, `no rule`, `role`, `break-glass`, `belay`.
    pub by: String,
    /// Its reason.
    pub reason: String,
}

/// A single change that gives another answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Asking for reads only.
    Reads,
    /// Asking for another length of time.
    Duration(Span),
    /// Asking at another time.
    At(Timestamp),
    /// Being in this group.
    Group(Name),
    /// Not being in this group.
    WithoutGroup(Name),
    /// The approvals of so many of these people.
    Approvals(u8, Vec<Name>),
}

/// The nearest change, and what it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nearest {
    /// The change.
    pub change: Change,
    /// The answer with it.
    pub answer: Answer,
}

/// The whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// What would come of asking.
    pub answer: Answer,
    /// What decides it; the first is the one that matters most.
    pub because: Vec<Basis>,
    /// The longest grant there is for this.
    pub most: Option<Span>,
    /// Who may approve it, by roles and policies; empty where no approval is needed.
    pub approvers: Vec<Name>,
    /// The nearest change, if any of those that are tried leads elsewhere.
    pub nearest: Option<Nearest>,
}

/// The answer to one form of the question.
struct Judged {
    answer: Answer,
    because: Vec<Basis>,
    most: Option<Span>,
}

impl Policies {
    /// Explains what would come of asking. For a no and for approvals, the nearest change is the first that gives a
    /// better answer of: reads only; a shorter time (what the terms allow, then a fixed row of lengths); another full
    /// hour of the next seven days; one more group, by name; the approvals themselves. For an access at once it is
    /// the first that gives a worse answer of: a longer time; another full hour; one group less.
    pub fn explain(&self, asked: &Asked<'_>, world: World<'_>) -> Explained {
        let judged = self.judge(asked, world);
        let approvers = match judged.answer {
            Answer::Approvals(_) => self.approvers(asked, world.people),
            Answer::No | Answer::AtOnce => Vec::new(),
        };
        let nearest = match judged.answer {
            Answer::AtOnce => self.nearest_worse(asked, world),
            Answer::No | Answer::Approvals(_) => self.nearest_better(asked, world, &judged, &approvers),
        };
        Explained { answer: judged.answer, because: judged.because, most: judged.most, approvers, nearest }
    }

    fn judge(&self, asked: &Asked<'_>, world: World<'_>) -> Judged {
        let action = if asked.break_glass { Action::BreakGlass } else { Action::Request };
        if let Err(refused) = may(asked.who, action, &asked.who.name) {
            return no("role", refused.to_string(), None);
        }
        let rule = by_rules(asked, world.rules);
        if let Err(why) = (world.beside)(asked, rule.rule) {
            return no("belay", why, None);
        }
        let Decided { terms, policies } = match self.terms(asked, &rule) {
            Ok(decided) => decided,
            Err(denied) => {
                let text = denied.to_string();
                let by =
                    denied.policies.first().map_or("no policy".to_owned(), |first| format!("policy {}", first.policy));
                return no(&by, text, None);
            }
        };
        if asked.duration > terms.max_duration {
            let by = self.by_longest(asked, &terms, &rule, &policies);
            let text = format!("`{}` is longer than the {} allowed here", asked.duration, terms.max_duration);
            return no(&by, text, Some(terms.max_duration));
        }
        let mut because: Vec<Basis> = policies
            .into_iter()
            .map(|deciding| Basis { by: format!("policy {}", deciding.policy), reason: deciding.reason })
            .collect();
        let of_rule = Basis { by: by_words(&rule), reason: rule_words(&rule) };
        if asked.break_glass {
            return Judged { answer: Answer::AtOnce, because, most: Some(terms.max_duration) };
        }
        // The rule matters most where its number of approvals is what holds.
        let at = if terms.approvals == rule.approvals { 0 } else { because.len() };
        because.insert(at, of_rule);
        Judged { answer: Answer::of(&terms), because, most: Some(terms.max_duration) }
    }

    /// What says how long a grant may be.
    fn by_longest(&self, asked: &Asked<'_>, terms: &Terms, rule: &Terms, policies: &[Deciding]) -> String {
        let most = |deciding: &&Deciding| {
            self.described.get(&deciding.policy).and_then(|known| known.max_duration) == Some(terms.max_duration)
        };
        match policies.iter().find(most) {
            Some(deciding) => format!("policy {}", deciding.policy),
            None if asked.break_glass => "break-glass".to_owned(),
            None => by_words(rule),
        }
    }

    /// Who may approve, by roles and policies.
    fn approvers(&self, asked: &Asked<'_>, people: &[Principal]) -> Vec<Name> {
        people
            .iter()
            .filter(|person| may(person, Action::Decide, &asked.who.name).is_ok())
            .filter(|person| self.approve(person, asked).is_ok())
            .map(|person| person.name.clone())
            .collect()
    }

    fn nearest_better(
        &self,
        asked: &Asked<'_>,
        world: World<'_>,
        judged: &Judged,
        approvers: &[Name],
    ) -> Option<Nearest> {
        let better = |answer: Answer| answer > judged.answer;
        let reads = (asked.effects != Effects::READ).then_some(Change::Reads);
        let shorter = shorter(asked, judged.most).into_iter().map(Change::Duration);
        let candidates =
            reads.into_iter().chain(shorter).chain(hours(asked.at)).chain(self.groups_to_join(asked, world.rules));
        if let Some(nearest) = self.first(asked, world, candidates, better) {
            return Some(nearest);
        }
        let needed = judged.answer.approvals()?;
        let change = Change::Approvals(needed, approvers.to_vec());
        (approvers.len() >= usize::from(needed)).then_some(Nearest { change, answer: Answer::AtOnce })
    }

    fn nearest_worse(&self, asked: &Asked<'_>, world: World<'_>) -> Option<Nearest> {
        let longer = LENGTHS.iter().rev().map(|seconds| Span::from_seconds(*seconds));
        let longer = longer.filter(|span| *span > asked.duration).map(Change::Duration);
        let leave = asked.who.groups.iter().cloned().map(Change::WithoutGroup);
        let candidates = longer.chain(hours(asked.at)).chain(leave);
        self.first(asked, world, candidates, |answer| answer < Answer::AtOnce)
    }

    fn first(
        &self,
        asked: &Asked<'_>,
        world: World<'_>,
        candidates: impl Iterator<Item = Change>,
        wanted: impl Fn(Answer) -> bool,
    ) -> Option<Nearest> {
        for change in candidates {
            let answer = self.judge_changed(asked, world, &change);
            if wanted(answer) {
                return Some(Nearest { change, answer });
            }
        }
        None
    }

    fn judge_changed(&self, asked: &Asked<'_>, world: World<'_>, change: &Change) -> Answer {
        let mut who = asked.who.clone();
        let mut changed = asked.clone();
        match change {
            Change::Reads => changed.effects = Effects::READ,
            Change::Duration(span) => changed.duration = *span,
            Change::At(at) => changed.at = *at,
            Change::Group(group) => who.groups.push(group.clone()),
            Change::WithoutGroup(group) => who.groups.retain(|known| known != group),
            Change::Approvals(..) => {}
        }
        self.judge(&Asked { who: &who, ..changed }, world).answer
    }

    /// Groups that rules or policies name and that the person is not in, by name.
    fn groups_to_join(&self, asked: &Asked<'_>, rules: &[Rule]) -> impl Iterator<Item = Change> {
        let of_rules = rules.iter().filter_map(|rule| rule.group.clone());
        let mut groups: Vec<Name> = of_rules.chain(self.groups.iter().cloned()).collect();
        groups.sort();
        groups.dedup();
        groups.retain(|group| !asked.who.groups.contains(group));
        groups.truncate(GROUPS_MOST);
        groups.into_iter().map(Change::Group)
    }
}

/// The terms by the rules; those of break-glass where it is that.
fn by_rules(asked: &Asked<'_>, rules: &[Rule]) -> Terms {
    if asked.break_glass {
        return Terms { approvals: 0, max_duration: BREAK_GLASS_MOST, ..Terms::without_rule() };
    }
    terms(rules, asked.who, asked.target, asked.effects, asked.at)
}

fn no(by: &str, reason: String, most: Option<Span>) -> Judged {
    Judged { answer: Answer::No, because: vec![Basis { by: by.to_owned(), reason }], most }
}

fn by_words(terms: &Terms) -> String {
    terms.rule.map_or("no rule".to_owned(), |rule| format!("rule {rule}"))
}

fn rule_words(terms: &Terms) -> String {
    let asks = match terms.approvals {
        0 => "reads are granted at once".to_owned(),
        1 => "one approval".to_owned(),
        number => format!("{number} approvals"),
    };
    format!("{asks}, at most {}", terms.max_duration)
}

fn shorter(asked: &Asked<'_>, most: Option<Span>) -> Vec<Span> {
    let fixed = LENGTHS.iter().map(|seconds| Span::from_seconds(*seconds));
    most.into_iter().chain(fixed).filter(|span| *span < asked.duration).collect()
}

fn hours(at: Timestamp) -> impl Iterator<Item = Change> {
    let this = at.0.div_euclid(HOUR_MICROS);
    (1..=HOURS).map(move |later| Change::At(Timestamp((this.saturating_add(later)).saturating_mul(HOUR_MICROS))))
}
