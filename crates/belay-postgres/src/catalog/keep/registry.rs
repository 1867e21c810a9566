//! The cells of all databases in use, and who keeps each fresh.

use super::{CatalogCell, Pace, Source};
use belay_engine::{ControlError, ControlFailure};
use belay_model::{Name, Target};
use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// Target and database.
type Key = (Name, String);

/// Cells by target and database. A target whose address has changed is another target: its sessions keep the cell that
/// they have, and new ones get a new one.
#[derive(Default)]
pub(crate) struct Catalogs {
    pace: Pace,
    generations: Arc<AtomicU64>,
    kept: Mutex<HashMap<Key, Kept>>,
}

struct Kept {
    target: Target,
    cell: Arc<CatalogCell>,
    used: Instant,
}

impl Catalogs {
    /// At this pace.
    pub(crate) fn with_pace(pace: Pace) -> Catalogs {
        Catalogs { pace, ..Catalogs::default() }
    }

    /// The cell of this database, if it has been looked at before.
    pub(crate) fn cell(&self, target: &Target, database: &str) -> Option<Arc<CatalogCell>> {
        find(&mut self.kept(), &(target.name.clone(), database.to_owned()), target)
    }

    /// Looks at this database, also for everybody who has its cell already.
    pub(crate) async fn freshen(
        self: &Arc<Self>,
        target: &Target,
        database: &str,
        source: Arc<dyn Source>,
    ) -> Result<(), ControlError> {
        let cell = self.cell_or_new(target, database)?;
        cell.look_through(source);
        cell.freshen().await
    }

    fn cell_or_new(self: &Arc<Self>, target: &Target, database: &str) -> Result<Arc<CatalogCell>, ControlError> {
        let key = (target.name.clone(), database.to_owned());
        let mut kept = self.kept();
        if let Some(cell) = find(&mut kept, &key, target) {
            return Ok(cell);
        }
        if kept.len() >= self.pace.cells && !kept.contains_key(&key) {
            let free = kept.iter().filter(|(_, one)| Arc::strong_count(&one.cell) == 1);
            let oldest = free.min_by_key(|(_, one)| one.used);
            let oldest = oldest.map(|(key, _)| key.clone()).ok_or_else(full)?;
            kept.remove(&oldest);
        }
        let cell = Arc::new(CatalogCell::new(database, self.pace, Arc::clone(&self.generations)));
        kept.insert(key.clone(), Kept { target: target.clone(), cell: Arc::clone(&cell), used: Instant::now() });
        let keeper = Keeper {
            catalogs: Arc::downgrade(self),
            cell: Arc::downgrade(&cell),
            nudges: cell.nudges(),
            key,
            pace: self.pace,
        };
        tokio::spawn(keeper.run());
        Ok(cell)
    }

    /// Lets a cell go that nobody has used for a while. True while somebody does.
    fn is_in_use(&self, key: &Key, cell: &Arc<CatalogCell>) -> bool {
        let mut kept = self.kept();
        let Some(found) = kept.get(key).filter(|one| Arc::ptr_eq(&one.cell, cell)) else {
            return Arc::strong_count(cell) > 1;
        };
        // The registry has one, and who asks has one.
        if Arc::strong_count(cell) > 2 {
            return true;
        }
        if found.used.elapsed() > self.pace.idle {
            kept.remove(key);
        }
        false
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<Key, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn find(kept: &mut HashMap<Key, Kept>, key: &Key, target: &Target) -> Option<Arc<CatalogCell>> {
    let found = kept.get_mut(key).filter(|one| one.target == *target)?;
    found.used = Instant::now();
    Some(Arc::clone(&found.cell))
}

fn full() -> ControlError {
    ControlError { failure: ControlFailure::Other, message: "too many databases are in use at once".to_owned() }
}

/// Looks again and again. Ends once the cell is gone.
struct Keeper {
    catalogs: Weak<Catalogs>,
    cell: Weak<CatalogCell>,
    nudges: Arc<Notify>,
    key: Key,
    pace: Pace,
}

impl Keeper {
    async fn run(self) {
        let mut failing = false;
        let mut cost = Duration::ZERO;
        loop {
            self.pause(cost).await;
            let (Some(catalogs), Some(cell)) = (self.catalogs.upgrade(), self.cell.upgrade()) else { return };
            if !catalogs.is_in_use(&self.key, &cell) {
                continue;
            }
            let began = Instant::now();
            let outcome = cell.freshen().await;
            cost = began.elapsed();
            if let Err(error) = &outcome
                && !failing
            {
                let (target, database) = &self.key;
                tracing::warn!(target_name = %target, database, "catalog not looked at: {error}");
            }
            failing = outcome.is_err();
        }
    }

    /// Until the next tick, or until somebody asks; never shorter than the pace allows. A look that costs much is made
    /// less often, so that it takes a twentieth of the target's time at the most, while the catalog still counts.
    async fn pause(&self, cost: Duration) {
        let least = self.pace.nudge.max(cost).min(self.pace.stale / 3);
        sleep(least).await;
        let tick = self.pace.tick.max((cost * 20).min(self.pace.stale / 3));
        // Without a nudge, the tick has come.
        let _ = timeout(tick.saturating_sub(least), self.nudges.notified()).await;
    }
}
