//! The call record: one JSON document a call.

mod assemble;
mod confidence;
mod lost;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use frontdesk_conversation::{EndReason, Speaker, ToolStatus, TransferOutcome, TurnId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use assemble::assemble;
pub use lost::of_lost_call;

use crate::numbers::Stage;
use crate::usage::{RecordCost, RecordUsage};

/// Version of the document: raised when a record would be misread by who reads those of the version before, because a field has gone or
/// means something else. Fields and values that are added (an outcome, say) do not raise it: a reader passes over what it does not know,
/// and takes an outcome that it does not know for an end for another reason.
pub const RECORD_VERSION: u32 = 1;

/// Everything that is kept of one call. Described by `docs/schemas/call-record.v1.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CallRecord {
    /// [`RECORD_VERSION`].
    pub schema_version: u32,
    /// Pseudonymous id of the call.
    pub call_id: String,
    /// The tenant.
    pub tenant_id: String,
    /// When the call was answered.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: DateTime<Utc>,
    /// From answer to end, in milliseconds.
    pub duration_ms: u64,
    /// Language tag of the call.
    pub language: Option<String>,
    /// Why it ended.
    pub outcome: EndReason,
    /// What was said; times in milliseconds since the answer.
    pub transcript: Vec<RecordLine>,
    /// The caller's wishes: arguments of `note_intent`.
    pub intents: Vec<RecordIntent>,
    /// Whom and what of the application's the caller asked for by name, by kind: `{"practitioner": ["Doctor Ada Lovelace"]}`. The
    /// application fills it in ([`crate::SessionOptions::describe`]).
    #[serde(default)]
    pub asked_for: BTreeMap<String, Vec<String>>,
    /// The call in a few sentences for people. The application fills it in.
    #[serde(default)]
    pub summary: Option<String>,
    /// What was learnt from the caller.
    pub fields: Vec<RecordField>,
    /// Every tool call.
    pub tools: Vec<RecordTool>,
    /// When which agent took over; empty while the first one has the call.
    #[serde(default)]
    pub hand_offs: Vec<RecordHandOff>,
    /// Latency of each turn by stage.
    pub turns: Vec<RecordTurn>,
    /// How many turns took longer in a stage than its target, by stage.
    #[serde(default)]
    pub latency_misses: BTreeMap<Stage, u32>,
    /// How often the caller cut the agent short.
    pub interruptions: u32,
    /// How many turns were misunderstood.
    #[serde(default)]
    pub misunderstood: u32,
    /// Every transfer to a person, whatever came of it.
    #[serde(default)]
    pub transfers: Vec<RecordTransfer>,
    /// Where the recording is, if one was made: a path. Of a sealed one, `frontdesk calls export --recording` makes a WAV file.
    pub recording: Option<String>,
    /// What was used of each provider.
    #[serde(default)]
    pub usage: Vec<RecordUsage>,
    /// What that costs by the clinic's prices; null where it has none.
    #[serde(default)]
    pub cost: Option<RecordCost>,
    /// Faults that the call lived through (a provider that failed, a database away).
    pub incidents: Vec<String>,
}

/// A line of the transcript.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecordLine {
    /// Who spoke.
    pub speaker: Speaker,
    /// What was said and heard.
    pub text: String,
    /// Begin, ms since the answer.
    pub start_ms: u64,
    /// End, ms since the answer.
    pub end_ms: u64,
    /// Whether the other side cut it short.
    pub interrupted: bool,
    /// Lowest confidence of its words, if the recogniser gave any.
    pub confidence: Option<f32>,
}

/// A wish of the caller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecordIntent {
    /// From the closed list: book, move, cancel, question, insurance, message, emergency, other.
    pub intent: String,
    /// A short note by the model, if it gave one.
    pub note: Option<String>,
    /// When, ms since the answer.
    pub at_ms: u64,
}

/// A fact learnt from the caller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecordField {
    /// Its name (`patient_name`, `phone`, …).
    pub name: String,
    /// Its value.
    pub value: String,
    /// Lowest recogniser confidence of the words it came from; null when they cannot be told.
    pub confidence: Option<f32>,
}

/// A tool call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecordTool {
    /// The tool.
    pub name: String,
    /// Its arguments.
    pub arguments: Value,
    /// Its output.
    pub result: Value,
    /// How it ended.
    pub status: ToolStatus,
    /// Start, ms since the answer.
    pub start_ms: u64,
    /// How long it took.
    pub duration_ms: u64,
    /// The turn in which it was called.
    pub turn: Option<TurnId>,
}

/// An agent that took over, or a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordHandOff {
    /// Its name.
    pub agent: String,
    /// When, ms since the answer.
    pub at_ms: u64,
}

/// A transfer to a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordTransfer {
    /// Where to: a name of the tenant's configuration.
    pub target: String,
    /// When it was ordered, ms since the answer.
    pub at_ms: u64,
    /// What came of it; null if the call ended before that was known.
    pub outcome: Option<TransferOutcome>,
}

/// Latency of one turn by stage, each in milliseconds from the caller's last sound; null for a stage that was not reached.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecordTurn {
    /// The turn.
    pub turn: TurnId,
    /// The detector reported the end of speech.
    pub speech_ended_ms: Option<u64>,
    /// The final transcript came.
    pub transcript_final_ms: Option<u64>,
    /// The turn was to end no sooner, by the delay that was chosen for it.
    #[serde(default)]
    pub due_ms: Option<u64>,
    /// The turn was committed and the model asked.
    pub committed_ms: Option<u64>,
    /// The model was asked: before `committed_ms` if it was asked on words that were not final yet.
    #[serde(default)]
    pub model_asked_ms: Option<u64>,
    /// The model's first token.
    pub first_token_ms: Option<u64>,
    /// The first clause went to the synthesiser.
    pub first_clause_ms: Option<u64>,
    /// The first byte of speech came.
    pub first_audio_ms: Option<u64>,
    /// The first sample left the pacer.
    pub playback_started_ms: Option<u64>,
}

#[cfg(test)]
mod tests;
