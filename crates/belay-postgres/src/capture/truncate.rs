//! Tables that are about to be emptied: their rows are taken before, as a whole.

use super::describe::{Described, describe};
use super::judge::{exclusive_lock, irreversible};
use super::witness::{self, Relation};
use super::{Ask, CaptureError, Limits, Transaction, pins, scan};
use belay_change::{Means, Side, Sink};
use belay_model::Relation as Named;
use pg_query::NodeEnum;

const BEGIN_TRIAL: &str = "SAVEPOINT belay_truncate";
const END_TRIAL: &str = "ROLLBACK TO SAVEPOINT belay_truncate; RELEASE SAVEPOINT belay_truncate";

/// To be run before a TRUNCATE, `sql`, is sent by the client's transaction.
///
/// Which tables it empties is learnt by doing it and taking it back. They are locked against all but readers, and the
/// outsider takes every row that is committed in them, whatever the transaction did to them before.
pub async fn before_truncate(
    writer: &mut dyn Ask,
    outsider: &mut dyn Ask,
    transaction: &mut Transaction,
    sql: &str,
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Result<(), CaptureError> {
    transaction.name(&only_truncates(sql)?);
    let emptied = trial(writer, transaction, sql, limits).await?;
    let emptied: Vec<Relation> =
        emptied.into_iter().filter(|relation| !transaction.taken.was_emptied(relation.oid)).collect();
    let oids: Vec<u32> = emptied.iter().map(|relation| relation.oid).collect();
    let described = describe(outsider, &oids, limits).await?;
    writer.much();
    for oid in oids {
        let about = described.get(&oid).ok_or(CaptureError::Unexpected("the tables to be emptied"))?;
        take(writer, outsider, transaction, about, limits, sink).await?;
    }
    Ok(())
}

/// The tables it names. An error unless the text is TRUNCATE and leaves sequences as they are.
fn only_truncates(sql: &str) -> Result<Vec<Named>, CaptureError> {
    let parsed =
        pg_query::parse(sql, 0).map_err(|_| irreversible("a TRUNCATE that cannot be read", "write it anew"))?;
    let mut named = Vec::new();
    for statement in &parsed.protobuf.stmts {
        match statement.stmt.as_ref().and_then(|node| node.node.as_ref()) {
            Some(NodeEnum::TruncateStmt(truncate)) if truncate.restart_seqs => {
                return Err(irreversible(
                    "TRUNCATE ... RESTART IDENTITY sets sequences back",
                    "leave RESTART IDENTITY out; the sequences then go on",
                ));
            }
            Some(NodeEnum::TruncateStmt(truncate)) => named.extend(truncate.relations.iter().filter_map(table)),
            _ => return Err(irreversible("TRUNCATE beside other statements", "send it in a statement of its own")),
        }
    }
    Ok(named)
}

fn table(node: &pg_query::protobuf::Node) -> Option<Named> {
    let Some(NodeEnum::RangeVar(range)) = &node.node else { return None };
    let schema = (!range.schemaname.is_empty()).then(|| range.schemaname.as_str().into());
    Some(Named { schema, name: range.relname.as_str().into() })
}

/// The tables that it empties.
async fn trial(
    writer: &mut dyn Ask,
    transaction: &mut Transaction,
    sql: &str,
    limits: &Limits,
) -> Result<Vec<Relation>, CaptureError> {
    let before = look(writer, "SAVEPOINT belay_look", limits).await?;
    writer.ask("ROLLBACK TO SAVEPOINT belay_look; RELEASE SAVEPOINT belay_look").await?;
    writer.ask(BEGIN_TRIAL).await?;
    writer.ask(sql).await?;
    let after = look(writer, "", limits).await?;
    writer.ask(END_TRIAL).await?;
    let updates = |seen: &[Relation]| {
        let of = |relation: &Relation| transaction.baseline.since(relation.oid, relation.counts)[1];
        seen.iter().find(|relation| relation.oid == PG_CLASS).map_or(0, of)
    };
    // Counted once for the trial and once more for what the client sends.
    let counted = 2 * (updates(&after) - updates(&before));
    transaction.catalog_updates += counted;
    let exclusive = |relation: &&Relation| relation.has("AccessExclusiveLock");
    let locked = |relation: &&Relation| relation.kind == 'r' && !transaction.taken.was_emptied(relation.oid);
    if let Some(locked) = before.iter().filter(exclusive).find(locked) {
        return Err(exclusive_lock(&locked.full_name()));
    }
    if let Some(foreign) = after.iter().filter(exclusive).find(|relation| relation.kind == 'f') {
        return Err(irreversible(
            format!("{} is a foreign table", foreign.full_name()),
            "empty it where the rows are kept",
        ));
    }
    Ok(after
        .into_iter()
        .filter(|relation| exclusive(&relation) && relation.kind == 'r' && !relation.temporary)
        .collect())
}

const PG_CLASS: u32 = 1259;

async fn look(writer: &mut dyn Ask, first: &str, limits: &Limits) -> Result<Vec<Relation>, CaptureError> {
    writer.ask(&format!("{first};\n{}{}", pins(true), limits.times(true))).await?;
    witness::relations(writer).await
}

/// Takes the rows of one of them.
async fn take(
    writer: &mut dyn Ask,
    outsider: &mut dyn Ask,
    transaction: &mut Transaction,
    about: &Described,
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Result<(), CaptureError> {
    about.readable()?;
    about.within(limits)?;
    writer.ask(&format!("LOCK TABLE ONLY {} IN EXCLUSIVE MODE", about.quoted())).await?;
    let indirect = !transaction.names(about);
    let number = transaction.taken.table(sink, &about.table, Means::Whole, indirect)?;
    let taken = &mut transaction.taken;
    scan::whole(outsider, &about.table, &mut |image| taken.image(sink, number, Side::Old, image)).await
}
