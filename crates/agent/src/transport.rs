//! How a call's audio and signals reach the agent: a LiveKit room, later a SIP dialog or a WebSocket.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use frontdesk_audio::{Frame, SampleRate};
use frontdesk_conversation::EndReason;
pub use frontdesk_conversation::{AgentState, Speaker, TranscriptLine, TransferOutcome};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::pii::Pii;

/// What is known of a call before a word is said.
#[derive(Debug, Clone, Default)]
pub struct CallInfo {
    /// Unique, pseudonymous id of the call; the room's name behind LiveKit.
    pub call_id: String,
    /// The caller's number as the trunk gave it, if it did.
    pub caller_number: Option<Pii<String>>,
    /// The number that was dialled.
    pub dialled_number: Option<String>,
    /// Attributes of the transport (`sip.*`); values may be personal.
    pub attributes: Pii<BTreeMap<String, String>>,
}

/// One call's connection. Every method is safe to call in any order; after [`Transport::hang_up`] nothing more is sent.
#[async_trait]
pub trait Transport: Send {
    /// What is known of the call.
    fn info(&self) -> &CallInfo;

    /// Answers the call: from here on the caller hears what is written to the returned sink. Called once, when the providers
    /// are warm. `rate` is the rate of the PCM that will be written.
    async fn answer(&mut self, rate: SampleRate) -> Result<Box<dyn AudioSink>, TransportError>;

    /// The next event. Cancel-safe. After an event that ends the call it keeps returning `Disconnected`.
    async fn next_event(&mut self) -> TransportEvent;

    /// Tells the room what the agent is doing (`lk.agent.state`). Best effort: a failure is logged by the transport.
    async fn set_state(&mut self, state: AgentState);

    /// Publishes a line of the live transcript (`lk.transcription`). Best effort.
    async fn publish_transcript(&mut self, line: &TranscriptLine);

    /// Begins to hand the caller to a person, `target` being a name of the configuration that the transport was given numbers for.
    ///
    /// Quick: the waiting is done by the future that is returned, which no longer borrows the transport, so that the call's audio
    /// and signals go on meanwhile. It is bounded in time by the transport, and dropped when the call ends. A transport that cannot
    /// transfer answers `Failed` at once.
    fn transfer(&mut self, target: &str) -> BoxFuture<'static, TransferOutcome> {
        let _ = target;
        Box::pin(std::future::ready(TransferOutcome::Failed { sip_code: None }))
    }

    /// Ends the call for the caller as well: deletes the room or sends BYE. Idempotent, bounded in time.
    async fn hang_up(&mut self);

    /// Leaves the call to somebody else: the caller stays. After it, hanging up does nothing. A transport whose calls cannot
    /// change hands hangs up.
    async fn leave(&mut self) {
        self.hang_up().await;
    }
}

/// What the agent does when a person joins a telephone call and speaks to the caller. Who only listens changes nothing, and in a room
/// without a telephone everybody may speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenPersonSpeaks {
    /// It leaves the call to the person.
    #[default]
    Leave,
    /// It stays, says nothing, writes down what the caller says, and speaks again when the person has left.
    StandAside,
    /// It goes on as before.
    GoOn,
}

/// Where the agent's speech goes. The shell paces: it writes one 20 ms frame every 20 ms.
pub trait AudioSink: Send {
    /// Sends one frame of 20 ms at the rate given to `answer`. Never blocks; a frame that cannot be sent is dropped and counted.
    fn write(&mut self, frame: &[i16]);

    /// When its first frame is due; the others follow every 20 ms. Sinks that keep to one grid wake the process once for all calls.
    fn starts_at(&self) -> Instant {
        Instant::now()
    }

    /// How much later than the write the caller hears a sample, as far as the transport knows.
    fn latency(&self) -> Duration {
        Duration::ZERO
    }
}

/// What a transport reports.
#[derive(Debug)]
#[non_exhaustive]
pub enum TransportEvent {
    /// The caller's voice: mono at 16 kHz, in order, gaps concealed; frames of any length.
    Audio(Frame),
    /// The caller pressed a key: `0`–`9`, `*`, `#`, `A`–`D`.
    Dtmf(char),
    /// The caller or an operator typed a text.
    Text(Pii<String>),
    /// The caller hung up.
    CallerLeft,
    /// The connection is lost for good. Another agent may have come meanwhile: [`Transport::hang_up`] then ends the call only if
    /// none has.
    Disconnected,
    /// As [`TransportEvent::Disconnected`], and for good because the server does not let the agent back in: its token has expired or
    /// was revoked.
    ShutOut,
    /// The room is no more: the server closed it, or somebody did by its API.
    RoomClosed,
    /// Somebody removed the caller by the server's API, LiveKit's way to hang up for him.
    CallerRemoved,
    /// A person in the call speaks to the caller now, and has taken it over; the caller stays.
    TakenByPerson,
    /// A person in the call speaks to the caller now, and the agent is to stay and say nothing ([`WhenPersonSpeaks::StandAside`]).
    PersonCame,
    /// That person has left.
    PersonLeft,
    /// The agent was removed from the call, which may go on without it.
    Removed,
    /// Another agent has taken this one's place in the call.
    Replaced,
}

impl TransportEvent {
    /// Whether the call goes on without this agent: another was sent for, or has come. One that is cut off does not know; a call
    /// that can change hands (`is_leased`) is had by another then, and any other has ended.
    #[must_use]
    pub const fn is_left_to_another(&self, is_leased: bool) -> bool {
        match self {
            Self::Removed | Self::Replaced => true,
            Self::Disconnected | Self::ShutOut => is_leased,
            _ => false,
        }
    }

    /// Why the call is over for the agent with this event, if it is.
    #[must_use]
    pub const fn end(&self) -> Option<EndReason> {
        match self {
            Self::Audio(_) | Self::Dtmf(_) | Self::Text(_) | Self::PersonCame | Self::PersonLeft => None,
            Self::CallerLeft => Some(EndReason::CallerHungUp),
            Self::Disconnected | Self::ShutOut => Some(EndReason::ConnectionLost),
            Self::RoomClosed => Some(EndReason::RoomClosed),
            Self::CallerRemoved => Some(EndReason::CallerRemoved),
            Self::TakenByPerson => Some(EndReason::Transferred),
            Self::Removed => Some(EndReason::Removed),
            Self::Replaced => Some(EndReason::Replaced),
        }
    }
}

/// Why a call could not be joined or answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The server could not be reached or refused the agent.
    #[error("cannot join the call: {0}")]
    Join(String),
    /// The agent's audio could not be published.
    #[error("cannot publish audio: {0}")]
    Publish(String),
    /// Nobody to talk to came within the bound.
    #[error("no caller joined within {waited_ms} ms")]
    NoCaller {
        /// How long was waited.
        waited_ms: u64,
    },
    /// The call ended before it was answered.
    #[error("the call ended before it was answered")]
    Ended,
}
