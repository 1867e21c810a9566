//! The connections that are live in this process, by grant.
//!
//! Knows no protocol and no store. Whoever ends a grant says so here, and every connection of it hears it.

mod rate;

pub(crate) use rate::Rate;

use belay_engine::Life;
use belay_model::{Code, ConnectionId, EndReason, Grant, GrantId, Name, SessionId, Timestamp};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Bounds on connections.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// Of the whole gateway.
    pub total: usize,
    /// Of one session.
    pub per_session: usize,
}

/// A live connection, as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveConnection {
    /// Its id.
    pub id: ConnectionId,
    /// Its session; known once the login is through.
    pub session: Option<SessionId>,
    /// Its grant.
    pub grant: GrantId,
    /// Whose it is.
    pub principal: Name,
    /// The target.
    pub target: Name,
    /// The database in the target.
    pub database: String,
    /// Where the client is.
    pub client: SocketAddr,
    /// What the client calls itself.
    pub application: String,
    /// When it came.
    pub since: Timestamp,
}

/// See the module.
#[derive(Debug)]
pub struct LiveSessions {
    limits: ConnectionLimits,
    live: Mutex<HashMap<GrantId, Live>>,
}

#[derive(Debug)]
struct Live {
    life: watch::Sender<Life>,
    /// Held while the grant's role is made or dropped, so that no role is made for a grant that has ended.
    role: Arc<tokio::sync::Mutex<()>>,
    connections: HashMap<ConnectionId, LiveConnection>,
    rate: Arc<Rate>,
}

/// A connection's place. Dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Place {
    sessions: Arc<LiveSessions>,
    grant: GrantId,
    id: ConnectionId,
}

/// What a connection gets with its place.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) place: Place,
    pub(crate) life: watch::Receiver<Life>,
    pub(crate) role: Arc<tokio::sync::Mutex<()>>,
}

impl LiveSessions {
    /// Nobody yet.
    pub fn new(limits: ConnectionLimits) -> Arc<LiveSessions> {
        Arc::new(LiveSessions { limits, live: Mutex::default() })
    }

    /// Every live connection, by grant and id.
    pub fn connections(&self) -> Vec<LiveConnection> {
        let live = self.lock();
        let mut all: Vec<_> = live.values().flat_map(|live| live.connections.values().cloned()).collect();
        all.sort_by_key(|connection| (connection.grant, connection.id));
        all
    }

    /// How many connections are live.
    pub fn count(&self) -> usize {
        self.lock().values().map(|live| live.connections.len()).sum()
    }

    /// Every grant that has been seen live here and whose end has not been carried out.
    pub(crate) fn grants(&self) -> Vec<GrantId> {
        self.lock().keys().copied().collect()
    }

    /// Gives a connection its place, before the store is asked whether the grant is live: an end that comes
    /// afterwards finds it.
    pub(crate) fn admit(
        self: &Arc<LiveSessions>,
        grant: &Grant,
        connection: LiveConnection,
    ) -> Result<Admission, Code> {
        let mut live = self.lock();
        let total: usize = live.values().map(|live| live.connections.len()).sum();
        if total >= self.limits.total {
            return Err(Code::TooManyConnections);
        }
        let id = connection.id;
        let entry = live.entry(grant.id).or_insert_with(|| Live::until(grant.ends_at));
        if let Life::Over(_) = *entry.life.borrow() {
            return Err(Code::NoGrant);
        }
        let budget = grant.bounds.budgets.connections.map_or(usize::MAX, |most| most as usize);
        if entry.connections.len() >= self.limits.per_session.min(budget) {
            return Err(Code::TooManyConnections);
        }
        entry.connections.insert(id, connection);
        Ok(Admission {
            place: Place { sessions: Arc::clone(self), grant: grant.id, id },
            life: entry.life.subscribe(),
            role: Arc::clone(&entry.role),
        })
    }

    /// The lock on the grant's role.
    pub(crate) fn role_lock(&self, grant: GrantId) -> Arc<tokio::sync::Mutex<()>> {
        self.lock().get(&grant).map(|live| Arc::clone(&live.role)).unwrap_or_default()
    }

    /// What the grant's statements are counted with.
    pub(crate) fn rate(&self, grant: GrantId) -> Arc<Rate> {
        self.lock().get(&grant).map(|live| Arc::clone(&live.rate)).unwrap_or_default()
    }

    /// Moves the end of a grant.
    pub(crate) fn extend(&self, grant: GrantId, until: Timestamp) {
        if let Some(live) = self.lock().get(&grant) {
            live.life.send_if_modified(|life| match life {
                Life::Until(_) => {
                    *life = Life::Until(until);
                    true
                }
                Life::Over(_) => false,
            });
        }
    }

    /// Tells every connection of the grant that it is over, and lets no further one in.
    pub(crate) fn end(&self, grant: GrantId, reason: EndReason) {
        if let Some(live) = self.lock().get(&grant) {
            live.life.send_replace(Life::Over(reason));
        }
    }

    /// Ends the connections there are and lets new ones in until then: the grant lives on.
    pub(crate) fn renew(&self, grant: GrantId, until: Timestamp, reason: EndReason) {
        let mut live = self.lock();
        if let Some(live) = live.get_mut(&grant) {
            live.life.send_replace(Life::Over(reason));
            live.life = watch::Sender::new(Life::Until(until));
        }
    }

    /// Ends everything.
    pub(crate) fn end_all(&self, reason: EndReason) {
        for live in self.lock().values() {
            live.life.send_replace(Life::Over(reason));
        }
    }

    /// Forgets a grant whose end has been carried out.
    pub(crate) fn forget(&self, grant: GrantId) {
        let mut live = self.lock();
        if live.get(&grant).is_some_and(|live| live.connections.is_empty()) {
            live.remove(&grant);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<GrantId, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    fn until(ends_at: Timestamp) -> Live {
        let life = watch::Sender::new(Life::Until(ends_at));
        Live { life, role: Arc::default(), connections: HashMap::new(), rate: Arc::default() }
    }
}

impl Place {
    /// Says which session the connection turned out to belong to.
    pub(crate) fn settle(&self, session: SessionId) {
        if let Some(live) = self.sessions.lock().get_mut(&self.grant)
            && let Some(connection) = live.connections.get_mut(&self.id)
        {
            connection.session = Some(session);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut live = self.sessions.lock();
        let Some(entry) = live.get_mut(&self.grant) else { return };
        entry.connections.remove(&self.id);
        let over = matches!(*entry.life.borrow(), Life::Over(_));
        if entry.connections.is_empty() && over {
            live.remove(&self.grant);
        }
    }
}
