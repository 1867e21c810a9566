//! Dropping a role whose back ends are gone.

use super::back_end::end_all;
use super::fault::Fault;
use super::pool::{Act, Lane, Pool};
use super::role::LOCK;
use super::role_name::RoleName;
use belay_engine::ControlError;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Transaction};

/// Takes away what the role has in each database, then the role itself.
pub(super) struct DropRole<'a> {
    pub(super) name: &'a RoleName,
    pub(super) oid: u32,
    pub(super) home: &'a str,
}

impl DropRole<'_> {
    /// Idempotent: what is gone already is fine.
    pub(super) async fn run(&self, pool: &Pool) -> Result<(), ControlError> {
        let mut databases: BTreeSet<String> =
            pool.perform(Lane::Dropping, self.home, &Databases { role: self.oid }).await?.into_iter().collect();
        // Privileges on the databases themselves can be taken away in any of them.
        databases.insert(self.home.to_owned());
        for database in &databases {
            pool.perform(Lane::Dropping, database, &Strip { role: self }).await?;
        }
        pool.perform(Lane::Dropping, self.home, &Drop { role: self }).await
    }
}

/// The databases where the role owns something or has privileges.
struct Databases {
    role: u32,
}

impl Act for Databases {
    type Done = Vec<String>;

    async fn act(&self, client: &mut Client) -> Result<Vec<String>, Fault> {
        let sql = "SELECT DISTINCT b.datname::text FROM pg_shdepend d JOIN pg_database b ON b.oid = d.dbid
            WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = $1 AND b.datallowconn LIMIT 1000";
        let rows = client.query_typed(sql, &[(&self.role, Type::OID)]).await?;
        Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
    }
}

/// Takes away everything of the role in one database. What it owns is kept, for the control user: nothing of a
/// person's work is dropped with a role.
struct Strip<'a> {
    role: &'a DropRole<'a>,
}

impl Act for Strip<'_> {
    type Done = ();
    const LIMIT: Duration = Duration::from_secs(20);

    async fn act(&self, client: &mut Client) -> Result<(), Fault> {
        let role = self.role.name.quoted();
        let transaction = client.transaction().await?;
        transaction.batch_execute(LOCK).await?;
        let sql = "SELECT pg_has_role(r.oid, 'USAGE'), EXISTS (SELECT FROM pg_shdepend d
                WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = r.oid AND d.deptype = 'o')
            FROM pg_roles r WHERE r.rolname = $1";
        drop_schema(&transaction, self.role.name).await?;
        let Some(row) = transaction.query_typed_opt(sql, &[(&self.role.name.plain(), Type::NAME)]).await? else {
            transaction.commit().await?;
            return Ok(());
        };
        if !row.try_get::<_, bool>(0)? {
            transaction.batch_execute(&format!("GRANT {role} TO CURRENT_USER")).await?;
        }
        if row.try_get(1)? {
            transaction.batch_execute(&format!("REASSIGN OWNED BY {role} TO CURRENT_USER")).await?;
        }
        transaction.batch_execute(&format!("DROP OWNED BY {role}")).await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// The schema of the role's filter views, where there is one.
async fn drop_schema(transaction: &Transaction<'_>, role: &RoleName) -> Result<(), Fault> {
    let sql = "SELECT FROM pg_namespace WHERE nspname = $1 AND pg_get_userbyid(nspowner) = current_user";
    if transaction.query_typed_opt(sql, &[(&role.plain(), Type::NAME)]).await?.is_some() {
        transaction.batch_execute(&format!("DROP SCHEMA {} CASCADE", role.quoted())).await?;
    }
    Ok(())
}

/// Drops what a role that is gone has left in its target's own database.
pub(super) struct DropLeftovers<'a> {
    pub(super) name: &'a RoleName,
}

impl Act for DropLeftovers<'_> {
    type Done = ();

    async fn act(&self, client: &mut Client) -> Result<(), Fault> {
        let transaction = client.transaction().await?;
        drop_schema(&transaction, self.name).await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// Drops the role. A back end whose login was let in just before the role was closed is met here at the latest.
struct Drop<'a> {
    role: &'a DropRole<'a>,
}

impl Act for Drop<'_> {
    type Done = ();
    const LIMIT: Duration = Duration::from_secs(20);

    async fn act(&self, client: &mut Client) -> Result<(), Fault> {
        end_all(client, self.role.oid, false).await?;
        client.batch_execute(&format!("DROP ROLE IF EXISTS {}", self.role.name.quoted())).await?;
        Ok(())
    }
}
