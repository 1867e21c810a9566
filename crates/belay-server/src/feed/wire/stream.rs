//! Syslog over TCP (RFC 6587, octet counting) and TLS (RFC 5425).
//!
//! Nothing in it says that a message was taken. What the receiver's machine has acknowledged is known all the same:
//! the kernel cuts a connection on which something stays unacknowledged for [`UNACKNOWLEDGED`]. So what was sent on
//! a connection that is whole [`HOLD`] later has arrived, and everything younger is sent again on the next one.

use super::{CONNECT_TIME, SEND_TIME};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, WriteHalf};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long the receiver's machine may leave something unacknowledged.
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);
/// When what was sent has arrived.
pub(super) const HOLD: Duration = Duration::from_secs(10);

pub(in crate::feed) struct Stream {
    host: String,
    port: u16,
    tls: Option<Tls>,
    open: Option<Open>,
}

/// How to speak TLS, and who is expected there.
type Tls = (Arc<ClientConfig>, ServerName<'static>);

trait Both: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Both for T {}

struct Open {
    writer: WriteHalf<Box<dyn Both>>,
    /// Ends with the connection.
    reading: JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl Stream {
    /// With authorities over TLS.
    pub(super) fn to(host: &str, port: u16, ca: Option<&Vec<CertificateDer<'static>>>) -> Result<Stream, String> {
        let tls = ca.map(|ca| tls(host, ca)).transpose()?;
        Ok(Stream { host: host.to_owned(), port, tls, open: None })
    }

    pub(super) fn is_cut(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.reading.is_finished())
    }

    pub(super) fn hang_up(&mut self) {
        self.open = None;
    }

    pub(super) async fn send(&mut self, pieces: &[Vec<u8>]) -> Result<(), String> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => timeout(CONNECT_TIME, connect(&self.host, self.port, self.tls.clone()))
                .await
                .map_err(|_| "connecting took too long".to_owned())?
                .map_err(|error| error.to_string())?,
        };
        let mut frames = Vec::with_capacity(pieces.iter().map(|piece| piece.len() + 8).sum());
        for piece in pieces {
            frames.extend_from_slice(format!("{} ", piece.len()).as_bytes());
            frames.extend_from_slice(piece);
        }
        let writing = async {
            open.writer.write_all(&frames).await?;
            open.writer.flush().await
        };
        let written = timeout(SEND_TIME, writing).await;
        written.map_err(|_| "sending took too long".to_owned())?.map_err(|error: io::Error| error.to_string())?;
        self.open = Some(open);
        Ok(())
    }
}

async fn connect(host: &str, port: u16, tls: Option<Tls>) -> io::Result<Open> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    let both: Box<dyn Both> = match tls {
        None => Box::new(stream),
        Some((config, name)) => Box::new(TlsConnector::from(config).connect(name, stream).await?),
    };
    let (mut reader, writer) = tokio::io::split(both);
    let reading = tokio::spawn(async move {
        // Receivers say nothing; the end of it is what matters.
        let _ = tokio::io::copy(&mut reader, &mut tokio::io::sink()).await;
    });
    Ok(Open { writer, reading })
}

fn tls(host: &str, ca: &[CertificateDer<'static>]) -> Result<Tls, String> {
    let mut roots = RootCertStore::empty();
    for certificate in ca {
        roots.add(certificate.clone()).map_err(|error| format!("`ca`: {error}"))?;
    }
    let name =
        ServerName::try_from(host.to_owned()).map_err(|_| format!("`{host}` is not a host name or an address"))?;
    let builder = ClientConfig::builder_with_provider(crate::tls::provider()).with_safe_default_protocol_versions();
    let config = builder.map_err(|error| error.to_string())?.with_root_certificates(roots).with_no_client_auth();
    Ok((Arc::new(config), name))
}
