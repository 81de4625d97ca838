//! From the INVITE to the 200.

use std::time::Duration;

use frontdesk_bridge::CallOutcome;
use frontdesk_livekit::room::RoomEvent;
use frontdesk_telephony::rtp::packet;
use frontdesk_telephony::sdp::{self, Codec, LocalMedia, SessionDescription};
use frontdesk_telephony::sip::{EndReason, Transport};
use tokio::net::UdpSocket;

use crate::support::{CALLER, Desk, LOCAL, NUMBER, Phone, Workers, eventually, within};

/// How often the time to the answer is taken.
const CALLS: usize = 5;

#[tokio::test]
async fn it_rings_until_the_agents_track_is_there() {
    let mut desk = Desk::start(|_| {}).await;
    let mut workers = Workers::register(&desk).await;
    let mut call = Phone::new().await.dial(desk.address()).await;
    call.rings().await;
    let mut agent = workers.join().await;
    assert_eq!(agent.caller().attribute("sip.callStatus"), Some("ringing"));
    call.goes_on_ringing(Duration::from_millis(400)).await;
    let _speaking = agent.speak(440.0).await;
    let mut line = call.answered().await;
    line.hears(440.0).await;
    let is_active = |event| match event {
        RoomEvent::ParticipantUpdated(caller) => (caller.attribute("sip.callStatus") == Some("active")).then_some(()),
        _ => None,
    };
    if agent.caller().attribute("sip.callStatus") != Some("active") {
        agent.find("the active call", is_active).await;
    }
    line.hang_up().await;
    let report = desk.report().await;
    let stages = report.stages;
    assert_eq!((report.outcome, report.dispatches), (CallOutcome::CallerHungUp, 1));
    assert!(
        stages.ringing < stages.agent_heard && stages.agent_heard <= stages.answered && stages.published <= stages.answered,
        "{stages:?}"
    );
    let logged =
        desk.log.lines(&["INFO", "invite_to_answer_ms=", "ringing_ms=", "published_ms=", "agent_heard_ms=", "answered", &report.call_id]);
    assert_eq!(logged.len(), 1, "{logged:?}");
    desk.finish().await;
}

#[tokio::test]
async fn the_agent_sees_a_caller_of_livekits_sip_service() {
    let mut desk = Desk::start(|_| {}).await;
    let mut workers = Workers::register(&desk).await;
    let mut phone = Phone::new().await;
    phone.headers = vec![("X-Twilio-CallSid".into(), "CA0123".into()), ("X-Twilio-AccountSid".into(), "AC0123".into())];
    let call = phone.dial(desk.address()).await;
    let agent = workers.join().await;
    let caller = agent.caller();
    assert_eq!((caller.identity.as_str(), caller.name.as_str()), (&*format!("sip_{CALLER}"), &*format!("Phone {CALLER}")));
    let expected = [
        ("sip.phoneNumber", CALLER),
        ("sip.trunkPhoneNumber", NUMBER),
        ("sip.trunkID", "ST_test"),
        ("sip.ruleID", "SDR_test"),
        ("sip.hostname", "127.0.0.1"),
        ("sip.callStatus", "ringing"),
        ("sip.twilio.callSid", "CA0123"),
        ("sip.twilio.accountSid", "AC0123"),
        ("sip.h.x-twilio-callsid", "CA0123"),
        ("sip.h.x-twilio-accountsid", "AC0123"),
        ("frontdesk.tenant", "demo"),
    ];
    for (key, value) in expected {
        assert_eq!(caller.attribute(key), Some(value), "{key}");
    }
    assert!(caller.attribute("sip.callID").is_some_and(|id| id.starts_with("SCL_")));
    for key in ["sip.callIDFull", "sip.callTag"] {
        assert!(caller.attribute(key).is_some_and(|value| !value.is_empty()), "{key}");
    }
    assert_eq!(agent.job.metadata, "{\"tenant\":\"demo\"}");
    assert_eq!(agent.job.attributes.get("frontdesk.tenant").map(String::as_str), Some("demo"));
    assert!(agent.job.room.starts_with("call_") && !agent.job.room.contains(&CALLER[1..]), "room names reach logs");
    let _speaking = agent.speak(440.0).await;
    call.answered().await.hang_up().await;
    assert_eq!(desk.report().await.call_id, agent.job.room);
    desk.finish().await;
}

#[tokio::test]
async fn a_call_over_tcp_with_a_law_is_a_call() {
    let mut desk = Desk::start(|_| {}).await;
    let mut workers = Workers::register(&desk).await;
    let mut phone = Phone::new().await;
    (phone.transport, phone.codecs) = (Transport::Tcp, vec![Codec::Pcma]);
    let call = phone.dial(desk.address()).await;
    let mut agent = workers.join().await;
    let mut audio = agent.audio().await;
    let _speaking = agent.speak(600.0).await;
    let mut line = call.answered().await;
    assert_eq!(line.remote.codec, Codec::Pcma);
    line.hears(600.0).await;
    let _saying = line.say(900.0);
    agent.hears(&mut audio, 900.0).await;
    line.hang_up().await;
    assert_eq!(desk.report().await.outcome, CallOutcome::CallerHungUp);
    desk.finish().await;
}

#[tokio::test]
async fn a_caller_who_gives_up_leaves_nothing_behind() {
    let mut desk = Desk::start(|_| {}).await;
    let mut workers = Workers::register(&desk).await;
    let mut call = Phone::new().await.dial(desk.address()).await;
    call.rings().await;
    let mut agent = workers.join().await;
    call.call.cancel().await;
    assert_eq!(call.not_answered().await, EndReason::Cancelled);
    agent.find("the end of the room", |event| matches!(event, RoomEvent::Ended(_)).then_some(())).await;
    let report = desk.report().await;
    assert_eq!((report.outcome, report.stages.answered), (CallOutcome::Cancelled, None));
    desk.finish().await;
}

#[tokio::test]
async fn one_agent_answers_call_after_call() {
    let mut desk = Desk::start(|_| {}).await;
    let mut workers = Workers::register(&desk).await;
    let phone = Phone::new().await;
    for _ in 0..CALLS {
        let call = phone.dial(desk.address()).await;
        let agent = workers.join().await;
        let _speaking = agent.speak(440.0).await;
        let line = call.answered().await;
        let took = line.answered_after;
        line.hang_up().await;
        println!("INVITE to 200: {took:?}; {:?}", desk.report().await.stages);
    }
    eventually("all was counted", async || desk.bridge.stats().answered == CALLS as u64).await;
    desk.finish().await;
}

/// The next message that starts so; retransmissions of others are passed over.
async fn receive(socket: &UdpSocket, start: &str) -> String {
    let mut buffer = vec![0; 8192];
    within(start, async {
        loop {
            let (length, _) = socket.recv_from(&mut buffer).await.expect("a datagram");
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text.starts_with(start) {
                return text;
            }
        }
    })
    .await
}

/// RFC 3261 section 13.2.1: without an offer in the INVITE, the 200 holds one, and the ACK the answer.
#[tokio::test]
async fn a_caller_without_an_offer_gets_ours() {
    let mut desk = Desk::start(|_| {}).await;
    let mut workers = Workers::register(&desk).await;
    let (signalling, media) = (UdpSocket::bind((LOCAL, 0)).await.expect("a port"), UdpSocket::bind((LOCAL, 0)).await.expect("a port"));
    let (desk_address, me) = (desk.address(), signalling.local_addr().expect("an address"));
    let request = |method: &str, branch: &str, cseq: u32, to_tag: &str, body: &str| {
        let content = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        format!(
            "{method} sip:{NUMBER}@{desk_address} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bK{branch};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:{CALLER}@{me}>;tag=peer\r\nTo: <sip:{NUMBER}@{desk_address}>{to_tag}\r\nCall-ID: late-offer@test\r\n\
             CSeq: {cseq} {method}\r\nContact: <sip:{CALLER}@{me}>\r\n{content}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    signalling.send_to(request("INVITE", "a", 1, "", "").as_bytes(), desk_address).await.expect("sent");
    let agent = workers.join().await;
    let _speaking = agent.speak(440.0).await;
    let ok = receive(&signalling, "SIP/2.0 200").await;
    let to = ok.lines().find(|line| line.starts_with("To:")).expect("a To");
    let to_tag = format!(";tag={}", to.split_once("tag=").expect("its tag").1);
    let (_, offer) = ok.split_once("\r\n\r\n").expect("a body");
    let offer = SessionDescription::parse(offer.as_bytes()).expect("our offer is well-formed");
    let answer = sdp::answer(&offer, &LocalMedia::new(media.local_addr().expect("an address"))).expect("our offer suits everybody");
    signalling.send_to(request("ACK", "b", 1, &to_tag, &answer.session.to_string()).as_bytes(), desk_address).await.expect("sent");
    let mut buffer = [0; 2048];
    let (length, _) = within("audio", media.recv_from(&mut buffer)).await.expect("a packet");
    assert_eq!(packet::parse(&buffer[..length]).expect("RTP").0.payload_type, answer.remote.payload_type);
    signalling.send_to(request("BYE", "c", 2, &to_tag, "").as_bytes(), desk_address).await.expect("sent");
    assert!(receive(&signalling, "SIP/2.0 200").await.contains("BYE") || receive(&signalling, "SIP/2.0 200").await.contains("BYE"));
    assert_eq!(desk.report().await.outcome, CallOutcome::CallerHungUp);
    desk.finish().await;
}
