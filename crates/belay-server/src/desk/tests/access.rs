use super::*;
use crate::desk::Listing;
use belay_model::{EndReason, GrantState, RequestState};
use belay_policy::BREAK_GLASS_MOST;

#[tokio::test]
async fn a_request_approved_by_somebody_else_becomes_a_grant_and_is_announced() {
    let office = Office::open().await;
    let mut changes = office.desk.changes();
    let RequestView { request, grant, .. } = office.desk.request(&alice(), wish("1h")).await.unwrap();
    assert_eq!((request.state, request.approvals_needed, grant), (RequestState::Pending, 1, None));
    let approved = office.desk.approve(&bob(), &request.id.to_string()).await.unwrap();
    let grant = approved.grant.unwrap();
    assert_eq!(approved.request.state, RequestState::Approved);
    assert_eq!(grant.ends_at, office.clock.now().plus("1h".parse().unwrap()));
    assert!(matches!(changes.recv().await.unwrap(), Change::Request(_)));
    assert!(matches!(changes.recv().await.unwrap(), Change::Request(_)));
    assert!(matches!(changes.recv().await.unwrap(), Change::Granted(made) if *made == grant));
    let words = office.book.words();
    assert_eq!(words[words.len() - 3..], ["request_made", "request_approved", "grant_made"]);
    let seen = office.desk.grants(&alice(), Listing::default()).await.unwrap();
    assert_eq!((seen.len(), seen[0].reason.as_str(), seen[0].token_id.as_ref()), (1, "INC-1", None));
}

#[tokio::test]
async fn an_administrator_cannot_approve_their_own_request() {
    let office = Office::open().await;
    let made = office.desk.request(&Office::admin(), wish("1h")).await.unwrap();
    let refused = office.desk.approve(&Office::admin(), &made.request.id.to_string()).await.unwrap_err();
    assert!(matches!(refused, DeskError::Denied { .. }), "{refused}");
    assert_eq!(refused.to_string(), "nobody may decide on requests of their own");
    assert!(office.desk.live_grants().await.unwrap().is_empty());
    assert_eq!(office.book.count("request_approved"), 0);
}

#[tokio::test]
async fn roles_count_as_the_store_has_them_not_as_the_caller_brings_them() {
    let office = Office::open().await;
    let made = office.desk.request(&alice(), wish("1h")).await.unwrap();
    let pretender = caller("dave", &Role::ALL);
    assert!(office.desk.approve(&pretender, &made.request.id.to_string()).await.is_err());
    let stranger = caller("nobody", &Role::ALL);
    assert_eq!(office.desk.request(&stranger, wish("1h")).await.unwrap_err(), DeskError::Unauthenticated);
}

#[tokio::test]
async fn two_approvers_at_once_make_one_grant_of_two_approvals() {
    let office = Office::open().await;
    office.desk.add_rule(&Office::admin(), rule(2)).await.unwrap();
    for _ in 0..20 {
        let id = office.desk.request(&alice(), wish("1h")).await.unwrap().request.id.to_string();
        let (bobs, carols) = (bob(), carol());
        let (one, other) = tokio::join!(office.desk.approve(&bobs, &id), office.desk.approve(&carols, &id));
        let grants = [one.unwrap().grant, other.unwrap().grant];
        assert_eq!(grants.iter().flatten().count(), 1);
        let seen = office.desk.request_of(&alice(), &id).await.unwrap();
        assert_eq!((seen.request.approvals.len(), seen.request.state), (2, RequestState::Approved));
    }
}

#[tokio::test]
async fn the_same_approver_twice_at_once_counts_once() {
    let office = Office::open().await;
    office.desk.add_rule(&Office::admin(), rule(2)).await.unwrap();
    let id = office.desk.request(&alice(), wish("1h")).await.unwrap().request.id.to_string();
    let bobs = bob();
    let (one, other) = tokio::join!(office.desk.approve(&bobs, &id), office.desk.approve(&bobs, &id));
    assert!(one.is_ok() != other.is_ok());
    assert!(office.desk.live_grants().await.unwrap().is_empty());
}

#[tokio::test]
async fn approval_and_withdrawal_at_once_leave_one_outcome() {
    let office = Office::open().await;
    for _ in 0..20 {
        let id = office.desk.request(&alice(), wish("1h")).await.unwrap().request.id.to_string();
        let (alices, bobs) = (alice(), bob());
        let (yes, back) = tokio::join!(office.desk.approve(&bobs, &id), office.desk.withdraw(&alices, &id));
        assert!(yes.is_ok() != back.is_ok());
    }
}

#[tokio::test]
async fn an_approver_who_loses_the_role_takes_their_pending_approvals_along() {
    let office = Office::open().await;
    office.desk.add_rule(&Office::admin(), rule(2)).await.unwrap();
    let id = office.desk.request(&alice(), wish("1h")).await.unwrap().request.id.to_string();
    office.desk.approve(&bob(), &id).await.unwrap();
    let change = crate::desk::UserChange { disabled: Some(true), ..Default::default() };
    office.desk.change_user(&Office::admin(), "bob", change).await.unwrap();
    let after = office.desk.approve(&carol(), &id).await.unwrap();
    assert_eq!((after.grant, after.request.approvals.len()), (None, 1));
}

#[tokio::test]
async fn a_rule_without_approvals_grants_reads_at_once_and_never_writes() {
    let office = Office::open().await;
    let admin = Office::admin();
    let writes = NewRule { effects: Effects::WRITE, ..rule(0) };
    let refused = office.desk.add_rule(&admin, writes).await.unwrap_err();
    assert!(matches!(refused, DeskError::Invalid { field: "approvals", .. }));
    office.desk.add_rule(&admin, rule(0)).await.unwrap();
    let view = office.desk.request(&alice(), wish("2h")).await.unwrap();
    let grant = view.grant.unwrap();
    assert_eq!((grant.state, grant.extendable, grant.record_values), (GrantState::Ready, true, false));
    let too_long = office.desk.request(&alice(), wish("3h")).await.unwrap_err();
    assert_eq!(too_long.to_string(), "`3h` is longer than the 2h allowed here");
}

#[tokio::test]
async fn planned_writes_need_an_approval_and_writes_at_once_a_rule_or_an_emergency() {
    let office = Office::open().await;
    office.add_user(&Office::admin(), "erin", &[Role::BreakGlass]).await;
    let planned = office.desk.request(&alice(), Wish { effects: Effects::WRITE, ..wish("1h") }).await.unwrap();
    assert!(planned.grant.is_none());
    let direct = Wish { effects: Effects::DIRECT, ..wish("1h") };
    let refused = office.desk.request(&alice(), direct.clone()).await.unwrap_err();
    assert_eq!(refused.to_string(), "no rule lets you ask for `direct` on orders");
    let taken = office.desk.break_glass(&caller("erin", &[Role::BreakGlass]), direct.clone()).await.unwrap();
    assert_eq!(taken.grant.unwrap().effects, Effects::DIRECT);
    let rule = NewRule { effects: Effects::DIRECT, ..rule(1) };
    assert_eq!(office.desk.add_rule(&Office::admin(), rule).await.unwrap().effects, Effects::DIRECT);
    let asked = office.desk.request(&alice(), direct).await.unwrap();
    let grant = office.desk.approve(&bob(), &asked.request.id.to_string()).await.unwrap().grant.unwrap();
    assert_eq!((asked.request.effects, grant.effects), (Effects::DIRECT, Effects::DIRECT));
    assert_eq!(office.desk.grant(grant.id).await.unwrap().unwrap().effects, Effects::DIRECT);
}

#[tokio::test]
async fn a_table_that_is_written_is_granted_whole() {
    let office = Office::open().await;
    let mask = belay_model::Mask { column: "app.people.email".parse().unwrap(), kind: belay_model::MaskKind::Null };
    let mask = super::NewMask { target: name("orders"), mask };
    office.desk.add_mask(&Office::admin(), mask).await.unwrap();
    let write =
        |resource: &str| Wish { effects: Effects::WRITE, resources: vec![resource.parse().unwrap()], ..wish("1h") };
    for (resource, why) in [
        ("app.orders.status", "`app.orders.status` is one column"),
        ("app.people", "`app.people.email` is masked"),
        ("orders_prod/app.*", "`app.people.email` is masked"),
        ("*.*", "`app.people.email` is masked"),
    ] {
        let refused = office.desk.request(&alice(), write(resource)).await.unwrap_err();
        assert!(matches!(refused, DeskError::Infeasible { .. }), "{refused}");
        let text = format!("a table that is written has to be granted whole, and {why}");
        assert_eq!(refused.to_string(), text, "{resource}");
    }
    let rows = vec![belay_model::RowFilter { table: "app.orders".parse().unwrap(), predicate: "id = 7".to_owned() }];
    let bounds = belay_model::Bounds { rows, ..belay_model::Bounds::default() };
    let refused = office.desk.request(&alice(), Wish { bounds, ..write("app.orders") }).await.unwrap_err();
    assert!(refused.to_string().ends_with("of `app.orders` only some rows are asked for"), "{refused}");
    office.desk.request(&alice(), write("app.orders")).await.unwrap();
    office.desk.request(&alice(), write("other/app.*")).await.unwrap();
}

#[tokio::test]
async fn the_id_of_a_token_changes_with_each_claim_and_tells_nothing_of_the_secret() {
    let office = Office::open().await;
    let grant = office.granted().await.id.to_string();
    assert_eq!(office.desk.grant_of(&alice(), &grant).await.unwrap().token_id, None);
    let first = office.desk.claim_token(&alice(), &grant).await.unwrap();
    let seen = office.desk.grant_of(&alice(), &grant).await.unwrap();
    assert_eq!(seen.token_id.as_deref(), Some(first.token_id.as_str()));
    assert_eq!(first.token_id.len(), 8);
    assert!(!first.secret.reveal().contains(&first.token_id));
    let second = office.desk.claim_token(&alice(), &grant).await.unwrap();
    assert_ne!(second.token_id, first.token_id);
    let listed = office.desk.grants(&alice(), Listing::default()).await.unwrap();
    assert_eq!(listed[0].token_id, Some(second.token_id));
}

#[tokio::test]
async fn nothing_changes_while_the_ledger_is_down_except_what_takes_rights_away() {
    let office = Office::open().await;
    let grant = office.granted().await;
    let pending = office.desk.request(&alice(), wish("1h")).await.unwrap().request.id.to_string();
    office.book.set_down(true);
    assert_eq!(office.desk.request(&alice(), wish("1h")).await.unwrap_err(), DeskError::LedgerDown);
    assert_eq!(office.desk.approve(&bob(), &pending).await.unwrap_err(), DeskError::LedgerDown);
    let claim = office.desk.claim_token(&alice(), &grant.id.to_string()).await.unwrap_err();
    assert_eq!(claim, DeskError::LedgerDown);
    assert_eq!(office.desk.requests(&alice(), Listing::default()).await.unwrap().len(), 1);
    assert_eq!(office.desk.live_grants().await.unwrap().len(), 1);
    let revoked = office.desk.revoke(&bob(), &grant.id.to_string()).await.unwrap();
    assert_eq!(revoked.grant.state, GrantState::Revoked);
    assert_eq!(office.book.count("grant_ended"), 0);
    office.book.set_down(false);
    office.desk.pass_time().await.unwrap();
    office.desk.pass_time().await.unwrap();
    assert_eq!(office.book.count("grant_ended"), 1, "the owed event is recorded once the ledger is back");
}

#[tokio::test]
async fn time_lapses_requests_and_grants_and_ends_used_grants_at_their_end() {
    let office = Office::open().await;
    let unused = office.granted().await;
    let used = office.granted().await;
    let mut changes = office.desk.changes();
    office.desk.open_session(used.id).await.unwrap();
    office.desk.request(&alice(), wish("1h")).await.unwrap();
    assert_eq!(office.desk.pass_time().await.unwrap(), 0);
    let next = office.desk.next_due().await.unwrap().unwrap();
    assert_eq!(next, used.ends_at);
    office.pass(3_600);
    assert_eq!(office.desk.pass_time().await.unwrap(), 2);
    let state = async |id| office.desk.grant(id).await.unwrap().unwrap().state;
    assert_eq!((state(unused.id).await, state(used.id).await), (GrantState::Lapsed, GrantState::Expired));
    assert!(office.desk.open_sessions().await.unwrap().is_empty());
    assert!(office.desk.open_session(used.id).await.is_err());
    office.pass(86_400);
    assert_eq!(office.desk.pass_time().await.unwrap(), 1);
    assert_eq!(office.desk.next_due().await.unwrap(), None);
    let mut ended = 0;
    while let Ok(change) = changes.try_recv() {
        ended += usize::from(matches!(change, Change::Ended(_, EndReason::Expired)));
    }
    assert_eq!(ended, 2);
    assert_eq!((office.book.count("request_lapsed"), office.book.count("session_ended")), (1, 1));
}

#[tokio::test]
async fn a_grant_past_its_end_lets_nobody_in_even_before_the_expiry_task_has_run() {
    let office = Office::open().await;
    let grant = office.granted().await;
    office.desk.open_session(grant.id).await.unwrap();
    office.pass(3_600);
    assert!(matches!(office.desk.open_session(grant.id).await, Err(DeskError::Conflict { .. })));
    assert!(office.desk.claim_token(&alice(), &grant.id.to_string()).await.is_err());
}

#[tokio::test]
async fn an_extension_moves_the_end_once_and_narrowing_tells_the_gateway() {
    let office = Office::open().await;
    office.desk.add_rule(&Office::admin(), rule(1)).await.unwrap();
    let grant = office.granted().await;
    let id = grant.id.to_string();
    let mut changes = office.desk.changes();
    let hour = "1h".parse().unwrap();
    let extended = office.desk.extend(&alice(), &id, hour).await.unwrap().grant;
    assert_eq!(extended.ends_at, grant.ends_at.plus(hour));
    assert!(office.desk.extend(&alice(), &id, hour).await.is_err());
    let one = vec!["public.orders".parse().unwrap()];
    let narrowed = office.desk.narrow(&alice(), &id, Some(one.clone()), None).await.unwrap().grant;
    assert_eq!(narrowed.resources, one);
    assert_eq!(office.desk.grant(grant.id).await.unwrap().unwrap(), narrowed);
    assert!(matches!(changes.recv().await.unwrap(), Change::Extended(_)));
    assert!(matches!(changes.recv().await.unwrap(), Change::Narrowed(_)));
}

#[tokio::test]
async fn break_glass_is_at_once_for_an_hour_and_owes_a_review_by_another_approver() {
    let office = Office::open().await;
    let admin = Office::admin();
    assert!(matches!(office.desk.break_glass(&bob(), wish("1h")).await, Err(DeskError::Denied { .. })));
    office.add_user(&admin, "erin", &[Role::BreakGlass, Role::Approver]).await;
    let erin = caller("erin", &[Role::BreakGlass, Role::Approver]);
    assert!(office.desk.break_glass(&erin, wish("2h")).await.is_err());
    let grant = office.desk.break_glass(&erin, wish("1h")).await.unwrap().grant.unwrap();
    assert_eq!(grant.ends_at, grant.granted_at.plus(BREAK_GLASS_MOST));
    let id = grant.id.to_string();
    assert!(matches!(office.desk.review(&bob(), &id, "too early").await, Err(DeskError::Conflict { .. })));
    office.desk.revoke(&erin, &id).await.unwrap();
    assert!(office.desk.review(&erin, &id, "my own").await.is_err());
    let reviewed = office.desk.review(&bob(), &id, "was needed").await.unwrap();
    assert_eq!(reviewed.grant.reviewed_by, Some(name("bob")));
    assert!(office.desk.review(&carol(), &id, "again").await.is_err());
}

#[tokio::test]
async fn people_see_their_own_things_and_approvers_see_all() {
    let office = Office::open().await;
    let grant = office.granted().await;
    let (request, id) = (grant.request.to_string(), grant.id.to_string());
    assert!(matches!(office.desk.request_of(&dave(), &request).await, Err(DeskError::NotFound { .. })));
    assert!(matches!(office.desk.revoke(&dave(), &id).await, Err(DeskError::NotFound { .. })));
    assert!(matches!(office.desk.claim_token(&bob(), &id).await, Err(DeskError::Denied { .. })));
    let all = Listing { all: true, mine: false };
    assert_eq!(office.desk.grants(&dave(), all).await.unwrap().len(), 0);
    assert_eq!(office.desk.requests(&dave(), all).await.unwrap().len(), 0);
    assert_eq!(office.desk.grants(&bob(), all).await.unwrap().len(), 1);
    assert_eq!(office.desk.grants(&bob(), Listing { all: true, mine: true }).await.unwrap().len(), 0);
    let revoked = office.desk.revoke(&alice(), &id).await.unwrap();
    assert_eq!(revoked.ended_by, Some(name("alice")));
    assert!(matches!(office.desk.revoke(&alice(), &id).await, Err(DeskError::Conflict { .. })));
}
