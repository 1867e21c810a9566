//! The second connection: a superuser beside the gateway, who sees what is really so.

use crate::Broken;
use std::time::{Duration, Instant};
use testkit::Postgres;
use tokio_postgres::{Client, SimpleQueryMessage};

const PAUSE: Duration = Duration::from_millis(5);

/// Everything a statement could have changed: the rows of all tables, and what there is in the database.
const DIGEST: &str = "SELECT md5(concat_ws(E'\\n',
    (SELECT string_agg(t::text, ';' ORDER BY id) FROM public.customers t),
    (SELECT string_agg(t::text, ';' ORDER BY id) FROM public.orders t),
    (SELECT string_agg(t::text, ';' ORDER BY id) FROM public.items t),
    (SELECT string_agg(t::text, ';' ORDER BY id) FROM hr.salaries t),
    (SELECT string_agg(format('%s %s %s %s', relname, relnamespace, relkind, relacl), ';' ORDER BY oid) FROM pg_class WHERE relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname LIKE 'pg\\_%')),
    (SELECT string_agg(format('%s %s', proname, proacl), ';' ORDER BY oid) FROM pg_proc WHERE oid >= 16384),
    (SELECT string_agg(format('%s %s', setdatabase, setconfig), ';' ORDER BY 1, setrole) FROM pg_db_role_setting WHERE setrole = 0),
    (SELECT string_agg(format('%s %s', sequencename, last_value), ';' ORDER BY 1) FROM pg_sequences)))";

/// Every row of every table. Grants come and go with the roles that they are for.
const ROWS: &str = "SELECT md5(concat_ws(E'\\n',
    (SELECT string_agg(t::text, ';' ORDER BY id) FROM public.customers t),
    (SELECT string_agg(t::text, ';' ORDER BY id) FROM public.orders t),
    (SELECT string_agg(t::text, ';' ORDER BY id) FROM public.items t),
    (SELECT string_agg(t::text, ';' ORDER BY id) FROM hr.salaries t)))";

/// A superuser's connection to `orders`.
pub(crate) struct Direct {
    client: Client,
}

impl Direct {
    /// Connects beside the gateway.
    pub(crate) async fn connect(postgres: &Postgres) -> Direct {
        Direct { client: postgres.client_in("orders").await }
    }

    /// Runs this; anything but success stops the walk.
    pub(crate) async fn execute(&self, sql: &str) -> Result<(), Broken> {
        self.client.batch_execute(sql).await.map_err(|error| format!("directly: {sql}: {error:?}"))
    }

    /// The first column of the first row.
    pub(crate) async fn value(&self, sql: &str) -> Result<String, Broken> {
        let rows = self.client.simple_query(sql).await.map_err(|error| format!("directly: {sql}: {error:?}"))?;
        let first = rows.iter().find_map(|row| match row {
            SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
            _ => None,
        });
        Ok(first.unwrap_or_default())
    }

    /// The SQLSTATE that this fails with, when it does.
    pub(crate) async fn sqlstate(&self, sql: &str) -> Option<String> {
        let failed = self.client.batch_execute(sql).await.err()?;
        Some(failed.code().map_or_else(|| failed.to_string(), |code| code.code().to_owned()))
    }

    /// What all that could be changed is like now.
    pub(crate) async fn digest(&self) -> Result<String, Broken> {
        self.value(DIGEST).await
    }

    /// The checksum of all rows.
    pub(crate) async fn rows(&self) -> Result<String, Broken> {
        self.value(ROWS).await
    }

    /// The role in the database that belongs to a grant, `g_2`.
    pub(crate) async fn role_of(&self, grant: &str) -> Result<String, Broken> {
        let sql = format!("SELECT rolname FROM pg_roles WHERE rolname LIKE '{}'", roles_like(grant));
        match self.value(&sql).await? {
            role if role.is_empty() => Err(format!("directly: no role of {grant}")),
            role => Ok(role),
        }
    }

    /// Back ends and roles of all grants together: `0 back ends, 0 roles`.
    pub(crate) async fn left_behind(&self) -> Result<String, Broken> {
        self.value(
            "SELECT format('%s back ends, %s roles',
                (SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'belay\\_%'),
                (SELECT count(*) FROM pg_roles WHERE rolname LIKE 'belay\\_%'))",
        )
        .await
    }

    /// Waits until a query answers this; the time it took, or none after `patience`.
    pub(crate) async fn until(&self, sql: &str, answer: &str, patience: Duration) -> Result<Option<Duration>, Broken> {
        let start = Instant::now();
        while start.elapsed() < patience {
            if self.value(sql).await? == answer {
                return Ok(Some(start.elapsed()));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(None)
    }
}

/// The pattern that the role of a grant fits.
pub(crate) fn roles_like(grant: &str) -> String {
    format!("belay\\_%\\_{}", grant.replace('_', "\\_"))
}
