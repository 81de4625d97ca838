//! Whose packets are heard, and where ours go ("symmetric RTP").
//!
//! The address in the session description may be wrong behind a NAT, so the peer's is learned from its first packet.
//! That alone would hand the call to whoever sends first, or last ("RTP bleed"): so it is learned once, only from a
//! host that the signalling named, and only a packet from the very address that was named can correct it. Another
//! port of such a host must prove itself by a few packets: it may be the rest of an earlier call.

use std::net::{IpAddr, SocketAddr};

/// Packets in a row from an address that was not named, before it is taken for the peer's: 100 ms.
const PROOF: u8 = 5;

#[derive(Debug)]
pub(super) struct Latch {
    /// From the session description.
    expected: Option<SocketAddr>,
    /// Hosts that the peer may send from; empty: any.
    hosts: Vec<IpAddr>,
    pinned: Option<SocketAddr>,
    /// An address that was not named, and how many packets in a row came from it.
    candidate: Option<(SocketAddr, u8)>,
}

impl Latch {
    /// A latch for the address of the session description. The signalling peer's host may send too; with
    /// `any_host`, everybody until the first packet has pinned the source.
    pub(super) fn new(expected: Option<SocketAddr>, signalling: IpAddr, any_host: bool) -> Self {
        let hosts = if any_host { Vec::new() } else { expected.map(|address| address.ip()).into_iter().chain([signalling]).collect() };
        Self { expected, hosts, pinned: None, candidate: None }
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
            None if self.expected.is_none_or(|expected| expected == from) && self.is_named(from) => {
                self.pinned = Some(from);
                true
            }
            None if self.is_named(from) => {
                let before = self.candidate.filter(|(candidate, _)| *candidate == from).map_or(0, |(_, count)| count);
                self.candidate = Some((from, before + 1));
                let is_proven = before + 1 >= PROOF;
                self.pinned = is_proven.then_some(from);
                is_proven
            }
            None => false,
        }
    }

    fn is_named(&self, from: SocketAddr) -> bool {
        self.hosts.is_empty() || self.hosts.contains(&from.ip())
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
        let port = at("198.51.100.9:61000");
        let admitted = (0..8).filter(|_| latch.admits(port)).count();
        assert_eq!(admitted, 4, "the fifth packet in a row is the first that counts");
        assert_eq!(latch.target(), Some(port));
        assert!(!latch.admits(at("198.51.100.9:61001")));
        assert!(latch.admits(at("198.51.100.1:4000")), "the address that was named corrects a wrong guess");
        assert!(!latch.admits(at("198.51.100.9:61000")), "and for good");
    }

    #[test]
    fn the_rest_of_an_earlier_call_does_not_get_in() {
        let mut latch = latch();
        let (rest, peer) = (at("198.51.100.1:4998"), at("198.51.100.1:4000"));
        assert!(!latch.admits(rest) && !latch.admits(rest));
        assert!(latch.admits(peer));
        assert!((0..20).all(|_| !latch.admits(rest)));
        assert_eq!(latch.target(), Some(peer));
    }

    #[test]
    fn without_an_address_the_signalling_host_decides() {
        let mut latch = Latch::new(None, at("198.51.100.9:5060").ip(), false);
        assert_eq!(latch.target(), None);
        assert!(!latch.admits(at("203.0.113.1:4000")));
        assert!(latch.admits(at("198.51.100.9:7000")));
    }
}
