//! Ending back ends: statements cancelled, processes terminated and seen to be gone.

use super::fault::{Fault, other};
use super::pool::Act;
use super::role_name::RoleName;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

/// How long back ends get to be gone.
const PATIENCE: Duration = Duration::from_secs(10);
/// A first look comes soon, because most are gone within a few milliseconds; later ones cost the target less.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// Back ends that came up while the role was being closed, and signals that got lost, are met by signalling again.
const AGAIN: Duration = Duration::from_millis(100);

const SIGNAL: &str = "SELECT pid, pg_cancel_backend(pid), pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE usesysid = $1 AND pid <> pg_backend_pid()";
const LOOK: &str = "SELECT pid FROM pg_stat_activity WHERE usesysid = $1 AND pid <> pg_backend_pid()";

/// What was ended.
pub(super) struct Ended {
    /// The role's oid, which its back ends keep even when it is dropped.
    pub(super) oid: u32,
    /// How many back ends.
    pub(super) count: u32,
}

/// Ends all back ends of a role. `None` where there is no such role.
pub(super) struct EndBackEnds<'a> {
    pub(super) role: &'a RoleName,
    /// Whether the role can log in no more.
    pub(super) bar_login: bool,
}

impl Act for EndBackEnds<'_> {
    type Done = Option<Ended>;
    const LIMIT: Duration = Duration::from_secs(15);

    async fn act(&self, client: &mut Client) -> Result<Option<Ended>, Fault> {
        let sql = "SELECT oid FROM pg_roles WHERE rolname = $1";
        let Some(row) = client.query_typed_opt(sql, &[(&self.role.plain(), Type::NAME)]).await? else {
            return Ok(None);
        };
        let oid: u32 = row.try_get(0)?;
        if self.bar_login
            && let Err(fault) = self.bar(client).await
        {
            // Somebody holds the role's row. Its back ends need not wait for that.
            client.query_typed(SIGNAL, &[(&oid, Type::OID)]).await?;
            return Err(fault);
        }
        Ok(Some(Ended { oid, count: end_all(client, oid, !self.bar_login).await? }))
    }
}

impl EndBackEnds<'_> {
    /// Bounded: see the caller.
    async fn bar(&self, client: &Client) -> Result<(), Fault> {
        let alter =
            format!("SET lock_timeout = '200ms'; ALTER ROLE {} NOLOGIN; SET lock_timeout = '2s'", self.role.quoted());
        client.batch_execute(&alter).await?;
        Ok(())
    }
}

/// Signals every back end of the role and waits until they are gone; with `only_those`, newcomers are left alone.
pub(super) async fn end_all(client: &Client, role: u32, only_those: bool) -> Result<u32, Fault> {
    let mut seen: BTreeSet<i32> = pids(&client.query_typed(SIGNAL, &[(&role, Type::OID)]).await?)?.collect();
    let first = seen.clone();
    let (start, mut signalled, mut pause) = (Instant::now(), Instant::now(), FIRST_PAUSE);
    let mut left = seen.len();
    while left > 0 {
        if start.elapsed() > PATIENCE {
            return Err(other(format!("{left} back ends are still there after {PATIENCE:?}")).into());
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        let again = !only_those && signalled.elapsed() > AGAIN;
        let rows = client.query_typed(if again { SIGNAL } else { LOOK }, &[(&role, Type::OID)]).await?;
        if again {
            signalled = Instant::now();
        }
        let now: BTreeSet<i32> = pids(&rows)?.collect();
        left = if only_those { now.intersection(&first).count() } else { now.len() };
        seen.extend(now.iter().filter(|_| !only_those));
    }
    Ok(u32::try_from(seen.len()).unwrap_or(u32::MAX))
}

fn pids(rows: &[Row]) -> Result<impl Iterator<Item = i32> + use<>, Fault> {
    let pids: Vec<i32> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    Ok(pids.into_iter())
}

/// Ends one back end, if it belongs to the role: process ids are used again.
pub(super) struct EndBackEnd<'a> {
    pub(super) role: &'a RoleName,
    pub(super) pid: i32,
}

impl Act for EndBackEnd<'_> {
    type Done = ();
    const LIMIT: Duration = Duration::from_secs(12);

    async fn act(&self, client: &mut Client) -> Result<(), Fault> {
        let (start, mut pause) = (Instant::now(), FIRST_PAUSE);
        let signal = "SELECT pg_cancel_backend(pid), pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE pid = $1 AND usename = $2";
        let look = "SELECT FROM pg_stat_activity WHERE pid = $1 AND usename = $2";
        let mut sql = signal;
        loop {
            let found = client.query_typed(sql, &[(&self.pid, Type::INT4), (&self.role.plain(), Type::NAME)]).await?;
            if found.is_empty() {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                return Err(other(format!("back end {} is still there after {PATIENCE:?}", self.pid)).into());
            }
            tokio::time::sleep(pause).await;
            sql = if pause < LONGEST_PAUSE { look } else { signal };
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
