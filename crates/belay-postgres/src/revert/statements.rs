//! The statements that put the rows of a table back.

use super::catalog::Restored;
use super::foreign_key::ForeignKey;
use super::sql::image;
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

/// A statement that puts rows back, and says for each of its tables how many came back as their images.
pub(super) struct Statement {
    pub(super) sql: String,
    /// Numbers of the tables, one for each column of the answer.
    pub(super) tables: Vec<u16>,
}

/// What one table takes in one of the statements.
struct Part {
    sql: String,
    table: u16,
    /// How many rows came back as their images, in SQL; `$part` is what `sql` returns.
    same: String,
}

/// The statements, parents before children where rows come and the other way round where they go. A row that anything
/// changes after it came back is one more that the target counts as updated.
pub(super) fn statements(order: Order, restored: &[Restored], keys: &[ForeignKey]) -> Vec<Statement> {
    let parents_first: Vec<&Restored> =
        parents_first(restored, keys).into_iter().filter(|table| table.old + table.new > 0).collect();
    let down = |act: fn(&Restored) -> Option<Part>| parents_first.iter().filter_map(move |table| act(table));
    let up = |act: fn(&Restored) -> Option<Part>| parents_first.iter().rev().filter_map(move |table| act(table));
    let parts: Vec<Part> = match order {
        Order::Insert => down(insert).chain(down(update)).chain(up(delete)).collect(),
        Order::Replace => up(delete_all).chain(down(insert_all)).collect(),
        Order::Delete | Order::Once => up(delete).chain(down(update)).chain(down(insert)).collect(),
    };
    if order == Order::Once && !parts.is_empty() {
        return vec![statement(&parts)];
    }
    parts.iter().map(|part| statement(std::slice::from_ref(part))).collect()
}

fn statement(parts: &[Part]) -> Statement {
    let (mut with, mut same) = (Vec::new(), Vec::new());
    for (at, part) in parts.iter().enumerate() {
        let name = format!("belay_part_{at}");
        with.push(format!("{name} AS ({})", part.sql));
        same.push(part.same.replace("$part", &name));
    }
    let sql = format!("WITH {} SELECT {}", with.join(", "), same.join(", "));
    Statement { sql, tables: parts.iter().map(|part| part.table).collect() }
}

/// What the statements of `order` do to the table, if they do nothing else.
pub(super) fn expected(order: Order, table: &Restored) -> Rows {
    if order == Order::Replace || table.key.is_empty() {
        return Rows { inserted: table.old, updated: 0, deleted: table.new };
    }
    let (inserted, deleted) = (table.old - table.pairs, table.new - table.pairs);
    Rows { inserted, updated: table.pairs, deleted }
}

fn delete(table: &Restored) -> Option<Part> {
    if table.key.is_empty() || table.pairs == 0 {
        return delete_all(table);
    }
    let unpaired = format!(" AND NOT EXISTS (SELECT FROM {} p WHERE p.w = h.n)", table.pairs_table());
    (table.new > table.pairs).then(|| delete_hits(table, &unpaired))
}

fn delete_all(table: &Restored) -> Option<Part> {
    (table.new > 0).then(|| delete_hits(table, ""))
}

/// The rows are locked, so that they are where they were found.
fn delete_hits(table: &Restored, which: &str) -> Part {
    let sql =
        format!("DELETE FROM ONLY {} belay_t USING {} h WHERE belay_t.ctid = h.c{which}", table.sql, table.hits());
    Part { sql, table: table.number, same: "0".to_owned() }
}

fn update(table: &Restored) -> Option<Part> {
    let columns = table.updated_columns();
    if table.pairs == 0 || columns.is_empty() {
        return None;
    }
    let set: Vec<String> = columns.iter().map(|column| format!("{column} = (belay_x.r).{column}")).collect();
    // By their places, of which the planner knows how many there are, as it does not of keys inside of images.
    let sql = format!(
        "UPDATE ONLY {} belay_t SET {} FROM {} h JOIN {} p ON p.w = h.n JOIN {} belay_x ON belay_x.n = p.o
            WHERE belay_t.ctid = h.c RETURNING {} COLLATE \"C\" = belay_x.img AS same",
        table.sql,
        set.join(", "),
        table.hits(),
        table.pairs_table(),
        table.old_images(),
        image("belay_t.*"),
    );
    Some(Part { sql, table: table.number, same: "(SELECT pg_catalog.count(*) FROM $part WHERE same)".to_owned() })
}

fn insert(table: &Restored) -> Option<Part> {
    let unpaired = format!(" WHERE NOT EXISTS (SELECT FROM {} p WHERE p.o = belay_x.n)", table.pairs_table());
    (table.old > table.pairs).then(|| insert_images(table, if table.pairs > 0 { &unpaired } else { "" }))
}

fn insert_all(table: &Restored) -> Option<Part> {
    (table.old > 0).then(|| insert_images(table, ""))
}

/// Nothing tells from which image a row is: it is the same if it is there as often as among the images.
fn insert_images(table: &Restored, which: &str) -> Part {
    let columns = table.inserted_columns();
    let values: Vec<String> = columns.iter().map(|column| format!("(belay_x.r).{column}")).collect();
    let given =
        if columns.is_empty() { String::new() } else { format!(" ({}) OVERRIDING SYSTEM VALUE", columns.join(", ")) };
    let images = table.old_images();
    let sql = format!(
        "INSERT INTO {} AS belay_t{given} SELECT {} FROM {images} belay_x{which}
            RETURNING {} COLLATE \"C\" AS img",
        table.sql,
        values.join(", "),
        image("belay_t.*"),
    );
    let same = if table.key.is_empty() {
        let numbered =
            |from: &str| format!("(SELECT img, pg_catalog.row_number() OVER (PARTITION BY img) AS nth FROM {from})");
        format!(
            "(SELECT pg_catalog.count(*) FROM {} d JOIN {} x ON x.img = d.img AND x.nth = d.nth)",
            numbered("$part"),
            numbered(&images)
        )
    } else {
        format!("(SELECT pg_catalog.count(*) FROM $part d JOIN {images} x ON x.img = d.img)")
    };
    Part { sql, table: table.number, same }
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
