//! The history as the language model sees it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::ToolCallId;

/// A tool call as the model made it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Unique within the call.
    pub id: ToolCallId,
    /// The tool's name.
    pub name: String,
    /// The arguments; a JSON string when the model's text was not valid JSON, so that validation can say so.
    pub arguments: Value,
}

/// One entry of the history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Message {
    /// Instructions, or a note that the model must know (a late result of a tool, say).
    System {
        /// The text.
        text: String,
    },
    /// What the caller said in one committed turn.
    User {
        /// The transcript.
        text: String,
    },
    /// What the agent said, as far as it was heard, and the tools it called.
    Assistant {
        /// Words that were played before the played position; may be empty.
        text: String,
        /// Tool calls of this step, in order.
        tool_calls: Vec<ToolCall>,
    },
    /// The one output of one tool call.
    Tool {
        /// Whose output it is.
        call: ToolCallId,
        /// The tool's name.
        name: String,
        /// JSON text for the model.
        content: String,
    },
}
