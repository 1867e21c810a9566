//! The metrics' names and where they are collected.
//!
//! Labels never hold a user or a statement. What is counted stands where it happens, with the `metrics` macros.

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Open sessions.
pub const SESSIONS_ACTIVE: &str = "belay_sessions_active";
/// Statements, by `target`, `effect` and `decision`.
pub const STATEMENTS_TOTAL: &str = "belay_statements_total";
/// What the gateway adds to a statement, in seconds.
pub const GATEWAY_OVERHEAD_SECONDS: &str = "belay_gateway_overhead_seconds";
/// Records in the ledger.
pub const LEDGER_RECORDS_TOTAL: &str = "belay_ledger_records_total";
/// Sessions that were cut inside a transaction.
pub const SESSION_CUT_IN_TRANSACTION_TOTAL: &str = "belay_session_cut_in_transaction_total";
/// Whether a `target` answered the last time it was asked.
pub const TARGET_UP: &str = "belay_target_up";
/// Records that the receiver of an `output` may not have yet.
pub const EVENTS_BEHIND: &str = "belay_events_behind";
/// Events sent to an `output`.
pub const EVENTS_SENT_TOTAL: &str = "belay_events_sent_total";
/// Times that sending to an `output` failed and was tried again.
pub const EVENTS_FAILURES_TOTAL: &str = "belay_events_failures_total";
/// Records that an `output` never got.
pub const EVENTS_MISSED_TOTAL: &str = "belay_events_missed_total";
/// Closed files of the ledger that are not in the archive.
pub const ARCHIVE_BACKLOG_SEGMENTS: &str = "belay_archive_backlog_segments";
/// Their bytes.
pub const ARCHIVE_BACKLOG_BYTES: &str = "belay_archive_backlog_bytes";
/// How long ago the oldest of them was closed.
pub const ARCHIVE_BACKLOG_OLDEST_SECONDS: &str = "belay_archive_backlog_oldest_seconds";
/// Objects put into the archive.
pub const ARCHIVE_OBJECTS_TOTAL: &str = "belay_archive_objects_total";
/// Times that keeping the archive up failed and was tried again.
pub const ARCHIVE_FAILURES_TOTAL: &str = "belay_archive_failures_total";
/// Objects of the archive that have another content than they were given.
pub const ARCHIVE_ODD: &str = "belay_archive_odd_objects";
/// Deleted files of the ledger that the archive keeps for now, for a lock or a hold.
pub const ARCHIVE_LOCKED: &str = "belay_archive_locked_objects";
/// Files of the ledger that were deleted because their records were too old.
pub const LEDGER_SEGMENTS_DELETED_TOTAL: &str = "belay_ledger_segments_deleted_total";
/// Files of the ledger that would have been deleted if no session in them were on hold.
pub const LEDGER_HELD_SEGMENTS: &str = "belay_ledger_held_segments";
/// Times that old records could not be deleted.
pub const LEDGER_RETENTION_FAILURES_TOTAL: &str = "belay_ledger_retention_failures_total";

/// Seconds; from what a cached decision costs to what nobody should ever see.
const OVERHEAD_BUCKETS: [f64; 8] = [0.000_005, 0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.001, 0.01, 0.1];

/// What has been counted, for `/metrics`.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
}

impl Metrics {
    /// Collects what the whole process counts. Once per process: the `metrics` macros know one recorder.
    pub fn install() -> Result<Metrics, BuildError> {
        let handle = builder()?.install_recorder()?;
        describe();
        Ok(Metrics { handle })
    }

    /// Collects nothing: for tests that start several servers in one process.
    pub fn detached() -> Metrics {
        Metrics { handle: PrometheusBuilder::new().build_recorder().handle() }
    }

    /// The text of `/metrics`.
    pub fn render(&self) -> String {
        self.handle.run_upkeep();
        self.handle.render()
    }
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(GATEWAY_OVERHEAD_SECONDS.to_owned()), &OVERHEAD_BUCKETS)
}

fn describe() {
    metrics::describe_gauge!(SESSIONS_ACTIVE, "open sessions");
    metrics::describe_counter!(STATEMENTS_TOTAL, "statements by target, effect and decision");
    metrics::describe_histogram!(
        GATEWAY_OVERHEAD_SECONDS,
        metrics::Unit::Seconds,
        "what the gateway adds to a statement"
    );
    metrics::describe_counter!(LEDGER_RECORDS_TOTAL, "records in the ledger");
    metrics::describe_counter!(SESSION_CUT_IN_TRANSACTION_TOTAL, "sessions cut inside a transaction");
    metrics::describe_gauge!(TARGET_UP, "whether a target answered the last time it was asked");
    metrics::describe_gauge!(EVENTS_BEHIND, "records that the receiver of an output may not have yet");
    metrics::describe_counter!(EVENTS_SENT_TOTAL, "events sent, by output");
    metrics::describe_counter!(
        EVENTS_FAILURES_TOTAL,
        "times that sending events failed and was tried again, by output"
    );
    metrics::describe_counter!(EVENTS_MISSED_TOTAL, "records that an output never got");
    metrics::describe_counter!(LEDGER_SEGMENTS_DELETED_TOTAL, "files of the ledger whose records were too old");
    metrics::describe_gauge!(LEDGER_HELD_SEGMENTS, "files of the ledger that stay for a session on hold");
    metrics::describe_counter!(LEDGER_RETENTION_FAILURES_TOTAL, "times that old records could not be deleted");
    metrics::describe_gauge!(ARCHIVE_BACKLOG_SEGMENTS, "closed files of the ledger that are not in the archive");
    metrics::describe_gauge!(ARCHIVE_BACKLOG_BYTES, metrics::Unit::Bytes, "their bytes");
    metrics::describe_gauge!(
        ARCHIVE_BACKLOG_OLDEST_SECONDS,
        metrics::Unit::Seconds,
        "how long ago the oldest of them was closed"
    );
    metrics::describe_counter!(ARCHIVE_OBJECTS_TOTAL, "objects put into the archive");
    metrics::describe_counter!(ARCHIVE_FAILURES_TOTAL, "times that keeping the archive up failed and was tried again");
    metrics::describe_gauge!(ARCHIVE_ODD, "objects of the archive with another content than they were given");
    metrics::describe_gauge!(ARCHIVE_LOCKED, "deleted files of the ledger that a lock or a hold keeps in the archive");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_rendered_as_they_are_promised() {
        let recorder = builder().unwrap().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            describe();
            metrics::counter!(STATEMENTS_TOTAL, "target" => "orders", "effect" => "read", "decision" => "permit")
                .increment(1);
            metrics::histogram!(GATEWAY_OVERHEAD_SECONDS).record(0.000_02);
        });
        let text = Metrics { handle }.render();
        assert!(
            text.contains(r#"belay_statements_total{target="orders",effect="read",decision="permit"} 1"#),
            "{text}"
        );
        assert!(text.contains(r#"belay_gateway_overhead_seconds_bucket{le="0.000025"} 1"#), "{text}");
    }
}
