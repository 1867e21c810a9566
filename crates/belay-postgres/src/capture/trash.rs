//! Tables moved out of the way instead of being dropped, and back.
//!
//! Each change has a schema of its own in the trash, so that everything that belongs to a table (indexes, sequences,
//! constraints, its type) keeps its name. Nobody but the owner may look into it.

use super::judge::irreversible;
use super::{Ask, CaptureError, Limits, pins};
use belay_change::Table;
use pg_query::NodeEnum;
use pg_query::protobuf::{DropBehavior, ObjectType};
use postgres_protocol::escape::escape_identifier;
use std::collections::HashSet;

const SCHEMA: &str = "belay_trash_";
/// Tables of one DROP.
const MOST_TABLES: usize = 100;

/// Runs a DROP TABLE, `sql`, by moving its tables into the trash of the change with this id. Returns them, for
/// [`restore`].
///
/// To be asked of Belay's own connection within a transaction that the caller ends: ROLLBACK makes a trial of it. The
/// connection has to own the tables, and to hold the search path that the text was written for.
pub async fn trash(
    control: &mut dyn Ask,
    sql: &str,
    change: &str,
    limits: &Limits,
) -> Result<Vec<Table>, CaptureError> {
    only_drops(sql)?;
    let schema = schema_of(change)?;
    let before = control.ask("SELECT oid FROM pg_catalog.pg_class WHERE relkind IN ('r', 'p', 'f')").await?;
    // Whatever depends on the tables stops this as it would stop the DROP.
    control.ask(&format!("SAVEPOINT belay_trash; {}{sql}", limits.times(true))).await?;
    let after = control.ask("SELECT oid FROM pg_catalog.pg_class WHERE relkind IN ('r', 'p', 'f')").await?;
    control.ask("ROLLBACK TO SAVEPOINT belay_trash; RELEASE SAVEPOINT belay_trash").await?;
    let left: HashSet<&Option<String>> = after.iter().filter_map(|row| row.first()).collect();
    let gone: Vec<u32> = before
        .iter()
        .filter_map(|row| row.first())
        .filter(|oid| !left.contains(oid))
        .filter_map(|oid| oid.as_deref()?.parse().ok())
        .collect();
    if gone.len() > MOST_TABLES {
        return Err(CaptureError::TooMuch(format!("{} tables are dropped, and at most {MOST_TABLES} may", gone.len())));
    }
    control.ask(&format!("{}{}", pins(true), limits.times(true))).await?;
    let mut tables = Vec::with_capacity(gone.len());
    for oid in gone {
        tables.push(movable(control, oid).await?);
    }
    if !tables.is_empty() {
        control.ask(&format!("CREATE SCHEMA IF NOT EXISTS {}", escape_identifier(&schema))).await?;
    }
    for table in &tables {
        move_to(control, &table.schema, &table.name, &schema).await?;
    }
    Ok(tables)
}

/// Moves the tables of a change back to where they were, and removes its trash. Within a transaction of the caller.
pub async fn restore(
    control: &mut dyn Ask,
    tables: &[Table],
    change: &str,
    limits: &Limits,
) -> Result<(), CaptureError> {
    let schema = schema_of(change)?;
    control.ask(&format!("{}{}", pins(true), limits.times(true))).await?;
    for table in tables {
        let found = control.ask(&named(table.oid)).await?;
        let here = [Some(schema.clone()), Some(table.name.clone())];
        if found.first().is_none_or(|row| !row.starts_with(&here)) {
            return Err(irreversible(
                format!("{}.{} is no longer in the trash", table.schema, table.name),
                "restore it from a backup",
            ));
        }
        move_to(control, &schema, &table.name, &table.schema).await?;
    }
    control.ask(&format!("DROP SCHEMA {} RESTRICT", escape_identifier(&schema))).await.map(|_| ())
}

/// SQL that drops what a change left in the trash, for good.
pub fn empty_trash(change: &str) -> Result<String, CaptureError> {
    Ok(format!("DROP SCHEMA IF EXISTS {} CASCADE", escape_identifier(&schema_of(change)?)))
}

fn schema_of(change: &str) -> Result<String, CaptureError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if change.is_empty() || change.len() > 40 || !change.bytes().all(plain) {
        return Err(CaptureError::Unexpected("the id of a change"));
    }
    Ok(format!("{SCHEMA}{change}"))
}

/// An error unless the text is DROP TABLE and nothing that depends on the tables goes with them.
fn only_drops(sql: &str) -> Result<(), CaptureError> {
    let refused =
        || irreversible("only tables can be moved into the trash", "send DROP TABLE in a statement of its own");
    let parsed = pg_query::parse(sql, 0).map_err(|_| refused())?;
    for statement in &parsed.protobuf.stmts {
        match statement.stmt.as_ref().and_then(|node| node.node.as_ref()) {
            Some(NodeEnum::DropStmt(drop)) if drop.remove_type() == ObjectType::ObjectTable => {
                if drop.behavior() == DropBehavior::DropCascade {
                    return Err(irreversible(
                        "DROP TABLE ... CASCADE drops what is not in the tables",
                        "leave CASCADE out",
                    ));
                }
            }
            _ => return Err(refused()),
        }
    }
    Ok(())
}

fn named(oid: u32) -> String {
    format!(
        "SELECT n.nspname, c.relname, c.relkind, \
         EXISTS (SELECT FROM pg_catalog.pg_inherits WHERE inhrelid = {oid} OR inhparent = {oid}), \
         (SELECT conname FROM pg_catalog.pg_constraint WHERE conrelid = {oid} AND contype = 'f' \
         AND confrelid <> {oid} LIMIT 1) \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = {oid}"
    )
}

/// The table, if nothing of it goes on to work while it lies in the trash.
async fn movable(control: &mut dyn Ask, oid: u32) -> Result<Table, CaptureError> {
    const UNEXPECTED: CaptureError = CaptureError::Unexpected("a table to be dropped");
    let rows = control.ask(&named(oid)).await?;
    let Some([Some(schema), Some(name), Some(kind), Some(family), reference]) = rows.first().map(Vec::as_slice) else {
        return Err(UNEXPECTED);
    };
    let full = format!("{schema}.{name}");
    if kind != "r" || family != "f" || schema.starts_with("pg_") {
        return Err(irreversible(
            format!("{full} is foreign, temporary, or a part of other tables"),
            "detach it first, in a change of its own",
        ));
    }
    if let Some(reference) = reference {
        return Err(irreversible(
            format!("the foreign key {reference} of {full} would go on to hold"),
            "drop the foreign key first, in a change of its own",
        ));
    }
    let described = super::describe::described(control, &[oid]).await?;
    described.into_values().next().map(|described| described.table).ok_or(UNEXPECTED)
}

async fn move_to(control: &mut dyn Ask, from: &str, name: &str, to: &str) -> Result<(), CaptureError> {
    let sql = format!(
        "ALTER TABLE {}.{} SET SCHEMA {}",
        escape_identifier(from),
        escape_identifier(name),
        escape_identifier(to)
    );
    control.ask(&sql).await.map(|_| ())
}
