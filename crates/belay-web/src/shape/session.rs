//! Sessions and their connections.

use super::{Head, Time, word};
use belay_server::sessions::LiveConnection;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// All connections of one person on one grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// What it is.
    #[serde(flatten)]
    pub head: Head,
    /// Its id.
    pub id: String,
    /// The grant.
    pub grant: String,
    /// Whose it is.
    pub principal: String,
    /// The target.
    pub target: String,
    /// `open` or `closed`.
    pub state: String,
    /// When its first connection came.
    pub started_at: Time,
    /// When it closed.
    pub ended_at: Option<Time>,
    /// A connection was cut inside a transaction, and the next one starts in the failed state.
    pub cut_in_transaction: bool,
    /// Its connections that are open now.
    pub connections: Vec<Connection>,
}

/// One open connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Connection {
    /// Its id.
    pub id: String,
    /// Where the client is.
    pub client: String,
    /// What it calls itself.
    pub application: String,
    /// The database in the target.
    pub database: String,
    /// Since when.
    pub since: Time,
}

impl Session {
    pub(crate) fn new(session: &belay_model::Session, live: &[LiveConnection]) -> Session {
        let open = live.iter().filter(|connection| connection.session == Some(session.id));
        Session {
            head: Head::of("session"),
            id: session.id.to_string(),
            grant: session.grant.to_string(),
            principal: session.principal.to_string(),
            target: session.target.to_string(),
            state: word(session.state),
            started_at: session.started_at.into(),
            ended_at: session.ended_at.map(Time::from),
            cut_in_transaction: session.cut_in_transaction,
            connections: open.map(Connection::from).collect(),
        }
    }
}

impl From<&LiveConnection> for Connection {
    fn from(live: &LiveConnection) -> Connection {
        Connection {
            id: live.id.to_string(),
            client: live.client.to_string(),
            application: live.application.clone(),
            database: live.database.clone(),
            since: live.since.into(),
        }
    }
}

/// How many connections were ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ended {
    /// What it is.
    #[serde(flatten)]
    pub head: Head,
    /// The session.
    pub session: String,
    /// How many connections were ended.
    pub connections: usize,
}

impl Ended {
    pub(crate) fn new(session: belay_model::SessionId, connections: usize) -> Ended {
        Ended { head: Head::of("session_ended"), session: session.to_string(), connections }
    }
}
