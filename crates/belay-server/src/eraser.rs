//! Erasing the content of a session: the key to its records, the rows of its changes, and the index that holds its words.
//!
//! Each step can be done again, and an order is kept until all are done: what a crash cuts short goes on at the start.

use crate::desk::{Caller, Desk, DeskError};
use crate::ledger::{Ledger, search};
use crate::sessions::LiveSessions;
use crate::vault::Vault;
use belay_ledger::Owner;
use belay_model::{SessionId, Timestamp};
use belay_store::{ErasureRecord, ErasureState};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::sleep;

/// How often what is not done is tried again.
const ROUND: Duration = Duration::from_mins(1);
/// By how much a record may be newer than the one after it, in microseconds.
const APART: i64 = 86_400 * 1_000_000;
/// How long it waits for who uses the index.
const PATIENCE: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Clone)]
pub struct Eraser {
    pub(crate) desk: Arc<Desk>,
    pub(crate) ledger: Ledger,
    pub(crate) sessions: Arc<LiveSessions>,
    pub(crate) vault: Arc<Vault>,
    /// One erasure at a time.
    pub(crate) one: Arc<Mutex<()>>,
}

/// What was erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erased {
    /// The session.
    pub session: SessionId,
    /// Whether all is done. Otherwise it is tried again each minute: a target still has tables that were dropped.
    pub done: bool,
}

impl Eraser {
    /// Erases the content of a session that is over. What has begun goes on even if nobody waits for it.
    pub async fn erase(&self, who: &Caller, session: &str, reason: &str) -> Result<Erased, DeskError> {
        let (eraser, who, session, reason) = (self.clone(), who.clone(), session.to_owned(), reason.to_owned());
        let done = tokio::spawn(async move { eraser.erase_one(&who, &session, &reason).await });
        done.await.map_err(|_| DeskError::Store("the erasure was interrupted".to_owned()))?
    }

    async fn erase_one(&self, who: &Caller, session: &str, reason: &str) -> Result<Erased, DeskError> {
        let _alone = self.one.lock().await;
        let id = self.desk.session_to_erase(who, session).await?.id;
        if self.sessions.connections().iter().any(|connection| connection.session == Some(id)) {
            return Err(DeskError::Conflict {
                message: format!("{id} still has connections"),
                hint: "try again in a moment".to_owned(),
            });
        }
        if !self.ledger.may_have_key(Owner::Session(id)) && !self.desk.was_erased(id).await? {
            return Err(DeskError::Conflict {
                message: format!("there is no key to what {id} typed, so it cannot be erased"),
                hint: "it was recorded before content was sealed, or `session.keys` is lost".to_owned(),
            });
        }
        let erasure = self.desk.order_erasure(who, session, reason).await?;
        if erasure.state == ErasureState::Ordered
            && let Err(error) = self.desk.record_erasure(&erasure).await
        {
            self.desk.drop_erasure(id).await?;
            return Err(error);
        }
        Ok(Erased { session: id, done: self.carry_out(id).await? })
    }

    /// Goes on with what is not done.
    pub(crate) async fn recover(&self) {
        let _alone = self.one.lock().await;
        let open = match self.desk.open_erasures().await {
            Ok(open) => open,
            Err(error) => return tracing::error!("erasures that are open could not be listed: {error}"),
        };
        for erasure in open {
            let session = erasure.session;
            match self.go_on(&erasure).await {
                Ok(true) => tracing::info!(%session, "its content is erased"),
                Ok(false) => tracing::warn!(%session, "tables that it dropped wait in the target's trash"),
                Err(error) => tracing::error!(%session, "its content is not erased yet: {error}"),
            }
        }
    }

    /// The same for ever; and keys go that open nothing any more.
    pub(crate) async fn watch(self) {
        let mut oldest = 0;
        loop {
            sleep(ROUND).await;
            self.recover().await;
            if let Err(error) = self.retire_keys(&mut oldest).await {
                tracing::error!("keys that open nothing any more stay: {error}");
            }
        }
    }

    /// Forgets the keys of sessions whose records retention has deleted, and of which no rows are kept. Looks only if the
    /// oldest record is not the one that it was.
    pub(crate) async fn retire_keys(&self, oldest: &mut u64) -> Result<usize, DeskError> {
        let _alone = self.one.lock().await;
        let ledger = self.ledger.clone();
        let first = tokio::task::spawn_blocking(move || ledger.oldest()).await;
        let first = first.map_err(|error| broken(&error))?.map_err(|error| broken(&error))?;
        let Some((seq, at)) = first.filter(|(seq, _)| *seq > *oldest) else { return Ok(0) };
        let before = Timestamp(at.0.saturating_sub(APART));
        let outlived = self.desk.outlived(&self.ledger.key_owners(), before).await?;
        let count = outlived.len();
        if count > 0 {
            self.erase_keys(outlived).await?;
            tracing::info!(count, "keys of sessions went, whose records retention has deleted");
        }
        *oldest = seq;
        Ok(count)
    }

    async fn go_on(&self, erasure: &ErasureRecord) -> Result<bool, DeskError> {
        if erasure.state == ErasureState::Ordered {
            self.desk.record_erasure(erasure).await?;
        }
        self.carry_out(erasure.session).await
    }

    async fn carry_out(&self, session: SessionId) -> Result<bool, DeskError> {
        self.erase_keys(self.desk.owners_of(session).await?).await?;
        // Whoever reads from here on finds no key; what was read before is gone with the index.
        search::forget(&search::index_file(self.ledger.dir()), PATIENCE).await.map_err(|error| broken(&error))?;
        self.vault.drop_rows_of(session).await?;
        self.desk.settle_erasure(session).await
    }

    async fn erase_keys(&self, owners: Vec<Owner>) -> Result<(), DeskError> {
        let ledger = self.ledger.clone();
        let erased = tokio::task::spawn_blocking(move || ledger.erase_keys(&owners)).await;
        erased.map_err(|error| broken(&error))?.map_err(|error| broken(&error))?;
        Ok(())
    }
}

fn broken(error: &dyn std::fmt::Display) -> DeskError {
    DeskError::Store(error.to_string())
}
