//! Whether nothing but what was meant has changed.

use super::catalog::Restored;
use super::foreign_key::{ForeignKey, Pair};
use super::referenced::lost;
use super::sql;
use super::statements::{Order, expected};
use super::tally::Tally;
use super::{RevertError, Strategy, unique};
use tokio_postgres::Client;

/// Makes sure that nothing was written since `outset` but what was meant, and that what nobody checks in replica mode
/// holds.
pub(super) async fn verify(
    in_target: &Client,
    strategy: Strategy,
    order: Order,
    restored: &[Restored],
    keys: &[ForeignKey],
    outset: &Tally,
) -> Result<(), RevertError> {
    in_target.batch_execute("SET CONSTRAINTS ALL IMMEDIATE").await?;
    let tally = Tally::take(in_target).await?;
    tally.only_within(outset, restored)?;
    for table in restored {
        if tally.since(outset, table.table.oid) != expected(order, table) {
            let what = format!("putting the rows back would also change other rows of {}", table.shown());
            return Err(RevertError::refused(what, "a trigger, a rule or a cascade does that"));
        }
    }
    if strategy == Strategy::Replica {
        unique::check(in_target, restored).await?;
        for key in keys {
            if key.validated {
                check_children(in_target, key, restored).await?;
            }
            check_parents(in_target, key, restored).await?;
        }
    }
    Ok(())
}

/// Rows that were put back refer to rows that are there, and that nobody can delete before the end.
async fn check_children(in_target: &Client, key: &ForeignKey, restored: &[Restored]) -> Result<(), RevertError> {
    for table in key.child.of(restored) {
        let references = key.new_references(table);
        let parent = |pair: &Pair| format!("belay_p.{}", pair.parent);
        let refers = refers(key, &parent, &|pair| format!("(belay_x.r).{}", pair.child));
        let lock = format!(
            "SELECT pg_catalog.count(*) FROM (SELECT FROM {} belay_p WHERE EXISTS (SELECT {references} AND {refers})
                FOR KEY SHARE OF belay_p) s",
            key.parent.sql
        );
        sql::number(in_target, &lock).await?;
        let is_there = is_there(key, &refers, |pair| format!("(belay_x.r).{}", pair.child));
        let orphans = format!("SELECT pg_catalog.count(*) {references} AND NOT {is_there}");
        refuse_orphans(in_target, key, &orphans).await?;
    }
    Ok(())
}

/// Nothing refers to what is there no longer.
async fn check_parents(in_target: &Client, key: &ForeignKey, restored: &[Restored]) -> Result<(), RevertError> {
    let parents = key.parent.of(restored);
    let child = |pair: &Pair| format!("belay_c.{}", pair.child);
    let refers_now = refers(key, &|pair| format!("belay_p.{}", pair.parent), &child);
    let missing = format!("{} AND NOT {}", key.is_set(child), is_there(key, &refers_now, child));
    if key.period {
        for table in parents {
            let once = refers(key, &|pair| format!("(belay_x.r).{}", pair.parent), &child);
            let (child, images) = (&key.child.sql, table.new_images());
            let orphans = format!(
                "SELECT pg_catalog.count(*) FROM {child} belay_c
                WHERE EXISTS (SELECT FROM {images} belay_x WHERE {once}) AND {missing}"
            );
            refuse_orphans(in_target, key, &orphans).await?;
        }
        return Ok(());
    }
    if parents.is_empty() || lost(in_target, &parents, key).await? == 0 {
        return Ok(());
    }
    let once = key.refers(|pair| super::referenced::at(key, "l", pair), child);
    let child = &key.child.sql;
    let orphans =
        format!("SELECT pg_catalog.count(*) FROM pg_temp.belay_lost l JOIN {child} belay_c ON {once} WHERE {missing}");
    refuse_orphans(in_target, key, &orphans).await
}

/// Whether a row of the parent is one that the child refers to; of a period, whether it may be one of several.
fn refers(key: &ForeignKey, parent: &dyn Fn(&Pair) -> String, child: &dyn Fn(&Pair) -> String) -> String {
    if key.period { key.refers_but_period(parent, child) } else { key.refers(parent, child) }
}

/// Whether what `child` refers to is there; `refers` says so of one row of the parent, `belay_p`.
fn is_there(key: &ForeignKey, refers: &str, child: impl Fn(&Pair) -> String) -> String {
    match key.columns.last() {
        Some(period) if key.period => format!(
            "coalesce({} OPERATOR(pg_catalog.<@) (SELECT pg_catalog.range_agg(belay_p.{}) FROM {} belay_p
                WHERE {refers}), false)",
            child(period),
            period.parent,
            key.parent.sql
        ),
        _ => format!("EXISTS (SELECT FROM {} belay_p WHERE {refers})", key.parent.sql),
    }
}

async fn refuse_orphans(in_target: &Client, key: &ForeignKey, orphans: &str) -> Result<(), RevertError> {
    let rows = sql::number(in_target, orphans).await?;
    if rows == 0 {
        return Ok(());
    }
    let (child, parent, name) = (&key.child.shown, &key.parent.shown, &key.name);
    let what = format!("{rows} rows of {child} would refer to rows of {parent} that are not there (`{name}`)");
    Err(RevertError::refused(what, "change those rows first"))
}
