//! Opening control connections.

use super::fault::{Fault, late, other};
use crate::capture::armed::SETTING as ARMED_SETTING;
use crate::target_tls::TargetTls;
use belay_engine::{ControlError, TargetAccess};
use std::time::Duration;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

const CONNECT: Duration = Duration::from_secs(5);
const KEEPALIVE: Duration = Duration::from_secs(30);
const UNANSWERED: Duration = Duration::from_secs(10);

/// Made anew on every connection, so that neither the control user's own settings nor a proxy on the way matter.
/// With this search path, names in our statements cannot be caught by objects of others.
const SESSION: &str = "SET search_path = pg_catalog, pg_temp; SET statement_timeout = '6s'; SET lock_timeout = '2s'; \
     SET idle_in_transaction_session_timeout = '10s'; SET default_transaction_read_only = off; \
     SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET jit = off";

/// Opens connections to one target in the name of its control user.
pub(super) struct Dialer {
    config: Config,
    tls: TargetTls,
}

impl Dialer {
    /// Fails where the TLS settings cannot work.
    pub(super) fn new(access: &TargetAccess) -> Result<Dialer, ControlError> {
        let target = &access.target;
        let tls = TargetTls::of(target).map_err(|error| other(error.to_string()))?;
        let mut config = Config::new();
        if TargetTls::is_socket(target) {
            config.host_path(&target.host)
        } else {
            config.host(&target.host)
        };
        config.port(target.port).user(&target.user).application_name("belay-control").connect_timeout(CONNECT);
        if !access.password.is_empty() {
            config.password(access.password.as_bytes());
        }
        config.keepalives_idle(KEEPALIVE).tcp_user_timeout(UNANSWERED);
        config.ssl_mode(if matches!(tls, TargetTls::Off) { SslMode::Disable } else { SslMode::Require });
        Ok(Dialer { config, tls })
    }

    /// A connection of the control user.
    pub(super) async fn dial(&self, database: &str) -> Result<Client, Fault> {
        let mut config = self.config.clone();
        config.dbname(database);
        self.open(config).await
    }

    /// A connection of a grant's role, whose changes triggers of armed tables write down.
    pub(super) async fn dial_as(&self, user: &str, password: &str, database: &str) -> Result<Client, Fault> {
        let mut config = self.config.clone();
        config.user(user).password(password).dbname(database);
        let (setting, value) = ARMED_SETTING;
        config.options(format!("-c {setting}={value}"));
        self.open(config).await
    }

    async fn open(&self, config: Config) -> Result<Client, Fault> {
        tokio::time::timeout(CONNECT, self.connect(config)).await.map_err(|_| late(CONNECT))?
    }

    async fn connect(&self, config: Config) -> Result<Client, Fault> {
        let client = match &self.tls {
            TargetTls::Off => {
                let (client, connection) = config.connect(NoTls).await?;
                tokio::spawn(connection);
                client
            }
            TargetTls::On { config: tls, .. } => {
                let (client, connection) = config.connect(MakeRustlsConnect::new(tls.as_ref().clone())).await?;
                tokio::spawn(connection);
                client
            }
        };
        client.batch_execute(SESSION).await?;
        Ok(client)
    }
}
