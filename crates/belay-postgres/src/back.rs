//! The dial to a target as a grant's role.

use crate::cancel::CancelRoute;
use crate::capture::armed::SETTING as ARMED_SETTING;
use crate::channel_binding::end_point_hash;
use crate::target_tls::TargetTls;
use crate::wire::{CancelKey, OWN, error_fields, own_query, passed_on};
use belay_engine::{Refusal, Stream, Upstream};
use belay_model::{Code, Target};
use bytes::{BufMut, Bytes, BytesMut};
use fallible_iterator::FallibleIterator as _;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256};
use postgres_protocol::message::{backend, frontend};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// How long the dial may take, from the first packet to ReadyForQuery.
const DIAL_TIME: Duration = Duration::from_secs(15);
/// How long a cancel request may take.
const CANCEL_TIME: Duration = Duration::from_secs(5);
/// The longest message taken during start-up.
const MESSAGE_LIMIT: usize = 64 * 1024;
/// How many messages the target may send before it is ready.
const MESSAGES: usize = 1000;

/// Set at the start-up of every connection, so that `RESET ALL` comes back to them: the encoding and the string
/// syntax that the classifier reads, the read-only default, and that triggers of armed tables act.
const PINNED: [(&str, &str); 4] = [
    ("client_encoding", "UTF8"),
    ("standard_conforming_strings", "on"),
    ("default_transaction_read_only", "on"),
    ARMED_SETTING,
];

/// How a session begins in the target.
pub(crate) enum Startup {
    /// With these settings, as far as they are not pinned; read-only.
    Guarded(Vec<(String, String)>),
    /// With the client's own start-up parameters, whatever they are.
    Transparent(Vec<(String, String)>),
}

/// What the session's names without a schema begin with; the server's own setting, the client's and the role's in it.
const SEARCH_PATH: &str = "SELECT pg_catalog.current_setting('search_path')";

/// A connection to the target that is ready for queries.
pub(crate) struct Dialled {
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) parameters: Vec<(String, String)>,
    /// What the target had to say before it was ready, as fields of notices.
    pub(crate) notices: Vec<Said>,
    /// The search path that a guarded session starts with.
    pub(crate) path: String,
    pub(crate) key: CancelKey,
    pub(crate) route: CancelRoute,
}

/// The fields of an error or a notice of the target.
type Said = Vec<(u8, Vec<u8>)>;

/// What the client is told of a dial that failed.
pub(crate) enum Failure {
    /// Belay's own words.
    Refused(Refusal),
    /// The target's error, as it came.
    Said(Bytes),
}

/// Why a dial failed. The client reads little of it; the operator's log gets the rest through the refusal's detail.
#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("TLS to the target: {0}")]
    Tls(String),
    #[error("the target refused the connection: {}", told(.0))]
    Refused(Said),
    #[error("the target does not speak as expected: {0}")]
    Unexpected(&'static str),
}

/// Dials, logs in as the grant's role, and sets the session up.
///
/// With `failed` the connection starts inside a transaction that has failed, for real: the client has to roll back.
pub(crate) async fn dial(upstream: &Upstream, start: &Startup, failed: bool) -> Result<Dialled, Failure> {
    let why = match timeout(DIAL_TIME, connect(upstream, start, failed)).await {
        Ok(Ok(dialled)) => return Ok(dialled),
        Ok(Err(DialError::Refused(said))) if matches!(start, Startup::Transparent(_)) => {
            return Err(Failure::Said(passed_on(b'E', &said)));
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer in time".to_owned(),
    };
    Err(Failure::Refused(unreachable(upstream, &why)))
}

fn unreachable(upstream: &Upstream, why: &str) -> Refusal {
    Refusal {
        code: Code::TargetDown,
        message: format!("target {} cannot be reached", upstream.target.name),
        detail: Some(why.to_owned()),
        hint: Some(format!("belay target check {}", upstream.target.name)),
    }
}

async fn connect(upstream: &Upstream, start: &Startup, failed: bool) -> Result<Dialled, DialError> {
    let guarded = matches!(start, Startup::Guarded(_));
    let (stream, end_point) = secured(&upstream.target).await?;
    let mut wire = Wire { stream, inbox: BytesMut::new() };
    wire.send(|out| {
        let mut parameters: Vec<(&str, &str)> = vec![("user", &upstream.role), ("database", &upstream.database)];
        let (Startup::Guarded(wishes) | Startup::Transparent(wishes)) = start;
        let passed = wishes.iter().filter(|(name, _)| !guarded || !is_pinned(name));
        parameters.extend(passed.map(|(name, value)| (name.as_str(), value.as_str())));
        if guarded {
            parameters.extend(PINNED);
        }
        frontend::startup_message(parameters, out)
    })
    .await?;
    authenticate(&mut wire, &upstream.password, end_point).await?;
    let Greeting { parameters, notices, key } = ready(&mut wire).await?;
    if guarded && !parameters.iter().any(|(name, value)| name == "default_transaction_read_only" && value == "on") {
        return Err(DialError::Unexpected("it did not confirm the read-only default"));
    }
    let path = if guarded { ask(&mut wire, &format!("{SEARCH_PATH}{OWN}")).await? } else { String::new() };
    if failed {
        fail_transaction(&mut wire).await?;
    }
    let Target { host, port, .. } = &upstream.target;
    let route = CancelRoute { host: host.clone(), port: *port, key: key.clone() };
    Ok(Dialled { stream: wire.stream, parameters, notices, path, key, route })
}

fn is_pinned(name: &str) -> bool {
    PINNED.iter().any(|(pinned, _)| pinned.eq_ignore_ascii_case(name))
}

/// The byte stream, with TLS as the target asks for it, and the hash for channel binding where there is TLS.
async fn secured(target: &Target) -> Result<(Box<dyn Stream>, Option<Vec<u8>>), DialError> {
    if TargetTls::is_socket(target) {
        let path = format!("{}/.s.PGSQL.{}", target.host, target.port);
        return Ok((Box::new(UnixStream::connect(path).await?), None));
    }
    let mut stream = TcpStream::connect((target.host.as_str(), target.port)).await?;
    stream.set_nodelay(true)?;
    let (config, name) = match TargetTls::of(target).map_err(|error| DialError::Tls(error.to_string()))? {
        TargetTls::Off => return Ok((Box::new(stream), None)),
        TargetTls::On { config, name, .. } => (config, name),
    };
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    stream.write_all(&request).await?;
    let mut answer = [0u8; 1];
    stream.read_exact(&mut answer).await?;
    if &answer != b"S" {
        return Err(DialError::Tls("the target offers none".to_owned()));
    }
    let stream = tokio_rustls::TlsConnector::from(config)
        .connect(name, stream)
        .await
        .map_err(|error| DialError::Tls(error.to_string()))?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let end_point = certificate.and_then(|leaf| end_point_hash(leaf));
    Ok((Box::new(stream), end_point))
}

/// A stream with what was read ahead of it.
struct Wire {
    stream: Box<dyn Stream>,
    inbox: BytesMut,
}

impl Wire {
    async fn send(&mut self, build: impl FnOnce(&mut BytesMut) -> io::Result<()>) -> Result<(), DialError> {
        let mut out = BytesMut::new();
        build(&mut out)?;
        self.stream.write_all(&out).await?;
        self.stream.flush().await?;
        Ok(())
    }

    async fn receive(&mut self) -> Result<backend::Message, DialError> {
        loop {
            if let Some(length) = self.inbox.get(1..5)
                && u32::from_be_bytes(length.try_into().unwrap_or_default()) as usize > MESSAGE_LIMIT
            {
                return Err(DialError::Unexpected("a start-up message is too long"));
            }
            if let Some(message) = backend::Message::parse(&mut self.inbox)? {
                if let backend::Message::ErrorResponse(body) = message {
                    return Err(DialError::Refused(said(body.fields())?));
                }
                return Ok(message);
            }
            if self.stream.read_buf(&mut self.inbox).await? == 0 {
                return Err(DialError::Io(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}

fn said(fields: backend::ErrorFields<'_>) -> io::Result<Said> {
    fields.map(|field| Ok((field.type_(), field.value_bytes().to_vec()))).collect()
}

fn told(said: &Said) -> String {
    let mut text = String::new();
    for (code, value) in said {
        if matches!(code, b'M' | b'C') {
            let value = String::from_utf8_lossy(value).into_owned();
            text = if text.is_empty() { value } else { format!("{value} ({text})") };
        }
    }
    text
}

async fn authenticate(wire: &mut Wire, password: &str, end_point: Option<Vec<u8>>) -> Result<(), DialError> {
    match wire.receive().await? {
        backend::Message::AuthenticationOk => return Ok(()),
        backend::Message::AuthenticationSasl(body) => {
            let mut plus = false;
            body.mechanisms().for_each(|name| {
                plus |= name == SCRAM_SHA_256_PLUS;
                Ok(())
            })?;
            let (binding, mechanism) = match end_point {
                Some(hash) if plus => (ChannelBinding::tls_server_end_point(hash), SCRAM_SHA_256_PLUS),
                Some(_) => (ChannelBinding::unrequested(), SCRAM_SHA_256),
                None => (ChannelBinding::unsupported(), SCRAM_SHA_256),
            };
            scram(wire, ScramSha256::new(password.as_bytes(), binding), mechanism).await?;
        }
        _ => return Err(DialError::Unexpected("it asks for a login other than SCRAM-SHA-256")),
    }
    match wire.receive().await? {
        backend::Message::AuthenticationOk => Ok(()),
        _ => Err(DialError::Unexpected("no AuthenticationOk")),
    }
}

async fn scram(wire: &mut Wire, mut scram: ScramSha256, mechanism: &str) -> Result<(), DialError> {
    wire.send(|out| frontend::sasl_initial_response(mechanism, scram.message(), out)).await?;
    let backend::Message::AuthenticationSaslContinue(body) = wire.receive().await? else {
        return Err(DialError::Unexpected("SCRAM broke off"));
    };
    scram.update(body.data())?;
    wire.send(|out| frontend::sasl_response(scram.message(), out)).await?;
    let backend::Message::AuthenticationSaslFinal(body) = wire.receive().await? else {
        return Err(DialError::Unexpected("SCRAM broke off"));
    };
    Ok(scram.finish(body.data())?)
}

/// What the target says between AuthenticationOk and ReadyForQuery.
struct Greeting {
    parameters: Vec<(String, String)>,
    notices: Vec<Said>,
    key: CancelKey,
}

async fn ready(wire: &mut Wire) -> Result<Greeting, DialError> {
    let (mut parameters, mut notices, mut key) = (Vec::new(), Vec::new(), None);
    for _ in 0..MESSAGES {
        match wire.receive().await? {
            backend::Message::ParameterStatus(body) => {
                parameters.push((body.name()?.to_owned(), body.value()?.to_owned()));
            }
            backend::Message::BackendKeyData(body) => {
                let bytes = body.secret_key().to_be_bytes().to_vec();
                key = Some(CancelKey { process: body.process_id(), key: bytes });
            }
            backend::Message::NoticeResponse(body) => {
                notices.push(said(body.fields())?);
            }
            backend::Message::ReadyForQuery(_) => {
                let key = key.ok_or(DialError::Unexpected("it gave no cancel key"))?;
                return Ok(Greeting { parameters, notices, key });
            }
            _ => return Err(DialError::Unexpected("a message out of order at start-up")),
        }
    }
    Err(DialError::Unexpected("it does not become ready"))
}

/// Puts the connection into a failed transaction. PostgreSQL itself then refuses everything until ROLLBACK.
async fn fail_transaction(wire: &mut Wire) -> Result<(), DialError> {
    exchange(wire, own_query("BEGIN"), b'T').await?;
    let text = crate::wire::refusal_text(Code::CutInTransaction);
    exchange(wire, own_query(&text), b'E').await
}

/// Sends a query and reads up to ReadyForQuery, which must say `status`.
async fn exchange(wire: &mut Wire, message: Bytes, status: u8) -> Result<(), DialError> {
    wire.stream.write_all(&message).await?;
    wire.stream.flush().await?;
    for _ in 0..MESSAGES {
        while wire.inbox.len() < 5 {
            fill(wire).await?;
        }
        let length = wire.inbox.get(1..5).and_then(|b| b.try_into().ok()).map_or(0, u32::from_be_bytes) as usize;
        if !(4..=MESSAGE_LIMIT).contains(&length) {
            return Err(DialError::Unexpected("a message with an invalid length"));
        }
        while wire.inbox.len() <= length {
            fill(wire).await?;
        }
        let message = wire.inbox.split_to(length + 1);
        match (message.first(), message.get(5)) {
            (Some(b'Z'), Some(said)) if *said == status => return Ok(()),
            (Some(b'Z'), _) => return Err(DialError::Unexpected("the transaction did not fail as it should")),
            (Some(b'E'), _) if error_fields(message.get(5..).unwrap_or_default()).is_fatal() => {
                return Err(DialError::Unexpected("it closed the connection"));
            }
            _ => {}
        }
    }
    Err(DialError::Unexpected("it does not become ready"))
}

/// The answer to a query of one row and one column.
async fn ask(wire: &mut Wire, text: &str) -> Result<String, DialError> {
    wire.send(|out| frontend::query(text, out)).await?;
    let mut answer = None;
    for _ in 0..MESSAGES {
        match wire.receive().await? {
            backend::Message::DataRow(body) => {
                let mut ranges = body.ranges();
                let range = ranges.next()?.flatten().ok_or(DialError::Unexpected("it answers without a value"))?;
                let value = body.buffer().get(range).map(|value| String::from_utf8_lossy(value).into_owned());
                answer = value.or(answer);
            }
            backend::Message::ReadyForQuery(_) => return answer.ok_or(DialError::Unexpected("it does not answer")),
            _ => {}
        }
    }
    Err(DialError::Unexpected("it does not become ready"))
}

async fn fill(wire: &mut Wire) -> Result<(), DialError> {
    match wire.stream.read_buf(&mut wire.inbox).await? {
        0 => Err(DialError::Io(io::ErrorKind::UnexpectedEof.into())),
        _ => Ok(()),
    }
}

/// Sends a cancel request on and waits until the target has dealt with it. It goes in the clear, as libpq's does before
/// version 17: it holds nothing but the key.
pub(crate) async fn cancel(route: &CancelRoute) -> io::Result<()> {
    let mut packet = BytesMut::new();
    packet.put_u32(u32::try_from(route.key.key.len() + 12).unwrap_or(16));
    packet.put_u32(80_877_102);
    packet.put_i32(route.key.process);
    packet.put_slice(&route.key.key);
    let send = async {
        if route.host.starts_with('/') {
            let stream = UnixStream::connect(format!("{}/.s.PGSQL.{}", route.host, route.port)).await?;
            return hand_over(stream, &packet).await;
        }
        hand_over(TcpStream::connect((route.host.as_str(), route.port)).await?, &packet).await
    };
    timeout(CANCEL_TIME, send).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// The target closes once it has signalled. A client that were let go earlier could have its next statement cancelled.
async fn hand_over(mut stream: impl AsyncRead + AsyncWrite + Unpin, packet: &[u8]) -> io::Result<()> {
    stream.write_all(packet).await?;
    match stream.read(&mut [0u8; 1]).await {
        Ok(0) => Ok(()),
        Ok(_) => Err(io::ErrorKind::InvalidData.into()),
        // Its end, too: a target may close without having read everything.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(()),
        Err(error) => Err(error),
    }
}
