//! The ways out: one file each.

mod http;
mod stdout;
mod stream;
mod udp;

use super::encode::Format;
use crate::config::{Destination, Transport};
use crate::desk::Clock;
use std::sync::Arc;
use std::time::Duration;

/// How long reaching a receiver may take.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// How long handing over one batch may take.
const SEND_TIME: Duration = Duration::from_secs(10);

/// A way to a receiver, opened when there is something to send.
pub(super) enum Wire {
    Stdout(stdout::Stdout),
    Stream(Box<stream::Stream>),
    Udp(udp::Udp),
    Http(Box<http::Http>),
}

impl Wire {
    /// The way to `destination`. Reaches for nothing yet.
    pub(super) fn to(destination: &Destination, clock: Arc<dyn Clock>) -> Result<Wire, String> {
        Ok(match destination {
            Destination::Stdout => Wire::Stdout(stdout::Stdout::default()),
            Destination::Syslog { over: Transport::Udp, host, port } => Wire::Udp(udp::Udp::to(host, *port)),
            Destination::Syslog { over: Transport::Tcp, host, port } => {
                Wire::Stream(Box::new(stream::Stream::to(host, *port, None)?))
            }
            Destination::Syslog { over: Transport::Tls(ca), host, port } => {
                Wire::Stream(Box::new(stream::Stream::to(host, *port, Some(ca))?))
            }
            Destination::Webhook { http, secret } => {
                Wire::Http(Box::new(http::Http::webhook(http, secret.clone(), clock)?))
            }
            Destination::Otlp(http) => Wire::Http(Box::new(http::Http::otlp(http, clock)?)),
        })
    }

    /// What is sent.
    pub(super) fn format(destination: &Destination) -> Format {
        match destination {
            Destination::Stdout | Destination::Webhook { .. } => Format::Json,
            Destination::Syslog { .. } => Format::Syslog,
            Destination::Otlp(_) => Format::Otlp,
        }
    }

    /// The longest record that can be sent.
    pub(super) fn max_bytes(destination: &Destination) -> usize {
        match destination {
            Destination::Syslog { over: Transport::Udp, .. } => udp::MAX_BYTES,
            _ => 2 << 20,
        }
    }

    /// Sends the records in order. An error means that the receiver may have any number of them. Returns how many it
    /// has for good refused.
    pub(super) async fn send(&mut self, pieces: &[Vec<u8>]) -> Result<u64, String> {
        match self {
            Wire::Stdout(stdout) => stdout.send(pieces).await.map(|()| 0),
            Wire::Stream(stream) => stream.send(pieces).await.map(|()| 0),
            Wire::Udp(udp) => udp.send(pieces).await.map(|()| 0),
            Wire::Http(http) => http.send(pieces).await,
        }
    }

    /// How long after sending it is known that the receiver's machine has the records, if nothing was said against it.
    pub(super) fn hold(&self) -> Duration {
        match self {
            Wire::Stream(_) => stream::HOLD,
            _ => Duration::ZERO,
        }
    }

    /// Whether it was cut since it was used last.
    pub(super) fn is_cut(&self) -> bool {
        matches!(self, Wire::Stream(stream) if stream.is_cut())
    }

    /// Gives it up, to be opened anew.
    pub(super) fn hang_up(&mut self) {
        match self {
            Wire::Stream(stream) => stream.hang_up(),
            Wire::Udp(udp) => udp.hang_up(),
            Wire::Stdout(_) | Wire::Http(_) => {}
        }
    }
}
