//! Making a grant's role, and putting it right again.

use super::fault::{Fault, forbidden};
use super::password::Password;
use super::pool::Act;
use super::privileges::Privileges;
use super::role_name::RoleName;
use super::row_filter::FilterViews;
use super::scope::Scope;
use super::search_path;
use belay_engine::RoleSpec;
use postgres_protocol::escape::escape_literal;
use std::fmt::Write as _;
use std::time::Duration;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, GenericClient, Row, Transaction};

/// Settings that sessions start with unless their grant is of everything. A session can undo them; the gateway watches
/// and the privileges do not depend on them.
const SETTINGS: [(&str, &str); 2] =
    [("default_transaction_read_only", "on"), ("idle_in_transaction_session_timeout", "30min")];

/// Serializes the writers of one database's access lists: two at once fail with "tuple concurrently updated".
pub(super) const LOCK: &str = "SELECT pg_advisory_xact_lock(422424500)";

/// `$6` says that the role is for everything. A role with our comment is ours, whatever a grant of everything has made
/// of it since.
const FACTS: &str = "
SELECT r.oid, t.until::text,
    (r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls) AND NOT t.described,
    pg_has_role(r.oid, 'USAGE'),
    r.rolcanlogin AND r.rolinherit = $6 AND r.rolconnlimit = $3 AND r.rolvaliduntil IS NOT DISTINCT FROM t.until
        AND r.rolsuper = ($6 AND u.rolsuper)
        AND ($6 OR NOT (r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls)),
    coalesce(r.rolconfig @> $5, cardinality($5) = 0)
        AND NOT ($6 AND coalesce('default_transaction_read_only=on' = ANY (r.rolconfig), false)), t.described, u.rolsuper, r.rolsuper,
    NOT $6 AND EXISTS (SELECT FROM pg_shdepend d WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = r.oid
        AND d.deptype = 'o' AND d.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))),
    (SELECT array_agg(quote_ident(g.rolname) ORDER BY g.rolname) FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
        WHERE $6 AND NOT u.rolsuper AND m.member = u.oid AND m.admin_option AND NOT starts_with(g.rolname::text, 'belay_')
            AND NOT EXISTS (SELECT FROM pg_auth_members h WHERE h.member = r.oid AND h.roleid = g.oid))
FROM (SELECT oid, rolsuper FROM pg_roles WHERE rolname = current_user) u, LATERAL (
    SELECT to_timestamp($2::int8 / 1000000.0) AS until, (SELECT shobj_description(oid, 'pg_authid')
        IS NOT DISTINCT FROM $4 FROM pg_roles WHERE rolname = $1) AS described) t
    LEFT JOIN pg_roles r ON r.rolname = $1";

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
    control_is_super: bool,
    is_super: bool,
    owns: bool,
    /// For a role of everything: what the control user may pass on and the role is no member of.
    memberships: Vec<String>,
}

impl Act for EnsureRole<'_> {
    type Done = ();
    const LIMIT: Duration = Duration::from_secs(20);

    async fn act(&self, client: &mut Client) -> Result<(), Fault> {
        let scope = Scope::of(self.spec, self.home);
        let role = self.name.plain();
        let filtered = !scope.filters.is_empty();
        let (facts, privileges, views, path) = tokio::join!(
            self.facts(client),
            Privileges::look(client, role, &scope),
            FilterViews::look(client, role, &scope),
            search_path::missing(client, role, &self.spec.database, filtered)
        );
        let statements = self.missing(&facts?)?;
        let (privileges, views) = (privileges?, views?);
        let all = self.spec.effects.all;
        if statements.is_empty() && path?.is_none() && views.are_right && (all || privileges.are_right()) {
            return if all { Ok(()) } else { privileges.suffice(self.name) };
        }
        let transaction = client.transaction().await?;
        transaction.batch_execute(LOCK).await?;
        self.settle(&transaction).await?;
        FilterViews::look(&transaction, role, &scope).await?.settle(&transaction, self.name).await?;
        if let Some(alter) = search_path::missing(&transaction, role, &self.spec.database, filtered).await? {
            transaction.batch_execute(&alter).await?;
        }
        if !all {
            Privileges::settle(&transaction, self.name, &scope).await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

impl EnsureRole<'_> {
    async fn facts(&self, client: &impl GenericClient) -> Result<RoleFacts, Fault> {
        let settings: Vec<String> = self.settings().iter().map(|(name, value)| format!("{name}={value}")).collect();
        let row = client
            .query_typed(
                FACTS,
                &[
                    (&self.name.plain(), Type::NAME),
                    (&self.spec.valid_until.0, Type::INT8),
                    (&self.limit(), Type::INT4),
                    (&self.spec.comment, Type::TEXT),
                    (&settings, Type::TEXT_ARRAY),
                    (&self.spec.effects.all, Type::BOOL),
                ],
            )
            .await?;
        row.first().map(RoleFacts::read).transpose()?.ok_or_else(|| forbidden("the target shows no roles").into())
    }

    /// What every session of the role starts with. The gateway keeps the budgets itself; this is a second layer.
    fn settings(&self) -> Vec<(&'static str, String)> {
        let fixed = SETTINGS.iter().filter(|_| !self.spec.effects.all);
        let mut settings: Vec<_> = fixed.map(|(name, value)| (*name, (*value).to_owned())).collect();
        let budgets = &self.spec.bounds.budgets;
        for (name, span) in [("statement_timeout", budgets.statement_time), ("lock_timeout", budgets.lock_wait)] {
            settings.extend(span.map(|span| (name, format!("{}s", span.seconds()))));
        }
        settings
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
                "CREATE ROLE {role} {} NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS {}",
                if self.is_super(facts) { "SUPERUSER" } else { "NOSUPERUSER" },
                self.attributes(&facts.until, true)
            ));
        } else if !facts.settled || !self.password.is_set() {
            let attributes = self.attributes(&facts.until, !self.password.is_set());
            statements.push(format!("ALTER ROLE {role} {} {attributes}", self.might(facts)));
        }
        if !facts.joined {
            // The members of a role may end its back ends; a new role has no member that inherits.
            statements.push(format!("GRANT {role} TO CURRENT_USER"));
            statements.push(inherit(role));
        }
        if facts.owns {
            // It was a role of everything before somebody narrowed its grant.
            statements.push(format!("REASSIGN OWNED BY {role} TO CURRENT_USER"));
        }
        statements.extend(facts.memberships.iter().map(|of| format!("GRANT {of} TO {role}")));
        if !facts.configured {
            statements.push(format!("ALTER ROLE {role} RESET ALL"));
            for (name, value) in self.settings() {
                statements.push(format!("ALTER ROLE {role} SET {name} = {}", escape_literal(&value)));
            }
            statements.extend(self.attempts());
        }
        if !facts.described {
            statements.push(format!("COMMENT ON ROLE {role} IS {}", escape_literal(&self.spec.comment)));
        }
        Ok(statements)
    }

    /// A role of everything can do what the control user can.
    fn is_super(&self, facts: &RoleFacts) -> bool {
        self.spec.effects.all && facts.control_is_super
    }

    /// What an existing role may do beyond its privileges; said only where a superuser can say it.
    fn might(&self, facts: &RoleFacts) -> &'static str {
        match (self.is_super(facts), facts.is_super) {
            (true, _) => "SUPERUSER",
            (false, true) => "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS",
            (false, false) => "",
        }
    }

    /// Settings that not every platform has, or that the control user may not make.
    fn attempts(&self) -> Vec<String> {
        let role = self.name.quoted();
        let mut attempts = Vec::new();
        if !self.spec.effects.all {
            // A back end then notices a lost client while its statement runs.
            attempts.push(format!("ALTER ROLE {role} SET client_connection_check_interval = '2s'"));
        }
        if let Some(bytes) = self.spec.bounds.budgets.temporary_bytes {
            let kilobytes = bytes.div_ceil(1_024).clamp(1, 2_147_483_647);
            attempts.push(format!("ALTER ROLE {role} SET temp_file_limit = {kilobytes}"));
        }
        let attempt = |set| format!("DO $belay$ BEGIN {set}; EXCEPTION WHEN OTHERS THEN NULL; END $belay$");
        attempts.into_iter().map(attempt).collect()
    }

    fn attributes(&self, until: &str, with_password: bool) -> String {
        let until = escape_literal(until);
        let inherit = if self.spec.effects.all { "INHERIT" } else { "NOINHERIT" };
        let mut text = format!("LOGIN {inherit} CONNECTION LIMIT {} VALID UNTIL {until}", self.limit());
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
            control_is_super: flag(7)?,
            is_super: flag(8)?,
            owns: flag(9)?,
            memberships: row.try_get::<_, Option<Vec<String>>>(10)?.unwrap_or_default(),
        })
    }
}

/// The names of all roles with a prefix, and of all schemas of filter views.
pub(super) struct ListRoles<'a> {
    pub(super) prefix: &'a str,
}

impl Act for ListRoles<'_> {
    type Done = Vec<String>;

    async fn act(&self, client: &mut Client) -> Result<Vec<String>, Fault> {
        let sql = "SELECT rolname::text FROM pg_roles WHERE starts_with(rolname::text, $1)
            UNION SELECT nspname::text FROM pg_namespace WHERE starts_with(nspname::text, $1)
                AND pg_get_userbyid(nspowner) = current_user ORDER BY 1 LIMIT 100000";
        let rows = client.query_typed(sql, &[(&self.prefix, Type::TEXT)]).await?;
        Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
    }
}
