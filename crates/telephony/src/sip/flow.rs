//! Transports and the way back to a peer.

use std::net::{IpAddr, SocketAddr};

use sipx_sip::headers::Via;

/// How a message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// One message a datagram; retransmitted by us.
    Udp,
    /// A stream cut by `Content-Length`.
    Tcp,
}

impl Transport {
    /// As written in `Via` (RFC 3261 §20.42).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        }
    }

    pub(super) const fn reliability(self) -> sipx_sip::Reliability {
        match self {
            Self::Udp => sipx_sip::Reliability::Unreliable,
            Self::Tcp => sipx_sip::Reliability::Reliable,
        }
    }
}

/// Number of a TCP connection within its endpoint; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ConnectionId(pub(super) u64);

/// Where a message came from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source {
    pub(super) address: SocketAddr,
    /// `None` for UDP.
    pub(super) connection: Option<ConnectionId>,
}

impl Source {
    pub(super) const fn transport(&self) -> Transport {
        match self.connection {
            Some(_) => Transport::Tcp,
            None => Transport::Udp,
        }
    }
}

/// The way to a peer: a UDP address, or a connection with the address to open another one to if it is gone.
#[derive(Debug, Clone, Copy)]
pub(super) enum Path {
    Udp(SocketAddr),
    Tcp { connection: Option<ConnectionId>, redial: Option<SocketAddr> },
}

impl Path {
    pub(super) const fn transport(&self) -> Transport {
        match self {
            Self::Udp(_) => Transport::Udp,
            Self::Tcp { .. } => Transport::Tcp,
        }
    }

    pub(super) const fn to(address: SocketAddr, transport: Transport) -> Self {
        match transport {
            Transport::Udp => Self::Udp(address),
            Transport::Tcp => Self::Tcp { connection: None, redial: Some(address) },
        }
    }

    pub(super) fn uses(&self, id: ConnectionId) -> bool {
        matches!(self, Self::Tcp { connection: Some(used), .. } if *used == id)
    }

    /// Where responses to a request go (RFC 3261 §18.2.2, RFC 3581 §4), but never to another host than the one it
    /// came from: `maddr` and a foreign `sent-by` are ways to make us send to third parties.
    pub(super) fn of_responses(via: Option<&Via>, source: Source) -> Self {
        let sent_by_port = via.map_or(source.address.port(), |via| via.port.unwrap_or(5060));
        let wants_rport = via.is_some_and(|via| via.rport().is_some());
        match source.connection {
            None if wants_rport => Self::Udp(source.address),
            None => Self::Udp(SocketAddr::new(source.address.ip(), sent_by_port)),
            Some(connection) => {
                Self::Tcp { connection: Some(connection), redial: Some(SocketAddr::new(source.address.ip(), sent_by_port)) }
            }
        }
    }
}

/// Whether an address is of use only behind the peer's NAT: private or link-local, while the peer was seen elsewhere.
pub(super) fn is_hidden(address: IpAddr, seen: IpAddr) -> bool {
    address != seen && is_private(address) && !is_private(seen)
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_link_local() || v4.is_loopback() || v4.is_unspecified(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_loopback() || v6.is_unspecified(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(via: &str) -> Path {
        let source = Source { address: "198.51.100.9:40000".parse().unwrap(), connection: None };
        Path::of_responses(Some(&Via::parse_one(via.as_bytes()).unwrap()), source)
    }

    #[test]
    fn responses_go_back_to_the_host_they_came_from() {
        for (via, port) in [
            ("SIP/2.0/UDP 198.51.100.9:5070;branch=z9hG4bKa", 5070),
            ("SIP/2.0/UDP 198.51.100.9;branch=z9hG4bKa", 5060),
            ("SIP/2.0/UDP 10.0.0.1:5070;rport=40000;received=198.51.100.9;branch=z9hG4bKa", 40000),
            ("SIP/2.0/UDP 203.0.113.1:5070;maddr=203.0.113.2;branch=z9hG4bKa", 5070),
        ] {
            let Path::Udp(to) = path(via) else { panic!("udp") };
            assert_eq!(to, SocketAddr::new("198.51.100.9".parse().unwrap(), port), "{via}");
        }
    }

    #[test]
    fn private_addresses_of_public_peers_are_hidden() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(is_hidden(ip("192.168.1.7"), ip("198.51.100.9")));
        assert!(!is_hidden(ip("192.168.1.7"), ip("192.168.1.8")));
        assert!(!is_hidden(ip("203.0.113.7"), ip("198.51.100.9")));
        assert!(!is_hidden(ip("127.0.0.1"), ip("127.0.0.1")));
    }
}
