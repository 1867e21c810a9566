//! The statements that put the rows of a table back.

use super::catalog::Restored;
use super::foreign_key::ForeignKey;
use super::tally::Rows;

/// In which order rows are put back. Foreign keys and unique values decide which one works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Insert, update, delete: no row is without what it refers to.
    Insert,
    /// Delete, update, insert: no value is used twice.
    Delete,
    /// All as one statement, so that foreign keys are checked once, at its end.
    Once,
    /// Delete everything that was left, insert everything that was there. Only where nothing follows from a deletion.
    Replace,
}

/// The statements, parents before children where rows come and the other way round where they go.
pub(super) fn statements(order: Order, restored: &[Restored], keys: &[ForeignKey]) -> Vec<String> {
    let parents_first: Vec<&Restored> =
        parents_first(restored, keys).into_iter().filter(|table| table.old + table.new > 0).collect();
    let down = |act: fn(&Restored) -> Option<String>| parents_first.iter().filter_map(move |table| act(table));
    let up = |act: fn(&Restored) -> Option<String>| parents_first.iter().rev().filter_map(move |table| act(table));
    match order {
        Order::Insert => down(insert).chain(down(update)).chain(up(delete)).collect(),
        Order::Delete => up(delete).chain(down(update)).chain(down(insert)).collect(),
        Order::Replace => up(delete_all).chain(down(insert_all)).collect(),
        Order::Once => {
            let parts = up(delete).chain(down(update)).chain(down(insert)).enumerate();
            let parts: Vec<String> = parts.map(|(at, part)| format!("belay_part_{at} AS ({part})")).collect();
            if parts.is_empty() { Vec::new() } else { vec![format!("WITH {} SELECT", parts.join(", "))] }
        }
    }
}

/// What the statements of `order` do to the table, if they do nothing else.
pub(super) fn expected(order: Order, table: &Restored) -> Rows {
    if order == Order::Replace || table.key.is_empty() {
        return Rows { inserted: table.old, updated: 0, deleted: table.new };
    }
    let (inserted, deleted) = (table.old - table.pairs, table.new - table.pairs);
    Rows { inserted, updated: table.pairs, deleted }
}

fn delete(table: &Restored) -> Option<String> {
    if table.key.is_empty() || table.pairs == 0 {
        return delete_all(table);
    }
    let unpaired = format!(" AND NOT EXISTS (SELECT FROM {} p WHERE p.w = h.n)", table.pairs_table());
    (table.new > table.pairs).then(|| format!("{}{unpaired}", delete_hits(table)))
}

fn delete_all(table: &Restored) -> Option<String> {
    (table.new > 0).then(|| delete_hits(table))
}

/// The rows are locked, so that they are where they were found.
fn delete_hits(table: &Restored) -> String {
    format!("DELETE FROM ONLY {} belay_t USING {} h WHERE belay_t.ctid = h.c", table.sql, table.hits())
}

fn update(table: &Restored) -> Option<String> {
    let columns = table.updated_columns();
    if table.pairs == 0 || columns.is_empty() {
        return None;
    }
    let set: Vec<String> = columns.iter().map(|column| format!("{column} = (belay_x.r).{column}")).collect();
    Some(format!(
        "UPDATE ONLY {} belay_t SET {} FROM {} belay_x WHERE {} AND EXISTS (SELECT FROM {} p WHERE p.o = belay_x.n)",
        table.sql,
        set.join(", "),
        table.old_images(),
        table.row_is("belay_t", "belay_x"),
        table.pairs_table()
    ))
}

fn insert(table: &Restored) -> Option<String> {
    if table.pairs == 0 {
        return insert_all(table);
    }
    let unpaired = format!(" WHERE NOT EXISTS (SELECT FROM {} p WHERE p.o = belay_x.n)", table.pairs_table());
    (table.old > table.pairs).then(|| format!("{}{unpaired}", insert_images(table)))
}

fn insert_all(table: &Restored) -> Option<String> {
    (table.old > 0).then(|| insert_images(table))
}

fn insert_images(table: &Restored) -> String {
    let columns = table.inserted_columns();
    let values: Vec<String> = columns.iter().map(|column| format!("(belay_x.r).{column}")).collect();
    let (names, values) = (columns.join(", "), values.join(", "));
    let images = table.old_images();
    if columns.is_empty() {
        return format!("INSERT INTO {} SELECT FROM {images} belay_x", table.sql);
    }
    format!("INSERT INTO {} ({names}) OVERRIDING SYSTEM VALUE SELECT {values} FROM {images} belay_x", table.sql)
}

/// Those first that the others refer to; in a cycle, in any order.
fn parents_first<'r>(restored: &'r [Restored], keys: &[ForeignKey]) -> Vec<&'r Restored> {
    let mut edges = Vec::new();
    for key in keys {
        for child in key.child.of(restored) {
            edges.extend(key.parent.of(restored).iter().map(|parent| (child.table.oid, parent.table.oid)));
        }
    }
    let mut rest: Vec<&Restored> = restored.iter().collect();
    let mut done = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let waits = |table: &&Restored| {
            edges.iter().any(|(child, parent)| {
                child != parent && *child == table.table.oid && rest.iter().any(|other| other.table.oid == *parent)
            })
        };
        let (mut later, mut free): (Vec<&Restored>, Vec<&Restored>) = rest.iter().copied().partition(waits);
        if free.is_empty() {
            std::mem::swap(&mut later, &mut free);
        }
        done.extend(free);
        rest = later;
    }
    done
}
