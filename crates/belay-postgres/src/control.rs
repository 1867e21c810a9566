//! Belay's own hand in a PostgreSQL target: a role per grant, the end of back ends, the checks.
//!
//! Nothing here decides who may do what, and no statement of a client passes through here. It works with a control
//! user that is no superuser: that user makes the roles, is a member of each role it made, and so may end their
//! back ends and see them, but nobody else's.

mod arm;
mod back_end;
mod catalog;
mod changes;
mod check;
mod connect;
mod drop_role;
mod fault;
mod feasible;
mod password;
mod pool;
mod predicate;
mod privileges;
mod role;
mod role_name;
mod row_filter;
mod running;
mod scope;
mod search_path;
mod setup;
mod suspects;
mod trash;

pub use setup::setup_sql;

use crate::catalog::keep::Catalogs;
use arm::{Arm, Disarm, ListArmed};
use back_end::{EndBackEnd, EndBackEnds};
use belay_engine::{
    ArmedTable, Arming, BoxFuture, Changes, Control, ControlError, Feasibility, Report, RoleSpec, Suspect, TargetAccess,
};
use belay_model::Target;
use check::{Facts, LoginTrial};
use drop_role::{DropLeftovers, DropRole};
use fault::other;
use feasible::Feasible;
use password::Passwords;
use pool::{Lane, Pool};
use role::{EnsureRole, ListRoles};
use role_name::RoleName;
use running::{CancelBackEnd, LockWait};
use std::sync::Arc;
use std::time::Duration;
use suspects::Suspects;

/// The control side of one target.
pub struct PgControl {
    target: Target,
    pool: Result<Arc<Pool>, ControlError>,
    catalogs: Arc<Catalogs>,
    passwords: Passwords,
}

impl PgControl {
    /// For this target. Connects at the first use; a TLS setting that cannot work is told there too.
    pub fn new(access: &TargetAccess) -> PgControl {
        PgControl::with_catalogs(access, Arc::default())
    }

    /// For this target; the catalogs of its databases are kept fresh there.
    pub(crate) fn with_catalogs(access: &TargetAccess, catalogs: Arc<Catalogs>) -> PgControl {
        let pool = Pool::new(access).map(Arc::new);
        PgControl { target: access.target.clone(), pool, catalogs, passwords: Passwords::default() }
    }

    fn pool(&self) -> Result<&Arc<Pool>, ControlError> {
        self.pool.as_ref().map_err(Clone::clone)
    }

    async fn make_role(&self, spec: &RoleSpec) -> Result<Arc<str>, ControlError> {
        let name = RoleName::checked(&spec.name)?;
        let password = self.passwords.of(&spec.name)?;
        let act = EnsureRole { spec, name: &name, home: &self.target.database, password: &password };
        self.pool()?.perform(Lane::Ordinary, &spec.database, &act).await?;
        password.mark_set();
        // Nothing is judged by the catalog where everything may be done.
        if !spec.effects.all {
            // Afterwards, since a role may bring views and policies of its own.
            let pool = Arc::clone(self.pool()?);
            self.catalogs.freshen(&self.target, &spec.database, pool).await?;
        }
        Ok(password.reveal())
    }

    async fn end(&self, role: &str) -> Result<u32, ControlError> {
        let name = RoleName::checked(role)?;
        let pool = self.pool()?;
        self.passwords.forget(role);
        let act = EndBackEnds { role: &name, bar_login: true };
        let Some(ended) = pool.perform(Lane::Ending, &self.target.database, &act).await? else {
            pool.perform(Lane::Dropping, &self.target.database, &DropLeftovers { name: &name }).await?;
            return Ok(0);
        };
        DropRole { name: &name, oid: ended.oid, home: &self.target.database }.run(pool).await.map_err(|error| {
            let message =
                format!("role `{role}` can no longer log in and has no back ends, but stays: {}", error.message);
            ControlError { failure: error.failure, message }
        })?;
        Ok(ended.count)
    }

    async fn report(&self) -> Result<Report, ControlError> {
        let facts = self.pool()?.perform(Lane::Ordinary, &self.target.database, &Facts).await?;
        let armed = self.armed().await?;
        let trial = LoginTrial::run(self).await;
        Ok(check::report(&self.target, &facts, &armed, &trial))
    }
}

impl Control for PgControl {
    fn changes(&self) -> &dyn Changes {
        self
    }

    fn feasible<'a>(&'a self, spec: &'a RoleSpec) -> BoxFuture<'a, Result<Feasibility, ControlError>> {
        Box::pin(async move {
            let act = Feasible { spec, home: &self.target.database };
            self.pool()?.perform(Lane::Ordinary, &spec.database, &act).await
        })
    }

    fn sensitive_columns(&self) -> BoxFuture<'_, Result<Vec<Suspect>, ControlError>> {
        Box::pin(async move { self.pool()?.perform(Lane::Ordinary, &self.target.database, &Suspects).await })
    }

    fn ensure_role<'a>(&'a self, spec: &'a RoleSpec) -> BoxFuture<'a, Result<Arc<str>, ControlError>> {
        Box::pin(self.make_role(spec))
    }

    fn end_role<'a>(&'a self, role: &'a str) -> BoxFuture<'a, Result<u32, ControlError>> {
        Box::pin(self.end(role))
    }

    fn end_backends<'a>(&'a self, role: &'a str) -> BoxFuture<'a, Result<u32, ControlError>> {
        Box::pin(async move {
            let act = EndBackEnds { role: &RoleName::checked(role)?, bar_login: false };
            let ended = self.pool()?.perform(Lane::Ending, &self.target.database, &act).await?;
            Ok(ended.map_or(0, |ended| ended.count))
        })
    }

    fn end_backend<'a>(&'a self, role: &'a str, backend: i32) -> BoxFuture<'a, Result<(), ControlError>> {
        Box::pin(async move {
            let act = EndBackEnd { role: &RoleName::checked(role)?, pid: backend };
            self.pool()?.perform(Lane::Ending, &self.target.database, &act).await
        })
    }

    fn cancel_backend<'a>(&'a self, role: &'a str, backend: i32) -> BoxFuture<'a, Result<(), ControlError>> {
        Box::pin(async move {
            let act = CancelBackEnd { role: &RoleName::checked(role)?, pid: backend };
            self.pool()?.perform(Lane::Ending, &self.target.database, &act).await
        })
    }

    fn lock_wait<'a>(&'a self, role: &'a str, backend: i32) -> BoxFuture<'a, Result<Option<Duration>, ControlError>> {
        Box::pin(async move {
            let act = LockWait { role: &RoleName::checked(role)?, pid: backend };
            self.pool()?.perform(Lane::Ordinary, &self.target.database, &act).await
        })
    }

    fn roles<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, ControlError>> {
        Box::pin(async move {
            if prefix.is_empty() {
                return Err(other("a prefix is needed to list roles"));
            }
            self.pool()?.perform(Lane::Ordinary, &self.target.database, &ListRoles { prefix }).await
        })
    }

    fn arm<'a>(&'a self, schema: &'a str, table: &'a str) -> BoxFuture<'a, Result<Arming, ControlError>> {
        Box::pin(async move {
            let act = Arm { schema, table };
            self.pool()?.perform(Lane::Ordinary, &self.target.database, &act).await
        })
    }

    fn disarm<'a>(&'a self, schema: &'a str, table: &'a str) -> BoxFuture<'a, Result<Arming, ControlError>> {
        Box::pin(async move {
            let act = Disarm { schema, table };
            self.pool()?.perform(Lane::Ordinary, &self.target.database, &act).await
        })
    }

    fn armed(&self) -> BoxFuture<'_, Result<Vec<ArmedTable>, ControlError>> {
        Box::pin(async move { self.pool()?.perform(Lane::Ordinary, &self.target.database, &ListArmed).await })
    }

    fn check(&self) -> BoxFuture<'_, Result<Report, ControlError>> {
        Box::pin(self.report())
    }
}
