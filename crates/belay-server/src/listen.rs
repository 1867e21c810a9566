//! The gateway: listeners, one task a connection, and its graceful end.
//!
//! Connections run on a few threads of their own, one current-thread runtime each: a connection never moves between
//! cores, and nothing the rest of the process does can hold it up.

use crate::config::Notify;
use crate::desk::{Clock, Desk, Surveyor};
use crate::eraser::Eraser;
use crate::expiry::Expiry;
use crate::gate::GateKeeper;
use crate::ledger::{Ledger, Unfinished};
use crate::notify::Notifier;
use crate::relay::{BackEnd, Doors, Ended, Relay};
use crate::sessions::{ConnectionLimits, LiveSessions};
use crate::targets::Targets;
use crate::vault::{Keeping, Vault};
use belay_engine::{Arrival, Engine, Joined};
use belay_model::{EndReason, EventKind, Span};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

/// How long connections may take to say goodbye at a shutdown.
const DRAIN: Duration = Duration::from_secs(5);
/// How long a listener rests after it could not accept, e.g. for want of file descriptors.
const REST: Duration = Duration::from_millis(50);
/// Connections that have not been taken up yet, in the kernel and before each thread.
const BACKLOG: usize = 1024;
/// How long a start waits for erasures that were not done.
const ERASURES: Duration = Duration::from_secs(20);
/// Connections of one thread, those that are logging in among them; beyond it new ones are dropped.
const LOAD_LIMIT: usize = 20_000;
/// The stack of a connection thread. Statements nested deeper than this carries are read on stacks of their own.
const STACK: usize = 4 * 1024 * 1024;

/// What the gateway is told.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// Where native clients connect.
    pub listen: SocketAddr,
    /// Bounds on connections.
    pub limits: ConnectionLimits,
    /// How many threads carry connections; `None` for one a core.
    pub threads: Option<usize>,
    /// How long before the end of a grant people are warned.
    pub warn_before: Vec<Span>,
    /// Where people are told things; without it, in the log.
    pub notify: Option<Notify>,
    /// How long and how much of changes is kept.
    pub keeping: Keeping,
}

/// What the gateway needs.
#[derive(Clone)]
pub struct GatewayParts {
    /// The store's desk.
    pub desk: Arc<Desk>,
    /// The ledger.
    pub ledger: Ledger,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The protocol.
    pub engine: Arc<dyn Engine>,
}

/// A running gateway.
pub struct Gateway {
    address: SocketAddr,
    sessions: Arc<LiveSessions>,
    targets: Arc<Targets>,
    vault: Arc<Vault>,
    eraser: Eraser,
    keeper: Arc<GateKeeper>,
    stop: watch::Sender<bool>,
    threads: Mutex<Vec<std::thread::JoinHandle<()>>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Gateway {
    /// Puts right what an earlier run left behind, then listens. Must be called inside a tokio runtime, which carries
    /// the expiry.
    pub async fn start(config: &GatewayConfig, parts: GatewayParts, unfinished: &[Unfinished]) -> io::Result<Gateway> {
        let GatewayParts { desk, ledger, clock, engine } = parts;
        let sessions = LiveSessions::new(config.limits);
        let targets = Arc::new(Targets::new(Arc::clone(&engine), desk.instance()));
        desk.meet(Arc::clone(&targets) as Arc<dyn Surveyor>);
        let expiry = Expiry {
            desk: Arc::clone(&desk),
            ledger: ledger.clone(),
            clock: Arc::clone(&clock),
            sessions: Arc::clone(&sessions),
            targets: Arc::clone(&targets),
        };
        let notifier = Notifier {
            desk: Arc::clone(&desk),
            ledger: ledger.clone(),
            clock: Arc::clone(&clock),
            sessions: Arc::clone(&sessions),
            warn_before: config.warn_before.clone(),
            webhook: config.notify.clone(),
        };
        let mut tasks = notifier.start();
        tasks.extend([
            tokio::spawn(expiry.clone().watch_changes()),
            tokio::spawn(expiry.clone().watch_time()),
            tokio::spawn(expiry.clone().watch_roles()),
        ]);
        expiry.recover(unfinished).await;
        let per_session = u32::try_from(config.limits.per_session).unwrap_or(u32::MAX);
        let vault = Vault::open(Arc::clone(&desk), Arc::clone(&targets), config.keeping, per_session);
        let vault = Arc::new(vault.map_err(io::Error::other)?);
        // What they wrote is ended by now, so that the targets know how.
        vault.recover().await;
        tasks.push(tokio::spawn(Vault::clone(&vault).watch()));
        let eraser = Eraser {
            desk: Arc::clone(&desk),
            ledger: ledger.clone(),
            sessions: Arc::clone(&sessions),
            vault: Arc::clone(&vault),
            one: Arc::default(),
        };
        // What takes longer, for a target that does not answer, goes on beside.
        let _ = tokio::time::timeout(ERASURES, eraser.recover()).await;
        tasks.push(tokio::spawn(eraser.clone().watch()));
        let keeper = Arc::new(GateKeeper {
            desk,
            ledger: ledger.clone(),
            clock: Arc::clone(&clock),
            sessions: Arc::clone(&sessions),
            targets: Arc::clone(&targets),
            per_session,
            closed: AtomicBool::new(false),
        });
        let doors = Doors {
            clock,
            ledger,
            warn_before: Arc::from(config.warn_before.as_slice()),
            sessions: Arc::clone(&sessions),
            vault: Arc::clone(&vault),
        };
        let (stop, _) = watch::channel(false);
        let mut gateway = Gateway {
            address: config.listen,
            sessions,
            targets,
            vault,
            eraser,
            keeper,
            stop,
            threads: Mutex::default(),
            tasks,
        };
        gateway.listen(config, &engine, &doors)?;
        Ok(gateway)
    }

    /// Where it listens; the port is the real one where the configuration said 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The live connections.
    pub fn sessions(&self) -> &Arc<LiveSessions> {
        &self.sessions
    }

    /// The control sides of the targets.
    pub fn targets(&self) -> &Arc<Targets> {
        &self.targets
    }

    /// Plans and change sets.
    pub fn vault(&self) -> &Arc<Vault> {
        &self.vault
    }

    /// Who erases what sessions hold.
    pub fn eraser(&self) -> &Eraser {
        &self.eraser
    }

    /// Ends the connections of one session; its grant lives on.
    pub fn end_session(&self, grant: &belay_model::Grant) {
        self.sessions.renew(grant.id, grant.ends_at, EndReason::Ended);
    }

    /// Takes no new connections, tells those there are, waits a little, and stops.
    pub async fn shutdown(self) {
        self.keeper.closed.store(true, Ordering::Relaxed);
        self.sessions.end_all(EndReason::Shutdown);
        let until = Instant::now() + DRAIN;
        while self.sessions.count() > 0 && Instant::now() < until {
            sleep(Duration::from_millis(10)).await;
        }
        self.vault.settled().await;
        self.stop.send_replace(true);
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join())));
        let _ = joined.await;
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }

    fn listen(&mut self, config: &GatewayConfig, engine: &Arc<dyn Engine>, doors: &Doors) -> io::Result<()> {
        let listener = TcpListener::from_std(socket(self.address)?.into())?;
        self.address = listener.local_addr()?;
        let count = config.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(2, usize::from));
        let mut desks = Vec::new();
        for index in 0..count.clamp(1, 256) {
            let (sender, arrivals) = mpsc::channel(BACKLOG);
            let load = Arc::new(AtomicUsize::new(0));
            let worker = Worker {
                engine: Arc::clone(engine),
                keeper: Arc::clone(&self.keeper),
                doors: doors.clone(),
                load: Arc::clone(&load),
            };
            desks.push((load, sender));
            let stop = self.stop.subscribe();
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let thread = std::thread::Builder::new()
                .name(format!("gateway-{index}"))
                .stack_size(STACK)
                .spawn(move || runtime.block_on(worker.run(arrivals, stop)))?;
            self.threads.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(thread);
        }
        self.tasks.push(tokio::spawn(accept(listener, desks)));
        Ok(())
    }
}

/// A client that was just accepted.
type Newcomer = (std::net::TcpStream, SocketAddr);

/// Takes clients in, for ever, and hands each to the thread that carries the fewest.
async fn accept(listener: TcpListener, threads: Vec<(Arc<AtomicUsize>, mpsc::Sender<Newcomer>)>) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("accept failed: {error}");
                sleep(REST).await;
                continue;
            }
        };
        let idlest = threads.iter().min_by_key(|(load, _)| load.load(Ordering::Relaxed));
        let (Some((load, sender)), Ok(stream)) = (idlest, stream.into_std()) else { continue };
        load.fetch_add(1, Ordering::Relaxed);
        if sender.send((stream, peer)).await.is_err() {
            return;
        }
    }
}

/// A listening socket.
fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(BACKLOG).unwrap_or(i32::MAX))?;
    Ok(socket)
}

/// One thread's share.
#[derive(Clone)]
struct Worker {
    engine: Arc<dyn Engine>,
    keeper: Arc<GateKeeper>,
    doors: Doors,
    /// Connections that this thread carries.
    load: Arc<AtomicUsize>,
}

impl Worker {
    async fn run(self, mut arrivals: mpsc::Receiver<Newcomer>, mut stop: watch::Receiver<bool>) {
        let taking = async {
            while let Some((stream, peer)) = arrivals.recv().await {
                let worker = self.clone();
                tokio::spawn(async move {
                    let _carried = Carried(Arc::clone(&worker.load));
                    if worker.load.load(Ordering::Relaxed) > LOAD_LIMIT {
                        return tracing::warn!(%peer, "dropped: too many connections");
                    }
                    match TcpStream::from_std(stream) {
                        Ok(stream) => worker.serve(stream, peer).await,
                        Err(error) => tracing::warn!(%peer, "connection lost: {error}"),
                    }
                });
            }
        };
        tokio::select! {
            () = taking => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    async fn serve(self, stream: TcpStream, peer: SocketAddr) {
        let arrival = self.engine.arrive(stream, peer, &*self.keeper).await;
        match arrival {
            Arrival::Joined(joined) => {
                self.carry(*joined).await;
            }
            Arrival::Done => {}
            Arrival::Refused(why) => tracing::info!(%peer, "login refused: {why}"),
        }
    }

    /// Carries one connection to its end, and cleans up after it.
    async fn carry(&self, mut joined: Joined) {
        let (context, backend) = (joined.context.clone(), joined.backend);
        let held = std::mem::replace(&mut joined.held, Box::new(()));
        let gauge = metrics::gauge!(crate::metrics::SESSIONS_ACTIVE);
        gauge.increment(1.0);
        if context.cut_in_transaction
            && let Err(error) = self.keeper.desk.set_cut_in_transaction(context.session, false).await
        {
            tracing::error!(session = %context.session, "stays marked as cut: {error}");
        }
        let reach = BackEnd::new(&self.keeper.desk, &self.keeper.targets, &context, backend);
        let mut relay = Relay::new(joined, self.doors.clone(), reach);
        let ended = relay.run().await;
        if ended.cut {
            metrics::counter!(crate::metrics::SESSION_CUT_IN_TRANSACTION_TOTAL).increment(1);
            // Before the client can know that it was cut, and so before it can come back.
            if let Err(error) = self.keeper.desk.set_cut_in_transaction(context.session, true).await {
                tracing::error!(session = %context.session, "could not mark the session as cut: {error}");
            }
        }
        relay.close().await;
        if ended.busy {
            self.stop_backend(&context, backend).await;
        }
        self.record_end(&context, ended);
        gauge.decrement(1.0);
        drop(held);
    }

    /// A back end that still works does not notice that its client is gone: it would finish its statement and commit.
    async fn stop_backend(&self, context: &belay_engine::SessionContext, backend: i32) {
        let Ok(access) = self.keeper.desk.target_access(&context.grant.target).await else { return };
        let role = self.keeper.targets.role_name(context.grant.id);
        if let Err(error) = self.keeper.targets.control(&access).end_backend(&role, backend).await {
            tracing::warn!(connection = %context.connection, backend, "back end not stopped: {error}");
        }
    }

    fn record_end(&self, context: &belay_engine::SessionContext, ended: Ended) {
        let kind = EventKind::ConnectionEnded { reason: ended.reason, in_transaction: ended.in_transaction };
        let event = context.event(self.doors.clock.now(), kind);
        if self.doors.ledger.record_late(event).is_err() {
            tracing::error!(connection = %context.connection, "its end was not recorded: the ledger's queue is full");
        }
    }
}

/// Counts a connection off its thread's load when it is over, also after a panic.
struct Carried(Arc<AtomicUsize>);

impl Drop for Carried {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
