//! Decides about offers, runs and supervises jobs, reports status and load, and drains.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use livekit_protocol as proto;
use proto::server_message::Message as FromServer;
use proto::worker_message::Message as ToServer;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::error::WorkerError;
use super::job::{JobContext, JobEntry, JobFailure, JobRequest};
use super::link::{Link, LinkEvent};
use super::options::WorkerOptions;
use super::table::JobTable;
use crate::server_url::ServerUrl;

/// How often status and load are reported, as LiveKit's own workers do.
const REPORT_INTERVAL: Duration = Duration::from_millis(2500);
/// Messages that may wait for the link.
const OUTGOING: usize = 256;
/// Messages of the server that may wait for the runner.
const INCOMING: usize = 64;

/// What a job's task answers: its job's id and how it went.
type Ended = (String, Result<(), JobFailure>);

/// What a health check wants to know.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkerHealth {
    /// The id under which the worker is registered now, if it is.
    pub worker_id: Option<String>,
    /// Jobs that are accepted or running.
    pub active_jobs: u32,
    /// Whether new jobs are refused because the worker is going down.
    pub draining: bool,
}

/// An agent worker.
#[derive(Debug)]
pub struct Worker {
    options: WorkerOptions,
    health: watch::Sender<WorkerHealth>,
}

impl Worker {
    /// A worker with these settings; connects in [`Worker::run`].
    #[must_use]
    pub fn new(options: WorkerOptions) -> Self {
        Self { options, health: watch::Sender::default() }
    }

    /// How the worker is, now and in future.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<WorkerHealth> {
        self.health.subscribe()
    }

    /// Registers and runs jobs until `shutdown` fires and the running jobs have ended (or `drain_timeout` is over).
    ///
    /// # Errors
    /// [`WorkerError`], only if the very first registration fails.
    pub async fn run(&self, entry: Arc<dyn JobEntry>, shutdown: CancellationToken) -> Result<(), WorkerError> {
        let url = ServerUrl::parse(&self.options.url)?;
        let (events, link_events) = mpsc::channel(INCOMING);
        let (to_server, outgoing) = mpsc::channel(OUTGOING);
        let cancel = CancellationToken::new();
        let _stop_link = cancel.clone().drop_guard();
        let link = Link { url: url.clone(), options: self.options.clone(), events, outgoing, cancel: cancel.clone() };
        let link = tokio::spawn(link.run());
        let runner = Runner {
            table: JobTable::new(self.options.max_jobs, self.options.load_threshold),
            options: &self.options,
            url,
            entry,
            to_server,
            tasks: JoinSet::new(),
            handles: HashMap::new(),
            health: &self.health,
        };
        let result = runner.run(link_events, shutdown).await;
        cancel.cancel();
        if let Err(error) = link.await {
            tracing::error!(panicked = error.is_panic(), "the worker's link ended badly");
        }
        self.health.send_replace(WorkerHealth::default());
        result
    }
}

struct Runner<'a> {
    options: &'a WorkerOptions,
    url: ServerUrl,
    entry: Arc<dyn JobEntry>,
    to_server: mpsc::Sender<ToServer>,
    table: JobTable,
    /// Tasks answer with their job's id; a panicked one is looked up by its own.
    tasks: JoinSet<Ended>,
    handles: HashMap<String, AbortHandle>,
    health: &'a watch::Sender<WorkerHealth>,
}

impl Runner<'_> {
    async fn run(mut self, mut link: mpsc::Receiver<LinkEvent>, shutdown: CancellationToken) -> Result<(), WorkerError> {
        let mut tick = tokio::time::interval(REPORT_INTERVAL);
        // Aborting an overdue job must not wait for the next report.
        let mut house = tokio::time::interval(Duration::from_millis(250));
        let mut drain_until = None;
        loop {
            tokio::select! {
                () = shutdown.cancelled(), if drain_until.is_none() => {
                    tracing::info!(jobs = self.table.active(), "the worker drains");
                    drain_until = Some(Instant::now() + self.options.drain_timeout);
                    self.health.send_modify(|health| health.draining = true);
                    self.report();
                }
                event = link.recv() => match event {
                    Some(LinkEvent::Fatal(error)) => return Err(error),
                    Some(event) => self.on_link(event),
                    // The link only ends before us if it panicked; the jobs still have a room to serve.
                    None if drain_until.is_some() || self.tasks.is_empty() => return Ok(()),
                    None => tokio::time::sleep(REPORT_INTERVAL).await,
                },
                Some(ended) = self.tasks.join_next_with_id() => self.on_ended(ended),
                _ = tick.tick() => self.report(),
                _ = house.tick() => {
                    if drain_until.is_some_and(|until| until <= Instant::now()) {
                        self.table.stop_all(Instant::now(), self.options.stop_timeout);
                    }
                    self.abort_overdue();
                }
            }
            if drain_until.is_some() && self.table.active() == 0 && self.tasks.is_empty() {
                return Ok(());
            }
        }
    }

    fn on_link(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Up(worker_id) => {
                tracing::info!(%worker_id, agent_name = %self.options.agent_name, "registered with LiveKit");
                self.health.send_modify(|health| health.worker_id = Some(worker_id));
                self.report();
            }
            LinkEvent::Down => self.health.send_modify(|health| health.worker_id = None),
            LinkEvent::Message(message) => self.on_message(*message),
            LinkEvent::Fatal(_) => {}
        }
    }

    fn on_message(&mut self, message: FromServer) {
        match message {
            FromServer::Availability(request) => self.on_offer(&request.job.unwrap_or_default()),
            FromServer::Assignment(assignment) => self.on_assignment(assignment),
            FromServer::Termination(termination) => {
                tracing::info!(job_id = %termination.job_id, "job terminated by the server");
                self.table.stop(Instant::now(), &termination.job_id, self.options.stop_timeout);
                self.report();
            }
            _ => {}
        }
    }

    fn on_offer(&mut self, job: &proto::Job) {
        let request = JobRequest::from_proto(job);
        let available =
            !self.is_draining() && !self.table.is_full() && self.entry.accept(&request) && self.table.accept(Instant::now(), &job.id);
        tracing::debug!(job_id = %job.id, available, "job offered");
        self.send(ToServer::Availability(proto::AvailabilityResponse {
            job_id: job.id.clone(),
            available,
            participant_identity: identity(&job.id),
            participant_name: self.options.agent_name.clone(),
            participant_attributes: [("lk.agent.state".to_owned(), "initializing".to_owned())].into(),
            ..Default::default()
        }));
        self.report();
    }

    fn on_assignment(&mut self, assignment: proto::JobAssignment) {
        let assigned_at = std::time::Instant::now();
        let job = assignment.job.unwrap_or_default();
        let Some(stop) = self.table.start(&job.id) else { return };
        let request = JobRequest::from_proto(&job);
        let identity = job.state.as_ref().map(|state| state.participant_identity.clone());
        let context = JobContext {
            job_id: job.id.clone(),
            dispatch_id: job.dispatch_id,
            room: request.room,
            room_sid: job.room.map(|room| room.sid).unwrap_or_default(),
            url: assignment.url.filter(|url| !url.is_empty()).unwrap_or_else(|| self.url.to_string()),
            token: assignment.token,
            metadata: request.metadata,
            attributes: request.attributes,
            participant_identity: identity.filter(|id| !id.is_empty()).unwrap_or_else(|| self::identity(&job.id)),
            stop,
            assigned_at,
        };
        let (entry, job_id) = (self.entry.clone(), job.id.clone());
        let span = tracing::info_span!("job", job_id = %job.id);
        let task = async move { (job_id, entry.run(context).await) };
        let handle = self.tasks.spawn(task.instrument(span));
        self.handles.insert(job.id.clone(), handle);
        self.update_job(&job.id, proto::JobStatus::JsRunning, String::new());
        self.report();
    }

    fn on_ended(&mut self, ended: Result<(tokio::task::Id, Ended), JoinError>) {
        let (job_id, status, error) = match ended {
            Ok((_, (job_id, Ok(())))) => (job_id, proto::JobStatus::JsSuccess, String::new()),
            Ok((_, (job_id, Err(failure)))) => (job_id, proto::JobStatus::JsFailed, failure.to_string()),
            Err(error) => {
                let found = self.handles.iter().find(|(_, handle)| handle.id() == error.id());
                let Some(job_id) = found.map(|(id, _)| id.clone()) else { return };
                // What a panic says may be personal; the panic hook has printed where it happened.
                let reason = if error.is_panic() { "panicked" } else { "aborted: it did not stop in time" };
                (job_id, proto::JobStatus::JsFailed, reason.to_owned())
            }
        };
        if error.is_empty() {
            tracing::info!(%job_id, "job ended");
        } else {
            tracing::error!(%job_id, %error, "job failed");
        }
        self.handles.remove(&job_id);
        self.table.finish(&job_id);
        self.update_job(&job_id, status, error);
        self.report();
    }

    fn abort_overdue(&mut self) {
        for job_id in self.table.overdue(Instant::now()) {
            if let Some(handle) = self.handles.get(&job_id) {
                handle.abort();
            }
        }
    }

    fn is_draining(&self) -> bool {
        self.health.borrow().draining
    }

    fn report(&self) {
        let active = self.table.active();
        self.health.send_if_modified(|health| {
            let changed = health.active_jobs != active;
            health.active_jobs = active;
            changed
        });
        let (full, draining) = (self.table.is_full(), self.is_draining());
        let status = if full || draining { proto::WorkerStatus::WsFull } else { proto::WorkerStatus::WsAvailable };
        self.send(ToServer::UpdateWorker(proto::UpdateWorkerStatus {
            status: Some(status as i32),
            load: if draining { 1.0 } else { self.table.load() },
            job_count: active,
            draining,
            ..Default::default()
        }));
    }

    fn update_job(&self, job_id: &str, status: proto::JobStatus, error: String) {
        self.send(ToServer::UpdateJob(proto::UpdateJobStatus { job_id: job_id.to_owned(), status: status as i32, error }));
    }

    /// Never waits. While the link is down messages are of no use: the server has forgotten the worker's jobs, and the
    /// state is reported anew after registering.
    fn send(&self, message: ToServer) {
        if self.health.borrow().worker_id.is_some() && self.to_server.try_send(message).is_err() {
            tracing::warn!("message to the LiveKit server dropped: the connection does not keep up");
        }
    }
}

fn identity(job_id: &str) -> String {
    format!("agent-{job_id}")
}
