//! Tables that are dropped: moved out of the way instead, into a schema of Belay's own, from which they come back as
//! they were, or are dropped once their time is over.
//!
//! All of it is done by a connection of the control user, in transactions of its own.

use crate::capture::{Ask, CaptureError};
use aws_lc_rs::digest;
use belay_change::{ChangeSet, Means, Table, TableChange};
use belay_model::ChangeId;
use pg_query::NodeEnum;
use pg_query::protobuf::{DropStmt, ObjectType};
use postgres_protocol::escape::{escape_identifier, escape_literal};
use std::fmt::Write as _;

/// What the schemas are called that tables wait in, each with the number of its change.
const SCHEMA: &str = "belay_trash_";
/// Larger tables are not counted: their statistics say about how many rows they have.
const COUNTED_BYTES: i64 = 256 * 1024 * 1024;
/// Tables that one statement drops.
const MOST: usize = 100;
const UNEXPECTED: CaptureError = CaptureError::Unexpected("the tables to be dropped");

/// Whether the text is DROP TABLE.
pub(crate) fn is_drop(text: &str) -> bool {
    statement(text).is_some()
}

fn statement(text: &str) -> Option<DropStmt> {
    let parsed = pg_query::parse(text, 0).ok()?;
    let [only] = parsed.protobuf.stmts.as_slice() else { return None };
    match only.stmt.as_ref()?.node.as_ref()? {
        NodeEnum::DropStmt(drop) if drop.remove_type == ObjectType::ObjectTable as i32 => Some(drop.clone()),
        _ => None,
    }
}

/// The tables that a DROP TABLE means on this connection, by their numbers; nothing where the target itself has to say
/// that one is none, or is not there.
pub(crate) async fn named(writer: &mut dyn Ask, text: &str) -> Result<Option<Vec<u32>>, CaptureError> {
    let Some(drop) = statement(text) else { return Err(UNEXPECTED) };
    if drop.objects.len() > MOST {
        return Err(irreversible(format!("DROP TABLE of more than {MOST} tables"), "drop them in several statements"));
    }
    let (mut found, mut missing) = (Vec::new(), None);
    for object in &drop.objects {
        let Some(NodeEnum::List(words)) = &object.node else { return Err(UNEXPECTED) };
        let word = |node: &pg_query::protobuf::Node| match &node.node {
            Some(NodeEnum::String(word)) => Some(escape_identifier(&word.sval)),
            _ => None,
        };
        let name = words.items.iter().map(word).collect::<Option<Vec<_>>>().ok_or(UNEXPECTED)?.join(".");
        let ask = format!(
            "SELECT c.oid FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'p') \
             AND c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass({})::pg_catalog.oid",
            escape_literal(&name).trim_start()
        );
        match writer.ask(&ask).await?.first() {
            Some(row) => found.push(number(row, 0)?),
            None if drop.missing_ok => {}
            None => missing = Some(name),
        }
    }
    if let Some(name) = missing.filter(|_| !found.is_empty()) {
        return Err(CaptureError::Target {
            sqlstate: "42P01".to_owned(),
            message: format!("there is no table {name}"),
        });
    }
    found.sort_unstable();
    found.dedup();
    Ok((!found.is_empty()).then_some(found))
}

/// Begins a transaction in which these tables can be moved away, and says what that changes: what DROP TABLE itself
/// would refuse is refused, and their rows are counted.
pub(crate) async fn begin(control: &mut dyn Ask, oids: &[u32]) -> Result<ChangeSet, CaptureError> {
    control.ask("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = '2s'").await?;
    let found = look(control, oids).await?;
    let names: Vec<&str> = found.iter().map(|table| table.quoted.as_str()).collect();
    let names = names.join(", ");
    control.ask(&format!("LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE")).await.map_err(not_owned)?;
    // A name could have gone to another table before the lock was there.
    if look(control, oids).await?.iter().map(|table| &table.quoted).ne(found.iter().map(|table| &table.quoted)) {
        return Err(irreversible("the tables were renamed meanwhile", "try again"));
    }
    may_come_back(control, &found).await?;
    let trial = format!("SAVEPOINT belay_trial; DROP TABLE {names}; ROLLBACK TO SAVEPOINT belay_trial");
    control.ask(&trial).await.map_err(not_owned)?;
    let mut tables = Vec::with_capacity(found.len());
    for table in found {
        let rows = if let Some(rows) = table.rows {
            rows
        } else {
            let counted = control.ask(&format!("SELECT count(*) FROM {}", table.quoted)).await?;
            number(counted.first().ok_or(UNEXPECTED)?, 0)?
        };
        tables.push(TableChange {
            table: table.table,
            inserted: 0,
            updated: 0,
            deleted: rows,
            indirect: false,
            means: Means::Trash,
            volatile: Vec::new(),
        });
    }
    let transaction = control.ask("SELECT pg_current_xact_id()::text").await?;
    let transaction = transaction.into_iter().next().and_then(|row| row.into_iter().next()).flatten();
    Ok(ChangeSet { fingerprint: fingerprint(&tables), tables, transaction, ..ChangeSet::default() })
}

/// Equal exactly where the same tables are dropped. Their rows may change until then: all of them are kept.
fn fingerprint(tables: &[TableChange]) -> String {
    let mut names: Vec<String> = tables
        .iter()
        .map(|change| format!("{}\0{}\0{}\0", change.table.oid, change.table.schema, change.table.name))
        .collect();
    names.sort();
    let hash = digest::digest(&digest::SHA256, format!("trash\0{}", names.concat()).as_bytes());
    hash.as_ref().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// One table.
struct Found {
    table: Table,
    quoted: String,
    /// About how many rows it has, where it is too large to be counted.
    rows: Option<u64>,
}

async fn look(control: &mut dyn Ask, oids: &[u32]) -> Result<Vec<Found>, CaptureError> {
    let list = oids.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    let ask = format!(
        "SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, \
         EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid OR i.inhparent = c.oid), \
         CASE WHEN pg_relation_size(c.oid) > {COUNTED_BYTES} THEN greatest(c.reltuples, 0)::int8 END, \
         (SELECT string_agg(DISTINCT f.confrelid::regclass::text, ', ') FROM pg_constraint f WHERE f.conrelid = c.oid \
            AND f.contype = 'f' AND NOT has_table_privilege(f.confrelid, 'REFERENCES')) \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid IN ({list}) ORDER BY c.oid"
    );
    let rows = control.ask(&ask).await?;
    if rows.len() != oids.len() {
        return Err(irreversible("a table was dropped meanwhile", "try again"));
    }
    let found = |row: &Vec<Option<String>>| {
        let text = |at: usize| row.get(at).and_then(Option::as_deref).ok_or(UNEXPECTED);
        let (schema, name) = (text(1)?, text(2)?);
        let shown = format!("{schema}.{name}");
        if schema.starts_with(SCHEMA) {
            return Err(irreversible(format!("{shown} is in the trash already"), "wait until its time is over"));
        }
        if text(3)? != "r" || text(5)? == "t" {
            return Err(irreversible(
                format!("{shown} shares its rows with other tables: it has partitions or children, or is one"),
                "empty it with DELETE or TRUNCATE, and drop it in a migration",
            ));
        }
        if text(4)? == "t" {
            return Err(irreversible(format!("{shown} is a temporary table"), "it ends with the session"));
        }
        if let Some(Some(parents)) = row.get(7) {
            return Err(irreversible(
                format!("{shown} refers to {parents}, and Belay's own role could not make that foreign key again"),
                "grant REFERENCES on it to Belay's role in the target",
            ));
        }
        Ok(Found {
            table: Table {
                oid: number(row, 0)?,
                schema: schema.to_owned(),
                name: name.to_owned(),
                columns: Vec::new(),
                key: Vec::new(),
            },
            quoted: quoted(schema, name),
            rows: row.get(6).cloned().flatten().map(|rows| rows.parse()).transpose().map_err(|_| UNEXPECTED)?,
        })
    };
    rows.iter().map(found).collect()
}

/// Whether the control user may put the tables into their schemas again.
async fn may_come_back(control: &mut dyn Ask, found: &[Found]) -> Result<(), CaptureError> {
    let schemas = found.iter().map(|found| escape_literal(&found.table.schema)).collect::<Vec<_>>().join(", ");
    let ask = format!(
        "SELECT n.nspname FROM pg_namespace n WHERE n.nspname IN ({schemas}) AND NOT has_schema_privilege(n.oid, 'CREATE')"
    );
    match control.ask(&ask).await?.into_iter().next().and_then(|row| row.into_iter().next()).flatten() {
        None => Ok(()),
        Some(schema) => Err(irreversible(
            format!("DROP TABLE: Belay's own role may not CREATE in the schema {schema}, and could not bring it back"),
            "grant that role CREATE on the schema, or drop the table in a migration",
        )),
    }
}

/// Moves the tables away, in the transaction that was begun. What they refer to is let go, and written down.
pub(crate) async fn move_away(control: &mut dyn Ask, set: &ChangeSet, change: ChangeId) -> Result<(), CaptureError> {
    let schema = escape_identifier(&format!("{SCHEMA}{change}"));
    control.ask(&format!("CREATE SCHEMA {schema}")).await.map_err(not_owned)?;
    let list = set.tables.iter().map(|change| change.table.oid.to_string()).collect::<Vec<_>>().join(", ");
    let keys = control
        .ask(&format!(
            "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname), \
             format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) \
             FROM pg_constraint WHERE contype = 'f' AND conrelid IN ({list}) AND confrelid <> conrelid ORDER BY oid"
        ))
        .await?;
    let mut again = Vec::with_capacity(keys.len());
    for key in keys {
        let Ok([Some(drop), Some(add)]) = <[Option<String>; 2]>::try_from(key) else { return Err(UNEXPECTED) };
        control.ask(&drop).await.map_err(not_owned)?;
        again.push(add);
    }
    let note = escape_literal(&format!("{NOTE}{}", again.join(SEPARATOR)));
    control.ask(&format!("COMMENT ON SCHEMA {schema} IS {}", note.trim_start())).await?;
    for TableChange { table, .. } in &set.tables {
        let name = quoted(&table.schema, &table.name);
        control.ask(&format!("ALTER TABLE {name} SET SCHEMA {schema}")).await.map_err(not_owned)?;
    }
    Ok(())
}

/// What the comment of such a schema begins with; what makes its foreign keys again stands behind it.
const NOTE: &str = "tables that were dropped through Belay; `belay revert` brings them back\n";
const SEPARATOR: &str = ";\n";

/// Tables that are back, in a transaction that is open.
pub(crate) struct Back {
    pub(crate) set: ChangeSet,
    /// What is left to be done once the rows that they refer to are back, too: their foreign keys, and the trash's end.
    pub(crate) left: Vec<String>,
}

/// Brings the tables of a change back, in a transaction that it begins.
pub(crate) async fn bring_back(control: &mut dyn Ask, set: &ChangeSet) -> Result<Back, CaptureError> {
    control.ask("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = '2s'").await?;
    let mut schemas: Vec<String> = Vec::new();
    let mut tables = set.tables.clone();
    for change in &mut tables {
        let table = &change.table;
        let Some(schema) = kept_in(control, table).await? else {
            return Err(irreversible(
                format!("{}.{} is not in the trash", table.schema, table.name),
                "belay changes shows whether it was brought back, or its time was over",
            ));
        };
        let (from, to) = (quoted(&schema, &table.name), escape_identifier(&table.schema));
        control.ask(&format!("ALTER TABLE {from} SET SCHEMA {to}")).await?;
        (change.inserted, change.deleted) = (change.deleted, 0);
        if !schemas.contains(&schema) {
            schemas.push(schema);
        }
    }
    let mut left = Vec::new();
    for schema in schemas {
        let name = escape_literal(&schema);
        let ask = format!("SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = {name}");
        let note = control.ask(&ask).await?.into_iter().next().and_then(|row| row.into_iter().next()).flatten();
        let keys = note.as_deref().and_then(|note| note.strip_prefix(NOTE)).unwrap_or_default();
        left.extend(keys.split(SEPARATOR).filter(|key| !key.is_empty()).map(str::to_owned));
        left.push(format!("DROP SCHEMA {}", escape_identifier(&schema)));
    }
    let transaction = control.ask("SELECT pg_current_xact_id()::text").await?;
    let transaction = transaction.into_iter().next().and_then(|row| row.into_iter().next()).flatten();
    let set = ChangeSet { fingerprint: fingerprint(&tables), tables, transaction, ..ChangeSet::default() };
    Ok(Back { set, left })
}

/// Drops what is left in the trash of a change.
pub(crate) async fn empty(control: &mut dyn Ask, change: ChangeId, set: &ChangeSet) -> Result<(), CaptureError> {
    control.ask("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = '2s'").await?;
    let schema = format!("{SCHEMA}{change}");
    let mut found = false;
    for TableChange { table, .. } in &set.tables {
        // It may have been brought back, and been dropped again by another change.
        if kept_in(control, table).await?.is_some_and(|kept| kept == schema) {
            control.ask(&format!("DROP TABLE {}", quoted(&schema, &table.name))).await?;
            found = true;
        }
    }
    if found {
        control.ask(&format!("DROP SCHEMA {}", escape_identifier(&schema))).await?;
    }
    control.ask("COMMIT").await.map(|_| ())
}

/// The schema of the trash that holds the table.
async fn kept_in(control: &mut dyn Ask, table: &Table) -> Result<Option<String>, CaptureError> {
    let ask = format!(
        "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = {} \
         AND c.relname = {} AND starts_with(n.nspname::text, '{SCHEMA}')",
        table.oid,
        escape_literal(&table.name)
    );
    Ok(control.ask(&ask).await?.into_iter().next().and_then(|row| row.into_iter().next()).flatten())
}

/// What the target says to a DROP TABLE, for the client.
fn not_owned(error: CaptureError) -> CaptureError {
    let CaptureError::Target { sqlstate, message } = error else { return error };
    match sqlstate.as_str() {
        "42501" => irreversible(
            format!("DROP TABLE: {message} (for Belay's own role)"),
            "give that role the table owner's role and CREATE on the database, or drop the table in a migration",
        ),
        "2BP01" => irreversible(format!("DROP TABLE: {message}"), "drop what depends on it first: views, foreign keys"),
        "55P03" => irreversible("DROP TABLE: somebody else uses the table", "try again"),
        _ => CaptureError::Target { sqlstate, message },
    }
}

fn irreversible(what: impl Into<String>, instead: &str) -> CaptureError {
    CaptureError::Irreversible { what: what.into(), instead: instead.to_owned() }
}

fn quoted(schema: &str, name: &str) -> String {
    format!("{}.{}", escape_identifier(schema), escape_identifier(name))
}

fn number<N: std::str::FromStr>(row: &[Option<String>], at: usize) -> Result<N, CaptureError> {
    row.get(at).and_then(Option::as_deref).and_then(|text| text.parse().ok()).ok_or(UNEXPECTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_drop_of_tables_alone_is_one() {
        for text in ["DROP TABLE t", "drop table if exists a.b, c cascade;", "/* x */ DROP TABLE \"T\""] {
            assert!(is_drop(text), "{text}");
        }
        for text in ["DROP VIEW t", "DROP TABLE t; SELECT 1", "TRUNCATE t", "SELECT 'DROP TABLE t'", "nonsense", ""] {
            assert!(!is_drop(text), "{text}");
        }
    }
}
