//! `frontdesk start`: the worker.

use std::sync::Arc;
use std::time::Duration;

use frontdesk_livekit::worker::{FirstRegistration, Worker, WorkerOptions};

use super::{CommandError, keyring, livekit_credentials, none_missing, required, shutdown_on_signals, start_logging};
use crate::config::{Config, Environment};
use crate::notifications::Outside;
use crate::reception::Reception;

/// Registers with LiveKit and answers calls until told to stop.
pub(super) async fn run(config: Config) -> Result<(), CommandError> {
    start_logging(&config)?;
    let mut missing = Vec::new();
    let credentials = livekit_credentials(&config, &mut missing);
    let database = required("database.url", config.database.url.as_ref(), &mut missing);
    required("stt.api_key", config.stt.api_key.as_ref(), &mut missing);
    required("llm.api_key", config.llm.api_key.as_ref(), &mut missing);
    let master = required("security.master_key", config.security.master_key.as_ref(), &mut missing);
    none_missing(missing)?;
    let (Some(credentials), Some(_), Some(master)) = (credentials, database, master) else { return Ok(()) };

    let keys = Arc::new(keyring(master)?);
    let shutdown = shutdown_on_signals()?;
    let reception = Reception::open(&config, Arc::clone(&keys), credentials.clone()).map_err(CommandError::new)?;
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
    let outcome = Worker::new(options).run(Arc::clone(&reception) as _, shutdown).await;
    // The last calls have told what they had to tell; what is not sent by now, another worker sends.
    outside.stop().await;
    reception.close().await;
    outcome.map_err(CommandError::new)?;
    tracing::info!("stopped");
    Ok(())
}
