//! Whether a target can keep what a request asks for, found out when it is made and not when somebody waits for it.

use super::fault::Fault;
use super::pool::Act;
use super::row_filter::try_filter;
use super::scope::{NAMED, Scope, is_exact};
use belay_engine::{Feasibility, RoleSpec};
use belay_model::{Pattern, Resource};
use postgres_protocol::escape::escape_identifier;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, GenericClient};

/// Names that one note shows.
const NAMES: usize = 5;
/// Tables that patterns may stand for at the most, when they are taken one by one.
const EXPANDED: usize = 10_000;

/// What is there, and what stands against it, as (kind, name, more) rows.
const SURVEY: &str = "
every AS MATERIALIZED (
    SELECT c.oid, c.relkind::text, c.relrowsecurity, c.relnamespace, n.nspname, c.relname, w.exact, w.col
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN wanted w ON n.nspname::text LIKE w.schema AND c.relname::text LIKE w.name
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
        AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'),
filtered AS (
    SELECT DISTINCT e.oid, e.nspname, e.relname, e.relrowsecurity, e.relnamespace
    FROM every e JOIN shut s ON s.oid = e.oid AND s.col IS NULL),
who AS (SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user)
SELECT DISTINCT 'table' AS kind, e.nspname::text AS name, e.relname::text AS more FROM every e
    LEFT JOIN rel r ON r.oid = e.oid LEFT JOIN filtered f ON f.oid = e.oid WHERE r.oid IS NOT NULL OR f.oid IS NOT NULL OR e.exact
UNION ALL SELECT DISTINCT 'column', format('%s.%s.%s', e.nspname, e.relname, e.col), '' FROM every e
    WHERE e.exact AND e.col IS NOT NULL AND NOT EXISTS (SELECT FROM pg_attribute a
        WHERE a.attrelid = e.oid AND a.attname = e.col AND a.attnum > 0 AND NOT a.attisdropped)
UNION ALL SELECT DISTINCT CASE WHEN e.exact THEN 'forbidden' ELSE 'forbidden_by_pattern' END,
        format('%s.%s', e.nspname, e.relname), '' FROM every e JOIN rel r ON r.oid = e.oid
    WHERE NOT (CASE WHEN e.col IS NULL THEN has_table_privilege(e.oid, 'SELECT WITH GRANT OPTION')
            ELSE coalesce((SELECT has_column_privilege(e.oid, a.attnum, 'SELECT WITH GRANT OPTION') FROM pg_attribute a
                WHERE a.attrelid = e.oid AND a.attname = e.col), true) END
        AND (has_schema_privilege(e.relnamespace, 'USAGE WITH GRANT OPTION')
            OR has_schema_privilege('public', e.relnamespace, 'USAGE')))
UNION ALL SELECT CASE WHEN t.writable THEN 'writable' WHEN t.exact THEN 'unwritable' ELSE 'unwritable_by_pattern' END, t.name, current_user::text
    FROM (SELECT format('%s.%s', e.nspname, e.relname) AS name, bool_or(e.exact) AS exact,
            bool_or(has_table_privilege(e.oid, p.privilege || ' WITH GRANT OPTION')) AS writable
        FROM every e JOIN rel r ON r.oid = e.oid, unnest($12) AS p (privilege)
        WHERE r.whole AND e.relkind IN ('r', 'p') AND p.privilege IN ('INSERT', 'UPDATE', 'DELETE')
            AND NOT EXISTS (SELECT FROM shut s WHERE s.oid = e.oid) GROUP BY e.oid, e.nspname, e.relname) t
UNION ALL SELECT DISTINCT 'foreign', format('%s.%s', e.nspname, e.relname), '' FROM every e
    WHERE e.relkind = 'f' AND NOT EXISTS (SELECT FROM rel r WHERE r.oid = e.oid)
UNION ALL SELECT 'view', format('%s.%s', n.nspname, n.relname), '' FROM barred b JOIN named n ON n.oid = b.view
UNION ALL SELECT DISTINCT CASE WHEN r.whole THEN 'child' ELSE 'child_of_columns' END,
        format('%s.%s', r.nspname, r.relname), c.oid::regclass::text
    FROM rel r JOIN pg_inherits i ON i.inhparent = r.oid JOIN pg_class c ON c.oid = i.inhrelid AND NOT c.relispartition
        LEFT JOIN rel h ON h.oid = c.oid
    WHERE h.oid IS NULL OR NOT (h.whole OR (NOT r.whole AND h.cols @> r.cols))
UNION ALL SELECT 'function', f.schema || '.' || f.name || coalesce('(' || f.arguments || ')', ''), '' FROM fun f WHERE f.oid IS NULL
UNION ALL SELECT 'function_forbidden', f.oid::regprocedure::text, '' FROM fun f
    WHERE f.oid IS NOT NULL AND NOT has_function_privilege('public', f.oid, 'EXECUTE')
        AND NOT has_function_privilege(f.oid, 'EXECUTE WITH GRANT OPTION')
UNION ALL SELECT 'definer', f.oid::regprocedure::text, '' FROM fun f WHERE f.prosecdef
UNION ALL SELECT DISTINCT 'open', format('%s.%s', r.nspname, r.relname), '' FROM rel r
    WHERE (NOT r.whole OR EXISTS (SELECT FROM shut s WHERE s.oid = r.oid))
        AND has_table_privilege('public', r.oid, 'SELECT') AND has_schema_privilege('public', r.relnamespace, 'USAGE')
UNION ALL SELECT 'filter_open', format('%s.%s', f.nspname, f.relname), '' FROM filtered f
    WHERE has_any_column_privilege('public', f.oid, 'SELECT') AND has_schema_privilege('public', f.relnamespace, 'USAGE')
UNION ALL SELECT 'filter_security', format('%s.%s', f.nspname, f.relname), '' FROM filtered f, who w
    WHERE f.relrowsecurity AND (w.rolsuper OR w.rolbypassrls)
UNION ALL SELECT 'filter_unread', format('%s.%s', f.nspname, f.relname), '' FROM filtered f
    WHERE NOT (has_table_privilege(f.oid, 'SELECT') AND has_schema_privilege(f.relnamespace, 'USAGE'))
UNION ALL SELECT 'temporary', current_database()::text, current_user::text
    WHERE cardinality($12) > 1 AND NOT has_database_privilege(current_database(), 'TEMPORARY')
UNION ALL SELECT 'create', current_database()::text, current_user::text
    WHERE NOT has_database_privilege(current_database(), 'CREATE')";

const MAY_GIVE_ALL: &str = "
SELECT r.rolsuper OR EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
    WHERE m.member = r.oid AND m.admin_option AND NOT starts_with(g.rolname::text, 'belay_')), r.rolname::text
FROM pg_roles r WHERE r.rolname = current_user";

/// Looks, tries row filters in a transaction that is rolled back, and leaves nothing behind.
pub(super) struct Feasible<'a> {
    pub(super) spec: &'a RoleSpec,
    pub(super) home: &'a str,
}

impl Act for Feasible<'_> {
    type Done = Feasibility;
    const LIMIT: Duration = Duration::from_secs(20);

    async fn act(&self, client: &mut Client) -> Result<Feasibility, Fault> {
        if self.spec.effects.all {
            return everything(client).await;
        }
        let scope = Scope::of(self.spec, self.home);
        let mut found = Findings::read(client, &scope).await?;
        let mut answer = found.answer(&scope);
        if self.spec.bounds.budgets.temporary_bytes.is_some() && !may_bound_files(client).await? {
            answer.against.push("the control user may not set temp_file_limit, and nothing else bounds temporary files: belay target check".to_owned());
        }
        unnamed_filters(self.spec, &scope, self.home, &mut answer);
        if answer.against.is_empty() && !scope.filters.is_empty() {
            self.try_filters(client, &scope, &mut answer).await?;
        }
        Ok(answer)
    }
}

impl Feasible<'_> {
    async fn try_filters(&self, client: &mut Client, scope: &Scope, answer: &mut Feasibility) -> Result<(), Fault> {
        let mut transaction = client.transaction().await?;
        let schema = format!("belay_try_{}", std::process::id());
        transaction.batch_execute(&format!("CREATE SCHEMA {}", escape_identifier(&schema))).await?;
        for filter in &scope.filters {
            let masked =
                self.spec.masks.iter().filter(|mask| {
                    mask.column.schema == filter.table.schema && mask.column.table == filter.table.table
                });
            let masked: Vec<String> = masked.filter_map(|mask| mask.column.column.clone()).collect();
            answer.against.extend(try_filter(&mut transaction, &schema, filter, &masked).await?);
        }
        transaction.rollback().await?;
        for filter in &scope.filters {
            let table = &filter.table;
            answer.notes.push(format!(
                "while the grant lives, {table} is read as `{}` through a view; it cannot be dropped, nor the types of its columns changed",
                table.table
            ));
        }
        Ok(())
    }
}

/// Whether the control user may bound the temporary files of a role.
async fn may_bound_files(client: &impl GenericClient) -> Result<bool, Fault> {
    let sql = "SELECT rolsuper, current_setting('server_version_num')::int >= 150000 FROM pg_roles WHERE rolname = current_user";
    let row = client.query_typed_one(sql, &[]).await?;
    if row.try_get(0)? || !row.try_get::<_, bool>(1)? {
        return Ok(row.try_get(0)?);
    }
    Ok(client.query_typed_one("SELECT has_parameter_privilege('temp_file_limit', 'SET')", &[]).await?.try_get(0)?)
}

/// What a grant of everything needs.
async fn everything(client: &impl GenericClient) -> Result<Feasibility, Fault> {
    let row = client.query_typed_one(MAY_GIVE_ALL, &[]).await?;
    let mut answer = Feasibility { existing: vec![Resource::everything()], ..Feasibility::default() };
    if !row.try_get::<_, bool>(0)? {
        let user = escape_identifier(row.try_get(1)?);
        answer.against.push(format!(
            "the control user {user} is no superuser and may pass on no role; `GRANT owner TO {user} WITH ADMIN OPTION` lets it"
        ));
    }
    Ok(answer)
}

/// Filters of tables that no resource names, and two of one name: the view is called as its table is.
fn unnamed_filters(spec: &RoleSpec, scope: &Scope, home: &str, answer: &mut Feasibility) {
    let mut names = BTreeSet::new();
    for filter in &spec.bounds.rows {
        let table = &filter.table;
        if table.database.as_deref().unwrap_or(home) != spec.database {
            continue;
        }
        if !is_exact(table) || table.column.is_some() {
            answer
                .against
                .push(format!("the row filter of `{table}` has to name one table: `schema.table: predicate`"));
        } else if !scope.filters.iter().any(|kept| kept.table == *table) {
            answer.against.push(format!("the row filter of `{table}` is on a table that the request does not name"));
        } else if !names.insert(table.table.to_string()) {
            answer
                .against
                .push(format!("two tables named `{}` are filtered, and each view bears its table's name", table.table));
        }
    }
}

/// The rows of the survey.
struct Findings {
    rows: Vec<(String, String, String)>,
}

impl Findings {
    async fn read(client: &impl GenericClient, scope: &Scope) -> Result<Findings, Fault> {
        let sql = format!("{NAMED},{SURVEY}");
        // Of no role: what everybody may is asked for under the name of PUBLIC.
        let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> = vec![(&"", Type::NAME)];
        parameters.extend(scope.parameters());
        let rows = client.query_typed(&sql, &parameters).await?;
        let read = |row: &tokio_postgres::Row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
        Ok(Findings { rows: rows.iter().map(read).collect::<Result<_, tokio_postgres::Error>>()? })
    }

    fn of(&self, kind: &str) -> Vec<&str> {
        self.rows.iter().filter(|row| row.0 == kind).map(|row| row.1.as_str()).collect()
    }

    fn answer(&mut self, scope: &Scope) -> Feasibility {
        let mut answer = Feasibility::default();
        self.take_resources(scope, &mut answer);
        self.stand_against(scope, &mut answer);
        self.note(&mut answer);
        answer
    }

    /// Each resource, and the tables that its patterns cover.
    fn take_resources(&self, scope: &Scope, answer: &mut Feasibility) {
        let mut tables: Vec<(&str, &str)> =
            self.rows.iter().filter(|row| row.0 == "table").map(|row| (row.1.as_str(), row.2.as_str())).collect();
        tables.sort_unstable();
        for resource in &scope.resources {
            let covered: Vec<_> = tables.iter().filter(|(schema, table)| resource.names(schema, table)).collect();
            if is_exact(resource) {
                if covered.is_empty() {
                    answer.against.push(format!("`{resource}` is not in the target"));
                }
                answer.existing.push(resource.clone());
                continue;
            }
            if covered.is_empty() {
                answer.notes.push(format!("`{resource}` covers no table yet"));
            }
            let name = |text: &str| Pattern::Exact(text.to_owned());
            let room = EXPANDED.saturating_sub(answer.existing.len());
            answer.existing.extend(covered.into_iter().take(room).map(|(schema, table)| Resource {
                schema: name(schema),
                table: name(table),
                ..resource.clone()
            }));
        }
    }

    fn stand_against(&self, scope: &Scope, answer: &mut Feasibility) {
        let kinds = [
            ("column", "there is no column "),
            ("forbidden", "the control user may not grant SELECT on "),
            ("function", "there is no function "),
            ("function_forbidden", "the control user may not grant EXECUTE on "),
            ("filter_open", "everybody may read it (PUBLIC), so its rows cannot be filtered: "),
            (
                "filter_security",
                "it has row security, which the control user is not bound by and the filter's view would lift: ",
            ),
            ("filter_unread", "the control user may not read it, so it cannot filter its rows: "),
        ];
        for (kind, text) in kinds {
            let names = self.of(kind);
            if !names.is_empty() {
                answer.against.push(format!("{text}{}", listed(&names)));
            }
        }
        self.unwritable(answer);
        for (kind, parent, child) in &self.rows {
            if kind == "child_of_columns" {
                answer.against.push(format!(
                    "a read of {parent} also reads {child}, which inherits from it, and the grant does not name the same columns there"
                ));
            }
        }
        for (kind, database, user) in &self.rows {
            let (database, user) = (escape_identifier(database), escape_identifier(user));
            if kind == "temporary" {
                answer.against.push(format!(
                    "the control user may not make temporary tables, which rows are put back from; `GRANT TEMPORARY ON DATABASE {database} TO {user}` lets it"
                ));
            }
            if kind == "create" && !scope.filters.is_empty() {
                answer.against.push(format!(
                    "the control user may not make the view that filters rows: `GRANT CREATE ON DATABASE {database} TO {user}` lets it"
                ));
            }
        }
    }

    /// A request to write has to be able to write: to what it names, and to some of what its patterns cover.
    fn unwritable(&self, answer: &mut Feasibility) {
        let mut names = self.of("unwritable");
        if self.of("writable").is_empty() {
            names.extend(self.of("unwritable_by_pattern"));
        }
        let user = self.rows.iter().find(|row| row.0.starts_with("unwritable")).map(|row| escape_identifier(&row.2));
        if let (Some(user), false) = (user, names.is_empty()) {
            answer.against.push(format!(
                "the control user may not grant INSERT, UPDATE or DELETE on {}; `GRANT INSERT, UPDATE, DELETE, TRUNCATE ON \
                 TABLE ... TO {user} WITH GRANT OPTION` lets it",
                listed(&names)
            ));
        }
    }

    fn note(&self, answer: &mut Feasibility) {
        let kinds = [
            ("unwritable_by_pattern", "read only, because the control user may not grant INSERT, UPDATE or DELETE: "),
            ("forbidden_by_pattern", "left out, because the control user may not grant it: "),
            ("foreign", "left out, because it reaches another system and is granted by its full name only: "),
            ("view", "left out, because it reads more than the grant names; ask for it by its full name: "),
            ("definer", "runs with its owner's rights, whatever the grant names: "),
            (
                "open",
                "everybody may read the whole table in the database (PUBLIC); only the gateway withholds columns of ",
            ),
        ];
        for (kind, text) in kinds {
            let names = self.of(kind);
            if !names.is_empty() {
                answer.notes.push(format!("{text}{}", listed(&names)));
            }
        }
        for (kind, parent, child) in &self.rows {
            if kind == "child" {
                answer
                    .notes
                    .push(format!("{parent} can be read with ONLY, because {child} inherits from it and is not named"));
            }
        }
    }
}

fn listed(names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(NAMES).map(|name| format!("`{name}`")).collect();
    let mut text = shown.join(", ");
    if names.len() > NAMES {
        let _ = write!(text, " and {} more", names.len() - NAMES);
    }
    text
}
