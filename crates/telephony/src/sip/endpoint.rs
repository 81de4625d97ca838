//! Binding an endpoint, and its handle.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket as StdUdpSocket};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{mpsc, oneshot};

use super::Transport;
use super::call::{IncomingCall, OutgoingCall};
use super::config::EndpointConfig;
use super::core::Core;
use super::driver::{Command, Driver};
use super::event::{InviteError, OutgoingInvite, Stats};

/// Commands that wait for the endpoint's task; handles wait for room.
const COMMANDS_MAX: usize = 1024;
/// Calls that wait to be taken; more are refused with 503.
const INCOMING_MAX: usize = 64;
/// Ports tried for one that is free for both UDP and TCP.
const PORT_TRIES: usize = 32;

/// Why an endpoint could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The UDP socket or the TCP listener. Another program may have the port.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The advertised host is neither an IP address nor a host name.
    #[error("{0:?} is no host to advertise")]
    AdvertisedHost(String),
}

/// A SIP endpoint. Clones are handles of the same one; it ends when all of them and its calls are gone.
#[derive(Debug, Clone)]
pub struct Endpoint {
    commands: mpsc::Sender<Command>,
    local_addr: SocketAddr,
}

/// The calls that come in.
#[derive(Debug)]
pub struct IncomingCalls {
    calls: mpsc::Receiver<IncomingCall>,
}

impl IncomingCalls {
    /// The next call; `None` when the endpoint was shut down. Cancel-safe.
    pub async fn next(&mut self) -> Option<IncomingCall> {
        self.calls.recv().await
    }
}

impl Endpoint {
    /// Binds UDP and TCP on the same port and starts the endpoint's task.
    ///
    /// # Errors
    /// [`BindError`] when the port is taken or the configuration makes no sense.
    pub async fn bind(config: EndpointConfig) -> Result<(Self, IncomingCalls), BindError> {
        let (udp, tcp, local_addr) = listen(config.bind).await.map_err(|source| BindError::Listen { address: config.bind, source })?;
        let host = match &config.advertised_host {
            Some(host) => advertised(host)?,
            None => bracketed(reachable_ip(local_addr.ip())),
        };
        let port = config.advertised_port.unwrap_or_else(|| local_addr.port());
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let (incoming, calls) = mpsc::channel(INCOMING_MAX);
        let core = Core::new(Arc::new(config), host, port);
        let driver = Driver::new(core, udp, tcp, (commands.downgrade(), receiver), incoming);
        tokio::spawn(driver.run());
        Ok((Self { commands, local_addr }, IncomingCalls { calls }))
    }

    /// The address of both sockets.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Places a call.
    ///
    /// # Errors
    /// [`InviteError`] when nothing could be sent; what the peer says to it comes from the [`OutgoingCall`].
    pub async fn invite(&self, invite: OutgoingInvite) -> Result<OutgoingCall, InviteError> {
        let (reply, placed) = oneshot::channel();
        let invite = Box::new(invite);
        self.commands.send(Command::Invite { invite, reply }).await.map_err(|_| InviteError::EndpointClosed)?;
        let line = placed.await.unwrap_or(Err(InviteError::EndpointClosed))?;
        Ok(OutgoingCall { id: line.id, line: Some(line) })
    }

    /// Sends OPTIONS and returns the status of the answer; `None` if there is none within 64 × T1.
    pub async fn options(&self, target: SocketAddr, transport: Transport) -> Option<u16> {
        let (reply, status) = oneshot::channel();
        self.commands.send(Command::Probe { target, transport, reply }).await.ok()?;
        status.await.ok()?
    }

    /// Refuses new calls with 503 from now on, and OPTIONS too, so that a trunk sends calls elsewhere. Calls go on.
    pub async fn drain(&self) {
        // An endpoint that was shut down refuses everything anyway.
        let _closed = self.commands.send(Command::Drain).await;
    }

    /// Counters and what is held now; all zero after the shutdown.
    pub async fn stats(&self) -> Stats {
        let (reply, stats) = oneshot::channel();
        let _closed = self.commands.send(Command::Stats(reply)).await;
        stats.await.unwrap_or_default()
    }

    /// Ends every call and then the endpoint, at the latest after `within`.
    pub async fn shutdown(&self, within: Duration) {
        let (done, ended) = oneshot::channel();
        if self.commands.send(Command::Shutdown { within, done }).await.is_ok() {
            // An error means that the task is gone, which is what was asked for.
            let _ended = ended.await;
        }
    }
}

async fn listen(address: SocketAddr) -> std::io::Result<(UdpSocket, TcpListener, SocketAddr)> {
    let mut last = None;
    for _ in 0..PORT_TRIES {
        let udp = UdpSocket::bind(address).await?;
        let local = udp.local_addr()?;
        match TcpListener::bind(local).await {
            Ok(tcp) => return Ok((udp, tcp, local)),
            // UDP and TCP have separate ports; with port 0 another one may be free for both.
            Err(error) if address.port() == 0 => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into()))
}

fn advertised(host: &str) -> Result<String, BindError> {
    let bytes = bytes::Bytes::from(bracketed_text(host));
    match sipx_sip::Host::parse_hostport(&bytes) {
        Ok((host, None)) => Ok(host.to_string()),
        _ => Err(BindError::AdvertisedHost(host.to_owned())),
    }
}

fn bracketed_text(host: &str) -> String {
    host.parse::<IpAddr>().map_or_else(|_| host.to_owned(), bracketed)
}

fn bracketed(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

/// An address that says more than `0.0.0.0`: the one that the route to the outside uses. Nothing is sent for it.
fn reachable_ip(bound: IpAddr) -> IpAddr {
    if !bound.is_unspecified() {
        return bound;
    }
    let outside = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 9));
    StdUdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .and_then(|socket| socket.connect(outside).and_then(|()| socket.local_addr()))
        .map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |local| local.ip())
}
