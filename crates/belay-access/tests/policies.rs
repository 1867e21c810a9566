//! Policies beside the default one: what they can change, and what they cannot.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use belay_access::{Answer, Asked, Change, DEFAULT, Denied, Explained, Policies, Source, Why, World};
use belay_model::{Effects, Name, Principal, Resource, Role, Rule, RuleId, Span, Timestamp};
use belay_policy::Terms;

/// 2026-11-23 12:00 UTC, a Monday.
const NOON: i64 = 1_795_435_200;
const WRITE: Effects = Effects::WRITE;

struct Ask {
    who: Principal,
    resources: Vec<Resource>,
    effects: Effects,
    duration: Span,
    break_glass: bool,
    hours_after_noon: i64,
}

fn ask(resources: &[&str]) -> Ask {
    Ask {
        who: person("alice", &[Role::Requester], &["support"]),
        resources: resources.iter().map(|resource| resource.parse().unwrap()).collect(),
        effects: Effects::READ,
        duration: Span::from_seconds(3_600),
        break_glass: false,
        hours_after_noon: 0,
    }
}

impl Ask {
    fn with<T>(&self, act: impl FnOnce(&Asked<'_>) -> T) -> T {
        let target: Name = "orders".parse().unwrap();
        act(&Asked {
            who: &self.who,
            target: &target,
            own_database: "orders_prod",
            resources: &self.resources,
            effects: self.effects,
            duration: self.duration,
            reason: "INC-1",
            break_glass: self.break_glass,
            rule_approvals: 1,
            at: Timestamp((NOON + self.hours_after_noon * 3_600) * 1_000_000),
        })
    }

    fn terms(&self, policies: &Policies) -> Result<Terms, Denied> {
        self.with(|asked| policies.terms(asked, &Terms::without_rule())).map(|decided| decided.terms)
    }

    fn explain(&self, policies: &Policies) -> Explained {
        let people =
            [person("bob", &[Role::Approver], &[]), person("carol", &[Role::Approver], &["dba"]), self.who.clone()];
        self.with(|asked| policies.explain(asked, World { rules: &[], people: &people, beside: &|_, _| Ok(()) }))
    }
}

fn person(name: &str, roles: &[Role], groups: &[&str]) -> Principal {
    let groups = groups.iter().map(|group| group.parse().unwrap()).collect();
    Principal { name: name.parse().unwrap(), roles: roles.to_vec(), groups, disabled: false }
}

fn beside_default(text: &str) -> Policies {
    let own = Source { file: "own.cedar", text };
    Policies::load(&[DEFAULT, own]).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn errors(text: &str) -> Vec<String> {
    let loaded = Policies::load(&[DEFAULT, Source { file: "own.cedar", text }]);
    loaded.err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

const NO_PAYROLL: &str = r#"
@id("no-payroll")
@reason("payroll is closed")
forbid (principal, action, resource in Schema::"orders/payroll");
"#;

#[test]
fn a_forbidden_part_holds_for_whoever_asks_for_the_whole() {
    let policies = beside_default(NO_PAYROLL);
    for resource in [
        "payroll.*",
        "payroll.salaries",
        "payroll.salaries.amount",
        "*.*",
        "pay*.*",
        "*.salaries",
        "payroll.s*",
        "orders_prod/payroll.salaries",
    ] {
        let denied = ask(&["public.orders", resource]).terms(&policies).unwrap_err();
        assert_eq!((denied.why, denied.policies[0].policy.as_str()), (Why::Forbidden, "no-payroll"), "{resource}");
        assert!(denied.to_string().ends_with(": payroll is closed"), "{denied}");
    }
    for resource in ["public.*", "public.orders", "pub*.*", "analytics/payroll.salaries", "analytics/*.*"] {
        assert!(ask(&[resource]).terms(&policies).is_ok(), "{resource}");
    }
    let emergency = Ask { break_glass: true, who: person("erin", &[Role::BreakGlass], &[]), ..ask(&["*.*"]) };
    assert!(emergency.terms(&policies).is_err(), "in an emergency, too");
}

#[test]
fn a_forbidden_column_holds_for_its_table_and_its_schema() {
    let policies = beside_default(
        r#"@id("no-iban") @reason("nobody reads account numbers")
        forbid (principal, action == Action::"Request", resource in Column::"orders/public.refunds.iban");"#,
    );
    for (resource, permitted) in [
        ("public.refunds.iban", false),
        ("public.refunds", false),
        ("public.*", false),
        ("*.*", false),
        ("public.refunds.id", true),
        ("public.orders", true),
        ("archive.*", true),
    ] {
        assert_eq!(ask(&[resource]).terms(&policies).is_ok(), permitted, "{resource}");
    }
}

#[test]
fn a_permit_of_the_target_covers_what_other_policies_name_in_it() {
    let text = r#"
@id("support-target") @reason("support sees all of it")
permit (principal in Group::"support", action == Action::"Request", resource in Target::"orders");
@id("others-public") @reason("the others see what is public")
permit (principal, action == Action::"Request", resource in Schema::"orders/public");"#;
    let policies = Policies::load(&[Source { file: "own.cedar", text }]).unwrap();
    assert!(ask(&["*.*"]).terms(&policies).is_ok());
    let other = person("dave", &[Role::Requester], &[]);
    let denied = Ask { who: other.clone(), ..ask(&["*.*"]) }.terms(&policies).unwrap_err();
    assert_eq!(denied.why, Why::NotPermitted);
    assert!(Ask { who: other, ..ask(&["public.orders"]) }.terms(&policies).is_ok());
}

const SUPPORT: &str = r#"
@id("support-at-once")
@reason("support helps customers by day")
permit (principal in Group::"support", action == Action::"GrantAtOnce", resource in Target::"orders")
when { context.hour >= 8 && context.hour < 18 && context.duration <= duration("2h")
       && ![Day::"sat", Day::"sun"].contains(context.day) };
"#;

#[test]
fn reads_are_granted_at_once_to_whom_when_and_for_as_long_as_the_policy_says() {
    let policies = beside_default(SUPPORT);
    let approvals = |asked: Ask| asked.terms(&policies).unwrap().approvals;
    assert_eq!(approvals(ask(&["*.*"])), 0);
    assert_eq!(approvals(Ask { duration: Span::from_seconds(7_201), ..ask(&["*.*"]) }), 1);
    assert_eq!(approvals(Ask { hours_after_noon: 6, ..ask(&["*.*"]) }), 1);
    assert_eq!(approvals(Ask { hours_after_noon: -24, ..ask(&["*.*"]) }), 1, "a Sunday");
    assert_eq!(approvals(Ask { who: person("dave", &[Role::Requester], &[]), ..ask(&["*.*"]) }), 1);
    assert_eq!(approvals(Ask { effects: WRITE, ..ask(&["*.*"]) }), 1, "a write has an action of its own");
    assert_eq!(approvals(Ask { effects: Effects::ALL, ..ask(&["*.*"]) }), 1);
    let explicit = beside_default(
        r#"@id("w") @reason("small fixes") @max_duration("30m")
        permit (principal, action == Action::"GrantWriteAtOnce", resource in Schema::"orders/scratch");"#,
    );
    let write = |resources: &[&str], minutes: u32| {
        let asked = Ask { effects: WRITE, duration: Span::from_seconds(minutes * 60), ..ask(resources) };
        asked.terms(&explicit).unwrap().approvals
    };
    assert_eq!(write(&["scratch.t"], 30), 0);
    assert_eq!(write(&["scratch.t"], 31), 1, "longer than the permit lasts");
    assert_eq!(write(&["scratch.t", "public.t"], 30), 1, "each resource has to be");
    assert_eq!(write(&["*.*"], 30), 1, "a part of it is not all of it");
}

#[test]
fn a_part_that_is_forbidden_to_be_granted_at_once_waits_for_approval() {
    let text = format!(
        r#"{SUPPORT}
        @id("people-approved") @reason("somebody looks first") forbid (principal, action == Action::"GrantAtOnce",
        resource in Table::"orders/public.people");"#
    );
    let policies = beside_default(&text);
    assert_eq!(ask(&["public.orders"]).terms(&policies).unwrap().approvals, 0);
    for resource in ["public.people", "public.*", "*.*"] {
        assert_eq!(ask(&[resource]).terms(&policies).unwrap().approvals, 1, "{resource}");
    }
}

#[test]
fn a_rule_without_approvals_still_grants_at_once_unless_a_policy_forbids_it() {
    let rule = Terms { rule: Some(RuleId(1)), approvals: 0, ..Terms::without_rule() };
    let plain = Policies::only_default().unwrap();
    let by_rule = |policies: &Policies| ask(&["*.*"]).with(|asked| policies.terms(asked, &rule)).unwrap();
    assert_eq!(by_rule(&plain).terms, rule);
    let ids = |decided: &belay_access::Decided| {
        decided.policies.iter().map(|deciding| deciding.policy.clone()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(ids(&by_rule(&plain)), "requester-asks rule-grants-at-once");
    let text = r#"@id("never") @reason("not here") forbid (principal, action == Action::"GrantAtOnce", resource);"#;
    let decided = by_rule(&beside_default(text));
    assert_eq!((decided.terms.approvals, ids(&decided).as_str()), (1, "never requester-asks"));
}

#[test]
fn a_permit_with_an_exception_does_not_hold_for_whoever_asks_for_the_whole() {
    let text = r#"
@id("all-but-payroll") @reason("payroll is not for everybody")
permit (principal, action == Action::"Request", resource) unless { resource in Schema::"orders/payroll" };"#;
    let policies = Policies::load(&[Source { file: "own.cedar", text }]).unwrap();
    for (resource, permitted) in [("*.*", false), ("p*.*", false), ("payroll.a", false), ("public.*", true)] {
        assert_eq!(ask(&[resource]).terms(&policies).is_ok(), permitted, "{resource}");
    }
}

#[test]
fn annotations_of_a_part_hold_for_whoever_asks_for_the_whole() {
    let policies = beside_default(
        r#"@id("payroll-two") @reason("two people look at payroll") @approvals("2") @max_duration("12h")
        permit (principal, action == Action::"Request", resource in Schema::"orders/payroll");"#,
    );
    let terms = ask(&["*.*"]).terms(&policies).unwrap();
    assert_eq!((terms.approvals, terms.max_duration), (2, Terms::without_rule().max_duration));
}

#[test]
fn annotations_make_terms_stricter_and_replace_the_length_without_a_rule() {
    let policies = beside_default(
        r#"@id("payroll-two") @reason("two people look at payroll") @approvals("2") @max_duration("12h")
        permit (principal, action == Action::"Request", resource in Schema::"orders/payroll");"#,
    );
    let terms = ask(&["payroll.a"]).terms(&policies).unwrap();
    assert_eq!((terms.approvals, terms.max_duration.to_string().as_str()), (2, "12h"));
    let ruled =
        Terms { rule: Some(RuleId(1)), approvals: 0, max_duration: Span::from_seconds(7_200), ..Terms::without_rule() };
    let terms = ask(&["payroll.a"]).with(|asked| policies.terms(asked, &ruled)).unwrap().terms;
    assert_eq!((terms.approvals, terms.max_duration.to_string().as_str()), (2, "2h"));
    assert_eq!(ask(&["public.a"]).terms(&policies).unwrap(), Terms::without_rule());
}

#[test]
fn an_evaluation_error_denies_even_where_it_is_a_forbid_that_would_be_left_out() {
    let text = r#"@id("overflows") @reason("too clever")
        forbid (principal, action, resource) when { (context.hour + 9223372036854775807) < 0 };"#;
    let policies = beside_default(text);
    let midnight = Ask { hours_after_noon: -12, ..ask(&["public.orders"]) };
    assert!(midnight.terms(&policies).is_ok(), "at midnight nothing overflows");
    let denied = ask(&["public.orders"]).terms(&policies).unwrap_err();
    assert_eq!((denied.why, denied.policies[0].policy.as_str()), (Why::Failed, "overflows"));
    assert_eq!(denied.to_string(), "denied, because policy `overflows` cannot be evaluated");
    let bob = person("bob", &[Role::Approver], &[]);
    assert!(ask(&["public.orders"]).with(|asked| policies.approve(&bob, asked)).is_err());
}

#[test]
fn approvers_can_be_made_fewer() {
    let policies = beside_default(
        r#"@id("dba-approves") @reason("payroll is the dba's") forbid (principal, action == Action::"Approve",
        resource in Schema::"orders/payroll") unless { principal in Group::"dba" };"#,
    );
    let (bob, carol) = (person("bob", &[Role::Approver], &[]), person("carol", &[Role::Approver], &["dba"]));
    let may = |who: &Principal, resource: &str| ask(&[resource]).with(|asked| policies.approve(who, asked)).is_ok();
    assert!(may(&bob, "public.a") && may(&carol, "payroll.a"));
    assert!(!may(&bob, "payroll.a") && !may(&bob, "*.*"));
    let own = Ask { who: carol.clone(), ..ask(&["public.a"]) };
    assert!(own.with(|asked| policies.approve(&carol, asked)).is_err());
}

#[test]
fn the_targets_own_database_written_out_denies_rather_than_never_holding() {
    let policies = beside_default(
        r#"@id("spelled-out") @reason("r") forbid (principal, action, resource in Schema::"orders/orders_prod/payroll");"#,
    );
    let denied = ask(&["public.a"]).terms(&policies).unwrap_err();
    assert_eq!(denied.why, Why::Failed);
    assert!(denied.to_string().contains("`spelled-out` writes out `orders_prod`"), "{denied}");
}

#[test]
fn what_is_wrong_in_a_file_is_an_error_with_its_line() {
    for (text, expected) in [
        ("\npermit (principal, action, resource)", "own.cedar:2: unexpected end of input"),
        (
            "@id(\"a\") @reason(\"r\")\npermit (principal, action == Action::\"Requst\", resource);",
            "own.cedar:2: unrecognized action `Action::\"Requst\"`",
        ),
        (
            "\n\n@id(\"a\") @reason(\"r\")\npermit (principal, action == Action::\"Request\", resource)\nwhen { context.hours > 3 };",
            "own.cedar:5: attribute `hours`",
        ),
        (
            "@id(\"a\") @reason(\"r\") permit (principal in Role::\"rquester\", action == Action::\"Request\", resource);",
            "own.cedar:1: ",
        ),
        (
            "@id(\"a\") @reason(\"r\") permit (principal, action == Action::\"Request\", resource)\nwhen { context.day == Day::\"Mon\" };",
            "own.cedar:2: ",
        ),
        (
            "\n@id(\"a\") @reason(\"r\") permit (principal, action, resource);",
            "own.cedar:2: a permit names its actions",
        ),
        ("// x\n@reason(\"r\")\nforbid (principal, action, resource);", "own.cedar:2: a policy needs an id"),
        ("@id(\"a\") forbid (principal, action, resource);", "own.cedar:1: a policy needs a reason"),
        ("@id(\"A b\") @reason(\"r\") forbid (principal, action, resource);", "own.cedar:1: `A b` is no id"),
        (
            "@id(\"a\") @reason(\"r\") @aprovals(\"2\") forbid (principal, action, resource);",
            "own.cedar:1: unknown annotation `@aprovals`",
        ),
        (
            "@id(\"a\") @reason(\"r\") @approvals(\"0\") permit (principal, action == Action::\"Request\", resource);",
            "own.cedar:1: `@approvals`: `0` is not a number from 1 to 10",
        ),
        (
            "@id(\"a\") @reason(\"r\") @approvals(\"2\") permit (principal, action == Action::\"GrantAtOnce\", resource);",
            "own.cedar:1: `@approvals` stands on permits of Request only",
        ),
        (
            "@id(\"a\") @reason(\"r\") @max_duration(\"2\") permit (principal, action == Action::\"Request\", resource);",
            "own.cedar:1: `@max_duration`: `2` has no unit",
        ),
        (
            "@id(\"a\") @reason(\"r\") @max_duration(\"2h\") forbid (principal, action == Action::\"Request\", resource);",
            "own.cedar:1: `@max_duration` stands on permits",
        ),
        (
            "@id(\"a\") @reason(\"r\") forbid (principal, action, resource in Table::\"orders\");",
            "own.cedar:1: `Table::\"orders\"` is not a path of a Table",
        ),
        (
            "@id(\"a\") @reason(\"r\") forbid (principal, action, resource in Table::\"orders/public.pay*\");",
            "own.cedar:1: `Table::\"orders/public.pay*\"` is not a path",
        ),
        (
            "@id(\"a\") @reason(\"r\") forbid (principal in Group::\"Sup port\", action, resource);",
            "own.cedar:1: `Group::\"Sup port\"` names nobody",
        ),
        (
            "@id(\"requester-asks\") @reason(\"r\") forbid (principal, action, resource);",
            "own.cedar:1: there is a policy `requester-asks` already: default.cedar:3",
        ),
        (
            "@id(\"a\") @reason(\"r\") permit (principal, action == Action::\"Request\", resource == Target::\"orders\");",
            "own.cedar:1: `resource == Target::\"orders\"` permits nothing that lies in it",
        ),
        ("@id(\"a\") @reason(\"r\") forbid (principal == ?principal, action, resource);", "own.cedar: templates"),
        (
            "@id(\"a\") @reason(\"r\") forbid (principal, action, resource) when { principal in Target::\"orders\" };",
            "own.cedar:1: ",
        ),
    ] {
        let said = errors(text);
        assert!(said.iter().any(|error| error.starts_with(expected)), "{text}\n{said:#?}");
    }
}

#[test]
fn the_examples_of_the_documentation_are_right() {
    let page = include_str!("../../../docs/policies.md");
    let examples: Vec<&str> = page.split("```cedar\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(examples.len(), 3);
    let sources: Vec<Source<'_>> = examples.iter().map(|text| Source { file: "policies.md", text }).collect();
    let policies = Policies::load(&[&[DEFAULT][..], &sources].concat()).unwrap_or_else(|errors| panic!("{errors:?}"));
    let terms = ask(&["public.refunds"]).terms(&policies).unwrap();
    assert_eq!((terms.approvals, terms.max_duration.to_string().as_str()), (2, "1h"));
    let (bob, carol) = (person("bob", &[Role::Approver], &[]), person("carol", &[Role::Approver], &["bank"]));
    let may = |who: &Principal| ask(&["public.*"]).with(|asked| policies.approve(who, asked)).is_ok();
    assert!(!may(&bob) && may(&carol));
    assert_eq!(ask(&["public.orders"]).terms(&policies).unwrap().approvals, 0);
    assert_eq!(ask(&["payroll.a"]).terms(&policies).unwrap_err().policies[0].policy, "audit-freeze");
}

#[test]
fn the_hash_is_of_the_texts() {
    let one = Policies::only_default().unwrap();
    assert_eq!(one.hash(), Policies::only_default().unwrap().hash());
    assert_ne!(one.hash(), beside_default(NO_PAYROLL).hash());
    let lines: Vec<_> = beside_default(NO_PAYROLL).described().map(|known| (known.id.clone(), known.line)).collect();
    assert_eq!(lines[0], ("requester-asks".to_owned(), 3));
    assert_eq!(lines.last().unwrap(), &("no-payroll".to_owned(), 2));
}

#[test]
fn the_nearest_change_is_the_first_in_order_that_gives_another_answer() {
    let closed_writes = beside_default(
        r#"@id("no-writes") @reason("frozen") forbid (principal, action, resource) when { context.write };"#,
    );
    let write = Ask { effects: WRITE, ..ask(&["public.a"]) }.explain(&closed_writes);
    assert_eq!((write.answer, write.because[0].by.as_str()), (Answer::No, "policy no-writes"));
    assert_eq!(write.nearest.unwrap().change, Change::Reads);

    let support = beside_default(SUPPORT);
    let long = Ask { duration: Span::from_seconds(10_800), ..ask(&["*.*"]) }.explain(&support);
    assert_eq!(long.answer.approvals(), Some(1));
    let nearest = long.nearest.unwrap();
    assert_eq!((nearest.change, nearest.answer), (Change::Duration(Span::from_seconds(7_200)), Answer::AtOnce));

    let too_long =
        Ask { duration: Span::from_seconds(36_000), ..ask(&["*.*"]) }.explain(&Policies::only_default().unwrap());
    assert_eq!((too_long.answer, too_long.because[0].by.as_str()), (Answer::No, "no rule"));
    assert_eq!(too_long.nearest.unwrap().change, Change::Duration(Span::from_seconds(28_800)));

    let late = Ask { hours_after_noon: 8, ..ask(&["*.*"]) }.explain(&support);
    assert_eq!(late.nearest.unwrap().change, Change::At(Timestamp((NOON + 20 * 3_600) * 1_000_000)));

    let other = Ask { who: person("dave", &[Role::Requester], &[]), ..ask(&["*.*"]) }.explain(&support);
    assert_eq!(other.nearest.unwrap().change, Change::Group("support".parse().unwrap()));

    let plain = ask(&["*.*"]).explain(&Policies::only_default().unwrap());
    let names = vec!["bob".parse().unwrap(), "carol".parse().unwrap()];
    assert_eq!(plain.nearest.unwrap().change, Change::Approvals(1, names));

    let at_once = ask(&["*.*"]).explain(&support);
    assert_eq!(at_once.answer, Answer::AtOnce);
    assert_eq!(at_once.nearest.unwrap().change, Change::Duration(Span::from_seconds(14_400)));
}

#[test]
fn where_nobody_is_left_to_approve_no_approval_is_promised() {
    let policies =
        beside_default(r#"@id("nobody") @reason("closed") forbid (principal, action == Action::"Approve", resource);"#);
    let explained = ask(&["*.*"]).explain(&policies);
    assert_eq!((explained.answer.approvals(), explained.approvers.len(), explained.nearest), (Some(1), 0, None));
}

#[test]
fn rules_take_part_in_the_answer() {
    let rule = Rule {
        id: RuleId(4),
        target: None,
        group: Some("oncall".parse().unwrap()),
        hours: None,
        effects: Effects::READ,
        max_duration: Span::from_seconds(7_200),
        max_changed_rows: belay_model::CHANGED_ROWS,
        approvals: 0,
        extendable: false,
        record_values: true,
    };
    let policies = Policies::only_default().unwrap();
    let explained = ask(&["*.*"])
        .with(|asked| policies.explain(asked, World { rules: &[rule], people: &[], beside: &|_, _| Ok(()) }));
    assert_eq!(explained.because[0].by, "no rule");
    assert_eq!(explained.nearest.unwrap().change, Change::Group("oncall".parse().unwrap()));
}
