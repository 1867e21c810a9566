//! Constraints that replica mode leaves to the end of the transaction, and then does not check.

use super::RevertError;
use super::catalog::Restored;
use super::sql::{self, field, flag, parsed};
use tokio_postgres::Client;

/// Checks that what was put back does not break deferrable unique and exclusion constraints.
pub(super) async fn check(in_target: &Client, restored: &[Restored]) -> Result<(), RevertError> {
    let oids = sql::oids(restored.iter().map(|table| table.table.oid));
    for row in sql::rows(in_target, &DEFERRABLE.replace("$oids", &oids)).await? {
        let oid: u32 = parsed(&row, 0)?;
        let Some(table) = restored.iter().find(|table| table.table.oid == oid) else { continue };
        let (index, parts, nulls_too) = (field(&row, 2)?, parsed::<usize>(&row, 3)?, flag(&row, 5)?);
        let operators: Vec<&str> = field(&row, 4)?.split(' ').collect();
        if operators.len() != parts {
            return Err(RevertError::Unexpected("a constraint without operators"));
        }
        let parts: Vec<String> = (0..parts).map(|at| format!("belay_k{at}")).collect();
        let same = parts.iter().zip(operators).map(|(part, operator)| {
            let same = format!("a.{part} {operator} b.{part}");
            if nulls_too { format!("({same} OR a.{part} IS NULL AND b.{part} IS NULL)") } else { same }
        });
        let same: Vec<String> = same.collect();
        let values = values(in_target, table, index, &parts).await?;
        let touched = if table.key.is_empty() {
            String::new()
        } else {
            format!(
                "WHERE a.belay_c IN (SELECT belay_t.ctid FROM ONLY {} belay_t JOIN {} belay_x ON {})",
                table.sql,
                table.old_images(),
                table.row_is("belay_t", "belay_x")
            )
        };
        let twice = format!(
            "SELECT pg_catalog.count(*) FROM ({values}) a JOIN ({values}) b
                ON {} AND a.belay_c OPERATOR(pg_catalog.<>) b.belay_c {touched}",
            same.join(" AND ")
        );
        if sql::number(in_target, &twice).await? > 0 {
            let what =
                format!("rows of {} made since hold values that `{}` allows once", table.shown(), field(&row, 1)?);
            return Err(RevertError::refused(what, "change those rows first"));
        }
    }
    Ok(())
}

/// What the index holds of each row. Its expressions name columns without their table, so nothing stands beside it.
async fn values(in_target: &Client, table: &Restored, index: &str, parts: &[String]) -> Result<String, RevertError> {
    let definition = |at: usize| format!("pg_catalog.pg_get_indexdef({index}, {}, false)", at + 1);
    let definitions: Vec<String> = (0..parts.len()).map(definition).collect();
    let query = format!(
        "SELECT coalesce(pg_catalog.pg_get_expr(indpred, indrelid), 'true'), {}
        FROM pg_catalog.pg_index WHERE indexrelid = {index}",
        definitions.join(", ")
    );
    let rows = sql::rows(in_target, &query).await?;
    let row = rows.first().ok_or(RevertError::Unexpected("no index"))?;
    let mut columns = vec!["ctid AS belay_c".to_owned()];
    for (at, part) in parts.iter().enumerate() {
        columns.push(format!("({}) AS {part}", field(row, at + 1)?));
    }
    Ok(format!("SELECT {} FROM ONLY {} WHERE {}", columns.join(", "), table.sql, field(row, 0)?))
}

const DEFERRABLE: &str = "
SELECT k.conrelid, k.conname, k.conindid, i.indnkeyatts, (
        SELECT pg_catalog.string_agg(pg_catalog.format('OPERATOR(%I.%s)', n.nspname, p.oprname), ' ' ORDER BY c.o)
        FROM pg_catalog.unnest(i.indclass::oid[]) WITH ORDINALITY c (class, o)
            LEFT JOIN pg_catalog.pg_opclass s ON s.oid = c.class
            LEFT JOIN pg_catalog.pg_amop e ON e.amopfamily = s.opcfamily AND e.amoplefttype = s.opcintype
                AND e.amoprighttype = s.opcintype AND e.amopstrategy = 3
            JOIN pg_catalog.pg_operator p ON p.oid = coalesce(k.conexclop[c.o], e.amopopr)
            JOIN pg_catalog.pg_namespace n ON n.oid = p.oprnamespace),
    coalesce(pg_catalog.to_jsonb(i) ->> 'indnullsnotdistinct', 'f')::bool
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_index i ON i.indexrelid = k.conindid
WHERE k.conrelid = ANY ($oids) AND k.contype IN ('p', 'u', 'x') AND NOT i.indimmediate";
