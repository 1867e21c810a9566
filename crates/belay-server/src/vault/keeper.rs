//! Keeps what one session, or one plan that is applied, changes.

use super::draft::{FileDraft, finish};
use super::{Vault, beside, unreadable};
use crate::desk::{DeskError, NewPlan, Origin, RevertOrder};
use crate::secrets;
use belay_change::{ChangeSet, RowKey, Script};
use belay_engine::{BoxFuture, Draft, Keeper, NotKept, Outcome};
use belay_model::{ChangeId, Plan, PlanId};
use std::io;
use std::sync::Arc;

/// See the module.
pub(super) struct FileKeeper {
    pub(super) vault: Vault,
    pub(super) origin: Origin,
}

impl Keeper for FileKeeper {
    fn open(&self) -> io::Result<Box<dyn Draft>> {
        Ok(Box::new(FileDraft::new(self.vault.files.begin()?)))
    }

    fn plan(&self, draft: Box<dyn Draft>, change: ChangeSet, script: Script) -> BoxFuture<'_, Result<PlanId, NotKept>> {
        Box::pin(async move {
            let plan = self.vault.keep_plan(&self.origin, draft, &change, script, PlanOf::default()).await;
            plan.map(|plan| plan.id).map_err(|error| not_kept(&error))
        })
    }

    fn keep(
        &self,
        draft: Box<dyn Draft>,
        change: ChangeSet,
        script: Script,
    ) -> BoxFuture<'_, Result<ChangeId, NotKept>> {
        Box::pin(async move {
            let mut draft = own(draft).map_err(|error| not_kept(&error))?;
            let file = name().map_err(|error| not_kept(&error))?;
            let keys = draft.take_keys();
            // Both are on the disk before the COMMIT leaves; neither waits for the other.
            let sealed = self.vault.seal(draft, script, &file);
            let kept = async {
                let keys = self.vault.told_keys(&self.origin, &change, keys).await?;
                self.vault.desk.keep_change(&self.origin, (&change, keys), &file, self.vault.retention).await
            };
            let error = match tokio::join!(sealed, kept) {
                (Ok(()), Ok(kept)) => return Ok(kept.id),
                (Ok(()), Err(error)) => {
                    self.vault.drop_file(file).await;
                    error
                }
                (Err(error), Ok(kept)) => {
                    self.vault.desk.never_sent(kept.id).await;
                    error
                }
                (Err(error), Err(_)) => error,
            };
            Err(not_kept(&error))
        })
    }

    fn committed(&self, change: ChangeId) -> BoxFuture<'_, ()> {
        let desk = Arc::clone(&self.vault.desk);
        Box::pin(self.vault.behind.begin(async move {
            if let Err(error) = desk.settle_change(change, Outcome::Committed).await {
                tracing::error!(%change, "it was committed, and that is not written yet: {error}");
            }
        }))
    }

    fn ended(&self, change: ChangeId, outcome: Outcome) -> BoxFuture<'_, Result<(), NotKept>> {
        Box::pin(async move { self.vault.desk.settle_change(change, outcome).await.map_err(|error| not_kept(&error)) })
    }
}

/// What a plan is beyond its rows.
#[derive(Default)]
pub(super) struct PlanOf<'a> {
    pub(super) revert: Option<RevertOrder>,
    pub(super) replaces: Option<&'a Plan>,
}

impl Vault {
    pub(super) async fn keep_plan(
        &self,
        origin: &Origin,
        draft: Box<dyn Draft>,
        set: &ChangeSet,
        script: Script,
        of: PlanOf<'_>,
    ) -> Result<Plan, DeskError> {
        let unrepeatable = script.unrepeatable.clone();
        let mut draft = own(draft)?;
        let file = name()?;
        let mut keys = self.told_keys(origin, set, draft.take_keys()).await?;
        for (change, keys) in set.tables.iter().zip(&mut keys) {
            if change.table.key.iter().any(|place| change.volatile.contains(place)) {
                // Which rows come is decided when the plan is applied.
                keys.retain(|key| !key.is_new);
            }
        }
        self.seal(draft, script, &file).await?;
        let new = NewPlan { set, keys, file: &file, unrepeatable, revert: of.revert, replaces: of.replaces };
        match self.desk.keep_plan(origin, new).await {
            Ok(plan) => Ok(plan),
            Err(error) => {
                self.drop_file(file).await;
                Err(error)
            }
        }
    }

    /// The keys that everybody may know who reads the ledger: none of which a part is masked.
    async fn told_keys(
        &self,
        origin: &Origin,
        set: &ChangeSet,
        mut keys: Vec<Vec<RowKey>>,
    ) -> Result<Vec<Vec<RowKey>>, DeskError> {
        if keys.iter().all(Vec::is_empty) {
            return Ok(keys);
        }
        let masked = self.masked(&origin.target, &origin.database).await?;
        for (change, keys) in set.tables.iter().zip(&mut keys) {
            if masked.cover_key(&change.table) {
                keys.clear();
            }
        }
        Ok(keys)
    }

    /// Puts the rows and the script on the disk, into the file of this name.
    async fn seal(&self, draft: FileDraft, script: Script, file: &str) -> Result<(), DeskError> {
        let file = file.to_owned();
        beside(move || finish(draft, &script, &file).map_err(|error| unreadable(&error))).await
    }

    /// A file that nothing names is swept at the next start, too.
    async fn drop_file(&self, file: String) {
        let files = self.files.clone();
        let dropped = beside(move || files.remove(&file).map_err(|error| unreadable(&error))).await;
        if let Err(error) = dropped {
            tracing::warn!("a file of rows that are not kept stays: {error}");
        }
    }
}

/// The draft, which this keeper has made.
fn own(draft: Box<dyn Draft>) -> Result<FileDraft, DeskError> {
    let draft = draft.into_any().downcast::<FileDraft>();
    Ok(*draft.map_err(|_| DeskError::Store("these rows are of another keeper".to_owned()))?)
}

/// A name that no other file has.
fn name() -> Result<String, DeskError> {
    Ok(hex::encode(secrets::random::<16>().map_err(|error| unreadable(&error))?))
}

fn not_kept(error: &DeskError) -> NotKept {
    if let DeskError::Store(_) = error {
        tracing::error!("a change is not kept: {error}");
    }
    NotKept(error.to_string())
}
