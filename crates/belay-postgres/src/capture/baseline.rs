//! What the counters of a connection stood at before the transaction wrote anything.

use super::{CaptureError, Row};
use std::collections::HashMap;

/// Rows inserted, updated and deleted in one relation.
pub(super) type Counts = [i64; 3];

/// To be run by the writer right after BEGIN; its rows are for [`Baseline::read`].
///
/// The counters hold what earlier transactions of the connection left there. Every name and operator is qualified: the
/// client's search path is in force.
pub const OPENING: &str = "SELECT pg_catalog.encode(pg_catalog.timestamptz_send(pg_catalog.now()), 'hex'), c.oid, \
    pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid), pg_catalog.pg_stat_get_xact_tuples_updated(c.oid), \
    pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid) FROM pg_catalog.pg_class c \
    WHERE c.relkind OPERATOR(pg_catalog.=) ANY ('{r,m}') AND (c.oid OPERATOR(pg_catalog.=) 1259 \
    OR pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid) OPERATOR(pg_catalog.<>) 0 \
    OR pg_catalog.pg_stat_get_xact_tuples_updated(c.oid) OPERATOR(pg_catalog.<>) 0 \
    OR pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid) OPERATOR(pg_catalog.<>) 0)";

/// Which transaction was opened, and what its connection had counted by then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Baseline {
    /// When the transaction began, in the server's binary form: no two transactions of a connection share it.
    pub(super) began: String,
    pub(super) counts: HashMap<u32, Counts>,
}

impl Baseline {
    /// Reads the answer to [`OPENING`].
    pub fn read(rows: &[Row]) -> Result<Baseline, CaptureError> {
        const UNEXPECTED: CaptureError = CaptureError::Unexpected("the counters at the beginning of a transaction");
        let mut began = None;
        let mut counts = HashMap::new();
        for row in rows {
            let [Some(at), Some(oid), Some(inserted), Some(updated), Some(deleted)] = row.as_slice() else {
                return Err(UNEXPECTED);
            };
            let number = |text: &String| text.parse().map_err(|_| UNEXPECTED);
            began = Some(at.clone());
            counts
                .insert(oid.parse().map_err(|_| UNEXPECTED)?, [number(inserted)?, number(updated)?, number(deleted)?]);
        }
        Ok(Baseline { began: began.ok_or(UNEXPECTED)?, counts })
    }

    /// What was counted since.
    pub(super) fn since(&self, oid: u32, counts: Counts) -> Counts {
        let before = self.counts.get(&oid).copied().unwrap_or_default();
        [counts[0] - before[0], counts[1] - before[1], counts[2] - before[2]]
    }
}
