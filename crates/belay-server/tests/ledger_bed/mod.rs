//! A ledger that is signed, in files of a few records each.

#![allow(dead_code, reason = "each test program uses a part of it")]

use belay_engine::BoxFuture;
use belay_ledger::VerifierKey;
use belay_model::{Effect, Event, EventKind, Named, SessionId, Span, Timestamp};
use belay_server::config::Retention;
use belay_server::desk::Clock;
use belay_server::ledger::read::{Against, Trust};
use belay_server::ledger::retention::{Holds, Passed, Retaining, Unheld};
use belay_server::ledger::seal::{Sealer, Sealing};
use belay_server::ledger::{Ledger, Mentioned, Settings, search};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

pub(crate) const HOUR: i64 = 3_600_000_000;
pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) struct Bed {
    home: TempDir,
    pub(crate) ledger: Ledger,
    pub(crate) sealer: Arc<Sealer>,
}

impl Bed {
    pub(crate) fn start() -> Bed {
        let home = tempfile::tempdir().unwrap();
        let (ledger, sealer) = open(home.path());
        Bed { home, ledger, sealer }
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.home.path().join("ledger")
    }

    /// Writes so many records, a few hundred bytes each, and signs them.
    pub(crate) async fn write(&self, count: u64) {
        for number in 0..count {
            self.ledger.record_durable(statement(number)).await.unwrap();
        }
        self.sealer.now().await.unwrap();
    }

    /// Closed segments, by their names.
    pub(crate) fn closed(&self) -> Vec<String> {
        let mut names = names(&self.dir(), "ledger");
        names.pop();
        names
    }

    /// All its files as they are now.
    pub(crate) fn copy(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        copy_all(&self.dir(), copy.path());
        copy
    }

    pub(crate) async fn trust(&self) -> Against {
        trust_in(&self.sealer).await
    }

    /// Stops it, and leaves its files.
    pub(crate) fn stop(self) -> TempDir {
        self.sealer.stop();
        self.ledger.close().unwrap();
        self.home
    }
}

pub(crate) async fn trust_in(sealer: &Sealer) -> Against {
    trust(vec![sealer.key().await.unwrap()])
}

pub(crate) fn trust(keys: Vec<VerifierKey>) -> Against {
    Against { position: None, trust: Some(Trust { keys, noted: Vec::new() }) }
}

pub(crate) fn open(home: &Path) -> (Ledger, Arc<Sealer>) {
    let settings = Settings { segment_bytes: 4_000, ..Settings::new(home.join("ledger")) };
    let (ledger, _) = Ledger::open_with(&settings).unwrap();
    let sealing = Sealing { data_dir: home.to_owned(), interval: Duration::from_millis(50) };
    let sealer = Sealer::start(&ledger, &sealing).unwrap();
    (ledger, Arc::new(sealer))
}

pub(crate) fn statement(number: u64) -> Event {
    let text = format!("SELECT {number} -- {}", "x".repeat(200));
    let kind = EventKind::Statement {
        statement: number,
        text: text.into(),
        values: None,
        effect: Effect::Read,
        denied: None,
        because: None,
        relations: Named::default(),
    };
    Event::new(Timestamp(i64::try_from(number).unwrap()), kind).by("alice").on("orders")
}

/// The names of a directory's files with this ending, in order.
pub(crate) fn names(dir: &Path, end: &str) -> Vec<String> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let ends = files.filter(|path| path.extension().is_some_and(|extension| extension == end));
    let mut names: Vec<String> = ends.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = (entry.as_ref().unwrap().path(), entry.unwrap().file_name());
        if path.is_dir() {
            copy_all(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

struct At(i64);

impl Clock for At {
    fn now(&self) -> Timestamp {
        Timestamp(self.0)
    }
}

/// Sessions on hold.
#[derive(Clone, Default)]
pub(crate) struct Held(Arc<Mutex<Vec<SessionId>>>);

impl Held {
    pub(crate) fn hold(&self, sessions: &[i64]) {
        *self.0.lock().unwrap() = sessions.iter().map(|session| SessionId(*session)).collect();
    }
}

impl Holds for Held {
    fn nothing_held<'a>(&'a self, of: &'a Mentioned) -> BoxFuture<'a, Result<Option<Unheld>, String>> {
        let sessions = self.0.lock().unwrap().iter().copied().collect();
        let held = belay_store::Held { sessions, ..belay_store::Held::default() };
        Box::pin(async move { Ok((!of.is_in(&held)).then(|| Box::new(()) as Unheld)) })
    }
}

/// A statement so many hours after the beginning.
pub(crate) fn at_hour(hour: u64, session: i64) -> Event {
    let event = statement(hour);
    Event { at: Timestamp(i64::try_from(hour).unwrap() * HOUR), session: Some(SessionId(session)), ..event }
}

/// Six hundred hours with a record each, and the session changes each hundred.
pub(crate) async fn written() -> Bed {
    let bed = Bed::start();
    for hour in 0..600 {
        bed.ledger.record_durable(at_hour(hour, i64::try_from(hour / 100).unwrap())).await.unwrap();
    }
    bed.sealer.now().await.unwrap();
    bed
}

/// Keeps records for a hundred hours.
pub(crate) fn retaining(bed: &Bed, now: i64, held: &[i64]) -> Retaining {
    let holds = Held::default();
    holds.hold(held);
    Retaining {
        ledger: bed.ledger.clone(),
        sealer: Arc::clone(&bed.sealer),
        index: search::index_file(&bed.dir()),
        clock: Arc::new(At(now * HOUR)),
        holds: Arc::new(holds),
        archived: None,
        retention: Retention::from(Span::from_seconds(3_600 * 100)),
    }
}

pub(crate) async fn pass(bed: &Bed, now: i64, held: &[i64]) -> Passed {
    retaining(bed, now, held).pass().await.unwrap()
}
