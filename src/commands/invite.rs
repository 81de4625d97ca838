//! How to talk with the worker of one's own machine in a browser: a link for each of the first clinics.

use frontdesk_clinic::TenantDirectory;
use frontdesk_livekit::Credentials;
use frontdesk_livekit::api::{AgentDispatch, LiveKit, ParticipantToken, RoomSettings, random_id};
use frontdesk_livekit::worker::TENANT_ATTRIBUTE;

use super::CommandError;
use crate::config::{Config, Environment};

/// A page of LiveKit's that joins whatever server it is given; the browser alone connects there.
const PAGE: &str = "https://meet.livekit.io/custom";
/// So many clinics get a link.
const LINKS_MAX: usize = 3;

/// Links with tokens that are good for an hour; none but in development.
///
/// # Errors
/// The clinics cannot be read, or no token can be signed.
pub(super) fn links(config: &Config, credentials: &Credentials) -> Result<Vec<String>, CommandError> {
    if config.environment != Environment::Development {
        return Ok(Vec::new());
    }
    let tenants = TenantDirectory::load(&config.tenants.dir).map_err(CommandError::new)?;
    let server = LiveKit::new(&config.livekit.url, credentials.clone()).map_err(CommandError::new)?;
    tenants.iter().take(LINKS_MAX).map(|tenant| link(&server, &config.livekit.agent_name, tenant.id.as_str())).collect()
}

/// A room of its own, to which the agent comes with whoever follows the link.
fn link(server: &LiveKit, agent_name: &str, tenant: &str) -> Result<String, CommandError> {
    let mut token = ParticipantToken::new(random_id("playground-"), "visitor");
    token.attributes.insert(TENANT_ATTRIBUTE.into(), tenant.into());
    token.room_settings = Some(RoomSettings { agents: vec![AgentDispatch::new(agent_name, "")], ..RoomSettings::default() });
    let jwt = server.participant_token(&token).map_err(CommandError::new)?;
    let query: String = form_urlencoded::Serializer::new(String::new())
        .append_pair("liveKitUrl", &server.url().to_string())
        .append_pair("token", &jwt)
        .finish();
    Ok(format!("{tenant}: {PAGE}?{query}"))
}
