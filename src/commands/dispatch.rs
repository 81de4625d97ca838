//! `frontdesk dispatch`: asks for the agent in a room.

use frontdesk_livekit::api::{AgentDispatch, LiveKit, NewRoom};

use super::{CommandError, livekit_credentials, none_missing};
use crate::cli::Dispatch;
use crate::config::Config;

/// Prints the dispatch's id.
pub(super) async fn run(dispatch: Dispatch, config: &Config) -> Result<(), CommandError> {
    let mut missing = Vec::new();
    let credentials = livekit_credentials(config, &mut missing);
    none_missing(missing)?;
    let Some(credentials) = credentials else { return Ok(()) };
    let server = LiveKit::new(&config.livekit.url, credentials).map_err(CommandError::new)?;
    let Dispatch { room, agent, metadata, attributes } = dispatch;
    let agent_name = agent.unwrap_or_else(|| config.livekit.agent_name.clone());
    let wanted = AgentDispatch { agent_name, metadata, attributes: attributes.into_iter().collect() };
    server.create_room(&NewRoom { name: room.clone(), ..NewRoom::default() }).await.map_err(CommandError::new)?;
    let id = server.create_dispatch(&room, &wanted).await.map_err(CommandError::new)?;
    println!("{id}");
    Ok(())
}
