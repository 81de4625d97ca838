//! Joining a call's room, and seeing to it that the room ends with the call.

use std::sync::Arc;
use std::time::Duration;

use frontdesk_audio::SampleRate;
use frontdesk_livekit::api::{AgentDispatch, ApiError, LiveKit, ParticipantToken, RoomSettings, random_id};
use frontdesk_livekit::pulse;
use frontdesk_livekit::room::{ConnectError, DisconnectReason, ParticipantKind, Room, RoomEvent, RoomOptions};
use frontdesk_telephony::sip::Invite;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::attributes::{self, CALL_STATUS};
use crate::config::Waits;
use crate::rules::{Rule, Trunk};

/// Seconds after which the server deletes a room that nobody came to, should the bridge be gone.
const EMPTY_TIMEOUT_S: u32 = 20;
/// How long telling the others of the hang-up may hold up leaving.
const STATUS_TIMEOUT: Duration = Duration::from_millis(500);
/// How often deleting a room is tried.
const DELETE_ATTEMPTS: u32 = 4;
/// The first wait between tries; doubles.
const DELETE_BACKOFF: Duration = Duration::from_millis(500);

/// When a deleted room is looked for again. LiveKit writes a room down anew if a dispatch, or the news of one, arrives while it
/// is being deleted; nobody would be in it, and the server keeps it for minutes.
const LOOKS_AGAIN: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

/// Why there is no room for a call.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JoinError {
    #[error(transparent)]
    Token(#[from] ApiError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("LiveKit did not let the caller in within {0:?}")]
    Timeout(Duration),
}

/// What all calls need to have rooms.
#[derive(Debug, Clone)]
pub(crate) struct Rooms {
    pub(crate) api: Arc<LiveKit>,
    pub(crate) waits: Waits,
    /// Deletions under way.
    pub(crate) chores: TaskTracker,
    /// Fires when nothing may linger any more.
    pub(crate) hurry: CancellationToken,
}

/// A joined room with its events.
pub(crate) struct Joined {
    pub(crate) room: Arc<Room>,
    pub(crate) events: mpsc::Receiver<RoomEvent>,
    pub(crate) lease: RoomLease,
}

/// The agent that a rule asks for.
pub(crate) fn dispatch(rule: &Rule) -> AgentDispatch {
    let (agent_name, metadata) = (rule.agent_name.clone(), rule.metadata.clone());
    AgentDispatch { agent_name, metadata, attributes: rule.attributes.clone() }
}

/// A new name for a room of a rule.
pub(crate) fn room_name(rule: &Rule) -> String {
    random_id(&format!("{}_", rule.room_prefix))
}

impl Rooms {
    /// Joins a new room as the caller. Joining makes the room and dispatches the agent: one round trip does all three.
    pub(crate) async fn join(&self, name: &str, invite: &Invite, trunk: &Trunk, rule: &Rule) -> Result<Joined, JoinError> {
        let mut token = ParticipantToken::new(name, attributes::identity(invite));
        token.name = attributes::name(invite);
        token.kind = ParticipantKind::Sip;
        token.attributes = attributes::attributes(invite, trunk, rule);
        token.room_settings = Some(RoomSettings {
            empty_timeout_s: EMPTY_TIMEOUT_S,
            departure_timeout_s: u32::try_from(self.waits.room_linger.as_secs()).unwrap_or(u32::MAX).max(1),
            max_participants: 0,
            agents: vec![dispatch(rule)],
        });
        let mut options = RoomOptions::new(self.api.url().to_string(), self.api.participant_token(&token)?);
        options.subscribe_rate = SampleRate::HZ_8000;
        // The RTP session has the clock; what is not said is its silence.
        options.fill_silence_after = None;
        options.connect_timeout = self.waits.join;
        options.media_timeout = self.waits.room_media;
        let lease = RoomLease { rooms: Some(self.clone()), name: name.to_owned(), redispatched: false };
        let joined = tokio::time::timeout(self.waits.join, Room::connect(options)).await;
        let (room, events) = joined.map_err(|_| JoinError::Timeout(self.waits.join))??;
        Ok(Joined { room: Arc::new(room), events, lease })
    }

    async fn delete_once(&self, name: &str) {
        let mut wait = DELETE_BACKOFF;
        for attempt in 1..=DELETE_ATTEMPTS {
            match self.api.delete_room(name).await {
                Ok(()) | Err(ApiError::NotFound { .. }) => return,
                Err(error) if attempt == DELETE_ATTEMPTS || !error.is_retryable() => {
                    tracing::warn!(room = name, %error, "the room could not be deleted");
                    return;
                }
                Err(_) => {}
            }
            if self.hurry.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return;
            }
            wait *= 2;
        }
    }

    /// Deletes a room; if agents were dispatched to it besides the first, sees to it that it stays deleted.
    async fn delete(&self, name: &str, redispatched: bool) {
        self.delete_once(name).await;
        if !redispatched {
            return;
        }
        for wait in LOOKS_AGAIN {
            if self.hurry.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return;
            }
            if self.api.list_rooms(&[name]).await.is_ok_and(|rooms| !rooms.is_empty()) {
                tracing::info!(room = name, "a deleted room has come back; it is deleted again");
                self.delete_once(name).await;
            }
        }
    }
}

/// How a call leaves its room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parting {
    /// The server has deleted the room.
    Gone,
    /// The caller has gone first: the agent may finish, and ends the room; if not, it is deleted after a while.
    Linger,
    /// Nobody needs the room any more.
    Now,
}

/// The duty to end a room. Dropped without [`RoomLease::close`] (a panic, a failed join), it deletes the room at once.
#[derive(Debug)]
pub(crate) struct RoomLease {
    rooms: Option<Rooms>,
    name: String,
    redispatched: bool,
}

impl RoomLease {
    /// Another agent is dispatched to the room: it may come back after its end.
    pub(crate) const fn redispatched(&mut self) {
        self.redispatched = true;
    }

    /// Leaves and ends the room in the background.
    pub(crate) fn close(mut self, room: Arc<Room>, parting: Parting) {
        let Some(rooms) = self.rooms.take() else { return };
        let (name, redispatched, chores) = (std::mem::take(&mut self.name), self.redispatched, rooms.chores.clone());
        chores.spawn(async move {
            if parting != Parting::Gone {
                let status = [(CALL_STATUS.to_owned(), "hangup".to_owned())];
                // Who does not hear of it sees the caller leave. Agents of ours hear of it even if no server's nodes reach each other.
                let attributes = tokio::time::timeout(STATUS_TIMEOUT, room.set_attributes(status.into()));
                let (_untold, ()) = tokio::join!(attributes, tell_agents(&room));
            }
            room.leave(DisconnectReason::ClientInitiated).await;
            if parting == Parting::Linger {
                let _hurried = rooms.hurry.run_until_cancelled(tokio::time::sleep(rooms.waits.room_linger)).await;
            }
            if redispatched || parting != Parting::Gone {
                rooms.delete(&name, redispatched).await;
            }
        });
    }
}

/// Tells the agents that the caller has hung up.
async fn tell_agents(room: &Room) {
    let agents: Vec<_> = room.participants().into_iter().filter(|other| other.kind == ParticipantKind::Agent).collect();
    if !agents.is_empty() {
        pulse::hang_up(room, agents.into_iter().map(|agent| agent.identity).collect()).await;
    }
}

impl Drop for RoomLease {
    fn drop(&mut self) {
        let Some(rooms) = self.rooms.take() else { return };
        let (name, redispatched) = (std::mem::take(&mut self.name), self.redispatched);
        // Without a runtime the process is at its end; the server deletes the room when it is empty.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let chores = rooms.chores.clone();
            chores.spawn_on(async move { rooms.delete(&name, redispatched).await }, &runtime);
        }
    }
}
