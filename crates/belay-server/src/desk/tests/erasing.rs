//! Erasures, and keys that go by themselves, on a real ledger.

use super::super::Origin;
use super::plans::{DAY, origin, set, writer};
use super::*;
use crate::eraser::Eraser;
use crate::ledger::{Ledger, Settings};
use crate::sessions::{ConnectionLimits, LiveSessions};
use crate::targets::Targets;
use crate::vault::{Keeping, Vault};
use belay_change::{ChangeSet, Means};
use belay_engine::{Arrival, Control, Engine, Gate, Outcome};
use belay_ledger::Owner;
use belay_model::{Effect, EventKind, Named, SessionId};
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// Nobody is asked for anything.
struct Nowhere;

impl Engine for Nowhere {
    fn protocol(&self) -> &'static str {
        "postgres"
    }

    fn arrive<'a>(&'a self, _: TcpStream, _: SocketAddr, _: &'a dyn Gate) -> BoxFuture<'a, Arrival> {
        Box::pin(async { Arrival::Done })
    }

    fn control(&self, _: &TargetAccess) -> Arc<dyn Control> {
        panic!("no target is to be asked")
    }
}

fn eraser(office: &Office) -> Eraser {
    let settings = Settings { segment_bytes: 400, ..Settings::new(office.path().join("ledger")) };
    let targets = Arc::new(Targets::new(Arc::new(Nowhere), "one"));
    let vault = Vault::open(Arc::clone(&office.desk), targets, Keeping::default(), 1).unwrap();
    Eraser {
        desk: Arc::clone(&office.desk),
        ledger: Ledger::open_with(&settings).unwrap().0,
        sessions: LiveSessions::new(ConnectionLimits { total: 1, per_session: 1 }),
        vault: Arc::new(vault),
        one: Arc::default(),
    }
}

/// A session that typed something, and is over.
async fn typed(office: &Office, eraser: &Eraser, changed: Option<ChangeSet>) -> SessionId {
    let grant = writer(office).await;
    let session = office.desk.open_session(grant.id).await.unwrap().1.id;
    let (text, effect, relations) = ("SELECT 1".repeat(50).into(), Effect::Read, Named::default());
    let kind =
        EventKind::Statement { statement: 1, text, values: None, effect, denied: None, because: None, relations };
    let event = Event { session: Some(session), ..Event::new(office.clock.now(), kind) };
    eraser.ledger.record_durable(event).await.unwrap();
    if let Some(set) = changed {
        let own = Origin { session: Some(session), ..origin(&grant) };
        let change = office.desk.keep_change(&own, (&set, Vec::new()), "rows", DAY).await.unwrap();
        office.desk.settle_change(change.id, Outcome::Committed).await.unwrap();
    }
    office.desk.revoke(&Office::admin(), &grant.id.to_string()).await.unwrap();
    session
}

fn dropped() -> ChangeSet {
    let mut dropped = set("f");
    dropped.tables[0].means = Means::Trash;
    dropped
}

#[tokio::test]
async fn an_erasure_ends_although_the_tables_that_the_session_dropped_are_in_a_target_that_is_gone() {
    let office = Office::open().await;
    let eraser = eraser(&office);
    let session = typed(&office, &eraser, Some(dropped())).await;
    office.desk.remove_target(&Office::admin(), "orders").await.unwrap();
    office.pass(2 * 86_400);
    office.desk.pass_time().await.unwrap();
    let told = eraser.erase(&Office::admin(), &session.to_string(), "ticket 12").await.unwrap();
    assert!(told.done);
    assert!(office.desk.open_erasures().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_key_goes_when_retention_has_deleted_what_it_opened() {
    let office = Office::open().await;
    let keeper = eraser(&office);
    let early = typed(&office, &keeper, None).await;
    let with_rows = typed(&office, &keeper, Some(set("f"))).await;
    office.pass(2 * 86_400);
    let late = typed(&office, &keeper, None).await;
    typed(&office, &keeper, None).await;
    let has = |session| keeper.ledger.key_owners().contains(&Owner::Session(session));
    let mut seen = 0;
    assert_eq!(keeper.retire_keys(&mut seen).await.unwrap(), 0, "all records are there");
    let segment = |first: u64| office.path().join(format!("ledger/{first:020}.ledger"));
    for first in [0, 1] {
        std::fs::remove_file(segment(first)).unwrap();
    }
    assert_eq!(keeper.retire_keys(&mut seen).await.unwrap(), 1);
    assert_eq!((has(early), has(with_rows), has(late)), (false, true, true));
    office.desk.forget_change_files(DAY).await.unwrap();
    assert_eq!(keeper.retire_keys(&mut seen).await.unwrap(), 0, "it is looked for when more was deleted");
    std::fs::remove_file(segment(2)).unwrap();
    assert_eq!(keeper.retire_keys(&mut seen).await.unwrap(), 1);
    assert_eq!((has(with_rows), has(late)), (false, true));
    keeper.ledger.close().unwrap();
}
