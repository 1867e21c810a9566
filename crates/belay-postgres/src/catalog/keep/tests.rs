//! Catalogs of a real server, at a faster pace.

use super::{Catalogs, Pace, Source};
use crate::catalog::keep::CatalogCell;
use crate::catalog::read::{Reading, fingerprint, read};
use crate::classify::Limits;
use belay_engine::{BoxFuture, ControlError, ControlFailure};
use belay_model::Target;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use testkit::{Postgres, wait_until};
use tokio_postgres::Client;

const PACE: Pace = Pace {
    tick: Duration::from_millis(200),
    nudge: Duration::from_millis(20),
    stale: Duration::from_secs(2),
    idle: Duration::from_millis(300),
    cells: 2,
    limits: Limits { text: 1 << 20, nesting: 4_000, cache: 1 << 20 },
};
const SOON: Duration = Duration::from_secs(10);

/// One connection of the superuser, which can be made to fail.
struct Direct {
    client: tokio::sync::Mutex<Client>,
    looks: AtomicUsize,
    readings: AtomicUsize,
    broken: AtomicBool,
}

impl Direct {
    async fn to(postgres: &Postgres) -> Arc<Direct> {
        let client = tokio::sync::Mutex::new(postgres.client().await);
        Arc::new(Direct {
            client,
            looks: AtomicUsize::default(),
            readings: AtomicUsize::default(),
            broken: AtomicBool::default(),
        })
    }

    fn looks(&self) -> usize {
        self.looks.load(Ordering::SeqCst)
    }

    fn readings(&self) -> usize {
        self.readings.load(Ordering::SeqCst)
    }
}

impl Source for Direct {
    fn look<'a>(
        &'a self,
        _database: &'a str,
        known: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Option<Reading>, ControlError>> {
        Box::pin(async move {
            self.looks.fetch_add(1, Ordering::SeqCst);
            if self.broken.load(Ordering::SeqCst) {
                return Err(ControlError { failure: ControlFailure::Unreachable, message: "broken".to_owned() });
            }
            let mut client = self.client.lock().await;
            if known == Some(fingerprint(&*client).await.unwrap().as_str()) {
                return Ok(None);
            }
            self.readings.fetch_add(1, Ordering::SeqCst);
            Ok(Some(read(&mut client).await.unwrap()))
        })
    }

    fn dial<'a>(
        &'a self,
        _database: &'a str,
        _user: Option<(&'a str, &'a str)>,
    ) -> BoxFuture<'a, Result<tokio_postgres::Client, ControlError>> {
        Box::pin(async { Err(ControlError { failure: ControlFailure::Other, message: "one is enough".to_owned() }) })
    }
}

fn target(host: &str) -> Target {
    Target {
        name: "orders".parse().unwrap(),
        protocol: "postgres".to_owned(),
        host: host.to_owned(),
        port: 1,
        database: "orders".to_owned(),
        user: "belay".to_owned(),
        tls: "disable".to_owned(),
        ca_pem: None,
    }
}

fn knows(cell: &CatalogCell, table: &str) -> bool {
    cell.current().is_some_and(|edition| edition.classifier.catalog().unwrap().relation("public", table).is_some())
}

#[tokio::test]
async fn a_login_reads_only_what_has_changed() {
    let postgres = Postgres::start();
    let source = Direct::to(&postgres).await;
    let catalogs = Arc::new(Catalogs::with_pace(Pace { tick: Duration::from_hours(1), ..PACE }));
    let home = target("a");
    catalogs.freshen(&home, "orders", source.clone()).await.unwrap();
    let cell = catalogs.cell(&home, "orders").unwrap();
    let first = cell.current().unwrap();
    catalogs.freshen(&home, "orders", source.clone()).await.unwrap();
    assert_eq!((source.looks(), source.readings()), (2, 1));
    assert_eq!(cell.current().unwrap().generation, first.generation);
    postgres.execute("postgres", "CREATE TABLE fresh ()").await;
    assert!(!knows(&cell, "fresh"));
    catalogs.freshen(&home, "orders", source.clone()).await.unwrap();
    assert!(knows(&cell, "fresh") && cell.current().unwrap().generation > first.generation);
    assert!(first.classifier.catalog().unwrap().relation("public", "fresh").is_none(), "an edition does not change");
}

#[tokio::test]
async fn logins_at_once_share_a_look() {
    let postgres = Postgres::start();
    let source = Direct::to(&postgres).await;
    let catalogs = Arc::new(Catalogs::with_pace(Pace { tick: Duration::from_hours(1), ..PACE }));
    let mut logins = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (catalogs, source) = (Arc::clone(&catalogs), source.clone());
        logins.spawn(async move { catalogs.freshen(&target("a"), "orders", source).await.unwrap() });
    }
    logins.join_all().await;
    assert!(source.looks() <= 5, "{} looks", source.looks());
    assert_eq!(source.readings(), 1);
}

#[tokio::test]
async fn open_connections_learn_of_changes() {
    let postgres = Postgres::start();
    let source = Direct::to(&postgres).await;
    let catalogs = Arc::new(Catalogs::with_pace(PACE));
    catalogs.freshen(&target("a"), "orders", source.clone()).await.unwrap();
    let cell = catalogs.cell(&target("a"), "orders").unwrap();
    postgres.execute("postgres", "CREATE TABLE fresh ()").await;
    wait_until(SOON, || async { knows(&cell, "fresh") }).await;
}

#[tokio::test]
async fn a_nudge_is_followed_by_a_look() {
    let postgres = Postgres::start();
    let source = Direct::to(&postgres).await;
    let catalogs = Arc::new(Catalogs::with_pace(Pace { tick: Duration::from_hours(1), ..PACE }));
    catalogs.freshen(&target("a"), "orders", source.clone()).await.unwrap();
    let cell = catalogs.cell(&target("a"), "orders").unwrap();
    postgres.execute("postgres", "CREATE TABLE fresh ()").await;
    for _ in 0..1000 {
        cell.nudge();
    }
    wait_until(SOON, || async { knows(&cell, "fresh") }).await;
    assert!(source.looks() <= 3, "{} looks", source.looks());
}

#[tokio::test]
async fn a_catalog_that_cannot_be_looked_at_is_withheld_and_comes_back() {
    let postgres = Postgres::start();
    let source = Direct::to(&postgres).await;
    let catalogs = Arc::new(Catalogs::with_pace(PACE));
    catalogs.freshen(&target("a"), "orders", source.clone()).await.unwrap();
    let cell = catalogs.cell(&target("a"), "orders").unwrap();
    source.broken.store(true, Ordering::SeqCst);
    assert_eq!(catalogs.freshen(&target("a"), "orders", source.clone()).await.unwrap_err().message, "broken");
    assert!(cell.current().is_some(), "one failure is not the end");
    wait_until(SOON, || async { cell.current().is_none() }).await;
    source.broken.store(false, Ordering::SeqCst);
    wait_until(SOON, || async { cell.current().is_some() }).await;
    assert_eq!(source.readings(), 1, "nothing had changed");
}

#[tokio::test]
async fn a_catalog_that_nobody_uses_is_let_go() {
    let postgres = Postgres::start();
    let source = Direct::to(&postgres).await;
    let catalogs = Arc::new(Catalogs::with_pace(PACE));
    catalogs.freshen(&target("a"), "orders", source.clone()).await.unwrap();
    let cell = catalogs.cell(&target("a"), "orders").unwrap();
    tokio::time::sleep(PACE.idle * 3).await;
    assert!(source.looks() > 1 && catalogs.cell(&target("a"), "orders").is_some(), "it is in use");
    let held = Arc::downgrade(&cell);
    drop(cell);
    wait_until(SOON, || async { held.upgrade().is_none() }).await;
    let looks = source.looks();
    tokio::time::sleep(PACE.tick * 3).await;
    assert_eq!(source.looks(), looks);
    assert!(catalogs.cell(&target("a"), "orders").is_none());
}

#[tokio::test]
async fn databases_in_use_are_bounded() {
    let postgres = Postgres::start();
    let source = Direct::to(&postgres).await;
    let catalogs = Arc::new(Catalogs::with_pace(Pace { idle: SOON, ..PACE }));
    for database in ["one", "two", "three"] {
        catalogs.freshen(&target("a"), database, source.clone()).await.unwrap();
    }
    assert!(catalogs.cell(&target("a"), "one").is_none(), "the oldest that is free makes room");
    let _two = catalogs.cell(&target("a"), "two").unwrap();
    let _three = catalogs.cell(&target("a"), "three").unwrap();
    let error = catalogs.freshen(&target("a"), "four", source.clone()).await.unwrap_err();
    assert!(error.message.contains("too many databases"));
    assert!(catalogs.cell(&target("a"), "four").is_none());
}

#[tokio::test]
async fn a_target_that_moved_is_another_target() {
    let postgres = Postgres::start();
    let source = Direct::to(&postgres).await;
    let catalogs = Arc::new(Catalogs::with_pace(PACE));
    catalogs.freshen(&target("a"), "orders", source.clone()).await.unwrap();
    let old = catalogs.cell(&target("a"), "orders").unwrap();
    assert!(catalogs.cell(&target("b"), "orders").is_none());
    catalogs.freshen(&target("b"), "orders", source.clone()).await.unwrap();
    let new = catalogs.cell(&target("b"), "orders").unwrap();
    assert!(!Arc::ptr_eq(&old, &new));
    assert_ne!(old.current().unwrap().generation, new.current().unwrap().generation);
    let looks = source.looks();
    // Both are kept fresh.
    wait_until(SOON, || async { source.looks() > looks + 3 }).await;
}
