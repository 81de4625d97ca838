//! Agents: a real worker whose jobs a test carries out.

use std::sync::Arc;
use std::time::Duration;

use frontdesk_audio::SampleRate;
use frontdesk_livekit::Credentials;
use frontdesk_livekit::room::{AudioPublisher, Participant, ParticipantKind, RemoteAudio, Room, RoomEvent, RoomOptions};
use frontdesk_livekit::worker::{JobContext, Worker, WorkerOptions};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::tone::{frame, is_tone};
use super::{Desk, within};

/// What agents speak and hear at.
const RATE: SampleRate = SampleRate::HZ_24000;

struct Job {
    context: JobContext,
    done: DropGuard,
}

/// A registered worker.
pub(crate) struct Workers {
    jobs: mpsc::UnboundedReceiver<Job>,
    /// How many jobs came.
    pub(crate) taken: usize,
    _shutdown: DropGuard,
}

impl Workers {
    /// Registers one and waits until it can be dispatched.
    pub(crate) async fn register(desk: &Desk) -> Self {
        Self::register_at(&desk.server.url(), Credentials::new(desk.server.api_key(), desk.server.api_secret())).await
    }

    pub(crate) async fn register_at(url: &str, credentials: Credentials) -> Self {
        let worker = Worker::new(WorkerOptions { drain_timeout: Duration::ZERO, ..WorkerOptions::new(url, credentials, "frontdesk") });
        let (mut health, shutdown) = (worker.health(), CancellationToken::new());
        let (sender, jobs) = mpsc::unbounded_channel();
        let entry = move |context: JobContext| {
            let (sender, done) = (sender.clone(), CancellationToken::new());
            async move {
                let stop = context.stop.clone();
                let _nobody_takes_it = sender.send(Job { context, done: done.clone().drop_guard() });
                tokio::select! {
                    () = done.cancelled() => {}
                    () = stop.cancelled() => {}
                }
                Ok(())
            }
        };
        let token = shutdown.clone();
        tokio::spawn(async move { worker.run(Arc::new(entry), token).await });
        within("registering", health.wait_for(|health| health.worker_id.is_some())).await.expect("the worker runs");
        Self { jobs, taken: 0, _shutdown: shutdown.drop_guard() }
    }

    /// Takes the next job and joins its room.
    pub(crate) async fn join(&mut self) -> Agent {
        let job = within("a job", self.jobs.recv()).await.expect("the worker runs");
        self.taken += 1;
        let options = RoomOptions {
            subscribe_rate: SampleRate::HZ_16000,
            fill_silence_after: None,
            ..RoomOptions::new(&job.context.url, &job.context.token)
        };
        let (room, events) = within("joining", Room::connect(options)).await.expect("the agent joins");
        Agent { room: Arc::new(room), events, job: job.context, _done: job.done }
    }

    /// A job has come in vain.
    pub(crate) async fn ignore(&mut self) {
        within("a job", self.jobs.recv()).await.expect("the worker runs");
        self.taken += 1;
    }
}

/// An agent in a call's room.
pub(crate) struct Agent {
    pub(crate) room: Arc<Room>,
    pub(crate) events: mpsc::Receiver<RoomEvent>,
    pub(crate) job: JobContext,
    _done: DropGuard,
}

impl Agent {
    /// The first event that `pick` takes; others are passed over.
    pub(crate) async fn find<T>(&mut self, what: &str, mut pick: impl FnMut(RoomEvent) -> Option<T>) -> T {
        within(what, async {
            loop {
                let event = self.events.recv().await.unwrap_or_else(|| panic!("{what}: the events ended"));
                if let Some(found) = pick(event) {
                    return found;
                }
            }
        })
        .await
    }

    /// The caller as the agent sees it.
    pub(crate) fn caller(&self) -> Participant {
        self.room.participants().into_iter().find(|other| other.kind == ParticipantKind::Sip).expect("the caller is in the room")
    }

    pub(crate) async fn publish(&self) -> AudioPublisher {
        within("the media", self.room.media_connected()).await.expect("the room is there");
        within("publishing", self.room.publish_audio(RATE)).await.expect("the agent publishes")
    }

    /// Publishes, which answers the call, and says a tone until the guard is dropped. With 0 Hz it says nothing.
    pub(crate) async fn speak(&self, hz: f64) -> DropGuard {
        let (publisher, stop) = (self.publish().await, CancellationToken::new());
        tokio::spawn(stop.clone().run_until_cancelled_owned(play(publisher, hz)));
        stop.drop_guard()
    }

    /// The caller's track.
    pub(crate) async fn audio(&mut self) -> RemoteAudio {
        self.find("the caller's track", |event| match event {
            RoomEvent::AudioTrack(audio) => Some(audio),
            _ => None,
        })
        .await
    }

    /// Listens until the tone is heard for 200 ms.
    pub(crate) async fn hears(&self, audio: &mut RemoteAudio, hz: f64) {
        let mut heard = Vec::new();
        within("the caller's tone", async {
            loop {
                let window = audio.rate().samples_in_ms(200);
                if heard.len() >= window && is_tone(&heard[heard.len() - window..], hz, audio.rate()) {
                    return;
                }
                heard.extend(audio.recv().await.expect("the track goes on").samples);
            }
        })
        .await;
    }

    /// Waits for the next key of the caller.
    pub(crate) async fn key(&mut self) -> char {
        self.find("a key", |event| match event {
            RoomEvent::Dtmf(dtmf) => Some(dtmf.digit),
            _ => None,
        })
        .await
    }
}

/// One frame every 20 ms.
async fn play(mut publisher: AudioPublisher, hz: f64) {
    let mut ticker = tokio::time::interval(Duration::from_millis(20));
    for n in 0.. {
        ticker.tick().await;
        let samples = RATE.samples_in_ms(20);
        let _dropped = publisher.write(&frame(hz, RATE, n * samples));
    }
}

/// An agent that answers every call with a tone, until the process is killed: the body of a process of its own.
pub(crate) async fn run_agent(url: &str, credentials: Credentials, hz: f64) {
    let mut workers = Workers::register_at(url, credentials).await;
    println!("registered");
    let agent = workers.join().await;
    let mut publisher = agent.publish().await;
    // A second and a half of silence first: so a sender is known to be one that sends silence.
    let mut ticker = tokio::time::interval(Duration::from_millis(20));
    for _ in 0..75 {
        ticker.tick().await;
        let _dropped = publisher.write(&vec![0; RATE.samples_in_ms(20)]);
    }
    println!("speaking");
    play(publisher, hz).await;
}
