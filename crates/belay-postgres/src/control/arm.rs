//! Arming tables: a trigger that writes down what sessions of Belay's change in a table too large to be scanned.
//!
//! What stands in the way is told before anything is made. The trigger needs a lock that writers wait for, so it is
//! asked for briefly and several times, in a transaction of its own.

use super::fault::Fault;
use super::pool::Act;
use super::role::LOCK;
use crate::capture::armed::{FUNCTIONS, SCHEMA, SOUND, TRIGGER, WHEN, fingerprint, script};
use belay_engine::{ArmedTable, Arming};
use postgres_protocol::escape::escape_identifier;
use std::time::Duration;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

/// So often the lock is asked for, and so long is waited in between.
const TRIES: usize = 10;
const PAUSE: Duration = Duration::from_millis(300);
/// While the lock is waited for, every writer of the table waits too.
const BRIEFLY: &str = "SET LOCAL lock_timeout = '100ms'";
/// Partitions that a refusal names.
const NAMED: i32 = 5;

/// Arms a table, or puts right what became of its trigger.
pub(super) struct Arm<'a> {
    pub(super) schema: &'a str,
    pub(super) table: &'a str,
}

/// Disarms it. Takes away all that was made in the target with the last one, where the control user may.
pub(super) struct Disarm<'a> {
    pub(super) schema: &'a str,
    pub(super) table: &'a str,
}

/// The tables that were armed, those that are gone or in the trash aside.
pub(super) struct ListArmed;

impl Act for Arm<'_> {
    type Done = Arming;
    const LIMIT: Duration = Duration::from_secs(20);

    async fn act(&self, client: &mut Client) -> Result<Arming, Fault> {
        let Some(found) = Found::look(client, self.schema, self.table).await? else {
            return Ok(missing(self.schema, self.table));
        };
        if let Some(refused) = found.refused() {
            return Ok(refused);
        }
        if !install(client).await? {
            return Ok(refused(
                format!("the schema {SCHEMA} in the target is not as Belay makes it"),
                "look at what else is in it and who may do what there; drop it, then try again",
            ));
        }
        let trigger = format!(
            "CREATE OR REPLACE TRIGGER {TRIGGER} AFTER INSERT OR UPDATE OR DELETE ON {} FOR EACH ROW WHEN ({WHEN}) \
             EXECUTE FUNCTION {SCHEMA}.image()",
            found.quoted
        );
        let note = format!(
            "INSERT INTO {SCHEMA}.tables SELECT t.tgrelid, pg_get_triggerdef(t.oid) FROM pg_trigger t \
             WHERE t.tgrelid = {} AND t.tgname = '{TRIGGER}' \
             ON CONFLICT (relation) DO UPDATE SET definition = excluded.definition",
            found.oid
        );
        briefly(client, &found, &[&trigger, &note]).await
    }
}

impl Act for Disarm<'_> {
    type Done = Arming;
    const LIMIT: Duration = Duration::from_secs(20);

    async fn act(&self, client: &mut Client) -> Result<Arming, Fault> {
        let Some(found) = Found::look(client, self.schema, self.table).await? else {
            return Ok(missing(self.schema, self.table));
        };
        let forget = format!("DELETE FROM {SCHEMA}.tables WHERE relation = {}", found.oid);
        if !found.has_trigger {
            // Somebody else has dropped it, perhaps.
            if is_installed(client).await? && client.execute_typed(&forget, &[]).await? > 0 {
                sweep(client).await?;
                return Ok(Arming::Done);
            }
            let instead = "belay target show TARGET lists those that are";
            return Ok(refused(format!("{} is not armed", found.name), instead));
        }
        // Only its owner may drop a trigger; whoever may make one may make it do nothing.
        let trigger = if found.owned {
            format!("DROP TRIGGER {TRIGGER} ON {}", found.quoted)
        } else {
            format!(
                "CREATE OR REPLACE TRIGGER {TRIGGER} AFTER INSERT ON {} FOR EACH ROW WHEN (false) \
                 EXECUTE FUNCTION {SCHEMA}.image()",
                found.quoted
            )
        };
        let done = briefly(client, &found, &[&trigger, &forget]).await?;
        if done == Arming::Done {
            sweep(client).await?;
        }
        Ok(done)
    }
}

impl Act for ListArmed {
    type Done = Vec<ArmedTable>;

    async fn act(&self, client: &mut Client) -> Result<Vec<ArmedTable>, Fault> {
        if !is_installed(client).await? {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT n.nspname || '.' || c.relname, coalesce(t.tgenabled = 'O' \
             AND pg_get_triggerdef(t.oid) = a.definition, false) AND {} FROM {SCHEMA}.tables a \
             JOIN pg_class c ON c.oid = a.relation JOIN pg_namespace n ON n.oid = c.relnamespace \
             LEFT JOIN pg_trigger t ON t.tgrelid = a.relation AND t.tgname = '{TRIGGER}' \
             WHERE NOT starts_with(n.nspname::text, 'belay_') ORDER BY 1 LIMIT 10000",
            intact()
        );
        let rows = client.query_typed(&sql, &[]).await?;
        let read = |row: &Row| Ok(ArmedTable { table: row.try_get(0)?, sound: row.try_get(1)? });
        Ok(rows.iter().map(read).collect::<Result<_, tokio_postgres::Error>>()?)
    }
}

/// What the target says of a table. `$1` and `$2` are its names.
const LOOK: &str = "
SELECT c.oid, c.relkind::text, c.relpersistence = 't' OR n.nspname ~ '^(pg_|belay_)' OR n.nspname = 'information_schema',
    coalesce(a.amname = 'heap', false), format('%I.%I', n.nspname, c.relname), n.nspname || '.' || c.relname,
    EXISTS (SELECT FROM pg_attribute v WHERE v.attrelid = c.oid AND v.attgenerated = 'v' AND NOT v.attisdropped),
    coalesce((SELECT string_agg(l.relid::regclass::text, ', ') FROM (SELECT * FROM pg_partition_tree(c.oid) p
        WHERE p.isleaf AND p.relid <> c.oid LIMIT $3) l), ''),
    n.nspname::text, has_schema_privilege(n.oid, 'USAGE'), has_table_privilege(c.oid, 'TRIGGER'), pg_has_role(c.relowner, 'USAGE'),
    has_database_privilege(current_database(), 'CREATE'), current_database()::text,
    EXISTS (SELECT FROM pg_language WHERE lanname = 'plpgsql' AND has_language_privilege(oid, 'USAGE')),
    current_user::text, coalesce((SELECT s.nspowner = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user)
        FROM pg_namespace s WHERE s.nspname = 'belay_armed'), NULL),
    EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'belay_armed'
        AND t.tgfoid = to_regproc('belay_armed.image') AND t.tgtype = 29)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_am a ON a.oid = c.relam
WHERE n.nspname = $1 AND c.relname = $2";

/// One relation, and what the control user may do about it.
#[expect(clippy::struct_excessive_bools, reason = "one row of the catalog")]
struct Found {
    oid: u32,
    kind: String,
    of_the_system: bool,
    heap: bool,
    quoted: String,
    name: String,
    computed: bool,
    partitions: String,
    schema: String,
    usage: bool,
    trigger: bool,
    owned: bool,
    create: bool,
    database: String,
    language: bool,
    user: String,
    /// Whether the schema of what Belay makes is the control user's, once it is there.
    own_schema: Option<bool>,
    has_trigger: bool,
}

impl Found {
    async fn look(client: &Client, schema: &str, table: &str) -> Result<Option<Found>, Fault> {
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
            [(&schema, Type::TEXT), (&table, Type::TEXT), (&i64::from(NAMED), Type::INT8)];
        let Some(row) = client.query_typed_opt(LOOK, &parameters).await? else { return Ok(None) };
        Ok(Some(Found {
            oid: row.try_get(0)?,
            kind: row.try_get(1)?,
            of_the_system: row.try_get(2)?,
            heap: row.try_get(3)?,
            quoted: row.try_get(4)?,
            name: row.try_get(5)?,
            computed: row.try_get(6)?,
            partitions: row.try_get(7)?,
            schema: row.try_get(8)?,
            usage: row.try_get(9)?,
            trigger: row.try_get(10)?,
            owned: row.try_get(11)?,
            create: row.try_get(12)?,
            database: row.try_get(13)?,
            language: row.try_get(14)?,
            user: row.try_get(15)?,
            own_schema: row.try_get(16)?,
            has_trigger: row.try_get(17)?,
        }))
    }

    /// What stands in the way.
    fn refused(&self) -> Option<Arming> {
        self.unfit().or_else(|| self.forbidden())
    }

    /// What the table is not.
    fn unfit(&self) -> Option<Arming> {
        let name = &self.name;
        let (what, instead) = match self.kind.as_str() {
            "p" => (
                format!("{name} is partitioned: its rows are in its partitions"),
                format!("arm these, one by one: {}", self.partitions),
            ),
            "v" | "m" => (format!("{name} is a view: it has no rows of its own"), "arm the tables it reads".to_owned()),
            "f" => (
                format!("{name} is a foreign table: its rows are on another server"),
                "changes of foreign tables are refused".to_owned(),
            ),
            "r" if self.of_the_system => {
                (format!("{name} is not a table of an application"), "name another".to_owned())
            }
            "r" if !self.heap => (
                format!("{name} is not kept by the access method heap"),
                "changes of such tables are refused".to_owned(),
            ),
            "r" if self.computed => (
                format!("{name} has virtual generated columns, whose values triggers are not given"),
                "store the columns, or change its rows by their key".to_owned(),
            ),
            "r" => return None,
            _ => (format!("{name} is not a table"), "name a table".to_owned()),
        };
        Some(Arming::Refused { what, instead })
    }

    /// Which right is missing.
    fn forbidden(&self) -> Option<Arming> {
        let (user, table) = (escape_identifier(&self.user), self.quoted.as_str());
        let what = |may_not: &str| format!("the control user {user} may not {may_not}");
        if !self.usage {
            let grant = format!("GRANT USAGE ON SCHEMA {} TO {user};", escape_identifier(&self.schema));
            return Some(refused(what(&format!("use the schema of {}", self.name)), &grant));
        }
        if !self.trigger {
            let grant = format!("GRANT TRIGGER ON TABLE {table} TO {user};");
            return Some(refused(what(&format!("create triggers on {}", self.name)), &grant));
        }
        match self.own_schema {
            Some(false) => Some(refused(
                format!("the schema {SCHEMA} in the target belongs to another role than the control user {user}"),
                &format!("ALTER it and what is in it to {user}, or drop it: DROP SCHEMA {SCHEMA} CASCADE;"),
            )),
            None if !self.create => {
                let grant = format!("GRANT CREATE ON DATABASE {} TO {user};", escape_identifier(&self.database));
                Some(refused(what("make a schema for what the trigger writes down"), &grant))
            }
            None if !self.language => {
                Some(refused(what("use the language plpgsql"), &format!("GRANT USAGE ON LANGUAGE plpgsql TO {user};")))
            }
            _ => None,
        }
    }
}

fn missing(schema: &str, table: &str) -> Arming {
    refused(format!("there is no table `{schema}.{table}` in the target"), "name it as SCHEMA.TABLE")
}

fn refused(what: String, instead: &str) -> Arming {
    Arming::Refused { what, instead: instead.to_owned() }
}

async fn is_installed(client: &impl tokio_postgres::GenericClient) -> Result<bool, Fault> {
    let sql = format!("SELECT to_regclass('{SCHEMA}.kept') IS NOT NULL");
    Ok(client.query_typed_one(&sql, &[]).await?.try_get(0)?)
}

/// SQL that says whether all of it is as it was made.
fn intact() -> String {
    format!(
        "(EXISTS (SELECT FROM {SCHEMA}.kept k WHERE k.script = '{}' AND k.functions = ({FUNCTIONS})) AND ({SOUND}))",
        fingerprint()
    )
}

/// Makes what triggers write to, where it is not there or not as it was made. False where it cannot be put right.
async fn install(client: &mut Client) -> Result<bool, Fault> {
    let transaction = client.transaction().await?;
    transaction.batch_execute(LOCK).await?;
    let intact = format!("SELECT {}", intact());
    if is_installed(&transaction).await? && transaction.query_typed_one(&intact, &[]).await?.try_get(0)? {
        return Ok(true);
    }
    transaction.batch_execute(&script()).await?;
    let keep = format!(
        "DELETE FROM {SCHEMA}.kept; INSERT INTO {SCHEMA}.kept \
         SELECT gen_random_uuid()::text || gen_random_uuid()::text, '{}', ({FUNCTIONS})",
        fingerprint()
    );
    transaction.batch_execute(&keep).await?;
    if !transaction.query_typed_one(&intact, &[]).await?.try_get::<_, bool>(0)? {
        return Ok(false);
    }
    transaction.commit().await?;
    Ok(true)
}

/// Runs this on the table, whose lock is waited for as briefly as can be.
async fn briefly(client: &mut Client, found: &Found, statements: &[&str]) -> Result<Arming, Fault> {
    for attempt in 0..TRIES {
        if attempt > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        match once(client, statements).await {
            Ok(()) => return Ok(Arming::Done),
            Err(Fault::Sql(error)) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(refused(
        format!("{} is in use: its lock could not be had within 100 ms, in {TRIES} tries", found.name),
        "try again when no long transaction holds the table",
    ))
}

async fn once(client: &mut Client, statements: &[&str]) -> Result<(), Fault> {
    let transaction = client.transaction().await?;
    transaction.batch_execute(LOCK).await?;
    transaction.batch_execute(BRIEFLY).await?;
    for statement in statements {
        transaction.batch_execute(statement).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Drops all of it once no trigger is left. Where somebody is using it, it stays for the next time.
async fn sweep(client: &mut Client) -> Result<(), Fault> {
    let sql = format!(
        "DO $belay$ BEGIN IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgfoid = to_regproc('{SCHEMA}.image')) THEN \
         DROP SCHEMA {SCHEMA} CASCADE; END IF; END $belay$"
    );
    match once(client, &[&sql]).await {
        Err(Fault::Sql(error)) if error.as_db_error().is_some() => Ok(()),
        other => other,
    }
}
