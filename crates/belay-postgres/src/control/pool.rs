//! Control connections, kept warm.

use super::connect::Dialer;
use super::fault::{Fault, late, unreachable_target};
use belay_engine::{ControlError, TargetAccess};
use std::collections::HashMap;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_postgres::Client;

/// Connections at once in each lane: at most twelve to a target.
const AT_ONCE: usize = 4;
/// Idle connections kept for one database.
const IDLE: usize = 2;
/// Databases of a target that idle connections are kept for.
const DATABASES: usize = 8;
const ATTEMPTS: u32 = 6;
const PAUSE: Duration = Duration::from_millis(10);
const QUEUE: Duration = Duration::from_secs(20);
/// A connection that was idle for longer may have died without a word, so it is asked first.
const FRESH: Duration = Duration::from_secs(15);
const PING: Duration = Duration::from_millis(500);

/// One thing to do on a control connection. It may be tried more than once.
pub(super) trait Act: Sync {
    /// What it yields.
    type Done: Send;

    /// How long one try may take.
    const LIMIT: Duration = Duration::from_secs(8);

    /// Does it.
    fn act(&self, client: &mut Client) -> impl Future<Output = Result<Self::Done, Fault>> + Send;
}

/// Which queue an act stands in. Ends never wait behind the making of roles, nor behind the dropping of others.
#[derive(Clone, Copy)]
pub(super) enum Lane {
    Ordinary,
    Ending,
    Dropping,
}

/// The connections to one target.
pub(super) struct Pool {
    dialer: Dialer,
    idle: Mutex<HashMap<String, Vec<(Client, Instant)>>>,
    ordinary: Semaphore,
    ending: Semaphore,
    dropping: Semaphore,
}

impl Pool {
    /// An empty pool; fails where the target's settings cannot work.
    pub(super) fn new(access: &TargetAccess) -> Result<Pool, ControlError> {
        Ok(Pool {
            dialer: Dialer::new(access)?,
            idle: Mutex::default(),
            ordinary: Semaphore::new(AT_ONCE),
            ending: Semaphore::new(AT_ONCE),
            dropping: Semaphore::new(AT_ONCE),
        })
    }

    /// What opens connections.
    pub(super) fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// Does `act` in `database`, again on collisions and on connections that had died.
    pub(super) async fn perform<A: Act>(&self, lane: Lane, database: &str, act: &A) -> Result<A::Done, ControlError> {
        let _turn = self.turn(lane).await?;
        let mut attempt = 1;
        loop {
            match self.attempt(database, act, attempt > 1).await {
                Ok(done) => return Ok(done),
                Err(fault) if attempt < ATTEMPTS && fault.is_passing() => {
                    tokio::time::sleep(PAUSE * attempt).await;
                    attempt += 1;
                }
                Err(fault) => return Err(fault.into()),
            }
        }
    }

    async fn turn(&self, lane: Lane) -> Result<SemaphorePermit<'_>, ControlError> {
        let semaphore = match lane {
            Lane::Ordinary => &self.ordinary,
            Lane::Ending => &self.ending,
            Lane::Dropping => &self.dropping,
        };
        let permit = tokio::time::timeout(QUEUE, semaphore.acquire()).await.map_err(|_| late(QUEUE))?;
        permit.map_err(|_| unreachable_target("the gateway is stopping"))
    }

    /// A connection goes back only when its act came to an end; a dropped future closes it.
    async fn attempt<A: Act>(&self, database: &str, act: &A, fresh: bool) -> Result<A::Done, Fault> {
        let recycled = if fresh { None } else { self.take(database).await };
        let mut client = match recycled {
            Some(client) => client,
            None => self.dialer.dial(database).await.map_err(ControlError::from)?,
        };
        let result = tokio::time::timeout(A::LIMIT, act.act(&mut client)).await.map_err(|_| late(A::LIMIT))?;
        if result.as_ref().err().is_none_or(|fault| !fault.breaks_connection()) {
            self.put_back(database, client);
        }
        result
    }

    /// An idle connection that lives.
    async fn take(&self, database: &str) -> Option<Client> {
        for _ in 0..=IDLE {
            let (client, since) = self.pop(database)?;
            if client.is_closed() {
                continue;
            }
            let fresh = since.elapsed() < FRESH;
            if fresh || matches!(tokio::time::timeout(PING, client.batch_execute("")).await, Ok(Ok(()))) {
                return Some(client);
            }
        }
        None
    }

    fn pop(&self, database: &str) -> Option<(Client, Instant)> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).get_mut(database)?.pop()
    }

    fn put_back(&self, database: &str, client: Client) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if !idle.contains_key(database) && idle.len() >= DATABASES {
            return;
        }
        let clients = idle.entry(database.to_owned()).or_default();
        if clients.len() < IDLE && !client.is_closed() {
            clients.push((client, Instant::now()));
        }
    }
}
