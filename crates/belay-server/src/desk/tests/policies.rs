use super::*;
use crate::desk::Question;
use crate::policy_files::PolicyFiles;
use belay_access::{Answer, Change as Nearest};
use belay_model::{EventKind, RequestState};

const NO_PAYROLL: &str = r#"@id("no-payroll") @reason("payroll is closed")
forbid (principal, action, resource in Schema::"orders/payroll");"#;
const AT_ONCE: &str = r#"@id("support-at-once") @reason("support helps customers")
permit (principal in Group::"support", action == Action::"GrantAtOnce", resource in Target::"orders")
when { context.duration <= duration("2h") };"#;

/// The office of [`Office::open`], with this policy file beside the default policy, and erin of the group `support`.
async fn office(policy: &str) -> Office {
    let mut office = Office::open().await;
    let dir = office.path().join("policies");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("own.cedar"), policy).unwrap();
    let files = PolicyFiles { dir: Some(dir), default: true };
    let loaded = files.load().unwrap();
    let desk = Arc::into_inner(office.desk).unwrap().under(files, loaded);
    desk.record_policies().await.unwrap();
    office.desk = Arc::new(desk);
    let groups = vec![name("support")];
    let erin = NewUser { name: name("erin"), password: None, roles: vec![Role::Requester], groups };
    office.desk.add_user(&Office::admin(), erin).await.unwrap();
    office
}

fn erin() -> Caller {
    caller("erin", &[Role::Requester])
}

fn question(about: &str) -> Question {
    Question {
        about: name(about),
        target: name("orders"),
        resources: Vec::new(),
        effects: Effects::READ,
        duration: "1h".parse().unwrap(),
        reason: String::new(),
        break_glass: false,
        groups: Vec::new(),
        at: None,
    }
}

impl Office {
    fn last(&self, word: &str) -> EventKind {
        let events = self.book.events.lock().unwrap();
        events.iter().rev().find(|event| event.kind.word() == word).unwrap().kind.clone()
    }
}

#[tokio::test]
async fn what_a_policy_forbids_is_not_asked_and_the_ledger_names_the_policy() {
    let office = office(NO_PAYROLL).await;
    let refused = office.desk.request(&alice(), wish("1h")).await.unwrap_err();
    let text = "policy `no-payroll` forbids `alice` to ask for read on `orders/payroll.*`: payroll is closed";
    assert_eq!(refused.to_string(), text);
    assert!(matches!(refused, DeskError::Denied { .. }));
    let EventKind::RequestRefused { because, policies, .. } = office.last("request_refused") else { panic!() };
    assert_eq!((because.as_str(), policies[0].policy.as_str()), (text, "no-payroll"));
    assert_eq!(office.book.count("request_made"), 0);
    let elsewhere = Wish { resources: vec!["public.*".parse().unwrap()], ..wish("1h") };
    let made = office.desk.request(&alice(), elsewhere).await.unwrap().request;
    assert_eq!((made.state, made.approvals_needed), (RequestState::Pending, 1));
    let EventKind::RequestMade { policies, .. } = office.last("request_made") else { panic!() };
    assert_eq!(policies[0].policy, "requester-asks");
    office.desk.approve(&bob(), &made.id.to_string()).await.unwrap();
    let EventKind::RequestApproved { policies, .. } = office.last("request_approved") else { panic!() };
    assert_eq!(policies[0].policy, "approver-approves");
}

#[tokio::test]
async fn a_policy_grants_at_once_and_is_named() {
    let office = office(AT_ONCE).await;
    assert!(office.desk.request(&erin(), wish("2h")).await.unwrap().grant.is_some());
    let EventKind::RequestMade { policies, .. } = office.last("request_made") else { panic!() };
    let ids: Vec<_> = policies.iter().map(|deciding| deciding.policy.as_str()).collect();
    assert_eq!(ids, ["requester-asks", "support-at-once"]);
    assert!(office.desk.request(&erin(), wish("3h")).await.unwrap().grant.is_none());
    assert!(office.desk.request(&alice(), wish("1h")).await.unwrap().grant.is_none());
}

#[tokio::test]
async fn no_policy_lets_anybody_approve_their_own_or_without_the_role() {
    let office =
        office(r#"@id("everybody") @reason("too kind") permit (principal, action == Action::"Approve", resource);"#)
            .await;
    let own = office.desk.request(&bob(), wish("1h")).await.unwrap().request.id.to_string();
    let refused = office.desk.approve(&bob(), &own).await.unwrap_err();
    assert_eq!(refused.to_string(), "nobody may decide on requests of their own");
    assert!(office.desk.approve(&dave(), &own).await.is_err());
    assert!(office.desk.approve(&carol(), &own).await.unwrap().grant.is_some());
}

#[tokio::test]
async fn a_policy_keeps_an_approver_from_approving_and_the_request_waits_on() {
    let office = office(
        r#"@id("carol-only") @reason("carol knows these") forbid (principal, action == Action::"Approve", resource)
        unless { principal == User::"carol" };"#,
    )
    .await;
    let id = office.desk.request(&alice(), wish("1h")).await.unwrap().request.id.to_string();
    assert!(office.desk.approve(&bob(), &id).await.is_err());
    let EventKind::ApprovalRefused { policies, .. } = office.last("approval_refused") else { panic!() };
    assert_eq!(policies[0].policy, "carol-only");
    let seen = office.desk.request_of(&alice(), &id).await.unwrap().request;
    assert_eq!((seen.state, seen.approvals.len()), (RequestState::Pending, 0));
    assert!(office.desk.approve(&carol(), &id).await.unwrap().grant.is_some());
}

#[tokio::test]
async fn an_evaluation_error_denies_in_an_emergency_too() {
    let office = office(
        r#"@id("overflows") @reason("too clever")
        forbid (principal, action, resource) when { context.duration.toSeconds() + 9223372036854775807 < 0 };"#,
    )
    .await;
    office.add_user(&Office::admin(), "frank", &[Role::BreakGlass]).await;
    let refused = office.desk.request(&alice(), wish("1h")).await.unwrap_err();
    assert_eq!(refused.to_string(), "denied, because policy `overflows` cannot be evaluated");
    assert!(office.desk.break_glass(&caller("frank", &[Role::BreakGlass]), wish("30m")).await.is_err());
    assert_eq!(office.book.count("request_refused"), 2);
    assert!(office.desk.live_grants().await.unwrap().is_empty());
}

#[tokio::test]
async fn policies_are_read_again_when_an_administrator_says_so_and_wrong_ones_change_nothing() {
    let office = office(AT_ONCE).await;
    assert_eq!(office.book.count("policy_changed"), 1);
    let file = office.path().join("policies/own.cedar");
    std::fs::write(&file, NO_PAYROLL).unwrap();
    assert!(office.desk.reload_policies(&alice()).await.is_err());
    let ids = |policies: Vec<belay_access::Described>| policies.into_iter().map(|known| known.id).collect::<Vec<_>>();
    let reloaded = ids(office.desk.reload_policies(&Office::admin()).await.unwrap());
    assert_eq!(reloaded.last().unwrap(), "no-payroll");
    assert_eq!(office.book.count("policy_changed"), 2);
    office.desk.reload_policies(&Office::admin()).await.unwrap();
    assert_eq!(office.book.count("policy_changed"), 2, "the same texts are no change");
    std::fs::write(&file, "\nforbid (principal, action, resource);").unwrap();
    let wrong = office.desk.reload_policies(&Office::admin()).await.unwrap_err();
    assert!(wrong.to_string().contains("own.cedar:2: a policy needs an id"), "{wrong}");
    assert_eq!(ids(office.desk.policies(&alice()).unwrap()), reloaded);
    std::fs::write(&file, AT_ONCE).unwrap();
    office.book.set_down(true);
    assert_eq!(office.desk.reload_policies(&Office::admin()).await.unwrap_err(), DeskError::LedgerDown);
    assert_eq!(ids(office.desk.policies(&alice()).unwrap()), reloaded, "what is not recorded is not in force");
}

#[tokio::test]
async fn people_ask_what_they_can_and_approvers_what_others_can() {
    let office = office(AT_ONCE).await;
    let own = office.desk.can(&alice(), question("alice")).await.unwrap();
    assert_eq!(own.answer.approvals(), Some(1));
    assert_eq!(own.nearest.unwrap().change, Nearest::Group(name("support")));
    assert!(office.desk.can(&alice(), question("erin")).await.is_err());
    assert_eq!(office.desk.can(&bob(), question("erin")).await.unwrap().answer, Answer::AtOnce);
    let as_if = Question { groups: vec![name("support")], ..question("alice") };
    assert_eq!(office.desk.can(&bob(), as_if).await.unwrap().answer, Answer::AtOnce);
    let write = Question { effects: Effects::WRITE, ..question("erin") };
    let planned = office.desk.can(&bob(), write).await.unwrap();
    assert_eq!((planned.answer.approvals(), planned.nearest.unwrap().change), (Some(1), Nearest::Reads));
    let direct = office.desk.can(&bob(), Question { effects: Effects::DIRECT, ..question("erin") }).await.unwrap();
    assert_eq!((direct.answer, direct.nearest.unwrap().change), (Answer::No, Nearest::Reads));
    let all = office.desk.can(&bob(), Question { effects: Effects::ALL, ..question("erin") }).await.unwrap();
    assert_eq!((all.answer, all.because[0].by.as_str()), (Answer::No, "belay"));
    assert!(matches!(office.desk.can(&bob(), question("nobody")).await, Err(DeskError::NotFound { kind: "user", .. })));
    assert_eq!(office.book.count("request_made") + office.book.count("request_refused"), 0, "asking leaves no trace");
}
