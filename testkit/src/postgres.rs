//! A PostgreSQL server in a temporary folder, on 127.0.0.1 and a unix socket.
//!
//! It does not survive the process that started it, however that ends. Its superuser's password is random and
//! checked by SCRAM both ways, so a connection that opens can only be to this server.

mod cluster;

use crate::Certificates;
use cluster::Cluster;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, Error, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

const CONNECT: Duration = Duration::from_secs(10);

/// How a server is to be started.
#[derive(Clone, Default)]
pub struct Builder {
    settings: Vec<(String, String)>,
    hba: Vec<String>,
    plain: bool,
    bin: Option<PathBuf>,
}

impl Builder {
    /// Adds a line to `postgresql.conf`; the last one of a name counts.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Builder {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Puts a line before those of `pg_hba.conf`, which ask for SCRAM from everybody.
    #[must_use]
    pub fn hba(mut self, line: &str) -> Builder {
        self.hba.push(line.to_owned());
        self
    }

    /// Starts without TLS.
    #[must_use]
    pub fn without_tls(mut self) -> Builder {
        self.plain = true;
        self
    }

    /// Takes the programs of this folder instead of `$BELAY_PG_BIN` or Debian's newest.
    #[must_use]
    pub fn bin(mut self, bin: impl Into<PathBuf>) -> Builder {
        self.bin = Some(bin.into());
        self
    }

    /// Starts the server and waits until it takes connections.
    pub fn start(self) -> Postgres {
        let certificates = Certificates::for_names(&["localhost", "127.0.0.1"]);
        Postgres { cluster: Cluster::start(&self, &certificates), certificates, tls: !self.plain }
    }
}

/// A running server. Dropping it stops it and removes its folder.
pub struct Postgres {
    cluster: Cluster,
    certificates: Certificates,
    tls: bool,
}

impl Postgres {
    /// Starts a server with TLS and SCRAM, and with `fsync` off.
    pub fn start() -> Postgres {
        Builder::default().start()
    }

    /// Starts with other settings.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The address it listens on.
    pub fn host(&self) -> &'static str {
        "127.0.0.1"
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.cluster.port
    }

    /// The folder of its unix socket.
    pub fn socket_dir(&self) -> &Path {
        self.cluster.folder.path()
    }

    /// The superuser.
    pub fn superuser(&self) -> &'static str {
        "postgres"
    }

    /// The superuser's password.
    pub fn password(&self) -> &str {
        &self.cluster.password
    }

    /// Certificates of the server, and the authority they hang on.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// The authority's certificate as a file, for `sslrootcert`.
    pub fn ca_file(&self) -> PathBuf {
        self.cluster.folder.path().join("ca.pem")
    }

    /// The server's major version.
    pub fn major(&self) -> u32 {
        self.cluster.major
    }

    /// The folder of its programs, for `psql`, `pgbench` and `pg_dump`.
    pub fn bin(&self) -> &Path {
        &self.cluster.bin
    }

    /// What the server logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.cluster.folder.path().join("log")).unwrap_or_default()
    }

    /// The server's own folder, `data_directory`.
    pub fn data_dir(&self) -> PathBuf {
        self.cluster.folder.path().join("data")
    }

    /// URL of the superuser and the database `postgres`.
    pub fn superuser_url(&self) -> String {
        self.url(self.superuser(), self.password(), "postgres")
    }

    /// URL for these; nothing in them is escaped.
    pub fn url(&self, user: &str, password: &str, database: &str) -> String {
        let mode = if self.tls { "require" } else { "disable" };
        format!("postgres://{user}:{password}@{}:{}/{database}?sslmode={mode}", self.host(), self.port())
    }

    /// `psql` as the superuser, without a start-up file, stopping at the first error.
    pub fn psql(&self, database: &str) -> Command {
        let mut command = Command::new(self.bin().join("psql"));
        command.args(["-X", "-v", "ON_ERROR_STOP=1", "-h", self.host(), "-U", self.superuser(), "-d", database]);
        command.arg("-p").arg(self.port().to_string()).env("PGPASSWORD", self.password());
        command
    }

    /// A connection of the superuser to the database `postgres`.
    pub async fn client(&self) -> Client {
        self.client_in("postgres").await
    }

    /// A connection of the superuser to another database.
    pub async fn client_in(&self, database: &str) -> Client {
        self.login(self.superuser(), self.password(), database).await.expect("superuser logs in")
    }

    /// A connection of anybody: over TLS if the server has it, and with the authority checked.
    pub async fn login(&self, user: &str, password: &str, database: &str) -> Result<Client, Error> {
        let mut config = Config::new();
        config.host(self.host()).port(self.port()).user(user).password(password).dbname(database);
        config.connect_timeout(CONNECT).ssl_mode(if self.tls { SslMode::Require } else { SslMode::Disable });
        if !self.tls {
            let (client, connection) = config.connect(NoTls).await?;
            tokio::spawn(connection);
            return Ok(client);
        }
        let connector = MakeRustlsConnect::new(self.certificates.client_config());
        let (client, connection) = config.connect(connector).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Lets a user in from this machine without a password, from now on.
    pub async fn trust(&self, user: &str) {
        self.cluster.put_first(&format!("host all \"{user}\" 127.0.0.1/32 trust"));
        self.execute("postgres", "SELECT pg_reload_conf()").await;
        let rule = format!(
            "SELECT count(*) FROM pg_hba_file_rules WHERE auth_method = 'trust' AND '{user}' = ANY (user_name)"
        );
        assert_ne!(self.scalar("postgres", &rule).await, "0", "`{user}` is not trusted");
    }

    /// Runs these statements as the superuser. Panics when one fails.
    pub async fn execute(&self, database: &str, sql: &str) {
        self.client_in(database).await.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// The first column of the first row, as text; empty for NULL and for no row.
    pub async fn scalar(&self, database: &str, sql: &str) -> String {
        let client = self.client_in(database).await;
        let messages = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let row = messages.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
            _ => None,
        });
        row.unwrap_or_default()
    }
}
