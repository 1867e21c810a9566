//! Sessions: all connections of one principal on one grant.

use crate::{GrantId, Name, SessionId, Timestamp};
use serde::{Deserialize, Serialize};

/// Whether a session is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// Its grant is live; it may have any number of connections, none included.
    Open,
    /// Its grant has ended.
    Closed,
}

/// A session, as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// The grant.
    pub grant: GrantId,
    /// Whose it is.
    pub principal: Name,
    /// The target.
    pub target: Name,
    /// Whether it is in use.
    pub state: SessionState,
    /// When its first connection came.
    pub started_at: Timestamp,
    /// When it closed.
    pub ended_at: Option<Timestamp>,
    /// A connection was cut inside a transaction and no later one has rolled back yet.
    pub cut_in_transaction: bool,
}
