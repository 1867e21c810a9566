//! The end of tables in the trash, on a real PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

use belay_change::{ChangeSet, Means, Table, TableChange};
use belay_engine::{Control as _, TargetAccess};
use belay_model::{ChangeId, Target};
use belay_postgres::PgControl;
use testkit::Postgres;

fn control(postgres: &Postgres) -> PgControl {
    let target = Target {
        name: "orders".parse().unwrap(),
        protocol: "postgres".to_owned(),
        host: postgres.host().to_owned(),
        port: postgres.port(),
        database: "postgres".to_owned(),
        user: postgres.superuser().to_owned(),
        tls: "verify-full".to_owned(),
        ca_pem: Some(postgres.certificates().ca.clone()),
    };
    PgControl::new(&TargetAccess { target, password: postgres.password().into() })
}

#[tokio::test]
async fn a_table_goes_for_good_with_the_change_that_dropped_it_last() {
    let postgres = Postgres::start();
    let setup = "CREATE SCHEMA belay_trash_c_8; CREATE TABLE belay_trash_c_8.t (id int); INSERT INTO belay_trash_c_8.t VALUES (1)";
    postgres.execute("postgres", setup).await;
    let client = postgres.client_in("postgres").await;
    let oid: u32 = client.query_one("SELECT 'belay_trash_c_8.t'::regclass::oid", &[]).await.unwrap().get(0);
    let table = Table { oid, schema: "public".to_owned(), name: "t".to_owned(), columns: Vec::new(), key: Vec::new() };
    let change = TableChange {
        table,
        inserted: 0,
        updated: 0,
        deleted: 1,
        indirect: false,
        means: Means::Trash,
        volatile: Vec::new(),
    };
    let set = ChangeSet { tables: vec![change], ..ChangeSet::default() };
    let control = control(&postgres);
    let left = async || {
        let count = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'belay_trash%'";
        client.query_one(count, &[]).await.unwrap().get::<_, i64>(0)
    };
    control.changes().empty_trash("postgres", ChangeId(3), &set).await.unwrap();
    assert_eq!(left().await, 1, "it was brought back since, and dropped by another change");
    control.changes().empty_trash("postgres", ChangeId(8), &set).await.unwrap();
    assert_eq!(left().await, 0);
    control.changes().empty_trash("postgres", ChangeId(8), &set).await.unwrap();
}
