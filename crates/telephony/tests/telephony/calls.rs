//! Whole calls between two endpoints over real sockets, on UDP and TCP.

use std::time::Duration;

use crate::common::{answer, call_to, config, endpoint, offer, settled, soon};
use frontdesk_telephony::sdp::{self, Direction};
use frontdesk_telephony::sip::{
    CallError, Dialog, DialogEvent, EndReason, Endpoint, IncomingCalls, InviteError, Limits, OutgoingEvent, ReInviteError, Refusal,
    Transport,
};

const BOTH: [Transport; 2] = [Transport::Udp, Transport::Tcp];

struct Call {
    caller: Dialog,
    callee: Dialog,
}

/// Sets a call up: INVITE, 100, 180, 200, ACK.
async fn establish(caller: &Endpoint, callee: &Endpoint, calls: &mut IncomingCalls, transport: Transport) -> Call {
    let mut outgoing = caller.invite(call_to(callee.local_addr(), transport)).await.unwrap();
    let mut incoming = soon("the call", calls.next()).await.unwrap();
    incoming.trying().await.unwrap();
    incoming.ringing().await.unwrap();
    let event = soon("ringing", outgoing.next()).await;
    assert!(matches!(event, OutgoingEvent::Progress { status: 180, .. }), "{event:?}");
    let session = answer(incoming.invite().offer.as_ref().unwrap(), 4002);
    let mut callee = incoming.answer(session).await.unwrap();
    let (caller, session) = soon("the answer", outgoing.answered()).await.unwrap();
    assert_eq!(session.unwrap().audio_address().unwrap().port(), 4002);
    let event = soon("the acknowledgement", callee.next_event()).await;
    assert!(matches!(event, DialogEvent::Acked { session: None }), "{event:?}");
    Call { caller, callee }
}

async fn end_of(dialog: &mut Dialog) -> EndReason {
    loop {
        if let DialogEvent::Ended(reason) = soon("the end", dialog.next_event()).await {
            return reason;
        }
    }
}

#[tokio::test]
async fn a_call_is_set_up_and_either_side_hangs_up() {
    for transport in BOTH {
        for caller_ends in [true, false] {
            let (a, _) = endpoint().await;
            let (b, mut calls) = endpoint().await;
            let Call { caller, callee } = establish(&a, &b, &mut calls, transport).await;
            let (ending, mut other) = if caller_ends { (caller, callee) } else { (callee, caller) };
            assert_eq!(soon("hang-up", ending.hangup()).await, EndReason::LocalHangup);
            assert_eq!(end_of(&mut other).await, EndReason::RemoteHangup);
            settled(&a).await;
            settled(&b).await;
        }
    }
}

#[tokio::test]
async fn the_invite_tells_who_calls_whom() {
    let (a, _) = endpoint().await;
    let (b, mut calls) = endpoint().await;
    let _outgoing = a.invite(call_to(b.local_addr(), Transport::Udp)).await.unwrap();
    let incoming = soon("the call", calls.next()).await.unwrap();
    let invite = incoming.invite();
    assert_eq!(invite.request_uri.user, "+15550001000");
    assert_eq!(invite.from.uri.user, "+15559990000");
    assert_eq!(invite.from.display_name.as_deref(), Some("Caller"));
    assert_eq!(invite.header("x-test"), Some("1"));
    assert_eq!(invite.source, a.local_addr());
    assert!(!format!("{incoming:?}").contains("5555"), "{incoming:?}");
}

#[tokio::test]
async fn a_cancelled_call_ends_on_both_sides() {
    for transport in BOTH {
        let (a, _) = endpoint().await;
        let (b, mut calls) = endpoint().await;
        let mut outgoing = a.invite(call_to(b.local_addr(), transport)).await.unwrap();
        let mut incoming = soon("the call", calls.next()).await.unwrap();
        incoming.ringing().await.unwrap();
        outgoing.cancel().await;
        assert_eq!(soon("cancelled", incoming.ended()).await, EndReason::Cancelled);
        let late = incoming.answer(offer(4002)).await;
        assert_eq!(late.err(), Some(CallError::Ended));
        assert_eq!(soon("the end", outgoing.answered()).await.err(), Some(EndReason::Cancelled));
        settled(&a).await;
        settled(&b).await;
    }
}

#[tokio::test]
async fn a_refusal_reaches_the_caller() {
    for transport in BOTH {
        let (a, _) = endpoint().await;
        let (b, mut calls) = endpoint().await;
        let mut outgoing = a.invite(call_to(b.local_addr(), transport)).await.unwrap();
        let incoming = soon("the call", calls.next()).await.unwrap();
        incoming.reject(Refusal::new(404).because("No Such Desk")).await.unwrap();
        let end = soon("the end", outgoing.answered()).await.unwrap_err();
        assert_eq!(end, EndReason::Rejected { status: 404, reason: "No Such Desk".to_owned() });
        settled(&a).await;
        settled(&b).await;
    }
}

#[tokio::test]
async fn dropped_handles_let_go_of_their_calls() {
    for transport in BOTH {
        let (a, _) = endpoint().await;
        let (b, mut calls) = endpoint().await;
        let Call { mut caller, callee } = establish(&a, &b, &mut calls, transport).await;
        drop(callee);
        assert_eq!(end_of(&mut caller).await, EndReason::RemoteHangup);

        let mut outgoing = a.invite(call_to(b.local_addr(), transport)).await.unwrap();
        drop(soon("the call", calls.next()).await.unwrap());
        let end = soon("the end", outgoing.answered()).await.unwrap_err();
        assert!(matches!(end, EndReason::Rejected { status: 480, .. }), "{end:?}");

        let outgoing = a.invite(call_to(b.local_addr(), transport)).await.unwrap();
        let mut incoming = soon("the call", calls.next()).await.unwrap();
        drop(outgoing);
        incoming.ringing().await.unwrap();
        assert_eq!(soon("the end", incoming.ended()).await, EndReason::Cancelled);
        settled(&a).await;
        settled(&b).await;
    }
}

#[tokio::test]
async fn the_session_can_be_changed_from_both_sides() {
    for transport in BOTH {
        let (a, _) = endpoint().await;
        let (b, mut calls) = endpoint().await;
        let Call { mut caller, mut callee } = establish(&a, &b, &mut calls, transport).await;

        // The caller holds; nobody looks at the event, so the session in use is the answer.
        let mut hold = offer(4000);
        hold.media[0].direction = Some(Direction::SendOnly);
        let wait = tokio::spawn(async move {
            let outcome = caller.reinvite(hold).await;
            (caller, outcome)
        });
        let event = soon("the offer", callee.next_event()).await;
        assert!(matches!(event, DialogEvent::ReInvite(_)), "{event:?}");
        drop(event);
        let (mut caller, outcome) = soon("the answer", wait).await.unwrap();
        let answered = outcome.unwrap().unwrap();
        assert_eq!(answered.media[0].direction, Some(Direction::RecvOnly));
        assert_eq!(answered.origin.version, 2);
        assert!(matches!(soon("the acknowledgement", callee.next_event()).await, DialogEvent::Acked { .. }));

        // The callee changes its port; the caller's application refuses, then accepts.
        for accepts in [false, true] {
            let wait = tokio::spawn(async move {
                let outcome = callee.reinvite(offer(4010)).await;
                (callee, outcome)
            });
            let DialogEvent::ReInvite(wish) = soon("the offer", caller.next_event()).await else { panic!("a re-INVITE") };
            if accepts {
                let session = answer(wish.offer.as_ref().unwrap(), 4020);
                wish.answer(session).await.unwrap();
            } else {
                wish.reject(Refusal::new(488)).await.unwrap();
            }
            let (back, outcome) = soon("the answer", wait).await.unwrap();
            callee = back;
            match outcome {
                Ok(session) => assert_eq!((accepts, session.unwrap().audio_address().unwrap().port()), (true, 4020)),
                Err(error) => assert_eq!((accepts, error), (false, ReInviteError::Refused(488))),
            }
        }
        soon("hang-up", callee.hangup()).await;
        assert_eq!(end_of(&mut caller).await, EndReason::RemoteHangup);
        settled(&a).await;
        settled(&b).await;
    }
}

#[tokio::test]
async fn a_full_endpoint_refuses_the_next_call_at_once() {
    let (a, _) = endpoint().await;
    let limits = Limits { calls_max: 1, full_status: 486, ..Limits::default() };
    let (b, mut calls) = Endpoint::bind(frontdesk_telephony::sip::EndpointConfig { limits, ..config() }).await.unwrap();
    let call = establish(&a, &b, &mut calls, Transport::Udp).await;
    let started = tokio::time::Instant::now();
    let mut second = a.invite(call_to(b.local_addr(), Transport::Udp)).await.unwrap();
    let end = soon("the refusal", second.answered()).await.unwrap_err();
    assert!(matches!(end, EndReason::Rejected { status: 486, .. }), "{end:?}");
    assert!(started.elapsed() < Duration::from_millis(100), "{:?}", started.elapsed());
    soon("hang-up", call.callee.hangup()).await;
    establish(&a, &b, &mut calls, Transport::Udp).await;
}

#[tokio::test]
async fn draining_and_shutdown() {
    let (a, _) = endpoint().await;
    let (b, mut calls) = endpoint().await;
    for transport in BOTH {
        assert_eq!(soon("options", a.options(b.local_addr(), transport)).await, Some(200));
    }
    let Call { mut caller, .. } = establish(&a, &b, &mut calls, Transport::Udp).await;
    b.drain().await;
    assert_eq!(soon("options", a.options(b.local_addr(), Transport::Udp)).await, Some(503));
    let mut second = a.invite(call_to(b.local_addr(), Transport::Udp)).await.unwrap();
    let end = soon("the refusal", second.answered()).await.unwrap_err();
    assert!(matches!(end, EndReason::Rejected { status: 503, .. }), "{end:?}");
    soon("shutdown", b.shutdown(Duration::from_secs(5))).await;
    assert_eq!(end_of(&mut caller).await, EndReason::RemoteHangup);
    assert!(soon("no more calls", calls.next()).await.is_none());
    assert_eq!(b.invite(call_to(a.local_addr(), Transport::Udp)).await.err(), Some(InviteError::EndpointClosed));
    assert_eq!(soon("options", a.options(b.local_addr(), Transport::Tcp)).await, None, "nobody listens any more");
}

#[tokio::test]
async fn an_offer_without_a_common_codec_can_be_told_as_488() {
    let (a, _) = endpoint().await;
    let (b, mut calls) = endpoint().await;
    let mut invite = call_to(b.local_addr(), Transport::Udp);
    invite.session.media[0].formats = vec!["9".to_owned()];
    let mut outgoing = a.invite(invite).await.unwrap();
    let incoming = soon("the call", calls.next()).await.unwrap();
    let error = sdp::answer(incoming.invite().offer.as_ref().unwrap(), &crate::common::media(4002)).unwrap_err();
    incoming.reject(Refusal::new(error.status())).await.unwrap();
    let end = soon("the end", outgoing.answered()).await.unwrap_err();
    assert!(matches!(end, EndReason::Rejected { status: 488, .. }), "{end:?}");
}
