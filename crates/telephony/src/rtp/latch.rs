//! Whose packets are heard, and where ours go ("symmetric RTP").
//!
//! The address in the session description may be wrong behind a NAT, so the peer's is learned from its first packet.
//! That alone would hand the call to whoever sends first, or last ("RTP bleed"): so it is learned once, only from a
//! host that the signalling named, and only a packet from the very address that was named can correct it.

use std::net::{IpAddr, SocketAddr};

#[derive(Debug)]
pub(super) struct Latch {
    /// From the session description.
    expected: Option<SocketAddr>,
    /// Hosts that the peer may send from; empty: any.
    hosts: Vec<IpAddr>,
    pinned: Option<SocketAddr>,
}

impl Latch {
    /// A latch for the address of the session description. The signalling peer's host may send too; with
    /// `any_host`, everybody until the first packet has pinned the source.
    pub(super) fn new(expected: Option<SocketAddr>, signalling: IpAddr, any_host: bool) -> Self {
        let hosts = if any_host { Vec::new() } else { expected.map(|address| address.ip()).into_iter().chain([signalling]).collect() };
        Self { expected, hosts, pinned: None }
    }

    /// Whether a valid packet from here is the peer's; pins its address if it is the first.
    pub(super) fn admits(&mut self, from: SocketAddr) -> bool {
        match self.pinned {
            Some(pinned) if pinned == from => true,
            Some(pinned) if Some(from) == self.expected && Some(pinned) != self.expected => {
                self.pinned = Some(from);
                true
            }
            Some(_) => false,
            None if self.hosts.is_empty() || self.hosts.contains(&from.ip()) => {
                self.pinned = Some(from);
                true
            }
            None => false,
        }
    }

    /// Where to send.
    pub(super) fn target(&self) -> Option<SocketAddr> {
        self.pinned.or(self.expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn latch() -> Latch {
        Latch::new(Some(at("198.51.100.1:4000")), at("198.51.100.9:5060").ip(), false)
    }

    #[test]
    fn strangers_are_neither_heard_nor_sent_to() {
        let mut latch = latch();
        assert!(!latch.admits(at("203.0.113.1:4000")));
        assert_eq!(latch.target(), Some(at("198.51.100.1:4000")));
        assert!(latch.admits(at("198.51.100.1:4000")));
        for stranger in ["203.0.113.1:4000", "198.51.100.1:4002", "198.51.100.9:4000"] {
            assert!(!latch.admits(at(stranger)), "{stranger}");
        }
        assert_eq!(latch.target(), Some(at("198.51.100.1:4000")));
    }

    #[test]
    fn a_port_changed_by_a_nat_is_learned_once() {
        let mut latch = latch();
        assert!(latch.admits(at("198.51.100.9:61000")));
        assert_eq!(latch.target(), Some(at("198.51.100.9:61000")));
        assert!(!latch.admits(at("198.51.100.9:61001")));
        assert!(latch.admits(at("198.51.100.1:4000")), "the address that was named corrects a wrong guess");
        assert!(!latch.admits(at("198.51.100.9:61000")), "and for good");
    }

    #[test]
    fn without_an_address_the_signalling_host_decides() {
        let mut latch = Latch::new(None, at("198.51.100.9:5060").ip(), false);
        assert_eq!(latch.target(), None);
        assert!(!latch.admits(at("203.0.113.1:4000")));
        assert!(latch.admits(at("198.51.100.9:7000")));
    }
}
