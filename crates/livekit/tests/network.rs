//! Networks that let media through in some ways only.

mod support;

use std::time::{Duration, Instant};

use frontdesk_audio::SampleRate;
use frontdesk_livekit::room::{ConnectError, DisconnectReason, EndReason, PublishError, Room, RoomEvent, RoomOptions};
use frontdesk_simulators::network::{Network, Weather};
use support::server::Server;
use support::{Events, connect, join, options, tone, within};

/// Each hears the other's tone.
async fn assert_heard(options: RoomOptions, server: &Server, room: &str) {
    let (alice, mut alice_events) = connect(options).await;
    let (bob, mut bob_events) = join(&server.url(), room, "bob").await;
    let _a = tone::play(within("publishing", alice.publish_audio(SampleRate::HZ_16000)).await.expect("published"), 440.0);
    let _b = tone::play(bob.publish_audio(SampleRate::HZ_16000).await.expect("published"), 600.0);
    for (events, pitch) in [(&mut alice_events, 600.0), (&mut bob_events, 440.0)] {
        let mut audio = events.audio().await;
        let heard = tone::record(&mut audio, Duration::from_millis(600)).await;
        let heard = tone::pitch(&heard[4800..], audio.rate());
        assert!((heard - pitch).abs() < 15.0, "{heard} Hz, not {pitch} Hz");
    }
    alice.leave(DisconnectReason::ClientInitiated).await;
    bob.leave(DisconnectReason::ClientInitiated).await;
}

async fn end(events: &mut Events) -> EndReason {
    events.find("the end", |event| if let RoomEvent::Ended(reason) = event { Some(reason) } else { None }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn media_goes_through_the_servers_turn_server() {
    let server = Server::start_with(|options| options.turn = true).await;
    let mut options = options(&server.url(), "turn", "alice");
    options.relay_only = true;
    assert_heard(options, &server, "turn").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_that_are_lost_and_late_leave_no_holes() {
    let server = Server::start().await;
    let network = Network::before(server.port()).await.expect("a network");
    let (alice, mut alice_events) = join(&network.url(), "lossy", "alice").await;
    let (bob, _bob_events) = join(&server.url(), "lossy", "bob").await;
    let _b = tone::play(bob.publish_audio(SampleRate::HZ_16000).await.expect("published"), 600.0);
    let mut audio = alice_events.audio().await;
    let _warm_up = tone::record(&mut audio, Duration::from_millis(300)).await;
    network.set(Weather { loss_percent: 5, jitter: Duration::from_millis(40), ..Weather::default() });
    // A machine that is busy with other tests makes holes of its own: the network is to blame only for those of every try.
    let (mut before, mut heard) = (0, Vec::new());
    for tries_left in (0..3).rev() {
        heard = tone::record(&mut audio, Duration::from_secs(3)).await;
        let (lost, holes) = (audio.lost_packets() - before, tone::silent_pieces(&heard, audio.rate()));
        before = audio.lost_packets();
        println!("{lost} packets lost, {holes} of 300 pieces silent");
        // Each lost packet would be two silent pieces.
        if lost > 0 && u64::try_from(holes).expect("a few") <= lost / 2 {
            break;
        }
        assert!(tries_left > 0, "{lost} packets lost, {holes} silent pieces");
    }
    let heard = tone::pitch(&heard, audio.rate());
    assert!((heard - 600.0).abs() < 15.0, "{heard} Hz");
    alice.leave(DisconnectReason::ClientInitiated).await;
    bob.leave(DisconnectReason::ClientInitiated).await;
}

/// Long enough for ICE to call the connection lost (5 s), and for the signal connection to have heard no answer.
fn cut() -> Duration {
    let seconds = std::env::var("FRONTDESK_CUT_S").map_or(6, |text| text.parse().expect("FRONTDESK_CUT_S is a number"));
    Duration::from_secs(seconds)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audio_comes_back_after_a_network_that_was_cut_for_seconds() {
    let server = Server::start().await;
    let network = Network::before(server.port()).await.expect("a network");
    let (alice, mut alice_events) = join(&network.url(), "cut", "alice").await;
    let (bob, mut bob_events) = join(&server.url(), "cut", "bob").await;
    let _a = tone::play(alice.publish_audio(SampleRate::HZ_16000).await.expect("published"), 440.0);
    let _b = tone::play(bob.publish_audio(SampleRate::HZ_16000).await.expect("published"), 600.0);
    let (mut at_alice, mut at_bob) = (alice_events.audio().await, bob_events.audio().await);
    for audio in [&mut at_alice, &mut at_bob] {
        let _warm_up = tone::record(audio, Duration::from_millis(300)).await;
    }
    network.cut();
    let (a, b) = tokio::join!(tone::longest_gap(&mut at_alice, cut()), tone::longest_gap(&mut at_bob, cut()));
    assert!(a.min(b) > cut() / 2, "nothing passes: {a:?} and {b:?}");
    network.mend();
    let mended = Instant::now();
    for (audio, pitch) in [(&mut at_alice, 600.0), (&mut at_bob, 440.0)] {
        within("the tone again", async {
            // What was on its way and what is concealed comes first.
            while (tone::pitch(&tone::record(audio, Duration::from_millis(300)).await, audio.rate()) - pitch).abs() > 15.0 {}
        })
        .await;
    }
    println!("cut for {:?}: both hear each other again {:?} after it", cut(), mended.elapsed());
    assert_eq!((alice.participants().len(), bob.participants().len()), (1, 1));
    alice.leave(DisconnectReason::ClientInitiated).await;
    bob.leave(DisconnectReason::ClientInitiated).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_way_for_media_the_error_says_what_to_open_within_the_bound() {
    let server = Server::start().await;
    let network = Network::before(server.port()).await.expect("a network");
    network.set(Weather { blocks_udp: true, ..Weather::default() });
    let mut blocked = options(&network.url(), "blocked", "alice");
    blocked.media_timeout = Duration::from_secs(2);
    let (room, mut events) = connect(blocked).await;
    let (error, end) = tokio::join!(room.publish_audio(SampleRate::HZ_16000), end(&mut events));
    assert_eq!(end, EndReason::MediaLost);
    let error = error.expect_err("nothing passes");
    assert!(matches!(error, PublishError::NoMedia { limit_ms: 2000 }), "{error:?}");
    for word in ["UDP", "rtc.udp_port", "turn.udp_port"] {
        assert!(error.to_string().contains(word), "{error}");
    }
    // Without a TURN server there is no relay either, which is told at once.
    let mut relayed = options(&server.url(), "blocked", "bob");
    relayed.relay_only = true;
    let error = within("the refusal", Room::connect(relayed)).await.expect_err("no relay");
    assert!(matches!(&error, ConnectError::Media(why) if why.contains("TURN")), "{error:?}");
}
