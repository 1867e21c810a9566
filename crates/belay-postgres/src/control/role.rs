//! Making a grant's role, and putting it right again.

use super::fault::{Fault, forbidden};
use super::password::Password;
use super::pool::Act;
use super::privileges::{Privileges, wanted};
use super::role_name::RoleName;
use belay_engine::RoleSpec;
use postgres_protocol::escape::escape_literal;
use std::fmt::Write as _;
use std::time::Duration;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, GenericClient, Row, Transaction};

/// Settings every session of the role starts with. A session can undo them; the gateway watches and the privileges
/// do not depend on them.
const SETTINGS: [(&str, &str); 2] =
    [("default_transaction_read_only", "on"), ("idle_in_transaction_session_timeout", "30min")];

/// Serializes the writers of one database's access lists: two at once fail with "tuple concurrently updated".
pub(super) const LOCK: &str = "SELECT pg_advisory_xact_lock(422424500)";

const FACTS: &str = "
SELECT r.oid, t.until::text,
    r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls,
    pg_has_role(r.oid, 'USAGE'),
    r.rolcanlogin AND NOT r.rolinherit AND r.rolconnlimit = $3 AND r.rolvaliduntil IS NOT DISTINCT FROM t.until,
    coalesce(r.rolconfig @> $5, false),
    shobj_description(r.oid, 'pg_authid') IS NOT DISTINCT FROM $4
FROM (SELECT to_timestamp($2::int8 / 1000000.0) AS until) t LEFT JOIN pg_roles r ON r.rolname = $1";

/// Makes the role or puts it right. Costs one round trip and writes nothing when all is as it should be.
pub(super) struct EnsureRole<'a> {
    pub(super) spec: &'a RoleSpec,
    pub(super) name: &'a RoleName,
    /// The target's own database, which resources mean that name none.
    pub(super) home: &'a str,
    pub(super) password: &'a Password,
}

/// What the target says of the role.
#[expect(clippy::struct_excessive_bools, reason = "one row of the catalog, read and used up at once")]
struct RoleFacts {
    exists: bool,
    until: String,
    mighty: bool,
    joined: bool,
    settled: bool,
    configured: bool,
    described: bool,
}

impl Act for EnsureRole<'_> {
    type Done = ();
    const LIMIT: Duration = Duration::from_secs(20);

    async fn act(&self, client: &mut Client) -> Result<(), Fault> {
        let wanted = wanted(self.spec, self.home);
        let (facts, privileges) =
            tokio::join!(self.facts(client), Privileges::look(client, self.name.plain(), &wanted));
        let statements = self.missing(&facts?)?;
        let privileges = privileges?;
        if statements.is_empty() && privileges.are_right() {
            return privileges.suffice(self.name);
        }
        let transaction = client.transaction().await?;
        transaction.batch_execute(LOCK).await?;
        self.settle(&transaction).await?;
        Privileges::settle(&transaction, self.name, &wanted).await?;
        transaction.commit().await?;
        Ok(())
    }
}

impl EnsureRole<'_> {
    async fn facts(&self, client: &impl GenericClient) -> Result<RoleFacts, Fault> {
        let settings: Vec<String> = SETTINGS.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let row = client
            .query_typed(
                FACTS,
                &[
                    (&self.name.plain(), Type::NAME),
                    (&self.spec.valid_until.0, Type::INT8),
                    (&self.limit(), Type::INT4),
                    (&self.spec.comment, Type::TEXT),
                    (&settings, Type::TEXT_ARRAY),
                ],
            )
            .await?;
        row.first().map(RoleFacts::read).transpose()?.ok_or_else(|| forbidden("the target shows no roles").into())
    }

    /// Under the lock the facts are read again: somebody else may have been first.
    async fn settle(&self, transaction: &Transaction<'_>) -> Result<(), Fault> {
        let statements = self.missing(&self.facts(transaction).await?)?;
        if statements.is_empty() {
            return Ok(());
        }
        transaction.batch_execute(&statements.join(";\n")).await?;
        if !self.facts(transaction).await?.joined {
            let role = self.name.plain();
            return Err(forbidden(format!("the control user may not become a member of `{role}`")).into());
        }
        Ok(())
    }

    /// The statements that make the role what it should be; none when it is.
    fn missing(&self, facts: &RoleFacts) -> Result<Vec<String>, Fault> {
        let role = self.name.quoted();
        if facts.mighty {
            let why = format!("role {role} exists and may do more than a grant's role; drop it by hand");
            return Err(forbidden(why).into());
        }
        let mut statements = Vec::new();
        if !facts.exists {
            statements.push(format!(
                "CREATE ROLE {role} NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS {}",
                self.attributes(&facts.until, true)
            ));
        } else if !facts.settled || !self.password.is_set() {
            let attributes = self.attributes(&facts.until, !self.password.is_set());
            statements.push(format!("ALTER ROLE {role} {attributes}"));
        }
        if !facts.joined {
            // The members of a role may end its back ends; a new role has no member that inherits.
            statements.push(format!("GRANT {role} TO CURRENT_USER"));
            statements.push(inherit(role));
        }
        if !facts.configured {
            for (name, value) in SETTINGS {
                statements.push(format!("ALTER ROLE {role} SET {name} = {}", escape_literal(value)));
            }
            statements.push(check_client(role));
        }
        if !facts.described {
            statements.push(format!("COMMENT ON ROLE {role} IS {}", escape_literal(&self.spec.comment)));
        }
        Ok(statements)
    }

    fn attributes(&self, until: &str, with_password: bool) -> String {
        let until = escape_literal(until);
        let mut text = format!("LOGIN NOINHERIT CONNECTION LIMIT {} VALID UNTIL {until}", self.limit());
        if with_password {
            let _ = write!(text, " PASSWORD {}", escape_literal(&self.password.verifier()));
        }
        text
    }

    fn limit(&self) -> i32 {
        i32::try_from(self.spec.connection_limit).unwrap_or(i32::MAX)
    }
}

/// From version 16 on, who makes a role is its member without inheriting; before, a membership inherits.
fn inherit(role: &str) -> String {
    let grant = format!("GRANT {role} TO CURRENT_USER WITH INHERIT TRUE, SET TRUE");
    format!(
        "DO $belay$ BEGIN IF current_setting('server_version_num')::int >= 160000 THEN EXECUTE {}; END IF; END $belay$",
        escape_literal(&grant)
    )
}

/// A back end then notices a lost client while its statement runs. Not every platform can.
fn check_client(role: &str) -> String {
    let set = format!("ALTER ROLE {role} SET client_connection_check_interval = '2s'");
    format!("DO $belay$ BEGIN {set}; EXCEPTION WHEN OTHERS THEN NULL; END $belay$")
}

impl RoleFacts {
    fn read(row: &Row) -> Result<RoleFacts, Fault> {
        let flag = |index: usize| row.try_get::<_, Option<bool>>(index).map(|value| value.unwrap_or(false));
        Ok(RoleFacts {
            exists: row.try_get::<_, Option<u32>>(0)?.is_some(),
            until: row.try_get(1)?,
            mighty: flag(2)?,
            joined: flag(3)?,
            settled: flag(4)?,
            configured: flag(5)?,
            described: flag(6)?,
        })
    }
}

/// The names of all roles with a prefix.
pub(super) struct ListRoles<'a> {
    pub(super) prefix: &'a str,
}

impl Act for ListRoles<'_> {
    type Done = Vec<String>;

    async fn act(&self, client: &mut Client) -> Result<Vec<String>, Fault> {
        let sql = "SELECT rolname::text FROM pg_roles WHERE starts_with(rolname::text, $1) ORDER BY 1 LIMIT 100000";
        let rows = client.query_typed(sql, &[(&self.prefix, Type::TEXT)]).await?;
        Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
    }
}
