//! How an output is doing, for metrics and for `belay doctor`.

use crate::metrics::{EVENTS_BEHIND, EVENTS_FAILURES_TOTAL, EVENTS_MISSED_TOTAL, EVENTS_SENT_TOTAL};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How an output is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputStatus {
    /// Its name.
    pub name: String,
    /// `stdout`, `syslog`, `webhook` or `otlp`.
    pub to: &'static str,
    /// Records of the ledger that its receiver may not have yet.
    pub behind: u64,
    /// Events sent since the start, those that were sent again among them.
    pub sent: u64,
    /// Records that it never got, because they were gone, not understood, or refused for good.
    pub missed: u64,
    /// Why the last try failed, until one succeeds.
    pub error: Option<String>,
}

/// Counts for one output.
pub(super) struct Status {
    now: Mutex<OutputStatus>,
}

impl Status {
    pub(super) fn new(name: &str, to: &'static str) -> Status {
        let now = OutputStatus { name: name.to_owned(), to, behind: 0, sent: 0, missed: 0, error: None };
        let status = Status { now: Mutex::new(now) };
        // So that they are there before anything happens.
        metrics::counter!(EVENTS_SENT_TOTAL, "output" => name.to_owned()).increment(0);
        metrics::counter!(EVENTS_FAILURES_TOTAL, "output" => name.to_owned()).increment(0);
        metrics::counter!(EVENTS_MISSED_TOTAL, "output" => name.to_owned()).increment(0);
        status
    }

    pub(super) fn get(&self) -> OutputStatus {
        self.lock().clone()
    }

    #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
    pub(super) fn behind(&self, records: u64) {
        let mut now = self.lock();
        now.behind = records;
        metrics::gauge!(EVENTS_BEHIND, "output" => now.name.clone()).set(records as f64);
    }

    pub(super) fn sent(&self, events: u64) {
        let mut now = self.lock();
        now.sent += events;
        if now.error.take().is_some() {
            tracing::info!(output = now.name, "events go out again");
        }
        metrics::counter!(EVENTS_SENT_TOTAL, "output" => now.name.clone()).increment(events);
    }

    pub(super) fn missed(&self, records: u64, why: &str) {
        let mut now = self.lock();
        now.missed += records;
        tracing::error!(output = now.name, records, "records did not go out: {why}");
        metrics::counter!(EVENTS_MISSED_TOTAL, "output" => now.name.clone()).increment(records);
    }

    pub(super) fn failed(&self, why: &str) {
        let mut now = self.lock();
        tracing::warn!(output = now.name, "events do not go out: {why}");
        now.error = Some(why.to_owned());
        metrics::counter!(EVENTS_FAILURES_TOTAL, "output" => now.name.clone()).increment(1);
    }

    fn lock(&self) -> MutexGuard<'_, OutputStatus> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
