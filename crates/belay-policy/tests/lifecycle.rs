//! What no sequence of acts may lead to, and the steps one by one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use belay_model::{
    AccessRequest, Effects, Grant, GrantState, Hours, Name, Principal, RequestState, Resource, Role, Rule, RuleId,
    Span, Timestamp,
};
use belay_policy::{
    Ask, BREAK_GLASS_MOST, DECIDE_WITHIN, Refused, RuleError, Terms, USE_WITHIN, approve, ask, break_glass, check_rule,
    deny, expire, extend, lapse, narrow, review, revoke, take_into_use, terms, withdraw,
};
use proptest::prelude::*;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn person(login: &str, roles: &[Role]) -> Principal {
    Principal { name: name(login), roles: roles.to_vec(), groups: vec![name("staff")], disabled: false }
}

/// Everybody holds every role: what stops them must not be a missing role.
fn almighty(login: &str) -> Principal {
    person(login, &Role::ALL)
}

fn wish(seconds: u32) -> Ask {
    Ask {
        target: name("orders"),
        resources: vec!["public.*".parse().unwrap()],
        effects: Effects::READ,
        bounds: belay_model::Bounds::default(),
        duration: Span::from_seconds(seconds),
        reason: "INC-1".to_owned(),
    }
}

fn needing(approvals: u8) -> Terms {
    Terms { approvals, extendable: true, ..Terms::without_rule() }
}

fn pending(approvals: u8) -> AccessRequest {
    ask(&almighty("alice"), wish(3_600), &needing(approvals), Timestamp(0)).unwrap().0
}

fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds * 1_000_000)
}

fn granted() -> Grant {
    approve(&pending(1), &almighty("bob"), at(10)).unwrap().1.unwrap()
}

#[test]
fn nobody_approves_their_own_request_administrators_included() {
    let refused = approve(&pending(1), &almighty("alice"), at(1)).unwrap_err();
    assert_eq!(refused.to_string(), "nobody may decide on requests of their own");
    assert!(matches!(deny(&pending(1), &almighty("alice"), "no", at(1)), Err(Refused::OwnThing { .. })));
}

#[test]
fn an_administrator_who_is_no_approver_approves_nothing() {
    let refused = approve(&pending(1), &person("bob", &[Role::Administrator]), at(1)).unwrap_err();
    assert_eq!(refused.to_string(), "`bob` may not decide on requests");
    assert_eq!(refused.hint(), "ask somebody with the role approver");
}

#[test]
fn two_approvals_are_of_two_people() {
    let (once, none) = approve(&pending(2), &almighty("bob"), at(1)).unwrap();
    assert!(none.is_none() && once.state == RequestState::Pending);
    assert!(matches!(approve(&once, &almighty("bob"), at(2)), Err(Refused::ApprovedAlready(_))));
    let (twice, grant) = approve(&once, &almighty("carol"), at(3)).unwrap();
    assert_eq!(twice.state, RequestState::Approved);
    assert_eq!(grant.unwrap().ends_at, at(3 + 3_600));
}

#[test]
fn a_disabled_person_does_nothing() {
    let disabled = Principal { disabled: true, ..almighty("bob") };
    assert_eq!(approve(&pending(1), &disabled, at(1)).unwrap_err(), Refused::Disabled);
    assert_eq!(ask(&disabled, wish(60), &needing(1), at(1)).unwrap_err(), Refused::Disabled);
    assert_eq!(break_glass(&disabled, wish(60), at(1)).unwrap_err(), Refused::Disabled);
    assert_eq!(revoke(&granted(), &disabled, at(11)).unwrap_err(), Refused::Disabled);
}

#[test]
fn a_request_that_nobody_decided_in_time_is_over_even_before_that_is_written_down() {
    let late = Timestamp(0).plus(DECIDE_WITHIN);
    let refused = approve(&pending(1), &almighty("bob"), late).unwrap_err();
    assert_eq!(refused.to_string(), "r_0 is lapsed already");
    assert_eq!(lapse(&pending(1), late).unwrap().state, RequestState::Lapsed);
    assert!(lapse(&pending(1), at(1)).is_err());
    assert!(withdraw(&pending(1), &almighty("alice"), late).is_err());
}

#[test]
fn only_the_requester_withdraws() {
    assert_eq!(withdraw(&pending(1), &almighty("alice"), at(1)).unwrap().state, RequestState::Withdrawn);
    assert!(withdraw(&pending(1), &almighty("bob"), at(1)).is_err());
}

#[test]
fn a_grant_that_was_not_used_lapses_and_a_used_one_does_not() {
    let mut long = pending(1);
    long.duration = Span::from_seconds(8 * 3_600);
    let grant = approve(&long, &almighty("bob"), at(0)).unwrap().1.unwrap();
    let late = at(0).plus(USE_WITHIN);
    assert_eq!(grant.use_by, late);
    assert!(take_into_use(&grant, late).is_err());
    assert_eq!(expire(&grant, late).unwrap().state, GrantState::Lapsed);
    let used = take_into_use(&grant, at(5)).unwrap();
    assert!(expire(&used, late).is_err());
    assert!(take_into_use(&used, late).is_ok());
    assert_eq!(expire(&used, grant.ends_at).unwrap().state, GrantState::Expired);
}

#[test]
fn an_extension_is_had_once_by_the_owner_and_by_no_more_than_the_length() {
    let grant = granted();
    let hour = Span::from_seconds(3_600);
    assert!(extend(&grant, &almighty("bob"), hour, at(20)).is_err());
    let more = Span::from_seconds(3_601);
    assert_eq!(
        extend(&grant, &almighty("alice"), more, at(20)).unwrap_err().to_string(),
        "`1h1s` is longer than the 1h allowed here"
    );
    let extended = extend(&grant, &almighty("alice"), hour, at(20)).unwrap();
    assert_eq!(extended.ends_at, grant.ends_at.plus(hour));
    assert!(matches!(extend(&extended, &almighty("alice"), hour, at(21)), Err(Refused::NotExtendable(_))));
}

#[test]
fn narrowing_only_takes_away() {
    let grant = granted();
    let alice = almighty("alice");
    let one: Resource = "public.orders".parse().unwrap();
    let after = narrow(&grant, &alice, Some(vec![one.clone()]), None, at(20)).unwrap();
    assert_eq!((after.resources, after.ends_at), (vec![one], grant.ends_at));
    let wide = narrow(&grant, &alice, Some(vec!["hr.*".parse().unwrap()]), None, at(20)).unwrap_err();
    assert_eq!(wide.to_string(), "`hr.*` is not within what g_0 allows; narrowing only takes away");
    let write = Effects::WRITE;
    assert!(narrow(&grant, &alice, None, Some(write), at(20)).is_err());
    assert!(narrow(&grant, &alice, None, None, at(20)).is_err());
    assert!(narrow(&grant, &person("mallory", &[Role::Requester]), None, Some(Effects::READ), at(20)).is_err());
}

#[test]
fn break_glass_needs_its_own_right_a_reason_and_a_review_by_another_approver() {
    let approver_and_admin = person("alice", &[Role::Requester, Role::Approver, Role::Administrator]);
    assert!(matches!(break_glass(&approver_and_admin, wish(60), at(0)), Err(Refused::NoRight { .. })));
    let alice = almighty("alice");
    assert!(matches!(break_glass(&alice, wish(BREAK_GLASS_MOST.seconds() + 1), at(0)), Err(Refused::TooLong { .. })));
    assert!(matches!(break_glass(&alice, Ask { reason: " ".into(), ..wish(60) }, at(0)), Err(Refused::NoReason)));
    let grant = break_glass(&alice, wish(3_600), at(0)).unwrap().grant;
    assert!(grant.break_glass && !grant.extendable);
    assert!(matches!(review(&grant, &alice, "fine"), Err(Refused::OwnThing { .. })));
    assert!(matches!(review(&grant, &person("dave", &[Role::Administrator]), "fine"), Err(Refused::NoRight { .. })));
    assert!(matches!(review(&grant, &almighty("bob"), "fine"), Err(Refused::ReviewTooEarly(_))));
    let grant = revoke(&grant, &alice, at(5)).unwrap();
    let reviewed = review(&grant, &almighty("bob"), "fine").unwrap();
    assert_eq!(reviewed.reviewed_by, Some(name("bob")));
    assert!(matches!(review(&reviewed, &almighty("carol"), "fine"), Err(Refused::ReviewedAlready(..))));
    assert!(matches!(review(&granted(), &almighty("bob"), "fine"), Err(Refused::NoReviewOwed(_))));
}

fn rule(id: i64) -> Rule {
    Rule {
        id: RuleId(id),
        target: None,
        group: None,
        hours: None,
        effects: Effects::READ,
        max_duration: Span::from_seconds(600),
        max_changed_rows: belay_model::CHANGED_ROWS,
        approvals: 0,
        extendable: false,
        record_values: false,
    }
}

#[test]
fn the_first_rule_by_id_that_matches_sets_the_terms() {
    let alice = almighty("alice");
    let orders = name("orders");
    let rules = [
        Rule { approvals: 3, ..rule(9) },
        Rule { target: Some(name("billing")), ..rule(1) },
        Rule { group: Some(name("admins")), ..rule(2) },
        Rule { hours: Some(Hours { from_minute: 60, to_minute: 120 }), ..rule(3) },
        Rule { approvals: 2, ..rule(4) },
    ];
    let rule_for = |effects, now| terms(&rules, &alice, &orders, effects, now).rule;
    assert_eq!(rule_for(Effects::READ, at(0)), Some(RuleId(4)));
    assert_eq!(rule_for(Effects::READ, at(3_600)), Some(RuleId(3)));
    assert_eq!(rule_for(Effects::WRITE, at(0)), None);
    let none = terms(&[], &alice, &orders, Effects::READ, at(0));
    assert_eq!((none.approvals, none.extendable, none.record_values), (1, false, true));
    assert_eq!(none.max_duration.seconds(), 8 * 3_600);
}

#[test]
fn no_rule_grants_writes_at_once() {
    let both = Effects::WRITE;
    let bad = Rule { effects: both, ..rule(1) };
    assert_eq!(check_rule(&bad), Err(RuleError::WritesAtOnce));
    // Even if one found its way into the store.
    assert_eq!(terms(&[bad], &almighty("alice"), &name("orders"), both, at(0)).approvals, 1);
    assert_eq!(check_rule(&Rule { effects: Effects::default(), ..rule(1) }), Err(RuleError::NoEffects));
    assert_eq!(check_rule(&Rule { approvals: 11, ..rule(1) }), Err(RuleError::TooManyApprovals(11)));
    assert_eq!(
        check_rule(&Rule { hours: Some(Hours { from_minute: 5, to_minute: 5 }), ..rule(1) }),
        Err(RuleError::Hours)
    );
    assert_eq!(check_rule(&rule(1)), Ok(()));
}

/// One try by one of four people, each with every role, after some time.
#[derive(Debug, Clone, Copy)]
enum Try {
    Approve,
    Deny,
    Withdraw,
    Lapse,
    Use,
    Extend(u32),
    Narrow,
    Revoke,
    Expire,
    Review,
}

fn tries() -> impl Strategy<Value = Vec<(Try, usize, i64)>> {
    let one = prop_oneof![
        6 => Just(Try::Approve),
        1 => Just(Try::Deny),
        1 => Just(Try::Withdraw),
        1 => Just(Try::Lapse),
        3 => Just(Try::Use),
        3 => (1_u32..9_000).prop_map(Try::Extend),
        1 => Just(Try::Narrow),
        1 => Just(Try::Revoke),
        2 => Just(Try::Expire),
        1 => Just(Try::Review),
    ];
    prop::collection::vec((one, 0_usize..4, 0_i64..3_000), 1..40)
}

/// Carries out one try; a refusal changes nothing.
fn carry_out(what: Try, who: &Principal, now: Timestamp, request: &mut AccessRequest, grant: &mut Option<Grant>) {
    let decided = match what {
        Try::Approve => approve(request, who, now).ok(),
        Try::Deny => deny(request, who, "no", now).ok().map(|after| (after, None)),
        Try::Withdraw => withdraw(request, who, now).ok().map(|after| (after, None)),
        Try::Lapse => lapse(request, now).ok().map(|after| (after, None)),
        _ => None,
    };
    if let Some((after, made)) = decided {
        *request = after;
        if let Some(made) = made {
            assert!(grant.is_none(), "a second grant of one request");
            *grant = Some(made);
        }
    }
    let Some(held) = grant.as_ref() else { return };
    let after = match what {
        Try::Use => take_into_use(held, now),
        Try::Extend(seconds) => extend(held, who, Span::from_seconds(seconds), now),
        Try::Narrow => narrow(held, who, None, Some(Effects::READ), now),
        Try::Revoke => revoke(held, who, now),
        Try::Expire => expire(held, now),
        Try::Review => review(held, who, "seen"),
        _ => return,
    };
    if let Ok(after) = after {
        assert!(held.state.is_live() || !after.state.is_live(), "an ended grant came back");
        *grant = Some(after);
    }
}

proptest! {
    #[test]
    fn no_sequence_of_acts_leads_to_a_grant_without_enough_other_people(needed in 1_u8..4, acts in tries()) {
        let people = ["alice", "bob", "carol", "dave"].map(almighty);
        let (mut request, mut grant) = (pending(needed), None);
        let mut now = Timestamp(0);
        for (what, who, seconds) in acts {
            now = Timestamp(now.0 + seconds * 1_000_000);
            carry_out(what, &people[who], now, &mut request, &mut grant);
            if grant.is_some() {
                let mut others: Vec<&str> = request.approvals.iter().map(|yes| yes.approver.as_str()).collect();
                others.sort_unstable();
                others.dedup();
                others.retain(|other| *other != "alice");
                prop_assert!(others.len() >= usize::from(needed));
                prop_assert_eq!(request.state, RequestState::Approved);
            }
        }
    }

    #[test]
    fn the_end_is_fixed_at_approval_and_only_the_one_extension_moves_it(acts in tries()) {
        let people = ["alice", "bob", "carol", "dave"].map(almighty);
        let (mut request, mut grant) = (pending(1), None);
        let mut now = Timestamp(0);
        let mut moves = 0;
        for (what, who, seconds) in acts {
            now = Timestamp(now.0 + seconds * 1_000_000);
            let before: Option<Grant> = grant.clone();
            carry_out(what, &people[who], now, &mut request, &mut grant);
            if let (Some(before), Some(after)) = (before, grant.as_ref()) {
                if before.ends_at != after.ends_at {
                    moves += 1;
                    prop_assert!(matches!(what, Try::Extend(_)) && who == 0);
                }
                prop_assert!(after.ends_at <= after.granted_at.plus(Span::from_seconds(7_200)));
                prop_assert!(after.effects.within(before.effects));
            }
        }
        prop_assert!(moves <= 1);
    }
}
