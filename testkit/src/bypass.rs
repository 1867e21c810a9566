//! Each of the two layers switched off in turn: what is left is the other layer alone.
//!
//! A test of what a gateway and a role hold back together says little of either. The proxies here do not judge
//! anything and do not look at a single statement: they rewrite the start-up packet, and pass on every byte after it.

mod proxy;
mod startup;

use crate::Postgres;
use proxy::{Door, Proxy};
use std::sync::Arc;

/// Roles that a gateway makes for its grants start so.
const GRANT_ROLES: &str = "belay_";
/// Who the connections of a grant are when its role is switched off.
const UNGUARDED: &str = "unguarded";
const READ_ONLY: &str = "default_transaction_read_only";

/// A running proxy with one layer switched off. Dropping it closes its port; connections end with their ends.
pub struct Bypass {
    proxy: Proxy,
}

impl Bypass {
    /// The database layer off: stands between a gateway and the server. The grant's role logs in as a superuser
    /// without the read-only default, and the gateway is told that all is as it asked for. Whoever else logs in, as
    /// the control user does, is passed on as they are.
    pub async fn of_the_database(postgres: &Postgres) -> Bypass {
        let role = format!("CREATE ROLE {UNGUARDED} LOGIN SUPERUSER");
        postgres.execute("postgres", &role).await;
        postgres.trust(UNGUARDED).await;
        Bypass { proxy: Proxy::start(postgres.port(), Door::Unguarded).await }
    }

    /// The gateway layer off: every connection goes to the server as the grant's `role`. Before each one `prepare`
    /// runs, in which the caller has the gateway put the role's privileges right; where it fails, so does the
    /// connection.
    pub async fn of_the_gateway(postgres: &Postgres, role: &str, prepare: Prepare) -> Bypass {
        assert!(role.starts_with(GRANT_ROLES), "`{role}` is no grant's role");
        postgres.trust(role).await;
        Bypass { proxy: Proxy::start(postgres.port(), Door::AsRole { role: role.to_owned(), prepare }).await }
    }

    /// The port on 127.0.0.1 to connect to, without TLS.
    pub fn port(&self) -> u16 {
        self.proxy.port()
    }
}

/// What is done before each connection; an error's text is what the client reads.
pub type Prepare = Arc<dyn Fn() -> std::pin::Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;
