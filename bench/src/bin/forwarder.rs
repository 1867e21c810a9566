//! A bare forwarder: bytes in, the same bytes out, as few system calls as tokio allows. The floor a gateway is
//! measured against. It reads nothing but the client's request for TLS, checks nothing and records nothing.
//!
//! `forwarder LISTEN UPSTREAM [CERTIFICATE KEY]`; with a certificate it ends TLS on the client's side.

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional_with_sizes};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// An `SSLRequest`: its length and its code (PostgreSQL documentation, "Message Formats").
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
const CONNECTIONS: usize = 4096;
const GREETING: Duration = Duration::from_secs(10);
/// Statements are short; results are what comes in bulk. Of 8 to 256 KiB, more than 64 KiB gained nothing, with TLS or without.
const FROM_CLIENT: usize = 8 * 1024;
const FROM_SERVER: usize = 64 * 1024;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (listen, upstream, tls) = match arguments.as_slice() {
        [listen, upstream] => (listen, upstream, None),
        [listen, upstream, certificate, key] => (listen, upstream, Some(acceptor(certificate, key)?)),
        _ => return Err("usage: forwarder LISTEN UPSTREAM [CERTIFICATE KEY]".into()),
    };
    let listener = TcpListener::bind(listen).await?;
    let upstream: Arc<str> = upstream.as_str().into();
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let place = Arc::clone(&room).acquire_owned().await?;
        let (client, _) = listener.accept().await?;
        let (upstream, tls) = (Arc::clone(&upstream), tls.clone());
        tokio::spawn(async move {
            // A connection that breaks is the client's to notice; there is nobody to tell here.
            drop(forward(client, &upstream, tls).await);
            drop(place);
        });
    }
}

fn acceptor(certificate: &str, key: &str) -> Result<TlsAcceptor, Box<dyn Error>> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(config.with_no_client_auth().with_single_cert(chain, key)?).into())
}

async fn forward(mut client: TcpStream, upstream: &str, tls: Option<TlsAcceptor>) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut server = TcpStream::connect(upstream).await?;
    server.set_nodelay(true)?;
    let Some(tls) = tls else {
        return pump(client, server).await;
    };
    let mut first = [0; 8];
    tokio::time::timeout(GREETING, client.read_exact(&mut first)).await??;
    if first != SSL_REQUEST {
        // A CancelRequest comes in cleartext from older clients.
        server.write_all(&first).await?;
        return pump(client, server).await;
    }
    client.write_all(b"S").await?;
    let client = tokio::time::timeout(GREETING, tls.accept(client)).await??;
    pump(client, server).await
}

async fn pump(mut client: impl AsyncRead + AsyncWrite + Unpin, mut server: TcpStream) -> io::Result<()> {
    copy_bidirectional_with_sizes(&mut client, &mut server, FROM_CLIENT, FROM_SERVER).await?;
    Ok(())
}
