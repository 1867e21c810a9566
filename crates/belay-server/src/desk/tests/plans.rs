//! Plans and changes at the desk.

use super::super::{NewPlan, Origin, RevertOf};
use super::*;
use belay_change::{ChangeSet, Column, Generated, Means, Table, TableChange};
use belay_engine::Outcome;
use belay_model::{ChangeState, Grant, Plan, PlanState};

pub(super) fn set(fingerprint: &str) -> ChangeSet {
    let column = Column { name: "id".to_owned(), type_name: "integer".to_owned(), generated: Generated::No };
    let table =
        Table { oid: 1, schema: "app".to_owned(), name: "orders".to_owned(), columns: vec![column], key: vec![0] };
    let change = TableChange {
        table,
        inserted: 1,
        updated: 2,
        deleted: 0,
        indirect: false,
        means: Means::Key,
        volatile: Vec::new(),
    };
    ChangeSet {
        tables: vec![change],
        fingerprint: fingerprint.to_owned(),
        transaction: Some("77".to_owned()),
        ..ChangeSet::default()
    }
}

pub(super) fn origin(grant: &Grant) -> Origin {
    Origin {
        grant: grant.id,
        session: None,
        connection: None,
        principal: grant.principal.clone(),
        target: grant.target.clone(),
        database: "orders_prod".to_owned(),
        plan: None,
        reverts: Vec::new(),
    }
}

pub(super) fn new<'a>(set: &'a ChangeSet, file: &'a str) -> NewPlan<'a> {
    NewPlan { set, keys: Vec::new(), file, unrepeatable: None, revert: None, replaces: None }
}

/// Alice's grant to write, approved by bob.
pub(super) async fn writer(office: &Office) -> Grant {
    let write = Wish { effects: Effects::WRITE, ..wish("1h") };
    let made = office.desk.request(&alice(), write).await.unwrap();
    office.desk.approve(&bob(), &made.request.id.to_string()).await.unwrap().grant.unwrap()
}

async fn planned(office: &Office, grant: &Grant) -> Plan {
    office.desk.keep_plan(&origin(grant), new(&set("f"), "file")).await.unwrap()
}

pub(super) const DAY: Span = Span::from_seconds(86_400);

#[tokio::test]
async fn a_plan_is_approved_by_somebody_else_and_applied_once() {
    let office = Office::open().await;
    let grant = writer(&office).await;
    let plan = planned(&office, &grant).await;
    let id = plan.id.to_string();
    assert_eq!((plan.state, plan.rows, plan.approvals_needed), (PlanState::Pending, 3, 1));
    let early = office.desk.plan_to_apply(&alice(), &id).await.unwrap_err();
    assert_eq!(early.to_string(), "p_1 waits for 1 more approval");
    assert!(office.desk.approve_plan(&alice(), &id, None).await.is_err(), "it is her own");
    assert!(office.desk.approve_plan(&dave(), &id, None).await.is_err(), "he may not see it");
    let others = office.desk.approve_plan(&bob(), &id, Some("g")).await.unwrap_err();
    assert_eq!(others.to_string(), "these are not the rows of p_1");
    let approved = office.desk.approve_plan(&bob(), &id, Some("f")).await.unwrap();
    assert_eq!((approved.plan.state, approved.missing), (PlanState::Approved, 0));
    let (record, under) = office.desk.plan_to_apply(&alice(), &id).await.unwrap();
    assert_eq!((record.file.as_deref(), under.id), (Some("file"), grant.id));
    let applied = Origin { plan: Some(plan.id), ..origin(&grant) };
    let change = office.desk.keep_change(&applied, (&set("f"), Vec::new()), "other", DAY).await.unwrap();
    let again = office.desk.keep_change(&applied, (&set("f"), Vec::new()), "third", DAY).await.unwrap_err();
    assert_eq!(again.to_string(), "p_1 is being applied already: c_1");
    office.desk.settle_change(change.id, Outcome::Committed).await.unwrap();
    office.desk.settle_change(change.id, Outcome::RolledBack).await.unwrap();
    let kept = office.desk.kept_change(&alice(), "c_1").await.unwrap();
    assert_eq!((kept.change.state, kept.set), (ChangeState::Committed, set("f")), "what is settled stays settled");
    let seen = office.desk.plan(&alice(), &id).await.unwrap().plan;
    assert_eq!((seen.state, seen.applied), (PlanState::Applied, Some(change.id)));
    assert!(office.desk.keep_change(&applied, (&set("f"), Vec::new()), "third", DAY).await.is_err());
    for word in ["plan_made", "plan_approved", "plan_started", "change_kept", "change_committed", "plan_applied"] {
        assert_eq!(office.book.count(word), 1, "{word}");
    }
}

#[tokio::test]
async fn a_plan_whose_first_try_was_rolled_back_can_be_applied_again() {
    let office = Office::open().await;
    let grant = writer(&office).await;
    let plan = planned(&office, &grant).await;
    office.desk.approve_plan(&bob(), "p_1", None).await.unwrap();
    let applied = Origin { plan: Some(plan.id), ..origin(&grant) };
    let change = office.desk.keep_change(&applied, (&set("f"), Vec::new()), "a", DAY).await.unwrap();
    office.desk.settle_change(change.id, Outcome::Unknown).await.unwrap();
    assert_eq!(office.desk.unsettled_changes().await.unwrap().len(), 1);
    office.desk.settle_change(change.id, Outcome::RolledBack).await.unwrap();
    assert!(office.desk.unsettled_changes().await.unwrap().is_empty());
    assert_eq!(office.desk.plan(&alice(), "p_1").await.unwrap().plan.state, PlanState::Approved);
    office.desk.keep_change(&applied, (&set("f"), Vec::new()), "b", DAY).await.unwrap();
}

#[tokio::test]
async fn a_denied_plan_is_never_kept_as_a_change() {
    let office = Office::open().await;
    let grant = writer(&office).await;
    let plan = planned(&office, &grant).await;
    office.desk.approve_plan(&bob(), "p_1", None).await.unwrap();
    let denied = office.desk.deny_plan(&carol(), "p_1", "use the replica").await.unwrap();
    assert_eq!(denied.plan.denial.as_deref(), Some("use the replica"));
    let applied = Origin { plan: Some(plan.id), ..origin(&grant) };
    let refused = office.desk.keep_change(&applied, (&set("f"), Vec::new()), "a", DAY).await.unwrap_err();
    assert_eq!(refused.to_string(), "p_1 is denied already");
}

#[tokio::test]
async fn other_rows_make_another_plan_that_nobody_has_approved() {
    let office = Office::open().await;
    let grant = writer(&office).await;
    let plan = planned(&office, &grant).await;
    let plan = office.desk.approve_plan(&bob(), &plan.id.to_string(), None).await.unwrap().plan;
    let found = set("g");
    let instead = NewPlan { replaces: Some(&plan), ..new(&found, "second") };
    let instead = office.desk.keep_plan(&origin(&grant), instead).await.unwrap();
    assert_eq!((instead.state, instead.fingerprint.as_str()), (PlanState::Pending, "g"));
    let replaced = office.desk.plan(&alice(), "p_1").await.unwrap().plan;
    assert_eq!((replaced.state, replaced.replaced_by), (PlanState::Replaced, Some(instead.id)));
    assert_eq!(office.book.count("plan_differs"), 1);
    let open = office.desk.plans(&bob(), super::super::Listing::default()).await.unwrap();
    assert_eq!(open.iter().map(|view| view.plan.id).collect::<Vec<_>>(), [instead.id]);
}

#[tokio::test]
async fn a_plan_runs_under_a_live_grant_only_and_lapses_after_a_day() {
    let office = Office::open().await;
    let grant = writer(&office).await;
    planned(&office, &grant).await;
    office.desk.approve_plan(&bob(), "p_1", None).await.unwrap();
    office.desk.revoke(&bob(), &grant.id.to_string()).await.unwrap();
    let over = office.desk.plan_to_apply(&alice(), "p_1").await.unwrap_err();
    assert!(matches!(over, DeskError::Over { .. }), "{over}");
    let another = writer(&office).await;
    assert_eq!(office.desk.plan_to_apply(&alice(), "p_1").await.unwrap().1.id, another.id);
    office.pass(86_400);
    office.desk.pass_time().await.unwrap();
    assert_eq!(office.desk.plan(&alice(), "p_1").await.unwrap().plan.state, PlanState::Lapsed);
    assert_eq!(office.book.count("plan_lapsed"), 1);
}

#[tokio::test]
async fn what_is_planned_in_an_emergency_needs_no_approval_and_owes_the_review_of_its_grant() {
    let office = Office::open().await;
    office.add_user(&Office::admin(), "erin", &[Role::BreakGlass]).await;
    let erin = caller("erin", &[Role::BreakGlass]);
    let taken = office.desk.break_glass(&erin, Wish { effects: Effects::WRITE, ..wish("1h") }).await.unwrap();
    let grant = taken.grant.unwrap();
    assert!(grant.break_glass);
    assert_eq!(planned(&office, &grant).await.state, PlanState::Approved);
    office.desk.plan_to_apply(&erin, "p_1").await.unwrap();
}

#[tokio::test]
async fn without_the_ledger_nothing_is_kept_and_so_nothing_committed() {
    let office = Office::open().await;
    let grant = writer(&office).await;
    office.book.set_down(true);
    let plan = office.desk.keep_plan(&origin(&grant), new(&set("f"), "a")).await;
    assert_eq!(plan.unwrap_err(), DeskError::LedgerDown);
    let change = office.desk.keep_change(&origin(&grant), (&set("f"), Vec::new()), "a", DAY).await;
    assert_eq!(change.unwrap_err(), DeskError::LedgerDown);
    assert_eq!(
        office.desk.unsettled_changes().await.unwrap(),
        [],
        "it was never sent, so nobody is asked how it ended"
    );
    office.book.set_down(false);
    let change = office.desk.keep_change(&origin(&grant), (&set("f"), Vec::new()), "a", DAY).await.unwrap();
    office.book.set_down(true);
    office.desk.settle_change(change.id, Outcome::Committed).await.unwrap();
    office.book.set_down(false);
    office.desk.pass_time().await.unwrap();
    assert_eq!(office.book.count("change_committed"), 1, "what the target has done is told later");
}

#[tokio::test]
async fn rows_are_forgotten_when_their_time_is_over_and_nothing_is_open() {
    let office = Office::open().await;
    let grant = writer(&office).await;
    let one = office.desk.keep_change(&origin(&grant), (&set("f"), Vec::new()), "one", DAY).await.unwrap();
    office.desk.keep_change(&origin(&grant), (&set("f"), Vec::new()), "two", DAY).await.unwrap();
    office.desk.settle_change(one.id, Outcome::Committed).await.unwrap();
    assert!(office.desk.forget_change_files(DAY).await.unwrap().is_empty());
    office.pass(86_400);
    assert_eq!(office.desk.forget_change_files(DAY).await.unwrap(), ["one"], "the other is not settled");
    assert_eq!(office.desk.change_files().await.unwrap(), ["two"]);
    assert!(!office.desk.kept_change(&alice(), "c_1").await.unwrap().rows_kept);
    let gone = office.desk.changes_to_revert(&alice(), &RevertOf::Named("c_1".to_owned()), None).await.unwrap_err();
    assert_eq!(gone.to_string(), "the rows of c_1 are not kept any more");
}

#[tokio::test]
async fn what_is_in_a_targets_trash_is_not_forgotten_before_it_is_emptied() {
    let office = Office::open().await;
    let grant = writer(&office).await;
    let mut dropped = set("f");
    dropped.tables[0].means = belay_change::Means::Trash;
    let change = office.desk.keep_change(&origin(&grant), (&dropped, Vec::new()), "one", DAY).await.unwrap();
    office.desk.settle_change(change.id, Outcome::Committed).await.unwrap();
    assert!(office.desk.due_trash().await.unwrap().is_empty());
    office.pass(86_400);
    assert!(office.desk.forget_change_files(DAY).await.unwrap().is_empty());
    let due = office.desk.due_trash().await.unwrap();
    assert_eq!(
        due.iter().map(|(change, _, file)| (change.id, file.as_str())).collect::<Vec<_>>(),
        [(change.id, "one")]
    );
    office.desk.trash_emptied(change.id).await.unwrap();
    assert!(office.desk.due_trash().await.unwrap().is_empty());
    assert!(office.desk.change_files().await.unwrap().is_empty());
}

#[tokio::test]
async fn giving_back_needs_nobody_only_under_a_direct_grant_of_every_table() {
    let office = Office::open().await;
    let grant = writer(&office).await;
    let change = office.desk.keep_change(&origin(&grant), (&set("f"), Vec::new()), "one", DAY).await.unwrap();
    assert!(
        office.desk.changes_to_revert(&alice(), &RevertOf::Named("c_1".to_owned()), None).await.is_err(),
        "it is not committed"
    );
    office.desk.settle_change(change.id, Outcome::Committed).await.unwrap();
    let found = office.desk.changes_to_revert(&alice(), &RevertOf::Named("c_1".to_owned()), None).await.unwrap();
    assert_eq!((found.changes.len(), found.parts[0].1.as_str()), (1, "one"));
    assert!(office.desk.changes_to_revert(&dave(), &RevertOf::Named("c_1".to_owned()), None).await.is_err());
    assert_eq!(office.desk.revert_at_once(&alice(), &found.changes[0], &found.parts[0].0).await.unwrap(), None);
    let rule = NewRule { effects: Effects::DIRECT, ..rule(1) };
    office.desk.add_rule(&Office::admin(), rule).await.unwrap();
    for (table, enough) in [("app.refunds", false), ("app.*", true)] {
        let direct = Wish { effects: Effects::DIRECT, resources: vec![table.parse().unwrap()], ..wish("1h") };
        let asked = office.desk.request(&alice(), direct).await.unwrap();
        office.desk.approve(&bob(), &asked.request.id.to_string()).await.unwrap();
        let at_once = office.desk.revert_at_once(&alice(), &found.changes[0], &found.parts[0].0).await.unwrap();
        assert_eq!(at_once.is_some(), enough, "{table}");
    }
    let back = Origin { reverts: vec![change.id], ..origin(&grant) };
    let back = office.desk.keep_change(&back, (&set("g"), Vec::new()), "two", DAY).await.unwrap();
    assert!(office.desk.kept_change(&alice(), "c_1").await.unwrap().reverted_by.is_empty());
    office.desk.settle_change(back.id, Outcome::Committed).await.unwrap();
    assert_eq!(office.desk.kept_change(&alice(), "c_1").await.unwrap().reverted_by, [back.id]);
    assert_eq!(office.book.count("change_reverted"), 1);
}
