//! `frontdesk connect`: answers the call in one room.

use std::time::Instant;

use frontdesk_livekit::api::{ParticipantToken, random_id};
use frontdesk_livekit::room::ParticipantKind;
use frontdesk_livekit::worker::{JobContext, JobEntry, JobKind};

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
    let job_id = random_id("local_");
    let mut token = ParticipantToken::new(&connect.room, format!("agent-{job_id}"));
    token.kind = ParticipantKind::Agent;
    token.name.clone_from(&config.livekit.agent_name);
    let server = desk.livekit();
    let rooms = server.list_rooms(&[&connect.room]).await.map_err(CommandError::new)?;
    let job = JobContext {
        room_sid: rooms.into_iter().next().map(|room| room.sid).unwrap_or_else(|| job_id.clone()),
        job_id,
        kind: JobKind::Room,
        dispatch_id: String::new(),
        room: connect.room,
        url: server.url().to_string(),
        token: server.participant_token(&token).map_err(CommandError::new)?,
        metadata: String::new(),
        attributes: Default::default(),
        participant: None,
        participant_identity: token.identity,
        stop,
        hurry,
        assigned_at: Instant::now(),
    };
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
