//! The tables as they stand in the target now.

use super::RevertError;
use super::narrow::Wanted;
use super::sql::{self, field, flag, name, parsed};
use belay_change::{Generated, Table};
use tokio_postgres::Client;

/// A table whose rows are put back. Its images are in temporary tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Restored {
    /// Its number in the change set and in the images.
    pub(super) number: u16,
    /// As it was captured, under the name that it has now.
    pub(super) table: Table,
    /// Its name in SQL.
    pub(super) sql: String,
    /// The columns of a key that always holds; none if there is no such key.
    pub(super) key: Vec<KeyColumn>,
    /// The table and the partitioned tables that it is part of.
    pub(super) above: Vec<u32>,
    /// How many rows are to be there again.
    pub(super) old: u64,
    /// How many rows are not to be there any longer.
    pub(super) new: u64,
    /// How many of both are the same row, by its key.
    pub(super) pairs: u64,
    /// How many of those that are not to be there are there, and how many of them as they were left.
    pub(super) hits: (u64, u64),
}

/// A column of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyColumn {
    /// Its name, quoted.
    name: String,
    /// What the index takes for equal.
    equals: String,
}

impl Restored {
    pub(super) fn old_images(&self) -> String {
        format!("pg_temp.belay_old_{}", self.number)
    }

    pub(super) fn new_images(&self) -> String {
        format!("pg_temp.belay_new_{}", self.number)
    }

    /// Which rows of the table are new images: `n` of the image, `c` their place, `same` whether they are unchanged.
    pub(super) fn hits(&self) -> String {
        format!("pg_temp.belay_hit_{}", self.number)
    }

    /// Which images are the same row: `o` of the old one, `w` of the new one.
    pub(super) fn pairs_table(&self) -> String {
        format!("pg_temp.belay_pair_{}", self.number)
    }

    /// As people know it.
    pub(super) fn shown(&self) -> String {
        format!("{}.{}", self.table.schema, self.table.name)
    }

    /// Whether the row `left` of the table has the key of the image `right`.
    pub(super) fn row_is(&self, left: &str, right: &str) -> String {
        self.joined(|column| format!("{left}.{} {} ({right}.r).{}", column.name, column.equals, column.name))
    }

    /// Whether the images have the same key.
    pub(super) fn image_is(&self, left: &str, right: &str) -> String {
        self.joined(|column| format!("({left}.r).{} {} ({right}.r).{}", column.name, column.equals, column.name))
    }

    fn joined(&self, condition: impl Fn(&KeyColumn) -> String) -> String {
        self.key.iter().map(condition).collect::<Vec<_>>().join(" AND ")
    }

    /// The fields of the key of an image.
    pub(super) fn key_of(&self, image: &str) -> Vec<String> {
        self.key.iter().map(|column| format!("({image}.r).{}", column.name)).collect()
    }

    /// The columns that are given when a row is inserted, quoted.
    pub(super) fn inserted_columns(&self) -> Vec<String> {
        self.columns(|made| matches!(made, Generated::No | Generated::IdentityAlways))
    }

    /// The columns that are given when a row is updated, quoted.
    pub(super) fn updated_columns(&self) -> Vec<String> {
        self.columns(|made| made == Generated::No)
    }

    fn columns(&self, wanted: impl Fn(Generated) -> bool) -> Vec<String> {
        self.table.columns.iter().filter(|column| wanted(column.generated)).map(|column| name(&column.name)).collect()
    }
}

/// Finds the tables by their numbers, locks them and makes sure that they are what they were.
pub(super) async fn restored(in_target: &Client, wanted: &[Wanted]) -> Result<Vec<Restored>, RevertError> {
    let found = look(in_target, wanted).await?;
    let mut in_order: Vec<&Restored> = found.iter().collect();
    in_order.sort_by_key(|table| table.table.oid);
    for table in in_order {
        // Rows without a key can be told apart only as long as nobody else writes.
        let mode = if table.key.is_empty() { "SHARE ROW EXCLUSIVE" } else { "ROW EXCLUSIVE" };
        in_target.batch_execute(&format!("LOCK TABLE ONLY {} IN {mode} MODE", table.sql)).await?;
    }
    if look(in_target, wanted).await? != found {
        return Err(RevertError::refused("a table was being altered", "try again"));
    }
    Ok(found)
}

async fn look(in_target: &Client, wanted: &[Wanted]) -> Result<Vec<Restored>, RevertError> {
    let oids = sql::oids(wanted.iter().map(|wanted| wanted.table.oid));
    let mut found = relations(in_target, &oids, wanted).await?;
    check_columns(in_target, &oids, &found).await?;
    for row in sql::rows(in_target, &KEYS.replace("$oids", &oids)).await? {
        let oid: u32 = parsed(&row, 0)?;
        let column = KeyColumn { name: name(field(&row, 1)?), equals: field(&row, 2)?.to_owned() };
        found.iter_mut().filter(|table| table.table.oid == oid).for_each(|table| table.key.push(column.clone()));
    }
    Ok(found)
}

async fn relations(in_target: &Client, oids: &str, wanted: &[Wanted]) -> Result<Vec<Restored>, RevertError> {
    let rows = sql::rows(in_target, &RELATIONS.replace("$oids", oids)).await?;
    let mut found = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        let oid = wanted.table.oid.to_string();
        let Some(row) = rows.iter().find(|row| row.get(0) == Some(&oid)) else {
            let what = format!("the table {}.{} is gone", wanted.table.schema, wanted.table.name);
            return Err(RevertError::refused(what, "its rows are in the change set, and can be exported from there"));
        };
        let table =
            Table { schema: field(row, 1)?.to_owned(), name: field(row, 2)?.to_owned(), ..wanted.table.clone() };
        let shown = format!("{}.{}", table.schema, table.name);
        if field(row, 3)? != "r" || field(row, 4)? != "heap" {
            return Err(RevertError::refused(format!("{shown} is no ordinary table any more"), ""));
        }
        if flag(row, 5)? {
            let what = format!("row-level security hides rows of {shown} from Belay's role");
            return Err(RevertError::refused(what, "give the role BYPASSRLS"));
        }
        let mut above: Vec<u32> = field(row, 6)?.split(',').filter_map(|oid| oid.parse().ok()).collect();
        above.push(table.oid);
        above.sort_unstable();
        above.dedup();
        let sql = format!("{}.{}", name(&table.schema), name(&table.name));
        found.push(Restored {
            number: wanted.number,
            table,
            sql,
            key: Vec::new(),
            above,
            old: 0,
            new: 0,
            pairs: 0,
            hits: (0, 0),
        });
    }
    Ok(found)
}

async fn check_columns(in_target: &Client, oids: &str, found: &[Restored]) -> Result<(), RevertError> {
    let rows = sql::rows(in_target, &COLUMNS.replace("$oids", oids)).await?;
    for restored in found {
        let oid = restored.table.oid.to_string();
        let mut there = rows.iter().filter(|row| row.get(0) == Some(&oid));
        let refused = |what: String| {
            let what = format!("the columns of {} are not what they were: {what}", restored.shown());
            Err(RevertError::refused(what, "put the columns back first"))
        };
        for column in &restored.table.columns {
            let Some(row) = there.next() else {
                return refused(format!("`{}` is not there", column.name));
            };
            let (name, typed, bare, made) = (field(row, 1)?, field(row, 2)?, field(row, 3)?, field(row, 4)?);
            if name != column.name {
                return refused(format!("`{name}` stands where `{}` was", column.name));
            }
            if column.type_name != typed && column.type_name != bare {
                return refused(format!("`{name}` was {} and is {typed}", column.type_name));
            }
            if made != letter(column.generated) {
                return refused(format!("the values of `{name}` are generated in another way"));
            }
        }
        if let Some(row) = there.next() {
            return refused(format!("`{}` is new", field(row, 1)?));
        }
    }
    Ok(())
}

fn letter(generated: Generated) -> &'static str {
    match generated {
        Generated::No => "",
        Generated::IdentityAlways => "a",
        Generated::Stored => "s",
        Generated::Virtual => "v",
    }
}

const RELATIONS: &str = "
SELECT c.oid, n.nspname, c.relname, c.relkind, coalesce(m.amname, ''), pg_catalog.row_security_active(c.oid),
    coalesce((SELECT pg_catalog.string_agg(a.relid::oid::text, ',') FROM pg_catalog.pg_partition_ancestors(c.oid) a), '')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_am m ON m.oid = c.relam
WHERE c.oid = ANY ($oids)";

const COLUMNS: &str = "
SELECT attrelid, attname, pg_catalog.format_type(atttypid, atttypmod), pg_catalog.format_type(atttypid, NULL),
    CASE WHEN attgenerated <> '' THEN attgenerated::text WHEN attidentity = 'a' THEN 'a' ELSE '' END
FROM pg_catalog.pg_attribute WHERE attrelid = ANY ($oids) AND attnum > 0 AND NOT attisdropped
ORDER BY attrelid, attnum";

/// The best key of each table: unique at once and for every row, over columns that are never NULL. What is equal is
/// what the index takes for equal; a key of ranges that may not overlap has no other operators than the usual ones.
const KEYS: &str = "
WITH usable AS (
    SELECT DISTINCT ON (i.indrelid) i.indrelid, i.indexrelid, i.indkey, i.indclass, i.indnkeyatts
    FROM pg_catalog.pg_index i
        JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid JOIN pg_catalog.pg_am m ON m.oid = x.relam
    WHERE i.indrelid = ANY ($oids) AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indisready
        AND i.indpred IS NULL AND i.indexprs IS NULL
        AND (m.amname = 'btree' OR m.amname = 'gist' AND i.indisexclusion)
        AND NOT EXISTS (
            SELECT FROM ROWS FROM (pg_catalog.unnest(i.indkey::int2[]), pg_catalog.unnest(i.indcollation::oid[])) WITH ORDINALITY k (att, coll, o)
                JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.att
            WHERE k.o <= i.indnkeyatts AND (NOT a.attnotnull OR a.attcollation <> k.coll))
    ORDER BY i.indrelid, i.indisprimary DESC, i.indnkeyatts, i.indexrelid)
SELECT u.indrelid, a.attname, coalesce((
        SELECT pg_catalog.format('OPERATOR(%I.%s)', s.nspname, p.oprname)
        FROM pg_catalog.pg_opclass c
            JOIN pg_catalog.pg_amop e ON e.amopfamily = c.opcfamily AND e.amoplefttype = c.opcintype
                AND e.amoprighttype = c.opcintype AND e.amopstrategy = 3
            JOIN pg_catalog.pg_am m ON m.oid = c.opcmethod AND m.amname = 'btree'
            JOIN pg_catalog.pg_operator p ON p.oid = e.amopopr JOIN pg_catalog.pg_namespace s ON s.oid = p.oprnamespace
        WHERE c.oid = k.class), 'OPERATOR(pg_catalog.=)')
FROM usable u
    CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(u.indkey::int2[]), pg_catalog.unnest(u.indclass::oid[]))
        WITH ORDINALITY k (att, class, o)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = u.indrelid AND a.attnum = k.att
WHERE k.o <= u.indnkeyatts
ORDER BY u.indrelid, k.o";
