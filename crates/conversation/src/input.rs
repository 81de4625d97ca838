//! What the conversation is told.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::AgentProfile;
use crate::fields::FieldKind;
use crate::ids::{ConfirmationId, GenerationId, ReplyId, ToolCallId, UtteranceId};
use crate::message::ToolCall;
use crate::summary::EndReason;
use crate::time::{CallTime, PlayedPos};

/// An event from outside. Events of a dead generation are dropped; no event in any state panics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Input {
    /// The call was answered and the agent can be heard; the first input of a new call, at `CallTime::ZERO`.
    Answered,
    /// A deadline given by [`crate::Conversation::deadline`] has come.
    Tick,
    /// The voice activity detector heard speech begin.
    SpeechStarted {
        /// When the first sample of speech was heard (not when it was detected).
        at: CallTime,
    },
    /// The voice activity detector heard speech end.
    SpeechEnded {
        /// When the last sample of speech was heard (not when it was detected).
        last_speech: CallTime,
    },
    /// The turn model's answer to [`crate::Command::AskTurnModel`].
    TurnProbability {
        /// Which question it answers.
        last_speech: CallTime,
        /// How likely the caller has finished, 0 to 1.
        probability: f32,
    },
    /// The caller's turn is over, says who decides that in the mode [`crate::config::EndpointingMode::Manual`].
    EndTurn,
    /// What the caller is being asked for; until told otherwise, his turn ends only when such a value is whole or he plainly stopped.
    Expect {
        /// `None` for nothing in particular.
        field: Option<FieldKind>,
    },
    /// The call goes on in this language (a primary tag, `es`), because the caller asked for it; one that the agent does not speak
    /// changes nothing.
    SetLanguage {
        /// The tag.
        language: String,
    },
    /// The speech-to-text service reported words.
    Transcript(Transcript),
    /// The speech-to-text service failed and hears nothing until told otherwise.
    TranscriptionFailed(Failure),
    /// The speech-to-text service was lost and is there again; it hears anew what it had given no words for.
    TranscriptionReopened,
    /// The model produced text.
    ModelText {
        /// Which request it answers.
        generation: GenerationId,
        /// A piece of text, as streamed.
        text: String,
    },
    /// The model called a tool; arguments are complete.
    ModelToolCall {
        /// Which request it answers.
        generation: GenerationId,
        /// The call.
        call: ToolCall,
    },
    /// The model finished its answer.
    ModelDone {
        /// Which request it answers.
        generation: GenerationId,
    },
    /// The model's answer broke off.
    ModelFailed {
        /// Which request failed.
        generation: GenerationId,
        /// Why.
        failure: Failure,
    },
    /// The first byte of speech for an utterance arrived.
    SynthesisStarted {
        /// Which utterance.
        utterance: UtteranceId,
    },
    /// All speech of an utterance is there.
    SynthesisDone {
        /// Which utterance.
        utterance: UtteranceId,
        /// How long its audio is.
        duration: Duration,
        /// Where each word ends, if the service says so; else empty.
        words: Vec<SpokenWord>,
    },
    /// An utterance could not be spoken, or only in part.
    SynthesisFailed {
        /// Which utterance.
        utterance: UtteranceId,
        /// Why.
        failure: Failure,
    },
    /// The first sample of an utterance left the pacer.
    PlaybackStarted {
        /// Which utterance.
        utterance: UtteranceId,
    },
    /// How far an utterance has been played; sent now and then while it plays.
    PlaybackPosition {
        /// Which utterance.
        utterance: UtteranceId,
        /// How much of it was played.
        played: PlayedPos,
    },
    /// The last sample of an utterance was played.
    PlaybackFinished {
        /// Which utterance.
        utterance: UtteranceId,
    },
    /// The answer to [`crate::Command::Flush`]: nothing of this reply plays any more.
    Flushed {
        /// The reply that was flushed.
        reply: ReplyId,
        /// The utterance that was cut, with what was played of it; `None` if none had begun or all had ended.
        cut: Option<(UtteranceId, PlayedPos)>,
    },
    /// A `Read` or `Record` tool finished.
    ToolFinished {
        /// Which call.
        call: ToolCallId,
        /// Its result, or an error that the model can repair from.
        outcome: Result<Value, ToolError>,
    },
    /// A `Commit` tool was prepared.
    ToolPrepared {
        /// Which call.
        call: ToolCallId,
        /// What to read back, or an error that the model can repair from.
        outcome: Result<Prepared, ToolError>,
    },
    /// A `Commit` tool ran.
    ToolCommitted {
        /// What was confirmed.
        confirmation: ConfirmationId,
        /// What is known of its effect.
        outcome: CommitOutcome,
    },
    /// The answer to [`crate::Command::Transfer`].
    TransferEnded(TransferOutcome),
    /// Another agent takes over, or a task begins or ends: from the next question to the model on these instructions and tools count.
    /// The history stays; tools that run and commits that were read back go on. Counts before the answer as well.
    Reconfigure(Box<AgentProfile>),
    /// The caller pressed a key.
    Dtmf {
        /// One of `0`–`9`, `*`, `#`, `A`–`D`.
        digit: char,
    },
    /// The caller typed a text (`lk.chat`); it counts as a turn.
    Text {
        /// The text.
        text: String,
    },
    /// A person who has joined the call speaks to the caller: the agent says nothing until he has left. Means nothing before the answer.
    PersonCame,
    /// That person has left.
    PersonLeft,
    /// The caller is gone: hung up, or the transport lost him for good.
    CallerLeft,
    /// The operator or the worker ends the call (drain time-out, administrator).
    Stop,
    /// The call is to end soon, and politely: the agent says so, and puts the caller through to a person if it can, else hangs up.
    WindDown,
    /// The line is gone, and the caller has not hung up; nothing can be said any more.
    LineLost {
        /// What the record shall say.
        reason: EndReason,
    },
}

/// Words that were recognised.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Transcript {
    /// The text of this segment; an interim result replaces the interim one before it, a final result is added.
    pub text: String,
    /// Whether the words will not change any more.
    pub is_final: bool,
    /// Whether this answers [`crate::Command::FinalizeTranscript`].
    pub from_finalize: bool,
    /// Whether the service takes the turn for over (Deepgram: `speech_final`); counts in the mode
    /// [`crate::config::EndpointingMode::Stt`].
    #[serde(default)]
    pub ends_turn: bool,
    /// The words with their times and confidence; may be empty.
    pub words: Vec<HeardWord>,
    /// Language tag, if the service detected one.
    pub language: Option<String>,
}

/// A word that was recognised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeardWord {
    /// The word.
    pub text: String,
    /// When it began.
    pub start: CallTime,
    /// When it ended.
    pub end: CallTime,
    /// 0 to 1.
    pub confidence: f32,
}

/// A word within an utterance of the agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpokenWord {
    /// The word as spoken.
    pub text: String,
    /// When it ends, from the utterance's first sample.
    pub end: Duration,
}

/// Why a provider failed, as far as the conversation cares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Whether trying again may help.
    pub retryable: bool,
    /// A short word for records and metrics (`timeout`, `connect`, `rate_limited`, …); never personal data.
    pub kind: String,
}

/// What a `Commit` tool prepared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prepared {
    /// The arguments in canonical form; these are committed, whatever the model says later.
    pub arguments: Value,
    /// A sentence that states exactly what will be done, ending in a question.
    pub read_back: String,
}

/// An error of a tool, worded for the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolError {
    /// A short code (`invalid_arguments`, `slot_taken`, `unavailable`, `cancelled`, …).
    pub code: String,
    /// What was wrong and how to repair it; for a bad argument the field, what came and what is expected.
    pub message: String,
    /// Further data for the model (alternatives, say).
    pub details: Option<Value>,
    /// Whether the same call may succeed later.
    pub retryable: bool,
}

/// What is known of a commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum CommitOutcome {
    /// Done, exactly once; the result for the model.
    Done(Value),
    /// Not done; the world is as before.
    Refused(ToolError),
    /// It cannot be told yet whether it was done; never speak of success or failure.
    Unknown,
}

/// What came of handing the caller to a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransferOutcome {
    /// Somebody answered, and has the caller now.
    Accepted,
    /// The line was busy.
    Busy,
    /// Nobody answered in time.
    NoAnswer,
    /// The call was refused.
    Declined,
    /// It could not be done.
    Failed {
        /// The SIP status, if there was one.
        sip_code: Option<u16>,
    },
}

impl TransferOutcome {
    /// What a final SIP status says of a transfer (RFC 3261 section 21; RFC 3515 section 2.4.5).
    #[must_use]
    pub const fn from_sip(status: u16) -> Self {
        match status {
            200..=299 => Self::Accepted,
            486 | 600 => Self::Busy,
            408 | 480 | 487 => Self::NoAnswer,
            603 | 607 | 608 => Self::Declined,
            other => Self::Failed { sip_code: Some(other) },
        }
    }

    /// The word for it in records and the audit log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Busy => "busy",
            Self::NoAnswer => "no_answer",
            Self::Declined => "declined",
            Self::Failed { .. } => "failed",
        }
    }
}
