//! The desk on a real store in a temporary folder, with a ledger and a clock that tests can steer.

mod access;
mod crash;
mod erasing;
mod logins;
mod people;
mod plans;
mod policies;
mod scope;
mod sealing;
mod targets;

use super::{
    Caller, Change, Clock, Desk, DeskError, NewMask, NewRule, NewTarget, NewUser, Recorder, RequestView, Surveyor,
    Unrecorded, Wish,
};
use belay_engine::{BoxFuture, ControlError, Feasibility, RoleSpec, TargetAccess};
use belay_model::{Effects, Event, Name, Principal, Role, Span, Target, Timestamp};
use secrecy::SecretString;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// Keeps events in memory, and can be told to fail.
#[derive(Default)]
pub(super) struct Book {
    events: Mutex<Vec<Event>>,
    down: AtomicBool,
}

impl Recorder for Book {
    fn record(&self, event: Event) -> BoxFuture<'_, ()> {
        self.events.lock().unwrap().push(event);
        Box::pin(async {})
    }

    fn record_durable(&self, event: Event) -> BoxFuture<'_, Result<(), Unrecorded>> {
        if self.down.load(Ordering::SeqCst) {
            return Box::pin(async { Err(Unrecorded) });
        }
        self.events.lock().unwrap().push(event);
        Box::pin(async { Ok(()) })
    }
}

impl Book {
    fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    fn words(&self) -> Vec<&'static str> {
        self.events.lock().unwrap().iter().map(|event| event.kind.word()).collect()
    }

    fn count(&self, word: &str) -> usize {
        self.words().iter().filter(|known| **known == word).count()
    }
}

/// A target that says what it is told to say, and remembers what it was asked.
#[derive(Default)]
pub(super) struct Oracle {
    answer: Mutex<Option<Result<Feasibility, ControlError>>>,
    asked: Mutex<Vec<RoleSpec>>,
}

impl Surveyor for Oracle {
    fn feasible<'a>(
        &'a self,
        _: &'a TargetAccess,
        spec: &'a RoleSpec,
    ) -> BoxFuture<'a, Result<Feasibility, ControlError>> {
        self.asked.lock().unwrap().push(spec.clone());
        let existing = spec.resources.clone();
        let answer = self.answer.lock().unwrap().clone();
        let answer = answer.unwrap_or_else(|| Ok(Feasibility { existing, ..Feasibility::default() }));
        Box::pin(async { answer })
    }
}

/// Stands still until it is moved.
pub(super) struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

pub(super) struct Office {
    desk: Arc<Desk>,
    book: Arc<Book>,
    clock: Arc<Hand>,
    oracle: Arc<Oracle>,
    folder: TempDir,
}

impl Office {
    /// A desk with `admin` (as bootstrapped), approvers bob and carol, requesters alice and dave, and the target `orders`.
    async fn open() -> Office {
        let office = Office::empty().await;
        let admin = Office::admin();
        office.add_user(&admin, "alice", &[Role::Requester]).await;
        office.add_user(&admin, "dave", &[Role::Requester]).await;
        office.add_user(&admin, "bob", &[Role::Requester, Role::Approver]).await;
        office.add_user(&admin, "carol", &[Role::Approver]).await;
        office.desk.add_target(&admin, target("orders")).await.unwrap();
        office
    }

    async fn empty() -> Office {
        let folder = tempfile::tempdir().unwrap();
        let (book, clock) = (Arc::new(Book::default()), Arc::new(Hand(AtomicI64::new(1_000_000_000_000_000))));
        let recorder = Arc::clone(&book) as Arc<dyn Recorder>;
        let desk = Desk::open(folder.path(), recorder, Arc::clone(&clock) as Arc<dyn Clock>).await.unwrap();
        desk.bootstrap().await.unwrap();
        let oracle = Arc::new(Oracle::default());
        desk.meet(Arc::clone(&oracle) as Arc<dyn Surveyor>);
        Office { desk: Arc::new(desk), book, clock, oracle, folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn admin() -> Caller {
        caller("admin", &[Role::Administrator, Role::Approver, Role::Requester, Role::Auditor])
    }

    async fn add_user(&self, admin: &Caller, name: &str, roles: &[Role]) {
        let new = NewUser { name: name.parse().unwrap(), password: None, roles: roles.to_vec(), groups: Vec::new() };
        self.desk.add_user(admin, new).await.unwrap();
    }

    fn pass(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }

    /// Alice's request, approved by bob.
    async fn granted(&self) -> belay_model::Grant {
        let made = self.desk.request(&alice(), wish("1h")).await.unwrap();
        self.desk.approve(&bob(), &made.request.id.to_string()).await.unwrap().grant.unwrap()
    }
}

pub(super) async fn reopen(folder: &Path, book: &Arc<Book>, clock: &Arc<Hand>) -> Result<Desk, DeskError> {
    let desk = Desk::open(folder, Arc::clone(book) as Arc<dyn Recorder>, Arc::clone(clock) as Arc<dyn Clock>).await?;
    desk.meet(Arc::new(Oracle::default()));
    Ok(desk)
}

fn caller(name: &str, roles: &[Role]) -> Caller {
    let principal =
        Principal { name: name.parse().unwrap(), roles: roles.to_vec(), groups: Vec::new(), disabled: false };
    Caller { principal, token: None }
}

fn alice() -> Caller {
    caller("alice", &[Role::Requester])
}

fn bob() -> Caller {
    caller("bob", &[Role::Requester, Role::Approver])
}

fn carol() -> Caller {
    caller("carol", &[Role::Approver])
}

fn dave() -> Caller {
    caller("dave", &[Role::Requester])
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn target(name: &str) -> NewTarget {
    NewTarget {
        target: Target {
            name: name.parse().unwrap(),
            protocol: "postgres".to_owned(),
            host: "127.0.0.1".to_owned(),
            port: 5_432,
            database: format!("{name}_prod"),
            user: "belay".to_owned(),
            tls: "require".to_owned(),
            ca_pem: None,
        },
        password: SecretString::from("control secret"),
    }
}

fn wish(duration: &str) -> Wish {
    Wish {
        target: name("orders"),
        resources: Vec::new(),
        effects: Effects::READ,
        bounds: belay_model::Bounds::default(),
        existing_only: false,
        duration: duration.parse().unwrap(),
        reason: "INC-1".to_owned(),
    }
}

fn rule(approvals: u8) -> NewRule {
    NewRule {
        target: None,
        group: None,
        hours: None,
        effects: Effects::READ,
        max_duration: Span::from_seconds(7_200),
        max_changed_rows: belay_model::CHANGED_ROWS,
        approvals,
        extendable: true,
        record_values: false,
    }
}
