use super::*;
use crate::desk::UserChange;
use std::os::unix::fs::MetadataExt;

fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

#[tokio::test]
async fn the_first_start_makes_an_administrator_with_a_token_only_its_owner_can_read() {
    let office = Office::empty().await;
    let path = office.path().join("admin.token");
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    let token = std::fs::read_to_string(&path).unwrap();
    let admin = office.desk.authenticate(token.trim()).await.unwrap();
    assert_eq!(admin.principal.name, name("admin"));
    assert!(admin.principal.has(Role::Administrator) && !admin.principal.has(Role::BreakGlass));
    assert_eq!(office.desk.bootstrap().await.unwrap(), None);
    let file = std::fs::read(office.path().join("belay.db")).unwrap();
    let needle = token.trim().as_bytes();
    assert!(!file.windows(needle.len()).any(|window| window == needle), "the token itself is not stored");
    assert_eq!(std::fs::metadata(office.path().join("belay.db")).unwrap().mode() & 0o077, 0);
}

#[tokio::test]
async fn a_token_stops_working_when_it_is_revoked_expired_or_its_owner_disabled() {
    let office = Office::open().await;
    let minted = office.desk.mint_api_token(&alice(), "laptop", "2h".parse().unwrap()).await.unwrap();
    let caller = office.desk.authenticate(minted.secret.reveal()).await.unwrap();
    assert_eq!((&caller.principal.name, caller.token), (&name("alice"), Some(minted.info.id)));
    assert_eq!(minted.info.shown, minted.secret.reveal()[..8]);
    office.desk.revoke_api_token(&caller, minted.info.id).await.unwrap();
    assert_eq!(office.desk.authenticate(minted.secret.reveal()).await.unwrap_err(), DeskError::Unauthenticated);
    let second = office.desk.mint_api_token(&alice(), "laptop", "2h".parse().unwrap()).await.unwrap();
    let third = office.desk.mint_api_token(&alice(), "laptop", "9h".parse().unwrap()).await.unwrap();
    office.pass(7_200);
    assert!(office.desk.authenticate(second.secret.reveal()).await.is_err());
    assert!(office.desk.authenticate(third.secret.reveal()).await.is_ok());
    let disable = UserChange { disabled: Some(true), ..UserChange::default() };
    office.desk.change_user(&Office::admin(), "alice", disable).await.unwrap();
    assert!(office.desk.authenticate(third.secret.reveal()).await.is_err());
    assert!(office.desk.authenticate("bly_nonsense").await.is_err());
}

#[tokio::test]
async fn nobody_touches_tokens_of_others_but_an_administrator() {
    let office = Office::open().await;
    let minted = office.desk.mint_api_token(&alice(), "laptop", "2h".parse().unwrap()).await.unwrap();
    assert!(matches!(office.desk.revoke_api_token(&dave(), minted.info.id).await, Err(DeskError::NotFound { .. })));
    assert!(office.desk.api_tokens(&dave(), Some("alice")).await.is_err());
    assert_eq!(office.desk.api_tokens(&Office::admin(), Some("alice")).await.unwrap().len(), 2);
    office.desk.revoke_api_token(&Office::admin(), minted.info.id).await.unwrap();
}

#[tokio::test]
async fn a_password_lets_in_and_wrong_ones_are_slowed_down_and_recorded() {
    let office = Office::open().await;
    let right = secret("correct horse battery");
    assert!(office.desk.set_password(&alice(), "alice", None, &secret("short")).await.is_err());
    office.desk.set_password(&alice(), "alice", None, &right).await.unwrap();
    let minted = office.desk.login("alice", &right, "laptop").await.unwrap();
    assert!(office.desk.authenticate(minted.secret.reveal()).await.is_ok());
    let again = office.desk.set_password(&alice(), "alice", None, &secret("another password")).await.unwrap_err();
    assert!(matches!(again, DeskError::Invalid { field: "old_password", .. }));
    let wrong = office.desk.set_password(&alice(), "alice", Some(&secret("is it this?")), &right).await.unwrap_err();
    assert_eq!(wrong.to_string(), "the old password is wrong");
    office.pass(2);
    office.desk.set_password(&alice(), "alice", Some(&right), &right).await.unwrap();
    assert!(office.desk.has_password(&alice()).await.unwrap() && !office.desk.has_password(&bob()).await.unwrap());
    for name in ["alice", "nobody"] {
        let refused = office.desk.login(name, &secret("wrong wrong wrong"), "").await.unwrap_err();
        assert_eq!(refused, DeskError::Unauthenticated);
    }
    for _ in 0..4 {
        let _ = office.desk.login("alice", &secret("wrong wrong wrong"), "").await;
    }
    let throttled = office.desk.login("alice", &right, "").await.unwrap_err();
    assert!(matches!(throttled, DeskError::Throttled { .. }), "{throttled}");
    office.pass(2);
    office.desk.login("alice", &right, "").await.unwrap();
    assert_eq!(office.book.count("api_login_failed"), 7);
}

#[tokio::test]
async fn a_disabled_person_loses_grants_requests_and_tokens_at_once() {
    let office = Office::open().await;
    office.granted().await;
    office.desk.request(&alice(), wish("1h")).await.unwrap();
    let mut changes = office.desk.changes();
    let disable = UserChange { disabled: Some(true), ..UserChange::default() };
    office.book.set_down(true);
    office.desk.change_user(&Office::admin(), "alice", disable).await.unwrap();
    assert!(office.desk.live_grants().await.unwrap().is_empty());
    assert!(matches!(changes.recv().await.unwrap(), Change::Ended(..)));
    assert_eq!(office.desk.request(&alice(), wish("1h")).await.unwrap_err(), DeskError::Unauthenticated);
    let enable = UserChange { disabled: Some(false), ..UserChange::default() };
    let refused = office.desk.change_user(&Office::admin(), "alice", enable).await.unwrap_err();
    assert_eq!(refused, DeskError::LedgerDown, "giving rights needs the ledger, taking them away does not");
}

#[tokio::test]
async fn the_last_administrator_stays_and_others_change_nobody() {
    let office = Office::open().await;
    let demote = UserChange { roles: Some(vec![Role::Requester]), ..UserChange::default() };
    let refused = office.desk.change_user(&Office::admin(), "admin", demote.clone()).await.unwrap_err();
    assert_eq!(refused.to_string(), "this would leave nobody who is an administrator");
    assert!(matches!(office.desk.change_user(&bob(), "alice", demote).await, Err(DeskError::Denied { .. })));
    assert!(matches!(office.desk.users(&alice()).await, Err(DeskError::Denied { .. })));
    let twice = NewUser { name: name("alice"), password: None, roles: vec![], groups: vec![] };
    assert!(matches!(office.desk.add_user(&Office::admin(), twice).await, Err(DeskError::Conflict { .. })));
    assert!(office.desk.may_read_ledger(&alice()).is_err());
    assert!(office.desk.may_read_ledger(&Office::admin()).is_ok());
}
