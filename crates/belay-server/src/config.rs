//! The server's configuration: plain data, read once at start.
//!
//! Nothing here opens a store, binds a socket or keeps a secret in the clear in the file: secrets are
//! references (`${NAME}`, `file:PATH`). No file at all is a working configuration.

mod archive;
mod bounded;
mod events;
mod identity;
mod load;
mod reference;
mod retention;
mod s3;
mod witness;

pub use bounded::Bounded;
pub use events::{Destination, EventOutput, Http, Start, Statements, Transport};
pub use identity::Identity;
pub use load::ConfigError;
pub use reference::Reference;
pub use retention::Retention;
pub use s3::S3Place;
pub use witness::{Witness, WitnessPlace};

use crate::policy_files::PolicyFiles;
use crate::vault::Keeping;
use belay_model::Span;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// How the environment is read; a parameter, so that tests need not change the process.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Everything the server is told from outside.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the store, the ledger, the keys and the certificates are.
    pub data_dir: PathBuf,
    /// Where it listens.
    pub listen: Listen,
    /// Certificates of your own, in place of the local authority's.
    pub tls: Option<OwnCertificate>,
    /// Bounds on what clients may take.
    pub limits: Limits,
    /// The ledger's files.
    pub ledger: LedgerFiles,
    /// Where its files go to be kept.
    pub archive: Option<S3Place>,
    /// What is kept of writes.
    pub changes: Changes,
    /// Where people are told things.
    pub notify: Option<Notify>,
    /// Whom the ledger's events go to.
    pub events: Vec<EventOutput>,
    /// Who keeps the ledger's checkpoints.
    pub witnesses: Vec<Witness>,
    /// How sessions behave.
    pub sessions: Sessions,
    /// Where policies come from.
    pub policy: PolicyFiles,
    /// What the ledger knows it by.
    pub identity: Identity,
}

/// Where people are told things, with its secrets read.
#[derive(Debug, Clone)]
pub struct Notify {
    /// Gets a POST for each notification.
    pub webhook: SecretString,
    /// Signs each POST with HMAC-SHA-256.
    pub secret: SecretString,
}

/// The configuration file.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "Belay server configuration")]
pub(crate) struct File {
    /// Where the store, the ledger, the keys and the certificates are kept. Default: `$XDG_DATA_HOME/belay`,
    /// or `~/.local/share/belay`. A relative path starts at the configuration file.
    data_dir: Option<PathBuf>,
    /// Where the server listens.
    listen: Listen,
    /// Certificates of your own. Without them a local authority is made at the first start.
    tls: Option<OwnCertificate>,
    /// Bounds on what clients may take.
    limits: Limits,
    /// The ledger's files.
    ledger: LedgerFiles,
    /// Where the ledger's closed files and signed states are kept beside this machine.
    archive: Option<archive::ArchiveFile>,
    /// What is kept of writes, so that they can be given back.
    changes: Changes,
    /// Where people are told things.
    notify: Option<NotifyFile>,
    /// Whom the ledger's events go to: one section for each.
    events: Vec<events::EventsFile>,
    /// Who keeps the ledger's checkpoints where this machine cannot take them back: one section for each.
    witness: Vec<witness::WitnessFile>,
    /// How sessions behave.
    sessions: Sessions,
    /// Policies in Cedar: who may ask for what, who approves it, what is granted at once.
    policy: PolicyFolder,
}

/// Where the server listens. Every listener speaks TLS only.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// For PostgreSQL clients.
    #[serde(deserialize_with = "load::address")]
    #[schemars(with = "String", extend("default" = "127.0.0.1:6432"))]
    pub postgres: SocketAddr,
    /// For the HTTP API and the command line.
    #[serde(deserialize_with = "load::address")]
    #[schemars(with = "String", extend("default" = "127.0.0.1:7443"))]
    pub api: SocketAddr,
    /// For `/livez`, `/readyz` and `/metrics`.
    #[serde(deserialize_with = "load::address")]
    #[schemars(with = "String", extend("default" = "127.0.0.1:7444"))]
    pub admin: SocketAddr,
    /// The names and addresses that people reach this server by, beside `localhost`. They go into its certificate.
    pub names: Vec<String>,
}

impl Default for Listen {
    fn default() -> Listen {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Listen { postgres: local(6432), api: local(7443), admin: local(7444), names: Vec::new() }
    }
}

/// A certificate of your own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnCertificate {
    /// PEM file with the certificate and its chain.
    pub cert: PathBuf,
    /// PEM file with the key, readable by the server only.
    pub key: PathBuf,
    /// PEM file with the authority that signed it, handed to people as `ca.pem`. Without it clients use their
    /// system's authorities.
    #[serde(default)]
    pub ca: Option<PathBuf>,
}

/// Bounds on what clients may take.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections of all clients together.
    pub connections: Bounded<1, 100_000, 2_000>,
    /// Connections of one session.
    pub connections_per_session: Bounded<1, 10_000, 20>,
    /// The longest statement, in bytes.
    pub statement_bytes: Bounded<1_024, 16_000_000, 1_048_576>,
}

/// The ledger's files.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LedgerFiles {
    /// A new file is begun after so many bytes.
    pub segment_bytes: Bounded<65_536, 1_073_741_824, 67_108_864>,
    /// A new file is begun when the first record of the last is so old.
    #[schemars(with = "String", extend("default" = "1d"))]
    pub segment_age: Span,
    /// How long records are kept, e.g. `400d`. Without it for good. A file goes when its newest record is older.
    #[schemars(with = "Option<String>")]
    pub retention: Option<Retention>,
    /// How many seconds a record may be without a signature over it.
    pub checkpoint_seconds: Bounded<1, 3_600, 5>,
}

impl Default for LedgerFiles {
    fn default() -> LedgerFiles {
        LedgerFiles {
            segment_bytes: Bounded::default(),
            segment_age: Span::from_seconds(86_400),
            retention: None,
            checkpoint_seconds: Bounded::default(),
        }
    }
}

/// What is kept of writes, so that they can be given back.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Changes {
    /// How long the rows of a change are kept, e.g. `30d`. After that it cannot be given back.
    #[schemars(with = "String", extend("default" = "30d"))]
    pub retention: Span,
    /// The most megabytes that one change may take on the disk. A larger one is rolled back.
    pub megabytes: Bounded<1, 1_000_000, 4_096>,
    /// The most row images that one change may have: an updated row has two. A larger one is rolled back.
    pub rows: Bounded<1, 1_000_000_000, 20_000_000>,
}

impl Default for Changes {
    fn default() -> Changes {
        let retention = Span::from_seconds(30 * 86_400);
        Changes { retention, megabytes: Bounded::default(), rows: Bounded::default() }
    }
}

impl Changes {
    /// The same for the vault.
    pub fn keeping(&self) -> Keeping {
        let bytes = u64::from(self.megabytes.get()) << 20;
        Keeping { retention: self.retention, bytes, rows: u64::from(self.rows.get()) }
    }
}

/// Where people are told things.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NotifyFile {
    /// Gets a POST for each notification. A URL, `${NAME}` or `file:PATH`.
    #[schemars(with = "String")]
    webhook: toml::Spanned<Reference>,
    /// Signs each POST with HMAC-SHA-256. `${NAME}` or `file:PATH`.
    #[schemars(with = "String")]
    secret: toml::Spanned<Reference>,
}

/// How sessions behave.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sessions {
    /// How long before the end of a grant its sessions are warned, e.g. `["10m", "1m"]`; at most eight.
    #[serde(deserialize_with = "load::warnings")]
    #[schemars(with = "Vec<String>", extend("default" = ["10m", "1m"]))]
    pub warn_before: Vec<Span>,
}

/// Policies in Cedar: who may ask for what, who approves it, what is granted at once.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PolicyFolder {
    /// The folder whose `*.cedar` files are in force. A relative path starts at the configuration file.
    dir: Option<PathBuf>,
    /// Whether the default policy is in force beside them.
    #[schemars(extend("default" = true))]
    default: bool,
}

impl Default for PolicyFolder {
    fn default() -> PolicyFolder {
        PolicyFolder { dir: None, default: true }
    }
}

impl Default for Sessions {
    fn default() -> Sessions {
        Sessions { warn_before: vec![Span::from_seconds(600), Span::from_seconds(60)] }
    }
}
