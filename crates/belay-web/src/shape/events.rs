//! Outputs of events.

use super::Head;
use belay_server::feed::OutputStatus;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whom events go to, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventOutput {
    /// What it is.
    #[serde(flatten)]
    pub head: Head,
    /// Its name in the configuration.
    pub name: String,
    /// `stdout`, `syslog`, `webhook` or `otlp`.
    pub to: String,
    /// Records of the ledger that its receiver may not have yet.
    pub behind: u64,
    /// Events sent since the server's start.
    pub sent: u64,
    /// Records that it never got.
    pub missed: u64,
    /// Why the last try failed, until one succeeds.
    pub error: Option<String>,
}

impl From<OutputStatus> for EventOutput {
    fn from(status: OutputStatus) -> EventOutput {
        let OutputStatus { name, to, behind, sent, missed, error } = status;
        EventOutput { head: Head::of("event_output"), name, to: to.to_owned(), behind, sent, missed, error }
    }
}
