//! A worker whose runtime is stalled, against a real LiveKit server: its calls go to another at once.

mod support;

use std::sync::Arc;
use std::time::Duration;

use frontdesk_livekit::api::{AgentDispatch, LiveKit, NewRoom};
use frontdesk_livekit::worker::{JobContext, Worker, WorkerHealth, WorkerOptions};
use support::server::Server;
use support::{credentials, within};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

const AGENT: &str = "frontdesk";
/// The metadata of the job that blocks its thread.
const BLOCK: &str = "block";

/// A worker on a thread of its own, which its jobs can block.
struct Alone {
    health: watch::Receiver<WorkerHealth>,
    /// Lets a thread that is blocked go on, when it is dropped.
    blocked: Option<std::sync::mpsc::Sender<()>>,
    _shutdown: DropGuard,
}

fn start(url: &str, name: &'static str, jobs: mpsc::UnboundedSender<(&'static str, JobContext)>) -> Alone {
    let worker = Worker::new(WorkerOptions::new(url, credentials(), AGENT));
    let (health, shutdown) = (worker.health(), CancellationToken::new());
    let (blocked, until) = std::sync::mpsc::channel::<()>();
    let until = Arc::new(std::sync::Mutex::new(until));
    let entry = move |job: JobContext| {
        let until = Arc::clone(&until);
        let _ = jobs.send((name, job.clone()));
        async move {
            if job.metadata == BLOCK {
                // What no job should do. Fails when the sender is gone, which is the signal.
                let _ = until.lock().expect("no test panicked").recv();
            }
            job.stop.cancelled().await;
            Ok(())
        }
    };
    let token = shutdown.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(worker.run(Arc::new(entry), token)).expect("it registers");
    });
    Alone { health, blocked: Some(blocked), _shutdown: shutdown.drop_guard() }
}

impl Alone {
    async fn registered(&mut self) {
        within("registering", self.health.wait_for(|health| health.worker_id.is_some())).await.expect("the worker runs");
    }
}

async fn dispatch(api: &LiveKit, room: &str, metadata: &str) {
    api.create_room(&NewRoom { name: room.into(), ..NewRoom::default() }).await.expect("a room");
    api.create_dispatch(room, &AgentDispatch::new(AGENT, metadata)).await.expect("a dispatch");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_whose_runtime_is_stalled_refuses_and_another_takes_its_calls() {
    let server = Server::start().await;
    let api = support::api(&server.url());
    let (sender, mut jobs) = mpsc::unbounded_channel();
    let mut next = async || within("a job", jobs.recv()).await.expect("the workers run");
    let mut stalled = start(&server.url(), "stalled", sender.clone());
    stalled.registered().await;
    dispatch(&api, "first", BLOCK).await;
    assert_eq!(next().await.0, "stalled");
    let mut other = start(&server.url(), "other", sender);
    other.registered().await;
    // The first may be offered to the stalled one before that is known; LiveKit would give it up after 3 s without an answer, and half
    // of the others as well.
    for number in 0..6 {
        let room = format!("room-{number}");
        dispatch(&api, &room, "").await;
        let (who, job) = next().await;
        assert_eq!((who, job.room), ("other", room));
    }
    // It comes to its senses, and takes calls again.
    drop(stalled.blocked.take());
    drop(other);
    within("another call", async {
        loop {
            let room = frontdesk_livekit::api::random_id("again-");
            dispatch(&api, &room, "").await;
            // None comes while both are full or gone.
            if let Ok(Some((who, _))) = tokio::time::timeout(Duration::from_secs(1), jobs.recv()).await {
                return assert_eq!(who, "stalled");
            }
        }
    })
    .await;
}
