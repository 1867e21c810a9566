//! `belay server`: puts the parts together and runs them until it is told to stop.

use crate::failure::{Exit, Failure};
use crate::output::Out;
use belay_server::config::{Config, ConfigError};
use belay_server::feed::{FeedParts, Feeds};
use belay_server::ledger::archive::{Archive, Archiving};
use belay_server::ledger::retention::{Holds, Retaining};
use belay_server::ledger::seal::Sealer;
use belay_server::ledger::{Ledger, search, witness};
use belay_server::listen::{Gateway, GatewayConfig, GatewayParts};
use belay_server::metrics::Metrics;
use belay_server::server::{self, API_FILE, Foundation, StartError};
use belay_server::sessions::ConnectionLimits;
use belay_server::shutdown::{Shutdown, Stopping};
use belay_server::tls::ServerIdentity;
use belay_web::{Doors, TlsListener};
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tracing_subscriber::EnvFilter;

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// How long a request may hold the gateway at a shutdown: longer than a handler may take.
const HANDLERS: Duration = Duration::from_secs(65);

#[derive(clap::Args)]
#[command(before_help = "Examples:
  belay server                                 works without any configuration
  belay server --config /etc/belay.toml
  belay server --check --config /etc/belay.toml
")]
pub(crate) struct Args {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "BELAY_CONFIG")]
    config: Option<PathBuf>,
    /// Check the configuration and end
    #[arg(long)]
    check: bool,
    /// Print the JSON Schema of the configuration file and end
    #[arg(long, conflicts_with = "check")]
    print_schema: bool,
}

pub(crate) async fn run(args: &Args, out: &Out) -> Result<(), Failure> {
    if args.print_schema {
        out.data(&serde_json::to_string_pretty(&Config::json_schema()).unwrap_or_default());
        return Ok(());
    }
    let config = Config::load(args.config.as_deref(), &|name| std::env::var(name).ok()).map_err(wrong)?;
    if args.check {
        config.policy.load().map_err(|error| Failure::usage(error.to_string()).hint("belay policy check FILE..."))?;
        out.say("the configuration is right");
        out.next("belay server");
        return Ok(());
    }
    log_to_stderr();
    raise_descriptor_limit(&config);
    let shutdown = Shutdown::default();
    shutdown.on_signals().map_err(|error| Failure::new(Exit::Failure, format!("signals cannot be taken: {error}")))?;
    serve(&config, shutdown.subscribe(), out).await.map_err(|error| not_started(&error))
}

/// Every connection takes two descriptors, and the soft limit of many systems is 1024 for a whole process.
fn raise_descriptor_limit(config: &Config) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // An error leaves the limit as it was, which the next lines tell.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let (allowed, wanted) = (getrlimit(Resource::Nofile).current, config.limits.connections.size() as u64 * 2 + 256);
    if allowed.is_some_and(|allowed| allowed < wanted) {
        tracing::warn!(
            ?allowed,
            wanted,
            "too few file descriptors for `limits.connections`; raise the limit of open files"
        );
    }
}

async fn serve(config: &Config, mut stopping: Stopping, out: &Out) -> Result<(), StartError> {
    let foundation = Foundation::open(config, VERSION).await?;
    let http = foundation.identity.http()?;
    // All three listen before anything is said to be ready; a taken port stops the start.
    let api = listen("the API", config.listen.api, &http).await?;
    let admin = listen("operators", config.listen.admin, &http).await?;
    let metrics = Metrics::install().unwrap_or_else(|_| Metrics::detached());
    // Goes on for longer than the rest, so that what the end brings goes out too.
    let feeding = Shutdown::default();
    let feeds = Arc::new(start_feeds(config, &foundation, &feeding)?);
    let gateway = Arc::new(start_gateway(config, &foundation).await?);
    tell_where(config, &foundation.identity, &api)
        .map_err(|cause| StartError::DataDir { path: config.data_dir.clone(), cause })?;
    say_where(out, &foundation, [gateway.address(), api.address(), admin.address()]);

    let Foundation { desk, ledger, sealer, clock, .. } = foundation;
    witness::start(&config.witnesses, &sealer.latest(), &clock);
    let archive = start_archive(config, &ledger, &sealer, Arc::clone(&desk) as _)?;
    if let Some(retention) = config.ledger.retention {
        let index = search::index_file(ledger.dir());
        let (ledger, sealer, clock) = (ledger.clone(), Arc::clone(&sealer), Arc::clone(&clock));
        let (holds, archived) = (Arc::clone(&desk) as _, archive.as_ref().map(Archive::archived));
        Retaining { ledger, sealer, index, clock, holds, archived, retention }.start();
    }
    let doors = Arc::new(Doors {
        desk: Arc::clone(&desk),
        ledger: ledger.clone(),
        sealer: Arc::clone(&sealer),
        clock: Arc::clone(&clock),
        gateway: Arc::downgrade(&gateway),
        archive,
        feeds: Arc::clone(&feeds),
        version: VERSION.to_owned(),
    });
    let api_router = belay_web::api::router(Arc::clone(&doors));
    let admin_router = belay_web::admin::router(doors, metrics, stopping.clone());
    let api = tokio::spawn(belay_web::serve(api, api_router, stopping.clone()));
    let admin = tokio::spawn(belay_web::serve(admin, admin_router, stopping.clone()));
    stopping.wait().await;
    out.say("stopping: connections end, answers under way may finish");
    stop(gateway).await;
    let _ = tokio::join!(api, admin);
    // Puts everything into the store's one file, so that a copy of it is a backup.
    desk.close().await;
    feeding.begin();
    feeds.stopped().await;
    if let Err(why) = server::close(ledger, sealer, &*clock).await {
        tracing::error!("the ledger's last records may be missing: {why}");
    }
    Ok(())
}

fn start_feeds(config: &Config, foundation: &Foundation, feeding: &Shutdown) -> Result<Feeds, StartError> {
    let parts = FeedParts {
        data_dir: &config.data_dir,
        ledger: &foundation.ledger,
        opened: foundation.opened.position,
        clock: &foundation.clock,
        name: config.listen.names.first().map(String::as_str),
    };
    Ok(Feeds::start(&config.events, &parts, &feeding.subscribe())?)
}

fn start_archive(
    config: &Config,
    ledger: &Ledger,
    sealer: &Sealer,
    holds: Arc<dyn Holds>,
) -> Result<Option<Archive>, StartError> {
    let how = config.archive.clone().map(Archiving::new);
    let started = how.map(|how| Archive::start(&how, ledger.dir(), sealer.latest(), holds)).transpose();
    started.map_err(StartError::Archive)
}

async fn listen(
    what: &'static str,
    address: SocketAddr,
    tls: &Arc<rustls::ServerConfig>,
) -> Result<TlsListener, StartError> {
    let listener = TlsListener::bind(address, Arc::clone(tls)).await;
    listener.map_err(|cause| StartError::Listen { what, address, cause })
}

async fn start_gateway(config: &Config, foundation: &Foundation) -> Result<Gateway, StartError> {
    let gateway_config = GatewayConfig {
        listen: config.listen.postgres,
        limits: ConnectionLimits {
            total: config.limits.connections.size(),
            per_session: config.limits.connections_per_session.size(),
        },
        threads: None,
        warn_before: config.sessions.warn_before.clone(),
        notify: config.notify.clone(),
        keeping: config.changes.keeping(),
    };
    let parts = GatewayParts {
        desk: Arc::clone(&foundation.desk),
        ledger: foundation.ledger.clone(),
        clock: Arc::clone(&foundation.clock),
        engine: foundation.engine(config)?,
    };
    let started = Gateway::start(&gateway_config, parts, &foundation.opened.unfinished).await;
    started.map_err(|cause| StartError::Listen { what: "PostgreSQL", address: config.listen.postgres, cause })
}

/// The API's authority beside its address; absent where the system's authorities vouch for it.
pub(crate) const API_AUTHORITY_FILE: &str = "api.pem";

/// Leaves the API's address for the command line of this machine, and who vouches for it.
fn tell_where(config: &Config, identity: &ServerIdentity, api: &TlsListener) -> std::io::Result<()> {
    let authority = config.data_dir.join(API_AUTHORITY_FILE);
    match identity.ca() {
        Some(ca) => std::fs::write(&authority, std::fs::read(ca)?)?,
        None => match std::fs::remove_file(&authority) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        },
    }
    let ip = api.address().ip();
    let near = ip.is_loopback() || ip.is_unspecified();
    let host = match config.listen.names.first() {
        // A certificate of one's own seldom names `localhost`.
        Some(name) if near && config.tls.is_some() => name.clone(),
        _ if near => "localhost".to_owned(),
        _ => ip.to_string(),
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    std::fs::write(config.data_dir.join(API_FILE), format!("https://{host}:{}\n", api.address().port()))
}

fn say_where(out: &Out, foundation: &Foundation, [postgres, api, admin]: [SocketAddr; 3]) {
    if let Some(truncated) = &foundation.opened.truncated {
        out.say(&format!("ledger: an append that a crash cut short was taken off: {truncated}"));
    }
    out.say(&format!("belay {VERSION}: PostgreSQL on {postgres}, API on https://{api}, operators on https://{admin}"));
    if let Some(ca) = foundation.identity.ca() {
        out.say(&format!("clients trust {}", ca.display()));
    }
    if let Some(token) = &foundation.first_token {
        out.say(&format!("first start: the administrator's token is in {}", token.display()));
        let dir = token.parent().unwrap_or(token);
        out.next(&format!("belay login --local {}", dir.display()));
    }
}

/// Ends the gateway once no handler holds it; each holds it for one answer only.
async fn stop(mut gateway: Arc<Gateway>) {
    let until = Instant::now() + HANDLERS;
    while Instant::now() < until {
        match Arc::try_unwrap(gateway) {
            Ok(gateway) => return gateway.shutdown().await,
            Err(held) => gateway = held,
        }
        sleep(Duration::from_millis(10)).await;
    }
    tracing::error!("a request holds the gateway; its connections end with the process");
}

/// The log goes to stderr; `BELAY_LOG` says how much, e.g. `debug` or `belay_server=debug`.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("BELAY_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // An error says that there is a log already, which is as good.
    let _ = log.with_ansi(std::io::stderr().is_terminal()).try_init();
}

fn wrong(error: ConfigError) -> Failure {
    let failure = Failure::usage(error.to_string());
    match error.hint {
        Some(hint) => failure.hint(hint),
        None => failure.hint("belay server --print-schema shows every key"),
    }
}

fn not_started(error: &StartError) -> Failure {
    let hint = match error {
        StartError::DataDir { .. } => "name another place: `data_dir` in the configuration file",
        StartError::Tls(_) => "put the named file right, or move it away to have it made anew",
        StartError::Ledger(_) => {
            "is another server running on this data directory? belay audit verify --dir DIR tells damage"
        }
        StartError::Seal(_) => {
            "keep the files as they are, and compare with a copy: belay audit verify --dir DIR --key ledger.pub"
        }
        StartError::Store(_) => "is another server running on this data directory? nothing was changed",
        StartError::StoreLost { .. } => {
            "put a copy of the store back; to begin anew and keep the record, move the ledger's directory away"
        }
        StartError::Listen { .. } => "give it another port: `[listen]` in the configuration file",
        StartError::Archive(_) => "put its `[archive]` section right: belay server --check",
        StartError::Feed(_) => "put its `[[events]]` section right: belay server --check",
        StartError::Policy(_) => "put the files right: belay policy check FILE...; nothing was changed",
        StartError::Unrecorded(_) => "make room on the ledger's disk",
    };
    Failure::new(Exit::Failure, format!("not started: {error}")).hint(hint)
}
