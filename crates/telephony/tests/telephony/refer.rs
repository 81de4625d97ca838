//! REFER on the wire, against a peer that says exactly what a test writes.

use std::time::Duration;

use frontdesk_telephony::sip::{Dialog, DialogEvent, Endpoint, EndpointConfig, ReferError, ReferStatus, Transport};

use crate::common::{Line, Peer, answer as answer_to, ask, call_to, config, endpoint, header, incoming, soon, talk};

const TARGET: &str = "tel:+15550188";
const WAIT: Duration = Duration::from_secs(10);

/// A call in progress whose peer has been asked to call the target, with the REFER.
async fn referred(peer: &Peer, wait: Duration) -> (Endpoint, Dialog, String, String) {
    let (endpoint, mut calls) = endpoint().await;
    let (mut dialog, tag) = talk(peer, &endpoint, &mut calls).await;
    dialog.refer(TARGET, wait).await.unwrap();
    let refer = peer.expect("REFER").await;
    (endpoint, dialog, tag, refer)
}

async fn answer(peer: &Peer, endpoint: &Endpoint, request: &str, status: &str) {
    let rest: String = request.split("\r\n").skip(1).map(|line| format!("{line}\r\n")).collect();
    peer.send(endpoint.local_addr(), &format!("SIP/2.0 {status}\r\n{}", rest.trim_end_matches("\r\n").to_owned() + "\r\n\r\n")).await;
}

/// Tells what came of it; the status of the answer to the NOTIFY.
async fn notify(peer: &Peer, endpoint: &Endpoint, tag: &str, (cseq, event, state): (u32, &str, &str), fragment: &str) -> String {
    let headers = format!("Event: {event}\r\nSubscription-State: {state}\r\nContent-Type: message/sipfrag;version=2.0\r\nX: ");
    let branch = format!("notify{cseq}");
    let line = Line { method: "NOTIFY", branch: &branch, to_tag: Some(tag), cseq, headers: &headers, body: fragment };
    peer.send(endpoint.local_addr(), &peer.request(&line)).await;
    let answer = peer.expect("SIP/2.0").await;
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

async fn outcome(dialog: &mut Dialog) -> ReferStatus {
    match soon("the outcome", dialog.next_event()).await {
        DialogEvent::Referred(status) => status,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_target_is_called_and_what_came_of_it_is_told() {
    for (fragment, status) in [("SIP/2.0 200 OK\r\n", 200), ("SIP/2.0 486 Busy Here\r\n", 486), ("SIP/2.0 603 Decline\r\n", 603)] {
        let peer = Peer::new().await;
        let (endpoint, mut dialog, tag, refer) = referred(&peer, WAIT).await;
        assert_eq!(header(&refer, "Refer-To"), Some("<tel:+15550188>"));
        assert!(header(&refer, "Contact").is_some() && header(&refer, "From").unwrap().contains(&tag), "{refer}");
        assert_eq!(dialog.refer(TARGET, WAIT).await, Err(ReferError::State), "one at a time");
        answer(&peer, &endpoint, &refer, "202 Accepted").await;
        assert_eq!(notify(&peer, &endpoint, &tag, (20, "refer", "active;expires=60"), "SIP/2.0 100 Trying\r\n").await, "200");
        assert_eq!(notify(&peer, &endpoint, &tag, (21, "refer", "active;expires=60"), "SIP/2.0 180 Ringing\r\n").await, "200");
        assert_eq!(notify(&peer, &endpoint, &tag, (22, "refer", "terminated;reason=noresource"), fragment).await, "200");
        assert_eq!(outcome(&mut dialog).await, ReferStatus::Final(status));
        assert_eq!(notify(&peer, &endpoint, &tag, (23, "refer", "terminated"), fragment).await, "481", "the subscription is over");
    }
}

#[tokio::test]
async fn a_peer_that_does_not_transfer_says_so_and_another_attempt_may_follow() {
    let peer = Peer::new().await;
    let (endpoint, mut dialog, _, refer) = referred(&peer, WAIT).await;
    answer(&peer, &endpoint, &refer, "405 Method Not Allowed").await;
    assert_eq!(outcome(&mut dialog).await, ReferStatus::Final(405));
    dialog.refer(TARGET, WAIT).await.unwrap();
    assert_eq!(dialog.refer("mailto:a@b", WAIT).await, Err(ReferError::State));
}

#[tokio::test]
async fn a_subscription_that_ends_without_a_result_or_in_silence_leaves_it_unknown() {
    let peer = Peer::new().await;
    let (endpoint, mut dialog, tag, refer) = referred(&peer, WAIT).await;
    answer(&peer, &endpoint, &refer, "202 Accepted").await;
    assert_eq!(notify(&peer, &endpoint, &tag, (20, "presence", "active"), "SIP/2.0 100 Trying\r\n").await, "489");
    assert_eq!(notify(&peer, &endpoint, &tag, (21, "refer;id=1", "active"), "SIP/2.0 200 OK\r\n").await, "481", "another REFER's");
    let cseq = header(&refer, "CSeq").and_then(|cseq| cseq.split(' ').next()).unwrap().to_owned();
    let event = format!("refer;id={cseq}");
    assert_eq!(notify(&peer, &endpoint, &tag, (22, &event, "terminated;reason=timeout"), "SIP/2.0 100 Trying\r\n").await, "200");
    assert_eq!(outcome(&mut dialog).await, ReferStatus::Unknown);

    let silent = Peer::new().await;
    let (endpoint, mut dialog, _, refer) = referred(&silent, Duration::from_millis(200)).await;
    answer(&silent, &endpoint, &refer, "202 Accepted").await;
    assert_eq!(outcome(&mut dialog).await, ReferStatus::Unknown);
}

#[tokio::test]
async fn only_telephone_and_sip_targets_are_referred_to() {
    let peer = Peer::new().await;
    let (endpoint, mut calls) = endpoint().await;
    let (mut dialog, _) = talk(&peer, &endpoint, &mut calls).await;
    for target in ["mailto:a@example.com", "", "tel:+1 555>;x"] {
        assert_eq!(dialog.refer(target, WAIT).await, Err(ReferError::Malformed), "{target}");
    }
}

#[tokio::test]
async fn two_endpoints_transfer_a_call() {
    for status in [200, 486] {
        let (desk, mut calls) = endpoint().await;
        let (trunk, _) = Endpoint::bind(EndpointConfig { takes_refer: true, ..config() }).await.unwrap();
        let mut placed = trunk.invite(call_to(desk.local_addr(), Transport::Udp)).await.unwrap();
        let call = incoming(&mut calls).await;
        let session = answer_to(call.invite().offer.as_ref().unwrap(), 4002);
        let mut ours = call.answer(session).await.unwrap();
        let (mut theirs, _) = soon("the answer", placed.answered()).await.unwrap();
        assert!(matches!(soon("ACK", ours.next_event()).await, DialogEvent::Acked { .. }));
        ours.refer(TARGET, WAIT).await.unwrap();
        let id = match soon("the REFER", theirs.next_event()).await {
            DialogEvent::Refer { target, id } => {
                assert_eq!(target, TARGET);
                id
            }
            other => panic!("{other:?}"),
        };
        for status in [100, 180, status] {
            theirs.notify_refer(id, status).await.unwrap();
        }
        assert_eq!(outcome(&mut ours).await, ReferStatus::Final(status));
        ours.hangup().await;
    }
}

#[tokio::test]
async fn who_does_not_take_refer_says_so() {
    let peer = Peer::new().await;
    let (endpoint, mut calls) = endpoint().await;
    let (_dialog, tag) = talk(&peer, &endpoint, &mut calls).await;
    let refer = Line { to_tag: Some(&tag), headers: "Refer-To: <tel:+15550188>\r\n", ..Line::new("REFER", "refer", 30) };
    assert!(ask(&peer, &endpoint, refer).await.starts_with("SIP/2.0 405"));
}
