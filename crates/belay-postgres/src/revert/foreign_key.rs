//! Foreign keys that touch the tables.

use super::RevertError;
use super::catalog::Restored;
use super::sql::{self, field, flag, name, parsed};
use tokio_postgres::Client;

/// One of them, as it was declared: for partitions, where their partitioned table has it.
pub(super) struct ForeignKey {
    pub(super) name: String,
    pub(super) child: End,
    pub(super) parent: End,
    pub(super) columns: Vec<Pair>,
    /// The last column is a period.
    pub(super) period: bool,
    /// Every row kept it when it was last asked; else rows may be older than it.
    pub(super) validated: bool,
}

/// A table at one end.
pub(super) struct End {
    oid: u32,
    /// In FROM.
    pub(super) sql: String,
    /// As people know it.
    pub(super) shown: String,
}

/// A column that refers, and the one it refers to, both quoted.
pub(super) struct Pair {
    pub(super) child: String,
    pub(super) parent: String,
    /// The parent's column on the left, the child's on the right.
    parent_child: String,
    parent_parent: String,
    child_child: String,
}

impl End {
    /// Those of the tables whose rows are at this end.
    pub(super) fn of<'r>(&self, restored: &'r [Restored]) -> Vec<&'r Restored> {
        restored.iter().filter(|table| table.above.contains(&self.oid)).collect()
    }
}

impl ForeignKey {
    /// Whether `parent` is what `child` refers to; both give a column's value.
    pub(super) fn refers(&self, parent: impl Fn(&Pair) -> String, child: impl Fn(&Pair) -> String) -> String {
        self.joined(|pair| format!("{} {} {}", parent(pair), pair.parent_child, child(pair)))
    }

    /// The same for all columns but the period.
    pub(super) fn refers_but_period(
        &self,
        parent: impl Fn(&Pair) -> String,
        child: impl Fn(&Pair) -> String,
    ) -> String {
        let columns = self.columns.split_last().map(|(_, columns)| columns).unwrap_or_default();
        let conditions = columns.iter().map(|pair| format!("{} {} {}", parent(pair), pair.parent_child, child(pair)));
        conditions.collect::<Vec<_>>().join(" AND ")
    }

    /// Whether two values of the referenced columns are the same.
    pub(super) fn same_parent(&self, left: impl Fn(&Pair) -> String, right: impl Fn(&Pair) -> String) -> String {
        self.joined(|pair| format!("{} {} {}", left(pair), pair.parent_parent, right(pair)))
    }

    /// Whether two values of the referring columns are the same.
    pub(super) fn same_child(&self, left: impl Fn(&Pair) -> String, right: impl Fn(&Pair) -> String) -> String {
        self.joined(|pair| format!("{} {} {}", left(pair), pair.child_child, right(pair)))
    }

    /// Whether a row refers to anything.
    pub(super) fn is_set(&self, value: impl Fn(&Pair) -> String) -> String {
        self.joined(|pair| format!("{} IS NOT NULL", value(pair)))
    }

    fn joined(&self, condition: impl Fn(&Pair) -> String) -> String {
        self.columns.iter().map(condition).collect::<Vec<_>>().join(" AND ")
    }

    /// Old images that refer to something their row does not refer to as it was left: of `table`, as `belay_x`.
    pub(super) fn new_references(&self, table: &Restored) -> String {
        format!(
            "FROM {} belay_x WHERE {} AND NOT EXISTS (
                SELECT FROM {} p JOIN {} belay_w ON belay_w.n = p.w WHERE p.o = belay_x.n AND {})",
            table.old_images(),
            self.is_set(|pair| format!("(belay_x.r).{}", pair.child)),
            table.pairs_table(),
            table.new_images(),
            self.same_child(|pair| format!("(belay_w.r).{}", pair.child), |pair| format!("(belay_x.r).{}", pair.child)),
        )
    }
}

/// All of them that hold, at either end.
pub(super) async fn foreign_keys(in_target: &Client, restored: &[Restored]) -> Result<Vec<ForeignKey>, RevertError> {
    let oids = sql::oids(restored.iter().flat_map(|table| table.above.iter().copied()));
    let mut found: Vec<(u32, ForeignKey)> = Vec::new();
    for row in sql::rows(in_target, &FOREIGN_KEYS.replace("$oids", &oids)).await? {
        let oid: u32 = parsed(&row, 0)?;
        let pair = Pair {
            child: name(field(&row, 10)?),
            parent: name(field(&row, 11)?),
            parent_child: field(&row, 12)?.to_owned(),
            parent_parent: field(&row, 13)?.to_owned(),
            child_child: field(&row, 14)?.to_owned(),
        };
        if let Some((_, last)) = found.last_mut().filter(|(last, _)| *last == oid) {
            last.columns.push(pair);
            continue;
        }
        let key = ForeignKey {
            name: field(&row, 1)?.to_owned(),
            child: end(&row, 2)?,
            parent: end(&row, 6)?,
            columns: vec![pair],
            period: flag(&row, 15)?,
            validated: flag(&row, 16)?,
        };
        found.push((oid, key));
    }
    Ok(found.into_iter().map(|(_, key)| key).collect())
}

fn end(row: &tokio_postgres::SimpleQueryRow, at: usize) -> Result<End, RevertError> {
    let (schema, table) = (field(row, at + 1)?, field(row, at + 2)?);
    // Rows of inheriting tables do not count, those of partitions do.
    let only = if field(row, at + 3)? == "p" { "" } else { "ONLY " };
    let sql = format!("{only}{}.{}", name(schema), name(table));
    Ok(End { oid: parsed(row, at)?, sql, shown: format!("{schema}.{table}") })
}

/// Columns that came with later versions are asked for by way of JSON.
const FOREIGN_KEYS: &str = "
WITH operator AS (SELECT o.oid, n.nspname, o.oprname
    FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace)
SELECT k.oid, k.conname, c.oid, cn.nspname, c.relname, c.relkind, p.oid, pn.nspname, p.relname, p.relkind,
    ca.attname, pa.attname, pg_catalog.format('OPERATOR(%I.%s)', pf.nspname, pf.oprname),
    pg_catalog.format('OPERATOR(%I.%s)', pp.nspname, pp.oprname),
    pg_catalog.format('OPERATOR(%I.%s)', ff.nspname, ff.oprname),
    coalesce(pg_catalog.to_jsonb(k) ->> 'conperiod', 'f')::bool, k.convalidated
FROM pg_catalog.pg_constraint k
    JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace cn ON cn.oid = c.relnamespace
    JOIN pg_catalog.pg_class p ON p.oid = k.confrelid JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
    CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(k.conkey), pg_catalog.unnest(k.confkey),
        pg_catalog.unnest(k.conpfeqop), pg_catalog.unnest(k.conppeqop), pg_catalog.unnest(k.conffeqop)) WITH ORDINALITY f (ck, pk, pf, pp, ff, o)
    JOIN pg_catalog.pg_attribute ca ON ca.attrelid = c.oid AND ca.attnum = f.ck
    JOIN pg_catalog.pg_attribute pa ON pa.attrelid = p.oid AND pa.attnum = f.pk
    JOIN operator pf ON pf.oid = f.pf JOIN operator pp ON pp.oid = f.pp JOIN operator ff ON ff.oid = f.ff
WHERE k.contype = 'f' AND k.conparentid = 0 AND (k.conrelid = ANY ($oids) OR k.confrelid = ANY ($oids))
    AND coalesce(pg_catalog.to_jsonb(k) ->> 'conenforced', 't')::bool
ORDER BY k.oid, f.o";
