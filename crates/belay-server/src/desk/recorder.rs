//! The desk's door to the ledger.

use belay_engine::BoxFuture;
use belay_model::Event;

/// An event could not be made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the ledger cannot be written")]
pub struct Unrecorded;

/// Where the desk records what it does.
pub trait Recorder: Send + Sync {
    /// Hands the event in without waiting for the disk.
    fn record(&self, event: Event) -> BoxFuture<'_, ()>;

    /// Returns once the event is on the disk.
    fn record_durable(&self, event: Event) -> BoxFuture<'_, Result<(), Unrecorded>>;
}
