//! The client's start-up: TLS, cancel requests, SCRAM, and the first messages of a session.
//!
//! Everything is bounded: 30 seconds for the whole of it, 10,000 bytes a packet, three packets before the start-up.

use crate::back::{self, Dialled, Failure, Startup};
use crate::catalog::keep::CatalogCell;
use crate::classify::SearchPath;
use crate::engine::Shared;
use crate::mask::MaskKey;
use crate::phase::{Established, Outset, Passthrough, Ways, Writing};
use crate::random::{random, random_text};
use crate::scram::{Mechanisms, ScramError};
use crate::settings;
use crate::wire::{
    self, CancelKey, Opening, Report, Severity, StartupParameters, authentication, error_response, negotiate_version,
    notice_response, opening, opening_length, parameter_status, passed_on, ready_for_query,
};
use belay_engine::{Arrival, ClientFacts, Connection, Entry, Gate, Joined, Login, Refusal, Stream, Upstream, Visitor};
use belay_model::{Code, TransactionStatus};
use bytes::{BufMut, Bytes, BytesMut};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a login may take, the dial to the target included.
const LOGIN_TIME: Duration = Duration::from_secs(30);
/// How long a client that is refused may take to read why.
const LAST_WORD_TIME: Duration = Duration::from_secs(2);
/// How long, and how much, is read of a refused client before its connection is closed.
const DRAIN_TIME: Duration = Duration::from_millis(500);
const DRAIN_LIMIT: usize = 1024 * 1024;
/// The longest SASL message.
const SASL_LIMIT: usize = 4096;
/// TLS records begin with this byte where a client starts TLS without asking first.
const TLS_HANDSHAKE: u8 = 0x16;

/// Why a login ends, in its two faces: what the client reads, and what the operator reads.
pub(crate) struct Ended {
    farewell: Option<Bytes>,
    log: String,
}

impl Ended {
    fn silent(log: impl std::fmt::Display) -> Ended {
        Ended { farewell: None, log: log.to_string() }
    }

    fn malformed(message: impl std::fmt::Display) -> Ended {
        Ended::told(Code::Malformed, format!("refused: {message}"))
    }

    fn told(code: Code, message: String) -> Ended {
        Ended::from(Refusal {
            code,
            message,
            detail: Some(code.why().to_owned()),
            hint: Some(code.remedy().to_owned()),
        })
    }
}

impl From<Refusal> for Ended {
    fn from(refusal: Refusal) -> Ended {
        let log = format!("{}: {}", refusal.code, refusal.message);
        let Refusal { code, message, detail, hint } = refusal;
        let report = Report { severity: Severity::Fatal, code, message, detail, hint };
        Ended { farewell: Some(error_response(&report)), log }
    }
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Ended {
        match failure {
            Failure::Refused(refusal) => Ended::from(refusal),
            Failure::Said(said) => Ended { farewell: Some(said), log: "the target refused the connection".to_owned() },
        }
    }
}

impl From<std::io::Error> for Ended {
    fn from(error: std::io::Error) -> Ended {
        Ended::silent(error)
    }
}

/// Takes a TCP connection to a joined session, or ends it.
pub(crate) async fn arrive(shared: &Shared, stream: TcpStream, peer: SocketAddr, gate: &dyn Gate) -> Arrival {
    match timeout(LOGIN_TIME, open(shared, stream, peer, gate)).await {
        Ok(arrival) => arrival,
        Err(_) => Arrival::Refused("login took too long".to_owned()),
    }
}

/// Packets before the start-up: TLS and GSS requests, cancels.
async fn open(shared: &Shared, mut stream: TcpStream, peer: SocketAddr, gate: &dyn Gate) -> Arrival {
    let _ = stream.set_nodelay(true);
    let mut first = [0u8; 1];
    match stream.peek(&mut first).await {
        Ok(1) if first == [TLS_HANDSHAKE] => return over_tls(shared, stream, peer, gate).await,
        Ok(0) | Err(_) => return Arrival::Done,
        Ok(_) => {}
    }
    // At most GSS, then TLS, then the start-up.
    for _ in 0..3 {
        let answer = match read_opening(&mut stream).await {
            Ok(Opening::Ssl) => b"S",
            Ok(Opening::Gss) => b"N",
            Ok(Opening::Cancel(key)) => return cancel(shared, &key).await,
            Ok(Opening::Startup(_)) => {
                let ended = Ended::told(Code::TlsRequired, "refused: TLS is required".to_owned());
                return refuse(&mut stream, ended).await;
            }
            Err(ended) => return refuse(&mut stream, ended).await,
        };
        if stream.write_all(answer).await.is_err() {
            return Arrival::Done;
        }
        if answer == b"S" {
            return over_tls(shared, stream, peer, gate).await;
        }
    }
    refuse(&mut stream, Ended::malformed("too many requests before the start-up")).await
}

async fn over_tls(shared: &Shared, stream: TcpStream, peer: SocketAddr, gate: &dyn Gate) -> Arrival {
    // Whatever a client sent in the clear behind its request is read as TLS here, and fails as such.
    let (acceptor, end_point) = shared.tls();
    let mut stream = match acceptor.accept(stream).await {
        Ok(stream) => stream,
        Err(error) => return Arrival::Refused(format!("TLS handshake: {error}")),
    };
    let startup = match read_opening(&mut stream).await {
        Ok(Opening::Startup(startup)) => startup,
        Ok(Opening::Cancel(key)) => {
            let arrival = cancel(shared, &key).await;
            // Without a farewell, clients that cancel over TLS report an error.
            let _ = timeout(LAST_WORD_TIME, stream.shutdown()).await;
            return arrival;
        }
        Ok(Opening::Ssl | Opening::Gss) => {
            return refuse(&mut stream, Ended::malformed("encryption asked for inside TLS")).await;
        }
        Err(ended) => return refuse(&mut stream, ended).await,
    };
    match log_in(shared, &mut stream, peer, gate, startup, end_point).await {
        Ok(ready) => join(shared, Box::new(stream), ready),
        Err(ended) => refuse(&mut stream, ended).await,
    }
}

async fn read_opening(stream: &mut (impl Stream + ?Sized)) -> Result<Opening, Ended> {
    let mut length = [0u8; 4];
    stream.read_exact(&mut length).await?;
    let mut body = vec![0u8; opening_length(length).map_err(Ended::malformed)?];
    stream.read_exact(&mut body).await?;
    opening(&body).map_err(Ended::malformed)
}

async fn cancel(shared: &Shared, key: &CancelKey) -> Arrival {
    if let Some(route) = shared.cancel_keys().route(key)
        && let Err(error) = back::cancel(&route).await
    {
        return Arrival::Refused(format!("cancel request: {error}"));
    }
    Arrival::Done
}

async fn refuse(stream: &mut (impl Stream + ?Sized), ended: Ended) -> Arrival {
    if let Some(farewell) = &ended.farewell {
        let said = async {
            stream.write_all(farewell).await?;
            stream.shutdown().await
        };
        // The client may be gone; there is nobody else to tell.
        if let Ok(Ok(())) = timeout(LAST_WORD_TIME, said).await {
            let _ = timeout(DRAIN_TIME, drain(stream)).await;
        }
    }
    Arrival::Refused(ended.log)
}

/// Reads what the client had sent before it could know: the kernel answers unread bytes with a reset, which takes the
/// last word away from the client.
async fn drain(stream: &mut (impl Stream + ?Sized)) {
    let mut scratch = [0u8; 4096];
    let mut left = DRAIN_LIMIT;
    while let Ok(count @ 1..) = stream.read(&mut scratch).await {
        left = left.saturating_sub(count);
        if left == 0 {
            return;
        }
    }
}

/// A login that is through on both sides.
struct Ready {
    dialled: Dialled,
    context: belay_engine::SessionContext,
    held: Box<dyn Send>,
    status: TransactionStatus,
    catalog: Option<Arc<CatalogCell>>,
    start: Outset,
    masks: MaskKey,
    upstream: Upstream,
}

async fn log_in(
    shared: &Shared,
    stream: &mut (impl Stream + ?Sized),
    peer: SocketAddr,
    gate: &dyn Gate,
    startup: StartupParameters,
    end_point: Vec<u8>,
) -> Result<Ready, Ended> {
    let wishes = Wishes::of(startup)?;
    if let Some(answer) = wishes.negotiation() {
        stream.write_all(&answer).await?;
    }
    let login = Login { user: wishes.user.clone(), database: wishes.database.clone(), peer };
    let visitor = prove(stream, gate, &login, end_point).await?;
    let transparent = visitor.grant.effects.all;
    let start = wishes.start(transparent)?;
    let facts = ClientFacts { peer, application: wishes.application.clone() };
    let Entry { context, upstream, place } = gate.enter(visitor, facts.clone()).await?;
    if context.grant.effects.all != transparent {
        gate.failed(&login, Code::Revoked).await;
        return Err(Ended::told(Code::Revoked, "login refused: the grant was narrowed meanwhile".to_owned()));
    }
    // A server of one's own would not remember how an earlier connection ended either.
    let cut = context.cut_in_transaction && !transparent;
    // The gate had it looked at a moment ago, so that it is there unless more databases are in use than can be kept.
    let catalog = shared.catalogs().cell(&upstream.target, &upstream.database);
    if catalog.is_none() && !context.grant.effects.all {
        gate.failed(&login, Code::NotReady).await;
        let message = "login refused: the target's catalog is not at hand".to_owned();
        return Err(Ended::told(Code::NotReady, message));
    }
    let dialled = match back::dial(&upstream, &start, cut).await {
        Ok(dialled) => dialled,
        Err(failure) => {
            let code = if let Failure::Refused(refusal) = &failure { refusal.code } else { Code::TargetDown };
            gate.failed(&login, code).await;
            return Err(failure.into());
        }
    };
    gate.joined(&context, &facts, dialled.key.process).await?;
    let status = if cut { TransactionStatus::Failed } else { TransactionStatus::Idle };
    let key = wishes.new_key(dialled.key.process)?;
    let registration = shared.cancel_keys().register(key.clone(), dialled.route.clone());
    stream.write_all(&greeting(&dialled, &context, &key, status)).await?;
    stream.flush().await?;
    let start = session_start(&dialled.path, &upstream.role);
    let masks = MaskKey::of_grant(upstream.password.as_bytes(), context.grant.id);
    Ok(Ready { dialled, context, held: Box::new((registration, place)), status, catalog, start, masks, upstream })
}

/// What names begin with. A path that cannot be followed is none at all: then every name needs its schema.
fn session_start(path: &str, role: &str) -> Outset {
    let path = SearchPath::new(path, role).unwrap_or_else(|| SearchPath::of(std::iter::empty(), role));
    Outset { path, role: role.to_owned() }
}

/// Everything between AuthenticationOk and the first ReadyForQuery. A notice before AuthenticationOk breaks libpq and
/// pgjdbc; here it is shown at once.
fn greeting(
    dialled: &Dialled,
    context: &belay_engine::SessionContext,
    key: &CancelKey,
    status: TransactionStatus,
) -> BytesMut {
    let mut bytes = BytesMut::new();
    bytes.put(authentication(0, b""));
    for (name, value) in &dialled.parameters {
        bytes.put(parameter_status(name, value));
    }
    bytes.put(wire::backend_key(key.process, &key.key));
    if context.grant.effects.all {
        for notice in &dialled.notices {
            bytes.put(passed_on(b'N', notice));
        }
    }
    if status == TransactionStatus::Failed {
        bytes.put(notice_response(&Report {
            severity: Severity::Warning,
            code: Code::CutInTransaction,
            message: format!("{}: an earlier connection was cut inside a transaction", context.session),
            detail: Some(Code::CutInTransaction.why().to_owned()),
            hint: Some("ROLLBACK".to_owned()),
        }));
    }
    bytes.put(ready_for_query(status));
    bytes
}

fn join(shared: &Shared, client: Box<dyn Stream>, ready: Ready) -> Arrival {
    let Ready { dialled, context, held, status, catalog, start, masks, upstream } = ready;
    let connection: Box<dyn Connection> = match catalog {
        Some(catalog) if !context.grant.effects.all => {
            let judging = Established::new(Arc::clone(&catalog), &start, &context, status).with_mask_key(masks);
            if context.grant.effects.write {
                Box::new(Writing::new(judging, Ways::new(catalog, &context, upstream)))
            } else {
                Box::new(judging)
            }
        }
        // Without a catalog only a grant of everything gets this far.
        _ => Box::new(Passthrough::new(shared.classifier(), &context, &dialled.parameters)),
    };
    Arrival::Joined(Box::new(Joined {
        client,
        upstream: dialled.stream,
        connection,
        context,
        backend: dialled.key.process,
        held,
    }))
}

/// Runs SCRAM. The same text comes back whether the user, the grant or the token is wrong.
async fn prove(
    stream: &mut (impl Stream + ?Sized),
    gate: &dyn Gate,
    login: &Login,
    end_point: Vec<u8>,
) -> Result<Visitor, Ended> {
    let candidate = gate.find(login).await?;
    stream.write_all(&authentication(10, &Mechanisms::offer())).await?;
    stream.flush().await?;
    let first = read_sasl(stream).await?;
    let proven = match initial(&first) {
        None => Err(ScramError::Malformed),
        Some((mechanism, message)) => {
            let nonce = random_text()?;
            match Mechanisms::new(end_point).handle_first(mechanism, message, candidate.verifier, &nonce) {
                Err(error) => Err(error),
                Ok((next, answer)) => {
                    stream.write_all(&authentication(11, answer.as_bytes())).await?;
                    stream.flush().await?;
                    next.handle_final(&read_sasl(stream).await?)
                }
            }
        }
    };
    match (proven, candidate.visitor) {
        (Ok(signature), Some(visitor)) => {
            stream.write_all(&authentication(12, signature.as_bytes())).await?;
            Ok(visitor)
        }
        (Err(error @ (ScramError::Malformed | ScramError::Mechanism)), _) => {
            gate.failed(login, Code::Malformed).await;
            Err(Ended::malformed(error))
        }
        (Err(error @ (ScramError::Downgrade | ScramError::Binding)), _) => {
            gate.failed(login, Code::BadToken).await;
            Err(Ended::told(Code::BadToken, format!("login refused: {error}")))
        }
        _ => {
            gate.failed(login, Code::BadToken).await;
            let message = format!("login refused: no grant matches user \"{}\" and this token", login.user);
            Err(Ended::told(Code::BadToken, message))
        }
    }
}

/// SASLInitialResponse: the mechanism and the first message.
fn initial(body: &[u8]) -> Option<(&str, &[u8])> {
    let end = memchr::memchr(0, body)?;
    let (mechanism, rest) = body.split_at(end);
    let (length, message) = rest.get(1..)?.split_first_chunk::<4>()?;
    let exact = usize::try_from(i32::from_be_bytes(*length)).ok()? == message.len();
    exact.then_some((std::str::from_utf8(mechanism).ok()?, message))
}

async fn read_sasl(stream: &mut (impl Stream + ?Sized)) -> Result<Vec<u8>, Ended> {
    let mut head = [0u8; 5];
    stream.read_exact(&mut head).await?;
    let [tag, a, b, c, d] = head;
    if tag != b'p' {
        return Err(Ended::malformed(format!("expected a SASL response, got message type {tag}")));
    }
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if !(4..=SASL_LIMIT).contains(&length) {
        return Err(Ended::malformed("invalid length of a SASL response"));
    }
    let mut body = vec![0u8; length - 4];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

/// What the start-up packet asks for.
struct Wishes {
    minor: u16,
    user: String,
    database: String,
    application: String,
    /// What else it asks for, as it came.
    parameters: Vec<(String, String)>,
    /// Protocol options that are not known here.
    unknown: Vec<String>,
}

impl Wishes {
    fn of(startup: StartupParameters) -> Result<Wishes, Ended> {
        let mut wishes = Wishes {
            minor: startup.minor,
            user: String::new(),
            database: String::new(),
            application: String::new(),
            parameters: Vec::new(),
            unknown: Vec::new(),
        };
        for (name, value) in startup.parameters {
            match name.as_str() {
                "user" => wishes.user = value,
                "database" => wishes.database = value,
                _ if name.starts_with("_pq_.") => wishes.unknown.push(name),
                _ => wishes.parameters.push((name, value)),
            }
        }
        // Options that cannot be read are judged by whoever takes them.
        wishes.application = wishes.settings().into_iter().flatten().fold(String::new(), |last, (name, value)| {
            if name.eq_ignore_ascii_case("application_name") { value } else { last }
        });
        if wishes.user.is_empty() {
            return Err(Ended::told(Code::NoGrant, "refused: no user name in the startup packet".to_owned()));
        }
        if wishes.database.is_empty() {
            // As PostgreSQL does.
            wishes.database.clone_from(&wishes.user);
        }
        Ok(wishes)
    }

    /// How the session begins in the target: as it was asked for, or with what a guarded one may have of it.
    fn start(&self, transparent: bool) -> Result<Startup, Ended> {
        if transparent {
            return Ok(Startup::Transparent(self.parameters.clone()));
        }
        let settings = self.settings()?;
        for (name, value) in &settings {
            if name == "replication" {
                return Err(Ended::told(Code::MessageRefused, "refused: replication connection".to_owned()));
            }
            if !settings::may_set(name, Some(value)) {
                let message = format!("refused: start-up setting \"{name}\" to \"{value}\"");
                return Err(Ended::told(Code::GuardedSetting, message));
            }
        }
        Ok(Startup::Guarded(settings))
    }

    /// Every setting that is asked for, those in `options` too.
    fn settings(&self) -> Result<Vec<(String, String)>, Ended> {
        let mut settings = Vec::new();
        for (name, value) in &self.parameters {
            match name.as_str() {
                "replication" if is_off(value) => {}
                "options" => settings.extend(wire::options(value).map_err(|problem| {
                    Ended::told(Code::GuardedSetting, format!("refused: start-up options: {problem}"))
                })?),
                _ => settings.push((name.clone(), value.clone())),
            }
        }
        Ok(settings)
    }

    /// NegotiateProtocolVersion, where the client asked for more than there is.
    fn negotiation(&self) -> Option<bytes::Bytes> {
        let spoken = self.spoken();
        (spoken != self.minor || !self.unknown.is_empty())
            .then(|| negotiate_version((3 << 16) | u32::from(spoken), &self.unknown))
    }

    /// 3.1 was never released; PostgreSQL answers it with 3.0.
    fn spoken(&self) -> u16 {
        if self.minor >= 2 { 2 } else { 0 }
    }

    /// A cancel key of our own for the target's process: 4 bytes in protocol 3.0, 32 from 3.2.
    fn new_key(&self, process: i32) -> Result<CancelKey, Ended> {
        let bytes: [u8; 32] = random()?;
        let length = if self.spoken() >= 2 { 32 } else { 4 };
        Ok(CancelKey { process, key: bytes.into_iter().take(length).collect() })
    }
}

fn is_off(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "false" | "off" | "no" | "0")
}
