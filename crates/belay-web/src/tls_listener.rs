//! Accepts TLS connections for HTTP. Handshakes run beside each other, bounded in number and time, so that a
//! client that says nothing holds up nobody.

use rustls::ServerConfig;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::AbortHandle;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Open connections of one HTTP listener, those in their handshake included.
const MAX_CONNECTIONS: usize = 1_024;
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// A connection that has moved no byte for so long is closed.
const IDLE_TIME: Duration = Duration::from_mins(2);
/// After an accept that failed, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listener for `axum::serve`.
pub struct TlsListener {
    ready: mpsc::Receiver<(Accepted, SocketAddr)>,
    address: SocketAddr,
    accepting: AbortHandle,
}

impl TlsListener {
    /// Listens at once.
    pub async fn bind(address: SocketAddr, config: Arc<ServerConfig>) -> io::Result<TlsListener> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (sender, ready) = mpsc::channel(16);
        let accepting = tokio::spawn(accept_all(listener, TlsAcceptor::from(config), sender)).abort_handle();
        Ok(TlsListener { ready, address, accepting })
    }

    /// Where it listens; the port is the real one where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for TlsListener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = Accepted;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Accepted, SocketAddr) {
        match self.ready.recv().await {
            Some(accepted) => accepted,
            // The accepting task ends only with this listener.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

async fn accept_all(listener: TcpListener, acceptor: TlsAcceptor, sender: mpsc::Sender<(Accepted, SocketAddr)>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // Waits here when all is taken: what is not accepted stays in the kernel's bounded queue.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                tokio::spawn(shake_hands(stream, peer, acceptor.clone(), permit, sender.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn shake_hands(
    stream: TcpStream,
    peer: SocketAddr,
    acceptor: TlsAcceptor,
    permit: OwnedSemaphorePermit,
    sender: mpsc::Sender<(Accepted, SocketAddr)>,
) {
    match timeout(HANDSHAKE_TIME, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            let idle = Box::pin(sleep(IDLE_TIME));
            // Fails only when the listener is gone, and the connection with it.
            let _ = sender.send((Accepted { stream, idle, _permit: permit }, peer)).await;
        }
        Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
        Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
    }
}

/// An accepted connection; it gives its place back when it is dropped.
pub struct Accepted {
    stream: TlsStream<TcpStream>,
    idle: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
}

impl Accepted {
    fn moved(&mut self) {
        self.idle.as_mut().reset(Instant::now() + IDLE_TIME);
    }

    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        self.idle.as_mut().poll(context).map(|()| io::ErrorKind::TimedOut.into())
    }
}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(result) => {
                self.moved();
                Poll::Ready(result)
            }
            Poll::Pending => self.poll_idle(context).map(Err),
        }
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Ready(result) => {
                self.moved();
                Poll::Ready(result)
            }
            Poll::Pending => self.poll_idle(context).map(Err),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
