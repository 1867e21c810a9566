//! Opens what a server stands on: certificate, ledger, store. Starts no listener.
//!
//! The order matters: whatever cannot be opened stops the start before anything else is changed, and the ledger is
//! open before the store, because the desk records what it does from its first act on.

use crate::config::Config;
use crate::desk::{Clock, Desk, DeskError, Recorder, SystemClock, Unrecorded};
use crate::feed::FeedError;
use crate::ledger::seal::{SealError, Sealer, Sealing};
use crate::ledger::{Ledger, LedgerError, Opened, Settings};
use crate::policy_files::PolicyError;
use crate::tls::{ServerIdentity, TlsError};
use belay_engine::{BoxFuture, Engine};
use belay_model::{Event, EventKind};
use belay_postgres::PostgresEngine;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Where the ledger is, in the data directory.
pub const LEDGER_DIR: &str = "ledger";
/// Where the command line of the same machine finds the address of the API, in the data directory.
pub const API_FILE: &str = "api.url";

/// A server that cannot start, and why.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory.
    #[error("data directory `{}` cannot be used: {cause}", path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The signatures over the ledger.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The store.
    #[error(transparent)]
    Store(#[from] DeskError),
    /// A listener.
    #[error("cannot listen on {address} for {what}: {cause}")]
    Listen {
        /// What for: `PostgreSQL`, `the API`, `operators`.
        what: &'static str,
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        cause: io::Error,
    },
    /// A ledger with records and no store beside it: not a first start.
    #[error("store `{}` is missing or empty, but the ledger beside it has {records} records", path.display())]
    StoreLost {
        /// The store's file.
        path: PathBuf,
        /// The ledger's records.
        records: u64,
    },
    /// A policy file.
    #[error("policies cannot be used: {0}")]
    Policy(#[from] PolicyError),
    /// An output of events.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// The archive of the ledger.
    #[error("the archive cannot be used: {0}")]
    Archive(String),
    /// The ledger could not take the record of the start.
    #[error("the ledger cannot be written: {0}")]
    Unrecorded(Arc<str>),
}

/// What a server stands on.
pub struct Foundation {
    /// What people do.
    pub desk: Arc<Desk>,
    /// The ledger.
    pub ledger: Ledger,
    /// Who signs it.
    pub sealer: Arc<Sealer>,
    /// What was found in it.
    pub opened: Opened,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The certificate.
    pub identity: ServerIdentity,
    /// The file with the administrator's first token, if this is the first start.
    pub first_token: Option<PathBuf>,
}

impl Foundation {
    /// Opens everything in the data directory, which is made at the first start.
    pub async fn open(config: &Config, version: &str) -> Result<Foundation, StartError> {
        let dir = &config.data_dir;
        let loaded = config.policy.load()?;
        make_private(dir).map_err(|cause| StartError::DataDir { path: dir.clone(), cause })?;
        let identity = ServerIdentity::open(config, SystemTime::now())?;
        let (ledger, opened) = open_ledger(config).await?;
        check_store_is_there(dir, &opened)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let recorder = Arc::new(LedgerRecorder(ledger.clone()));
        let desk = Desk::open(dir, recorder, Arc::clone(&clock)).await?.under(config.policy.clone(), loaded);
        let started = EventKind::ServerStarted { version: version.to_owned() };
        let start = ledger.record_durable(Event::new(clock.now(), started)).await;
        start.map_err(|down| StartError::Unrecorded(down.why))?;
        record_truncated(&ledger, &opened, &*clock).await?;
        let sealer = Arc::new(start_sealer(config, &ledger, &*clock).await?);
        desk.record_configuration(&config.identity).await?;
        desk.record_policies().await?;
        let first_token = desk.bootstrap().await?;
        Ok(Foundation { desk: Arc::new(desk), ledger, sealer, opened, clock, identity, first_token })
    }
}

impl Foundation {
    /// The protocols' engine, with the certificate that native clients see and the configured bounds.
    pub fn engine(&self, config: &Config) -> Result<Arc<dyn Engine>, TlsError> {
        let leaf = self.identity.leaf().map(AsRef::as_ref).unwrap_or_default();
        Ok(Arc::new(PostgresEngine::new(self.identity.postgres()?, leaf, config.limits.statement_bytes.size())))
    }
}

/// The store is made before the ledger's first record. A ledger without one has lost it, and a new one would forget
/// everybody and hand out a new administrator's token.
fn check_store_is_there(dir: &Path, opened: &Opened) -> Result<(), StartError> {
    let path = dir.join(belay_store::FILE);
    let is_there = std::fs::metadata(&path).is_ok_and(|file| file.len() > 0);
    let records = opened.position.size;
    if records > 0 && !is_there { Err(StartError::StoreLost { path, records }) } else { Ok(()) }
}

/// Records what this start, or an earlier one that was cut short, took off the ledger's end.
async fn record_truncated(ledger: &Ledger, opened: &Opened, clock: &dyn Clock) -> Result<(), StartError> {
    for what in &opened.unrecorded {
        let recovered = Event::new(clock.now(), EventKind::Recovered { what: what.clone() });
        ledger.record_durable(recovered).await.map_err(|down| StartError::Unrecorded(down.why))?;
    }
    Ok(ledger.forget_truncated()?)
}

/// Records the end, signs it and closes the ledger. What could not be written is in the error.
pub async fn close(ledger: Ledger, sealer: Arc<Sealer>, clock: &dyn Clock) -> Result<(), Arc<str>> {
    let event = Event::new(clock.now(), EventKind::ServerStopped);
    ledger.record_durable(event).await.map_err(|down| down.why)?;
    let closed = tokio::task::spawn_blocking(move || {
        sealer.stop();
        ledger.close()
    })
    .await;
    closed.map_err(|_| Arc::from("closing it failed"))?.map_err(|down| down.why)
}

/// Makes the directory, for its owner only; one that is there is left as it is.
fn make_private(dir: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

async fn open_ledger(config: &Config) -> Result<(Ledger, Opened), StartError> {
    let mut settings = Settings::new(config.data_dir.join(LEDGER_DIR));
    settings.segment_bytes = u64::from(config.ledger.segment_bytes.get());
    settings.segment_age = Duration::from_secs(u64::from(config.ledger.segment_age.seconds()));
    let path = settings.dir.clone();
    let opened = tokio::task::spawn_blocking(move || Ledger::open_with(&settings)).await;
    let failed =
        |cause: tokio::task::JoinError| StartError::DataDir { path, cause: io::Error::other(cause.to_string()) };
    Ok(opened.map_err(failed)??)
}

/// A new key is in the ledger before it signs anything.
async fn start_sealer(config: &Config, ledger: &Ledger, clock: &dyn Clock) -> Result<Sealer, StartError> {
    let interval = Duration::from_secs(u64::from(config.ledger.checkpoint_seconds.get()));
    let how = Sealing { data_dir: config.data_dir.clone(), interval };
    let of = ledger.clone();
    let started = tokio::task::spawn_blocking(move || Sealer::start(&of, &how)).await;
    let sealer = started.map_err(|_| StartError::Seal(SealError::Stopped))??;
    if let Some(key) = &sealer.new_key {
        let added = EventKind::LedgerKeyAdded { key: key.to_string(), replaces: None };
        let recorded = ledger.record_durable(Event::new(clock.now(), added)).await;
        recorded.map_err(|down| StartError::Unrecorded(down.why))?;
    }
    Ok(sealer)
}

/// The desk's door to the ledger.
struct LedgerRecorder(Ledger);

impl Recorder for LedgerRecorder {
    fn record(&self, event: Event) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if let Err(event) = self.0.try_record(event)
                && self.0.record_late(event).is_err()
            {
                tracing::error!("an event was not recorded: the ledger's queue is full");
            }
        })
    }

    fn record_durable(&self, event: Event) -> BoxFuture<'_, Result<(), Unrecorded>> {
        Box::pin(async move { self.0.record_durable(event).await.map_err(|_| Unrecorded) })
    }
}
