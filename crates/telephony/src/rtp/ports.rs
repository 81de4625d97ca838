//! Ports for media: an even one for RTP and the next for RTCP (RFC 3550 §11).

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;

/// A port that was given back stays unused for this long by default, so that late packets of its former call meet nobody.
const REST: Duration = Duration::from_secs(30);

/// Why there is no socket for media.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// The range holds no even port with its neighbour.
    #[error("{first}-{last} holds no pair of ports")]
    EmptyRange {
        /// First port of the range.
        first: u16,
        /// Last port of the range.
        last: u16,
    },
    /// Every port is in use, resting, or taken by another program. Refuse the call with 503.
    #[error("no media port is free")]
    Exhausted,
    /// The address cannot be bound.
    #[error("cannot bind media socket: {0}")]
    Bind(#[from] std::io::Error),
}

/// Hands out ports for media on one address. Clones share the same ports.
#[derive(Debug, Clone)]
pub struct MediaPorts {
    address: IpAddr,
    /// Even ports; empty: whatever the operating system gives.
    ports: Arc<[u16]>,
    rest: Duration,
    book: Arc<Mutex<Book>>,
}

#[derive(Debug, Default)]
struct Book {
    used: HashSet<u16>,
    resting: HashMap<u16, Instant>,
}

impl MediaPorts {
    /// The even ports from `first` to `last`.
    ///
    /// # Errors
    /// [`PortError::EmptyRange`].
    pub fn range(address: IpAddr, first: u16, last: u16) -> Result<Self, PortError> {
        let ports: Arc<[u16]> = (first..last).filter(|port| port % 2 == 0 && *port > 0).collect();
        if ports.is_empty() {
            return Err(PortError::EmptyRange { first, last });
        }
        Ok(Self { address, ports, rest: REST, book: Arc::default() })
    }

    /// Any port the operating system gives; for tests and the caller simulator.
    #[must_use]
    pub fn ephemeral(address: IpAddr) -> Self {
        Self { address, ports: Arc::from([]), rest: REST, book: Arc::default() }
    }

    /// The same, with another time for which a port rests between two calls (30 s unless said otherwise). A range needs
    /// as many pairs as there are calls at once, and as many more as calls end within that time.
    #[must_use]
    pub const fn resting(mut self, rest: Duration) -> Self {
        self.rest = rest;
        self
    }

    /// Binds a pair of sockets. The choice is random, so that the next call's port cannot be foretold.
    ///
    /// # Errors
    /// [`PortError`].
    pub async fn bind(&self) -> Result<MediaSocket, PortError> {
        if self.ports.is_empty() {
            let rtp = UdpSocket::bind((self.address, 0)).await?;
            let port = rtp.local_addr()?.port();
            // Its neighbour may be taken; RTCP is then done without.
            let rtcp = match port.checked_add(1) {
                Some(next) => UdpSocket::bind((self.address, next)).await.ok(),
                None => None,
            };
            return MediaSocket::new(rtp, rtcp, None);
        }
        let start = rand::random_range(0..self.ports.len());
        for offset in 0..self.ports.len() {
            let port = self.ports[(start + offset) % self.ports.len()];
            let Some(lease) = self.lease(port) else {
                continue;
            };
            // A port that another program has is passed over, like one of ours in use.
            let (Ok(rtp), Ok(rtcp)) = (UdpSocket::bind((self.address, port)).await, UdpSocket::bind((self.address, port + 1)).await) else {
                continue;
            };
            return MediaSocket::new(rtp, Some(rtcp), Some(lease));
        }
        Err(PortError::Exhausted)
    }

    fn lease(&self, port: u16) -> Option<Lease> {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let is_resting = book.resting.get(&port).is_some_and(|since| since.elapsed() < self.rest);
        if is_resting || !book.used.insert(port) {
            return None;
        }
        book.resting.remove(&port);
        Some(Lease { port, book: Arc::clone(&self.book) })
    }

    /// Ports in use now.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.book.lock().unwrap_or_else(PoisonError::into_inner).used.len()
    }
}

/// Gives its port back when dropped.
#[derive(Debug)]
struct Lease {
    port: u16,
    book: Arc<Mutex<Book>>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        book.used.remove(&self.port);
        book.resting.insert(self.port, Instant::now());
    }
}

/// Sockets for the media of a call, before or while a session runs on them.
#[derive(Debug)]
pub struct MediaSocket {
    pub(super) rtp: UdpSocket,
    pub(super) rtcp: Option<UdpSocket>,
    local_addr: SocketAddr,
    _lease: Option<Lease>,
}

impl MediaSocket {
    fn new(rtp: UdpSocket, rtcp: Option<UdpSocket>, lease: Option<Lease>) -> Result<Self, PortError> {
        let local_addr = rtp.local_addr()?;
        Ok(Self { rtp, rtcp, local_addr, _lease: lease })
    }

    /// The RTP socket's address, for the session description (with the advertised host if that differs).
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn ports_are_even_distinct_and_rest_after_use() {
        let ports = MediaPorts::range(LOCAL, 42_000, 42_019).unwrap();
        let mut held = Vec::new();
        while let Ok(socket) = ports.bind().await {
            held.push(socket);
        }
        let used: HashSet<u16> = held.iter().map(|socket| socket.local_addr().port()).collect();
        assert!(used.len() == held.len() && !used.is_empty());
        assert!(used.iter().all(|port| port % 2 == 0));
        assert_eq!(ports.in_use(), held.len());
        held.clear();
        assert_eq!(ports.in_use(), 0);
        assert!(matches!(ports.bind().await, Err(PortError::Exhausted)), "a port just freed carries no other call");
        assert!(ports.resting(Duration::ZERO).bind().await.is_ok());
    }

    #[tokio::test]
    async fn a_range_without_a_pair_is_refused() {
        assert!(MediaPorts::range(LOCAL, 4001, 4001).is_err());
        assert!(MediaPorts::range(LOCAL, 4000, 4000).is_err());
        assert!(MediaPorts::ephemeral(LOCAL).bind().await.is_ok());
    }
}
