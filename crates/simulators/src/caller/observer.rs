//! Looks into the LiveKit room of a call without being seen: the live transcript and the agent's state.

use std::fmt;
use std::time::Duration;

use frontdesk_livekit::Credentials;
use frontdesk_livekit::api::{ApiError, LiveKit};
use frontdesk_livekit::room::{ConnectError, DisconnectReason, Participant, ParticipantKind, Room, RoomEvent, RoomOptions, TextMessage};
use livekit_api::access_token::{AccessToken, VideoGrants};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

const TRANSCRIPTION_TOPIC: &str = "lk.transcription";
const STATE_ATTRIBUTE: &str = "lk.agent.state";
const NUMBER_ATTRIBUTE: &str = "sip.phoneNumber";
/// How often the server is asked whether the room is there.
const SEARCH_INTERVAL: Duration = Duration::from_millis(100);
/// Sights that may wait to be taken.
const SIGHTS_MAX: usize = 256;
/// How long the token may be used to join.
const TOKEN_TTL: Duration = Duration::from_secs(600);

/// A line of the live transcript. `Debug` hides what was said.
#[derive(Clone, PartialEq, Eq)]
pub struct SpokenLine {
    /// Whether the agent said it, else the caller.
    pub is_agent: bool,
    /// Stays the same while a line grows (`lk.segment_id`).
    pub segment: String,
    /// The whole line so far.
    pub text: String,
    /// Whether it will not change any more (`lk.transcription_final`).
    pub is_final: bool,
}

impl fmt::Debug for SpokenLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpokenLine").field("is_agent", &self.is_agent).field("is_final", &self.is_final).finish_non_exhaustive()
    }
}

/// Something that an observer sees.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RoomSight {
    /// A line of the transcript, growing or final.
    Line(SpokenLine),
    /// The agent's state in LiveKit's words: `listening`, `thinking`, `speaking`, …
    AgentState(String),
    /// The room is over.
    Ended,
}

/// Which room to look into.
#[derive(Clone)]
pub struct ObserverOptions {
    /// The server's address, `ws://…`.
    pub url: String,
    /// API key.
    pub api_key: String,
    /// API secret.
    pub api_secret: String,
    /// The room of the call from this number (`sip.phoneNumber`).
    pub caller_number: String,
    /// How long the room is looked for.
    pub search_max: Duration,
}

impl fmt::Debug for ObserverOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObserverOptions").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Why a room cannot be observed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObserverError {
    /// The server's API refused or could not be reached.
    #[error("the room cannot be looked for: {0}")]
    Api(#[from] ApiError),
    /// No call from that number came.
    #[error("no room with a call from that number within {waited:?}")]
    NoRoom {
        /// How long it was looked for.
        waited: Duration,
    },
    /// The token could not be signed.
    #[error("cannot sign an observer's token: {0}")]
    Token(String),
    /// The room could not be joined.
    #[error("the room cannot be joined: {0}")]
    Join(#[from] ConnectError),
}

/// A hidden participant; the others do not learn of it. It leaves when dropped.
#[derive(Debug)]
pub struct RoomObserver {
    room_name: String,
    _leave: DropGuard,
}

impl RoomObserver {
    /// Waits for the call's room and looks into it. Sights that are not taken in time are lost.
    ///
    /// # Errors
    /// [`ObserverError`].
    pub async fn watch(options: &ObserverOptions) -> Result<(Self, mpsc::Receiver<RoomSight>), ObserverError> {
        let room_name = search(options).await?;
        let token = hidden_token(options, &room_name)?;
        let (room, events) = Room::connect(RoomOptions::new(&options.url, token)).await?;
        let (sights, receiver) = mpsc::channel(SIGHTS_MAX);
        let stop = CancellationToken::new();
        tokio::spawn(look(room, events, sights, stop.clone()));
        Ok((Self { room_name, _leave: stop.drop_guard() }, receiver))
    }

    /// The room's name.
    #[must_use]
    pub fn room_name(&self) -> &str {
        &self.room_name
    }

    /// Splits final lines of the agent off a stream of sights, for [`super::CallerOptions::agent_words`]; all sights go on to
    /// the second receiver, if somebody holds it.
    #[must_use]
    pub fn agent_words(mut sights: mpsc::Receiver<RoomSight>) -> (mpsc::Receiver<String>, mpsc::Receiver<RoomSight>) {
        let (words, words_receiver) = mpsc::channel(SIGHTS_MAX);
        let (copies, copies_receiver) = mpsc::channel(SIGHTS_MAX);
        tokio::spawn(async move {
            while let Some(sight) = sights.recv().await {
                if let RoomSight::Line(line) = &sight
                    && line.is_agent
                    && line.is_final
                {
                    // Nobody listens any more, or too slowly: lost.
                    let _untold = words.try_send(line.text.clone());
                }
                let _untold = copies.try_send(sight);
            }
        });
        (words_receiver, copies_receiver)
    }
}

/// The room in which the caller is.
async fn search(options: &ObserverOptions) -> Result<String, ObserverError> {
    let api = LiveKit::new(&options.url, Credentials::new(&options.api_key, &options.api_secret))?;
    let deadline = Instant::now() + options.search_max;
    loop {
        for room in api.list_rooms(&[]).await? {
            // A room may end between the two questions.
            let present = api.list_participants(&room.name).await.unwrap_or_default();
            if present.iter().any(|participant| participant.attribute(NUMBER_ATTRIBUTE) == Some(&options.caller_number)) {
                return Ok(room.name);
            }
        }
        if Instant::now() >= deadline {
            return Err(ObserverError::NoRoom { waited: options.search_max });
        }
        sleep(SEARCH_INTERVAL).await;
    }
}

fn hidden_token(options: &ObserverOptions, room: &str) -> Result<String, ObserverError> {
    let grants = VideoGrants {
        room_join: true,
        room: room.to_owned(),
        can_publish: Some(false),
        can_publish_data: Some(false),
        can_subscribe: Some(true),
        hidden: true,
        ..VideoGrants::default()
    };
    AccessToken::with_api_key(&options.api_key, &options.api_secret)
        .with_ttl(TOKEN_TTL)
        .with_grants(grants)
        .with_identity(&format!("observer-{}", uuid::Uuid::new_v4().simple()))
        .to_jwt()
        .map_err(|error| ObserverError::Token(error.to_string()))
}

async fn look(room: Room, mut events: mpsc::Receiver<RoomEvent>, sights: mpsc::Sender<RoomSight>, stop: CancellationToken) {
    let mut state = None;
    let present = room.participants();
    tell_state(&mut state, present.iter(), &sights);
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => None,
            event = events.recv() => event,
        };
        match event {
            None | Some(RoomEvent::Ended(_)) => break,
            Some(RoomEvent::ParticipantJoined(participant) | RoomEvent::ParticipantUpdated(participant)) => {
                tell_state(&mut state, std::iter::once(&participant), &sights);
            }
            Some(RoomEvent::Text(text)) if text.topic == TRANSCRIPTION_TOPIC => {
                let line = spoken_line(&room.participants(), text);
                let _untaken = sights.try_send(RoomSight::Line(line));
            }
            Some(_) => {}
        }
    }
    let _untaken = sights.try_send(RoomSight::Ended);
    room.leave(DisconnectReason::ClientInitiated).await;
}

fn tell_state<'a>(told: &mut Option<String>, participants: impl Iterator<Item = &'a Participant>, sights: &mpsc::Sender<RoomSight>) {
    for participant in participants.filter(|participant| participant.kind == ParticipantKind::Agent) {
        let state = participant.attribute(STATE_ATTRIBUTE).map(str::to_owned);
        if state.is_some() && state != *told {
            *told = state.clone();
            let _untaken = sights.try_send(RoomSight::AgentState(state.unwrap_or_default()));
        }
    }
}

/// Agents transcribe both sides: whose line it is, the transcribed track says, or else the sender.
fn spoken_line(present: &[Participant], text: TextMessage) -> SpokenLine {
    let track = text.attributes.get("lk.transcribed_track_id").map_or("", String::as_str);
    let owner = present
        .iter()
        .find(|participant| participant.track_sids.contains(track))
        .or_else(|| present.iter().find(|participant| participant.identity == text.sender));
    let is_agent = owner.is_none_or(|participant| participant.kind == ParticipantKind::Agent);
    line_of(is_agent, text)
}

fn line_of(is_agent: bool, text: TextMessage) -> SpokenLine {
    let attribute = |key: &str| text.attributes.get(key).cloned().unwrap_or_default();
    let is_final = attribute("lk.transcription_final") == "true";
    SpokenLine { is_agent, segment: attribute("lk.segment_id"), is_final, text: text.text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_takes_its_segment_and_finality_from_the_attributes_and_hides_its_text() {
        let attributes = [("lk.segment_id", "s1"), ("lk.transcription_final", "true")];
        let attributes = attributes.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let text = TextMessage { topic: TRANSCRIPTION_TOPIC.into(), attributes, text: "hello".into(), ..TextMessage::default() };
        let line = line_of(false, text);
        assert!(!line.is_agent && line.is_final && line.segment == "s1" && line.text == "hello");
        assert!(!format!("{line:?}").contains("hello"));
        assert!(!line_of(true, TextMessage::default()).is_final);
    }

    #[tokio::test]
    async fn words_of_the_agent_are_split_off_once_they_are_final() {
        let (sender, sights) = mpsc::channel(8);
        let line =
            |is_agent, is_final, text: &str| RoomSight::Line(SpokenLine { is_agent, segment: String::new(), text: text.into(), is_final });
        for sight in [line(true, false, "good"), line(true, true, "good day"), line(false, true, "hello"), RoomSight::Ended] {
            sender.send(sight).await.expect("room");
        }
        drop(sender);
        let (mut words, mut copies) = RoomObserver::agent_words(sights);
        assert_eq!(words.recv().await.as_deref(), Some("good day"));
        assert_eq!(words.recv().await, None);
        for _ in 0..3 {
            assert!(matches!(copies.recv().await, Some(RoomSight::Line(_))));
        }
        assert_eq!(copies.recv().await, Some(RoomSight::Ended));
    }
}
