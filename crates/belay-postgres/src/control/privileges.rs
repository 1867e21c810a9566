//! The privileges of a grant's role in one database: CONNECT, USAGE, SELECT on the tables, columns and filter views that
//! its resources name, EXECUTE on the functions it names; INSERT, UPDATE, DELETE and TRUNCATE on the tables that it names
//! whole, where it writes; nothing else.

use super::fault::{Fault, forbidden};
use super::role_name::RoleName;
use super::scope::{NAMED, Scope};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{GenericClient, Transaction};

/// Revoking, granting, and the look that finds nothing more to do.
const PASSES: usize = 4;
/// Names that an error or a log line shows.
const NAMES: usize = 5;

/// What is too much, what is missing, and what can be read, as (kind, text) rows. Sequences come with the tables they
/// belong to, because `pg_dump` reads them. A table with withheld columns is granted by its other columns.
const LOOK: &str = "
own AS MATERIALIZED (
    SELECT c.oid, c.relnamespace, n.nspname, c.relname FROM pg_namespace n JOIN pg_class c ON c.relnamespace = n.oid
    WHERE n.nspname = $1 AND c.relkind = 'v' AND pg_get_userbyid(n.nspowner) = current_user),
partly AS MATERIALIZED (
    SELECT r.oid FROM rel r WHERE NOT r.whole OR EXISTS (SELECT FROM shut s JOIN pg_attribute a
        ON a.attrelid = s.oid AND a.attname = s.col AND NOT a.attisdropped WHERE s.oid = r.oid)),
want AS MATERIALIZED (
    SELECT r.oid, 0 AS att, r.relnamespace, r.nspname, r.relname, NULL::name AS attname, true AS is_table,
        $12::text[] AS privileges FROM rel r
    WHERE NOT EXISTS (SELECT FROM partly p WHERE p.oid = r.oid)
    UNION
    SELECT r.oid, a.attnum, r.relnamespace, r.nspname, r.relname, a.attname, true, '{SELECT}'
    FROM partly p JOIN rel r ON r.oid = p.oid JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0
    WHERE NOT a.attisdropped AND (r.whole OR a.attname::text = ANY (r.cols))
        AND NOT EXISTS (SELECT FROM shut s WHERE s.oid = r.oid AND s.col = a.attname)
    UNION
    SELECT s.oid, 0, s.relnamespace, r.nspname, s.relname, NULL, false, $13 FROM rel r
        JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = r.oid
            AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
        JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
    WHERE r.whole AND NOT EXISTS (SELECT FROM shut h JOIN pg_attribute a ON a.attrelid = h.oid AND a.attname = h.col
        WHERE h.oid = r.oid AND a.attnum = d.refobjsubid)
    UNION
    SELECT oid, 0, relnamespace, nspname, relname, NULL, true, '{SELECT}' FROM own),
surplus AS (
    SELECT DISTINCT d.classid, d.objid FROM me JOIN pg_shdepend d ON d.refclassid = 'pg_authid'::regclass
        AND d.refobjid = me.oid AND d.deptype = 'a'
        AND d.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
    WHERE CASE d.classid
        WHEN 'pg_class'::regclass THEN
            NOT EXISTS (SELECT FROM want w WHERE w.oid = d.objid AND w.att = d.objsubid)
            OR EXISTS (SELECT FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = d.objid AND d.objsubid = 0
                AND a.grantee = me.oid AND (a.is_grantable OR NOT EXISTS (SELECT FROM want w WHERE w.oid = d.objid
                    AND w.att = 0 AND a.privilege_type = ANY (w.privileges))))
            OR EXISTS (SELECT FROM pg_attribute c, aclexplode(c.attacl) a WHERE c.attrelid = d.objid
                AND c.attnum = d.objsubid AND a.grantee = me.oid AND (a.privilege_type <> 'SELECT' OR a.is_grantable))
        WHEN 'pg_namespace'::regclass THEN NOT EXISTS (SELECT FROM want w WHERE w.relnamespace = d.objid)
                AND NOT EXISTS (SELECT FROM fun f WHERE f.pronamespace = d.objid)
            OR EXISTS (SELECT FROM pg_namespace n, aclexplode(n.nspacl) a WHERE n.oid = d.objid AND a.grantee = me.oid
                AND (a.privilege_type <> 'USAGE' OR a.is_grantable))
        WHEN 'pg_database'::regclass THEN
            EXISTS (SELECT FROM pg_database b, aclexplode(b.datacl) a WHERE b.oid = d.objid AND a.grantee = me.oid
                AND (a.privilege_type <> 'CONNECT' OR a.is_grantable))
        WHEN 'pg_proc'::regclass THEN NOT EXISTS (SELECT FROM fun f WHERE f.oid = d.objid)
            OR EXISTS (SELECT FROM pg_proc p, aclexplode(p.proacl) a WHERE p.oid = d.objid AND a.grantee = me.oid
                AND (a.privilege_type <> 'EXECUTE' OR a.is_grantable))
        ELSE true END),
lacking AS (
    SELECT w.*, p.privilege, CASE WHEN w.att > 0 THEN has_column_privilege(w.oid, w.att::int2, 'SELECT WITH GRANT OPTION')
            WHEN w.is_table THEN has_table_privilege(w.oid, p.privilege || ' WITH GRANT OPTION')
            ELSE has_sequence_privilege(w.oid, p.privilege || ' WITH GRANT OPTION') END AS mine
    FROM want w CROSS JOIN unnest(w.privileges) AS p (privilege), me
    WHERE NOT coalesce(CASE WHEN w.att > 0 THEN has_column_privilege(me.oid, w.oid, w.att::int2, 'SELECT')
        WHEN w.is_table THEN has_table_privilege(me.oid, w.oid, p.privilege)
        ELSE has_sequence_privilege(me.oid, w.oid, p.privilege) END, true)),
closed AS (
    SELECT n.oid, n.nspname, has_schema_privilege(n.oid, 'USAGE WITH GRANT OPTION') AS mine
    FROM pg_namespace n, me WHERE NOT has_schema_privilege(me.oid, n.oid, 'USAGE')
        AND n.oid IN (SELECT relnamespace FROM want UNION SELECT pronamespace FROM fun)),
uncallable AS (
    SELECT DISTINCT f.oid, has_function_privilege(f.oid, 'EXECUTE WITH GRANT OPTION') AS mine
    FROM fun f, me WHERE f.oid IS NOT NULL AND NOT has_function_privilege(me.oid, f.oid, 'EXECUTE'))
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
UNION ALL SELECT 'grant', format('GRANT %s ON %s %s TO %I', l.privilege, CASE WHEN l.is_table THEN 'TABLE' ELSE 'SEQUENCE' END,
        string_agg(format('%I.%I', l.nspname, l.relname), ', '), me.rolname)
    FROM lacking l, me WHERE l.mine AND l.att = 0 GROUP BY me.rolname, l.privilege, l.is_table
UNION ALL SELECT 'grant', format('GRANT SELECT (%s) ON TABLE %I.%I TO %I',
        string_agg(quote_ident(l.attname), ', '), l.nspname, l.relname, me.rolname)
    FROM lacking l, me WHERE l.mine AND l.att > 0 GROUP BY l.nspname, l.relname, me.rolname
UNION ALL SELECT 'grant', format('GRANT EXECUTE ON ROUTINE %s TO %I',
        (pg_identify_object('pg_proc'::regclass, u.oid, 0)).identity, me.rolname) FROM uncallable u, me WHERE u.mine
UNION ALL SELECT DISTINCT 'stuck', format('%I.%I', l.nspname, l.relname) FROM lacking l WHERE NOT l.mine AND l.is_table
UNION ALL SELECT 'stuck', format('%I.*', c.nspname) FROM closed c WHERE NOT c.mine
UNION ALL SELECT 'stuck', u.oid::regprocedure::text FROM uncallable u WHERE NOT u.mine
UNION ALL SELECT DISTINCT CASE WHEN s.col IS NULL THEN 'unfiltered' ELSE 'open' END, s.oid::regclass::text || coalesce('.' || quote_ident(s.col), '')
    FROM shut s JOIN pg_class c ON c.oid = s.oid LEFT JOIN pg_attribute a ON a.attrelid = s.oid AND a.attname = s.col, me
    WHERE has_schema_privilege(me.oid, c.relnamespace, 'USAGE') AND CASE WHEN s.col IS NULL
            THEN has_any_column_privilege(me.oid, s.oid, 'SELECT')
            ELSE has_column_privilege(me.oid, s.oid, a.attnum, 'SELECT') END
UNION ALL SELECT 'known', me.rolname FROM me
UNION ALL SELECT 'named', 'a table' WHERE EXISTS (SELECT FROM want WHERE is_table)
UNION ALL SELECT 'readable', 'a table' FROM me WHERE EXISTS (SELECT FROM want w WHERE w.is_table
    AND has_any_column_privilege(me.oid, w.oid, 'SELECT') AND has_schema_privilege(me.oid, w.relnamespace, 'USAGE'))";

/// How a role's privileges differ from what they should be.
#[derive(Debug, Default)]
pub(super) struct Privileges {
    revoke: Vec<String>,
    grant: Vec<String>,
    /// What the control user cannot give.
    stuck: Vec<String>,
    /// What is withheld, and can be read all the same: everybody may.
    open: Vec<String>,
    /// The same of filtered tables.
    unfiltered: Vec<String>,
    role_exists: bool,
    any_named: bool,
    any_readable: bool,
}

impl Privileges {
    /// Reads the difference; changes nothing.
    pub(super) async fn look(client: &impl GenericClient, role: &str, scope: &Scope) -> Result<Privileges, Fault> {
        let sql = format!("{NAMED},{LOOK}");
        let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> = vec![(&role, Type::NAME)];
        parameters.extend(scope.parameters());
        let mut found = Privileges::default();
        for row in client.query_typed(&sql, &parameters).await? {
            let text: String = row.try_get::<_, Option<String>>(1)?.unwrap_or_default();
            match row.try_get::<_, &str>(0)? {
                "revoke" => found.revoke.push(text),
                "grant" => found.grant.push(text),
                "stuck" => found.stuck.push(text),
                "open" => found.open.push(text),
                "unfiltered" => found.unfiltered.push(text),
                "known" => found.role_exists = true,
                "named" => found.any_named = true,
                _ => found.any_readable = true,
            }
        }
        Ok(found)
    }

    /// Puts them right, and proves it by a last look.
    pub(super) async fn settle(transaction: &Transaction<'_>, role: &RoleName, scope: &Scope) -> Result<(), Fault> {
        for _ in 0..PASSES {
            let found = Privileges::look(transaction, role.plain(), scope).await?;
            if found.are_right() {
                return found.suffice(role);
            }
            // What is granted depends on what was too much: a table in the list of both is granted in the next pass.
            let statements = if found.revoke.is_empty() { found.grant } else { found.revoke };
            transaction.batch_execute(&statements.join(";\n")).await?;
        }
        let left = Privileges::look(transaction, role.plain(), scope).await?;
        let statements: Vec<_> = left.revoke.into_iter().chain(left.grant).take(NAMES).collect();
        Err(forbidden(format!("the control user cannot put right: {}", statements.join("; "))).into())
    }

    /// Nothing too much, and nothing missing that can be given.
    pub(super) fn are_right(&self) -> bool {
        self.role_exists && self.revoke.is_empty() && self.grant.is_empty()
    }

    /// Whether the role is of use: some named table can be read, or none exists. And whether what it must not read is
    /// kept from it.
    pub(super) fn suffice(&self, role: &RoleName) -> Result<(), Fault> {
        if !self.unfiltered.is_empty() {
            let why = format!("PUBLIC may read {}, so its rows cannot be filtered", first(&self.unfiltered));
            return Err(forbidden(why).into());
        }
        if !self.open.is_empty() {
            tracing::warn!(role = role.plain(), "PUBLIC may read what is withheld: {}", first(&self.open));
        }
        if self.stuck.is_empty() {
            return Ok(());
        }
        let names = first(&self.stuck);
        if self.any_named && !self.any_readable {
            return Err(forbidden(format!("the control user may not grant SELECT on {names}")).into());
        }
        tracing::warn!(role = role.plain(), count = self.stuck.len(), "control user cannot grant: {names}");
        Ok(())
    }
}

fn first(names: &[String]) -> String {
    names.iter().take(NAMES).map(String::as_str).collect::<Vec<_>>().join(", ")
}
