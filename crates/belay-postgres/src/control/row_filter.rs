//! The views through which a grant's role reads only some rows of a table, in a schema that bears the role's name.
//!
//! They belong to the control user, and the role holds nothing on the tables behind them.

use super::fault::{Fault, forbidden, other};
use super::predicate::{bracketed, is_one_expression};
use super::role_name::RoleName;
use super::scope::{NAMED, Scope};
use aws_lc_rs::digest;
use belay_model::RowFilter;
use postgres_protocol::escape::{escape_identifier, escape_literal};
use std::fmt::Write as _;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{GenericClient, Transaction};

/// Of each filtered table (`$14`, `$15`): its oid, the columns to be shown, and what the view of its name in the
/// schema `$1` reads and is marked with.
const VIEWS: &str = "
target AS (
    SELECT f.n, c.oid, f.name,
        (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            AND EXISTS (SELECT FROM wanted w WHERE n.nspname::text LIKE w.schema AND c.relname::text LIKE w.name
                AND (w.col IS NULL OR w.col = a.attname))
            AND NOT EXISTS (SELECT FROM shut s WHERE s.oid = c.oid AND s.col = a.attname)) AS shown
    FROM unnest($14::text[], $15::text[]) WITH ORDINALITY AS f (schema, name, n)
        LEFT JOIN (pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace)
        ON n.nspname = f.schema AND c.relname = f.name AND c.relkind IN ('r', 'p', 'v', 'm'))
SELECT t.oid, coalesce(t.shown, '{}'), obj_description(v.oid, 'pg_class'),
    EXISTS (SELECT FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
        AND d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid WHERE r.ev_class = v.oid),
    (SELECT count(*) FROM pg_class e WHERE e.relnamespace = s.oid AND e.relkind = 'v'),
    s.nspname IS NOT NULL, coalesce(pg_get_userbyid(s.nspowner) = current_user, true)
FROM target t LEFT JOIN pg_namespace s ON s.nspname = $1
    LEFT JOIN pg_class v ON v.relnamespace = s.oid AND v.relname = t.name AND v.relkind = 'v' AND v.relowner = s.nspowner
ORDER BY t.n";

/// The views that a scope needs, and whether they are there.
pub(super) struct FilterViews {
    views: Vec<View>,
    /// Nothing to do.
    pub(super) are_right: bool,
    /// The schema is somebody else's.
    foreign: bool,
    exists: bool,
}

/// One view.
struct View {
    /// `CREATE VIEW`.
    sql: String,
    name: String,
    predicate: String,
}

impl View {
    fn new(schema: &str, filter: &RowFilter, shown: &[String]) -> View {
        let columns: Vec<String> = shown.iter().map(|name| escape_identifier(name)).collect();
        let name = filter.table.table.to_string();
        let sql = format!(
            "CREATE VIEW {}.{} WITH (security_barrier) AS SELECT {} FROM {}.{} WHERE {}",
            escape_identifier(schema),
            escape_identifier(&name),
            columns.join(", "),
            escape_identifier(&filter.table.schema.to_string()),
            escape_identifier(&name),
            bracketed(&filter.predicate),
        );
        View { sql, name, predicate: filter.predicate.clone() }
    }

    /// What the view is marked with, so that a later look can tell whether it is what it should be.
    fn mark(&self) -> String {
        let mut text = "belay ".to_owned();
        for byte in digest::digest(&digest::SHA256, self.sql.as_bytes()).as_ref() {
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

impl FilterViews {
    /// Reads what is there; changes nothing.
    pub(super) async fn look(client: &impl GenericClient, schema: &str, scope: &Scope) -> Result<FilterViews, Fault> {
        if scope.filters.is_empty() {
            return FilterViews::none(client, schema).await;
        }
        let sql = format!("{NAMED},{VIEWS}");
        let schemas: Vec<String> = scope.filters.iter().map(|filter| filter.table.schema.to_string()).collect();
        let tables: Vec<String> = scope.filters.iter().map(|filter| filter.table.table.to_string()).collect();
        let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> = vec![(&schema, Type::NAME)];
        parameters.extend(scope.parameters());
        parameters.extend([(&schemas as &(dyn ToSql + Sync), Type::TEXT_ARRAY), (&tables, Type::TEXT_ARRAY)]);
        let rows = client.query_typed(&sql, &parameters).await?;
        let mut found = FilterViews { views: Vec::new(), are_right: true, foreign: false, exists: false };
        for (row, filter) in rows.iter().zip(&scope.filters) {
            if row.try_get::<_, Option<u32>>(0)?.is_none() {
                return Err(other(format!("`{}` is not there, and its rows are filtered", filter.table)).into());
            }
            let shown: Vec<String> = row.try_get(1)?;
            let view = View::new(schema, filter, &shown);
            let mark: Option<String> = row.try_get(2)?;
            let number = row.try_get::<_, Option<i64>>(4)?.unwrap_or(0);
            found.are_right &= mark == Some(view.mark())
                && row.try_get::<_, bool>(3)?
                && usize::try_from(number).is_ok_and(|number| number == scope.filters.len());
            found.exists |= row.try_get::<_, bool>(5)?;
            found.foreign |= !row.try_get::<_, bool>(6)?;
            found.views.push(view);
        }
        Ok(found)
    }

    async fn none(client: &impl GenericClient, schema: &str) -> Result<FilterViews, Fault> {
        let sql = "SELECT pg_get_userbyid(nspowner) = current_user FROM pg_namespace WHERE nspname = $1";
        let row = client.query_typed_opt(sql, &[(&schema, Type::NAME)]).await?;
        let own: Option<bool> = row.map(|row| row.try_get(0)).transpose()?;
        // A schema of that name that is somebody else's is in nobody's way as long as none is needed.
        let exists = own == Some(true);
        Ok(FilterViews { views: Vec::new(), are_right: !exists, foreign: false, exists })
    }

    /// Makes the schema and the views anew.
    pub(super) async fn settle(&self, transaction: &Transaction<'_>, role: &RoleName) -> Result<(), Fault> {
        if self.are_right {
            return Ok(());
        }
        if self.foreign {
            let why = format!("schema `{}` exists and is not the control user's; drop it by hand", role.plain());
            return Err(forbidden(why).into());
        }
        if self.exists {
            transaction.batch_execute(&format!("DROP SCHEMA {} CASCADE", role.quoted())).await?;
        }
        if self.views.is_empty() {
            return Ok(());
        }
        transaction.batch_execute(&format!("CREATE SCHEMA {}", role.quoted())).await?;
        for view in &self.views {
            create(transaction, view).await?;
            let name = escape_identifier(&view.name);
            let comment = format!("COMMENT ON VIEW {}.{name} IS {}", role.quoted(), escape_literal(&view.mark()));
            transaction.batch_execute(&comment).await?;
        }
        Ok(())
    }
}

/// Alone in its message and checked by the grammar: the predicate is a person's text.
async fn create(transaction: &Transaction<'_>, view: &View) -> Result<(), Fault> {
    if !is_one_expression(&view.predicate) {
        return Err(other(format!("`{}` is not one boolean expression", view.predicate)).into());
    }
    transaction.execute_typed(&view.sql, &[]).await?;
    Ok(())
}

/// What a view made with the predicate reads and calls. Functions by their ids in the stored rule: pinned functions
/// leave no trace in `pg_depend`.
const INSPECT: &str = r"
WITH rule AS (SELECT r.oid, r.ev_action::text AS tree FROM pg_rewrite r WHERE r.ev_class = $1::text::regclass),
called AS (
    SELECT m[1]::oid AS oid FROM rule, regexp_matches(tree, ':(?:funcid|opfuncid|aggfnoid|winfnoid) (\d+)', 'g') m
    UNION SELECT o.oprcode FROM rule, regexp_matches(tree, ':(?:opno|eqop|sortop) (\d+)', 'g') m
        JOIN pg_operator o ON o.oid = m[1]::oid)
SELECT kind, name FROM (
SELECT 'relation' AS kind, d.refobjid::regclass::text AS name FROM rule JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass
        AND d.objid = rule.oid AND d.refclassid = 'pg_class'::regclass
    WHERE d.refobjid NOT IN ($1::text::regclass, $2::text::regclass)
UNION SELECT 'function', p.oid::regprocedure::text FROM called JOIN pg_proc p ON p.oid = called.oid
    WHERE p.pronamespace <> 'pg_catalog'::regnamespace
UNION SELECT 'volatile', p.oid::regprocedure::text FROM called JOIN pg_proc p ON p.oid = called.oid
    WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.provolatile = 'v'
UNION SELECT 'query', '' FROM rule WHERE tree LIKE '%{SUBLINK%' OR tree LIKE '%:varattno 0 %'
UNION SELECT 'column', a.attname FROM rule JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = rule.oid
        AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $2::text::regclass
        JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid AND a.attnum > 0) f
ORDER BY array_position(ARRAY['relation', 'query', 'function', 'volatile', 'column'], kind), name";

/// Why this filter cannot be kept, or `None`. Leaves a view in the transaction, which must be rolled back.
pub(super) async fn try_filter(
    transaction: &mut Transaction<'_>,
    schema: &str,
    filter: &RowFilter,
    masked: &[String],
) -> Result<Option<String>, Fault> {
    let (table, predicate) = (&filter.table, &filter.predicate);
    if !is_one_expression(predicate) {
        return Ok(Some(format!("the row filter of `{table}` is not one boolean expression: `{predicate}`")));
    }
    // Nothing is shown here: the columns that are found are the predicate's.
    let view = View::new(schema, filter, &[]);
    let savepoint = transaction.savepoint("belay_try").await?;
    if let Err(fault) = create(&savepoint, &view).await {
        savepoint.rollback().await?;
        return match fault {
            Fault::Sql(error) if error.as_db_error().is_some() => {
                let message = error.as_db_error().map(|error| error.message().to_owned()).unwrap_or_default();
                Ok(Some(format!("the row filter of `{table}` cannot be used: {message}")))
            }
            other => Err(other),
        };
    }
    savepoint.commit().await?;
    let quoted = |schema: &str, name: &str| format!("{}.{}", escape_identifier(schema), escape_identifier(name));
    let (made, read) = (quoted(schema, &view.name), quoted(&table.schema.to_string(), &table.table.to_string()));
    let rows = transaction.query_typed(INSPECT, &[(&made, Type::TEXT), (&read, Type::TEXT)]).await?;
    for row in rows {
        let text: String = row.try_get(1)?;
        let why = match row.try_get::<_, &str>(0)? {
            "relation" => format!("reads `{text}`: it may read that table only"),
            "function" => format!("calls `{text}`: only functions of PostgreSQL's own may be called"),
            "volatile" => format!("calls `{text}`, which is volatile"),
            "query" => "holds a query or takes a row as a whole; compare columns".to_owned(),
            _ if masked.contains(&text) => format!("uses the masked column `{text}`, whose values it would tell"),
            _ => continue,
        };
        return Ok(Some(format!("the row filter of `{table}` {why}")));
    }
    Ok(None)
}
