//! What goes over the wire, against a peer that says exactly what a test writes.

use std::time::Duration;

use frontdesk_telephony::sdp;
use frontdesk_telephony::sip::{DialogEvent, EndReason, OutgoingEvent, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use crate::common::{LOCAL, Line, Peer, answer, ask, call_to, endpoint, header, incoming, media, offer, ring, settled, soon, talk, to_tag};

const SHORT: Duration = Duration::from_millis(300);

async fn is_silent(peer: &Peer, during: Duration) -> bool {
    let mut buffer = [0; 4096];
    timeout(during, peer.socket.recv_from(&mut buffer)).await.is_err()
}

#[tokio::test]
async fn a_retransmitted_invite_is_one_call_and_gets_the_last_answer_again() {
    let (endpoint, mut calls) = endpoint().await;
    let peer = Peer::new().await;
    let (mut call, invite) = ring(&peer, &endpoint, &mut calls).await;
    call.ringing().await.unwrap();
    let first = peer.expect("SIP/2.0 180").await;
    for _ in 0..3 {
        peer.send(endpoint.local_addr(), &invite).await;
        assert_eq!(peer.expect("SIP/2.0 180").await, first);
    }
    let session = answer(call.invite().offer.as_ref().unwrap(), 4002);
    let _dialog = call.answer(session).await.unwrap();
    assert_eq!(to_tag(&peer.expect("SIP/2.0 200").await), to_tag(&first));
    assert_eq!(endpoint.stats().await.offered, 1);
}

#[tokio::test]
async fn a_200_is_sent_until_its_ack_and_no_longer() {
    let (endpoint, mut calls) = endpoint().await;
    let peer = Peer::new().await;
    let (call, _) = ring(&peer, &endpoint, &mut calls).await;
    let session = answer(call.invite().offer.as_ref().unwrap(), 4002);
    let mut dialog = call.answer(session).await.unwrap();
    let first = peer.expect("SIP/2.0 200").await;
    for _ in 0..3 {
        assert_eq!(peer.expect("SIP/2.0 200").await, first);
    }
    let tag = to_tag(&first);
    let ack = peer.request(&Line { to_tag: Some(&tag), ..Line::new("ACK", "ack1", 10) });
    peer.send(endpoint.local_addr(), &ack).await;
    assert!(matches!(soon("ACK", dialog.next_event()).await, DialogEvent::Acked { .. }));
    while !is_silent(&peer, SHORT * 2).await {}
    peer.send(endpoint.local_addr(), &ack).await;
    assert!(timeout(SHORT, dialog.next_event()).await.is_err(), "a second ACK is no event");
}

#[tokio::test]
async fn without_an_ack_the_call_is_hung_up() {
    let (endpoint, mut calls) = endpoint().await;
    let peer = Peer::new().await;
    let (call, _) = ring(&peer, &endpoint, &mut calls).await;
    let session = answer(call.invite().offer.as_ref().unwrap(), 4002);
    let started = Instant::now();
    let mut dialog = call.answer(session).await.unwrap();
    let bye = peer.expect("BYE").await;
    let waited = started.elapsed();
    assert!(waited >= Duration::from_millis(3200), "64 × T1 is 3.2 s here: {waited:?}");
    assert_eq!(header(&bye, "Call-ID"), Some(&*format!("{}@test", peer.address().port())));
    let ok = bye.replace("BYE sip:caller", "X").lines().filter(|line| !line.starts_with("X@")).collect::<Vec<_>>().join("\r\n");
    peer.send(endpoint.local_addr(), &format!("SIP/2.0 200 OK\r\n{ok}\r\n\r\n")).await;
    assert!(matches!(soon("the end", dialog.next_event()).await, DialogEvent::Ended(EndReason::NoAck)));
    settled(&endpoint).await;
}

#[tokio::test]
async fn a_hang_up_waits_for_the_ack() {
    let (endpoint, mut calls) = endpoint().await;
    let peer = Peer::new().await;
    let (call, _) = ring(&peer, &endpoint, &mut calls).await;
    let session = answer(call.invite().offer.as_ref().unwrap(), 4002);
    let dialog = call.answer(session).await.unwrap();
    let tag = to_tag(&peer.expect("SIP/2.0 200").await);
    let hangup = tokio::spawn(dialog.hangup());
    let deadline = Instant::now() + SHORT;
    while Instant::now() < deadline {
        let mut buffer = [0; 4096];
        if let Ok(Ok((length, _))) = timeout(SHORT, peer.socket.recv_from(&mut buffer)).await {
            assert!(buffer[..length].starts_with(b"SIP/2.0 200"), "no BYE before the ACK (RFC 3261 §15)");
        }
    }
    peer.send(endpoint.local_addr(), &peer.request(&Line { to_tag: Some(&tag), ..Line::new("ACK", "ack1", 10) })).await;
    let bye = peer.expect("BYE").await;
    assert!(header(&bye, "From").unwrap().contains(&tag));
    let reply: String = bye.split("\r\n").skip(1).map(|line| format!("{line}\r\n")).collect();
    peer.send(endpoint.local_addr(), &format!("SIP/2.0 200 OK\r\n{reply}")).await;
    assert_eq!(soon("the end", hangup).await.unwrap(), EndReason::LocalHangup);
}

#[tokio::test]
async fn cancel_is_answered_and_ends_only_an_unanswered_call() {
    let (endpoint, mut calls) = endpoint().await;
    let peer = Peer::new().await;
    let (mut call, _) = ring(&peer, &endpoint, &mut calls).await;
    let cancel = peer.request(&Line::new("CANCEL", "inv1", 10));
    peer.send(endpoint.local_addr(), &cancel).await;
    let (one, other) = (peer.expect("SIP/2.0").await, peer.expect("SIP/2.0").await);
    let answers = [one, other];
    assert!(answers.iter().any(|text| text.starts_with("SIP/2.0 200") && header(text, "CSeq") == Some("10 CANCEL")));
    assert!(answers.iter().any(|text| text.starts_with("SIP/2.0 487") && header(text, "CSeq") == Some("10 INVITE")));
    assert_eq!(soon("the end", call.ended()).await, EndReason::Cancelled);

    let late = Peer::new().await;
    let (mut dialog, _) = talk(&late, &endpoint, &mut calls).await;
    late.send(endpoint.local_addr(), &late.request(&Line::new("CANCEL", "inv1", 10))).await;
    assert_eq!(header(&late.expect("SIP/2.0 200").await, "CSeq"), Some("10 CANCEL"));
    assert!(timeout(SHORT, dialog.next_event()).await.is_err(), "the call goes on");

    let text = ask(&Peer::new().await, &endpoint, Line::new("CANCEL", "nothing", 1)).await;
    assert!(text.starts_with("SIP/2.0 481"), "{text}");
}

#[tokio::test]
async fn requests_that_belong_nowhere_get_their_status() {
    let (endpoint, _calls) = endpoint().await;
    let body = offer(4000).to_string();
    let with = |headers: &'static str| Line { headers, ..Line::new("INVITE", "x", 1) };
    let in_dialog = |method: &'static str| Line { to_tag: Some("none"), ..Line::new(method, "x", 1) };
    for (line, status, says) in [
        (in_dialog("BYE"), 481, ""),
        (in_dialog("INVITE"), 481, ""),
        (Line::new("BYE", "x", 1), 481, ""),
        (Line { headers: "Event: refer\r\n", ..in_dialog("NOTIFY") }, 481, ""),
        (Line { headers: "Event: refer\r\n", ..Line::new("NOTIFY", "x", 1) }, 481, ""),
        (Line::new("MESSAGE", "x", 1), 405, "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY"),
        (Line::new("SUBSCRIBE", "x", 1), 405, "Allow: "),
        (Line::new("REGISTER", "x", 1), 405, "Allow: "),
        (Line::new("DANCE", "x", 1), 501, "Allow: "),
        (Line::new("OPTIONS", "x", 1), 200, "Accept: application/sdp"),
        (with("Require: 100rel, foo\r\n"), 420, "Unsupported: 100rel, foo"),
        (with("Accept: text/plain\r\n"), 406, ""),
        (Line { body: "v=0\r\nnonsense", ..with("") }, 400, "Warning: 399"),
        (Line { body: &body, ..with("Content-Encoding: gzip\r\n") }, 415, "Accept: application/sdp"),
        (Line { body: &body, ..with("Content-Type: text/plain\r\nX: ") }, 415, "Accept: application/sdp"),
    ] {
        let peer = Peer::new().await;
        let text = ask(&peer, &endpoint, line).await;
        assert!(text.starts_with(&format!("SIP/2.0 {status} ")) && text.contains(says), "{} {status}: {text}", line.method);
        assert!(!to_tag(&text).is_empty(), "{text}");
        // The copy of a request gets the very same answer though nothing was kept of it.
        assert_eq!(ask(&peer, &endpoint, line).await, text);
    }
    let peer = Peer::new().await;
    peer.send(endpoint.local_addr(), &peer.request(&in_dialog("ACK"))).await;
    assert!(is_silent(&peer, SHORT).await, "nothing is ever answered to an ACK");
    assert_eq!(endpoint.stats().await.transactions, 0);
}

#[tokio::test]
async fn a_merged_invite_is_refused() {
    let (endpoint, mut calls) = endpoint().await;
    let peer = Peer::new().await;
    let (_call, invite) = ring(&peer, &endpoint, &mut calls).await;
    peer.send(endpoint.local_addr(), &invite.replace("z9hG4bKinv1", "z9hG4bKother")).await;
    peer.expect("SIP/2.0 482").await;
    assert_eq!(endpoint.stats().await.offered, 1);
}

#[tokio::test]
async fn a_call_without_an_offer_gets_ours() {
    let (endpoint, mut calls) = endpoint().await;
    let peer = Peer::new().await;
    peer.send(endpoint.local_addr(), &peer.request(&Line::new("INVITE", "inv1", 10))).await;
    let call = incoming(&mut calls).await;
    assert!(call.invite().offer.is_none());
    let ours = offer(4002);
    let mut dialog = call.answer(ours.clone()).await.unwrap();
    let text = peer.expect("SIP/2.0 200").await;
    assert!(text.ends_with(&ours.to_string()), "{text}");
    let theirs = sdp::answer(&ours, &media(4000)).unwrap().session.to_string();
    let tag = to_tag(&text);
    peer.send(endpoint.local_addr(), &peer.request(&Line { to_tag: Some(&tag), body: &theirs, ..Line::new("ACK", "ack1", 10) })).await;
    let DialogEvent::Acked { session } = soon("ACK", dialog.next_event()).await else { panic!("ACK") };
    assert_eq!(sdp::accept_answer(&media(4002), &session.unwrap()).unwrap().address.unwrap().port(), 4000);
}

#[tokio::test]
async fn requests_of_ours_follow_the_route_set() {
    let (endpoint, mut calls) = endpoint().await;
    let (peer, proxy) = (Peer::new().await, Peer::new().await);
    let routes = format!("Record-Route: <sip:{};lr>\r\nRecord-Route: <sip:192.0.2.7;lr>\r\n", proxy.address());
    let body = offer(4000).to_string();
    peer.send(endpoint.local_addr(), &peer.request(&Line { headers: &routes, body: &body, ..Line::new("INVITE", "inv1", 10) })).await;
    let call = incoming(&mut calls).await;
    let session = answer(call.invite().offer.as_ref().unwrap(), 4002);
    let dialog = call.answer(session).await.unwrap();
    let text = peer.expect("SIP/2.0 200").await;
    assert!(text.contains(&format!("Record-Route: <sip:{};lr>\r\nRecord-Route: <sip:192.0.2.7;lr>", proxy.address())), "{text}");
    let tag = to_tag(&text);
    peer.send(endpoint.local_addr(), &peer.request(&Line { to_tag: Some(&tag), ..Line::new("ACK", "ack1", 10) })).await;
    let _hangup = tokio::spawn(dialog.hangup());
    let bye = proxy.expect("BYE").await;
    assert!(bye.starts_with(&format!("BYE sip:caller@{} SIP/2.0", peer.address())), "{bye}");
    assert!(bye.contains(&format!("Route: <sip:{};lr>\r\nRoute: <sip:192.0.2.7;lr>", proxy.address())), "{bye}");
}

#[tokio::test]
async fn a_2xx_of_another_fork_is_acknowledged_and_hung_up() {
    let (endpoint, _calls) = endpoint().await;
    let peer = Peer::new().await;
    let mut outgoing = endpoint.invite(call_to(peer.address(), Transport::Udp)).await.unwrap();
    let invite = peer.expect("INVITE").await;
    let head: String = invite
        .split("\r\n\r\n")
        .next()
        .unwrap()
        .split("\r\n")
        .skip(1)
        .filter(|line| !line.starts_with("Cont"))
        .map(|line| format!("{line}\r\n"))
        .collect();
    let accept = |tag: &str| {
        let head = head.replace(&format!("To: <sip:+15550001000@{}>", peer.address()), &format!("To: <sip:x@y>;tag={tag}"));
        format!("SIP/2.0 200 OK\r\n{head}Contact: <sip:callee@{}>\r\nContent-Length: 0\r\n\r\n", peer.address())
    };
    peer.send(endpoint.local_addr(), &accept("one")).await;
    let ack = peer.expect("ACK").await;
    assert!(matches!(soon("the answer", outgoing.next()).await, OutgoingEvent::Answered { session: None, .. }));
    peer.send(endpoint.local_addr(), &accept("one")).await;
    assert_eq!(peer.expect("ACK").await, ack, "each copy of the 2xx gets the same ACK");
    peer.send(endpoint.local_addr(), &accept("two")).await;
    assert_eq!(to_tag(&peer.expect("ACK").await), "two");
    assert_eq!(to_tag(&peer.expect("BYE").await), "two");
}

#[tokio::test]
async fn an_answer_is_delivered_over_a_new_connection_if_the_first_is_gone() {
    let (endpoint, mut calls) = endpoint().await;
    let listener = TcpListener::bind((LOCAL, 0)).await.unwrap();
    let sent_by = listener.local_addr().unwrap();
    let mut stream = TcpStream::connect(endpoint.local_addr()).await.unwrap();
    let peer = Peer::new().await;
    let body = offer(4000).to_string();
    let invite = peer
        .request(&Line { body: &body, ..Line::new("INVITE", "inv1", 10) })
        .replace(&format!("SIP/2.0/UDP {}", peer.address()), &format!("SIP/2.0/TCP {sent_by}"));
    stream.write_all(invite.as_bytes()).await.unwrap();
    let call = incoming(&mut calls).await;
    drop(stream);
    soon("the connection is gone", async {
        while endpoint.stats().await.connections > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let session = answer(call.invite().offer.as_ref().unwrap(), 4002);
    let _dialog = call.answer(session).await.unwrap();
    let (mut back, _) = soon("the connection", listener.accept()).await.unwrap();
    let mut buffer = [0; 4096];
    let length = soon("the answer", back.read(&mut buffer)).await.unwrap();
    assert!(buffer[..length].starts_with(b"SIP/2.0 200"));
}

#[tokio::test]
async fn a_caller_that_vanished_with_its_connection_leaves_nothing_behind() {
    let (endpoint, mut calls) = endpoint().await;
    let mut stream = TcpStream::connect(endpoint.local_addr()).await.unwrap();
    let peer = Peer::new().await;
    let body = offer(4000).to_string();
    // Nobody listens at the address of the Via: the peer has only a UDP socket there.
    let invite = peer.request(&Line { body: &body, ..Line::new("INVITE", "inv1", 10) }).replace("SIP/2.0/UDP", "SIP/2.0/TCP");
    stream.write_all(invite.as_bytes()).await.unwrap();
    let call = incoming(&mut calls).await;
    drop(stream);
    soon("the connection is gone", async {
        while endpoint.stats().await.connections > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let session = answer(call.invite().offer.as_ref().unwrap(), 4002);
    let mut dialog = call.answer(session).await.unwrap();
    let event = soon("the end", dialog.next_event()).await;
    assert!(matches!(event, DialogEvent::Ended(EndReason::TransportFailed)), "{event:?}");
    settled(&endpoint).await;
}

#[tokio::test]
async fn a_connection_that_does_not_speak_sip_is_closed_and_the_others_go_on() {
    let (endpoint, _calls) = endpoint().await;
    let mut good = TcpStream::connect(endpoint.local_addr()).await.unwrap();
    for noise in ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "INVITE sip:a SIP/2.0\r\nContent-Length: -1\r\n\r\n", "\0\0\0\0\r\n\r\n"] {
        let mut bad = TcpStream::connect(endpoint.local_addr()).await.unwrap();
        bad.write_all(noise.as_bytes()).await.unwrap();
        let mut buffer = [0; 1024];
        // An answer may come first; the end must.
        while !matches!(soon("the end", bad.read(&mut buffer)).await, Ok(0) | Err(_)) {}
    }
    good.write_all(b"\r\n\r\n").await.unwrap();
    let mut buffer = [0; 1024];
    let length = soon("the pong", good.read(&mut buffer)).await.unwrap();
    assert_eq!(&buffer[..length], b"\r\n", "RFC 5626 §4.4.1");
    let peer = Peer::new().await;
    let options = peer.request(&Line::new("OPTIONS", "opt", 1)).replace("SIP/2.0/UDP", "SIP/2.0/TCP");
    let (first, second) = options.split_at(options.len() / 2);
    good.write_all(first.as_bytes()).await.unwrap();
    good.write_all(second.as_bytes()).await.unwrap();
    let length = soon("the answer", good.read(&mut buffer)).await.unwrap();
    assert!(buffer[..length].starts_with(b"SIP/2.0 200"));
}
