//! What an earlier run left open, and what time does.

use super::{Vault, beside, unreadable};
use crate::desk::DeskError;
use belay_engine::{BoxFuture, Outcome};
use belay_model::{KeptChange, SessionId};
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How often targets are asked again, and files looked through.
const ROUND: Duration = Duration::from_mins(1);
/// How long a target may take to answer at the start.
const PATIENCE: Duration = Duration::from_secs(20);

impl Vault {
    /// At the start, before anybody is let in: removes files that nothing names, and asks the targets how what was
    /// kept has ended. A target that does not answer is asked again later.
    pub(crate) async fn recover(&self) {
        if let Err(error) = self.sweep_files().await {
            tracing::error!("files of an earlier run stay: {error}");
        }
        if timeout(PATIENCE, self.settle_all()).await.is_err() {
            tracing::warn!("some targets did not say in time how changes ended; they are asked again");
        }
    }

    /// Goes on asking, and removes rows whose time is over, for ever.
    pub(crate) async fn watch(self) {
        loop {
            sleep(ROUND).await;
            self.settle_all().await;
            if let Err(error) = self.retire().await {
                tracing::error!("rows whose time is over stay: {error}");
            }
        }
    }

    async fn settle_all(&self) {
        let changes = match self.desk.unsettled_changes().await {
            Ok(changes) => changes,
            Err(error) => return tracing::error!("changes that are open could not be listed: {error}"),
        };
        for change in changes {
            if let Err(error) = self.settle(&change).await {
                tracing::warn!(change = %change.id, "how it ended is not known yet: {error}");
            }
        }
    }

    async fn settle(&self, change: &KeptChange) -> Result<(), DeskError> {
        let Some(transaction) = &change.transaction else {
            return Err(DeskError::Store(format!("{} has no number in its target to ask about", change.id)));
        };
        let control = self.control(&change.target).await?;
        let asked: BoxFuture<'_, _> = control.changes().outcome(&change.database, transaction);
        let outcome = asked.await.map_err(|error| super::failed(&change.target, &error))?;
        match outcome {
            Outcome::Unknown => Ok(()),
            known => self.desk.settle_change(change.id, known).await,
        }
    }

    async fn sweep_files(&self) -> Result<(), DeskError> {
        let known: HashSet<String> = self.desk.change_files().await?.into_iter().collect();
        let files = self.files.clone();
        let swept = beside(move || {
            let mut swept = files.remove_leftovers().map_err(|error| unreadable(&error))?;
            for name in files.names().map_err(|error| unreadable(&error))? {
                if !known.contains(&name) {
                    swept += usize::from(files.remove(&name).map_err(|error| unreadable(&error))?);
                }
            }
            Ok(swept)
        });
        let swept = swept.await?;
        if swept > 0 {
            tracing::info!(swept, "files of changes that were never kept are removed");
        }
        Ok(())
    }

    /// Drops for good what was dropped so long ago. A target that does not answer is asked again.
    async fn empty_trash(&self) -> Result<(), DeskError> {
        for (change, set, file) in self.desk.due_trash().await? {
            let emptied = async {
                let control = self.control(&change.target).await?;
                let emptied: BoxFuture<'_, _> = control.changes().empty_trash(&change.database, change.id, &set);
                emptied.await.map_err(|error| super::failed(&change.target, &error))
            };
            match emptied.await {
                Ok(()) => {}
                // For a day a removed target is asked, too.
                Err(DeskError::NotFound { kind: "target", .. }) => {
                    tracing::warn!(change = %change.id, "its tables stay in the trash of a target that was removed");
                }
                Err(error) => {
                    tracing::warn!(change = %change.id, "its tables stay in the trash: {error}");
                    continue;
                }
            }
            self.desk.trash_emptied(change.id).await?;
            let files = self.files.clone();
            beside(move || files.remove(&file).map_err(|error| unreadable(&error))).await?;
        }
        Ok(())
    }

    /// Removes the rows of a session's plans and changes before their time.
    pub(crate) async fn drop_rows_of(&self, session: SessionId) -> Result<(), DeskError> {
        // Named as long as they are there: what fails here is tried again.
        self.remove(self.desk.session_files(session).await?).await?;
        self.desk.forget_session_files(session).await?;
        self.empty_trash().await
    }

    async fn retire(&self) -> Result<(), DeskError> {
        self.empty_trash().await?;
        let over = self.desk.forget_change_files(self.retention).await?;
        self.remove(over).await
    }

    async fn remove(&self, names: Vec<String>) -> Result<(), DeskError> {
        let files = self.files.clone();
        beside(move || {
            for name in names {
                files.remove(&name).map_err(|error| unreadable(&error))?;
            }
            Ok(())
        })
        .await
    }
}
