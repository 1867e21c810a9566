//! Triggers and constraints that are set aside while rows are put back, and stand again before the end.

use super::catalog::Restored;
use super::sql::{self, field, name};
use super::strategy::USERS;
use super::{RevertError, Strategy};
use tokio_postgres::Client;

/// Constraints, as `k`, that rows need not keep which were there before them.
pub(super) const UNPROVEN: &str = "k.contype IN ('c', 'n') AND NOT k.convalidated
    AND coalesce(pg_catalog.to_jsonb(k) ->> 'conenforced', 't')::bool";

/// Sets them aside as far as `strategy` does, and gives the statements that put them right again. Before a statement is
/// tried, `strategy::settle` has made sure that the role may.
pub(super) async fn set_aside(
    in_target: &Client,
    strategy: Strategy,
    restored: &[Restored],
) -> Result<Vec<String>, RevertError> {
    let mut again = Vec::new();
    if strategy == Strategy::Fire {
        return Ok(again);
    }
    for table in restored {
        triggers(in_target, strategy, table, &mut again).await?;
        if table.old > 0 {
            constraints(in_target, table, &mut again).await?;
        }
    }
    Ok(again)
}

async fn triggers(
    in_target: &Client,
    strategy: Strategy,
    table: &Restored,
    again: &mut Vec<String>,
) -> Result<(), RevertError> {
    let query = format!(
        "SELECT t.tgname, t.tgenabled FROM pg_catalog.pg_trigger t {USERS} AND t.tgrelid = {}
            AND t.tgenabled IN {} AND t.tgtype & 28 <> 0 ORDER BY 1",
        table.table.oid,
        strategy.acting()
    );
    for row in sql::rows(in_target, &query).await? {
        let trigger = name(field(&row, 0)?);
        let enable = match field(&row, 1)? {
            "A" => "ENABLE ALWAYS",
            "R" => "ENABLE REPLICA",
            _ => "ENABLE",
        };
        let disable = format!("ALTER TABLE ONLY {} DISABLE TRIGGER {trigger}", table.sql);
        in_target.batch_execute(&disable).await?;
        again.push(format!("ALTER TABLE ONLY {} {enable} TRIGGER {trigger}", table.sql));
    }
    Ok(())
}

/// Those that were never validated: a row that broke them before has to come back as it was.
async fn constraints(in_target: &Client, table: &Restored, again: &mut Vec<String>) -> Result<(), RevertError> {
    let query = format!(
        "SELECT k.conname, pg_catalog.pg_get_constraintdef(k.oid),
            coalesce(pg_catalog.quote_literal(pg_catalog.obj_description(k.oid, 'pg_constraint')), '')
        FROM pg_catalog.pg_constraint k WHERE k.conrelid = {} AND k.coninhcount = 0 AND {UNPROVEN} ORDER BY 1",
        table.table.oid
    );
    for row in sql::rows(in_target, &query).await? {
        let constraint = name(field(&row, 0)?);
        let drop = format!("ALTER TABLE {} DROP CONSTRAINT {constraint}", table.sql);
        in_target.batch_execute(&drop).await?;
        again.push(format!("ALTER TABLE {} ADD CONSTRAINT {constraint} {}", table.sql, field(&row, 1)?));
        let comment = field(&row, 2)?;
        if !comment.is_empty() {
            again.push(format!("COMMENT ON CONSTRAINT {constraint} ON {} IS {comment}", table.sql));
        }
    }
    Ok(())
}
