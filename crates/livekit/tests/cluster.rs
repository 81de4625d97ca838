//! LiveKit on two nodes that share a Redis: a room lives in one of them, its participants and workers are connected to either.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use frontdesk_audio::SampleRate;
use frontdesk_livekit::api::{AgentDispatch, LiveKit};
use frontdesk_livekit::room::{DisconnectReason, EndReason, Room, RoomEvent, RoomOptions};
use frontdesk_livekit::worker::{JobContext, Worker, WorkerOptions};
use support::cluster::Cluster;
use support::{credentials, join, options, tone, within};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

const AGENT: &str = "frontdesk";
const CALLERS_PITCH: f64 = 440.0;
const AGENTS_PITCH: f64 = 600.0;

/// A worker at this address, whose agents join their rooms and sound a tone; what they hear comes out of the channel, as a pitch.
async fn employ(url: &str) -> (mpsc::UnboundedReceiver<f64>, DropGuard) {
    let (heard, pitches) = mpsc::unbounded_channel();
    let worker = Worker::new(WorkerOptions::new(url, credentials(), AGENT));
    let (mut health, shutdown) = (worker.health(), CancellationToken::new());
    let entry = move |job: JobContext| {
        let heard = heard.clone();
        async move {
            let options = RoomOptions { fill_silence_after: None, ..RoomOptions::new(job.url.clone(), job.token.clone()) };
            let (room, events) = support::connect(options).await;
            let mut events = events;
            let _tone = tone::play(room.publish_audio(SampleRate::HZ_16000).await.expect("published"), AGENTS_PITCH);
            let _ = heard.send(pitch(&mut events).await);
            job.stop.cancelled().await;
            room.leave(DisconnectReason::ClientInitiated).await;
            Ok(())
        }
    };
    let stop = shutdown.clone();
    tokio::spawn(async move { worker.run(Arc::new(entry), stop).await });
    within("registering", health.wait_for(|health| health.worker_id.is_some())).await.expect("the worker runs");
    (pitches, shutdown.drop_guard())
}

/// The pitch of the first track.
async fn pitch(events: &mut support::Events) -> f64 {
    let mut audio = events.audio().await;
    let heard = tone::record(&mut audio, Duration::from_millis(600)).await;
    tone::pitch(&heard[4800..], audio.rate())
}

fn assert_pitch(heard: f64, expected: f64) {
    assert!((heard - expected).abs() < 15.0, "{heard} Hz, not {expected} Hz");
}

/// A caller joins a room through this server, asks for an agent, and each hears the other.
async fn assert_answered(url: &str, room: &str, pitches: &mut mpsc::UnboundedReceiver<f64>) {
    let api = support::api(url);
    let (caller, mut events) = join(url, room, "caller").await;
    let _tone = tone::play(caller.publish_audio(SampleRate::HZ_16000).await.expect("published"), CALLERS_PITCH);
    let dispatch = dispatched(&api, room).await;
    assert_pitch(pitch(&mut events).await, AGENTS_PITCH);
    assert_pitch(within("what the agent hears", pitches.recv()).await.expect("the worker runs"), CALLERS_PITCH);
    // That the job is over is told across nodes as well.
    api.delete_dispatch(room, &dispatch).await.expect("withdrawn");
    events.find("the agent to leave", |event| matches!(event, RoomEvent::ParticipantLeft { .. }).then_some(())).await;
    caller.leave(DisconnectReason::ClientInitiated).await;
}

async fn dispatched(api: &LiveKit, room: &str) -> String {
    api.create_dispatch(room, &AgentDispatch::new(AGENT, "")).await.expect("a dispatch")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_at_one_node_answers_in_rooms_of_either() {
    let cluster = Cluster::start().await;
    let (mut pitches, _worker) = employ(&cluster.first.url()).await;
    for (room, node) in ["near", "far"].into_iter().zip(&cluster.ids) {
        cluster.redis.place_room(room, node).await.expect("taken");
        assert_answered(&cluster.second.url(), room, &mut pitches).await;
    }
}

/// Longer than nodes try to hand on a message of signalling (7.5 s).
const WITHOUT_REDIS: Duration = Duration::from_secs(9);
/// Longer than a busy machine holds up a packet, and shorter than anything that a connection that is lost would cause.
const GAP_MAX: Duration = Duration::from_millis(1500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_who_is_heard_goes_on_being_heard_and_afterwards_all_works_again() {
    let mut cluster = Cluster::start().await;
    let (mut pitches, _worker) = employ(&cluster.first.url()).await;
    cluster.redis.place_room("call", &cluster.ids[0]).await.expect("taken");
    let (alice, mut alice_events) = join(&cluster.first.url(), "call", "alice").await;
    let (bob, mut bob_events) = join(&cluster.second.url(), "call", "bob").await;
    let _a = tone::play(alice.publish_audio(SampleRate::HZ_16000).await.expect("published"), CALLERS_PITCH);
    let _b = tone::play(bob.publish_audio(SampleRate::HZ_16000).await.expect("published"), AGENTS_PITCH);
    let (mut at_alice, mut at_bob) = (alice_events.audio().await, bob_events.audio().await);
    for audio in [&mut at_alice, &mut at_bob] {
        let _warm_up = tone::record(audio, Duration::from_millis(300)).await;
    }
    cluster.redis.kill().await;
    let refused = async {
        let asked = Instant::now();
        let error = Room::connect(options(&cluster.second.url(), "new", "carol")).await.expect_err("nobody knows where");
        println!("without Redis a new room is refused after {:?}: {error}", asked.elapsed());
        assert!(error.is_retryable(), "{error}");
    };
    let (a, b, ()) = tokio::join!(tone::longest_gap(&mut at_alice, WITHOUT_REDIS), tone::longest_gap(&mut at_bob, WITHOUT_REDIS), refused);
    println!("without Redis for {WITHOUT_REDIS:?}: the longest gaps are {a:?} and {b:?}");
    assert!(a.max(b) < GAP_MAX, "{a:?} and {b:?}");

    cluster.redis.restart().await.expect("it starts again");
    let back = Instant::now();
    for (room, name) in [(&alice, "alice"), (&bob, "bob")] {
        let told = BTreeMap::from([("who".to_owned(), name.to_owned())]);
        support::eventually("signalling", async || room.set_attributes(told.clone()).await.is_ok()).await;
    }
    println!("both can say who they are {:?} after Redis is back", back.elapsed());
    assert_answered(&cluster.second.url(), "next", &mut pitches).await;
    println!("the next call is through {:?} after it", back.elapsed());
    assert_eq!((alice.participants().len(), bob.participants().len()), (1, 1));
    alice.leave(DisconnectReason::ClientInitiated).await;
    bob.leave(DisconnectReason::ClientInitiated).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_dies_with_its_node_and_is_made_anew_at_another() {
    let mut cluster = Cluster::start().await;
    cluster.redis.place_room("call", &cluster.ids[0]).await.expect("taken");
    let mut near = options(&cluster.first.url(), "call", "alice");
    near.resume_window = Duration::from_secs(1);
    let (alice, mut alice_events) = support::connect(near).await;
    let (bob, mut bob_events) = join(&cluster.second.url(), "call", "bob").await;
    for room in [&alice, &bob] {
        within("media", room.media_connected()).await.expect("connects");
    }
    cluster.first.kill().await;
    let killed = Instant::now();
    let ended = |event| if let RoomEvent::Ended(reason) = event { Some(reason) } else { None };
    // Her server is gone; his is there, and knows the room no more.
    assert_eq!(alice_events.find("alice's end", ended).await, EndReason::SignalLost);
    let reason = bob_events.find("bob's end", ended).await;
    println!("bob, who is at another node, is told {reason:?} after {:?}", killed.elapsed());
    assert!(matches!(reason, EndReason::Server(DisconnectReason::StateMismatch) | EndReason::MediaLost), "{reason:?}");
    support::eventually("the room at the other node", async || {
        let Ok((bob, _events)) = Room::connect(options(&cluster.second.url(), "call", "bob")).await else { return false };
        within("media", bob.media_connected()).await.expect("connects");
        bob.leave(DisconnectReason::ClientInitiated).await;
        true
    })
    .await;
    println!("the room is there again {:?} after its node was killed", killed.elapsed());
    let held = cluster.redis.node_of("call").await.expect("an answer");
    assert!(held.is_none_or(|node| node == cluster.ids[1]));
}
