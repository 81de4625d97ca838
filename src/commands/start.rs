//! `frontdesk start`: the worker.

use std::sync::Arc;
use std::time::Duration;

use frontdesk_clinic::Keyring;
use frontdesk_livekit::Credentials;
use frontdesk_livekit::worker::{Capacity, FirstRegistration, JobsAlone, LoadSample, LoadSource, MachineLoad, Worker, WorkerOptions};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::operator::worker_principal;
use super::{CommandError, keyring, livekit_credentials, none_missing, required, shutdown_in_two_steps, start_logging};
use crate::config::{self, Config, Environment, Sources};
use crate::health::{Pages, Shown, of_clinics};
use crate::notifications::Outside;
use crate::reception::{Desk, Reception};
use crate::recordings::run_sweeper;

/// A LiveKit server to register with.
struct Server {
    url: String,
    credentials: Credentials,
    tenant: Option<String>,
}

/// What a worker needs before it can answer calls, or what is missing of it.
pub(super) async fn open(config: &Config) -> Result<(Arc<Reception>, Arc<Keyring>, Credentials), CommandError> {
    let mut missing = Vec::new();
    let credentials = livekit_credentials(config, &mut missing);
    required("database.url", config.database.url.as_ref(), &mut missing);
    required("stt.api_key", config.stt.api_key.as_ref(), &mut missing);
    required("llm.api_key", config.llm.api_key.as_ref(), &mut missing);
    if config.security.master_key_command.is_none() {
        required("security.master_key", config.security.master_key.as_ref(), &mut missing);
    }
    none_missing(missing)?;
    let credentials = credentials.ok_or_else(|| CommandError::new("the LiveKit credentials are missing"))?;
    let keys = Arc::new(keyring(config).await?);
    let principal = worker_principal(&config.livekit.agent_name);
    let reception = Reception::open(config, Arc::clone(&keys), &principal).map_err(CommandError::new)?;
    reception.check_database().await.map_err(CommandError::new)?;
    if config.calls.dir.is_some() {
        let is_plain = config.calls.record_audio && config.calls.recordings_dir.is_none();
        let what = if is_plain { "records and recordings" } else { "records" };
        tracing::warn!("calls.dir is set: {what} are written to disk unencrypted");
    }
    Ok((Arc::new(reception), keys, credentials))
}

/// A load, while no call blocks a thread of the process; with one, the worker is full until the thread comes back.
#[derive(Debug)]
struct UnlessBlocked<S>(S);

impl<S: LoadSource> LoadSource for UnlessBlocked<S> {
    fn sample(&mut self) -> LoadSample {
        LoadSample { is_blocked: frontdesk_agent::session::blocked_threads() > 0, ..self.0.sample() }
    }
}

/// Registers with LiveKit and answers calls until told to stop.
pub(super) async fn run(config: Config, sources: &Sources) -> Result<(), CommandError> {
    start_logging(&config)?;
    // Before anything that takes its time, so that a signal meanwhile is heeded.
    let (shutdown, hurry) = shutdown_in_two_steps()?;
    let (reception, keys, credentials) = open(&config).await?;
    renew_keys_on_signal(Arc::clone(&keys), sources.clone())?;

    // A machine at which others work is busy for reasons of its own.
    let (max_jobs, load_threshold) = (config.worker.max_jobs, config.worker.load_threshold);
    let capacity = match config.environment {
        Environment::Development => Capacity::new(max_jobs, load_threshold, UnlessBlocked(JobsAlone)),
        Environment::Staging | Environment::Production => Capacity::new(max_jobs, load_threshold, UnlessBlocked(MachineLoad::start())),
    };
    let (mut workers, mut health, mut apis, mut desks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for server in servers(&config, credentials)? {
        let desk = reception.desk(&server.url, server.credentials.clone(), server.tenant.as_deref()).map_err(CommandError::new)?;
        apis.push(Arc::clone(desk.livekit()));
        let worker = Worker::sharing(options(&config, &server), capacity.clone()).hurried_by(hurry.clone());
        health.push(worker.health());
        let desk = Arc::new(desk);
        desks.push(Arc::clone(&desk));
        workers.push((worker, desk));
    }
    let probes = of_clinics(&config, &reception, apis);
    let shown = Shown { agent_name: config.livekit.agent_name.clone(), workers: health, capacity, probes };
    let pages = Pages::open(&config, shown).await.map_err(CommandError)?;
    let outside = Outside::open(&config, &reception.clinics().tenants, reception.database(), keys).map_err(CommandError::new)?;
    let outside = outside.start();
    let sealing_ends = CancellationToken::new();
    let sealer = tokio::spawn({
        let (reception, sealing_ends) = (Arc::clone(&reception), sealing_ends.clone());
        async move { reception.run_sealer(sealing_ends).await }
    });
    let following_ends = CancellationToken::new();
    let following = tokio::spawn({
        let (reception, following_ends) = (Arc::clone(&reception), following_ends.clone());
        async move { reception.follow_files(following_ends).await }
    });
    let sweeper = tokio::spawn(run_sweeper(config.calls.clone(), reception.database().clone(), following_ends.clone()));
    let care = Care::begin(&desks, config.worker.rescue.then_some(config.livekit.agent_name.as_str()), &shutdown);
    let outcome = serve(workers, &shutdown).await;
    following_ends.cancel();
    if let Err(error) = following.await {
        tracing::error!(%error, "changes of the clinics' files are not taken up any more");
    }
    if let Err(error) = sweeper.await {
        tracing::error!(%error, "the sweeper of recordings failed");
    }
    care.end().await;
    // The last calls have told what they had to tell; what is not sent by now, another worker sends.
    outside.stop().await;
    // Only now, so that what the last calls did is sealed, too.
    sealing_ends.cancel();
    if let Err(error) = sealer.await {
        tracing::error!(%error, "the sealer of the audit log failed");
    }
    if let Some(pages) = pages {
        pages.close().await;
    }
    reception.close().await;
    outcome?;
    tracing::info!("stopped");
    Ok(())
}

/// Looks after leases: those of this process's calls, and those that others have lost.
struct Care {
    leasing: JoinSet<()>,
    leasing_ends: CancellationToken,
    rescuing: JoinSet<()>,
    rescuing_ends: CancellationToken,
}

impl Care {
    /// `rescued_by` names the agent that is sent for when a call has lost its worker; without it, nobody is.
    fn begin(desks: &[Arc<Desk>], rescued_by: Option<&str>, shutdown: &CancellationToken) -> Self {
        let (leasing_ends, rescuing_ends) = (CancellationToken::new(), shutdown.child_token());
        let (mut leasing, mut rescuing) = (JoinSet::new(), JoinSet::new());
        for desk in desks {
            let (leased, ends) = (Arc::clone(desk), leasing_ends.clone());
            leasing.spawn(async move { leased.run_leases(ends).await });
            if let Some(agent) = rescued_by.map(str::to_owned) {
                let (desk, ends) = (Arc::clone(desk), rescuing_ends.clone());
                rescuing.spawn(async move { desk.run_rescue(agent, ends).await });
            }
        }
        Self { leasing, leasing_ends, rescuing, rescuing_ends }
    }

    /// When no call is left whose lease could be renewed.
    async fn end(mut self) {
        self.rescuing_ends.cancel();
        while let Some(ended) = self.rescuing.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "looking after lost calls failed");
            }
        }
        self.leasing_ends.cancel();
        while let Some(ended) = self.leasing.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "the keeper of leases failed");
            }
        }
    }
}

/// Runs all workers to their ends. If one cannot register at all, the others drain.
async fn serve(workers: Vec<(Worker, Arc<Desk>)>, shutdown: &CancellationToken) -> Result<(), CommandError> {
    let mut running = JoinSet::new();
    for (worker, desk) in workers {
        let shutdown = shutdown.clone();
        running.spawn(async move { worker.run(desk, shutdown).await });
    }
    let mut outcome = Ok(());
    while let Some(ended) = running.join_next().await {
        let ended = match ended {
            Ok(ended) => ended.map_err(CommandError::new),
            Err(error) => Err(CommandError(format!("a worker broke down: {error}"))),
        };
        if ended.is_err() {
            shutdown.cancel();
        }
        outcome = outcome.and(ended);
    }
    outcome
}

/// The servers to register with: the one of the settings, and the further ones.
fn servers(config: &Config, credentials: Credentials) -> Result<Vec<Server>, CommandError> {
    let mut servers = vec![Server { url: config.livekit.url.clone(), credentials, tenant: None }];
    for further in config.livekit.further().map_err(CommandError::new)? {
        let credentials = Credentials::new(further.api_key, further.api_secret.expose());
        servers.push(Server { url: further.url, credentials, tenant: further.tenant });
    }
    Ok(servers)
}

fn options(config: &Config, server: &Server) -> WorkerOptions {
    let mut options = WorkerOptions::new(&server.url, server.credentials.clone(), &config.livekit.agent_name);
    options.filter = config.worker.filter();
    options.drain_timeout = Duration::from_secs(config.worker.drain_timeout_s);
    // Behind an orchestrator the server may start later than the worker; at a desk a wrong address should show at once.
    options.first_registration = match config.environment {
        Environment::Production => FirstRegistration::KeepTrying,
        Environment::Development | Environment::Staging => FirstRegistration::FailFast,
    };
    options
}

/// Reads the keys again at each SIGHUP, so that another master key needs no restart. Keys that cannot be read change nothing.
fn renew_keys_on_signal(keys: Arc<Keyring>, sources: Sources) -> Result<(), CommandError> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hang_up = signal(SignalKind::hangup()).map_err(|error| CommandError(format!("cannot listen for signals: {error}")))?;
    tokio::spawn(async move {
        while hang_up.recv().await.is_some() {
            match renewed(&keys, &sources).await {
                Ok(version) => tracing::info!(version, "the keys were read again; what is new is sealed under this version"),
                Err(error) => tracing::error!(%error, "the keys cannot be read again; those in use stay"),
            }
        }
    });
    Ok(())
}

async fn renewed(keys: &Keyring, sources: &Sources) -> Result<u16, CommandError> {
    let newer = keyring(&config::load(sources)?).await?;
    keys.renew(&newer).map_err(CommandError::new)?;
    Ok(keys.current_version())
}
