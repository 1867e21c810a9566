//! What the transaction has written, by the target's own count.

use super::RevertError;
use super::catalog::Restored;
use super::sql::{self, field, parsed};
use std::collections::BTreeMap;
use tokio_postgres::Client;

/// Rows inserted, updated and deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Rows {
    pub(super) inserted: u64,
    pub(super) updated: u64,
    pub(super) deleted: u64,
}

/// The counts of all tables at a moment, temporary ones and the catalog aside.
pub(super) struct Tally(BTreeMap<u32, (String, Rows)>);

impl Tally {
    pub(super) async fn take(in_target: &Client) -> Result<Tally, RevertError> {
        let mut tally = BTreeMap::new();
        for row in sql::rows(in_target, WRITTEN).await? {
            if row.get(0) == Some("off") {
                let what = "the target does not count what is written (`track_counts` is off)";
                return Err(RevertError::refused(what, "switch `track_counts` on"));
            }
            let Some(_) = row.get(1) else { continue };
            let rows = Rows { inserted: parsed(&row, 3)?, updated: parsed(&row, 4)?, deleted: parsed(&row, 5)? };
            tally.insert(parsed(&row, 1)?, (field(&row, 2)?.to_owned(), rows));
        }
        Ok(Tally(tally))
    }

    /// What was written to a table since `outset`.
    pub(super) fn since(&self, outset: &Tally, oid: u32) -> Rows {
        let of = |tally: &Tally| tally.0.get(&oid).map(|(_, rows)| *rows).unwrap_or_default();
        let (now, then) = (of(self), of(outset));
        Rows {
            inserted: now.inserted.saturating_sub(then.inserted),
            updated: now.updated.saturating_sub(then.updated),
            deleted: now.deleted.saturating_sub(then.deleted),
        }
    }

    /// Makes sure that nothing but the tables was written to since `outset`.
    pub(super) fn only_within(&self, outset: &Tally, restored: &[Restored]) -> Result<(), RevertError> {
        for (oid, (table, _)) in &self.0 {
            let written = self.since(outset, *oid) != Rows::default();
            if written && !restored.iter().any(|restored| restored.table.oid == *oid) {
                let what = format!("putting the rows back would also write to {table}");
                return Err(RevertError::refused(what, "a trigger, a rule or a cascade does that"));
            }
        }
        Ok(())
    }
}

const WRITTEN: &str = "
SELECT pg_catalog.current_setting('track_counts'), s.relid, s.schemaname || '.' || s.relname,
    s.n_tup_ins, s.n_tup_upd, s.n_tup_del
FROM (VALUES (1)) one (x)
    LEFT JOIN pg_catalog.pg_stat_xact_all_tables s ON s.n_tup_ins + s.n_tup_upd + s.n_tup_del > 0
        AND s.schemaname NOT IN ('pg_catalog', 'information_schema')
        AND s.schemaname !~ '^pg_(temp|toast)'";
