//! The gateway as people run it: the real program, with people, a target and rules made through its command line.
//!
//! The program is built by `cargo build -p belay-cli` once a test process, into the folder this test was built into;
//! `BELAY_BIN` names one that is there already. It does not survive the process that started it.

mod process;

use crate::{Postgres, SAMPLE_DATABASE};
use process::Process;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;
use tokio_postgres::config::{ChannelBinding, SslMode};
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

const CONNECT: Duration = Duration::from_secs(20);
/// Beside the administrator, who is there from the start: see [`Belay::start`].
const PEOPLE: [(&str, &[&str]); 4] = [
    ("alice", &["--role", "requester"]),
    ("bob", &["--role", "approver"]),
    ("carol", &["--role", "approver", "--role", "requester"]),
    ("dave", &["--role", "requester", "--role", "break_glass", "--group", "pairs"]),
];

/// A running gateway in front of one server. Dropping it stops it and removes its folder.
pub struct Belay {
    process: Process,
    ca: String,
}

/// What a native client logs in with.
#[derive(Clone)]
pub struct Ticket {
    /// The grant.
    pub grant: String,
    /// The user, with the grant named.
    pub user: String,
    /// The password.
    pub secret: String,
}

/// How a command ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Its exit code; -1 where a signal ended it.
    pub code: i32,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Outcome {
    /// Runs the command to its end, without standard input.
    pub fn of(command: &mut Command) -> Outcome {
        let output = command.stdin(Stdio::null()).output();
        output.unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display())).into()
    }

    /// Panics unless the command succeeded.
    #[allow(clippy::return_self_not_must_use, reason = "most callers want the check alone")]
    pub fn ok(self) -> Outcome {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self
    }

    /// Its standard output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Outcome {
        Outcome {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Belay {
    /// Starts a gateway with `admin` (administrator), `alice` (requester), `bob` and `carol` (approvers), `dave` (may
    /// break the glass), and the target `orders`. Requests of `dave`'s group `pairs` need two approvals; others one,
    /// and their grants may be extended.
    pub fn start(postgres: &Postgres) -> Belay {
        Belay::start_with(postgres, "")
    }

    /// The same with more lines in the configuration file.
    pub fn start_with(postgres: &Postgres, configuration: &str) -> Belay {
        let belay = Belay::start_empty(configuration);
        belay.set_up(postgres);
        belay
    }

    /// A gateway without people, targets and rules; only its administrator is logged in.
    pub fn start_empty(configuration: &str) -> Belay {
        Belay::of(Process::start(binary(), configuration, None))
    }

    /// The same as [`Belay::start_with`] with a file system for the ledger, of so many megabytes. `None` where this
    /// machine lets nobody mount one. It does not outlive the process.
    pub fn start_on_a_disk(postgres: &Postgres, configuration: &str, megabytes: u32) -> Option<Belay> {
        let may = Command::new("unshare").args(["--user", "--map-root-user", "--mount", "true"]).status();
        may.is_ok_and(|may| may.success()).then(|| {
            let belay = Belay::of(Process::start(binary(), configuration, Some(megabytes)));
            belay.set_up(postgres);
            belay
        })
    }

    /// Runs a shell script where the gateway's file systems are; `$0` is the ledger's.
    pub fn on_its_disk(&self, script: &str) -> Outcome {
        let mut enter = Command::new("nsenter");
        enter.args(["--user", "--mount", "--preserve-credentials", "--target", &self.pid().to_string()]);
        Outcome::of(enter.args(["sh", "-c", script]).arg(self.data_dir().join("ledger")))
    }

    fn of(process: Process) -> Belay {
        let ca = fs::read_to_string(process.data_dir().join("ca.pem")).expect("ca.pem");
        let belay = Belay { process, ca };
        belay.run("admin", &["login", "--local", &belay.data_dir().display().to_string()]).ok();
        belay
    }

    fn set_up(&self, postgres: &Postgres) {
        for (name, roles) in PEOPLE {
            self.add_person(name, roles);
        }
        let url = format!(
            "postgres://{}@{}:{}/{SAMPLE_DATABASE}?sslmode=verify-full",
            postgres.superuser(),
            postgres.host(),
            postgres.port()
        );
        let password = self.file("target.password", postgres.password());
        let ca = postgres.ca_file().display().to_string();
        self.run("admin", &["target", "add", "orders", &url, "--password-file", &password, "--ca", &ca]).ok();
        self.run("admin", &["rule", "add", "--group", "pairs", "--max", "2h", "--approvals", "2"]).ok();
        self.run("admin", &["rule", "add", "--max", "2h", "--approvals", "1", "--extendable"]).ok();
    }

    /// Makes a person and logs them in, with a home of their own.
    pub fn add_person(&self, name: &str, words: &[&str]) {
        let token = self.path(&format!("{name}.token")).display().to_string();
        let add = ["user", "add", name, "--token-file", &token];
        self.run("admin", &[&add[..], words].concat()).ok();
        let ca = self.ca_file().display().to_string();
        self.run(name, &["login", &self.api_url(), "--ca", &ca, "--token-file", &token]).ok();
    }

    /// The `belay` command of a person; `admin` is the administrator.
    pub fn command(&self, person: &str) -> Command {
        let mut command = Command::new(binary());
        command.env("BELAY_HOME", self.home(person)).env_remove("BELAY_CONFIG").arg("--no-input");
        command
    }

    /// Runs the `belay` command of a person.
    pub fn run(&self, person: &str, words: &[&str]) -> Outcome {
        Outcome::of(self.command(person).args(words))
    }

    /// The same with JSON as its output. Panics when it fails.
    pub fn json(&self, person: &str, words: &[&str]) -> Value {
        Outcome::of(self.command(person).args(["-o", "json"]).args(words)).ok().json()
    }

    /// `alice` asks for `resources` of `orders` for `span`, `bob` approves, and the token is claimed.
    pub fn grant(&self, resources: &[&str], span: &str) -> Ticket {
        let ask = ["request", "orders", "--for", span, "-m", "a test"];
        let request = self.json("alice", &[&ask[..], resources].concat());
        let approved = self.json("bob", &["approve", text(&request, "id")]);
        self.claim("alice", text(&approved["grant"], "id"))
    }

    /// Claims the token of a person's grant.
    pub fn claim(&self, person: &str, grant: &str) -> Ticket {
        let token = self.json(person, &["grants", "token", grant]);
        let user = format!("{person}+{grant}");
        Ticket { grant: grant.to_owned(), user, secret: text(&token, "secret").to_owned() }
    }

    /// An HTTP client of the API that trusts the gateway's authority and nothing else.
    pub fn http(&self) -> reqwest::Client {
        // Of this process; an error says that it has one already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let authority = reqwest::Certificate::from_pem(self.ca.as_bytes()).expect("a certificate");
        reqwest::Client::builder().tls_certs_only([authority]).no_proxy().build().expect("an HTTP client")
    }

    /// A POST to the API as a logged-in person, without a body; the answer as JSON. Panics when it is refused.
    pub async fn post(&self, http: &reqwest::Client, person: &str, path: &str) -> Value {
        let login = fs::read_to_string(self.home(person).join("login.toml")).expect("a login");
        let token = login.lines().find_map(|line| line.strip_prefix("token = \"")?.strip_suffix('"')).expect("a token");
        let sent = http.post(format!("{}/v1/{path}", self.api_url())).bearer_auth(token).send().await;
        let answer = sent.and_then(reqwest::Response::error_for_status).expect("a granted request");
        serde_json::from_slice(&answer.bytes().await.expect("an answer")).expect("JSON")
    }

    /// The environment by which libpq's programs reach `database` through the gateway.
    pub fn libpq<'a>(&self, command: &'a mut Command, ticket: &Ticket, database: &str) -> &'a mut Command {
        command.env("PGHOST", "localhost").env("PGHOSTADDR", "127.0.0.1").env("PGPORT", self.port().to_string());
        command.env("PGUSER", &ticket.user).env("PGPASSWORD", &ticket.secret).env("PGDATABASE", database);
        command.env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", self.ca_file())
    }

    /// A driver's configuration for `database` through the gateway.
    pub fn config(&self, ticket: &Ticket, database: &str) -> Config {
        let mut config = Config::new();
        config.host("localhost").hostaddr([127, 0, 0, 1].into()).port(self.port());
        config.user(&ticket.user).password(&ticket.secret).dbname(database);
        config.ssl_mode(SslMode::Require).channel_binding(ChannelBinding::Prefer).connect_timeout(CONNECT);
        config
    }

    /// The TLS of a driver: it trusts the gateway's authority and nothing else.
    pub fn tls(&self) -> MakeRustlsConnect {
        MakeRustlsConnect::new(crate::certificate::trusting(&self.ca))
    }

    /// A driver's connection through the gateway.
    pub async fn connect(&self, ticket: &Ticket, database: &str) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = self.config(ticket, database).connect(self.tls()).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Stops it without a word, as a power cut does.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Starts it again in the same folder. Panics if it is running.
    pub fn restart(&self) {
        self.process.launch();
    }

    /// Starts it and kills it after so long, wherever its start is by then.
    pub fn restart_and_kill(&self, after: Duration) {
        self.process.launch_and_kill(after);
    }

    /// Stops it in good order, and returns its exit code.
    pub fn stop(&self) -> i32 {
        self.process.stop()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The port for PostgreSQL clients, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.process.ports[0]
    }

    /// The address of the API.
    pub fn api_url(&self) -> String {
        format!("https://localhost:{}", self.process.ports[1])
    }

    /// The address of `/livez`, `/readyz` and `/metrics`.
    pub fn admin_url(&self) -> String {
        format!("https://localhost:{}", self.process.ports[2])
    }

    /// The authority's certificate, for `sslrootcert`.
    pub fn ca_file(&self) -> PathBuf {
        self.data_dir().join("ca.pem")
    }

    /// Its data.
    pub fn data_dir(&self) -> PathBuf {
        self.process.data_dir()
    }

    /// Its configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.process.config_file()
    }

    /// What a person's `belay` keeps.
    pub fn home(&self, person: &str) -> PathBuf {
        self.path(&format!("home-{person}"))
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Memory it holds, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the gateway runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
    }

    /// A private file beside its data.
    pub fn file(&self, name: &str, content: &str) -> String {
        let path = self.path(name);
        fs::write(&path, content).expect("write");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("chmod");
        path.display().to_string()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.process.folder().join(name)
    }
}

/// A text in JSON. Panics where there is none.
fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no `{key}` in {value}"))
}

/// The program; built where `BELAY_BIN` does not name it.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("BELAY_BIN") {
        Some(path) => path.into(),
        None => build(),
    })
}

/// Builds it into the folder of this very program: `target/debug/deps/e2e-...` or `target/release/expiry`.
fn build() -> PathBuf {
    let program = std::env::current_exe().expect("own path");
    let parent = program.parent().expect("a folder");
    let folder = if parent.ends_with("deps") { parent.parent().expect("a folder") } else { parent };
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--quiet", "-p", "belay-cli", "--bin", "belay", "--target-dir"]);
    command.arg(folder.parent().expect("target")).current_dir(env!("CARGO_MANIFEST_DIR"));
    if folder.ends_with("release") {
        command.arg("--release");
    }
    let status = command.status().unwrap_or_else(|error| panic!("cargo: {error}; name the program in BELAY_BIN"));
    assert!(status.success(), "`{command:?}` failed; build it yourself and name it in BELAY_BIN");
    folder.join("belay")
}
