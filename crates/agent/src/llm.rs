//! Streaming language models with tool calls.

use async_trait::async_trait;
pub use frontdesk_conversation::{Message, ToolCall, ToolCallId};
use serde_json::Value;

use crate::error::ProviderError;
use crate::usage::TokenUsage;

/// A service that answers a history.
#[async_trait]
pub trait LanguageModel: Send + Sync {
    /// Starts an answer. Dropping the stream cancels the request.
    async fn ask(&self, request: ModelRequest) -> Result<Box<dyn ModelStream>, ProviderError>;

    /// Opens connections ahead of the first question; best effort.
    async fn warm_up(&self) {}

    /// The provider's name for records and metrics.
    fn name(&self) -> &'static str;
}

/// A question to the model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ModelRequest {
    /// The model's name at its service; `None` leaves the choice to the client's settings.
    pub model: Option<String>,
    /// The history, instructions first.
    pub messages: Vec<Message>,
    /// The tools offered; empty for none.
    pub tools: Vec<ToolSchema>,
    /// Sampling temperature, if not the service's default.
    pub temperature: Option<f32>,
    /// Upper bound of the answer, in tokens.
    pub max_tokens: Option<u32>,
}

/// A tool as the model sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSchema {
    /// Its name.
    pub name: String,
    /// What it does and when to call it, worded for the model.
    pub description: String,
    /// JSON Schema of its arguments.
    pub parameters: Value,
}

/// A running answer.
#[async_trait]
pub trait ModelStream: Send {
    /// The next piece. Cancel-safe. `Ok(None)` after `Done`.
    async fn next_event(&mut self) -> Result<Option<ModelEvent>, ProviderError>;

    /// What the answer took, once `Done` was given; may wait a moment for the service to say so. `None` if it does not.
    async fn usage(&mut self) -> Option<TokenUsage> {
        None
    }

    /// Who answers, where that is not the one who was asked.
    fn provider(&self) -> Option<&'static str> {
        None
    }
}

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelEvent {
    /// Text, as streamed.
    Text(String),
    /// A tool call whose arguments are complete.
    ToolCall(ToolCall),
    /// The end of the answer.
    Done,
}
