//! The desk's door to the ledger.

use crate::ledger::Ledger;
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

impl Recorder for Ledger {
    fn record(&self, event: Event) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // Down or up: it is kept in order, and a full queue is counted by the ledger.
            if let Err(event) = self.try_record(event)
                && let Err(lost) = self.record_late(event)
            {
                tracing::error!(kind = lost.kind.word(), "an event was lost: the ledger's queue is full");
            }
        })
    }

    fn record_durable(&self, event: Event) -> BoxFuture<'_, Result<(), Unrecorded>> {
        Box::pin(async move {
            Ledger::record_durable(self, event).await.map_err(|down| {
                tracing::error!(why = %down, "an event could not be recorded");
                Unrecorded
            })
        })
    }
}
