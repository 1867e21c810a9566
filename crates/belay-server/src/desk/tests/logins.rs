use super::*;
use crate::desk::FoundLogin;
use belay_model::{Grant, GrantState};

async fn one(office: &Office, user: &str, database: &str) -> Option<(Grant, String, bool)> {
    match office.desk.find_login(user, database).await.unwrap() {
        FoundLogin::One(found) => Some((found.grant, found.database, found.covers_database)),
        FoundLogin::Several(_) | FoundLogin::Nobody => None,
    }
}

#[tokio::test]
async fn a_login_finds_the_one_live_grant_once_its_token_was_claimed() {
    let office = Office::open().await;
    let grant = office.granted().await;
    assert!(one(&office, "alice", "orders").await.is_none(), "nobody can know a token that was never claimed");
    let claimed = office.desk.claim_token(&alice(), &grant.id.to_string()).await.unwrap();
    assert_eq!(claimed.login, "alice");
    let (found, database, covers) = one(&office, "alice", "orders").await.unwrap();
    assert_eq!((found.id, database.as_str(), covers), (grant.id, "orders_prod", true));
    assert!(one(&office, &format!("alice+{}", grant.id), "orders").await.is_some());
    for (user, database) in [("alice", "nowhere"), ("bob", "orders"), ("alice+g_99", "orders"), ("Alice", "orders")] {
        assert!(one(&office, user, database).await.is_none(), "{user} {database}");
    }
    let (_, database, covers) = one(&office, "alice", "orders/analytics").await.unwrap();
    assert_eq!((database.as_str(), covers), ("analytics", false));
}

#[tokio::test]
async fn claiming_again_replaces_the_verifier() {
    let office = Office::open().await;
    let id = office.granted().await.id.to_string();
    let verifier = async || match office.desk.find_login("alice", "orders").await.unwrap() {
        FoundLogin::One(found) => found.verifier,
        other => panic!("{other:?}"),
    };
    office.desk.claim_token(&alice(), &id).await.unwrap();
    let first = verifier().await;
    office.desk.claim_token(&alice(), &id).await.unwrap();
    assert_ne!(first, verifier().await);
    assert_eq!(office.desk.mock_verifier("x").salt.len(), first.salt.len());
    assert_eq!(office.desk.mock_verifier("x").iterations, first.iterations);
}

#[tokio::test]
async fn several_live_grants_have_to_be_named() {
    let office = Office::open().await;
    let (first, second) = (office.granted().await.id, office.granted().await.id);
    assert_eq!(office.desk.claim_token(&alice(), &first.to_string()).await.unwrap().login, "alice");
    let claimed = office.desk.claim_token(&alice(), &second.to_string()).await.unwrap();
    assert_eq!(claimed.login, format!("alice+{second}"));
    match office.desk.find_login("alice", "orders").await.unwrap() {
        FoundLogin::Several(several) => {
            assert_eq!(several.iter().map(|found| found.grant.id).collect::<Vec<_>>(), [second, first]);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(one(&office, &format!("alice+{first}"), "orders").await.unwrap().0.id, first);
}

#[tokio::test]
async fn an_ended_grant_is_found_for_thirty_days_so_that_a_right_token_gets_a_precise_answer() {
    let office = Office::open().await;
    let grant = office.granted().await;
    office.desk.claim_token(&alice(), &grant.id.to_string()).await.unwrap();
    office.pass(3_600);
    assert_eq!(one(&office, "alice", "orders").await.unwrap().0.state, GrantState::Lapsed, "before the expiry task");
    office.desk.pass_time().await.unwrap();
    assert_eq!(one(&office, "alice", "orders").await.unwrap().0.state, GrantState::Lapsed);
    let newer = office.granted().await;
    office.desk.claim_token(&alice(), &newer.id.to_string()).await.unwrap();
    assert_eq!(one(&office, "alice", "orders").await.unwrap().0.id, newer.id, "live before ended");
    office.desk.revoke(&alice(), &newer.id.to_string()).await.unwrap();
    office.pass(30 * 86_400 + 1);
    assert!(one(&office, "alice", "orders").await.is_none());
}

#[tokio::test]
async fn a_physical_name_works_inside_an_open_session_where_the_grant_covers_it() {
    let office = Office::open().await;
    let resources = vec!["public.*".parse().unwrap(), "analytics/public.*".parse().unwrap()];
    let made = office.desk.request(&alice(), Wish { resources, ..wish("1h") }).await.unwrap();
    let grant = office.desk.approve(&bob(), &made.request.id.to_string()).await.unwrap().grant.unwrap();
    office.desk.claim_token(&alice(), &grant.id.to_string()).await.unwrap();
    assert!(one(&office, "alice", "analytics").await.is_none());
    let (used, session) = office.desk.open_session(grant.id).await.unwrap();
    assert_eq!(used.state, GrantState::Active);
    for database in ["analytics", "orders_prod", "orders/analytics"] {
        let (_, _, covers) = one(&office, "alice", database).await.unwrap();
        assert!(covers, "{database}");
    }
    assert!(one(&office, "alice", "template1").await.is_none());
    let again = office.desk.open_session(grant.id).await.unwrap().1;
    assert_eq!(again, session, "all connections of a grant share its session");
    office.desk.set_cut_in_transaction(session.id, true).await.unwrap();
    assert!(office.desk.open_session(grant.id).await.unwrap().1.cut_in_transaction);
}

#[tokio::test]
async fn connection_numbers_never_come_twice_even_across_a_restart() {
    let Office { desk, book, clock, folder, .. } = Office::empty().await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..1_500 {
        assert!(seen.insert(desk.next_connection_id().await.unwrap()));
    }
    drop(desk);
    let desk = reopen(folder.path(), &book, &clock).await.unwrap();
    for _ in 0..1_500 {
        assert!(seen.insert(desk.next_connection_id().await.unwrap()));
    }
}
