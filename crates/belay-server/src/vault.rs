//! Plans and change sets on their way to the disk and back.
//!
//! Joins what others do: files keep the rows, the desk keeps the rest and judges, engines run and give back. What is
//! not on the disk is not committed.

mod apply;
mod behind;
mod draft;
mod keeper;
mod recover;
mod revert;
mod rows;

pub use apply::Applying;
pub use revert::{RevertWish, Reverting};
pub use rows::{PageOf, Shown, Text};

use crate::changes::{ChangeFiles, ChangesError, Limits};
use crate::desk::{Desk, DeskError, Origin};
use crate::targets::Targets;
use behind::Behind;
use belay_engine::{Control, ControlError, Keeper, SessionContext};
use belay_model::{Name, Span};
use keeper::FileKeeper;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// How long and how much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeping {
    /// How long the rows of a change are kept.
    pub retention: Span,
    /// Bytes of one change on the disk.
    pub bytes: u64,
    /// Row images of one change.
    pub rows: u64,
}

impl Default for Keeping {
    fn default() -> Keeping {
        Keeping { retention: Span::from_seconds(30 * 86_400), bytes: 4 << 30, rows: 20_000_000 }
    }
}

/// Files whose rows are read at once, to be shown.
const READ_AT_ONCE: usize = 2;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Vault {
    desk: Arc<Desk>,
    targets: Arc<Targets>,
    files: ChangeFiles,
    retention: Span,
    per_session: u32,
    reading: Arc<Semaphore>,
    behind: Behind,
}

impl Vault {
    /// The vault in the desk's data directory, which is made at the first start.
    pub(crate) fn open(
        desk: Arc<Desk>,
        targets: Arc<Targets>,
        keeping: Keeping,
        per_session: u32,
    ) -> Result<Vault, ChangesError> {
        let limits = Limits { bytes: keeping.bytes, rows: keeping.rows };
        let files = ChangeFiles::open(desk.data(), desk.keys(), limits)?;
        let reading = Arc::new(Semaphore::new(READ_AT_ONCE));
        Ok(Vault { desk, targets, files, retention: keeping.retention, per_session, reading, behind: Behind::new() })
    }

    /// Waits until it is written how the changes ended of whose commits clients have heard.
    pub async fn settled(&self) {
        self.behind.settled().await;
    }

    /// What keeps the changes of this session.
    pub(crate) fn keeper(&self, context: &SessionContext) -> Arc<dyn Keeper> {
        self.keeper_of(Origin {
            grant: context.grant.id,
            session: Some(context.session),
            connection: Some(context.connection),
            principal: context.grant.principal.clone(),
            target: context.grant.target.clone(),
            database: context.database.clone(),
            plan: None,
            reverts: Vec::new(),
        })
    }

    fn keeper_of(&self, origin: Origin) -> Arc<dyn Keeper> {
        Arc::new(FileKeeper { vault: self.clone(), origin })
    }

    async fn control(&self, target: &Name) -> Result<Arc<dyn Control>, DeskError> {
        let access = self.desk.target_access(target).await?;
        Ok(self.targets.control(&access))
    }
}

/// What a target did not do.
fn failed(target: &Name, error: &ControlError) -> DeskError {
    DeskError::Target {
        failure: error.failure,
        message: format!("{target} did not do it: {error}"),
        hint: format!("nothing was changed unless belay changes says so; belay target check {target}"),
    }
}

/// Files could not be read or written. The operator's log says why.
fn unreadable(error: &dyn std::fmt::Display) -> DeskError {
    DeskError::Store(format!("kept rows: {error}"))
}

/// Reads or writes files beside the threads that answer.
async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DeskError> + Send + 'static,
) -> Result<T, DeskError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| DeskError::Store("it was interrupted".to_owned()))?
}
