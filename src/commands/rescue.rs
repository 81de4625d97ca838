//! `frontdesk rescue`: looks after calls whose worker is gone, without answering any itself.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::operator::worker_principal;
use super::{CommandError, keyring, livekit_credentials, none_missing, required, shutdown_on_signals, start_logging};
use crate::config::Config;
use crate::reception::Reception;

/// Watches leases until told to stop.
pub(super) async fn run(config: Config) -> Result<(), CommandError> {
    start_logging(&config)?;
    let mut missing = Vec::new();
    let credentials = livekit_credentials(&config, &mut missing);
    required("database.url", config.database.url.as_ref(), &mut missing);
    if config.security.master_key_command.is_none() {
        required("security.master_key", config.security.master_key.as_ref(), &mut missing);
    }
    none_missing(missing)?;
    let Some(credentials) = credentials else { return Ok(()) };
    let keys = Arc::new(keyring(&config).await?);
    let shutdown = shutdown_on_signals()?;
    let principal = worker_principal("rescue");
    let reception = Arc::new(Reception::open(&config, keys, &principal).map_err(CommandError::new)?);
    let desk = reception.desk(&config.livekit.url, credentials, None).map_err(CommandError::new)?;
    reception.check_database().await.map_err(CommandError::new)?;
    tracing::info!("looking after calls whose worker is gone");
    let leasing_ends = CancellationToken::new();
    let rescuing = async {
        desk.run_rescue(config.livekit.agent_name.clone(), shutdown).await;
        leasing_ends.cancel();
    };
    // Without calls of its own, its renewals only tell how long Postgres has answered.
    tokio::join!(desk.run_leases(leasing_ends.clone()), rescuing);
    reception.close().await;
    tracing::info!("stopped");
    Ok(())
}
