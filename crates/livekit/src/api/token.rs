//! Access tokens: JSON Web Tokens that say who may do what in which room.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use livekit_api::access_token::{AccessToken, AccessTokenError, VideoGrants};
use livekit_protocol as proto;
use rand::Rng as _;

use super::client::AgentDispatch;
use crate::credentials::Credentials;
use crate::room::ParticipantKind;

/// How long a participant's token may be used to join, unless told otherwise.
const DEFAULT_TTL: Duration = Duration::from_secs(3600);

/// Why no token could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// A participant needs an identity and a room.
    #[error("a participant's token needs {0}")]
    Missing(&'static str),
    /// Key or secret are empty, or signing failed.
    #[error("cannot sign an access token: {0}")]
    Sign(String),
}

impl From<AccessTokenError> for TokenError {
    fn from(error: AccessTokenError) -> Self {
        Self::Sign(error.to_string())
    }
}

/// What a participant's token grants. `Debug` hides identity, name and attributes: they may hold a caller's number.
#[derive(Clone)]
pub struct ParticipantToken {
    /// The room that may be joined.
    pub room: String,
    /// Unique in the room; a second participant of the same identity replaces the first.
    pub identity: String,
    /// Shown to others; may be empty.
    pub name: String,
    /// What others see the participant as.
    pub kind: ParticipantKind,
    /// Attributes from the first moment on.
    pub attributes: BTreeMap<String, String>,
    /// Free text that others see.
    pub metadata: String,
    /// How long the token may be used to join.
    pub ttl: Duration,
    /// How the room is made if it does not exist yet.
    pub room_settings: Option<RoomSettings>,
}

impl ParticipantToken {
    /// A standard participant that may publish, subscribe, send data and set its own attributes.
    pub fn new(room: impl Into<String>, identity: impl Into<String>) -> Self {
        Self {
            room: room.into(),
            identity: identity.into(),
            name: String::new(),
            kind: ParticipantKind::Standard,
            attributes: BTreeMap::new(),
            metadata: String::new(),
            ttl: DEFAULT_TTL,
            room_settings: None,
        }
    }
}

impl fmt::Debug for ParticipantToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParticipantToken").field("kind", &self.kind).field("ttl", &self.ttl).finish_non_exhaustive()
    }
}

/// How a room is made when its first participant joins.
#[derive(Debug, Clone, Default)]
pub struct RoomSettings {
    /// Seconds after which a room that nobody joined is deleted; 0 takes the server's default.
    pub empty_timeout_s: u32,
    /// Seconds after which a room that everybody left is deleted; 0 takes the server's default.
    pub departure_timeout_s: u32,
    /// How many may join; 0 is no limit.
    pub max_participants: u32,
    /// Agents that are dispatched to the room.
    pub agents: Vec<AgentDispatch>,
}

impl RoomSettings {
    fn to_proto(&self) -> proto::RoomConfiguration {
        proto::RoomConfiguration {
            empty_timeout: self.empty_timeout_s,
            departure_timeout: self.departure_timeout_s,
            max_participants: self.max_participants,
            agents: self.agents.iter().map(AgentDispatch::to_proto).collect(),
            ..Default::default()
        }
    }
}

/// A random identifier of 12 characters after a prefix, e.g. `room_x8k2…`; unguessable enough for a room's name.
#[must_use]
pub fn random_id(prefix: &str) -> String {
    let mut rng = rand::rng();
    let random = (0..12).map(|_| char::from(b"0123456789abcdefghijkmnpqrstvwxyz"[rng.random_range(0..33)]));
    prefix.chars().chain(random).collect()
}

pub(super) fn participant(credentials: &Credentials, token: &ParticipantToken) -> Result<String, TokenError> {
    if token.identity.is_empty() {
        return Err(TokenError::Missing("an identity"));
    }
    if token.room.is_empty() {
        return Err(TokenError::Missing("a room"));
    }
    let grants = VideoGrants {
        room_join: true,
        room: token.room.clone(),
        can_publish: Some(true),
        can_subscribe: Some(true),
        can_publish_data: Some(true),
        can_update_own_metadata: Some(true),
        agent: token.kind == ParticipantKind::Agent,
        ..VideoGrants::default()
    };
    let mut jwt = AccessToken::with_api_key(credentials.key(), credentials.secret())
        .with_ttl(token.ttl)
        .with_grants(grants)
        .with_identity(&token.identity)
        .with_name(&token.name)
        .with_kind(token.kind.as_claim())
        .with_metadata(&token.metadata)
        .with_attributes(token.attributes.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    if let Some(settings) = &token.room_settings {
        jwt = jwt.with_room_config(settings.to_proto());
    }
    Ok(jwt.to_jwt()?)
}

/// The token with which a worker registers.
pub(crate) fn worker(credentials: &Credentials) -> Result<String, TokenError> {
    let grants = VideoGrants { agent: true, ..VideoGrants::default() };
    let token = AccessToken::with_api_key(credentials.key(), credentials.secret());
    Ok(token.with_ttl(DEFAULT_TTL).with_grants(grants).to_jwt()?)
}

#[cfg(test)]
mod tests {
    use livekit_api::access_token::Claims;

    use super::*;

    #[test]
    fn a_sip_participant_carries_kind_attributes_and_dispatch() {
        let mut token = ParticipantToken::new("room", "sip_1");
        token.kind = ParticipantKind::Sip;
        token.attributes.insert("sip.callID".into(), "abc".into());
        let agent = AgentDispatch { agent_name: "frontdesk".into(), metadata: "{}".into(), attributes: BTreeMap::new() };
        token.room_settings = Some(RoomSettings { agents: vec![agent], ..RoomSettings::default() });
        let jwt = participant(&Credentials::new("key", "secret-secret-secret-secret-secret"), &token).unwrap();
        let claims = Claims::from_unverified(&jwt).unwrap();
        assert_eq!((claims.kind.as_str(), claims.sub.as_str(), claims.video.room.as_str()), ("sip", "sip_1", "room"));
        assert_eq!(claims.attributes["sip.callID"], "abc");
        assert_eq!(claims.room_config.unwrap().agents[0].agent_name, "frontdesk");
        assert!(!format!("{token:?}").contains("sip_1"));
    }

    #[test]
    fn a_token_without_identity_or_room_is_refused() {
        let credentials = Credentials::new("key", "secret");
        assert!(participant(&credentials, &ParticipantToken::new("", "me")).is_err());
        assert!(participant(&credentials, &ParticipantToken::new("room", "")).is_err());
    }

    #[test]
    fn a_worker_may_only_register() {
        let claims = Claims::from_unverified(&worker(&Credentials::new("key", "secret")).unwrap()).unwrap();
        assert!(claims.video.agent && !claims.video.room_join && !claims.video.room_admin);
    }

    #[test]
    fn random_ids_differ() {
        assert_ne!(random_id("room_"), random_id("room_"));
        assert_eq!(random_id("room_").len(), 17);
    }
}
