//! A worker against a real LiveKit server.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use frontdesk_livekit::Credentials;
use frontdesk_livekit::api::{AgentDispatch, LiveKit, NewRoom};
use frontdesk_livekit::worker::{
    Acceptance, Capacity, FirstRegistration, JobAnswer, JobContext, JobEntry, JobFailure, JobKind, JobRequest, Worker, WorkerError,
    WorkerHealth, WorkerOptions,
};
use support::proxy::Proxy;
use support::server::{KEY, Server};
use support::{credentials, within};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const AGENT: &str = "frontdesk";

struct Running {
    health: watch::Receiver<WorkerHealth>,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), WorkerError>>,
}

impl Running {
    async fn registered(&mut self) {
        within("registering", self.health.wait_for(|health| health.worker_id.is_some())).await.expect("the worker runs");
    }

    async fn active(&mut self, jobs: u32) {
        within("the number of jobs", self.health.wait_for(|health| health.active_jobs == jobs)).await.expect("the worker runs");
    }

    async fn stop(self) -> Result<(), WorkerError> {
        self.shutdown.cancel();
        within("stopping", self.task).await.expect("the worker does not panic")
    }
}

fn run(options: WorkerOptions, entry: impl JobEntry) -> Running {
    run_worker(Worker::new(options), entry)
}

fn run_worker(worker: Worker, entry: impl JobEntry) -> Running {
    let (health, shutdown) = (worker.health(), CancellationToken::new());
    let token = shutdown.clone();
    let task = tokio::spawn(async move { worker.run(Arc::new(entry), token).await });
    Running { health, shutdown, task }
}

fn options(url: &str) -> WorkerOptions {
    WorkerOptions::new(url, credentials(), AGENT)
}

/// Makes a room and asks for the agent in it; the dispatch's id.
async fn call(api: &LiveKit, room: &str, metadata: &str) -> String {
    api.create_room(&NewRoom { name: room.into(), ..NewRoom::default() }).await.expect("a room");
    api.create_dispatch(room, &AgentDispatch::new(AGENT, metadata)).await.expect("a dispatch")
}

/// A job that tells its context and then waits until it is told to stop.
fn patient(jobs: mpsc::UnboundedSender<JobContext>) -> impl JobEntry {
    move |job: JobContext| {
        let _ = jobs.send(job.clone());
        async move {
            job.stop.cancelled().await;
            Ok(())
        }
    }
}

async fn next(jobs: &mut mpsc::UnboundedReceiver<JobContext>) -> JobContext {
    within("a job", jobs.recv()).await.expect("the worker runs")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dispatch_becomes_a_job_that_is_told_to_stop_with_its_dispatch() {
    let server = Server::start().await;
    let api = support::api(&server.url());
    let (sender, mut jobs) = mpsc::unbounded_channel();
    let mut worker = run(options(&server.url()), patient(sender));
    worker.registered().await;
    let dispatch = call(&api, "room-1", "{\"tenant\":\"demo\"}").await;
    let job = next(&mut jobs).await;
    assert_eq!((job.room.as_str(), job.metadata.as_str(), job.url.as_str()), ("room-1", "{\"tenant\":\"demo\"}", server.url().as_str()));
    assert_eq!(job.participant_identity, format!("agent-{}", job.job_id));
    assert!(job.room_sid.starts_with("RM_") && !job.stop.is_cancelled());
    assert!(!format!("{job:?}").contains(&job.token));
    worker.active(1).await;
    assert_eq!(job.dispatch_id, dispatch);
    api.delete_dispatch("room-1", &dispatch).await.unwrap();
    within("the termination", job.stop.cancelled()).await;
    worker.active(0).await;
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_ends_its_own_job_alone() {
    let server = Server::start().await;
    let api = support::api(&server.url());
    let (sender, mut jobs) = mpsc::unbounded_channel();
    let mut worker = run(options(&server.url()), move |job: JobContext| {
        let sender = sender.clone();
        async move {
            let _ = sender.send(job.clone());
            job.stop.cancelled().await;
            match job.metadata.as_str() {
                "panic" => panic!("as told"),
                "fail" => Err(JobFailure("as told".into())),
                _ => Ok(()),
            }
        }
    });
    worker.registered().await;
    let mut contexts = Vec::new();
    for metadata in ["live", "panic", "fail"] {
        call(&api, metadata, metadata).await;
        contexts.push(next(&mut jobs).await);
    }
    worker.active(3).await;
    contexts[1].stop.cancel();
    worker.active(2).await;
    contexts[2].stop.cancel();
    worker.active(1).await;
    assert!(!contexts[0].stop.is_cancelled() && !worker.task.is_finished());
    let another = call(&api, "another", "live").await;
    next(&mut jobs).await;
    worker.active(2).await;
    contexts[0].stop.cancel();
    worker.active(1).await;
    api.delete_dispatch("another", &another).await.unwrap();
    worker.active(0).await;
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_worker_leaves_the_job_to_another() {
    let server = Server::start().await;
    let api = support::api(&server.url());
    let (sender, mut jobs) = mpsc::unbounded_channel();
    let one_job = WorkerOptions { max_jobs: 1, ..options(&server.url()) };
    let (mut first, mut second) = (run(one_job.clone(), patient(sender.clone())), run(one_job, patient(sender)));
    first.registered().await;
    second.registered().await;
    let mut dispatches = Vec::new();
    for room in ["a", "b"] {
        dispatches.push((room, call(&api, room, "").await));
        next(&mut jobs).await;
    }
    first.active(1).await;
    second.active(1).await;
    call(&api, "c", "").await;
    for (room, dispatch) in dispatches {
        api.delete_dispatch(room, &dispatch).await.unwrap();
    }
    first.active(0).await;
    second.active(0).await;
    assert!(jobs.try_recv().is_err(), "nobody had a place for the third");
    first.stop().await.unwrap();
    second.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn draining_finishes_running_jobs_and_takes_no_new_ones() {
    let server = Server::start().await;
    let api = support::api(&server.url());
    let (sender, mut jobs) = mpsc::unbounded_channel();
    let mut worker = run(options(&server.url()), patient(sender));
    worker.registered().await;
    let mut running = Vec::new();
    for number in 0..20 {
        call(&api, &format!("old-{number}"), "").await;
        running.push(next(&mut jobs).await);
    }
    worker.shutdown.cancel();
    within("draining", worker.health.wait_for(|health| health.draining)).await.unwrap();
    call(&api, "new", "").await;
    for job in running {
        assert!(!job.stop.is_cancelled() && !job.hurry.is_cancelled() && !worker.task.is_finished());
        job.stop.cancel();
    }
    worker.stop().await.unwrap();
    assert!(jobs.try_recv().is_err(), "a draining worker took a job");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_are_hurried_are_told_so_and_nothing_new_is_taken() {
    let server = Server::start().await;
    let api = support::api(&server.url());
    let (sender, mut jobs) = mpsc::unbounded_channel();
    let hurry = CancellationToken::new();
    let mut worker = run_worker(Worker::new(options(&server.url())).hurried_by(hurry.clone()), move |job: JobContext| {
        let _ = sender.send(job.clone());
        async move {
            job.hurry.cancelled().await;
            Ok(())
        }
    });
    worker.registered().await;
    call(&api, "old", "").await;
    let job = next(&mut jobs).await;
    hurry.cancel();
    within("the end", &mut worker.task).await.expect("the worker does not panic").expect("it was registered");
    assert!(!job.stop.is_cancelled(), "it ended by itself");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn draining_is_bounded_even_if_a_job_does_not_listen() {
    let server = Server::start().await;
    let api = support::api(&server.url());
    let (sender, mut jobs) = mpsc::unbounded_channel();
    let short = Duration::from_millis(300);
    let options = WorkerOptions { drain_timeout: short, stop_timeout: short, ..options(&server.url()) };
    let mut worker = run(options, move |job: JobContext| {
        let _ = sender.send(job);
        std::future::pending()
    });
    worker.registered().await;
    call(&api, "deaf", "").await;
    let job = next(&mut jobs).await;
    worker.stop().await.unwrap();
    assert!(job.stop.is_cancelled());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_live_through_a_lost_connection() {
    let mut server = Server::start().await;
    let proxy = Proxy::start(server.port()).await;
    let api = support::api(&server.url());
    let (sender, mut jobs) = mpsc::unbounded_channel();
    let mut worker = run(options(&proxy.url()), patient(sender));
    worker.registered().await;
    call(&api, "before", "").await;
    let job = next(&mut jobs).await;
    proxy.cut(true);
    within("the loss", worker.health.wait_for(|health| health.worker_id.is_none())).await.unwrap();
    proxy.mend();
    worker.registered().await;
    assert!(!job.stop.is_cancelled());
    call(&api, "after", "").await;
    let second = next(&mut jobs).await;
    worker.active(2).await;
    // A server that comes back anew takes the worker again, too.
    server.kill().await;
    within("the loss", worker.health.wait_for(|health| health.worker_id.is_none())).await.unwrap();
    server.restart().await;
    worker.registered().await;
    assert!(!job.stop.is_cancelled() && !second.stop.is_cancelled());
    let anew = call(&api, "anew", "").await;
    next(&mut jobs).await;
    worker.active(3).await;
    worker.shutdown.cancel();
    job.stop.cancel();
    second.stop.cancel();
    api.delete_dispatch("anew", &anew).await.unwrap();
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_secret_or_address_ends_the_worker_at_once() {
    let server = Server::start().await;
    let calls = Arc::new(AtomicUsize::new(0));
    let entry = || {
        let calls = calls.clone();
        move |_: JobContext| {
            calls.fetch_add(1, Ordering::SeqCst);
            async { Ok(()) }
        }
    };
    let wrong = Credentials::new(KEY, "another-secret-of-thirty-two-characters");
    for first_registration in [FirstRegistration::FailFast, FirstRegistration::KeepTrying] {
        let options = WorkerOptions { credentials: wrong.clone(), first_registration, ..options(&server.url()) };
        let error = within("the refusal", run(options, entry()).task).await.unwrap().unwrap_err();
        assert!(matches!(error, WorkerError::Unauthorized { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("LIVEKIT_API_SECRET") && text.contains(&server.url()), "{text}");
    }
    let error = within("the refusal", run(options("ws://127.0.0.1:9"), entry()).task).await.unwrap().unwrap_err();
    assert!(matches!(error, WorkerError::Unreachable { .. }) && error.to_string().contains("127.0.0.1:9"), "{error}");
    let error = within("the refusal", run(options("nonsense"), entry()).task).await.unwrap().unwrap_err();
    assert!(matches!(error, WorkerError::Url(_)), "{error}");
    assert_eq!(calls.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_changes_while_running_ends_no_job() {
    let mut server = Server::start().await;
    let api = support::api(&server.url());
    let (sender, mut jobs) = mpsc::unbounded_channel();
    let mut worker = run(options(&server.url()), patient(sender));
    worker.registered().await;
    call(&api, "room", "").await;
    let job = next(&mut jobs).await;
    for secret in ["another-secret-of-thirty-two-characters", support::server::SECRET] {
        server.change_secret(secret);
        server.restart().await;
        within("the loss", worker.health.wait_for(|health| health.worker_id.is_none())).await.unwrap();
    }
    worker.registered().await;
    assert!(!job.stop.is_cancelled());
    job.stop.cancel();
    worker.active(0).await;
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_may_wait_for_its_server() {
    let mut server = Server::start().await;
    server.kill().await;
    let patient_worker = WorkerOptions { first_registration: FirstRegistration::KeepTrying, ..options(&server.url()) };
    let mut worker = run(patient_worker, |_: JobContext| async { Ok(()) });
    tokio::task::yield_now().await;
    server.restart().await;
    worker.registered().await;
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_job_is_no_load() {
    struct Picky;
    #[async_trait::async_trait]
    impl JobEntry for Picky {
        fn answer(&self, request: &JobRequest) -> JobAnswer {
            if request.metadata == "good" { JobAnswer::default() } else { JobAnswer::Refuse }
        }
        async fn run(&self, job: JobContext) -> Result<(), JobFailure> {
            job.stop.cancelled().await;
            Ok(())
        }
    }
    let server = Server::start().await;
    let api = support::api(&server.url());
    let mut worker = run(options(&server.url()), Picky);
    worker.registered().await;
    call(&api, "bad", "bad").await;
    let good = call(&api, "good", "good").await;
    worker.active(1).await;
    api.delete_dispatch("good", &good).await.unwrap();
    worker.active(0).await;
    worker.stop().await.unwrap();
}

/// Takes every job under a name of its own.
struct Named(mpsc::UnboundedSender<JobContext>);

#[async_trait::async_trait]
impl JobEntry for Named {
    fn answer(&self, request: &JobRequest) -> JobAnswer {
        let attributes = [("clinic".to_owned(), request.metadata.clone())].into();
        let (identity, name) = (Some("desk".to_owned()), Some("Front desk".to_owned()));
        JobAnswer::Accept(Acceptance { identity, name, metadata: "open".into(), attributes })
    }

    async fn run(&self, job: JobContext) -> Result<(), JobFailure> {
        let _ = self.0.send(job.clone());
        job.stop.cancelled().await;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_joins_as_whom_it_was_accepted() {
    let server = Server::start().await;
    let api = support::api(&server.url());
    let (sender, mut jobs) = mpsc::unbounded_channel();
    let mut worker = run(options(&server.url()), Named(sender));
    worker.registered().await;
    call(&api, "room", "north").await;
    let job = next(&mut jobs).await;
    assert_eq!(job.participant_identity, "desk");
    let (room, _events) = support::connect(frontdesk_livekit::room::RoomOptions::new(&job.url, &job.token)).await;
    let found = api.list_participants("room").await.expect("a list");
    let [agent] = found.as_slice() else { panic!("one participant: {}", found.len()) };
    assert_eq!((agent.identity.as_str(), agent.name.as_str(), agent.metadata.as_str()), ("desk", "Front desk", "open"));
    assert_eq!((agent.attribute("clinic"), agent.attribute("lk.agent.state")), (Some("north"), Some("initializing")));
    drop(room);
    job.stop.cancel();
    worker.active(0).await;
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishers_and_participants_get_jobs_of_their_own() {
    let server = Server::start().await;
    for kind in [JobKind::Participant, JobKind::Publisher] {
        let room = kind.as_str();
        let (sender, mut jobs) = mpsc::unbounded_channel();
        let unnamed = WorkerOptions { kind, agent_name: String::new(), ..options(&server.url()) };
        let mut worker = run(unnamed, patient(sender));
        worker.registered().await;
        let (caller, _events) = support::join(&server.url(), room, "caller").await;
        let _track = caller.publish_audio(frontdesk_audio::SampleRate::HZ_24000).await.expect("publishes");
        let job = next(&mut jobs).await;
        assert_eq!((job.kind, job.room.as_str()), (kind, room));
        assert_eq!(job.participant.as_ref().map(|participant| participant.identity.as_str()), Some("caller"));
        job.stop.cancel();
        worker.active(0).await;
        worker.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_simulated_job_takes_the_whole_way_through_the_server() {
    let server = Server::start().await;
    let (sender, mut jobs) = mpsc::unbounded_channel();
    let worker = Worker::new(options(&server.url()));
    let simulator = worker.simulator();
    let mut worker = run_worker(worker, patient(sender));
    worker.registered().await;
    assert!(simulator.simulate("nowhere"));
    let job = next(&mut jobs).await;
    assert_eq!(job.room, "nowhere");
    job.stop.cancel();
    worker.active(0).await;
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_serves_two_servers_from_one_capacity() {
    let (one, other) = (Server::start().await, Server::start().await);
    let apis = [support::api(&one.url()), support::api(&other.url())];
    let (sender, mut jobs) = mpsc::unbounded_channel();
    let capacity = Capacity::of_jobs(2, 0.7);
    let mut workers =
        [&one, &other].map(|server| run_worker(Worker::sharing(options(&server.url()), capacity.clone()), patient(sender.clone())));
    for (worker, api) in workers.iter_mut().zip(&apis) {
        worker.registered().await;
        call(api, "room", "").await;
        next(&mut jobs).await;
        worker.active(1).await;
    }
    within("no place being left", capacity.full().wait_for(|full| *full)).await.unwrap();
    // Both say so; neither takes a third.
    for api in &apis {
        call(api, "third", "").await;
    }
    for mut worker in workers {
        worker.active(1).await;
        worker.shutdown.cancel();
        within("draining", worker.health.wait_for(|health| health.draining)).await.unwrap();
        assert!(jobs.try_recv().is_err());
        worker.task.abort();
    }
}
