//! `frontdesk connect`: answers the call in one room.

use frontdesk_livekit::worker::{JobContext, JobEntry};
use tokio_util::sync::CancellationToken;

use super::{CommandError, shutdown_in_two_steps, start, start_logging};
use crate::cli::Connect;
use crate::config::Config;

/// Joins, converses, hangs up. The first signal has the agent say goodbye, the second ends the call at once.
pub(super) async fn run(connect: Connect, config: &Config) -> Result<(), CommandError> {
    start_logging(config)?;
    let (hurry, stop) = shutdown_in_two_steps()?;
    let (reception, _keys, credentials) = start::open(config).await?;
    let desk = reception.desk(&config.livekit.url, credentials, connect.tenant.as_deref()).map_err(CommandError::new)?;
    let job = JobContext::undispatched(desk.livekit(), &connect.room, &config.livekit.agent_name).await.map_err(CommandError::new)?;
    let job = JobContext { stop, hurry, ..job };
    let ends = CancellationToken::new();
    let call = async {
        let outcome = desk.run(job).await;
        ends.cancel();
        outcome
    };
    let (outcome, ()) = tokio::join!(call, desk.run_leases(ends.clone()));
    reception.close().await;
    outcome.map_err(CommandError::new)
}
