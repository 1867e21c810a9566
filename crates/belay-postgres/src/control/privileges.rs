//! The privileges of a grant's role in one database: CONNECT, USAGE and SELECT on what its resources name, nothing else.

use super::fault::{Fault, forbidden};
use super::role_name::RoleName;
use belay_engine::RoleSpec;
use belay_model::Pattern;
use tokio_postgres::types::Type;
use tokio_postgres::{GenericClient, Transaction};

/// Revoking, granting, and the look that finds nothing more to do.
const PASSES: usize = 4;
/// Names that an error or a log line shows.
const NAMED: usize = 5;

/// What is too much, what is missing, and what can be read, as (kind, text) rows. `$2` and `$3` are the schemas and
/// the tables of the resources, NULL for any. Sequences come with the tables they belong to, because `pg_dump` reads
/// them; foreign tables only by name, because they reach other systems.
const LOOK: &str = "
WITH me AS (SELECT oid, rolname FROM pg_roles WHERE rolname = $1),
wanted AS (SELECT * FROM unnest($2, $3) AS w (schema, name)),
rel AS MATERIALIZED (
    SELECT c.oid, c.relnamespace, n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
        AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND EXISTS (
            SELECT FROM wanted w WHERE (w.schema IS NULL OR w.schema = n.nspname)
                AND (w.name = c.relname OR (w.name IS NULL AND c.relkind <> 'f')))),
want AS MATERIALIZED (
    SELECT oid, relnamespace, nspname, relname, true AS is_table FROM rel
    UNION
    SELECT s.oid, s.relnamespace, r.nspname, s.relname, false FROM rel r
        JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = r.oid
            AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
        JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'),
surplus AS (
    SELECT DISTINCT d.classid, d.objid FROM me JOIN pg_shdepend d ON d.refclassid = 'pg_authid'::regclass
        AND d.refobjid = me.oid AND d.deptype = 'a'
        AND d.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
    WHERE CASE d.classid
        WHEN 'pg_class'::regclass THEN d.objsubid <> 0 OR NOT EXISTS (SELECT FROM want w WHERE w.oid = d.objid)
            OR EXISTS (SELECT FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = d.objid AND a.grantee = me.oid
                AND (a.privilege_type <> 'SELECT' OR a.is_grantable))
        WHEN 'pg_namespace'::regclass THEN NOT EXISTS (SELECT FROM rel w WHERE w.relnamespace = d.objid)
            OR EXISTS (SELECT FROM pg_namespace n, aclexplode(n.nspacl) a WHERE n.oid = d.objid AND a.grantee = me.oid
                AND (a.privilege_type <> 'USAGE' OR a.is_grantable))
        WHEN 'pg_database'::regclass THEN
            EXISTS (SELECT FROM pg_database b, aclexplode(b.datacl) a WHERE b.oid = d.objid AND a.grantee = me.oid
                AND (a.privilege_type <> 'CONNECT' OR a.is_grantable))
        ELSE true END),
lacking AS (
    SELECT w.*, coalesce(has_table_privilege(w.oid, 'SELECT WITH GRANT OPTION'), false) AS mine
    FROM want w, me WHERE NOT coalesce(has_table_privilege(me.oid, w.oid, 'SELECT'), true)),
closed AS (
    SELECT DISTINCT r.relnamespace, r.nspname, has_schema_privilege(r.relnamespace, 'USAGE WITH GRANT OPTION') AS mine
    FROM rel r, me WHERE NOT has_schema_privilege(me.oid, r.relnamespace, 'USAGE'))
SELECT 'revoke', format('REVOKE ALL ON %s %s FROM %I CASCADE', CASE s.classid
        WHEN 'pg_class'::regclass THEN 'TABLE' WHEN 'pg_namespace'::regclass THEN 'SCHEMA'
        WHEN 'pg_database'::regclass THEN 'DATABASE' WHEN 'pg_proc'::regclass THEN 'ROUTINE'
        WHEN 'pg_type'::regclass THEN 'TYPE' WHEN 'pg_language'::regclass THEN 'LANGUAGE'
        WHEN 'pg_foreign_data_wrapper'::regclass THEN 'FOREIGN DATA WRAPPER'
        WHEN 'pg_foreign_server'::regclass THEN 'FOREIGN SERVER' WHEN 'pg_tablespace'::regclass THEN 'TABLESPACE'
        WHEN 'pg_largeobject'::regclass THEN 'LARGE OBJECT' ELSE 'PARAMETER' END,
    (pg_identify_object(s.classid, s.objid, 0)).identity, me.rolname) FROM surplus s, me
UNION ALL SELECT 'revoke', format('REVOKE %I FROM %I', m.roleid::regrole::text, me.rolname)
    FROM me JOIN pg_auth_members m ON m.member = me.oid
UNION ALL SELECT 'grant', format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), me.rolname)
    FROM me WHERE NOT has_database_privilege(me.oid, current_database(), 'CONNECT')
UNION ALL SELECT 'grant', format('GRANT USAGE ON SCHEMA %I TO %I', c.nspname, me.rolname) FROM closed c, me WHERE c.mine
UNION ALL SELECT 'grant', format('GRANT SELECT ON TABLE %s TO %I',
        string_agg(format('%I.%I', l.nspname, l.relname), ', '), me.rolname)
    FROM lacking l, me WHERE l.mine GROUP BY me.rolname
UNION ALL SELECT 'stuck', format('%I.%I', l.nspname, l.relname) FROM lacking l WHERE NOT l.mine AND l.is_table
UNION ALL SELECT 'stuck', format('%I.*', c.nspname) FROM closed c WHERE NOT c.mine
UNION ALL SELECT 'known', me.rolname FROM me
UNION ALL SELECT 'named', 'a table' WHERE EXISTS (SELECT FROM rel)
UNION ALL SELECT 'readable', 'a table' FROM me WHERE EXISTS (SELECT FROM rel r
    WHERE has_table_privilege(me.oid, r.oid, 'SELECT') AND has_schema_privilege(me.oid, r.relnamespace, 'USAGE'))";

/// The schemas and the tables that a role should read; `None` is any.
pub(super) type Wanted = (Vec<Option<String>>, Vec<Option<String>>);

/// What of the spec's resources lies in the database that is being connected to.
pub(super) fn wanted(spec: &RoleSpec, home: &str) -> Wanted {
    let here = spec
        .resources
        .iter()
        .filter(|resource| spec.effects.read && resource.database.as_deref().unwrap_or(home) == spec.database);
    here.map(|resource| (exact(&resource.schema), exact(&resource.table))).unzip()
}

fn exact(pattern: &Pattern) -> Option<String> {
    match pattern {
        Pattern::Any => None,
        Pattern::Exact(name) | Pattern::Like(name) => Some(name.clone()),
    }
}

/// How a role's privileges differ from what they should be.
#[derive(Debug, Default)]
pub(super) struct Privileges {
    revoke: Vec<String>,
    grant: Vec<String>,
    /// What the control user cannot give.
    stuck: Vec<String>,
    role_exists: bool,
    any_named: bool,
    any_readable: bool,
}

impl Privileges {
    /// Reads the difference; changes nothing.
    pub(super) async fn look(
        client: &impl GenericClient,
        role: &str,
        (schemas, tables): &Wanted,
    ) -> Result<Privileges, Fault> {
        let rows = client
            .query_typed(LOOK, &[(&role, Type::NAME), (schemas, Type::TEXT_ARRAY), (tables, Type::TEXT_ARRAY)])
            .await?;
        let mut found = Privileges::default();
        for row in rows {
            let text: String = row.try_get::<_, Option<String>>(1)?.unwrap_or_default();
            match row.try_get::<_, &str>(0)? {
                "revoke" => found.revoke.push(text),
                "grant" => found.grant.push(text),
                "stuck" => found.stuck.push(text),
                "known" => found.role_exists = true,
                "named" => found.any_named = true,
                _ => found.any_readable = true,
            }
        }
        Ok(found)
    }

    /// Puts them right, and proves it by a last look.
    pub(super) async fn settle(transaction: &Transaction<'_>, role: &RoleName, wanted: &Wanted) -> Result<(), Fault> {
        for _ in 0..PASSES {
            let found = Privileges::look(transaction, role.plain(), wanted).await?;
            if found.are_right() {
                return found.suffice(role);
            }
            // What is granted depends on what was too much: a table in the list of both is granted in the next pass.
            let statements = if found.revoke.is_empty() { found.grant } else { found.revoke };
            transaction.batch_execute(&statements.join(";\n")).await?;
        }
        let left = Privileges::look(transaction, role.plain(), wanted).await?;
        let statements: Vec<_> = left.revoke.into_iter().chain(left.grant).take(NAMED).collect();
        Err(forbidden(format!("the control user cannot put right: {}", statements.join("; "))).into())
    }

    /// Nothing too much, and nothing missing that can be given.
    pub(super) fn are_right(&self) -> bool {
        self.role_exists && self.revoke.is_empty() && self.grant.is_empty()
    }

    /// Whether the role is of use: some named table can be read, or none exists.
    pub(super) fn suffice(&self, role: &RoleName) -> Result<(), Fault> {
        if self.stuck.is_empty() {
            return Ok(());
        }
        let names = self.stuck.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        if self.any_named && !self.any_readable {
            return Err(forbidden(format!("the control user may not grant SELECT on {names}")).into());
        }
        tracing::warn!(role = role.plain(), count = self.stuck.len(), "control user cannot grant: {names}");
        Ok(())
    }
}
