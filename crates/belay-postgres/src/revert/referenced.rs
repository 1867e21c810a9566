//! Rows made since that refer to what would be removed, and rows that would refer to what is gone.

use super::catalog::Restored;
use super::conflict::{Found, Shown, take_out};
use super::foreign_key::{ForeignKey, Pair, foreign_keys};
use super::sql::image;
use super::{ConflictKind, RevertError};
use tokio_postgres::Client;

/// Each round leaves out the rows that the one before made impossible; as deep as foreign keys hang on each other.
const ROUNDS: u32 = 64;

/// Finds them; with `leave_out` takes their rows out, until there are no more.
pub(super) async fn find(
    in_target: &Client,
    restored: &[Restored],
    found: &mut Found,
    leave_out: bool,
) -> Result<(), RevertError> {
    let keys = foreign_keys(in_target, restored).await?;
    for _ in 0..ROUNDS {
        let mut rows = 0;
        // A period is covered by several rows; what that takes is checked when all is in place.
        for key in keys.iter().filter(|key| !key.period) {
            rows += referenced(in_target, restored, key, found, leave_out).await?;
            if key.validated {
                rows += orphaned(in_target, restored, key, found, leave_out).await?;
            }
        }
        if rows == 0 || !leave_out {
            return Ok(());
        }
    }
    Err(RevertError::refused("too many rows depend on rows that were changed since", "revert fewer rows at once"))
}

fn child(pair: &Pair) -> String {
    format!("belay_c.{}", pair.child)
}

/// Values of referenced columns that are there now and would not be after, as `pg_temp.belay_lost`, with the number of
/// the image they are from.
pub(super) async fn lost(in_target: &Client, parents: &[&Restored], key: &ForeignKey) -> Result<u64, RevertError> {
    let columns = |of: &str| {
        let column = |(at, pair): (usize, &Pair)| format!("({of}.r).{} AS k{at}", pair.parent);
        key.columns.iter().enumerate().map(column).collect::<Vec<_>>().join(", ")
    };
    let all = |images: fn(&Restored) -> String| {
        let select = |table: &&Restored| format!("SELECT x.n, x.img, {} FROM {} x", columns("x"), images(table));
        parents.iter().map(select).collect::<Vec<_>>().join(" UNION ALL ")
    };
    let same = key.same_parent(|pair| at(key, "a", pair), |pair| at(key, "b", pair));
    let create = format!(
        "DROP TABLE IF EXISTS pg_temp.belay_lost;
        CREATE TEMP TABLE belay_lost ON COMMIT DROP AS SELECT a.* FROM ({}) a
            WHERE {} AND NOT EXISTS (SELECT FROM ({}) b WHERE {same});
        ANALYZE pg_temp.belay_lost",
        all(Restored::new_images),
        key.is_set(|pair| at(key, "a", pair)),
        all(Restored::old_images),
    );
    in_target.batch_execute(&create).await?;
    super::sql::number(in_target, "SELECT pg_catalog.count(*) FROM pg_temp.belay_lost").await
}

/// The column of `pg_temp.belay_lost` for a pair of the key.
pub(super) fn at(key: &ForeignKey, of: &str, pair: &Pair) -> String {
    let at = key.columns.iter().position(|other| std::ptr::eq(other, pair)).unwrap_or_default();
    format!("{of}.k{at}")
}

async fn referenced(
    in_target: &Client,
    restored: &[Restored],
    key: &ForeignKey,
    found: &mut Found,
    leave_out: bool,
) -> Result<u64, RevertError> {
    let parents = key.parent.of(restored);
    if parents.is_empty() || lost(in_target, &parents, key).await? == 0 {
        return Ok(0);
    }
    let mut conditions = vec![key.refers(|pair| at(key, "l", pair), child)];
    for table in key.child.of(restored) {
        let (hits, oid) = (table.hits(), table.table.oid);
        let ours = format!("h.same AND h.c = belay_c.ctid AND belay_c.tableoid = {oid}");
        conditions.push(format!("NOT EXISTS (SELECT FROM {hits} h WHERE {ours})"));
    }
    let from = format!("FROM pg_temp.belay_lost l JOIN {} belay_c ON {}", key.child.sql, conditions.join(" AND "));
    let lost_key = key.columns.iter().map(|pair| at(key, "l", pair)).collect();
    let now = image("belay_c.*");
    let shown = Shown { before: "NULL", left: "l.img", now: &now, key: lost_key };
    let rows = found.look(in_target, &key.parent.shown, ConflictKind::Referenced, &from, &shown).await?;
    if rows > 0 && leave_out {
        for table in parents {
            let new =
                format!("SELECT DISTINCT l.n {from} AND EXISTS (SELECT FROM {} x WHERE x.n = l.n)", table.new_images());
            take_out(in_target, table, &new, "SELECT NULL::int8 WHERE false").await?;
        }
    }
    Ok(rows)
}

async fn orphaned(
    in_target: &Client,
    restored: &[Restored],
    key: &ForeignKey,
    found: &mut Found,
    leave_out: bool,
) -> Result<u64, RevertError> {
    let parents = key.parent.of(restored);
    let image_child = |pair: &Pair| format!("(belay_x.r).{}", pair.child);
    let still_there = format!(
        "EXISTS (SELECT FROM {} belay_p WHERE {})",
        key.parent.sql,
        key.refers(|pair| format!("belay_p.{}", pair.parent), image_child)
    );
    let (mut there, mut missing) = (vec![still_there], Vec::new());
    if !parents.is_empty() {
        lost(in_target, &parents, key).await?;
        let gone = key.refers(|pair| at(key, "l", pair), image_child);
        there.push(format!("NOT EXISTS (SELECT FROM pg_temp.belay_lost l WHERE {gone})"));
        for table in &parents {
            let same = key.refers(|pair| format!("(belay_o.r).{}", pair.parent), image_child);
            missing.push(format!("NOT EXISTS (SELECT FROM {} belay_o WHERE {same})", table.old_images()));
        }
    }
    missing.push(format!("NOT ({})", there.join(" AND ")));
    let missing = missing.join(" AND ");
    let mut rows = 0;
    for table in key.child.of(restored) {
        let from = format!("{} AND {missing}", key.new_references(table));
        let shown = Shown { before: "belay_x.img", left: "NULL", now: "NULL", key: table.key_of("belay_x") };
        let here = found.look(in_target, &table.shown(), ConflictKind::Orphaned, &from, &shown).await?;
        if here > 0 && leave_out {
            take_out(in_target, table, "SELECT NULL::int8 WHERE false", &format!("SELECT belay_x.n {from}")).await?;
        }
        rows += here;
    }
    Ok(rows)
}
