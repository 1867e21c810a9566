use super::*;
use crate::desk::Listing;
use belay_engine::ControlFailure;
use belay_model::{Budgets, EventKind, Mask, MaskKind, Resource, RowFilter};

fn mask(column: &str, kind: MaskKind) -> NewMask {
    NewMask { target: name("orders"), mask: Mask { column: column.parse().unwrap(), kind } }
}

fn everything() -> Wish {
    Wish { effects: Effects::ALL, ..wish("1h") }
}

#[tokio::test]
async fn bounds_go_from_the_wish_into_the_request_the_grant_and_the_ledger() {
    let office = Office::open().await;
    let mut bounded = wish("1h");
    bounded.resources = vec!["app.orders".parse().unwrap()];
    bounded.bounds.functions = vec!["app.f(int)".parse().unwrap()];
    bounded.bounds.rows =
        vec![RowFilter { table: "app.orders".parse().unwrap(), predicate: "customer_id = 7".to_owned() }];
    bounded.bounds.budgets = Budgets { rows: Some(100), ..Budgets::default() };
    let made = office.desk.request(&alice(), bounded.clone()).await.unwrap();
    assert_eq!(made.request.bounds, bounded.bounds);
    let grant = office.desk.approve(&bob(), &made.request.id.to_string()).await.unwrap().grant.unwrap();
    assert_eq!(office.desk.grant(grant.id).await.unwrap().unwrap().bounds, bounded.bounds);
    let events = office.book.events.lock().unwrap();
    let recorded = events.iter().find_map(|event| match &event.kind {
        EventKind::RequestMade { bounds, .. } => Some(bounds.clone()),
        _ => None,
    });
    assert_eq!(recorded, Some(bounded.bounds));
}

#[tokio::test]
async fn what_the_target_cannot_keep_is_refused_and_nothing_is_written() {
    let office = Office::open().await;
    let against = vec!["`app.x` is not in the target".to_owned(), "there is no function `app.f`".to_owned()];
    *office.oracle.answer.lock().unwrap() = Some(Ok(Feasibility { against, ..Feasibility::default() }));
    let refused = office.desk.request(&alice(), wish("1h")).await.unwrap_err();
    assert!(matches!(refused, DeskError::Infeasible { .. }), "{refused}");
    assert_eq!(
        refused.to_string(),
        "orders cannot keep this: `app.x` is not in the target; there is no function `app.f`"
    );
    let down = ControlError { failure: ControlFailure::Unreachable, message: "connection refused".to_owned() };
    *office.oracle.answer.lock().unwrap() = Some(Err(down));
    let refused = office.desk.request(&alice(), wish("1h")).await.unwrap_err();
    assert_eq!(refused.to_string(), "orders could not be asked whether it can keep this: connection refused");
    assert_eq!(office.book.count("request_made"), 0);
    assert!(office.desk.requests(&alice(), Listing { all: true, mine: false }).await.unwrap().is_empty());
}

#[tokio::test]
async fn who_may_not_ask_learns_nothing_of_the_target() {
    let office = Office::open().await;
    office.add_user(&Office::admin(), "erin", &[]).await;
    office.desk.request(&caller("erin", &[]), wish("1h")).await.unwrap_err();
    office.desk.break_glass(&alice(), wish("1h")).await.unwrap_err();
    office.desk.request(&alice(), wish("300d")).await.unwrap_err();
    assert!(office.oracle.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn patterns_become_the_tables_that_exist_where_that_is_asked_for() {
    let office = Office::open().await;
    let existing: Vec<Resource> = vec!["app.a".parse().unwrap(), "app.b".parse().unwrap()];
    let notes = vec!["a note".to_owned()];
    let found = Feasibility { existing: existing.clone(), notes: notes.clone(), ..Feasibility::default() };
    *office.oracle.answer.lock().unwrap() = Some(Ok(found));
    let pattern = Wish { resources: vec!["app.*".parse().unwrap()], ..wish("1h") };
    let made = office.desk.request(&alice(), Wish { existing_only: true, ..pattern.clone() }).await.unwrap();
    assert_eq!((made.request.resources, made.notes), (existing, notes));
    let made = office.desk.request(&alice(), pattern.clone()).await.unwrap();
    assert_eq!(made.request.resources, pattern.resources);
}

#[tokio::test]
async fn each_database_is_asked_for_itself() {
    let office = Office::open().await;
    let mut both = wish("1h");
    both.resources = vec!["app.a".parse().unwrap(), "other/app.b".parse().unwrap()];
    both.bounds.functions = vec!["app.f".parse().unwrap()];
    office.desk.request(&alice(), both).await.unwrap();
    let asked = office.oracle.asked.lock().unwrap();
    let asked: Vec<_> = asked.iter().map(|spec| (spec.database.as_str(), spec.bounds.functions.len())).collect();
    assert_eq!(asked, [("orders_prod", 1), ("other", 0)]);
}

#[tokio::test]
async fn everything_is_asked_for_only_where_a_rule_says_so() {
    let office = Office::open().await;
    let refused = office.desk.request(&alice(), everything()).await.unwrap_err();
    assert_eq!(refused.to_string(), "no rule lets you ask for `all` on orders");
    let glass = caller("erin", &[Role::BreakGlass]);
    office.add_user(&Office::admin(), "erin", &[Role::BreakGlass]).await;
    assert!(matches!(office.desk.break_glass(&glass, everything()).await, Err(DeskError::Denied { .. })));
    office.desk.add_rule(&Office::admin(), NewRule { effects: Effects::ALL, ..rule(1) }).await.unwrap();
    let made = office.desk.request(&alice(), everything()).await.unwrap();
    let grant = office.desk.approve(&bob(), &made.request.id.to_string()).await.unwrap().grant.unwrap();
    assert_eq!((grant.effects, grant.resources), (Effects::ALL, vec![Resource::everything()]));
    for bounded in [
        Wish { resources: vec!["app.a".parse().unwrap()], ..everything() },
        Wish {
            bounds: belay_model::Bounds { functions: vec!["app.f".parse().unwrap()], ..Default::default() },
            ..everything()
        },
    ] {
        assert!(matches!(office.desk.request(&alice(), bounded).await, Err(DeskError::Invalid { .. })));
    }
}

#[tokio::test]
async fn a_grant_carries_the_masks_of_its_target_and_its_sessions_start_anew_when_they_change() {
    let office = Office::open().await;
    let grant = office.granted().await;
    let mut changes = office.desk.changes();
    let (made, _) = office.desk.add_mask(&Office::admin(), mask("app.c.email", MaskKind::LastFour)).await.unwrap();
    assert!(matches!(changes.recv().await.unwrap(), Change::Narrowed(again) if again.masks == [made.mask.clone()]));
    let fixed = mask("app.c.note", MaskKind::Fixed("n/a \"quoted\"".to_owned()));
    office.desk.add_mask(&Office::admin(), fixed.clone()).await.unwrap();
    let loaded = office.desk.grant(grant.id).await.unwrap().unwrap();
    assert_eq!(loaded.masks, [made.mask.clone(), fixed.mask.clone()]);
    let (opened, _) = office.desk.open_session(grant.id).await.unwrap();
    assert_eq!(opened.masks, loaded.masks);
    let taken = office.desk.add_mask(&Office::admin(), mask("app.c.email", MaskKind::Null)).await.unwrap_err();
    assert_eq!(taken.to_string(), "app.c.email is masked already: last-four");
    office.desk.remove_mask(&Office::admin(), &made.id.to_string()).await.unwrap();
    assert_eq!(office.desk.grant(grant.id).await.unwrap().unwrap().masks, [fixed.mask]);
    assert_eq!((office.book.count("mask_added"), office.book.count("mask_removed")), (2, 1));
    assert_eq!(office.desk.masks(&alice(), Some("orders")).await.unwrap().len(), 1);
    office.desk.remove_target(&Office::admin(), "orders").await.unwrap();
    assert!(office.desk.masks(&alice(), None).await.unwrap().is_empty());
}

#[tokio::test]
async fn only_administrators_mask_and_only_columns_that_are_there() {
    let office = Office::open().await;
    let wanted = || mask("app.c.email", MaskKind::Withheld);
    assert!(matches!(office.desk.add_mask(&bob(), wanted()).await, Err(DeskError::Denied { .. })));
    assert!(office.oracle.asked.lock().unwrap().is_empty());
    for column in ["app.c", "app.*.email", "app.c*.email"] {
        let refused = office.desk.add_mask(&Office::admin(), mask(column, MaskKind::Null)).await.unwrap_err();
        assert!(matches!(refused, DeskError::Invalid { field: "column", .. }), "{column}");
    }
    let against = vec!["there is no column `app.c.email`".to_owned()];
    *office.oracle.answer.lock().unwrap() = Some(Ok(Feasibility { against, ..Feasibility::default() }));
    assert!(matches!(office.desk.add_mask(&Office::admin(), wanted()).await, Err(DeskError::Infeasible { .. })));
    assert!(matches!(office.desk.remove_mask(&bob(), "m_1").await, Err(DeskError::Denied { .. })));
    assert!(matches!(office.desk.remove_mask(&Office::admin(), "m_1").await, Err(DeskError::NotFound { .. })));
}
