//! `frontdesk start`: the worker.

use std::sync::Arc;
use std::time::Duration;

use frontdesk_clinic::Keyring;
use frontdesk_livekit::worker::{FirstRegistration, Worker, WorkerOptions};

use tokio_util::sync::CancellationToken;

use super::operator::worker_principal;
use super::{CommandError, keyring, livekit_credentials, none_missing, required, shutdown_on_signals, start_logging};
use crate::config::{self, Config, Environment, Sources};
use crate::notifications::Outside;
use crate::reception::Reception;

/// Registers with LiveKit and answers calls until told to stop.
pub(super) async fn run(config: Config, sources: &Sources) -> Result<(), CommandError> {
    start_logging(&config)?;
    let mut missing = Vec::new();
    let credentials = livekit_credentials(&config, &mut missing);
    let database = required("database.url", config.database.url.as_ref(), &mut missing);
    required("stt.api_key", config.stt.api_key.as_ref(), &mut missing);
    required("llm.api_key", config.llm.api_key.as_ref(), &mut missing);
    if config.security.master_key_command.is_none() {
        required("security.master_key", config.security.master_key.as_ref(), &mut missing);
    }
    none_missing(missing)?;
    let (Some(credentials), Some(_)) = (credentials, database) else { return Ok(()) };

    let keys = Arc::new(keyring(&config).await?);
    let shutdown = shutdown_on_signals()?;
    renew_keys_on_signal(Arc::clone(&keys), sources.clone())?;
    let principal = worker_principal(&config.livekit.agent_name);
    let reception = Reception::open(&config, Arc::clone(&keys), credentials.clone(), &principal).map_err(CommandError::new)?;
    reception.check_database().await.map_err(CommandError::new)?;
    if config.calls.dir.is_some() {
        tracing::warn!("calls.dir is set: records, and recordings if enabled, are written to disk unencrypted");
    }

    let mut options = WorkerOptions::new(&config.livekit.url, credentials, &config.livekit.agent_name);
    options.max_jobs = config.worker.max_jobs;
    options.load_threshold = config.worker.load_threshold;
    options.drain_timeout = Duration::from_secs(config.worker.drain_timeout_s);
    // Behind an orchestrator the server may start later than the worker; at a desk a wrong address should show at once.
    options.first_registration = match config.environment {
        Environment::Production => FirstRegistration::KeepTrying,
        Environment::Development | Environment::Staging => FirstRegistration::FailFast,
    };
    let outside = Outside::open(&config, reception.tenants(), reception.database(), keys).map_err(CommandError::new)?;
    let outside = outside.start();
    let reception = Arc::new(reception);
    let sealing_ends = CancellationToken::new();
    let sealer = tokio::spawn({
        let (reception, sealing_ends) = (Arc::clone(&reception), sealing_ends.clone());
        async move { reception.run_sealer(sealing_ends).await }
    });
    let leasing_ends = CancellationToken::new();
    let leasing = tokio::spawn({
        let (reception, ends) = (Arc::clone(&reception), leasing_ends.clone());
        async move { reception.run_leases(ends).await }
    });
    let rescuing_ends = shutdown.child_token();
    let rescuing = config.worker.rescue.then(|| {
        let (reception, ends, agent) = (Arc::clone(&reception), rescuing_ends.clone(), config.livekit.agent_name.clone());
        tokio::spawn(async move { reception.run_rescue(agent, ends).await })
    });
    let outcome = Worker::new(options).run(Arc::clone(&reception) as _, shutdown).await;
    rescuing_ends.cancel();
    if let Some(rescuing) = rescuing
        && let Err(error) = rescuing.await
    {
        tracing::error!(%error, "looking after lost calls failed");
    }
    // No call is left whose lease could be renewed.
    leasing_ends.cancel();
    if let Err(error) = leasing.await {
        tracing::error!(%error, "the keeper of leases failed");
    }
    // The last calls have told what they had to tell; what is not sent by now, another worker sends.
    outside.stop().await;
    // Only now, so that what the last calls did is sealed, too.
    sealing_ends.cancel();
    if let Err(error) = sealer.await {
        tracing::error!(%error, "the sealer of the audit log failed");
    }
    reception.close().await;
    outcome.map_err(CommandError::new)?;
    tracing::info!("stopped");
    Ok(())
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
