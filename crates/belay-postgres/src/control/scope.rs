//! What of a spec lies in the database that is being connected to, as the arrays that queries take.

use belay_engine::RoleSpec;
use belay_model::{Pattern, Resource, RowFilter};
use tokio_postgres::types::{ToSql, Type};

/// See the module. Names are patterns of LIKE where they may be patterns.
#[derive(Debug, Default)]
pub(super) struct Scope {
    schemas: Vec<String>,
    tables: Vec<String>,
    /// Whether schema and table are one name each.
    exact: Vec<bool>,
    columns: Vec<Option<String>>,
    hidden_schemas: Vec<String>,
    hidden_tables: Vec<String>,
    /// A withheld column, or `None` for a table that is read through its filter only.
    hidden_columns: Vec<Option<String>>,
    function_schemas: Vec<String>,
    function_names: Vec<String>,
    function_arguments: Vec<Option<String>>,
    /// What is granted on a table, and on a sequence that belongs to one.
    on_tables: Vec<&'static str>,
    on_sequences: Vec<&'static str>,
    /// Tables of which some rows may be read, as long as some resource names them.
    pub(super) filters: Vec<RowFilter>,
    /// The resources themselves.
    pub(super) resources: Vec<Resource>,
}

/// What a grant that writes may do to a table.
const WRITES: [&str; 5] = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"];

impl Scope {
    /// The part of the spec that concerns its database. `home` is the database that is meant where none is named.
    pub(super) fn of(spec: &RoleSpec, home: &str) -> Scope {
        let mut scope = Scope::default();
        if !spec.effects.read || spec.effects.all {
            return scope;
        }
        scope.on_tables = if spec.effects.write { WRITES.to_vec() } else { vec!["SELECT"] };
        scope.on_sequences = if spec.effects.write { vec!["SELECT", "USAGE"] } else { vec!["SELECT"] };
        let is_here = |resource: &Resource| resource.database.as_deref().unwrap_or(home) == spec.database;
        for resource in spec.resources.iter().filter(|resource| is_here(resource)) {
            scope.want(resource);
        }
        for mask in spec.masks.iter().filter(|mask| mask.kind == belay_model::MaskKind::Withheld) {
            if is_here(&mask.column) {
                scope.hide(&mask.column);
            }
        }
        for filter in spec.bounds.rows.iter().filter(|filter| is_here(&filter.table)) {
            let (schema, table) = (filter.table.schema.to_string(), filter.table.table.to_string());
            scope.hide(&filter.table);
            if scope.resources.iter().any(|resource| resource.names(&schema, &table)) {
                scope.filters.push(filter.clone());
            }
        }
        for function in &spec.bounds.functions {
            scope.function_schemas.push(function.schema.clone());
            scope.function_names.push(function.name.clone());
            scope.function_arguments.push(function.arguments.as_ref().map(|types| types.join(", ")));
        }
        scope
    }

    fn want(&mut self, resource: &Resource) {
        self.schemas.push(like(&resource.schema));
        self.tables.push(like(&resource.table));
        self.exact.push(is_exact(resource));
        self.columns.push(resource.column.clone());
        self.resources.push(resource.clone());
    }

    fn hide(&mut self, resource: &Resource) {
        self.hidden_schemas.push(resource.schema.to_string());
        self.hidden_tables.push(resource.table.to_string());
        self.hidden_columns.push(resource.column.clone());
    }

    /// The parameters `$2` to `$13` of a query that begins with [`NAMED`]; `$1` is the role.
    pub(super) fn parameters(&self) -> [(&(dyn ToSql + Sync), Type); 12] {
        [
            (&self.schemas, Type::TEXT_ARRAY),
            (&self.tables, Type::TEXT_ARRAY),
            (&self.exact, Type::BOOL_ARRAY),
            (&self.columns, Type::TEXT_ARRAY),
            (&self.hidden_schemas, Type::TEXT_ARRAY),
            (&self.hidden_tables, Type::TEXT_ARRAY),
            (&self.hidden_columns, Type::TEXT_ARRAY),
            (&self.function_schemas, Type::TEXT_ARRAY),
            (&self.function_names, Type::TEXT_ARRAY),
            (&self.function_arguments, Type::TEXT_ARRAY),
            (&self.on_tables, Type::TEXT_ARRAY),
            (&self.on_sequences, Type::TEXT_ARRAY),
        ]
    }
}

/// Whether the resource is one table by its name.
pub(super) fn is_exact(resource: &Resource) -> bool {
    matches!((&resource.schema, &resource.table), (Pattern::Exact(_), Pattern::Exact(_)))
}

/// The pattern as LIKE has it.
fn like(pattern: &Pattern) -> String {
    let mut text = String::new();
    for char in pattern.to_string().chars() {
        match char {
            '*' => text.push('%'),
            '%' | '_' | '\\' => text.extend(['\\', char]),
            _ => text.push(char),
        }
    }
    text
}

/// The beginning of the queries that look at what a scope names: `wanted`, `shut` (what is withheld, in all that shares
/// rows with it, too: below and above it, but not beside it), `named` (relations with what is wanted of them), `seen` (what views read that only a pattern names),
/// `barred` (those of them that show more than is named), `rel` (what is left), and `fun` (functions).
///
/// Foreign tables are named by name only, because they reach other systems. Schemas of Belay's own are named by nothing.
pub(super) const NAMED: &str = r"
WITH RECURSIVE me AS (SELECT oid, rolname FROM pg_roles WHERE rolname = $1),
wanted AS (SELECT * FROM unnest($2, $3, $4, $5) AS w (schema, name, exact, col)),
shut AS (
    SELECT c.oid, h.col, d.up FROM unnest($6, $7, $8) AS h (schema, name, col)
        JOIN pg_namespace n ON n.nspname = h.schema JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = h.name
        CROSS JOIN (VALUES (true), (false)) AS d (up)
    UNION
    SELECT CASE WHEN s.up THEN i.inhparent ELSE i.inhrelid END, s.col, s.up
    FROM shut s JOIN pg_inherits i ON s.oid = CASE WHEN s.up THEN i.inhrelid ELSE i.inhparent END),
named AS MATERIALIZED (
    SELECT c.oid, c.relkind, c.relnamespace, n.nspname, c.relname, bool_or(w.col IS NULL) AS whole,
        bool_or(w.exact AND w.col IS NULL) AS by_name, array_agg(w.col) FILTER (WHERE w.col IS NOT NULL) AS cols
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN wanted w ON n.nspname::text LIKE w.schema AND c.relname::text LIKE w.name AND (w.exact OR c.relkind <> 'f')
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
        AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
        AND n.nspname <> 'belay_armed'
        AND NOT (starts_with(n.nspname::text, 'belay_') AND EXISTS (SELECT FROM pg_roles o WHERE o.rolname = n.nspname))
        AND NOT EXISTS (SELECT FROM shut s WHERE s.oid = c.oid AND s.col IS NULL)
    GROUP BY 1, 2, 3, 4, 5),
seen AS (
    SELECT v.oid AS view, v.oid AS via, d.refobjid AS oid, d.refobjsubid AS att
    FROM named v JOIN pg_rewrite r ON r.ev_class = v.oid
        JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
            AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> v.oid
    WHERE v.relkind IN ('v', 'm') AND NOT v.by_name
    UNION
    SELECT s.view, c.oid, d.refobjid, d.refobjsubid
    FROM seen s JOIN pg_class c ON c.oid = s.oid AND c.relkind IN ('v', 'm')
        JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
        JOIN pg_rewrite r ON r.ev_class = c.oid
        JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
            AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> c.oid),
barred AS (
    SELECT DISTINCT s.view FROM seen s JOIN pg_class c ON c.oid = s.oid JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN named g ON g.oid = s.oid
    WHERE c.relkind <> 'S' AND CASE
        WHEN n.nspname = 'information_schema' OR n.nspname ~ '^pg_'
            THEN NOT coalesce(has_any_column_privilege('public', c.oid, 'SELECT'), true)
        WHEN g.oid IS NULL THEN true
        WHEN g.whole AND NOT EXISTS (SELECT FROM shut h WHERE h.oid = s.oid) THEN false
        WHEN s.att = 0 THEN EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = s.via AND r.ev_action::text LIKE '%:varattno 0 %')
        ELSE EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = s.oid AND a.attnum = s.att
            AND (EXISTS (SELECT FROM shut h WHERE h.oid = s.oid AND h.col = a.attname)
                OR NOT (g.whole OR a.attname::text = ANY (g.cols)))) END),
rel AS MATERIALIZED (SELECT * FROM named n WHERE NOT EXISTS (SELECT FROM barred b WHERE b.view = n.oid)),
fun AS MATERIALIZED (
    SELECT f.schema, f.name, f.arguments, p.oid, p.pronamespace, p.prosecdef
    FROM unnest($9, $10, $11) AS f (schema, name, arguments)
        LEFT JOIN (pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace)
        ON n.nspname = f.schema AND p.proname = f.name AND p.prokind <> 'p' AND (f.arguments IS NULL
            OR f.arguments = coalesce((SELECT string_agg(format_type(t.oid, NULL), ', ' ORDER BY t.n)
                FROM unnest(p.proargtypes) WITH ORDINALITY AS t (oid, n)), '')))";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_the_same_in_sql() {
        for (pattern, text) in [("public.a_*", "a\\_%"), ("public.*", "%"), ("public.a%", "a\\%"), ("public.x", "x")] {
            let resource: Resource = pattern.parse().unwrap();
            assert_eq!(like(&resource.table), text);
        }
    }
}
