//! What the tests of whole calls share: endpoints on loopback, sessions, and a peer made of a bare socket.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use frontdesk_telephony::sdp::{self, LocalMedia, SessionDescription};
use frontdesk_telephony::sip::{
    Dialog, DialogEvent, Endpoint, EndpointConfig, IncomingCall, IncomingCalls, OutgoingInvite, SipTimers, Transport,
};
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// Loopback.
pub(crate) const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Longer than anything in a test that succeeds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A configuration on loopback with a T1 of 50 ms, so that 64 × T1 is 3.2 s.
pub(crate) fn config() -> EndpointConfig {
    EndpointConfig {
        timers: SipTimers { t1: Duration::from_millis(50), t2: Duration::from_millis(400), t4: Duration::from_millis(500) },
        ..EndpointConfig::new(SocketAddr::new(LOCAL, 0))
    }
}

/// An endpoint with [`config`].
pub(crate) async fn endpoint() -> (Endpoint, IncomingCalls) {
    Endpoint::bind(config()).await.unwrap()
}

/// Our media at a port.
pub(crate) fn media(port: u16) -> LocalMedia {
    LocalMedia::new(SocketAddr::new(LOCAL, port))
}

/// An offer from a port.
pub(crate) fn offer(port: u16) -> SessionDescription {
    sdp::offer(&media(port))
}

/// The answer of a port to an offer.
pub(crate) fn answer(offer: &SessionDescription, port: u16) -> SessionDescription {
    sdp::answer(offer, &media(port)).unwrap().session
}

/// A call to an endpoint.
pub(crate) fn call_to(target: SocketAddr, transport: Transport) -> OutgoingInvite {
    OutgoingInvite {
        target,
        transport,
        to: format!("sip:+15550001000@{target}"),
        from: "\"Caller\" <sip:+15559990000@127.0.0.1>".to_owned(),
        headers: vec![("X-Test".to_owned(), "1".to_owned())],
        session: offer(4000),
        ring_max: Duration::from_secs(60),
    }
}

/// Waits, but not without end.
pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("in time: {what}"))
}

/// Waits until the endpoint has no call any more. (Transactions of refused INVITEs outlive it by 32 s, RFC 3261 §17.1.1.2.)
pub(crate) async fn settled(endpoint: &Endpoint) {
    soon("nothing is left behind", async {
        loop {
            if endpoint.stats().await.calls == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// A peer that says exactly what a test writes.
pub(crate) struct Peer {
    pub(crate) socket: UdpSocket,
}

impl Peer {
    pub(crate) async fn new() -> Self {
        Self { socket: UdpSocket::bind((LOCAL, 0)).await.unwrap() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    pub(crate) async fn send(&self, to: SocketAddr, text: &str) {
        self.socket.send_to(text.as_bytes(), to).await.unwrap();
    }

    pub(crate) async fn receive(&self) -> String {
        let mut buffer = vec![0; 65_536];
        let (length, _) = soon("a message", self.socket.recv_from(&mut buffer)).await.unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    /// The next message whose first line begins so; others are passed.
    pub(crate) async fn expect(&self, start: &str) -> String {
        soon(start, async {
            loop {
                let text = self.receive().await;
                if text.starts_with(start) {
                    return text;
                }
            }
        })
        .await
    }

    /// A request of a call, with what every request has.
    pub(crate) fn request(&self, line: &Line<'_>) -> String {
        let Line { method, branch, to_tag, cseq, headers, body } = line;
        let address = self.address();
        let to_tag = to_tag.map(|tag| format!(";tag={tag}")).unwrap_or_default();
        let cseq_method = if *method == "ACK" { "ACK" } else { method };
        let content = if body.is_empty() { String::new() } else { "Content-Type: application/sdp\r\n".to_owned() };
        format!(
            "{method} sip:desk@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {address};branch=z9hG4bK{branch};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:caller@{address}>;tag=peer\r\nTo: <sip:desk@127.0.0.1>{to_tag}\r\nCall-ID: {port}@test\r\nCSeq: {cseq} {cseq_method}\r\n\
             Contact: <sip:caller@{address}>\r\n{headers}{content}Content-Length: {length}\r\n\r\n{body}",
            port = address.port(),
            length = body.len()
        )
    }
}

/// What differs from request to request.
#[derive(Clone, Copy)]
pub(crate) struct Line<'a> {
    pub(crate) method: &'a str,
    pub(crate) branch: &'a str,
    pub(crate) to_tag: Option<&'a str>,
    pub(crate) cseq: u32,
    pub(crate) headers: &'a str,
    pub(crate) body: &'a str,
}

impl<'a> Line<'a> {
    pub(crate) fn new(method: &'a str, branch: &'a str, cseq: u32) -> Self {
        Self { method, branch, to_tag: None, cseq, headers: "", body: "" }
    }
}

/// The value of a header in a message.
pub(crate) fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message
        .split("\r\n")
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(':'))
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// The tag of a response's `To`.
pub(crate) fn to_tag(message: &str) -> String {
    header(message, "To").and_then(|to| to.split(";tag=").nth(1)).unwrap_or_default().to_owned()
}

/// The next call.
pub(crate) async fn incoming(calls: &mut IncomingCalls) -> IncomingCall {
    soon("the call", calls.next()).await.unwrap()
}

/// Offers a call from the peer.
pub(crate) async fn ring(peer: &Peer, endpoint: &Endpoint, calls: &mut IncomingCalls) -> (IncomingCall, String) {
    let body = offer(4000).to_string();
    let invite = peer.request(&Line { body: &body, ..Line::new("INVITE", "inv1", 10) });
    peer.send(endpoint.local_addr(), &invite).await;
    (incoming(calls).await, invite)
}

/// A call from the peer, answered and acknowledged; with the tag of our side.
pub(crate) async fn talk(peer: &Peer, endpoint: &Endpoint, calls: &mut IncomingCalls) -> (Dialog, String) {
    let (call, _) = ring(peer, endpoint, calls).await;
    let session = answer(call.invite().offer.as_ref().unwrap(), 4002);
    let mut dialog = call.answer(session).await.unwrap();
    let tag = to_tag(&peer.expect("SIP/2.0 200").await);
    peer.send(endpoint.local_addr(), &peer.request(&Line { to_tag: Some(&tag), ..Line::new("ACK", "ack1", 10) })).await;
    assert!(matches!(soon("ACK", dialog.next_event()).await, DialogEvent::Acked { .. }));
    (dialog, tag)
}

/// Sends a request; the next response.
pub(crate) async fn ask(peer: &Peer, endpoint: &Endpoint, line: Line<'_>) -> String {
    peer.send(endpoint.local_addr(), &peer.request(&line)).await;
    peer.expect("SIP/2.0").await
}
