//! INVITEs within a call, and how they meet other INVITEs and the end (RFC 3261 §14, RFC 5407 §3.1.4).

use std::time::Duration;

use frontdesk_telephony::sip::{DialogEvent, EndReason, Endpoint, EndpointConfig, Limits, ReInviteError};

use crate::common::{Line, Peer, answer, ask, config, endpoint, header, offer, ring, settled, soon, talk, to_tag};

#[tokio::test]
async fn requests_within_a_call_keep_their_order() {
    let (endpoint, mut calls) = endpoint().await;
    let peer = Peer::new().await;
    let (mut dialog, tag) = talk(&peer, &endpoint, &mut calls).await;
    let body = offer(4000).to_string();
    let line = |method: &'static str, branch: &'static str, cseq| Line { to_tag: Some(&tag), ..Line::new(method, branch, cseq) };

    let text = ask(&peer, &endpoint, Line { body: &body, ..line("INVITE", "old", 9) }).await;
    assert!(text.starts_with("SIP/2.0 500"), "{text}");
    let text = ask(&peer, &endpoint, line("OPTIONS", "opt", 11)).await;
    assert!(text.starts_with("SIP/2.0 200"), "{text}");

    peer.send(endpoint.local_addr(), &peer.request(&Line { body: &body, ..line("INVITE", "re1", 12) })).await;
    let DialogEvent::ReInvite(first) = soon("the re-INVITE", dialog.next_event()).await else { panic!("a re-INVITE") };
    let text = ask(&peer, &endpoint, Line { body: &body, ..line("INVITE", "re2", 13) }).await;
    assert!(text.starts_with("SIP/2.0 500") && header(&text, "Retry-After").is_some(), "{text}");
    peer.send(endpoint.local_addr(), &peer.request(&line("ACK", "re2", 13))).await;
    drop(first);
    let text = peer.expect("SIP/2.0 200").await;
    assert_eq!(header(&text, "CSeq"), Some("12 INVITE"));
    peer.send(endpoint.local_addr(), &peer.request(&line("ACK", "ack12", 12))).await;
    assert!(matches!(soon("the ACK", dialog.next_event()).await, DialogEvent::Acked { .. }));

    // Somebody else's tag is somebody else's dialog.
    let bye = peer.request(&line("BYE", "bye", 14)).replace("tag=peer", "tag=stranger");
    peer.send(endpoint.local_addr(), &bye).await;
    peer.expect("SIP/2.0 481").await;
    peer.send(endpoint.local_addr(), &peer.request(&line("BYE", "bye2", 14))).await;
    while !peer.expect("SIP/2.0 200").await.contains("BYE") {}
    let end = loop {
        if let DialogEvent::Ended(reason) = soon("the end", dialog.next_event()).await {
            break reason;
        }
    };
    assert_eq!(end, EndReason::RemoteHangup);
}

#[tokio::test]
async fn a_re_invite_during_ours_is_glare() {
    let (endpoint, mut calls) = endpoint().await;
    let peer = Peer::new().await;
    let (mut dialog, tag) = talk(&peer, &endpoint, &mut calls).await;
    let ours = tokio::spawn(async move { (dialog.reinvite(offer(4002)).await, dialog) });
    let invite = peer.expect("INVITE").await;
    let body = offer(4000).to_string();
    let theirs = peer.request(&Line { to_tag: Some(&tag), body: &body, ..Line::new("INVITE", "re1", 12) });
    peer.send(endpoint.local_addr(), &theirs).await;
    peer.expect("SIP/2.0 491").await;
    let reply: String = invite
        .split("\r\n\r\n")
        .next()
        .unwrap()
        .split("\r\n")
        .skip(1)
        .filter(|line| !line.starts_with("Content-"))
        .map(|line| format!("{line}\r\n"))
        .collect();
    peer.send(endpoint.local_addr(), &format!("SIP/2.0 491 Request Pending\r\n{reply}Content-Length: 0\r\n\r\n")).await;
    peer.expect("ACK").await;
    let (outcome, mut dialog) = soon("the outcome", ours).await.unwrap();
    assert_eq!(outcome.err(), Some(ReInviteError::Glare));
    // A late copy gets the same answer, though nothing stands in its way any more.
    peer.send(endpoint.local_addr(), &theirs).await;
    peer.expect("SIP/2.0 491").await;
    peer.send(endpoint.local_addr(), &peer.request(&Line { to_tag: Some(&tag), ..Line::new("ACK", "re1", 12) })).await;
    // The next one is taken.
    peer.send(endpoint.local_addr(), &peer.request(&Line { to_tag: Some(&tag), body: &body, ..Line::new("INVITE", "re2", 13) })).await;
    assert!(matches!(soon("the re-INVITE", dialog.next_event()).await, DialogEvent::ReInvite(_)));
    let text = peer.expect("SIP/2.0 200").await;
    assert_eq!(header(&text, "CSeq"), Some("13 INVITE"));
}

#[tokio::test]
async fn an_unanswered_re_invite_is_answered_with_the_session_in_use() {
    let limits = Limits { reinvite_answer_max: Duration::from_millis(200), ..Limits::default() };
    let (endpoint, mut calls) = Endpoint::bind(EndpointConfig { limits, ..config() }).await.unwrap();
    let peer = Peer::new().await;
    let (_dialog, tag) = talk(&peer, &endpoint, &mut calls).await;
    let hold = offer(4000).to_string().replace("c=IN IP4 127.0.0.1", "c=IN IP4 0.0.0.0");
    peer.send(endpoint.local_addr(), &peer.request(&Line { to_tag: Some(&tag), body: &hold, ..Line::new("INVITE", "re1", 12) })).await;
    let text = peer.expect("SIP/2.0 200").await;
    assert!(text.contains("a=recvonly") && text.contains("m=audio 4002"), "{text}");
}

#[tokio::test]
async fn a_re_invite_that_overtakes_the_ack_of_the_answer_stands_for_it() {
    let (endpoint, mut calls) = endpoint().await;
    let peer = Peer::new().await;
    let (call, _) = ring(&peer, &endpoint, &mut calls).await;
    let ours = answer(call.invite().offer.as_ref().unwrap(), 4002);
    let mut dialog = call.answer(ours.clone()).await.unwrap();
    let tag = to_tag(&peer.expect("SIP/2.0 200").await);
    let body = offer(4004).to_string();
    let line = |method: &'static str, branch: &'static str, cseq| Line { to_tag: Some(&tag), ..Line::new(method, branch, cseq) };
    peer.send(endpoint.local_addr(), &peer.request(&Line { body: &body, ..line("INVITE", "re1", 11) })).await;
    assert!(matches!(soon("the first ACK", dialog.next_event()).await, DialogEvent::Acked { session: None }));
    let DialogEvent::ReInvite(wish) = soon("the re-INVITE", dialog.next_event()).await else { panic!("a re-INVITE") };
    // The ACK that was overtaken arrives: it acknowledges nothing that still waits.
    peer.send(endpoint.local_addr(), &peer.request(&line("ACK", "ack10", 10))).await;
    let session = answer(wish.offer.as_ref().unwrap(), 4002);
    wish.answer(session).await.unwrap();
    while header(&peer.expect("SIP/2.0 200").await, "CSeq") != Some("11 INVITE") {}
    peer.send(endpoint.local_addr(), &peer.request(&line("ACK", "ack11", 11))).await;
    assert!(matches!(soon("the second ACK", dialog.next_event()).await, DialogEvent::Acked { .. }));
    // 64 x T1 later the call would have been hung up for want of an ACK; T1 is 50 ms here.
    let event = tokio::time::timeout(Duration::from_millis(3500), dialog.next_event()).await;
    assert!(event.is_err(), "{event:?}");
}

#[tokio::test]
async fn a_re_invite_that_overtakes_the_answer_to_our_offer_is_glare() {
    let (endpoint, mut calls) = endpoint().await;
    let peer = Peer::new().await;
    peer.send(endpoint.local_addr(), &peer.request(&Line::new("INVITE", "inv1", 10))).await;
    let call = soon("the call", calls.next()).await.unwrap();
    let mut dialog = call.answer(offer(4002)).await.unwrap();
    let tag = to_tag(&peer.expect("SIP/2.0 200").await);
    let body = offer(4000).to_string();
    peer.send(endpoint.local_addr(), &peer.request(&Line { to_tag: Some(&tag), body: &body, ..Line::new("INVITE", "re1", 11) })).await;
    peer.expect("SIP/2.0 491").await;
    let ack = Line { to_tag: Some(&tag), body: &body, ..Line::new("ACK", "ack1", 10) };
    peer.send(endpoint.local_addr(), &peer.request(&ack)).await;
    assert!(matches!(soon("the ACK", dialog.next_event()).await, DialogEvent::Acked { session: Some(_) }));
}

#[tokio::test]
async fn a_re_invite_after_our_hang_up_is_refused_and_the_hang_up_goes_on() {
    let (endpoint, mut calls) = endpoint().await;
    let peer = Peer::new().await;
    let (call, _) = ring(&peer, &endpoint, &mut calls).await;
    let session = answer(call.invite().offer.as_ref().unwrap(), 4002);
    let dialog = call.answer(session).await.unwrap();
    let tag = to_tag(&peer.expect("SIP/2.0 200").await);
    drop(dialog);
    // Commands are taken in order: with the answer to this one, the hang-up waits for the ACK.
    assert_eq!(endpoint.stats().await.calls, 1);
    let body = offer(4000).to_string();
    peer.send(endpoint.local_addr(), &peer.request(&Line { to_tag: Some(&tag), body: &body, ..Line::new("INVITE", "re1", 11) })).await;
    peer.expect("SIP/2.0 487").await;
    let bye = peer.expect("BYE").await;
    let reply: String = bye.split("\r\n").skip(1).filter(|line| !line.is_empty()).map(|line| format!("{line}\r\n")).collect();
    peer.send(endpoint.local_addr(), &format!("SIP/2.0 200 OK\r\n{reply}\r\n")).await;
    settled(&endpoint).await;
}
