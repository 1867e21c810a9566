//! Syslog over UDP (RFC 5426): one datagram a message. Nobody says whether it arrived.

use super::SEND_TIME;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::net::{UdpSocket, lookup_host};
use tokio::time::timeout;

/// What fits into a datagram over IPv4 with room to spare.
pub(super) const MAX_BYTES: usize = 60_000;

pub(in crate::feed) struct Udp {
    host: String,
    port: u16,
    socket: Option<UdpSocket>,
}

impl Udp {
    pub(super) fn to(host: &str, port: u16) -> Udp {
        Udp { host: host.to_owned(), port, socket: None }
    }

    pub(super) fn hang_up(&mut self) {
        self.socket = None;
    }

    pub(super) async fn send(&mut self, pieces: &[Vec<u8>]) -> Result<(), String> {
        let sending = self.send_all(pieces);
        timeout(SEND_TIME, sending)
            .await
            .map_err(|_| "sending took too long".to_owned())?
            .map_err(|error| error.to_string())
    }

    async fn send_all(&mut self, pieces: &[Vec<u8>]) -> std::io::Result<()> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => open(&self.host, self.port).await?,
        };
        for piece in pieces {
            socket.send(piece).await?;
        }
        self.socket = Some(socket);
        Ok(())
    }
}

async fn open(host: &str, port: u16) -> std::io::Result<UdpSocket> {
    let found = lookup_host((host, port)).await?.next();
    let address = found.ok_or_else(|| std::io::Error::other("the host has no address"))?;
    let any = match address {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    Ok(socket)
}
