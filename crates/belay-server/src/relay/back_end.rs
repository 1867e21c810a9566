//! What a relay asks of its back end over the control connection, while the back end is busy with a statement.

use crate::desk::Desk;
use crate::targets::Targets;
use belay_engine::{BoxFuture, SessionContext};
use belay_model::{ConnectionId, GrantId, Name};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// One back end of a grant's role.
#[derive(Clone)]
pub(crate) struct BackEnd {
    desk: Arc<Desk>,
    targets: Arc<Targets>,
    target: Name,
    grant: GrantId,
    connection: ConnectionId,
    pid: i32,
}

impl BackEnd {
    pub(crate) fn new(desk: &Arc<Desk>, targets: &Arc<Targets>, context: &SessionContext, pid: i32) -> BackEnd {
        BackEnd {
            desk: Arc::clone(desk),
            targets: Arc::clone(targets),
            target: context.grant.target.clone(),
            grant: context.grant.id,
            connection: context.connection,
            pid,
        }
    }

    /// Cancels what it runs. False where the target could not be reached for it.
    pub(super) fn cancel(&self) -> BoxFuture<'static, bool> {
        let end = self.clone();
        Box::pin(async move {
            let cancel = async {
                let access = end.desk.target_access(&end.target).await.map_err(|error| error.to_string())?;
                let role = end.targets.role_name(end.grant);
                let control = end.targets.control(&access);
                control.cancel_backend(&role, end.pid).await.map_err(|error| error.to_string())
            };
            let done = timeout(PATIENCE, cancel).await.unwrap_or_else(|_| Err("no answer in time".to_owned()));
            if let Err(why) = &done {
                tracing::warn!(connection = %end.connection, backend = end.pid, "statement not cancelled: {why}");
            }
            done.is_ok()
        })
    }

    /// How long it has been waiting for a lock; `None` where it does not wait, or nobody can tell.
    pub(super) fn lock_wait(&self) -> BoxFuture<'static, Option<Duration>> {
        let end = self.clone();
        Box::pin(async move {
            let look = async {
                let access = end.desk.target_access(&end.target).await.ok()?;
                let role = end.targets.role_name(end.grant);
                let looked = end.targets.control(&access).lock_wait(&role, end.pid).await;
                looked
                    .inspect_err(|error| tracing::warn!(connection = %end.connection, "locks not seen: {error}"))
                    .ok()?
            };
            timeout(PATIENCE, look).await.unwrap_or_default()
        })
    }
}
