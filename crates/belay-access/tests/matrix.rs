//! The answers of the default policy, kept as text that anyone can read.
//!
//! After a change that is meant, `BELAY_BLESS=1 cargo test -p belay-access --test matrix` writes them anew.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use belay_access::{Answer, Asked, Policies, World};
use belay_model::{Effects, Hours, Name, Principal, Resource, Role, Rule, RuleId, Span, Timestamp};
use std::fmt::Write;
use std::path::Path;

/// 2026-11-23, a Monday.
const MONDAY: i64 = 1_795_392_000;
const WRITE: Effects = Effects::WRITE;

#[test]
fn the_default_policy_answers_as_the_table_says() {
    let policies = Policies::only_default().unwrap();
    let mut text = String::from("A row holds for later hours and longer times, up to the next row.\n\n");
    for (heading, rules) in [("without rules", Vec::new()), ("with rules", rules())] {
        writeln!(text, "{heading}").unwrap();
        for rule in &rules {
            writeln!(text, "  {}", words(rule)).unwrap();
        }
        let columns = ["who", "effect", "for", "hour", "way", "answer", "because"];
        writeln!(text, "{}", line(columns)).unwrap();
        for who in people() {
            for break_glass in [false, true] {
                for effects in [Effects::READ, WRITE, Effects::ALL] {
                    table(&mut text, &policies, &rules, &who, effects, break_glass);
                }
            }
        }
        text.push('\n');
    }
    same_as_golden("default.golden", &text);
}

fn table(text: &mut String, policies: &Policies, rules: &[Rule], who: &Principal, effects: Effects, break_glass: bool) {
    let (target, resources): (Name, _) = ("orders".parse().unwrap(), [Resource::everything()]);
    let mut before = Vec::new();
    for span in ["30m", "2h", "8h", "12h"] {
        let mut rows: Vec<(i64, String, String)> = Vec::new();
        for hour in [3, 12, 20] {
            let asked = Asked {
                who,
                target: &target,
                own_database: "orders_prod",
                resources: &resources,
                effects,
                duration: span.parse::<Span>().unwrap(),
                reason: "INC-1",
                break_glass,
                rule_approvals: 1,
                at: Timestamp((MONDAY + hour * 3_600) * 1_000_000),
            };
            let explained = policies.explain(&asked, World { rules, people: &[], beside: &|_, _| Ok(()) });
            let answer = match explained.answer {
                Answer::No => "no".to_owned(),
                Answer::AtOnce => "at once".to_owned(),
                Answer::Approvals(number) => format!("approvals: {}", number.0),
            };
            let because: Vec<_> = explained.because.iter().map(|basis| basis.by.as_str()).collect();
            let because = because.join(", ");
            if rows.last().is_none_or(|row| (&row.1, &row.2) != (&answer, &because)) {
                rows.push((hour, answer, because));
            }
        }
        if rows == before {
            continue;
        }
        for (hour, answer, because) in &rows {
            let way = if break_glass { "break-glass" } else { "request" };
            let (named, hour) = (described(who), format!("{hour:02}:00"));
            let cells = [&named, &effects.to_string(), span, &hour, way, answer, because];
            writeln!(text, "{}", line(cells)).unwrap();
        }
        before = rows;
    }
}

fn line(cells: [&str; 7]) -> String {
    let [who, effect, span, hour, way, answer, because] = cells;
    format!("  {who:<24} {effect:<11} {span:<4} {hour:<6} {way:<12} {answer:<12} {because}")
}

fn people() -> Vec<Principal> {
    let person = |roles: &[Role], groups: &[&str]| Principal {
        name: "alice".parse().unwrap(),
        roles: roles.to_vec(),
        groups: groups.iter().map(|group| group.parse().unwrap()).collect(),
        disabled: false,
    };
    vec![
        person(&[], &[]),
        person(&[Role::Approver, Role::Administrator, Role::Auditor], &[]),
        person(&[Role::Requester], &[]),
        person(&[Role::Requester], &["support"]),
        person(&[Role::BreakGlass], &[]),
    ]
}

fn described(who: &Principal) -> String {
    let roles: Vec<_> = who.roles.iter().map(|role| role.word()).collect();
    match (roles.as_slice(), who.groups.as_slice()) {
        ([], _) => "nobody's role".to_owned(),
        ([one], []) => (*one).to_owned(),
        ([one], [group, ..]) => format!("{one} in {group}"),
        _ => "all others but requester".to_owned(),
    }
}

fn rules() -> Vec<Rule> {
    let rule = |id, group: Option<&str>, hours, effects, hours_most: u32, approvals| Rule {
        id: RuleId(id),
        target: None,
        group: group.map(|group| group.parse().unwrap()),
        hours,
        effects,
        max_duration: Span::from_seconds(hours_most * 3_600),
        max_changed_rows: belay_model::CHANGED_ROWS,
        approvals,
        extendable: false,
        record_values: true,
    };
    let day = Hours { from_minute: 8 * 60, to_minute: 18 * 60 };
    vec![rule(1, Some("support"), Some(day), Effects::READ, 2, 0), rule(2, None, None, WRITE, 12, 2)]
}

fn words(rule: &Rule) -> String {
    let group = rule.group.as_ref().map_or("everybody".to_owned(), |group| format!("group {group}"));
    let hours = rule.hours.map_or("always", |_| "08:00-18:00");
    format!(
        "{}: {group}, {hours}: {}, at most {}, {} approvals",
        rule.id, rule.effects, rule.max_duration, rule.approvals
    )
}

fn same_as_golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name);
    if std::env::var_os("BELAY_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, golden, "the table differs from tests/{name}; if that is meant, bless it");
}
