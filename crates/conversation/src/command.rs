//! What the conversation asks of its shell.

use serde::{Deserialize, Serialize};

use crate::ids::{ConfirmationId, GenerationId, ReplyId, ToolCallId, TurnId, UtteranceId};
use crate::message::{Message, ToolCall};
use crate::summary::CallSummary;
use crate::time::CallTime;

/// An order to the shell. Commands are carried out in the order in which [`crate::Conversation::poll`] gives them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Command {
    /// Ask the speech-to-text service for what it has heard so far.
    FinalizeTranscript {
        /// The first sample of the turn: an answer of any kind since then shows that the service listens.
        started: CallTime,
    },
    /// Ask the turn model whether the caller has finished, on the audio heard so far. Answered by `TurnProbability`, or not at all.
    AskTurnModel {
        /// The last sample of speech, which names the question in the answer.
        last_speech: CallTime,
        /// The first sample of the turn: what the caller said before it does not concern the question.
        started: CallTime,
    },
    /// Ask the model. Answers come as `ModelText`, `ModelToolCall`, `ModelDone` or `ModelFailed`.
    AskModel {
        /// Names the request in every answer.
        generation: GenerationId,
        /// The history, instructions first.
        messages: Vec<Message>,
        /// Whether tools may be called (false once `max_tool_steps` is reached).
        allow_tools: bool,
    },
    /// Drop a request; nothing more is wanted of it.
    CancelModel {
        /// Which request.
        generation: GenerationId,
    },
    /// Speak. Utterances play in the order of their commands; synthesis may run ahead.
    Synthesise {
        /// Names the utterance in every event.
        utterance: UtteranceId,
        /// The reply it belongs to.
        reply: ReplyId,
        /// What to say.
        text: String,
    },
    /// Synthesise and keep aside what will be said first if the turn ends as it seems to; nothing of it may be played before a
    /// `Synthesise` of the same text, which takes it over. One at a time.
    SynthesiseAhead {
        /// What may be said.
        text: String,
    },
    /// Nothing is wanted of what was synthesised ahead.
    DropAhead,
    /// Stop playing and drop all that is queued or being synthesised for this reply and earlier ones. Answered by `Flushed`.
    Flush {
        /// The youngest reply to drop.
        reply: ReplyId,
    },
    /// Hold playback at the exact sample.
    Pause,
    /// Play on from the sample after the last one played.
    Resume,
    /// Run a `Read` or `Record` tool. Answered by `ToolFinished`.
    RunTool {
        /// The call.
        call: ToolCall,
    },
    /// Prepare a `Commit` tool: validate, hold, word the read-back. Answered by `ToolPrepared`.
    PrepareTool {
        /// The call.
        call: ToolCall,
    },
    /// Run a prepared `Commit` tool under its idempotency key. Answered by `ToolCommitted`; never cancelled.
    CommitTool {
        /// The key, together with the call's id.
        confirmation: ConfirmationId,
        /// The prepared call, arguments in canonical form.
        call: ToolCall,
    },
    /// Drop a running `Read` tool; its output is already settled as `cancelled`.
    CancelTool {
        /// Which call.
        call: ToolCallId,
    },
    /// Hand the caller to a person: everything that was to be heard was played. Answered by `TransferEnded`, in good time; until
    /// then the call goes on as it is.
    Transfer {
        /// A name of the configuration; the shell knows the number.
        target: String,
    },
    /// The call goes on in another language: recogniser and synthesiser are to follow.
    SetLanguage {
        /// A primary language tag.
        language: String,
    },
    /// What the agent is doing has changed (`lk.agent.state`).
    SetState(AgentState),
    /// A line for whoever watches (`lk.transcription`, the demo's terminal).
    PublishTranscript(TranscriptLine),
    /// A turn was completed; its figures.
    TurnCompleted(crate::summary::TurnMetrics),
    /// The state changed at a point worth keeping: store it.
    StoreState,
    /// Something to be kept in the audit log; holds no personal data.
    Audit {
        /// The act (`turn.committed`, `tool.committed`, `call.ended`, …).
        action: String,
        /// A pseudonymous object of the act (an id), if any.
        subject: Option<String>,
    },
    /// End the call: everything that was to be heard was played.
    HangUp,
    /// The end-of-call summary; exactly one, and the last command of all.
    Finish(Box<CallSummary>),
}

/// What the agent is doing, in LiveKit's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    /// Not ready yet.
    Initializing,
    /// The caller owes the floor.
    Listening,
    /// The model or a tool is at work.
    Thinking,
    /// Speech is playing.
    Speaking,
}

impl AgentState {
    /// The value of the participant attribute `lk.agent.state`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Initializing => "initializing",
            Self::Listening => "listening",
            Self::Thinking => "thinking",
            Self::Speaking => "speaking",
        }
    }
}

/// Who said a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    /// The caller.
    Caller,
    /// The agent.
    Agent,
}

/// A line of the live transcript.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TranscriptLine {
    /// Who spoke.
    pub speaker: Speaker,
    /// Stays the same while a line grows.
    pub segment: String,
    /// The whole line so far.
    pub text: String,
    /// Whether it will not change any more.
    pub is_final: bool,
    /// The caller's turn, where there is one.
    pub turn: Option<TurnId>,
}
