//! Receivers of events, each as strict as its standard.

use aws_lc_rs::hmac;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use testkit::Certificates;

pub(super) const SECRET: &str = "a secret of this test";

/// What a receiver has taken, in order, with what was sent twice.
#[derive(Clone, Default)]
pub(super) struct Taken(Arc<Mutex<Vec<Value>>>);

impl Taken {
    pub(super) fn all(&self) -> Vec<Value> {
        self.0.lock().unwrap().clone()
    }

    /// The numbers of the records, each where it came first.
    pub(super) fn numbers(&self) -> Vec<u64> {
        let mut numbers: Vec<u64> = Vec::new();
        for event in self.0.lock().unwrap().iter() {
            let number = event["event"]["sequence"].as_u64().unwrap_or_else(|| panic!("no sequence in {event}"));
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        }
        numbers
    }

    fn take(&self, event: Value) {
        self.0.lock().unwrap().push(event);
    }
}

/// What an HTTP receiver does with a POST.
#[derive(Clone, Copy)]
pub(super) enum Mood {
    Takes,
    /// 500.
    Refuses,
    /// Reads it and never answers.
    Hangs,
    /// Takes it and hangs up before it says so.
    HangsUp,
}

/// A webhook that goes through `moods` again and again. A wrong signature ends the test.
pub(super) fn webhook(moods: &'static [Mood]) -> (u16, Taken) {
    http(moods, |head, body, taken| {
        assert!(is_signed(header(head, "belay-signature"), body), "{head}");
        assert_eq!(header(head, "content-type"), "application/x-ndjson");
        for line in body.split(|byte| *byte == b'\n') {
            taken.take(serde_json::from_slice(line).unwrap());
        }
        String::new()
    })
}

/// A collector of OTLP's logs.
pub(super) fn collector(moods: &'static [Mood]) -> (u16, Taken) {
    http(moods, |head, body, taken| {
        assert!(head.starts_with("POST /v1/logs HTTP/1.1\r\n"), "{head}");
        assert_eq!((header(head, "content-type"), header(head, "authorization")), ("application/json", SECRET));
        let request: Value = serde_json::from_slice(body).unwrap();
        let resource = &request["resourceLogs"][0];
        assert_eq!(resource["resource"]["attributes"][0]["value"]["stringValue"], "belay");
        for record in resource["scopeLogs"][0]["logRecords"].as_array().unwrap() {
            assert!(record["timeUnixNano"].as_str().unwrap().parse::<u64>().unwrap() > 0);
            assert!(record["body"]["stringValue"].is_string());
            taken.take(nested(record["attributes"].as_array().unwrap()));
        }
        r#"{"partialSuccess":{}}"#.to_owned()
    })
}

/// Attributes as the object they were made from.
fn nested(attributes: &[Value]) -> Value {
    let mut whole = Value::Object(serde_json::Map::new());
    for attribute in attributes {
        let mut place = &mut whole;
        for part in attribute["key"].as_str().unwrap().split('.') {
            place = &mut place[part];
        }
        let (kind, value) = attribute["value"].as_object().unwrap().iter().next().unwrap();
        *place = match kind.as_str() {
            "intValue" => value.as_str().unwrap().parse::<i64>().unwrap().into(),
            "stringValue" | "boolValue" | "arrayValue" => value.clone(),
            other => panic!("unexpected {other}"),
        };
    }
    whole
}

fn http(moods: &'static [Mood], read: fn(&str, &[u8], &Taken) -> String) -> (u16, Taken) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let taken = Taken::default();
    let taking = taken.clone();
    thread::spawn(move || {
        let mut moods = moods.iter().cycle();
        let mut hanging = Vec::new();
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            // One POST a connection; those that nobody answers stay open.
            if let Ok(Some(stream)) = one_post(stream, *moods.next().unwrap(), read, &taking) {
                hanging.push(stream);
            }
        }
    });
    (port, taken)
}

fn one_post(
    stream: TcpStream,
    mood: Mood,
    read: fn(&str, &[u8], &Taken) -> String,
    taken: &Taken,
) -> io::Result<Option<TcpStream>> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(None);
        }
    }
    let mut body = vec![0; header(&head, "content-length").parse().unwrap()];
    reader.read_exact(&mut body)?;
    let (status, answer) = match mood {
        Mood::Takes => ("200 OK", read(&head, &body, taken)),
        Mood::Refuses => ("500 Internal Server Error", String::new()),
        Mood::Hangs => return Ok(Some(stream)),
        Mood::HangsUp => {
            read(&head, &body, taken);
            return Ok(None);
        }
    };
    let length = answer.len();
    write!(&stream, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{answer}")?;
    Ok(None)
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let found = head.lines().filter_map(|line| line.split_once(": ")).find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map_or_else(|| panic!("no {name} in {head}"), |(_, value)| value)
}

fn is_signed(signature: &str, body: &[u8]) -> bool {
    let (time, tag) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let tag: Vec<u8> = (0..tag.len()).step_by(2).map(|at| u8::from_str_radix(&tag[at..at + 2], 16).unwrap()).collect();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    hmac::verify(&key, &[format!("{time}.").as_bytes(), body].concat(), &tag).is_ok()
}

/// Syslog over TCP. The first connections are cut after so many messages, and what else was on them is lost.
pub(super) fn syslog(cuts: &'static [usize]) -> (u16, Taken) {
    stream_receiver(cuts, |stream| Box::new(stream))
}

/// The same over TLS, with a certificate for `localhost`.
pub(super) fn syslog_over_tls(certificates: &Certificates, cuts: &'static [usize]) -> (u16, Taken) {
    let chain = vec![CertificateDer::from_pem_slice(certificates.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(certificates.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = Arc::new(builder.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap());
    stream_receiver(cuts, move |stream| {
        let session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        Box::new(rustls::StreamOwned::new(session, stream))
    })
}

fn stream_receiver(cuts: &'static [usize], open: impl Fn(TcpStream) -> Box<dyn Read> + Send + 'static) -> (u16, Taken) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let taken = Taken::default();
    let taking = taken.clone();
    thread::spawn(move || {
        let mut cuts = cuts.iter();
        for stream in listener.incoming() {
            let mut reader = BufReader::new(open(stream.unwrap()));
            for _ in 0..cuts.next().copied().unwrap_or(usize::MAX) {
                let Some(frame) = frame(&mut reader) else { break };
                taking.take(message(&frame));
            }
        }
    });
    (port, taken)
}

/// A frame of RFC 6587 with octet counting: `MSG-LEN SP SYSLOG-MSG`. `None` where the sender hung up.
fn frame(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut length = Vec::new();
    loop {
        let mut byte = [0];
        reader.read_exact(&mut byte).ok()?;
        match byte[0] {
            b' ' => break,
            b'1'..=b'9' => length.push(byte[0]),
            b'0' if !length.is_empty() => length.push(byte[0]),
            other => panic!("byte {other} in the length of a frame"),
        }
    }
    let mut frame = vec![0; String::from_utf8(length).unwrap().parse().unwrap()];
    reader.read_exact(&mut frame).ok()?;
    Some(frame)
}

/// RFC 5424, section 6: `<PRI>1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID SD MSG`.
fn message(frame: &[u8]) -> Value {
    assert!(frame.is_ascii(), "not ASCII and no byte order mark");
    let text = std::str::from_utf8(frame).unwrap();
    assert!(!text.chars().any(char::is_control), "{text}");
    let parts: Vec<&str> = text.splitn(8, ' ').collect();
    let [head, time, host, application, process, id, data, message] = parts[..] else { panic!("{text}") };
    let priority: u8 = head.strip_prefix('<').unwrap().strip_suffix(">1").unwrap().parse().unwrap();
    assert!([13 * 8 + 4, 13 * 8 + 5, 13 * 8 + 6].contains(&priority), "{text}");
    assert!(time.len() == 27 && time.ends_with('Z') && time.as_bytes()[10] == b'T', "{time}");
    assert!(!host.is_empty() && host.len() <= 255 && id.len() <= 32);
    assert_eq!((application, process, data), ("belay", "-", "-"));
    let event: Value = serde_json::from_str(message).unwrap();
    assert_eq!((event["event"]["action"].as_str(), event["@timestamp"].as_str()), (Some(id), Some(time)));
    event
}

/// Syslog over UDP: one datagram a message.
pub(super) fn datagrams() -> (u16, Taken) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_mins(2))).unwrap();
    let port = socket.local_addr().unwrap().port();
    let taken = Taken::default();
    let taking = taken.clone();
    thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while let Ok(length) = socket.recv(&mut buffer) {
            taking.take(message(&buffer[..length]));
        }
    });
    (port, taken)
}
