//! Decides about offers, runs and supervises jobs, reports status and load, and drains.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use livekit_protocol as proto;
use metrics::counter;
use proto::server_message::Message as FromServer;
use proto::worker_message::Message as ToServer;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::capacity::Capacity;
use super::error::WorkerError;
use super::job::{Acceptance, JobAnswer, JobContext, JobEntry, JobFailure, JobKind, JobRequest};
use super::link::{Link, LinkEvent};
use super::options::WorkerOptions;
use super::stall::{Beat, Deputy};
use super::table::JobTable;
use crate::server_url::ServerUrl;

/// How often status and load are reported, as LiveKit's own workers do.
const REPORT_INTERVAL: Duration = Duration::from_millis(2500);
/// Messages that may wait for the link.
const OUTGOING: usize = 256;
/// So many of them must fit before an event of the link is taken, for an answer may cause as many: an offer is never left unanswered
/// because others were quicker.
const ANSWERS: usize = 8;
/// How long jobs may take that were asked to end soon.
const HURRY_MAX: Duration = Duration::from_secs(60);
/// Simulations that may wait for the runner.
const SIMULATIONS: usize = 64;
/// Messages of the server that may wait for the runner.
const INCOMING: usize = 64;

/// Counter: jobs that were offered.
pub const OFFERED: &str = "frontdesk.worker.jobs_offered";
/// Counter: offers that were refused, by `reason`.
pub const REFUSED: &str = "frontdesk.worker.jobs_refused";
/// Counter: jobs that were assigned and begun.
pub const STARTED: &str = "frontdesk.worker.jobs_started";
/// Counter: jobs that ended, by `status`.
pub const ENDED: &str = "frontdesk.worker.jobs_ended";
/// Why an offer was refused that nobody shall have.
const TERMINATED: &str = "terminated";

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
    /// Since when it is not registered although it should be.
    pub down_since: Option<Instant>,
}

/// An agent worker.
#[derive(Debug)]
pub struct Worker {
    options: WorkerOptions,
    capacity: Capacity,
    health: watch::Sender<WorkerHealth>,
    hurry: CancellationToken,
    simulations: mpsc::Sender<String>,
    waiting_simulations: tokio::sync::Mutex<mpsc::Receiver<String>>,
}

/// Asks the server for jobs that nobody has dispatched.
#[derive(Debug, Clone)]
pub struct Simulator(mpsc::Sender<String>);

impl Simulator {
    /// Has the server offer this worker a job in a room of this name, whether there is one or not. `false` if the worker has ended, or
    /// too many are asked for at once; nothing is asked while it is not registered.
    #[must_use]
    pub fn simulate(&self, room: impl Into<String>) -> bool {
        self.0.try_send(room.into()).is_ok()
    }
}

impl Worker {
    /// A worker with these settings, which counts its jobs and no other load; connects in [`Worker::run`].
    #[must_use]
    pub fn new(options: WorkerOptions) -> Self {
        let capacity = Capacity::of_jobs(options.max_jobs, options.load_threshold);
        Self::sharing(options, capacity)
    }

    /// A worker that takes its places from `capacity`, as others of this process may.
    #[must_use]
    pub fn sharing(options: WorkerOptions, capacity: Capacity) -> Self {
        let (simulations, waiting) = mpsc::channel(SIMULATIONS);
        let (health, hurry) = (watch::Sender::default(), CancellationToken::new());
        Self { options, capacity, health, hurry, simulations, waiting_simulations: tokio::sync::Mutex::new(waiting) }
    }

    /// Whoever fires this asks running jobs to end politely, and soon: see [`JobContext::hurry`].
    #[must_use]
    pub fn hurried_by(mut self, hurry: CancellationToken) -> Self {
        self.hurry = hurry;
        self
    }

    /// Makes jobs that nobody has dispatched.
    #[must_use]
    pub fn simulator(&self) -> Simulator {
        Simulator(self.simulations.clone())
    }

    /// Its settings.
    #[must_use]
    pub const fn options(&self) -> &WorkerOptions {
        &self.options
    }

    /// The places for jobs.
    #[must_use]
    pub const fn capacity(&self) -> &Capacity {
        &self.capacity
    }

    /// How the worker is, now and in future.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<WorkerHealth> {
        self.health.subscribe()
    }

    /// Registers and runs jobs until `shutdown` fires and the running jobs have ended (or `drain_timeout` is over).
    ///
    /// # Errors
    /// [`WorkerError`], only if what jobs need cannot be got ready or the very first registration fails.
    pub async fn run(&self, entry: Arc<dyn JobEntry>, shutdown: CancellationToken) -> Result<(), WorkerError> {
        let url = ServerUrl::parse(&self.options.url)?;
        match shutdown.run_until_cancelled(entry.prewarm()).await {
            Some(warm) => warm.map_err(|JobFailure(reason)| WorkerError::Prewarm { reason })?,
            None => return Ok(()),
        }
        let (events, link_events) = mpsc::channel(INCOMING);
        let (to_server, outgoing) = mpsc::channel(OUTGOING);
        let cancel = CancellationToken::new();
        let _stop_link = cancel.clone().drop_guard();
        let beat = Beat::start(std::time::Instant::now());
        let (deputy, options) = (Deputy::new(beat.clone()), self.options.clone());
        let link = Link { url: url.clone(), options, events, outgoing, cancel: cancel.clone(), deputy };
        let link = link.start().map_err(|error| WorkerError::Prewarm { reason: format!("no thread for its connection: {error}") })?;
        self.health.send_modify(|health| health.down_since = Some(Instant::now()));
        let mut simulations = self.waiting_simulations.lock().await;
        let runner = Runner {
            table: JobTable::new(self.capacity.clone()),
            capacity: &self.capacity,
            hurry: &self.hurry,
            options: &self.options,
            url,
            entry,
            to_server,
            tasks: JoinSet::new(),
            handles: HashMap::new(),
            health: &self.health,
            beat,
        };
        let result = runner.run(link_events, &mut simulations, shutdown).await;
        cancel.cancel();
        if !link.ended().await {
            tracing::error!("the worker's link panicked");
        }
        self.health.send_replace(WorkerHealth::default());
        result
    }
}

struct Runner<'a> {
    options: &'a WorkerOptions,
    capacity: &'a Capacity,
    hurry: &'a CancellationToken,
    url: ServerUrl,
    entry: Arc<dyn JobEntry>,
    to_server: mpsc::Sender<ToServer>,
    table: JobTable,
    /// Tasks answer with their job's id; a panicked one is looked up by its own.
    tasks: JoinSet<Ended>,
    handles: HashMap<String, AbortHandle>,
    health: &'a watch::Sender<WorkerHealth>,
    /// Beats while the runner comes round.
    beat: Beat,
}

impl Runner<'_> {
    async fn run(
        mut self,
        mut link: mpsc::Receiver<LinkEvent>,
        simulations: &mut mpsc::Receiver<String>,
        shutdown: CancellationToken,
    ) -> Result<(), WorkerError> {
        let to_server = self.to_server.clone();
        let mut full = self.capacity.full();
        let mut tick = tokio::time::interval(REPORT_INTERVAL);
        // Aborting an overdue job must not wait for the next report.
        let mut house = tokio::time::interval(Duration::from_millis(250));
        let (mut drain_until, mut hurried) = (None, false);
        loop {
            tokio::select! {
                () = shutdown.cancelled(), if drain_until.is_none() => {
                    tracing::info!(jobs = self.table.active(), "the worker drains");
                    drain_until = Some(Instant::now() + self.options.drain_timeout);
                    self.health.send_modify(|health| health.draining = true);
                    self.report();
                }
                () = self.hurry.cancelled(), if !hurried => {
                    hurried = true;
                    let soon = Instant::now() + HURRY_MAX.min(self.options.drain_timeout);
                    drain_until = Some(drain_until.map_or(soon, |until: Instant| until.min(soon)));
                    self.health.send_modify(|health| health.draining = true);
                    self.report();
                }
                event = next_event(&to_server, &mut link) => match event {
                    Some(LinkEvent::Fatal(error)) => return Err(error),
                    Some(event) => self.on_link(event),
                    // The link only ends before us if it panicked; the jobs still have a room to serve.
                    None if drain_until.is_some() || self.tasks.is_empty() => return Ok(()),
                    None => tokio::time::sleep(REPORT_INTERVAL).await,
                },
                Some(ended) = self.tasks.join_next_with_id(), if to_server.capacity() >= ANSWERS => self.on_ended(ended),
                Some(room) = simulations.recv() => self.simulate(room),
                Ok(()) = full.changed() => {
                    tracing::info!(full = *full.borrow_and_update(), load = self.capacity.standing().load, "whether another job is taken");
                    self.report();
                }
                _ = tick.tick() => self.report(),
                _ = house.tick() => {
                    self.beat.beat(std::time::Instant::now());
                    self.capacity.sample(Instant::now());
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
                self.health.send_modify(|health| (health.worker_id, health.down_since) = (Some(worker_id), None));
                let job_ids = self.table.running();
                if !job_ids.is_empty() {
                    // They live on their rooms' connections; a server that keeps account of jobs learns whose they are now.
                    self.send(ToServer::MigrateJob(proto::MigrateJobRequest { job_ids }));
                }
                self.report();
            }
            LinkEvent::Down => self.health.send_modify(|health| (health.worker_id, health.down_since) = (None, Some(Instant::now()))),
            LinkEvent::Message(message) => self.on_message(*message),
            LinkEvent::Fatal(_) => {}
        }
    }

    fn on_message(&mut self, message: FromServer) {
        match message {
            FromServer::Availability(request) => self.on_offer(&request.job.unwrap_or_default(), request.resuming),
            FromServer::Assignment(assignment) => self.on_assignment(assignment),
            FromServer::Termination(termination) => {
                tracing::info!(job_id = %termination.job_id, "job terminated by the server");
                self.table.stop(Instant::now(), &termination.job_id, self.options.stop_timeout);
                self.report();
            }
            _ => {}
        }
    }

    fn on_offer(&mut self, job: &proto::Job, resuming: bool) {
        let request = JobRequest::from_proto(job, resuming);
        let answer = self.decide(&request);
        let refusal = answer.as_ref().err().copied();
        tracing::debug!(job_id = %job.id, refusal, "job offered");
        counter!(OFFERED).increment(1);
        if let Some(reason) = refusal {
            counter!(REFUSED, "reason" => reason).increment(1);
        }
        let mut response = proto::AvailabilityResponse { job_id: job.id.clone(), ..Default::default() };
        response.terminate = refusal == Some(TERMINATED);
        if let Ok(acceptance) = answer {
            response.available = true;
            response.participant_identity = acceptance.identity.unwrap_or_else(|| identity(&job.id));
            response.participant_name = acceptance.name.unwrap_or_else(|| self.options.agent_name.clone());
            response.participant_metadata = acceptance.metadata;
            response.participant_attributes = acceptance.attributes.into_iter().collect();
            response.participant_attributes.insert("lk.agent.state".to_owned(), "initializing".to_owned());
        }
        self.send(ToServer::Availability(response));
        self.count();
    }

    /// As whom the job is taken, or why not. A place that is taken for it stays taken until the job ends or is not assigned in time.
    fn decide(&mut self, request: &JobRequest) -> Result<Acceptance, &'static str> {
        if self.is_draining() {
            return Err("draining");
        }
        if !self.options.filter.admits(request) {
            return Err("filtered");
        }
        if !self.table.accept(Instant::now(), &request.job_id) {
            return Err("full");
        }
        let refused = match self.entry.answer(request) {
            JobAnswer::Accept(acceptance) => return Ok(acceptance),
            JobAnswer::Refuse => "unwanted",
            JobAnswer::Terminate => TERMINATED,
        };
        self.table.give_back(&request.job_id);
        Err(refused)
    }

    fn simulate(&mut self, room: String) {
        let room = proto::Room { name: room, ..Default::default() };
        let kind = JobKind::Room.to_proto() as i32;
        self.send(ToServer::SimulateJob(proto::SimulateJobRequest { r#type: kind, room: Some(room), participant: None }));
    }

    fn on_assignment(&mut self, assignment: proto::JobAssignment) {
        let assigned_at = std::time::Instant::now();
        let job = assignment.job.unwrap_or_default();
        let Some(stop) = self.table.start(Instant::now(), &job.id) else { return };
        counter!(STARTED).increment(1);
        let request = JobRequest::from_proto(&job, false);
        let identity = job.state.as_ref().map(|state| state.participant_identity.clone());
        let context = JobContext {
            job_id: job.id.clone(),
            kind: request.kind,
            dispatch_id: job.dispatch_id,
            room: request.room,
            room_sid: job.room.map(|room| room.sid).unwrap_or_default(),
            url: assignment.url.filter(|url| !url.is_empty()).unwrap_or_else(|| self.url.to_string()),
            token: assignment.token,
            metadata: request.metadata,
            attributes: request.attributes,
            participant: request.participant,
            participant_identity: identity.filter(|id| !id.is_empty()).unwrap_or_else(|| self::identity(&job.id)),
            stop,
            hurry: self.hurry.clone(),
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
        counter!(ENDED, "status" => if error.is_empty() { "success" } else { "failed" }).increment(1);
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

    fn count(&self) {
        let active = self.table.active();
        self.health.send_if_modified(|health| std::mem::replace(&mut health.active_jobs, active) != active);
    }

    /// Tells the server how much this worker has taken on. Full and available are told at once, for the capacity says when that changes;
    /// all else may wait for the next report.
    fn report(&self) {
        self.count();
        let (standing, draining) = (self.capacity.standing(), self.is_draining());
        let status = if standing.is_full || draining { proto::WorkerStatus::WsFull } else { proto::WorkerStatus::WsAvailable };
        self.send(ToServer::UpdateWorker(proto::UpdateWorkerStatus {
            status: Some(status as i32),
            load: if draining { 1.0 } else { standing.load },
            job_count: self.table.active(),
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

/// The next event, once what it may cause to be sent has room. Cancel-safe. While the link is down it takes what is sent and forgets it,
/// so that there is room again.
async fn next_event(to_server: &mpsc::Sender<ToServer>, link: &mut mpsc::Receiver<LinkEvent>) -> Option<LinkEvent> {
    // Fails only when the link has ended, of which the events' end tells.
    let _room = to_server.reserve_many(ANSWERS).await.ok();
    link.recv().await
}

fn identity(job_id: &str) -> String {
    format!("agent-{job_id}")
}
