//! What is left of a call: transcript, tool trace, figures.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::command::Speaker;
use crate::ids::{ConfirmationId, ToolCallId, TurnId};
use crate::input::{HeardWord, TransferOutcome};
use crate::time::CallTime;

/// The conversation's part of the call record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallSummary {
    /// Why the call ended.
    pub end: EndReason,
    /// When, counted from the answer.
    pub ended_at: CallTime,
    /// What was said, in order; the agent's lines as far as they were heard.
    pub transcript: Vec<SaidLine>,
    /// Every tool call, in order.
    pub tools: Vec<ToolTrace>,
    /// Figures of every turn.
    pub turns: Vec<TurnMetrics>,
    /// When which agent took over, in order; empty while the first one has the call.
    pub hand_offs: Vec<HandOff>,
    /// How often the caller interrupted the agent for good.
    pub interruptions: u32,
    /// How many turns were misunderstood.
    #[serde(default)]
    pub misunderstood: u32,
    /// How often the model was told, because of that, to offer a person or a message.
    #[serde(default)]
    pub offers: u32,
    /// Every transfer that was ordered, in order.
    #[serde(default)]
    pub transfers: Vec<TransferTrace>,
    /// The last language that the recogniser reported.
    pub language: Option<String>,
}

/// A transfer that was ordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferTrace {
    /// Where to: a name of the configuration.
    pub target: String,
    /// When it was ordered.
    pub at: CallTime,
    /// What came of it; `None` if the call ended before that was known.
    pub outcome: Option<TransferOutcome>,
}

/// An agent that took over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandOff {
    /// Its name.
    pub to: String,
    /// When.
    pub at: CallTime,
}

/// Why a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The agent said goodbye and hung up (`end_call`).
    Completed,
    /// A person has the caller now.
    Transferred,
    /// The caller hung up.
    CallerHungUp,
    /// The caller said nothing, was asked, and still said nothing.
    CallerAway,
    /// The agent could not go on (a provider is down).
    Failed,
    /// The operator or a drain ended it.
    Stopped,
    /// It lasted as long as a call may.
    TimeLimit,
    /// The server closed the room, or somebody did by its API.
    RoomClosed,
    /// Somebody removed the caller by the server's API.
    CallerRemoved,
    /// Somebody removed the agent from the room; the caller may go on with another.
    Removed,
    /// Another took the agent's place in the room.
    Replaced,
    /// The connection to the room was lost for good.
    ConnectionLost,
    /// The call's task did not answer any more, and was ended by its watchdog.
    Stuck,
    /// Not ended: another worker has the call now, and its record will tell how it ends. Stands in no stored record.
    #[schemars(skip)]
    TakenOver,
}

impl EndReason {
    /// The reason as it stands in records and the audit log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Transferred => "transferred",
            Self::CallerHungUp => "caller_hung_up",
            Self::CallerAway => "caller_away",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::TimeLimit => "time_limit",
            Self::RoomClosed => "room_closed",
            Self::CallerRemoved => "caller_removed",
            Self::Removed => "removed",
            Self::Replaced => "replaced",
            Self::ConnectionLost => "connection_lost",
            Self::Stuck => "stuck",
            Self::TakenOver => "taken_over",
        }
    }
}

/// A line of the transcript.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SaidLine {
    /// Who spoke.
    pub speaker: Speaker,
    /// What was said and heard.
    pub text: String,
    /// When it began.
    pub start: CallTime,
    /// When it ended.
    pub end: CallTime,
    /// The caller's words with their confidence; empty for the agent.
    pub words: Vec<HeardWord>,
    /// Whether the caller cut the line short.
    pub interrupted: bool,
}

/// A tool call and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolTrace {
    /// Which call.
    pub call: ToolCallId,
    /// The tool.
    pub name: String,
    /// Its arguments.
    pub arguments: Value,
    /// Its one output.
    pub output: Value,
    /// How it ended.
    pub status: ToolStatus,
    /// The confirmation under which it was committed, if it was.
    pub confirmation: Option<ConfirmationId>,
    /// When it was started.
    pub start: CallTime,
    /// When its output came.
    pub end: CallTime,
    /// The turn in which the model called it.
    pub turn: Option<TurnId>,
}

/// How a tool call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolStatus {
    /// It gave a result.
    Done,
    /// A `Commit` was prepared and waits (or waited in vain) for the caller's yes.
    Prepared,
    /// It gave an error.
    Failed,
    /// It was cut off by a barge-in or the end of the call.
    Cancelled,
    /// A commit whose effect cannot be told.
    Unknown,
}

/// When each stage of a turn was reached; all counted from the answer. `None` for a stage that was not reached. What lies between two
/// of them is told by the methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct TurnMetrics {
    /// The turn.
    pub turn: TurnId,
    /// The caller's last sound.
    pub last_speech: Option<CallTime>,
    /// The detector reported the end of speech.
    pub speech_ended: Option<CallTime>,
    /// The final transcript came.
    pub transcript_final: Option<CallTime>,
    /// The turn was to end no sooner, by the delay that was chosen for it when it was committed.
    #[serde(default)]
    pub due: Option<CallTime>,
    /// The turn was committed and the model asked.
    pub committed: Option<CallTime>,
    /// The model was asked; before `committed` if the answer was begun on words that were not final yet.
    #[serde(default)]
    pub model_asked: Option<CallTime>,
    /// The model's first text or tool call.
    pub first_token: Option<CallTime>,
    /// The first clause went to the synthesiser.
    pub first_clause: Option<CallTime>,
    /// The first byte of speech came.
    pub first_audio: Option<CallTime>,
    /// The first sample of the reply left the pacer.
    pub playback_started: Option<CallTime>,
}

impl TurnMetrics {
    /// From the caller's last sound to the final transcript.
    #[must_use]
    pub fn transcription_delay(&self) -> Option<Duration> {
        between(self.last_speech, self.transcript_final)
    }

    /// From the caller's last sound to the decision that his turn is over.
    #[must_use]
    pub fn end_of_turn_delay(&self) -> Option<Duration> {
        between(self.last_speech, self.committed)
    }

    /// From the question to the model's first text or tool call.
    #[must_use]
    pub fn llm_ttft(&self) -> Option<Duration> {
        between(self.model_asked, self.first_token)
    }

    /// From the model's first text to the first clause for the synthesiser; tools that ran first count.
    #[must_use]
    pub fn time_to_first_clause(&self) -> Option<Duration> {
        between(self.first_token, self.first_clause)
    }

    /// From the first clause to the first byte of its speech.
    #[must_use]
    pub fn tts_ttfb(&self) -> Option<Duration> {
        between(self.first_clause, self.first_audio)
    }

    /// From the first byte of speech to the first sample that left the pacer.
    #[must_use]
    pub fn playout_delay(&self) -> Option<Duration> {
        between(self.first_audio, self.playback_started)
    }

    /// From the caller's last sound to the agent's first.
    #[must_use]
    pub fn e2e_latency(&self) -> Option<Duration> {
        between(self.last_speech, self.playback_started)
    }
}

fn between(from: Option<CallTime>, to: Option<CallTime>) -> Option<Duration> {
    from.zip(to).map(|(from, to)| to.since(from))
}
