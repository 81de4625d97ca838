//! The heart of frontdesk: a sans-I/O state machine of turns, replies, tools and history.
//!
//! Inputs go in with [`Conversation::handle`], commands come out of [`Conversation::poll`], and
//! [`Conversation::deadline`] says when to call `handle(now, Input::Tick)` next. Nothing here reads a clock, spawns,
//! waits or does I/O.

#![forbid(unsafe_code)]

mod aside;
mod backchannel;
mod closing;
pub mod command;
mod commits;
pub mod config;
pub mod confirm;
mod delay;
mod draft;
mod emergency;
mod endpointing;
pub mod fields;
pub mod floor;
mod handoff;
mod heard;
mod history;
pub mod ids;
pub mod input;
mod interruption;
mod keypad;
mod language;
mod machine;
pub mod message;
mod outputs;
mod playout;
mod record;
mod reply;
pub mod sentences;
mod silence;
mod speech;
pub mod state;
pub mod summary;
pub mod time;
mod tools;
mod transfer;
mod trouble;
mod turns;
mod unfinished;
mod utterance;
mod wordless;
mod words;

pub use command::{AgentState, Command, Speaker, TranscriptLine};
pub use config::{AgentProfile, Config, Effect, EndpointingMode, Misunderstanding, Phrases, ToolSpec};
pub use confirm::{CONFIRM_TOOL, CONFIRM_TOOL_DESCRIPTION, ConfirmArguments, confirm_tool_schema};
pub use fields::FieldKind;
pub use floor::Floor;
pub use ids::{ConfirmationId, GenerationId, ReplyId, ToolCallId, TurnId, UtteranceId};
pub use input::{CommitOutcome, Failure, HeardWord, Input, Prepared, SpokenWord, ToolError, Transcript, TransferOutcome};
pub use machine::Conversation;
pub use message::{Message, ToolCall};
pub use state::{STATE_VERSION, StateError, StoredState};
pub use summary::{CallSummary, EndReason, HandOff, SaidLine, ToolStatus, ToolTrace, TransferTrace, TurnMetrics};
pub use time::{CallTime, PlayedPos};
