use super::*;
use crate::desk::Listing;
use belay_model::{GrantState, RequestState};

#[tokio::test]
async fn a_targets_password_is_sealed_in_the_store_and_comes_back_for_the_gateway() {
    let office = Office::open().await;
    let access = office.desk.target_access(&name("orders")).await.unwrap();
    assert_eq!((&*access.password, access.target.database.as_str()), ("control secret", "orders_prod"));
    office.desk.check_store().await.unwrap();
    for entry in std::fs::read_dir(office.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(14).any(|window| window == b"control secret"));
    }
    assert!(matches!(office.desk.target_to_check(&alice(), "orders").await, Err(DeskError::Denied { .. })));
}

#[tokio::test]
async fn removing_a_target_revokes_its_grants_and_denies_its_requests() {
    let office = Office::open().await;
    let grant = office.granted().await;
    let pending = office.desk.request(&alice(), wish("1h")).await.unwrap().request.id.to_string();
    assert!(matches!(office.desk.remove_target(&bob(), "orders").await, Err(DeskError::Denied { .. })));
    office.desk.remove_target(&Office::admin(), "orders").await.unwrap();
    assert_eq!(office.desk.grant(grant.id).await.unwrap().unwrap().state, GrantState::Revoked);
    assert_eq!(office.desk.request_of(&alice(), &pending).await.unwrap().request.state, RequestState::Denied);
    // Nothing carries over to another system under the same name.
    office.desk.add_target(&Office::admin(), target("orders")).await.unwrap();
    assert!(office.desk.approve(&bob(), &pending).await.is_err());
    assert!(office.desk.grants(&alice(), Listing::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_removed_target_can_be_reached_for_a_day_to_end_what_was_left_there() {
    let office = Office::open().await;
    office.desk.remove_target(&Office::admin(), "orders").await.unwrap();
    assert!(matches!(office.desk.target_to_check(&Office::admin(), "orders").await, Err(DeskError::NotFound { .. })));
    assert!(office.desk.targets(&alice()).await.unwrap().is_empty());
    assert!(matches!(office.desk.request(&alice(), wish("1h")).await, Err(DeskError::NotFound { .. })));
    assert_eq!(office.desk.target_access(&name("orders")).await.unwrap().target.host, "127.0.0.1");
    let mut moved = target("orders");
    moved.target.host = "elsewhere".to_owned();
    office.desk.add_target(&Office::admin(), moved).await.unwrap();
    assert_eq!(office.desk.target_access(&name("orders")).await.unwrap().target.host, "elsewhere");
    assert_eq!(office.desk.every_target_access().await.unwrap().len(), 2);
    office.pass(86_401);
    office.desk.pass_time().await.unwrap();
    assert_eq!(office.desk.every_target_access().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_target_that_makes_no_sense_is_refused_with_the_field() {
    let office = Office::open().await;
    let field = async |change: fn(&mut Target)| {
        let mut new = target("other");
        change(&mut new.target);
        match office.desk.add_target(&Office::admin(), new).await {
            Err(DeskError::Invalid { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(field(|target| target.protocol = "mysql".into()).await, "protocol");
    assert_eq!(field(|target| target.tls = "prefer".into()).await, "tls");
    assert_eq!(field(|target| target.host = String::new()).await, "host");
    assert_eq!(field(|target| target.host = "/run/postgresql".into()).await, "tls");
    assert_eq!(field(|target| target.port = 0).await, "port");
    assert_eq!(field(|target| target.database = "a\0b".into()).await, "database");
    assert_eq!(field(|target| target.ca_pem = Some("junk".into())).await, "ca_pem");
    assert!(matches!(
        office.desk.add_target(&Office::admin(), target("orders")).await,
        Err(DeskError::Conflict { .. })
    ));
    let unknown = Wish { target: name("nowhere"), ..wish("1h") };
    assert!(matches!(office.desk.request(&alice(), unknown).await, Err(DeskError::NotFound { .. })));
}
