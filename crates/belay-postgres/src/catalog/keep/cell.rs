//! The catalog of one database, as it was last seen.

use super::{Pace, Source};
use crate::catalog::Catalog;
use crate::classify::{Classifier, Limits};
use belay_engine::{ControlError, ControlFailure};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_postgres::Client;

/// What reads texts with a catalog, and which catalog it is.
#[derive(Debug, Clone)]
pub struct Edition {
    /// The classifier, with the catalog.
    pub classifier: Arc<Classifier>,
    /// Goes up with every change that was seen, and is that of no other catalog in this process.
    pub generation: u64,
}

/// Where the connections to one database find its catalog.
pub struct CatalogCell {
    database: String,
    stale: Option<Duration>,
    /// Of the classifiers.
    limits: Limits,
    seen: Mutex<Seen>,
    /// Held through a look, so that two do not look at once.
    turn: tokio::sync::Mutex<Turn>,
    nudged: Arc<Notify>,
    generations: Arc<AtomicU64>,
}

/// What was last seen, and when it was certainly right.
#[derive(Default)]
struct Seen {
    edition: Option<Edition>,
    confirmed: Option<Instant>,
    source: Option<Arc<dyn Source>>,
}

/// The last look.
#[derive(Default)]
struct Turn {
    fingerprint: Option<String>,
    last: Option<(Instant, Result<(), ControlError>)>,
}

impl CatalogCell {
    pub(super) fn new(database: &str, pace: Pace, generations: Arc<AtomicU64>) -> CatalogCell {
        CatalogCell {
            database: database.to_owned(),
            stale: Some(pace.stale),
            limits: pace.limits,
            seen: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            nudged: Arc::default(),
            generations,
        }
    }

    /// A cell that holds this catalog and never looks, for tests and measurements.
    pub fn fixed(catalog: Catalog) -> Arc<CatalogCell> {
        let classifier = Classifier::new(Limits::default(), Some(catalog));
        let edition = Edition { classifier: Arc::new(classifier), generation: 1 };
        Arc::new(CatalogCell {
            database: String::new(),
            stale: None,
            limits: Limits::default(),
            seen: Mutex::new(Seen { edition: Some(edition), confirmed: Some(Instant::now()), source: None }),
            turn: tokio::sync::Mutex::default(),
            nudged: Arc::default(),
            generations: Arc::default(),
        })
    }

    /// A cell in which names are taken as they are written, for tests of what does not depend on them.
    #[cfg(test)]
    pub(crate) fn without_catalog() -> Arc<CatalogCell> {
        let cell = CatalogCell::fixed(Catalog::default());
        cell.seen().edition = Some(Edition { classifier: Arc::new(Classifier::default()), generation: 1 });
        cell
    }

    /// The catalog; nothing where it could not be looked at for too long, which must refuse every statement that needs
    /// it. Cheap enough to ask for each statement.
    pub fn current(&self) -> Option<Edition> {
        let seen = self.seen();
        let confirmed = seen.confirmed?;
        let counts = self.stale.is_none_or(|stale| confirmed.elapsed() < stale);
        seen.edition.clone().filter(|_| counts)
    }

    /// Says that the catalog may have changed: it is looked at soon, though not more often than twice a second.
    pub fn nudge(&self) {
        self.nudged.notify_one();
    }

    pub(super) fn nudges(&self) -> Arc<Notify> {
        Arc::clone(&self.nudged)
    }

    /// From now on, looks go through this source.
    pub(super) fn look_through(&self, source: Arc<dyn Source>) {
        self.seen().source = Some(source);
    }

    /// Looks, or joins a look that began after this was called. Afterwards [`CatalogCell::current`] knows everything
    /// that was committed before the call.
    pub(super) async fn freshen(&self) -> Result<(), ControlError> {
        let asked = Instant::now();
        let mut turn = self.turn.lock().await;
        if let Some((began, outcome)) = &turn.last
            && *began >= asked
        {
            return outcome.clone();
        }
        let began = Instant::now();
        let outcome = self.look(&mut turn, began).await;
        turn.last = Some((began, outcome.clone()));
        outcome
    }

    async fn look(&self, turn: &mut Turn, began: Instant) -> Result<(), ControlError> {
        let source = self.seen().source.clone().ok_or_else(|| failed("nothing to look through"))?;
        let Some(reading) = source.look(&self.database, turn.fingerprint.as_deref()).await? else {
            self.seen().confirmed = Some(began);
            return Ok(());
        };
        let rows = reading.rows;
        let limits = self.limits;
        let made = tokio::task::spawn_blocking(move || Classifier::new(limits, Some(Catalog::new(rows)))).await;
        let classifier = Arc::new(made.map_err(|_| failed("the gateway is stopping"))?);
        let generation = self.generations.fetch_add(1, Ordering::Relaxed) + 1;
        let mut seen = self.seen();
        seen.edition = Some(Edition { classifier, generation });
        seen.confirmed = Some(began);
        turn.fingerprint = Some(reading.fingerprint);
        Ok(())
    }

    /// A connection to the cell's database, of the control user or of somebody else, by name and password.
    pub(crate) async fn dial(&self, user: Option<(&str, &str)>) -> Result<Client, ControlError> {
        let source = self.seen().source.clone().ok_or_else(|| failed("nothing to look through"))?;
        source.dial(&self.database, user).await
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for CatalogCell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CatalogCell").field("database", &self.database).finish_non_exhaustive()
    }
}

fn failed(why: &str) -> ControlError {
    ControlError { failure: ControlFailure::Other, message: format!("the target's catalog cannot be read: {why}") }
}
