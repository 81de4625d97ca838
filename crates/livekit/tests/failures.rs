//! Wrong secrets, unreachable servers, and connections that drop.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use frontdesk_audio::SampleRate;
use frontdesk_livekit::Credentials;
use frontdesk_livekit::api::{ApiError, LiveKit, NewRoom, ParticipantToken};
use frontdesk_livekit::room::{ConnectError, DisconnectReason, EndReason, Room, RoomEvent, RoomOptions};
use support::proxy::Proxy;
use support::server::{KEY, Server};
use support::{Events, expiring, join, options, tone, within};

const NOBODY: &str = "ws://127.0.0.1:9";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_secret_is_named() {
    let server = Server::start().await;
    let api = LiveKit::new(&server.url(), Credentials::new(KEY, "another-secret-of-thirty-two-characters")).unwrap();
    let room = NewRoom { name: "r".into(), ..NewRoom::default() };
    let error = api.create_room(&room).await.unwrap_err();
    assert!(matches!(error, ApiError::Unauthorized { .. }), "{error:?}");
    assert!(matches!(api.check().await, Err(ApiError::Unauthorized { .. })));
    let token = api.participant_token(&ParticipantToken::new("r", "me")).unwrap();
    let error = Room::connect(RoomOptions::new(server.url(), token.clone())).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unauthorized { .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains(&token) && !error.is_retryable());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_server_is_named() {
    let api = support::api(NOBODY);
    assert!(matches!(api.delete_room("r").await, Err(ApiError::Unreachable { .. })));
    assert!(matches!(api.check().await, Err(ApiError::Unreachable { .. })));
    let error = Room::connect(options(NOBODY, "r", "me")).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. }) && error.is_retryable(), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secure_address_of_an_insecure_server_is_named() {
    let server = Server::start().await;
    let url = server.url().replace("ws:", "wss:");
    let api = support::api(&url);
    // The server may also be too busy to refuse the handshake in time.
    for error in [api.check().await.unwrap_err(), api.delete_room("r").await.unwrap_err()] {
        assert!(matches!(error, ApiError::Unreachable { .. } | ApiError::Timeout { .. }), "{error:?}");
        assert!(error.to_string().contains("127.0.0.1") && error.is_retryable(), "{error}");
    }
    let error = Room::connect(options(&url, "r", "me")).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. } | ConnectError::Timeout { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_come_and_go() {
    let server = Server::start().await;
    let api = support::api(&server.url());
    api.check().await.unwrap();
    let room = NewRoom { name: "r".into(), empty_timeout_s: 60, ..NewRoom::default() };
    let made = api.create_room(&room).await.unwrap();
    assert_eq!(api.list_rooms(&["r"]).await.unwrap(), [made]);
    assert!(matches!(api.remove_participant("r", "nobody").await, Err(ApiError::NotFound { .. })));
    api.delete_room("r").await.unwrap();
    assert!(matches!(api.delete_room("r").await, Err(ApiError::NotFound { .. })));
    assert!(api.list_rooms(&[]).await.unwrap().is_empty());
}

async fn reconnected(events: &mut Events) {
    events.find("the drop", |event| matches!(event, RoomEvent::Reconnecting).then_some(())).await;
    events.find("the resumption", |event| matches!(event, RoomEvent::Reconnected).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audio_goes_on_while_the_signal_connection_is_resumed() {
    let server = Server::start().await;
    let proxy = Proxy::start(server.port()).await;
    let (alice, mut alice_events) = join(&proxy.url(), "drop", "alice").await;
    let (bob, mut bob_events) = join(&server.url(), "drop", "bob").await;
    let _a = tone::play(alice.publish_audio(SampleRate::HZ_16000).await.unwrap(), 440.0);
    let _b = tone::play(bob.publish_audio(SampleRate::HZ_16000).await.unwrap(), 600.0);
    let (mut at_alice, mut at_bob) = (alice_events.audio().await, bob_events.audio().await);
    for audio in [&mut at_alice, &mut at_bob] {
        let _warm_up = tone::record(audio, Duration::from_millis(300)).await;
    }
    for _ in 0..6 {
        proxy.cut(false);
        let length = Duration::from_secs(1);
        let (gap, heard_by_bob, ()) =
            tokio::join!(tone::longest_gap(&mut at_alice, length), tone::record(&mut at_bob, length), reconnected(&mut alice_events));
        // What alice says goes on. What she hears pauses: the server restarts ICE towards her, and sends nothing until
        // its checks have succeeded, which it repeats every 200 ms.
        assert_eq!(tone::silent_pieces(&heard_by_bob, SampleRate::HZ_16000), 0, "bob hears a gap");
        assert_eq!(at_bob.lost_packets(), 0);
        assert!(gap <= Duration::from_millis(800), "alice hears nothing for {gap:?}");
    }
    // Both signalling and data work afterwards.
    alice.set_attributes(BTreeMap::from([("k".into(), "v".into())])).await.unwrap();
    bob.send_dtmf('7').await.unwrap();
    let digit = |event| if let RoomEvent::Dtmf(dtmf) = event { Some(dtmf.digit) } else { None };
    assert_eq!(alice_events.find("a digit", digit).await, '7');
    alice.leave(DisconnectReason::ClientInitiated).await;
    bob.leave(DisconnectReason::ClientInitiated).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_left_during_an_outage_is_told_afterwards() {
    let server = Server::start().await;
    let proxy = Proxy::start(server.port()).await;
    let (alice, mut alice_events) = join(&proxy.url(), "outage", "alice").await;
    let (bob, _bob_events) = join(&server.url(), "outage", "bob").await;
    let joined = |event| if let RoomEvent::ParticipantJoined(p) = event { Some(p.identity) } else { None };
    assert_eq!(alice_events.find("bob to join", joined).await, "bob");
    alice.media_connected().await.unwrap();
    proxy.cut(true);
    alice_events.find("the drop", |event| matches!(event, RoomEvent::Reconnecting).then_some(())).await;
    bob.leave(DisconnectReason::ClientInitiated).await;
    let set = alice.set_attributes(BTreeMap::from([("k".into(), "v".into())]));
    proxy.mend();
    let left = |event| matches!(event, RoomEvent::ParticipantLeft { participant, .. } if participant.identity == "bob").then_some(());
    let (set, ()) = tokio::join!(set, alice_events.find("bob to have left", left));
    set.unwrap();
    assert!(alice.participants().is_empty());
    alice.leave(DisconnectReason::ClientInitiated).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_stays_away_ends_the_room_in_time() {
    let server = Server::start().await;
    let proxy = Proxy::start(server.port()).await;
    let mut options = options(&proxy.url(), "gone", "alice");
    options.resume_window = Duration::from_secs(1);
    let (alice, mut events) = support::connect(options).await;
    alice.media_connected().await.unwrap();
    proxy.cut(true);
    let ended = |event| if let RoomEvent::Ended(reason) = event { Some(reason) } else { None };
    assert_eq!(events.find("the end", ended).await, EndReason::SignalLost);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_expires_in_the_room_is_renewed_by_the_server() {
    let server = Server::start().await;
    let proxy = Proxy::start(server.port()).await;
    let soon = |identity| {
        let options = options(&proxy.url(), "expiry", identity);
        RoomOptions { token: expiring(&options.token, Duration::from_secs(3)), ..options }
    };
    // The same as ours, to see that it does expire.
    let probe = soon("probe");
    let (alice, mut events) = support::connect(soon("alice")).await;
    let refused = async || matches!(Room::connect(probe.clone()).await, Err(ConnectError::Unauthorized { .. }));
    support::eventually("the token to expire", refused).await;
    proxy.cut(false);
    reconnected(&mut events).await;
    alice.set_attributes(BTreeMap::from([("k".into(), "v".into())])).await.expect("signalling works");
    alice.leave(DisconnectReason::ClientInitiated).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_let_back_in_is_told_at_once() {
    let mut server = Server::start().await;
    let (alice, mut events) = join(&server.url(), "revoked", "alice").await;
    alice.media_connected().await.unwrap();
    // Long before the window of a resumption is over: the token is of no use any more.
    server.change_secret("another-secret-for-tests-of-thirty-two-or-more-characters");
    server.restart().await;
    let ended = |event| if let RoomEvent::Ended(reason) = event { Some(reason) } else { None };
    assert_eq!(events.find("the end", ended).await, EndReason::Refused);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_server_knows_the_room_no_more() {
    let mut server = Server::start().await;
    let (alice, mut events) = join(&server.url(), "restart", "alice").await;
    alice.media_connected().await.unwrap();
    server.restart().await;
    let ended = |event| if let RoomEvent::Ended(reason) = event { Some(reason) } else { None };
    let reason = events.find("the end", ended).await;
    assert_eq!(reason, EndReason::Server(DisconnectReason::StateMismatch));
    // The same participant can join anew.
    let (alice, _events) = join(&server.url(), "restart", "alice").await;
    within("media", alice.media_connected()).await.unwrap();
    alice.leave(DisconnectReason::ClientInitiated).await;
}
