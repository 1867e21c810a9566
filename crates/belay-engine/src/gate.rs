//! Letting a client in: what the engine asks of the shell, and what it hands back.

use crate::{Connection, Control};
use belay_model::{Code, ConnectionId, EndReason, Event, EventKind, Grant, SessionId, Timestamp};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// A boxed future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A byte stream in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// One protocol.
pub trait Engine: Send + Sync {
    /// The protocol's name, as in `protocol = "postgres"`.
    fn protocol(&self) -> &'static str;

    /// Takes a fresh TCP connection through start-up, TLS, login and the dial to the target.
    /// Bounded in time and memory by the engine. Refusals have been told to the client already.
    fn arrive<'a>(&'a self, stream: TcpStream, peer: SocketAddr, gate: &'a dyn Gate) -> BoxFuture<'a, Arrival>;

    /// The control side of a target: roles, back ends, checks.
    fn control(&self, target: &TargetAccess) -> Arc<dyn Control>;
}

/// How an arrival went.
pub enum Arrival {
    /// Logged in on both sides.
    Joined(Box<Joined>),
    /// An errand that is done, such as a cancel request.
    Done,
    /// Refused, and the client told. The text is for the operator's log.
    Refused(String),
}

/// A connection that is ready for the relay.
pub struct Joined {
    /// The client's side, decrypted.
    pub client: Box<dyn Stream>,
    /// The target's side, decrypted.
    pub upstream: Box<dyn Stream>,
    /// The state machine between them.
    pub connection: Box<dyn Connection>,
    /// The session it belongs to.
    pub context: SessionContext,
    /// The back end's process id in the target.
    pub backend: i32,
    /// Held while the connection lives: its place, and what the engine keeps for it (cancel keys).
    pub held: Box<dyn Send>,
}

/// Who wants in, as the protocol's login says it. Nothing of it has been proven yet.
#[derive(Debug, Clone)]
pub struct Login {
    /// `alice` or `alice+g_31`.
    pub user: String,
    /// `orders`, `orders/analytics`, or a physical name inside an open session.
    pub database: String,
    /// Where the client is.
    pub peer: SocketAddr,
}

/// What a SCRAM-SHA-256 server needs to check a secret without knowing it (RFC 5802).
#[derive(Clone, PartialEq, Eq)]
pub struct ScramVerifier {
    /// PBKDF2 iterations.
    pub iterations: u32,
    /// Salt.
    pub salt: Vec<u8>,
    /// H(ClientKey).
    pub stored_key: [u8; 32],
    /// HMAC(SaltedPassword, "Server Key").
    pub server_key: [u8; 32],
}

impl std::fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScramVerifier").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// Who a login may be, before the secret is checked.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The verifier to run SCRAM with; a made-up one where nobody matches, so that outsiders learn nothing.
    pub verifier: ScramVerifier,
    /// What the proof would open; `None` fails whatever the proof.
    pub visitor: Option<Visitor>,
}

/// A principal with a grant that a proof would open.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// The grant, live or not: an ended one is told so after the proof.
    pub grant: Grant,
    /// The database in the target.
    pub database: String,
}

/// What the client said of itself, after the proof.
#[derive(Debug, Clone)]
pub struct ClientFacts {
    /// Where it is.
    pub peer: SocketAddr,
    /// What it calls itself.
    pub application: String,
}

/// A refusal in words for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The code, which fixes the SQLSTATE.
    pub code: Code,
    /// The message, without the code in brackets.
    pub message: String,
    /// Why.
    pub detail: Option<String>,
    /// One command.
    pub hint: Option<String>,
}

/// The shell's side of a login.
pub trait Gate: Send + Sync {
    /// Who may this login be? Refusals here are for what needs no proof: the gateway is stopping, too many connections.
    fn find<'a>(&'a self, login: &'a Login) -> BoxFuture<'a, Result<Candidate, Refusal>>;

    /// The secret was proven: open the session, make the role, say where to dial.
    fn enter(&self, visitor: Visitor, facts: ClientFacts) -> BoxFuture<'_, Result<Entry, Refusal>>;

    /// The target was reached: what follows is on the record as this login's, before the client may send anything.
    fn joined<'a>(
        &'a self,
        context: &'a SessionContext,
        facts: &'a ClientFacts,
        backend: i32,
    ) -> BoxFuture<'a, Result<(), Refusal>>;

    /// The login failed after [`Gate::find`] and before [`Gate::joined`]; goes to the ledger.
    fn failed<'a>(&'a self, login: &'a Login, code: Code) -> BoxFuture<'a, ()>;
}

/// What [`Gate::enter`] opened.
pub struct Entry {
    /// The session.
    pub context: SessionContext,
    /// Where and as whom to dial.
    pub upstream: Upstream,
    /// The connection's place among those that are allowed; dropping it gives it back.
    pub place: Box<dyn Send>,
}

/// What a connection knows of its session.
#[derive(Clone)]
pub struct SessionContext {
    /// The grant in force.
    pub grant: Arc<Grant>,
    /// The session.
    pub session: SessionId,
    /// This connection of it.
    pub connection: ConnectionId,
    /// The database in the target.
    pub database: String,
    /// An earlier connection of this session was cut inside a transaction.
    pub cut_in_transaction: bool,
    /// Until when, or that it is over.
    pub life: watch::Receiver<Life>,
}

impl SessionContext {
    /// An event of this connection.
    pub fn event(&self, at: Timestamp, kind: EventKind) -> Event {
        let mut event =
            Event::new(at, kind).by(self.grant.principal.as_str()).on(self.grant.target.as_str()).under(self.grant.id);
        event.session = Some(self.session);
        event.connection = Some(self.connection);
        event
    }
}

/// How long something goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// Until then, if nobody ends it earlier.
    Until(Timestamp),
    /// It is over.
    Over(EndReason),
}

/// How to reach a target, with the secret of its control user.
#[derive(Clone)]
pub struct TargetAccess {
    /// The target.
    pub target: belay_model::Target,
    /// The control user's password; may be empty where the target trusts the connection.
    pub password: Arc<str>,
}

/// How to reach a target as a grant's role.
#[derive(Clone)]
pub struct Upstream {
    /// The target.
    pub target: belay_model::Target,
    /// The database.
    pub database: String,
    /// The role.
    pub role: String,
    /// Its password.
    pub password: Arc<str>,
}
