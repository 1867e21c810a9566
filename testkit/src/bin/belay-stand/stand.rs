//! The servers, and the grant.

use crate::corpus::{Policy, fill};
use serde_json::Value;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use testkit::{Belay, Bypass, Postgres, Prepare, Ticket};

/// The corpus is made for a database and a target of this name.
const NAME: &str = "gwcorpus";
const SPAN: &str = "2h";
/// Lines of a log that are shown.
const LINES: usize = 30;

/// Which of the two layers are on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layers {
    /// As people run it.
    Both,
    /// The gateway alone: the grant's role is a superuser.
    Gateway,
    /// The grant's role alone: nothing looks at statements.
    Database,
    /// Neither: straight to the server as its superuser.
    None,
}

impl Layers {
    pub(crate) fn of(word: &str) -> Option<Layers> {
        Some(match word {
            "both" => Layers::Both,
            "gateway" => Layers::Gateway,
            "database" => Layers::Database,
            "none" => Layers::None,
            _ => return None,
        })
    }
}

/// Everything that runs.
pub(crate) struct Stand {
    // In the order in which they must end.
    bypass: Option<Bypass>,
    belay: Option<Arc<Belay>>,
    postgres: Postgres,
    folder: TempDir,
    through: String,
}

impl Stand {
    pub(crate) async fn start(corpus: &Path, layers: Layers) -> Stand {
        let postgres = server();
        let folder = TempDir::with_prefix("belay-corpus-").expect("a temporary folder");
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o1777)).expect("chmod");
        fill(corpus, &direct(&postgres));
        let mut stand = Stand { through: direct(&postgres), bypass: None, belay: None, postgres, folder };
        if layers != Layers::None {
            stand.guard(&Policy::read(corpus), layers).await;
        }
        stand
    }

    /// Puts the gateway in front, and switches off the layer that is not wanted.
    async fn guard(&mut self, policy: &Policy, layers: Layers) {
        let database_off = match layers {
            Layers::Gateway => Some(Bypass::of_the_database(&self.postgres).await),
            _ => None,
        };
        let belay = Arc::new(Belay::start_empty(""));
        add_target(&belay, &self.postgres, database_off.as_ref());
        let ticket = grant(&belay, policy);
        let url = |user: &str, port: u16, query: &str| {
            format!("postgresql://{user}:{}@127.0.0.1:{port}/{query}", ticket.secret)
        };
        self.through = url("alice", belay.port(), "?sslmode=require");
        self.bypass = database_off;
        if layers == Layers::Database {
            let prepare = prepare(&belay, &ticket);
            prepare().await.expect("the gateway makes the role");
            let role = self.postgres.scalar("postgres", ROLE).await;
            let bypass = Bypass::of_the_gateway(&self.postgres, &role, prepare).await;
            self.through = url("alice", bypass.port(), "");
            self.bypass = Some(bypass);
        }
        self.belay = Some(belay);
    }

    /// A word of the command with what stands in braces filled in.
    pub(crate) fn fill_in(&self, word: &str) -> String {
        let folder = self.folder.path().display().to_string();
        word.replace("{direct}", &direct(&self.postgres))
            .replace("{through}", &self.through)
            .replace("{folder}", &folder)
    }

    /// The ends of the logs.
    pub(crate) fn last_words(&self) -> String {
        let mut text = format!("PostgreSQL's last words:\n{}\n", tail(&self.postgres.log()));
        if let Some(belay) = &self.belay {
            let _ = write!(text, "the gateway's last words:\n{}", tail(&belay.log()));
        }
        text
    }
}

const ROLE: &str = "SELECT rolname FROM pg_roles WHERE rolname LIKE 'belay\\_%\\_g%' ORDER BY oid DESC LIMIT 1";

/// What the corpus's cases need: logical decoding, prepared transactions, statistics of statements, log files, and
/// commits that a stream of the log shows at once.
fn server() -> Postgres {
    let settings = [
        ("wal_level", "logical"),
        ("max_prepared_transactions", "10"),
        ("shared_preload_libraries", "pg_stat_statements"),
        ("logging_collector", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
    ];
    let builder = settings.iter().fold(Postgres::builder(), |builder, (name, value)| builder.setting(name, value));
    builder.start()
}

fn direct(postgres: &Postgres) -> String {
    let (user, password) = (postgres.superuser(), postgres.password());
    format!("postgresql://{user}:{password}@{}:{}/", postgres.host(), postgres.port())
}

fn add_target(belay: &Belay, postgres: &Postgres, bypass: Option<&Bypass>) {
    let (port, query) = match bypass {
        Some(bypass) => (bypass.port(), "sslmode=disable"),
        None => (postgres.port(), "sslmode=verify-full"),
    };
    let url = format!("postgres://{}@{}:{port}/{NAME}?{query}", postgres.superuser(), postgres.host());
    let password = belay.file("target.password", postgres.password());
    let ca = postgres.ca_file().display().to_string();
    let mut words = vec!["target", "add", NAME, &url, "--password-file", &password];
    if bypass.is_none() {
        words.extend(["--ca", &ca]);
    }
    belay.run("admin", &words).ok();
}

/// `alice` gets what the policy describes.
fn grant(belay: &Belay, policy: &Policy) -> Ticket {
    belay.add_person("alice", &["--role", "requester"]);
    belay.add_person("bob", &["--role", "approver"]);
    belay.run("admin", &["rule", "add", "--max", SPAN, "--approvals", "1"]).ok();
    for column in &policy.masked {
        belay.run("admin", &["mask", "add", NAME, column, "--kind", "withheld"]).ok();
    }
    let mut ask = vec!["request", NAME, "--for", SPAN, "-m", "the corpus"];
    ask.extend(policy.readable.iter().map(String::as_str));
    for function in &policy.functions {
        ask.extend(["--function", function]);
    }
    let request = belay.json("alice", &ask);
    let approved = belay.json("bob", &["approve", text(&request["id"])]);
    belay.claim("alice", text(&approved["grant"]["id"]))
}

/// A login through the gateway: it puts the role's privileges right.
fn prepare(belay: &Arc<Belay>, ticket: &Ticket) -> Prepare {
    let (belay, ticket) = (Arc::clone(belay), ticket.clone());
    Arc::new(move || {
        let (belay, ticket) = (Arc::clone(&belay), ticket.clone());
        Box::pin(async move {
            let opened = belay.connect(&ticket, NAME).await;
            opened
                .map(drop)
                .map_err(|error| error.as_db_error().map_or(error.to_string(), |told| told.message().to_owned()))
        })
    })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
