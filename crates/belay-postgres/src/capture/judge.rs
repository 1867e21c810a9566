//! Whether what a transaction wrote can be taken in rows, and which tables these are in.

use super::armed;
use super::baseline::Counts;
use super::witness::{Relation, Seen};
use super::{CaptureError, Limits, Transaction};

/// Server versions whose locks and counts are known to tell all.
const VERSIONS: std::ops::Range<u32> = 140_000..190_000;
/// Catalogs named in a refusal.
const MOST_NAMES: usize = 3;

/// What is to be taken.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) transaction: u64,
    /// The transactions that it cannot see the work of, where it sees the rows as of its beginning.
    pub(super) snapshot: Option<Snapshot>,
    pub(super) written: Vec<Written>,
    /// Events that triggers of armed tables have written down.
    pub(super) noted: Option<i64>,
    /// By schema and name.
    pub(super) sequences: Vec<String>,
}

/// A table that rows were written in.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) oid: u32,
    name: String,
    pub(super) counts: Counts,
    filtered: bool,
}

/// A snapshot as `pg_current_snapshot` writes it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    end: u64,
    running: Vec<u64>,
}

impl Judged {
    pub(super) fn moved_sequences(&self) -> bool {
        !self.sequences.is_empty()
    }

    /// At most so many images are to be read.
    pub(super) fn rows(&self) -> u64 {
        self.written.iter().map(|written| written.before() + written.after()).sum()
    }

    pub(super) fn oids(&self) -> Vec<u32> {
        self.written.iter().map(|written| written.oid).collect()
    }
}

impl Written {
    /// Rows that were there before and are changed or gone, by the counts: at most so many.
    pub(super) fn before(&self) -> u64 {
        positive(self.counts[1] + self.counts[2])
    }

    /// Rows that are there now and were not, or not so: at most so many.
    pub(super) fn after(&self) -> u64 {
        positive(self.counts[0] + self.counts[1])
    }

    /// How often a row was written, by the counts.
    pub(super) fn events(&self) -> i64 {
        self.counts.iter().sum()
    }

    /// Whether as many images were found as a scan can find. What savepoints took back is still counted, and a row
    /// that is changed twice counts twice, so there may be fewer. Where policies hide rows, fewer proves nothing.
    pub(super) fn agrees(&self, old: u64, new: u64) -> Result<(), CaptureError> {
        let complete = old == self.before() && new == self.after();
        if old > self.before() || new > self.after() || (self.filtered && !complete) {
            return Err(irreversible(
                format!("the rows found in {} do not agree with the target's own counts", self.name),
                "try again; if policies hide rows from the role, change them by another role",
            ));
        }
        Ok(())
    }
}

impl Snapshot {
    fn read(text: &str) -> Option<Snapshot> {
        let mut parts = text.split(':');
        let end = parts.nth(1)?.parse().ok()?;
        let running = parts.next()?.split(',').filter(|id| !id.is_empty()).map(|id| id.parse().ok());
        Some(Snapshot { end, running: running.collect::<Option<_>>()? })
    }

    /// Whether what this transaction committed can be seen.
    pub(super) fn sees(&self, transaction: u64) -> bool {
        transaction < self.end && !self.running.contains(&transaction)
    }
}

/// Refuses what has no row images. Nothing where nothing was written.
pub(super) fn judge(seen: &Seen, transaction: &Transaction, limits: &Limits) -> Result<Option<Judged>, CaptureError> {
    whole(seen, transaction)?;
    // Before anything else: rows on another server give the transaction no number here.
    if let Some(foreign) = seen.relations.iter().find(|relation| relation.kind == 'f') {
        let name = foreign.full_name();
        return Err(irreversible(format!("{name} is a foreign table"), "write where the rows are kept"));
    }
    let Some(number) = seen.transaction else {
        return Ok(None);
    };
    let mut judged =
        Judged { transaction: number, snapshot: None, written: Vec::new(), noted: None, sequences: Vec::new() };
    if seen.isolation != "read committed" {
        let snapshot = Snapshot::read(&seen.snapshot).ok_or(CaptureError::Unexpected("a snapshot"))?;
        judged.snapshot = Some(snapshot);
    }
    catalogs(seen, transaction)?;
    for table in transaction.taken.emptied().iter().map(|(table, _)| table) {
        let of = |relation: &&Relation| relation.oid == table.oid && relation.has("AccessExclusiveLock");
        if !seen.relations.iter().any(|relation| of(&relation)) {
            return Err(irreversible(
                format!("a TRUNCATE of {}.{} that was rolled back to a savepoint", table.schema, table.name),
                "leave the TRUNCATE out",
            ));
        }
    }
    for relation in seen.relations.iter().filter(|relation| relation.schema != "pg_catalog" && !relation.temporary) {
        let counts = transaction.baseline.since(relation.oid, relation.counts);
        if armed::is_images(relation) {
            judged.noted = armed::noted(relation, counts)?;
            continue;
        }
        one(relation, counts, seen, transaction, &mut judged)?;
    }
    let rows: u64 =
        judged.written.iter().map(|written| written.counts.iter().copied().map(positive).sum::<u64>()).sum();
    if rows > limits.rows {
        return Err(CaptureError::TooMuch(format!("{rows} rows change, and at most {} may", limits.rows)));
    }
    Ok(Some(judged))
}

/// What concerns the transaction as a whole.
fn whole(seen: &Seen, transaction: &Transaction) -> Result<(), CaptureError> {
    if seen.began != transaction.baseline.began {
        return Err(irreversible("the transaction is not the one that was begun", "end no transaction in a routine"));
    }
    if !VERSIONS.contains(&seen.version) {
        return Err(irreversible(
            format!("changes in PostgreSQL {} cannot be followed", seen.version / 10_000),
            "use PostgreSQL 14 to 18",
        ));
    }
    if !seen.counting {
        return Err(irreversible("the target does not count changes", "set `track_counts` to on in the target"));
    }
    if seen.replication_role != "origin" {
        return Err(irreversible(
            format!("`session_replication_role` is {}", seen.replication_role),
            "leave it at `origin`: triggers and foreign keys have to hold",
        ));
    }
    Ok(())
}

/// Whoever writes a catalog defines something, or changes a large object.
fn catalogs(seen: &Seen, transaction: &Transaction) -> Result<(), CaptureError> {
    let mut names = Vec::new();
    for relation in seen.relations.iter().filter(|relation| relation.schema == "pg_catalog") {
        let [inserted, updated, deleted] = transaction.baseline.since(relation.oid, relation.counts);
        let emptying = relation.name == "pg_class" && inserted == 0 && deleted == 0;
        if (inserted, updated, deleted) != (0, 0, 0) && !(emptying && updated <= transaction.catalog_updates) {
            names.push(relation.name.as_str());
        }
    }
    let Some(first) = names.first() else {
        return Ok(());
    };
    if first.starts_with("pg_largeobject") || names.iter().any(|name| name.starts_with("pg_largeobject")) {
        return Err(irreversible("large objects change", "keep the bytes in a column of type bytea"));
    }
    names.truncate(MOST_NAMES);
    Err(irreversible(
        format!("definitions change (in {})", names.join(", ")),
        "change definitions, and make temporary tables, in a transaction of their own",
    ))
}

/// One relation that was locked or written.
fn one(
    relation: &Relation,
    counts: Counts,
    seen: &Seen,
    transaction: &Transaction,
    judged: &mut Judged,
) -> Result<(), CaptureError> {
    let name = relation.full_name();
    let emptied = transaction.taken.was_emptied(relation.oid);
    match relation.kind {
        'S' if relation.modes.iter().all(|mode| mode == "RowExclusiveLock") => judged.sequences.push(name),
        'S' => return Err(irreversible(format!("the sequence {name} is altered"), "leave sequences as they are")),
        // They hold no rows of their own, or only what rows of others bring along.
        't' | 'i' | 'I' | 'v' | 'c' | 'p' => {}
        'r' if relation.has("AccessExclusiveLock") && !emptied => return Err(exclusive_lock(&name)),
        'r' if !emptied && counts == [0, 0, 0] => {}
        'r' if relation.method != "heap" => {
            return Err(irreversible(
                format!("{name} is kept by the access method {}", relation.method),
                "only tables of the access method heap can be reversed",
            ));
        }
        'r' if !relation.readable => return Err(unreadable(&name, &seen.reader)),
        'r' if emptied && relation.filtered => return Err(hidden(&name, &seen.reader)),
        'r' if emptied => {}
        'r' => judged.written.push(Written { oid: relation.oid, name, counts, filtered: relation.filtered }),
        'm' => return Err(irreversible(format!("{name} is a materialized view"), "refresh it outside of Belay")),
        _ => return Err(irreversible(format!("{name} is of an unknown kind"), "leave it as it is")),
    }
    Ok(())
}

impl Relation {
    pub(super) fn full_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    pub(super) fn has(&self, mode: &str) -> bool {
        self.modes.iter().any(|held| held == mode)
    }
}

/// Locks below this one keep nobody from reading; and who defines something is met in the catalogs.
pub(super) fn exclusive_lock(name: &str) -> CaptureError {
    irreversible(
        format!("a lock of ACCESS EXCLUSIVE on {name}"),
        "for LOCK TABLE name a weaker mode, such as EXCLUSIVE; TRUNCATE in a statement of its own, not in a routine",
    )
}

fn unreadable(name: &str, role: &str) -> CaptureError {
    irreversible(
        format!("{name} is written, and the role `{role}` may not read it"),
        "grant SELECT on the table to the role that writes it",
    )
}

fn hidden(name: &str, role: &str) -> CaptureError {
    irreversible(
        format!("policies of {name} may hide rows from the role `{role}`"),
        "write by a role that the policies do not apply to",
    )
}

pub(super) fn irreversible(what: impl Into<String>, instead: impl Into<String>) -> CaptureError {
    CaptureError::Irreversible { what: what.into(), instead: instead.into() }
}

fn positive(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_tells_whose_work_can_be_seen() {
        let snapshot = Snapshot::read("10:20:12,15").unwrap();
        let seen: Vec<u64> = (9..22).filter(|id| snapshot.sees(*id)).collect();
        assert_eq!(seen, [9, 10, 11, 13, 14, 16, 17, 18, 19]);
        assert_eq!(Snapshot::read("10:10:"), Some(Snapshot { end: 10, running: vec![] }));
        assert_eq!(Snapshot::read("nonsense"), None);
    }
}
