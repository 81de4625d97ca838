//! Floods, limits and admission: what peers can make the core keep.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::{address, core, core_with};
use crate::sip::config::{Admission, EndpointConfig, Limits, Rate, Refusal};
use crate::sip::core::Core;
use crate::sip::event::Output;
use crate::sip::flow::Transport;
use crate::sip::party::Invite;

fn request(method: &str, n: u64, from: SocketAddr) -> Bytes {
    Bytes::from(format!(
        "{method} sip:desk@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{n}\r\nMax-Forwards: 70\r\nFrom: <sip:a@{from}>;tag={n}\r\n\
         To: <sip:desk@192.0.2.1>\r\nCall-ID: {n}\r\nCSeq: 1 {method}\r\nContact: <sip:a@{from}>\r\nContent-Length: 0\r\n\r\n"
    ))
}

/// The statuses that a core answered, and how many calls it offered.
fn answers(core: &mut Core) -> (Vec<u16>, usize) {
    let (mut statuses, mut offered) = (Vec::new(), 0);
    while let Some(output) = core.poll() {
        match output {
            Output::Datagram { bytes, .. } => {
                let text = String::from_utf8_lossy(&bytes);
                statuses.push(text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0));
            }
            Output::Incoming { .. } => offered += 1,
            _ => {}
        }
    }
    (statuses, offered)
}

const UNLIMITED: Rate = Rate { per_second: u32::MAX, burst: u32::MAX };

fn with_limits(limits: Limits) -> Core {
    core_with(EndpointConfig { limits, ..EndpointConfig::new(address("192.0.2.1:5060")) })
}

struct OnlyDesk;

impl Admission for OnlyDesk {
    fn source(&self, source: SocketAddr, _transport: Transport) -> bool {
        source.ip() != address("203.0.113.66:1").ip()
    }

    fn invite(&self, invite: &Invite) -> Result<(), Refusal> {
        if invite.request_uri.user == "desk" { Ok(()) } else { Err(Refusal::new(404)) }
    }
}

#[test]
fn the_admission_decides_before_anything_is_kept() {
    let mut core = core_with(EndpointConfig { admission: Arc::new(OnlyDesk), ..EndpointConfig::new(address("192.0.2.1:5060")) });
    let (good, bad) = (address("198.51.100.1:5060"), address("203.0.113.66:5060"));
    core.receive_datagram(Duration::ZERO, request("INVITE", 1, bad), bad);
    core.receive_datagram(Duration::ZERO, Bytes::from_static(b"INVITE x SIP/2.0\r\nVia: x\r\nCSeq: 1 INVITE\r\n\r\n"), bad);
    assert_eq!(answers(&mut core), (vec![], 0), "a source that is not admitted gets no answer of any kind");
    assert_eq!(core.connected(bad), None);
    let other = String::from_utf8(request("INVITE", 2, good).to_vec()).unwrap().replacen("desk", "else", 1);
    core.receive_datagram(Duration::ZERO, Bytes::from(other), good);
    assert_eq!(answers(&mut core), (vec![404], 0));
    assert!(core.is_idle());
    core.receive_datagram(Duration::ZERO, request("INVITE", 3, good), good);
    assert_eq!(answers(&mut core).1, 1);
}

#[test]
fn a_flood_of_requests_that_nobody_wants_keeps_nothing() {
    let limits = Limits { source_rate: UNLIMITED, host_rate: UNLIMITED, calls_max: 10, ..Limits::default() };
    let mut core = with_limits(limits);
    let flooder = address("198.51.100.1:5060");
    let mut refused = 0;
    for n in 0..20_000 {
        let method = ["OPTIONS", "REGISTER", "INVITE", "BYE"][usize::try_from(n % 4).unwrap()];
        core.receive_datagram(Duration::from_micros(100 * n), request(method, n, flooder), flooder);
        let (statuses, _) = answers(&mut core);
        refused += statuses.iter().filter(|status| **status == 503).count();
    }
    let stats = core.stats();
    assert_eq!((stats.calls, stats.transactions), (10, 10), "{stats:?}");
    assert_eq!(refused, 5000 - 10);
}

#[test]
fn a_flood_from_one_port_does_not_silence_another() {
    let mut core = with_limits(Limits::default());
    let flooder = address("198.51.100.1:1");
    for n in 0..100_000 {
        core.receive_datagram(Duration::from_micros(100 * n), request("OPTIONS", n, flooder), flooder);
    }
    let (statuses, _) = answers(&mut core);
    assert!(statuses.len() <= 1000 + 10 * 500, "{}", statuses.len());
    let caller = address("198.51.100.1:2");
    core.receive_datagram(Duration::from_secs(10), request("INVITE", 1, caller), caller);
    assert_eq!(answers(&mut core).1, 1);
}

#[test]
fn transactions_and_connections_are_bounded() {
    let mut core = with_limits(Limits { transactions_max: 5, connections_per_host_max: 3, ..Limits::default() });
    let caller = address("198.51.100.1:5060");
    for n in 0..8 {
        core.receive_datagram(Duration::ZERO, request("INVITE", n, caller), caller);
    }
    let (statuses, offered) = answers(&mut core);
    assert_eq!((statuses, offered), (vec![503; 3], 5));
    assert_eq!((0..10).filter_map(|_| core.connected(caller)).count(), 3);
    assert!(core.connected(address("198.51.100.2:5060")).is_some());
}

#[test]
fn keep_alives_get_no_answer() {
    let mut core = core(address("192.0.2.1:5060"));
    for keep_alive in [&b"\r\n\r\n"[..], b"\r\n", b"\0\0\0\0", b""] {
        core.receive_datagram(Duration::ZERO, Bytes::copy_from_slice(keep_alive), address("198.51.100.1:5060"));
    }
    assert_eq!(answers(&mut core), (vec![], 0));
}

/// A request with a few bytes changed, cut or doubled.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let method = prop::sample::select(vec!["INVITE", "OPTIONS", "BYE", "CANCEL", "ACK", "FOO"]);
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 0..12);
    (method, edits).prop_map(|(method, edits)| {
        let mut bytes = request(method, 1, address("198.51.100.1:5060")).to_vec();
        for (at, byte, kind) in edits {
            let at = at.index(bytes.len().max(1));
            match kind {
                _ if bytes.is_empty() => bytes.push(byte),
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => bytes.truncate(at),
                _ => {
                    let tail = bytes[at..].to_vec();
                    bytes.extend(tail);
                }
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// No datagram panics, and what is answered goes back to where it came from, as at most one message.
    #[test]
    fn any_datagram_is_survived(bytes in prop_oneof![mutated(), prop::collection::vec(any::<u8>(), 0..1500)]) {
        let from = address("198.51.100.1:5060");
        let mut core = core(address("192.0.2.1:5060"));
        core.receive_datagram(Duration::ZERO, Bytes::from(bytes), from);
        core.handle_timeouts(Duration::from_secs(1));
        core.handle_timeouts(Duration::from_secs(1000));
        while let Some(output) = core.poll() {
            if let Output::Datagram { to, bytes } = output {
                prop_assert_eq!(to.ip(), from.ip());
                prop_assert!(bytes.starts_with(b"SIP/2.0 "));
            }
        }
        core.handle_timeouts(Duration::from_secs(2000));
        prop_assert!(core.is_idle());
    }
}
