//! Requests to the server API, each bounded in time.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use livekit_api::services::ServiceError;
use livekit_api::services::agent_dispatch::AgentDispatchClient;
use livekit_api::services::room::{CreateRoomOptions, RoomClient};
use livekit_api::services::sip::{SIPClient, TransferSIPParticipantOptions};
use livekit_protocol as proto;

use super::error::{ApiError, Failure, TransferError, classify, sip_status};
use super::token::{self, ParticipantToken};
use crate::credentials::Credentials;
use crate::room::Participant;
use crate::server_url::ServerUrl;
use crate::worker::{HandshakeError, handshake};

/// How long a request may take, connection included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// An agent to dispatch to a room.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AgentDispatch {
    /// The name that workers registered under.
    pub agent_name: String,
    /// Given to the job as it is.
    pub metadata: String,
    /// Given to the job as they are.
    pub attributes: BTreeMap<String, String>,
}

impl AgentDispatch {
    /// A dispatch by name with metadata.
    pub fn new(agent_name: impl Into<String>, metadata: impl Into<String>) -> Self {
        Self { agent_name: agent_name.into(), metadata: metadata.into(), attributes: BTreeMap::new() }
    }

    pub(super) fn to_proto(&self) -> proto::RoomAgentDispatch {
        proto::RoomAgentDispatch {
            agent_name: self.agent_name.clone(),
            metadata: self.metadata.clone(),
            attributes: self.attributes.clone().into_iter().collect(),
            ..Default::default()
        }
    }
}

impl fmt::Debug for AgentDispatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentDispatch").field("agent_name", &self.agent_name).finish_non_exhaustive()
    }
}

/// A room to make.
#[derive(Debug, Clone, Default)]
pub struct NewRoom {
    /// Its name, unique on the server.
    pub name: String,
    /// Seconds after which it is deleted if nobody joins; 0 takes the server's default.
    pub empty_timeout_s: u32,
    /// Seconds after which it is deleted when everybody has left; 0 takes the server's default.
    pub departure_timeout_s: u32,
    /// How many may join; 0 is no limit.
    pub max_participants: u32,
    /// Free text that participants see.
    pub metadata: String,
    /// Agents that are dispatched to it at once.
    pub agents: Vec<AgentDispatch>,
}

/// A room that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomInfo {
    /// Its name.
    pub name: String,
    /// The server's id of this room; a later room of the same name has another.
    pub sid: String,
}

/// A client of one server's API, and the maker of its tokens. `Debug` hides the secret.
#[derive(Debug)]
pub struct LiveKit {
    url: ServerUrl,
    credentials: Credentials,
    rooms: RoomClient,
    dispatches: AgentDispatchClient,
    sip: SIPClient,
}

impl LiveKit {
    /// A client for the server at `url` (`ws://`, `wss://`, `http://` or `https://`). Does not connect.
    ///
    /// # Errors
    /// [`ApiError::Url`] if the address is none.
    pub fn new(url: &str, credentials: Credentials) -> Result<Self, ApiError> {
        let url = ServerUrl::parse(url)?;
        let (host, key, secret) = (url.http(), credentials.key(), credentials.secret());
        let rooms = RoomClient::with_api_key(&host, key, secret).with_request_timeout(REQUEST_TIMEOUT);
        let dispatches = AgentDispatchClient::with_api_key(&host, key, secret).with_request_timeout(REQUEST_TIMEOUT);
        // Its requests bring their own time-outs.
        let sip = SIPClient::with_api_key(&host, key, secret);
        Ok(Self { url, credentials, rooms, dispatches, sip })
    }

    /// The server's address.
    #[must_use]
    pub fn url(&self) -> &ServerUrl {
        &self.url
    }

    /// Signs a participant's token; asks no server.
    ///
    /// # Errors
    /// [`ApiError::Token`] if room, identity or secret are empty.
    pub fn participant_token(&self, token: &ParticipantToken) -> Result<String, ApiError> {
        Ok(token::participant(&self.credentials, token)?)
    }

    /// Whether the server is there and accepts the key, tried with a worker's handshake; registers nothing.
    ///
    /// # Errors
    /// [`ApiError::Unreachable`], [`ApiError::Timeout`] or [`ApiError::Unauthorized`].
    pub async fn check(&self) -> Result<(), ApiError> {
        let url = self.url.to_string();
        match tokio::time::timeout(REQUEST_TIMEOUT, handshake(&self.url, &self.credentials)).await {
            Err(_) => Err(ApiError::Timeout { url, request: "handshake" }),
            Ok(Ok(_socket)) => Ok(()),
            Ok(Err(HandshakeError::Unauthorized)) => Err(ApiError::Unauthorized { url }),
            Ok(Err(error)) => Err(ApiError::Unreachable { url, reason: error.to_string() }),
        }
    }

    /// Makes a room and dispatches its agents. A room that exists already is left as it is, but gets the dispatches.
    ///
    /// # Errors
    /// Any [`ApiError`] but `NotFound`.
    pub async fn create_room(&self, room: &NewRoom) -> Result<RoomInfo, ApiError> {
        let options = CreateRoomOptions {
            empty_timeout: room.empty_timeout_s,
            departure_timeout: room.departure_timeout_s,
            max_participants: room.max_participants,
            metadata: room.metadata.clone(),
            ..CreateRoomOptions::default()
        };
        let made = self.finish("create room", self.rooms.create_room(&room.name, options).await).await?;
        for agent in &room.agents {
            self.create_dispatch(&room.name, agent).await?;
        }
        Ok(RoomInfo { name: made.name, sid: made.sid })
    }

    /// Deletes a room; everybody in it is disconnected.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is none of that name, or any other [`ApiError`].
    pub async fn delete_room(&self, room: &str) -> Result<(), ApiError> {
        self.finish("delete room", self.rooms.delete_room(room).await).await
    }

    /// The rooms of these names, or all rooms if no name is given.
    ///
    /// # Errors
    /// Any [`ApiError`] but `NotFound`.
    pub async fn list_rooms(&self, names: &[&str]) -> Result<Vec<RoomInfo>, ApiError> {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        let rooms = self.finish("list rooms", self.rooms.list_rooms(names).await).await?;
        Ok(rooms.into_iter().map(|room| RoomInfo { name: room.name, sid: room.sid }).collect())
    }

    /// Asks for an agent in a room; a worker is chosen at once if one is there. Returns the dispatch's id.
    ///
    /// # Errors
    /// Any [`ApiError`].
    pub async fn create_dispatch(&self, room: &str, agent: &AgentDispatch) -> Result<String, ApiError> {
        let request = proto::CreateAgentDispatchRequest {
            agent_name: agent.agent_name.clone(),
            room: room.to_owned(),
            metadata: agent.metadata.clone(),
            attributes: agent.attributes.clone().into_iter().collect(),
            ..Default::default()
        };
        let made = self.finish("create dispatch", self.dispatches.create_dispatch(request).await).await?;
        Ok(made.id)
    }

    /// Withdraws a dispatch, so that the server terminates its job.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is none, or any other [`ApiError`].
    pub async fn delete_dispatch(&self, room: &str, dispatch_id: &str) -> Result<(), ApiError> {
        let result = self.dispatches.delete_dispatch(dispatch_id, room).await;
        self.finish("delete dispatch", result).await.map(drop)
    }

    /// What was dispatched to a room and not withdrawn.
    ///
    /// # Errors
    /// Any [`ApiError`].
    pub async fn list_dispatches(&self, room: &str) -> Result<Vec<AgentDispatch>, ApiError> {
        let found = self.finish("list dispatches", self.dispatches.list_dispatch(room).await).await?;
        let dispatch = |found: proto::AgentDispatch| AgentDispatch {
            agent_name: found.agent_name,
            metadata: found.metadata,
            attributes: found.attributes.into_iter().collect(),
        };
        Ok(found.into_iter().map(dispatch).collect())
    }

    /// Who is in a room.
    ///
    /// # Errors
    /// Any [`ApiError`].
    pub async fn list_participants(&self, room: &str) -> Result<Vec<Participant>, ApiError> {
        let found = self.finish("list participants", self.rooms.list_participants(room).await).await?;
        Ok(found.iter().map(Participant::from_proto).collect())
    }

    /// Disconnects a participant.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is none of that identity, or any other [`ApiError`].
    pub async fn remove_participant(&self, room: &str, identity: &str) -> Result<(), ApiError> {
        self.finish("remove participant", self.rooms.remove_participant(room, identity).await).await
    }

    /// Asks LiveKit's SIP service to hand a caller to `to`, a `tel:` or `sip:` URI, by REFER; returns once that has answered. The
    /// participant then leaves the room. Takes as long as the target rings, at most `ring_max` and a little.
    ///
    /// # Errors
    /// [`TransferError`].
    pub async fn transfer_sip_participant(&self, room: &str, identity: &str, to: &str, ring_max: Duration) -> Result<(), TransferError> {
        let options = TransferSIPParticipantOptions { ringing_timeout: Some(ring_max), ..TransferSIPParticipantOptions::default() };
        let asked = self.sip.transfer_sip_participant(room.to_owned(), identity.to_owned(), to.to_owned(), options).await;
        let error = match asked {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        match sip_status(&error) {
            Some(status) => Err(TransferError::Sip { status }),
            None => self.finish("transfer SIP participant", Err(error)).await.map_err(TransferError::Api),
        }
    }

    /// Types the error. An answer that is no API answer is most often LiveKit's plain-text 401, which the worker's
    /// endpoint tells apart from a wrong address.
    async fn finish<T>(&self, request: &'static str, result: Result<T, ServiceError>) -> Result<T, ApiError> {
        let error = match result {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        match classify(&self.url.to_string(), request, error) {
            Failure::Known(error) => Err(error),
            Failure::Unreadable(message) => {
                self.check().await?;
                Err(ApiError::Server { request, code: "unreadable".into(), message })
            }
        }
    }
}
