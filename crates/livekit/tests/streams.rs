//! Networks that let media through over streams only: ICE over TCP, TURN over TCP and TLS.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use frontdesk_audio::SampleRate;
use frontdesk_livekit::room::{DisconnectReason, EndReason, PublishError, RemoteAudio, Room, RoomEvent, RoomOptions};
use frontdesk_simulators::network::{Network, TurnServer, Weather};
use frontdesk_simulators::stack::TurnStreams;
use rustls::{ClientConfig, RootCertStore};
use support::server::Server;
use support::{Events, connect, join, options, tone, within};
use tokio_util::sync::DropGuard;

const NO_UDP: Weather = Weather { is_cut: false, blocks_udp: true, swallows_media_streams: false, loss_percent: 0, jitter: Duration::ZERO };

/// Two who talk: Alice behind the network, Bob beside the server.
struct Call {
    alice: Room,
    bob: Room,
    at_alice: RemoteAudio,
    at_bob: RemoteAudio,
    alice_events: Events,
    _tones: [DropGuard; 2],
}

impl Call {
    async fn begin(alice: RoomOptions, server: &Server, room: &str) -> Self {
        let begun = Instant::now();
        let (alice, mut alice_events) = connect(alice).await;
        let (bob, mut bob_events) = join(&server.url(), room, "bob").await;
        let from_alice = tone::play(within("publishing", alice.publish_audio(SampleRate::HZ_16000)).await.expect("published"), 440.0);
        println!("Alice's media is up after {:?}", begun.elapsed());
        let from_bob = tone::play(bob.publish_audio(SampleRate::HZ_16000).await.expect("published"), 600.0);
        let (at_alice, at_bob) = (alice_events.audio().await, bob_events.audio().await);
        Self { alice, bob, at_alice, at_bob, alice_events, _tones: [from_alice, from_bob] }
    }

    /// Each hears the other's tone, sooner or later.
    async fn assert_heard(&mut self) {
        for (audio, pitch) in [(&mut self.at_alice, 600.0), (&mut self.at_bob, 440.0)] {
            within("the other's tone", async {
                while (tone::pitch(&tone::record(audio, Duration::from_millis(300)).await, audio.rate()) - pitch).abs() > 15.0 {}
            })
            .await;
        }
    }

    async fn end(self) {
        self.alice.leave(DisconnectReason::ClientInitiated).await;
        self.bob.leave(DisconnectReason::ClientInitiated).await;
    }
}

/// A server that takes media over TCP, and a network before it.
async fn tcp_server(weather: Weather) -> (Server, Network) {
    let server = Server::start_with(|options| options.tcp = true).await;
    let network = Network::before(server.port()).await.expect("a network");
    network.set(weather);
    (server, network)
}

/// A server that is a TURN server over streams, and a network before it.
async fn turn_server(streams: TurnStreams) -> (Server, Network) {
    let tls = streams != TurnStreams::Clear;
    let server = Server::start_with(|options| options.turn_streams = streams).await;
    let turn = TurnServer { port: server.turn_stream_port(), tls };
    let network = Network::before_both(server.port(), Some(turn)).await.expect("a network");
    (server, network)
}

/// A participant that uses nothing but TURN: the server's is over streams only, so that none of its datagrams leaves by UDP.
fn relayed(network: &Network, room: &str, identity: &str) -> RoomOptions {
    RoomOptions { relay_only: true, ..options(&network.url(), room, identity) }
}

/// All streams break, twice, and each time both hear each other again.
async fn assert_outlives_breaks(call: &mut Call, network: &Network) {
    for again in 1..=2 {
        let broken = Instant::now();
        network.break_media_streams();
        call.alice_events.find("the loss", |event| matches!(event, RoomEvent::Reconnecting).then_some(())).await;
        call.alice_events.find("its end", |event| matches!(event, RoomEvent::Reconnected).then_some(())).await;
        call.assert_heard().await;
        println!("time {again}: both hear each other {:?} after the break", broken.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_udp_audio_goes_over_tcp_both_ways() {
    let (server, network) = tcp_server(NO_UDP).await;
    let mut call = Call::begin(options(&network.url(), "tcp", "alice"), &server, "tcp").await;
    call.assert_heard().await;
    assert_eq!(network.media_streams(), 2, "one for each connection");
    call.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_udp_works_it_is_used() {
    let (server, network) = tcp_server(Weather::default()).await;
    let mut call = Call::begin(options(&network.url(), "udp", "alice"), &server, "udp").await;
    call.assert_heard().await;
    // The server does not know Alice's address beforehand and waits a second with its choice: a stream may be open by then.
    network.break_media_streams();
    let watched = Duration::from_secs(2);
    let (a, b) = tokio::join!(tone::longest_gap(&mut call.at_alice, watched), tone::longest_gap(&mut call.at_bob, watched));
    assert!(a.max(b) < Duration::from_millis(500), "audio does not depend on streams: {a:?} and {b:?}");
    call.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_goes_on_after_its_streams_were_broken() {
    let (server, network) = tcp_server(NO_UDP).await;
    let mut call = Call::begin(options(&network.url(), "broken", "alice"), &server, "broken").await;
    call.assert_heard().await;
    assert_outlives_breaks(&mut call, &network).await;
    call.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_open_and_stay_silent_end_in_the_error_that_says_what_to_open() {
    let (_server, network) = tcp_server(Weather { swallows_media_streams: true, ..NO_UDP }).await;
    let mut silent = options(&network.url(), "silent", "alice");
    silent.media_timeout = Duration::from_secs(3);
    let (room, mut events) = connect(silent).await;
    let end = events.find("the end", |event| if let RoomEvent::Ended(reason) = event { Some(reason) } else { None });
    let (error, end) = tokio::join!(room.publish_audio(SampleRate::HZ_16000), end);
    assert_eq!(end, EndReason::MediaLost);
    let error = error.expect_err("nothing passes");
    assert!(matches!(error, PublishError::NoMedia { limit_ms: 3000 }), "{error:?}");
    for word in ["UDP", "rtc.tcp_port", "turn.tls_port"] {
        assert!(error.to_string().contains(word), "{error}");
    }
    assert!(network.media_streams() > 0, "they were tried");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_udp_audio_goes_through_turn_over_tcp() {
    let (server, network) = turn_server(TurnStreams::Clear).await;
    let mut call = Call::begin(relayed(&network, "turn-tcp", "alice"), &server, "turn-tcp").await;
    call.assert_heard().await;
    assert_eq!(network.media_streams(), 2, "one for each connection");
    call.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_goes_on_after_its_streams_to_a_turn_server_were_broken() {
    let (server, network) = turn_server(TurnStreams::Clear).await;
    let mut call = Call::begin(relayed(&network, "turn-broken", "alice"), &server, "turn-broken").await;
    call.assert_heard().await;
    assert_outlives_breaks(&mut call, &network).await;
    assert_eq!(network.media_streams(), 6, "one for each connection, and another after each break");
    call.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_through_a_turn_server_goes_on_after_the_network_was_cut() {
    let (server, network) = turn_server(TurnStreams::Clear).await;
    let mut call = Call::begin(relayed(&network, "turn-cut", "alice"), &server, "turn-cut").await;
    call.assert_heard().await;
    network.cut();
    call.alice_events.find("the loss", |event| matches!(event, RoomEvent::Reconnecting).then_some(())).await;
    network.mend();
    call.alice_events.find("its end", |event| matches!(event, RoomEvent::Reconnected).then_some(())).await;
    // What was under way in the streams comes first.
    let (settling, watched) = (Duration::from_secs(4), Duration::from_secs(1));
    let _ = tokio::join!(tone::longest_gap(&mut call.at_alice, settling), tone::longest_gap(&mut call.at_bob, settling));
    let (a, b) = tokio::join!(tone::longest_gap(&mut call.at_alice, watched), tone::longest_gap(&mut call.at_bob, watched));
    assert!(a.max(b) < Duration::from_millis(500), "both hear each other: {a:?} and {b:?}");
    call.assert_heard().await;
    call.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_udp_audio_goes_through_turn_over_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    std::fs::write(&certificate, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let (server, network) = turn_server(TurnStreams::Tls { certificate, key }).await;
    let _provider = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a certificate");
    let mut trusting = relayed(&network, "turn-tls", "alice");
    trusting.turn_tls = Some(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()));
    let mut call = Call::begin(trusting, &server, "turn-tls").await;
    call.assert_heard().await;
    assert_eq!(network.media_streams(), 2, "one for each connection");
    call.end().await;
    // Whoever trusts the system's certificates alone does not trust this one.
    let mut distrusting = relayed(&network, "turn-tls", "carol");
    distrusting.media_timeout = Duration::from_secs(3);
    let (room, _events) = connect(distrusting).await;
    let error = room.publish_audio(SampleRate::HZ_16000).await.expect_err("no way is left");
    assert!(matches!(error, PublishError::NoMedia { .. }), "{error:?}");
}
