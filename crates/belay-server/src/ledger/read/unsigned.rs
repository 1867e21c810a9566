//! Records at the end that nobody has signed. Some seconds' worth is as it should be; what stays so for long is not.

use super::report::Fault;
use crate::ledger::segment::{self, Segment};
use belay_ledger::Frame;
use belay_model::Timestamp;

/// How much newer the last record may be than the first that is not signed, in microseconds. As long as a copy may take
/// whose checkpoint is older than its segments, and a disk may be full.
const PATIENCE: i64 = 3_600 * 1_000_000;

/// What is remembered of the end, record by record.
#[derive(Default)]
pub(super) struct Unsigned {
    /// When the first record was that is not signed so far.
    since: Option<Timestamp>,
    last: Vec<u8>,
}

impl Unsigned {
    /// The next record; so many before it are signed.
    pub(super) fn see(&mut self, frame: &Frame<'_>, signed: u64) {
        if frame.seq == signed {
            self.since = segment::time_of(frame.payload);
        }
        self.last.clear();
        self.last.extend_from_slice(frame.payload);
    }

    /// A closed segment ends in records that should long have been signed.
    pub(super) fn fault(&self, segments: &[Segment], signed: u64) -> Option<Fault> {
        let open = segments.last()?.first;
        let until = segment::time_of(&self.last)?;
        if signed >= open || until.0.saturating_sub(self.since?.0) <= PATIENCE {
            return None;
        }
        let within = segments.iter().rfind(|segment| segment.first <= signed)?;
        let what = format!("records {signed} to {} should have been signed long ago, and nobody has", open - 1);
        Some(Fault { file: segment::name(within.first), seq: signed, offset: 0, what })
    }
}
