//! What the server itself says of a transaction: its locks and its counts.

use super::armed;
use super::baseline::Counts;
use super::{Ask, CaptureError, Limits, Row, pins};
use belay_change::TableLock;

/// Tables whose locks are told.
const MOST_LOCKED: usize = 1_000;

const UNEXPECTED: CaptureError = CaptureError::Unexpected("the locks and counts of a transaction");

/// The transaction as a whole. Its first column tells its row from those of [`RELATIONS`].
const STATE: &str = "SELECT 'state', pg_current_xact_id_if_assigned()::text, encode(timestamptz_send(now()), 'hex'), \
    current_setting('server_version_num'), current_setting('track_counts'), \
    current_setting('session_replication_role'), current_setting('transaction_isolation'), \
    pg_current_snapshot()::text, current_user <> session_user, current_user;\n";

/// Every relation that it locked in a mode that writers need, and every catalog that it counted rows in: catalogs are
/// unlocked at once, while all else stays locked to the end, or to the savepoint that took its rows back. A lock of the
/// first three modes does not mean that anything was written; `SIReadLock` is a serializable transaction's note of what it
/// read. Asked at each write, it looks names up by subqueries, since joins would take the target longer to plan than all
/// the rest, and goes by the index over numbers: those below 16384 are the target's own.
const RELATIONS: &str = "WITH l AS MATERIALIZED (SELECT relation, mode FROM pg_catalog.pg_locks \
        WHERE locktype = 'relation' AND pid = pg_backend_pid() AND granted \
        AND mode NOT IN ('AccessShareLock', 'RowShareLock', 'SIReadLock')) \
    SELECT 'relation', c.oid, (SELECT nspname FROM pg_catalog.pg_namespace n WHERE n.oid = c.relnamespace), c.relname, \
    c.relkind, coalesce((SELECT amname FROM pg_catalog.pg_am a WHERE a.oid = c.relam), ''), \
    coalesce((SELECT string_agg(mode, ' ') FROM l WHERE l.relation = c.oid), ''), \
    pg_stat_get_xact_tuples_inserted(c.oid), pg_stat_get_xact_tuples_updated(c.oid), \
    pg_stat_get_xact_tuples_deleted(c.oid), \
    has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(c.relnamespace, 'USAGE'), row_security_active(c.oid), \
    c.relpersistence FROM pg_catalog.pg_class c \
    WHERE (c.oid = ANY (ARRAY(SELECT relation FROM l)) OR c.oid < 16384 AND c.relkind IN ('r', 'm') \
        AND (pg_stat_get_xact_tuples_inserted(c.oid) <> 0 OR pg_stat_get_xact_tuples_updated(c.oid) <> 0 \
            OR pg_stat_get_xact_tuples_deleted(c.oid) <> 0))";

/// Where the transaction has written nothing there is nothing to look for; but what it wrote on another server gives it
/// no number here.
const WRITTEN: &str = " AND (c.relkind = 'f' OR pg_current_xact_id_if_assigned() IS NOT NULL)";

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its number, once it has written anything.
    pub(super) transaction: Option<u64>,
    pub(super) began: String,
    pub(super) version: u32,
    pub(super) counting: bool,
    pub(super) replication_role: String,
    pub(super) isolation: String,
    pub(super) snapshot: String,
    /// Who reads the images of what it left.
    pub(super) reader: String,
    pub(super) relations: Vec<Relation>,
}

/// One relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Relation {
    pub(super) oid: u32,
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) kind: char,
    pub(super) method: String,
    /// Modes of its locks, as `pg_locks` spells them.
    pub(super) modes: Vec<String>,
    pub(super) counts: Counts,
    pub(super) readable: bool,
    pub(super) filtered: bool,
    pub(super) temporary: bool,
}

impl Seen {
    /// The tables that it held locked.
    pub(super) fn locks(&self) -> Vec<TableLock> {
        let theirs = |one: &&Relation| "rpmf".contains(one.kind) && !one.modes.is_empty() && !armed::is_images(one);
        let tables = self.relations.iter().filter(theirs);
        let lock = |one: &Relation| TableLock {
            table: format!("{}.{}", one.schema, one.name),
            modes: one.modes.iter().map(|mode| in_sql(mode)).collect(),
        };
        let mut locks: Vec<TableLock> = tables.take(MOST_LOCKED).map(lock).collect();
        locks.sort_unstable_by(|one, other| one.table.cmp(&other.table));
        locks
    }
}

/// `ROW EXCLUSIVE` for `RowExclusiveLock`.
fn in_sql(mode: &str) -> String {
    let mut words = String::new();
    for letter in mode.strip_suffix("Lock").unwrap_or(mode).chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(letter.to_ascii_uppercase());
    }
    words
}

/// Lets the deferred triggers fire as the client would, then pins the settings within a savepoint, then looks.
///
/// The settings come first: under the client's own search path the operators of these questions could be its own.
pub(super) async fn look(writer: &mut dyn Ask, limits: &Limits) -> Result<Seen, CaptureError> {
    let opening = format!(
        "SET CONSTRAINTS ALL IMMEDIATE;\nSAVEPOINT belay_capture;\n{}{}SET LOCAL idle_in_transaction_session_timeout \
         = 0;\n{STATE}{RELATIONS}{WRITTEN}",
        pins(true),
        limits.times(true)
    );
    let (seen, other_role) = read(&writer.ask(&opening).await?)?;
    let hidden = |seen: &Seen| {
        seen.relations.iter().any(|relation| relation.kind == 'r' && (!relation.readable || relation.filtered))
    };
    if !other_role || !hidden(&seen) {
        return Ok(seen);
    }
    // What the role that was set may not read, the one that logged in may.
    Ok(read(&writer.ask(&format!("SET LOCAL ROLE NONE;\n{STATE}{RELATIONS}{WRITTEN}")).await?)?.0)
}

/// The relations alone, for a transaction whose settings are pinned.
pub(super) async fn relations(writer: &mut dyn Ask) -> Result<Vec<Relation>, CaptureError> {
    writer.ask(RELATIONS).await?.iter().map(|row| relation(row)).collect()
}

fn read(rows: &[Row]) -> Result<(Seen, bool), CaptureError> {
    let (state, rows) = rows.split_first().ok_or(UNEXPECTED)?;
    let relations = rows.iter().map(|row| relation(row)).collect::<Result<_, _>>()?;
    let [
        Some(tag),
        transaction,
        Some(began),
        Some(version),
        Some(counting),
        Some(replication_role),
        Some(isolation),
        Some(snapshot),
        Some(other_role),
        Some(reader),
    ] = state.as_slice()
    else {
        return Err(UNEXPECTED);
    };
    if tag != "state" {
        return Err(UNEXPECTED);
    }
    let transaction = transaction.as_ref().map(|text| text.parse()).transpose().map_err(|_| UNEXPECTED)?;
    let seen = Seen {
        transaction,
        began: began.clone(),
        version: version.parse().map_err(|_| UNEXPECTED)?,
        counting: counting == "on",
        replication_role: replication_role.clone(),
        isolation: isolation.clone(),
        snapshot: snapshot.clone(),
        reader: reader.clone(),
        relations,
    };
    Ok((seen, other_role == "t"))
}

fn relation(row: &[Option<String>]) -> Result<Relation, CaptureError> {
    let text = |at: usize| row.get(at).and_then(Option::as_deref).ok_or(UNEXPECTED);
    let count = |at: usize| text(at)?.parse::<i64>().map_err(|_| UNEXPECTED);
    if text(0)? != "relation" {
        return Err(UNEXPECTED);
    }
    Ok(Relation {
        oid: text(1)?.parse().map_err(|_| UNEXPECTED)?,
        schema: text(2)?.to_owned(),
        name: text(3)?.to_owned(),
        kind: text(4)?.chars().next().ok_or(UNEXPECTED)?,
        method: text(5)?.to_owned(),
        modes: text(6)?.split_whitespace().map(str::to_owned).collect(),
        counts: [count(7)?, count(8)?, count(9)?],
        readable: text(10)? == "t",
        filtered: text(11)? == "t",
        temporary: text(12)? == "t",
    })
}
