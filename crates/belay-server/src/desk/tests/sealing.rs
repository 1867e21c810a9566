//! What belongs to which session, and with it what is held and erased.

use super::super::Origin;
use super::plans::{DAY, new, origin, set, writer};
use super::*;
use belay_engine::Outcome;
use belay_ledger::Owner;
use belay_model::{ChangeId, EventKind, Grant, KeptChange, SessionId};

/// A session of alice, which is over, with one committed change.
struct Past {
    grant: Grant,
    session: SessionId,
    change: KeptChange,
}

async fn changed(office: &Office, origin: &Origin, file: &str) -> KeptChange {
    let change = office.desk.keep_change(origin, (&set("f"), Vec::new()), file, DAY).await.unwrap();
    office.desk.settle_change(change.id, Outcome::Committed).await.unwrap();
    change
}

impl Past {
    async fn of(office: &Office, file: &str) -> Past {
        let grant = writer(office).await;
        let session = office.desk.open_session(grant.id).await.unwrap().1.id;
        let change = changed(office, &Origin { session: Some(session), ..origin(&grant) }, file).await;
        office.desk.revoke(&Office::admin(), &grant.id.to_string()).await.unwrap();
        Past { grant, session, change }
    }
}

/// Gives these back at once.
fn giving_back(grant: &Grant, reverts: &[ChangeId]) -> Origin {
    Origin { reverts: reverts.to_vec(), ..origin(grant) }
}

async fn erase(office: &Office, session: SessionId) -> Result<(), DeskError> {
    let admin = Office::admin();
    let erasure = office.desk.order_erasure(&admin, &session.to_string(), "ticket 12").await?;
    office.desk.record_erasure(&erasure).await?;
    office.desk.forget_session_files(session).await?;
    assert!(office.desk.settle_erasure(session).await?);
    Ok(())
}

#[tokio::test]
async fn what_gives_back_a_change_of_one_session_is_in_that_session() {
    let office = Office::open().await;
    let (past, grant) = (Past::of(&office, "one").await, writer(&office).await);
    let back = changed(&office, &giving_back(&grant, &[past.change.id]), "back").await;
    assert_eq!(back.session, Some(past.session));
    let kept = office.book.events.lock().unwrap().iter().rev().find_map(|event| match event.kind {
        EventKind::ChangeKept { change, .. } if change == back.id => Some((event.session, event.grant)),
        _ => None,
    });
    assert_eq!(kept, Some((Some(past.session), Some(grant.id))), "its row keys are sealed under the session's key");
    let mut files = office.desk.session_files(past.session).await.unwrap();
    files.sort();
    assert_eq!(files, ["back", "one"]);
    let listing = super::super::Listing { mine: false, all: false };
    let listed = office.desk.kept_changes(&Office::admin(), listing, Some(&past.session.to_string())).await.unwrap();
    assert_eq!(listed.len(), 2);
}

#[tokio::test]
async fn what_gives_back_changes_of_several_sessions_is_erased_with_any_and_held_with_any() {
    let office = Office::open().await;
    let (one, two) = (Past::of(&office, "one").await, Past::of(&office, "two").await);
    let grant = writer(&office).await;
    let back = changed(&office, &giving_back(&grant, &[two.change.id, one.change.id]), "back").await;
    let again = changed(&office, &giving_back(&grant, &[back.id]), "again").await;
    assert_eq!((back.session, again.session), (None, None), "neither is the one of the two");
    let owners = office.desk.owners_of(one.session).await.unwrap();
    assert_eq!(owners, [Owner::Session(one.session), Owner::Change(back.id), Owner::Change(again.id)]);

    office.desk.hold(&Office::admin(), &two.session.to_string(), "lawsuit").await.unwrap();
    let refused = erase(&office, one.session).await.unwrap_err().to_string();
    assert_eq!(refused, "s_1 was given back together with s_2, which is on hold, by admin: lawsuit");
    office.pass(3 * 86_400);
    let due = office.desk.forget_change_files(DAY).await.unwrap();
    assert_eq!(due, ["one"], "nothing of what is held goes when its time is over");
    office.desk.release(&Office::admin(), &two.session.to_string()).await.unwrap();
    erase(&office, one.session).await.unwrap();
    assert_eq!(office.desk.session_files(two.session).await.unwrap(), ["two"]);
}

#[tokio::test]
async fn nothing_is_put_on_hold_while_what_belongs_to_it_is_erased() {
    let office = Office::open().await;
    let (one, two) = (Past::of(&office, "one").await, Past::of(&office, "two").await);
    changed(&office, &giving_back(&writer(&office).await, &[two.change.id, one.change.id]), "back").await;
    office.desk.order_erasure(&Office::admin(), &one.session.to_string(), "ticket 12").await.unwrap();
    let refused = office.desk.hold(&Office::admin(), &two.session.to_string(), "lawsuit").await.unwrap_err();
    assert_eq!(refused.to_string(), "the content of s_1 is being erased, by admin: ticket 12");
}

#[tokio::test]
async fn nothing_more_is_kept_of_a_session_that_is_erased() {
    let office = Office::open().await;
    let (one, two) = (Past::of(&office, "one").await, Past::of(&office, "two").await);
    let grant = writer(&office).await;
    // Its rows are being given back, and are not kept yet.
    let back = giving_back(&grant, &[two.change.id, one.change.id]);
    erase(&office, one.session).await.unwrap();
    let (kept, planned) = (office.book.count("change_kept"), office.book.count("plan_made"));
    let refused = office.desk.keep_change(&back, (&set("f"), Vec::new()), "late", DAY).await.unwrap_err();
    assert_eq!(refused.to_string(), "what s_1 changed is erased, by admin: ticket 12");
    assert!(office.desk.keep_plan(&back, new(&set("f"), "late")).await.is_err());
    let own = Origin { session: Some(one.session), ..origin(&one.grant) };
    assert!(office.desk.keep_plan(&own, new(&set("f"), "late")).await.is_err());
    assert!(office.desk.keep_change(&own, (&set("f"), Vec::new()), "late", DAY).await.is_err());
    assert_eq!((office.book.count("change_kept"), office.book.count("plan_made")), (kept, planned));
    assert_eq!(office.desk.session_files(one.session).await.unwrap(), [] as [String; 0]);
}

#[tokio::test]
async fn an_erasure_does_not_wait_for_a_target_that_nobody_can_ask_any_more() {
    let office = Office::open().await;
    let past = Past::of(&office, "one").await;
    let own = Origin { session: Some(past.session), ..origin(&past.grant) };
    let lost = office.desk.keep_change(&own, (&set("f"), Vec::new()), "lost", DAY).await.unwrap();
    office.desk.settle_change(lost.id, Outcome::Unknown).await.unwrap();
    let refused = erase(&office, past.session).await.unwrap_err();
    assert_eq!(refused.to_string(), "s_1 is not settled: c_2");
    office.desk.remove_target(&Office::admin(), "orders").await.unwrap();
    office.pass(2 * 86_400);
    office.desk.pass_time().await.unwrap();
    erase(&office, past.session).await.unwrap();
}

#[tokio::test]
async fn a_key_is_needed_as_long_as_a_record_or_a_row_may_be() {
    let office = Office::open().await;
    let (one, two) = (Past::of(&office, "one").await, Past::of(&office, "two").await);
    let back = changed(&office, &giving_back(&writer(&office).await, &[two.change.id, one.change.id]), "back").await;
    let owners = [
        Owner::Session(one.session),
        Owner::Session(two.session),
        Owner::Change(back.id),
        Owner::Session(SessionId(9)),
    ];
    let now = office.clock.now();
    let later = now.plus(Span::from_seconds(60));
    assert_eq!(office.desk.outlived(&owners, later).await.unwrap(), [], "rows are kept");
    office.pass(3 * 86_400);
    office.desk.forget_change_files(DAY).await.unwrap();
    assert_eq!(office.desk.outlived(&owners, now).await.unwrap(), [], "records of it are there");
    office.desk.hold(&Office::admin(), &one.session.to_string(), "lawsuit").await.unwrap();
    assert_eq!(office.desk.outlived(&owners, later).await.unwrap(), [Owner::Session(two.session)], "one is on hold");
    office.desk.release(&Office::admin(), &one.session.to_string()).await.unwrap();
    assert_eq!(office.desk.outlived(&owners, later).await.unwrap(), owners[..3]);
}

#[tokio::test]
async fn while_it_is_made_sure_that_nothing_is_held_nothing_is_put_on_hold() {
    let office = Office::open().await;
    let past = Past::of(&office, "one").await;
    let mentioned = |payload: &str| serde_json::from_str::<crate::ledger::Mentioned>(payload).unwrap();
    let request = past.grant.request;
    let about = mentioned(&format!(
        r#"{{"sessions":[],"grants":[],"requests":["{request}"],"plans":[],"changes":["{}"]}}"#,
        past.change.id
    ));
    let unheld = office.desk.nothing_held(&about).await.unwrap().unwrap();
    let (desk, session) = (Arc::clone(&office.desk), past.session.to_string());
    let holding = tokio::spawn(async move { desk.hold(&Office::admin(), &session, "lawsuit").await });
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert!(!holding.is_finished());
    drop(unheld);
    holding.await.unwrap().unwrap();
    assert!(office.desk.nothing_held(&about).await.unwrap().is_none());
}
