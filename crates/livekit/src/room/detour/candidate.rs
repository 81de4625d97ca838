//! Candidates that are reached over TCP (RFC 6544 section 4.5), and their UDP stand-ins.

use std::net::SocketAddr;

/// A remote candidate that takes TCP connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::room) struct TcpCandidate {
    foundation: String,
    priority: u32,
    pub(super) address: SocketAddr,
}

impl TcpCandidate {
    /// Reads a candidate, with or without `a=` and `candidate:` before it; `None` unless it waits for TCP connections of media's.
    pub(in crate::room) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix("a=").unwrap_or(text);
        let text = text.strip_prefix("candidate:").unwrap_or(text);
        let mut fields = text.split(' ');
        let foundation = fields.next()?.to_owned();
        // RTP and RTCP share one component (RFC 8834 section 4.5).
        let is_first_component = fields.next()? == "1";
        let is_tcp = fields.next()?.eq_ignore_ascii_case("tcp");
        let priority = fields.next()?.parse().ok()?;
        let address = SocketAddr::new(fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let rest: Vec<&str> = fields.collect();
        let is_passive = rest.chunks(2).any(|pair| matches!(pair, ["tcptype", "passive"]));
        let is_somewhere = !address.ip().is_unspecified() && !address.ip().is_multicast() && address.port() != 0;
        (is_first_component && is_tcp && is_passive && is_somewhere).then_some(Self { foundation, priority, address })
    }

    /// Those of a session description.
    pub(in crate::room) fn of_description(sdp: &str) -> impl Iterator<Item = Self> + '_ {
        sdp.lines().filter(|line| line.starts_with("a=candidate:")).filter_map(Self::parse)
    }

    /// The same as a candidate over UDP at another address. Its priority stays that of TCP, below every direct way over UDP.
    pub(super) fn as_udp(&self, placeholder: SocketAddr) -> String {
        let Self { foundation, priority, .. } = self;
        format!("candidate:{foundation} 1 udp {priority} {} {} typ host", placeholder.ip(), placeholder.port())
    }
}

/// Whether a candidate is reached over TCP, in whatever direction.
pub(in crate::room) fn is_tcp(candidate: &str) -> bool {
    candidate.split(' ').nth(2).is_some_and(|protocol| protocol.eq_ignore_ascii_case("tcp"))
}

/// The other side's name for this run of ICE (`a=ice-ufrag`, RFC 8839 section 5.4), which a restart changes.
pub(in crate::room) fn ufrag(sdp: &str) -> Option<&str> {
    sdp.lines().find_map(|line| line.trim_end().strip_prefix("a=ice-ufrag:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSIVE: &str = "candidate:7 1 tcp 1671430143 192.0.2.7 7881 typ host tcptype passive ufrag abc";

    #[test]
    fn only_what_waits_for_connections_is_taken() {
        let candidate = TcpCandidate::parse(PASSIVE).unwrap();
        assert_eq!(candidate.address, SocketAddr::from(([192, 0, 2, 7], 7881)));
        assert_eq!(candidate.as_udp("[2001:db8::2]:9".parse().unwrap()), "candidate:7 1 udp 1671430143 2001:db8::2 9 typ host");
        let v6 = TcpCandidate::parse("a=candidate:7 1 TCP 1 2001:db8::7 7881 typ host generation 0 tcptype passive").unwrap();
        assert_eq!(v6.address.to_string(), "[2001:db8::7]:7881");
        for (from, to) in [(" tcp ", " udp "), ("passive", "active"), ("7 1 ", "7 2 "), ("7881", "0"), ("192.0.2.7", "0.0.0.0")] {
            assert_eq!(TcpCandidate::parse(&PASSIVE.replace(from, to)), None, "{to}");
        }
        for nonsense in ["", "candidate:", "candidate:1 1 tcp", "candidate:1 1 tcp x host 7881 typ host tcptype passive"] {
            assert_eq!(TcpCandidate::parse(nonsense), None, "{nonsense}");
        }
        assert!(is_tcp(PASSIVE) && !is_tcp("candidate:1 1 udp 1 127.0.0.1 9 typ host") && !is_tcp(""));
    }

    #[test]
    fn a_description_names_its_candidates_and_its_run() {
        let sdp = format!("v=0\r\na=ice-ufrag:abc\r\na=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\na={PASSIVE}\r\n");
        assert_eq!((ufrag(&sdp), ufrag("v=0")), (Some("abc"), None));
        assert_eq!(TcpCandidate::of_description(&sdp).collect::<Vec<_>>(), [TcpCandidate::parse(PASSIVE).unwrap()]);
    }
}
