//! A PostgreSQL client of a few lines: no cleverness between a test and the wire.

use bytes::{BufMut, BytesMut};
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;
use testkit::{Belay, Ticket};

const PATIENCE: Duration = Duration::from_secs(20);

/// A message of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its type.
    pub tag: u8,
    /// What stands behind its length.
    pub body: Vec<u8>,
}

impl Message {
    /// The fields of an ErrorResponse or NoticeResponse.
    pub fn fields(&self) -> HashMap<char, String> {
        let texts = self.body.split(|byte| *byte == 0).filter(|text| !text.is_empty());
        texts.map(|text| (char::from(text[0]), String::from_utf8_lossy(&text[1..]).into_owned())).collect()
    }

    /// `FATAL 57P01`, and the code in brackets at the end of its message if there is one.
    pub fn verdict(&self) -> String {
        let fields = self.fields();
        let message = &fields[&'M'];
        let code = message.strip_suffix(']').and_then(|text| text.rsplit_once('[')).map_or("", |(_, code)| code);
        format!("{} {} {code}", fields[&'V'], fields[&'C']).trim_end().to_owned()
    }
}

/// A message of a client.
pub fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// A connection over TLS.
pub struct Raw {
    stream: StreamOwned<ClientConnection, TcpStream>,
    /// What the server said about itself.
    pub parameters: HashMap<String, String>,
    /// Process id and secret, as BackendKeyData carries them.
    pub key: Vec<u8>,
}

impl Raw {
    /// Asks for TLS, as libpq does.
    pub fn open(belay: &Belay) -> Raw {
        let mut tcp = Raw::tcp(belay);
        tcp.write_all(b"\0\0\0\x08\x04\xd2\x16\x2f").unwrap();
        let mut answer = [0];
        tcp.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"S");
        Raw::over(belay, tcp, &[])
    }

    /// Begins with TLS, as libpq 17 can.
    pub fn open_direct(belay: &Belay) -> Raw {
        Raw::over(belay, Raw::tcp(belay), &[b"postgresql"])
    }

    /// A connection without TLS.
    pub fn tcp(belay: &Belay) -> TcpStream {
        let tcp = TcpStream::connect(("127.0.0.1", belay.port())).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.set_nodelay(true).unwrap();
        tcp
    }

    fn over(belay: &Belay, tcp: TcpStream, protocols: &[&[u8]]) -> Raw {
        let pem = std::fs::read(belay.ca_file()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let name = ServerName::try_from("localhost").unwrap();
        let tls = ClientConnection::new(Arc::new(config), name).unwrap();
        Raw { stream: StreamOwned::new(tls, tcp), parameters: HashMap::new(), key: Vec::new() }
    }

    /// A connection that is ready for queries.
    pub fn log_in(belay: &Belay, ticket: &Ticket, database: &str) -> Raw {
        let mut raw = Raw::open(belay);
        raw.start(0, &[("user", &ticket.user), ("database", database)]);
        raw.authenticate(&ticket.secret);
        raw.await_ready();
        raw
    }

    /// Sends the start-up packet of protocol 3.`minor`.
    pub fn start(&mut self, minor: u16, parameters: &[(&str, &str)]) {
        let mut body = BytesMut::new();
        body.put_u16(3);
        body.put_u16(minor);
        for text in parameters.iter().flat_map(|(name, value)| [name, value]) {
            body.put_slice(text.as_bytes());
            body.put_u8(0);
        }
        body.put_u8(0);
        let mut packet = u32::try_from(body.len() + 4).unwrap().to_be_bytes().to_vec();
        packet.extend_from_slice(&body);
        self.send(&packet);
    }

    /// SCRAM-SHA-256 without channel binding, up to AuthenticationOk. Panics when it is refused.
    pub fn authenticate(&mut self, secret: &str) {
        if let Err(refused) = self.try_authenticate(secret) {
            panic!("{:?}", refused.fields());
        }
    }

    /// The same; an error comes back.
    pub fn try_authenticate(&mut self, secret: &str) -> Result<(), Message> {
        let mut scram = ScramSha256::new(secret.as_bytes(), ChannelBinding::unsupported());
        let offer = self.expect(b'R')?;
        assert_eq!(offer.body[..4], [0, 0, 0, 10]);
        let mut first = b"SCRAM-SHA-256\0".to_vec();
        first.extend_from_slice(&u32::try_from(scram.message().len()).unwrap().to_be_bytes());
        first.extend_from_slice(scram.message());
        self.send(&message(b'p', &first));
        scram.update(&self.expect(b'R')?.body[4..]).unwrap();
        self.send(&message(b'p', scram.message()));
        scram.finish(&self.expect(b'R')?.body[4..]).unwrap();
        assert_eq!(self.expect(b'R')?.body, [0, 0, 0, 0]);
        Ok(())
    }

    fn expect(&mut self, tag: u8) -> Result<Message, Message> {
        let message = self.read().expect("an answer").expect("not the end");
        if message.tag == tag { Ok(message) } else { Err(message) }
    }

    /// Reads up to ReadyForQuery and keeps what the server says about itself.
    pub fn await_ready(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            let message = self.read().expect("an answer").expect("not the end");
            match message.tag {
                b'S' => {
                    let texts: Vec<_> = message.body.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
                    self.parameters.insert(texts[0].to_string(), texts[1].to_string());
                }
                b'K' => self.key.clone_from(&message.body),
                _ => {}
            }
            let ready = message.tag == b'Z';
            messages.push(message);
            if ready {
                return messages;
            }
        }
    }

    /// A simple query and everything up to ReadyForQuery.
    pub fn query(&mut self, sql: &str) -> Vec<Message> {
        self.send(&message(b'Q', format!("{sql}\0").as_bytes()));
        self.await_ready()
    }

    /// The types of the messages that answer a simple query.
    pub fn tags(&mut self, sql: &str) -> String {
        self.query(sql).iter().map(|message| char::from(message.tag)).collect()
    }

    /// Sends bytes. A server that has hung up is noticed when it is read from.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).and_then(|()| self.stream.flush());
    }

    /// One message; `None` at the end of the connection.
    pub fn read(&mut self) -> io::Result<Option<Message>> {
        let mut head = [0; 5];
        match self.stream.read_exact(&mut head) {
            Err(error) if is_end(&error) => return Ok(None),
            other => other?,
        }
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let mut body = vec![0; length - 4];
        self.stream.read_exact(&mut body)?;
        Ok(Some(Message { tag: head[0], body }))
    }

    /// Everything up to the end of the connection, which must come.
    pub fn read_to_end(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(message) = self.read().expect("the server hangs up") {
            messages.push(message);
        }
        messages
    }
}

fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted
    )
}

fn cancel_packet(key: &[u8]) -> Vec<u8> {
    let mut packet = u32::try_from(key.len() + 8).unwrap().to_be_bytes().to_vec();
    packet.extend_from_slice(&80_877_102_u32.to_be_bytes());
    packet.extend_from_slice(key);
    packet
}

/// CancelRequest without TLS, as psql 15 sends it; `key` is the body of BackendKeyData.
pub fn cancel_in_the_clear(belay: &Belay, key: &[u8]) {
    let mut tcp = Raw::tcp(belay);
    tcp.write_all(&cancel_packet(key)).unwrap();
    let _ = tcp.read(&mut [0]);
}

/// CancelRequest over TLS, as psql 17 sends it.
pub fn cancel_over_tls(belay: &Belay, key: &[u8]) {
    let mut raw = Raw::open(belay);
    raw.send(&cancel_packet(key));
    let _ = raw.read();
}
