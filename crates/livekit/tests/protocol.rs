//! The worker protocol, message by message, and what a flood of offers does.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use frontdesk_livekit::worker::{
    Capacity, JobAnswer, JobContext, JobEntry, JobFailure, JobKind, JobRequest, LoadSample, LoadSource, Permissions, RequestFilter,
    WildMatch, Worker, WorkerOptions,
};
use livekit_protocol as proto;
use proto::WorkerStatus::{WsAvailable, WsFull};
use proto::server_message::Message as FromServer;
use proto::worker_message::Message as ToServer;
use support::credentials;
use support::endpoint::{Endpoint, Registered, job};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const DISPATCHES: usize = 500;
const JOBS_MAX: u32 = 100;

struct Running {
    connection: Registered,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

async fn run(endpoint: &Endpoint, worker: Worker, entry: impl JobEntry) -> Running {
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    let task = tokio::spawn(async move { worker.run(Arc::new(entry), token).await.expect("it registered") });
    Running { connection: endpoint.registered().await, shutdown, task }
}

impl Running {
    /// Ends; its jobs must have ended, or do not listen.
    fn stop(self) {
        self.shutdown.cancel();
        self.task.abort();
    }
}

fn options(endpoint: &Endpoint) -> WorkerOptions {
    WorkerOptions::new(endpoint.url(), credentials(), "frontdesk")
}

/// Runs until it is told to stop, and counts.
#[derive(Clone, Default)]
struct Counting {
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

#[async_trait::async_trait]
impl JobEntry for Counting {
    fn answer(&self, request: &JobRequest) -> JobAnswer {
        match request.metadata.as_str() {
            "refuse" => JobAnswer::Refuse,
            "terminate" => JobAnswer::Terminate,
            _ => JobAnswer::default(),
        }
    }

    async fn run(&self, job: JobContext) -> Result<(), JobFailure> {
        let now = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        job.stop.cancelled().await;
        self.running.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }
}

/// Five hundred dispatches come at once, each to one of two workers and, refused there, to the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_offers_never_exceeds_the_limit_and_none_is_left_unanswered() {
    let endpoint = Endpoint::start().await;
    let mut workers = Vec::new();
    for _ in 0..2 {
        let counting = Counting::default();
        let limited = WorkerOptions { max_jobs: JOBS_MAX, ..options(&endpoint) };
        workers.push((run(&endpoint, Worker::new(limited), counting.clone()).await, counting));
    }
    let offers: Vec<proto::Job> = (0..DISPATCHES).map(|number| job(&format!("AJ_{number}"), "room")).collect();
    let (mut taken, mut refused) = (Vec::new(), Vec::new());
    for (index, (worker, _)) in workers.iter_mut().enumerate() {
        for offer in offers.iter().skip(index).step_by(2) {
            worker.connection.offer(offer).await;
        }
    }
    for (index, (worker, _)) in workers.iter_mut().enumerate() {
        for offer in offers.iter().skip(index).step_by(2) {
            let answer = worker.connection.answer().await;
            assert_eq!(answer.job_id, offer.id, "offers are answered in their order, each once");
            if answer.available { taken.push((index, offer)) } else { refused.push((1 - index, offer)) }
        }
        worker.connection.told(WsFull).await;
    }
    assert_eq!(taken.len(), 2 * JOBS_MAX as usize);
    for (index, offer) in &refused {
        workers[*index].0.connection.offer(offer).await;
        let answer = workers[*index].0.connection.answer().await;
        assert!(answer.job_id == offer.id && !answer.available && !answer.terminate);
    }
    for (index, offer) in &taken {
        workers[*index].0.connection.assign(offer).await;
    }
    for (worker, counting) in &mut workers {
        let all_run = |update: &proto::UpdateJobStatus| update.status == proto::JobStatus::JsRunning as i32;
        for _ in 0..JOBS_MAX {
            worker.connection.find(|message| matches!(message, ToServer::UpdateJob(update) if all_run(&update)).then_some(())).await;
        }
        support::eventually("all to run", async || counting.running.load(Ordering::SeqCst) == JOBS_MAX as usize).await;
        assert_eq!(counting.most.load(Ordering::SeqCst), JOBS_MAX as usize);
    }
    for (index, offer) in taken.iter().filter(|(index, _)| *index == 0) {
        let ends = FromServer::Termination(proto::JobTermination { job_id: offer.id.clone() });
        workers[*index].0.connection.send(ends).await;
    }
    let update = workers[0].0.connection.told(WsAvailable).await;
    assert!(update.job_count < JOBS_MAX && update.load < 0.7, "{update:?}");
    workers.into_iter().for_each(|(worker, _)| worker.stop());
}

/// A machine that is as busy as it is told to be.
#[derive(Debug, Clone, Default)]
struct Busy(Arc<AtomicUsize>);

impl LoadSource for Busy {
    fn sample(&mut self) -> LoadSample {
        let percent = u8::try_from(self.0.load(Ordering::SeqCst)).expect("a percentage");
        LoadSample { cpu: f32::from(percent) / 100.0, ..LoadSample::default() }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_machine_is_full_and_says_so() {
    let endpoint = Endpoint::start().await;
    let busy = Busy::default();
    busy.0.store(90, Ordering::SeqCst);
    let worker = Worker::sharing(options(&endpoint), Capacity::new(100, 0.7, busy.clone()));
    let mut worker = run(&endpoint, worker, Counting::default()).await;
    let update = worker.connection.told(WsFull).await;
    assert!(update.load > 0.85 && update.job_count == 0, "{update:?}");
    worker.connection.offer(&job("AJ_1", "room")).await;
    assert!(!worker.connection.answer().await.available);
    busy.0.store(10, Ordering::SeqCst);
    worker.connection.told(WsAvailable).await;
    worker.connection.offer(&job("AJ_2", "room")).await;
    assert!(worker.connection.answer().await.available);
    worker.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registration_tells_what_was_set() {
    let endpoint = Endpoint::start().await;
    let permissions = Permissions { can_update_metadata: false, hidden: true, ..Permissions::default() };
    let set = WorkerOptions { kind: JobKind::Publisher, namespace: Some("clinics".into()), permissions, ..options(&endpoint) };
    let worker = run(&endpoint, Worker::new(set), Counting::default()).await;
    let told = &worker.connection.registration;
    assert_eq!(
        (told.r#type(), told.namespace.as_deref(), told.agent_name.as_str()),
        (proto::JobType::JtPublisher, Some("clinics"), "frontdesk")
    );
    let allowed = told.allowed_permissions.as_ref().expect("permissions");
    assert!(allowed.can_publish && allowed.can_subscribe && allowed.can_publish_data && allowed.hidden && !allowed.can_update_metadata);
    worker.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offers_are_filtered_refused_or_ended_for_good() {
    let endpoint = Endpoint::start().await;
    let filter = RequestFilter { rooms: vec![WildMatch::new("call_*")], ..RequestFilter::default() };
    let mut worker = run(&endpoint, Worker::new(WorkerOptions { filter, max_jobs: 1, ..options(&endpoint) }), Counting::default()).await;
    let expected = [
        ("meeting", "", false, false),
        ("call_1", "refuse", false, false),
        ("call_2", "terminate", false, true),
        ("call_3", "", true, false),
    ];
    for (room, metadata, available, terminate) in expected {
        let offer = proto::Job { metadata: metadata.into(), ..job(&format!("AJ_{room}"), room) };
        worker.connection.offer(&offer).await;
        let answer = worker.connection.answer().await;
        assert_eq!((answer.available, answer.terminate), (available, terminate), "{room}");
    }
    worker.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_jobs_are_reported_to_a_server_that_comes_back() {
    let endpoint = Endpoint::start().await;
    let counting = Counting::default();
    let mut worker = run(&endpoint, Worker::new(options(&endpoint)), counting.clone()).await;
    let offer = job("AJ_1", "room");
    worker.connection.offer(&offer).await;
    assert!(worker.connection.answer().await.available);
    worker.connection.assign(&offer).await;
    support::eventually("the job to run", async || counting.running.load(Ordering::SeqCst) == 1).await;
    let Running { connection, shutdown, task } = worker;
    drop(connection);
    let mut worker = Running { connection: endpoint.registered().await, shutdown, task };
    let migrated = worker.connection.find(|message| match message {
        ToServer::MigrateJob(migrate) => Some(migrate.job_ids),
        _ => None,
    });
    assert_eq!(migrated.await, ["AJ_1"]);
    assert_eq!(counting.running.load(Ordering::SeqCst), 1);
    worker.stop();
}
