//! What a target says of itself.

use crate::control::fault::Fault;
use crate::control::pool::Act;
use tokio_postgres::Client;

const SERVER: &str = "
SELECT split_part(current_setting('server_version'), ' ', 1), current_setting('server_version_num')::int,
    pg_is_in_recovery(), current_setting('password_encryption'), current_setting('track_activities')::bool,
    current_setting('track_counts')::bool, (SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl),
    r.rolsuper, r.rolcreaterole, r.rolname::text, has_database_privilege(current_database(), 'CREATE'),
    current_database()::text, has_database_privilege(current_database(), 'TEMPORARY'),
    EXISTS (SELECT FROM pg_roles m WHERE m.rolname = 'rds_superuser' AND pg_has_role(m.oid, 'USAGE'))
FROM pg_roles r WHERE r.rolname = current_user";

/// (kind, name, statement that closes it). PUBLIC's rights are asked for under that name.
const ITEMS: &str = "
WITH rel AS (
    SELECT c.oid, n.oid AS nsp, n.nspname, c.relname, c.relkind, c.relowner FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm') AND c.relpersistence <> 't'
        AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'),
fun AS (
    SELECT p.oid, p.prosecdef, p.provolatile, l.lanname, l.lanpltrusted, e.extname FROM pg_proc p
        JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
        LEFT JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
            AND d.refclassid = 'pg_extension'::regclass
        LEFT JOIN pg_extension e ON e.oid = d.refobjid
    WHERE has_function_privilege('public', p.oid, 'EXECUTE') AND p.prorettype <> 'trigger'::regtype
        AND NOT (n.nspname = 'belay_armed' AND pg_get_userbyid(p.proowner) = current_user)
        AND (e.extname IS NOT NULL OR (n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'))),
item AS (
    SELECT 'not_grantable' AS kind, format('%I.%I', nspname, relname) AS name,
        format('GRANT SELECT ON TABLE %I.%I TO %I WITH GRANT OPTION;', nspname, relname, current_user) AS sql
    FROM rel WHERE NOT has_table_privilege(oid, 'SELECT WITH GRANT OPTION')
    UNION ALL SELECT DISTINCT 'not_grantable', format('schema %I', nspname),
        format('GRANT USAGE ON SCHEMA %I TO %I WITH GRANT OPTION;', nspname, current_user)
    FROM rel WHERE NOT has_schema_privilege(nsp, 'USAGE WITH GRANT OPTION')
        AND NOT has_schema_privilege('public', nsp, 'USAGE')
    UNION ALL SELECT 'not_writable', format('%I.%I', nspname, relname),
        format('GRANT INSERT, UPDATE, DELETE, TRUNCATE ON TABLE %I.%I TO %I WITH GRANT OPTION;', nspname, relname, current_user)
    FROM rel WHERE relkind IN ('r', 'p') AND EXISTS (SELECT FROM unnest('{INSERT,UPDATE,DELETE,TRUNCATE}'::text[]) p
        WHERE NOT has_table_privilege(oid, p || ' WITH GRANT OPTION'))
    UNION ALL SELECT 'not_own', format('%I.%I', nspname, relname), ''
    FROM rel WHERE relkind IN ('r', 'p') AND NOT pg_has_role(relowner, 'USAGE')
    UNION ALL SELECT 'not_switched_off', format('%I.%I', nspname, relname), ''
    FROM rel WHERE EXISTS (SELECT FROM pg_trigger t LEFT JOIN pg_constraint k ON k.oid = t.tgconstraint
            WHERE t.tgrelid = rel.oid AND (k.oid IS NULL OR k.contype = 't') AND t.tgenabled IN ('A', 'R') AND NOT pg_has_role(rel.relowner, 'USAGE'))
        OR EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = rel.oid AND r.ev_type <> '1' AND r.ev_enabled IN ('A', 'R'))
    UNION ALL SELECT 'temporary', quote_ident(current_database()),
        format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC;', current_database())
    WHERE has_database_privilege('public', current_database(), 'TEMPORARY')
    UNION ALL SELECT 'create', format('schema %I', nspname), format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC;', nspname)
    FROM pg_namespace WHERE has_schema_privilege('public', oid, 'CREATE')
    UNION ALL SELECT 'readable', format('%I.%I', nspname, relname),
        format('REVOKE SELECT ON TABLE %I.%I FROM PUBLIC;', nspname, relname)
    FROM rel WHERE has_table_privilege('public', oid, 'SELECT') AND has_schema_privilege('public', nsp, 'USAGE')
    UNION ALL SELECT 'database', quote_ident(datname), format('REVOKE CONNECT ON DATABASE %I FROM PUBLIC;', datname)
    FROM pg_database WHERE datallowconn AND datname <> current_database()
        AND has_database_privilege('public', oid, 'CONNECT')
    UNION ALL SELECT 'reaches_out', oid::regprocedure::text,
        format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC;', oid::regprocedure)
    FROM fun WHERE extname IN ('dblink', 'adminpack', 'file_fdw') AND provolatile = 'v'
    UNION ALL SELECT 'definer', oid::regprocedure::text,
        format('REVOKE EXECUTE ON ROUTINE %s FROM PUBLIC;', oid::regprocedure)
    FROM fun WHERE prosecdef
    UNION ALL SELECT 'untrusted', oid::regprocedure::text,
        format('REVOKE EXECUTE ON ROUTINE %s FROM PUBLIC;', oid::regprocedure)
    FROM fun WHERE NOT lanpltrusted AND lanname <> 'internal' AND (lanname <> 'c' OR extname IS NULL))
SELECT kind, name, sql FROM (SELECT *, row_number() OVER (PARTITION BY kind ORDER BY name) AS n FROM item) i
WHERE n <= 1000 ORDER BY kind, n";

/// Reads the facts; changes nothing.
pub(in crate::control) struct Facts;

/// The facts.
#[expect(clippy::struct_excessive_bools, reason = "a row of independent facts")]
pub(in crate::control) struct Found {
    pub(super) version: String,
    pub(super) version_number: i32,
    pub(super) in_recovery: bool,
    pub(super) password_encryption: String,
    pub(super) track_activities: bool,
    pub(super) track_counts: bool,
    pub(super) tls_version: Option<String>,
    pub(super) superuser: bool,
    pub(super) create_role: bool,
    pub(super) user: String,
    /// Whether the control user may make schemas, which row filters live in.
    pub(super) may_create: bool,
    pub(super) database: String,
    /// Whether it may bound the temporary files of roles.
    pub(super) may_bound_files: bool,
    /// Whether it may make temporary tables, which a revert loads rows into.
    pub(super) may_make_temporary: bool,
    /// Whether it may switch triggers and rules off for a session.
    pub(super) may_replicate: bool,
    items: Vec<Item>,
}

/// One thing that weakens a layer.
pub(super) struct Item {
    kind: Option<Hole>,
    pub(super) name: String,
    pub(super) sql: String,
}

/// What it weakens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hole {
    NotGrantable,
    NotWritable,
    /// Of the control user.
    NotOwn,
    /// With triggers or rules that act in replica mode too.
    NotSwitchedOff,
    Temporary,
    Create,
    Readable,
    Database,
    ReachesOut,
    Definer,
    Untrusted,
}

impl Found {
    /// The items of one kind.
    pub(super) fn of(&self, kind: Hole) -> Vec<&Item> {
        self.items.iter().filter(|item| item.kind == Some(kind)).collect()
    }
}

impl Act for Facts {
    type Done = Found;

    async fn act(&self, client: &mut Client) -> Result<Found, Fault> {
        let row = client.query_typed_one(SERVER, &[]).await?;
        let mut items = Vec::new();
        for row in client.query_typed(ITEMS, &[]).await? {
            items.push(Item { kind: kind(row.try_get(0)?), name: row.try_get(1)?, sql: row.try_get(2)? });
        }
        let (superuser, version_number): (bool, i32) = (row.try_get(7)?, row.try_get(1)?);
        // Before, only superusers could.
        let (mut may_bound_files, mut may_set_role) = (superuser, superuser);
        if !superuser && version_number >= 150_000 {
            let set = "SELECT has_parameter_privilege('temp_file_limit', 'SET'),
                has_parameter_privilege('session_replication_role', 'SET')";
            let row = client.query_typed_one(set, &[]).await?;
            (may_bound_files, may_set_role) = (row.try_get(0)?, row.try_get(1)?);
        }
        Ok(Found {
            version: row.try_get(0)?,
            version_number,
            in_recovery: row.try_get(2)?,
            password_encryption: row.try_get(3)?,
            track_activities: row.try_get(4)?,
            track_counts: row.try_get(5)?,
            tls_version: row.try_get(6)?,
            superuser,
            create_role: row.try_get(8)?,
            user: row.try_get(9)?,
            may_create: row.try_get(10)?,
            database: row.try_get(11)?,
            may_bound_files,
            may_make_temporary: row.try_get(12)?,
            may_replicate: may_set_role || row.try_get(13)?,
            items,
        })
    }
}

fn kind(word: &str) -> Option<Hole> {
    Some(match word {
        "not_grantable" => Hole::NotGrantable,
        "not_writable" => Hole::NotWritable,
        "not_own" => Hole::NotOwn,
        "not_switched_off" => Hole::NotSwitchedOff,
        "temporary" => Hole::Temporary,
        "create" => Hole::Create,
        "readable" => Hole::Readable,
        "database" => Hole::Database,
        "reaches_out" => Hole::ReachesOut,
        "definer" => Hole::Definer,
        "untrusted" => Hole::Untrusted,
        _ => return None,
    })
}
