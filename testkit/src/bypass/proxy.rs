//! A listener that rewrites start-up packets and copies everything else.

use super::startup::{First, fatal, first, message, packet, status};
use super::{GRANT_ROLES, Prepare, READ_ONLY, UNGUARDED};
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const PORTS: usize = 5;
/// Messages of a server before its first ReadyForQuery.
const MESSAGES: usize = 1000;
/// The longest of them.
const LONGEST: usize = 64 * 1024;

/// How connections reach the server.
pub(super) enum Door {
    /// Grants' roles come as a superuser, everybody else as they are.
    Unguarded,
    /// Everybody comes as this role.
    AsRole { role: String, prepare: Prepare },
}

/// The listener's task and its port.
pub(super) struct Proxy {
    port: u16,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(super) async fn start(server: u16, door: Door) -> Proxy {
        let listener = listen().await;
        let port = listener.local_addr().expect("an address").port();
        let door = Arc::new(door);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let door = Arc::clone(&door);
                // A connection that breaks is its client's to notice.
                tokio::spawn(async move { drop(carry(client, server, &door).await) });
            }
        });
        Proxy { port, task }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Another process may take the port between the look and the bind.
async fn listen() -> TcpListener {
    for _ in 0..PORTS {
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, crate::free_port())).await {
            return listener;
        }
    }
    panic!("no port for a proxy after {PORTS} attempts");
}

async fn carry(mut client: TcpStream, server: u16, door: &Door) -> io::Result<()> {
    client.set_nodelay(true)?;
    let begun = first(&mut client).await?;
    let mut upstream = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await?;
    upstream.set_nodelay(true)?;
    match (begun, door) {
        (First::Other(bytes), _) => upstream.write_all(&bytes).await?,
        (First::Startup(asked), Door::Unguarded) if !user(&asked).starts_with(GRANT_ROLES) => {
            upstream.write_all(&packet(&asked)).await?;
        }
        (First::Startup(mut asked), Door::Unguarded) => {
            asked.retain(|(name, _)| !name.eq_ignore_ascii_case(READ_ONLY));
            become_user(&mut asked, UNGUARDED);
            upstream.write_all(&packet(&asked)).await?;
            claim_read_only(&mut client, &mut upstream).await?;
        }
        (First::Startup(mut asked), Door::AsRole { role, prepare }) => {
            if let Err(why) = prepare().await {
                return client.write_all(&fatal(&why)).await;
            }
            become_user(&mut asked, role);
            // The last of a name counts: the role comes as the gateway would dial it.
            asked.push((READ_ONLY.to_owned(), "on".to_owned()));
            upstream.write_all(&packet(&asked)).await?;
        }
    }
    copy_bidirectional(&mut client, &mut upstream).await.map(|_| ())
}

fn user(asked: &[(String, String)]) -> &str {
    asked.iter().rev().find(|(name, _)| name == "user").map_or("", |(_, value)| value)
}

fn become_user(asked: &mut Vec<(String, String)>, user: &str) {
    asked.retain(|(name, _)| name != "user");
    asked.insert(0, ("user".to_owned(), user.to_owned()));
}

/// Passes on what the server says up to its first ReadyForQuery, but for the setting: that is said to be on.
async fn claim_read_only(client: &mut TcpStream, upstream: &mut TcpStream) -> io::Result<()> {
    for _ in 0..MESSAGES {
        let mut head = [0_u8; 5];
        upstream.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if !(4..=LONGEST).contains(&length) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut body = vec![0; length - 4];
        upstream.read_exact(&mut body).await?;
        if head[0] == b'S' && body.starts_with(READ_ONLY.as_bytes()) {
            client.write_all(&status(READ_ONLY, "on")).await?;
        } else {
            client.write_all(&message(head[0], &body)).await?;
        }
        if head[0] == b'Z' {
            return Ok(());
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}
