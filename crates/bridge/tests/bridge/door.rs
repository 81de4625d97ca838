//! Which calls are taken at all.

use frontdesk_bridge::CallOutcome;
use frontdesk_telephony::sip::{EndReason, Transport};

use crate::support::{Desk, Phone, Workers, eventually, foreign_rules, within};

#[tokio::test]
async fn an_unknown_number_is_not_found() {
    let desk = Desk::start(|_| {}).await;
    let phone = Phone::new().await;
    for transport in [Transport::Udp, Transport::Tcp] {
        let phone = Phone { endpoint: phone.endpoint.clone(), transport, codecs: phone.codecs.clone(), headers: Vec::new() };
        assert_eq!(phone.dial_number(desk.address(), "+15550199").await.refused().await, 404);
    }
    assert_eq!(desk.bridge.stats().offered, 0, "no room is made for it");
    desk.finish().await;
}

#[tokio::test]
async fn a_source_without_a_trunk_is_forbidden_where_its_network_is_read() {
    let adjust = |config: &mut frontdesk_bridge::BridgeConfig| {
        config.rules = foreign_rules();
        config.allowed_networks = vec!["127.0.0.0/8".parse().expect("a network")];
    };
    let desk = Desk::start(adjust).await;
    assert_eq!(Phone::new().await.dial(desk.address()).await.refused().await, 403);
    assert_eq!(desk.bridge.stats().offered, 0);
    desk.finish().await;
}

#[tokio::test]
async fn a_source_from_elsewhere_gets_no_answer() {
    let desk = Desk::start(|config| config.rules = foreign_rules()).await;
    let phone = Phone::new().await;
    let end = phone.dial(desk.address()).await.not_answered().await;
    assert!(!matches!(end, EndReason::Rejected { .. }), "{end:?}");
    assert_eq!(within("no answer", phone.endpoint.options(desk.address(), Transport::Udp)).await, None);
    desk.finish().await;
}

#[tokio::test]
async fn a_call_too_many_hears_the_busy_tone() {
    let mut desk = Desk::start(|config| config.max_calls = 1).await;
    let mut workers = Workers::register(&desk).await;
    let phone = Phone::new().await;
    let mut first = phone.dial(desk.address()).await;
    first.rings().await;
    assert_eq!(phone.dial(desk.address()).await.refused().await, 486, "a call that rings counts");
    let agent = workers.join().await;
    let _speaking = agent.speak(440.0).await;
    let line = first.answered().await;
    assert_eq!(phone.dial(desk.address()).await.refused().await, 486);
    line.hang_up().await;
    assert_eq!(desk.report().await.outcome, CallOutcome::CallerHungUp);
    // The place is free again.
    eventually("the next call rings", async || {
        let mut next = phone.dial(desk.address()).await;
        let rings = matches!(within("an answer", next.call.next()).await, frontdesk_telephony::sip::OutgoingEvent::Progress { .. });
        next.call.cancel().await;
        rings
    })
    .await;
    desk.finish().await;
}

#[tokio::test]
async fn options_tell_that_the_bridge_is_there() {
    let desk = Desk::start(|_| {}).await;
    let phone = Phone::new().await;
    for transport in [Transport::Udp, Transport::Tcp] {
        assert_eq!(within("an answer", phone.endpoint.options(desk.address(), transport)).await, Some(200));
    }
    desk.finish().await;
}

#[tokio::test]
async fn a_caller_without_a_common_codec_is_told_so() {
    let mut desk = Desk::start(|_| {}).await;
    let mut phone = Phone::new().await;
    phone.codecs = Vec::new();
    let call = phone.dial(desk.address()).await;
    assert_eq!(call.refused().await, 488);
    assert_eq!(desk.report().await.outcome, CallOutcome::Refused(488));
    assert!(desk.api.list_rooms(&[]).await.expect("the server answers").is_empty(), "no room is made for it");
    desk.finish().await;
}
