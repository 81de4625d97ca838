//! Calls in rooms of a real LiveKit server: the minimal agent, and the relay of speech.

use std::time::Duration;

use frontdesk::agents::{Calls, Credentials, FnModel, Message, ModelEvent, ModelRequest, Worker, WorkerOptions};
use frontdesk_agent::testing::Fakes;
use frontdesk_audio::SampleRate;
use frontdesk_livekit::api::{AgentDispatch, LiveKit, NewRoom, ParticipantToken};
use frontdesk_livekit::room::{AudioPublisher, Room, RoomEvent, RoomOptions};
use frontdesk_simulators::stack::{LiveKitOptions, LiveKitServer};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// A server, and a worker of the example.
struct House {
    server: LiveKitServer,
    api: LiveKit,
    shutdown: CancellationToken,
    worker: JoinHandle<()>,
    _log: TempDir,
}

impl House {
    async fn open(calls: Calls) -> Self {
        let log = tempfile::tempdir().expect("a folder");
        let server = LiveKitServer::start(LiveKitOptions::new(log.path().join("livekit.log"))).await.expect("LiveKit server starts");
        let credentials = Credentials::new(server.api_key(), server.api_secret());
        let api = LiveKit::new(&server.url(), credentials.clone()).expect("an address");
        let worker = Worker::new(WorkerOptions::new(server.url(), credentials, "example"));
        let (mut health, shutdown) = (worker.health(), CancellationToken::new());
        let stop = shutdown.clone();
        let worker = tokio::spawn(async move { worker.serve(calls, stop).await.expect("the worker registers") });
        within("registering", health.wait_for(|health| health.worker_id.is_some())).await.expect("the worker runs");
        Self { server, api, shutdown, worker, _log: log }
    }

    /// A person in a room to which the agent was sent.
    async fn caller(&self) -> (Room, mpsc::Receiver<RoomEvent>) {
        self.api.create_room(&NewRoom { name: "room".into(), ..NewRoom::default() }).await.expect("a room");
        let token = self.api.participant_token(&ParticipantToken::new("room", "caller")).expect("a token");
        let joined = within("joining", Room::connect(RoomOptions::new(self.server.url(), token))).await.expect("the caller joins");
        self.api.create_dispatch("room", &AgentDispatch::new("example", "")).await.expect("a dispatch");
        joined
    }

    async fn close(self) {
        self.shutdown.cancel();
        within("draining", self.worker).await.expect("the worker does not panic");
        self.server.stop().await;
    }
}

pub(crate) async fn find<T>(what: &str, events: &mut mpsc::Receiver<RoomEvent>, mut pick: impl FnMut(RoomEvent) -> Option<T>) -> T {
    within(what, async {
        loop {
            let event = events.recv().await.unwrap_or_else(|| panic!("{what}: the room ended"));
            if let Some(found) = pick(event) {
                return found;
            }
        }
    })
    .await
}

/// Waits for a line of the transcript that was said in full.
async fn transcript(events: &mut mpsc::Receiver<RoomEvent>, wanted: &str) {
    let is_it = |event| match event {
        RoomEvent::Text(text) if text.topic == "lk.transcription" && text.text.contains(wanted) => {
            text.attributes.get("lk.transcription_final").filter(|is_final| *is_final == "true").map(drop)
        }
        _ => None,
    };
    find(wanted, events, is_it).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_minimal_agent_greets_answers_and_leaves_a_record() {
    let model = |request: &ModelRequest| match request.messages.last() {
        Some(Message::User { text }) if text.contains("classes") => ModelEvent::Text("At nine and at six.".into()),
        _ => ModelEvent::Text("Pardon?".into()),
    };
    let (keep, mut kept) = mpsc::unbounded_channel();
    let calls = super::minimal::calls().providers(Fakes::default().providers()).llm(FnModel(model));
    let calls = calls.after(move |record| {
        keep.send(record).expect("somebody listens");
        std::future::ready(())
    });
    let house = House::open(calls).await;
    let (caller, mut events) = house.caller().await;
    let audio = |event| match event {
        RoomEvent::AudioTrack(audio) => Some(audio),
        _ => None,
    };
    let mut audio = find("the agent's track", &mut events, audio).await;
    let frame = within("the agent's voice", async {
        loop {
            let frame = audio.recv().await.expect("the track goes on");
            if frame.samples.iter().any(|sample| sample.unsigned_abs() > 100) {
                return frame;
            }
        }
    });
    assert_eq!(frame.await.rate, SampleRate::HZ_16000);
    transcript(&mut events, "the yoga studio").await;
    caller.send_text("lk.chat", &Default::default(), "When are the classes?").await.expect("sent");
    transcript(&mut events, "At nine and at six.").await;
    caller.leave(frontdesk_livekit::room::DisconnectReason::ClientInitiated).await;
    let record = within("the record", kept.recv()).await.expect("the hook ran");
    assert_eq!((record.call_id.as_str(), record.turns.len()), ("room", 1));
    house.close().await;
}

/// Says a tone for half a second, then keeps silent, until dropped.
async fn hum(mut out: AudioPublisher) {
    let mut clock = tokio::time::interval(Duration::from_millis(20));
    for frame in 0u32.. {
        clock.tick().await;
        // 20 ms hold ten whole periods of 500 Hz.
        let sample = |n: usize| (12_000.0 * (std::f64::consts::TAU * n as f64 / 32.0).sin()) as i16;
        let samples: Vec<i16> = (0..320).map(|n| if frame < 25 { sample(n) } else { 0 }).collect();
        // The publisher counts what does not fit.
        let _ = out.write(&samples);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_relay_gives_back_what_was_said() {
    let house = House::open(Calls::by_hand(super::relay::relay)).await;
    let (caller, mut events) = house.caller().await;
    let out = within("publishing", caller.publish_audio(SampleRate::HZ_16000)).await.expect("the caller publishes");
    let audio = |event| match event {
        RoomEvent::AudioTrack(audio) => Some(audio),
        _ => None,
    };
    let mut audio = find("the relay's track", &mut events, audio).await;
    let humming = tokio::spawn(hum(out));
    let loud = within("the tone", async {
        let mut loud = Vec::new();
        while loud.len() < 16_000 / 4 {
            let frame = audio.recv().await.expect("the track goes on");
            let is_first = loud.is_empty();
            loud.extend(frame.samples.into_iter().skip_while(|sample| is_first && sample.unsigned_abs() < 2_000));
        }
        loud
    });
    let loud = loud.await;
    let crossings = loud.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count();
    let hz = crossings as f64 * 16_000.0 / loud.len() as f64;
    assert!((hz - 500.0).abs() < 40.0, "{hz} Hz");
    humming.abort();
    caller.leave(frontdesk_livekit::room::DisconnectReason::ClientInitiated).await;
    house.close().await;
}
