//! How triggers and rules are kept from changing what is put back.

use super::RevertError;
use super::narrow::Wanted;
use super::set_aside::UNPROVEN;
use super::sql;
use super::{How, statements::Order};
use crate::capture::{Ask, CaptureError};
use belay_change::TableChange;
use tokio_postgres::Client;

/// How triggers and rules are kept from changing what is put back, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Strategy {
    /// `session_replication_role = replica`: no trigger, no rule, no foreign key acts; Belay checks foreign keys
    /// itself. Takes a superuser, or from PostgreSQL 15 on `GRANT SET ON PARAMETER session_replication_role`.
    Replica,
    /// The tables' own triggers are disabled until the rows are back, inside the transaction. Takes their owner.
    Disable,
    /// Nothing is switched off: only for tables on which no trigger and no rule stands in the way.
    Fire,
}

/// Why a change could not be reverted.
#[derive(Debug, thiserror::Error)]
pub enum Irreversible {
    /// Something on its tables stands in the way.
    #[error("{what}")]
    Because {
        /// What: "the trigger `stamp` on app.orders would run when rows are put back".
        what: String,
        /// What to do instead.
        instead: String,
    },
    /// It could not be found out.
    #[error(transparent)]
    Unknown(#[from] CaptureError),
}

impl From<Irreversible> for RevertError {
    fn from(error: Irreversible) -> RevertError {
        match error {
            Irreversible::Because { what, instead } => RevertError::Refused { what, instead },
            Irreversible::Unknown(error) => error.into(),
        }
    }
}

/// The strongest strategy that the role of the connection may use for these changes.
pub async fn strategy(target: &mut dyn Ask, changes: &[TableChange]) -> Result<Strategy, CaptureError> {
    let version = target.ask(VERSION).await?;
    Ok(strongest(&target.ask(&may(&version, changes)).await?))
}

/// Who gives rows back.
const CONTROL: &str = "Belay's own role";

/// Whether these changes could be reverted with `strategy`: for the time before anything is committed.
pub async fn can_revert(target: &mut dyn Ask, strategy: Strategy, changes: &[TableChange]) -> Result<(), Irreversible> {
    match target.ask(&in_the_way(strategy, changes)).await?.into_iter().next() {
        None => Ok(()),
        Some(row) => Err(obstacle(CONTROL, row)),
    }
}

/// The strategy for a revert, having made sure that it can be used.
pub(super) async fn settle(in_target: &Client, how: &How, wanted: &[Wanted]) -> Result<Strategy, RevertError> {
    settle_as(in_target, CONTROL, how, wanted).await
}

/// The same for a connection of another role than the control user's, which people know as `who`.
pub(super) async fn settle_as(
    in_target: &Client,
    who: &str,
    how: &How,
    wanted: &[Wanted],
) -> Result<Strategy, RevertError> {
    let changes: Vec<TableChange> = wanted.iter().map(|wanted| wanted.change.clone()).collect();
    let strategy = if let Some(strategy) = how.strategy {
        strategy
    } else {
        let version = texts(&sql::rows(in_target, VERSION).await?);
        strongest(&texts(&sql::rows(in_target, &may(&version, &changes)).await?))
    };
    match texts(&sql::rows(in_target, &in_the_way(strategy, &changes)).await?).into_iter().next() {
        None => Ok(strategy),
        Some(row) => Err(obstacle(who, row).into()),
    }
}

fn texts(rows: &[tokio_postgres::SimpleQueryRow]) -> Vec<Vec<Option<String>>> {
    rows.iter().map(|row| (0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect()).collect()
}

impl Strategy {
    /// How triggers and rules that act under it are enabled, as `pg_trigger.tgenabled` has it.
    pub(super) fn acting(self) -> &'static str {
        if self == Strategy::Replica { "('A', 'R')" } else { "('O', 'A')" }
    }

    /// Begins it, before anything is made in the target.
    pub(super) async fn enter(self, in_target: &Client) -> Result<(), RevertError> {
        if self == Strategy::Replica {
            in_target.batch_execute("SET LOCAL session_replication_role = replica").await?;
        }
        Ok(())
    }

    /// The orders to be tried.
    pub(super) fn orders(self) -> &'static [Order] {
        match self {
            Strategy::Replica => &[Order::Delete, Order::Replace],
            Strategy::Disable | Strategy::Fire => &[Order::Insert, Order::Delete, Order::Once],
        }
    }
}

/// Triggers that people made: not those of foreign keys and deferrable constraints, but those that partitions got. Those
/// of armed tables do nothing while rows are put back.
pub(super) const USERS: &str = "LEFT JOIN pg_catalog.pg_constraint k ON k.oid = t.tgconstraint
    WHERE (k.oid IS NULL OR k.contype = 't')
        AND t.tgfoid IS DISTINCT FROM pg_catalog.to_regproc('belay_armed.image')";

/// The tables with the events that their revert sets off, as `pg_trigger.tgtype` has them: insert 4, delete 8, update 16.
fn events(changes: &[TableChange]) -> String {
    let events = |change: &TableChange| {
        let bit = |rows: u64, bit: u32| if rows > 0 { bit } else { 0 };
        let by_key = bit(change.deleted, 4) | bit(change.inserted, 8) | bit(change.updated, 16);
        let bits = if change.table.key.is_empty() { 28 } else { by_key };
        format!("({}::oid, {bits})", change.table.oid)
    };
    let rows: Vec<String> = changes.iter().map(events).collect();
    if rows.is_empty() {
        return "(SELECT 0::oid, 0 WHERE false) w (oid, bits)".to_owned();
    }
    format!("(VALUES {}) w (oid, bits)", rows.join(", "))
}

/// Whether the privilege to set a parameter exists, which came with PostgreSQL 15.
const VERSION: &str = "SELECT pg_catalog.current_setting('server_version_num')::int >= 150000";

/// Whether replica mode may be set, whether all tables are owned.
fn may(has_parameter_privileges: &[Vec<Option<String>>], changes: &[TableChange]) -> String {
    let parameter = if flag(has_parameter_privileges, 0) {
        "pg_catalog.has_parameter_privilege('session_replication_role', 'SET')"
    } else {
        "false"
    };
    format!(
        "SELECT (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname = current_user)
            OR EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = 'rds_superuser'
                AND pg_catalog.pg_has_role(r.oid, 'USAGE'))
            OR {parameter},
            NOT EXISTS (SELECT FROM {} JOIN pg_catalog.pg_class c ON c.oid = w.oid
                WHERE NOT pg_catalog.pg_has_role(c.relowner, 'USAGE'))",
        events(changes)
    )
}

fn strongest(rows: &[Vec<Option<String>>]) -> Strategy {
    match (flag(rows, 0), flag(rows, 1)) {
        (true, _) => Strategy::Replica,
        (_, true) => Strategy::Disable,
        _ => Strategy::Fire,
    }
}

fn flag(rows: &[Vec<Option<String>>], at: usize) -> bool {
    rows.first().and_then(|row| row.get(at)).is_some_and(|flag| flag.as_deref() == Some("t"))
}

/// What keeps these changes from being put back with `strategy`, one row each: kind, name, table.
fn in_the_way(strategy: Strategy, changes: &[TableChange]) -> String {
    format!("{}; {}", rights(changes), obstacles(strategy, changes))
}

/// What the role may not do that every revert does: temporary tables hold the images, and rows are locked, put in, changed
/// and removed.
fn rights(changes: &[TableChange]) -> String {
    format!(
        "SELECT 'temporary', '', '' WHERE NOT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMPORARY')
        UNION ALL (SELECT 'right', p.name, n.nspname || '.' || c.relname FROM {}
            JOIN pg_catalog.pg_class c ON c.oid = w.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
            CROSS JOIN (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE')) p (name)
            WHERE NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE')
                OR NOT pg_catalog.has_table_privilege(c.oid, p.name)
            ORDER BY 3, 2 LIMIT 1)",
        events(changes)
    )
}

/// Triggers and rules that would act, and tables whose triggers cannot be disabled: kind, name, table.
fn obstacles(strategy: Strategy, changes: &[TableChange]) -> String {
    let modes = strategy.acting();
    let acts = match strategy {
        Strategy::Disable | Strategy::Replica => "AND NOT pg_catalog.pg_has_role(c.relowner, 'USAGE')",
        Strategy::Fire => "",
    };
    let settled = if strategy == Strategy::Fire { "true" } else { "NOT pg_catalog.pg_has_role(c.relowner, 'USAGE')" };
    format!(
        "WITH w AS (SELECT * FROM {}), c AS (
            SELECT w.bits, c.oid, c.relowner, n.nspname || '.' || c.relname AS shown FROM w
                JOIN pg_catalog.pg_class c ON c.oid = w.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace)
        (SELECT 'trigger', t.tgname::text, c.shown
            FROM c JOIN pg_catalog.pg_trigger t ON t.tgrelid = c.oid {USERS}
                AND t.tgtype & c.bits <> 0 AND t.tgenabled IN {modes} {acts}
        UNION ALL SELECT 'rule', r.rulename::text, c.shown
            FROM c JOIN pg_catalog.pg_rewrite r ON r.ev_class = c.oid
            WHERE r.ev_enabled IN {modes} AND r.ev_type IN ('2', '3', '4')
                AND c.bits & CASE r.ev_type WHEN '2' THEN 16 WHEN '3' THEN 4 ELSE 8 END <> 0
        UNION ALL SELECT 'constraint', k.conname::text, c.shown
            FROM c JOIN pg_catalog.pg_constraint k ON k.conrelid = c.oid
            WHERE {UNPROVEN} AND c.bits & 20 <> 0 AND (k.coninhcount > 0 OR {settled}))
        ORDER BY 3, 1, 2 LIMIT 1",
        events(changes)
    )
}

fn obstacle(who: &str, row: Vec<Option<String>>) -> Irreversible {
    let row: Vec<String> = row.into_iter().map(Option::unwrap_or_default).collect();
    let at = |at: usize| row.get(at).map_or("", String::as_str);
    let (what, instead) = match at(0) {
        "temporary" => (
            format!("{who} may not make temporary tables, which rows are put back from"),
            "grant TEMPORARY on the database to Belay's role in the target",
        ),
        "right" => (
            format!("{who} may not {} {}, and could not put its rows back", at(1), at(2)),
            "grant SELECT, INSERT, UPDATE and DELETE on it to Belay's role in the target",
        ),
        "constraint" => (
            format!(
                "the constraint `{}` on {} was never validated, and rows from before may not keep it",
                at(1),
                at(2)
            ),
            "validate it, or let Belay's role own the table, to set it aside while rows are put back",
        ),
        kind => (
            format!("the {kind} `{}` on {} would act when rows are put back", at(1), at(2)),
            "let Belay's role set `session_replication_role`, or own the table",
        ),
    };
    Irreversible::Because { what, instead: instead.to_owned() }
}
