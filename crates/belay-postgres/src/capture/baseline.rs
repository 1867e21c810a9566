//! What the counters of a connection stood at before the transaction wrote anything.

use super::describe::list;
use super::{CaptureError, Row};
use std::collections::HashMap;

/// Rows inserted, updated and deleted in one relation.
pub(super) type Counts = [i64; 3];

/// Numbers below it are the target's own.
const FIRST_NORMAL: u32 = 16384;

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

/// So many tables are asked for one by one.
const MOST_COUNTED: usize = 100;

/// The tables that a connection has counted rows in, the target's own aside, as far as its last transaction tells.
///
/// Where there are thousands of tables, [`OPENING`] takes longer than the write itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted(Vec<u32>);

impl Counted {
    pub(super) fn of(oids: impl IntoIterator<Item = u32>) -> Option<Counted> {
        let mut oids: Vec<u32> = oids.into_iter().filter(|oid| *oid >= FIRST_NORMAL).collect();
        oids.sort_unstable();
        oids.dedup();
        (oids.len() <= MOST_COUNTED).then_some(Counted(oids))
    }

    /// [`OPENING`] for a connection that can have counted rows in no other tables.
    pub fn opening(&self) -> String {
        format!(
            "{OPENING} AND (c.oid OPERATOR(pg_catalog.<) {FIRST_NORMAL} \
             OR c.oid OPERATOR(pg_catalog.=) ANY ('{{{}}}'::pg_catalog.oid[]))",
            list(&self.0)
        )
    }
}

/// Which transaction was opened, and what its connection had counted by then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Baseline {
    /// When the transaction began, in the server's binary form: no two transactions of a connection share it.
    pub(super) began: String,
    pub(super) counts: HashMap<u32, Counts>,
}

impl Baseline {
    /// Where the connection has counted rows by now, if the transaction counted in `since` and nowhere else.
    pub(super) fn counted(&self, since: impl Iterator<Item = u32>) -> Option<Counted> {
        Counted::of(self.counts.keys().copied().chain(since))
    }

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
