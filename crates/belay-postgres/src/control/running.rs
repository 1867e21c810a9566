//! What a back end is doing: cancelling it, and seeing whether it waits for a lock. Process ids are used again, so each
//! act is for one that belongs to the role.

use super::fault::Fault;
use super::pool::Act;
use super::role_name::RoleName;
use std::time::Duration;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

/// Cancels the statement of a back end. What runs has been signalled when this is done; an idle back end takes no notice.
pub(super) struct CancelBackEnd<'a> {
    pub(super) role: &'a RoleName,
    pub(super) pid: i32,
}

impl Act for CancelBackEnd<'_> {
    type Done = ();
    const LIMIT: Duration = Duration::from_secs(3);

    async fn act(&self, client: &mut Client) -> Result<(), Fault> {
        let sql = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND usename = $2";
        client.query_typed(sql, &[(&self.pid, Type::INT4), (&self.role.plain(), Type::NAME)]).await?;
        Ok(())
    }
}

/// How long a back end has been waiting for a lock; `None` where it does not wait.
pub(super) struct LockWait<'a> {
    pub(super) role: &'a RoleName,
    pub(super) pid: i32,
}

impl Act for LockWait<'_> {
    type Done = Option<Duration>;
    const LIMIT: Duration = Duration::from_secs(3);

    async fn act(&self, client: &mut Client) -> Result<Option<Duration>, Fault> {
        let sql = "SELECT extract(epoch FROM clock_timestamp() - min(l.waitstart))::float8
            FROM pg_locks l JOIN pg_stat_activity a USING (pid)
            WHERE a.pid = $1 AND a.usename = $2 AND NOT l.granted";
        let row = client.query_typed_opt(sql, &[(&self.pid, Type::INT4), (&self.role.plain(), Type::NAME)]).await?;
        let seconds: Option<f64> = row.map(|row| row.try_get(0)).transpose()?.flatten();
        Ok(seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default()))
    }
}
