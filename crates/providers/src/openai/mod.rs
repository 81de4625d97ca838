//! OpenAI-compatible language models: streaming chat completions with tool calls.
//!
//! The request is built from the types of `async-openai`. Its client is not used, for reasons seen in version 0.43.0: it tries a
//! failed request up to three more times and sleeps through `Retry-After` while a caller waits (`middleware/retry/openai.rs`); it
//! drops that header from the error; it passes events through an unbounded channel (`client.rs`, `stream_mapped_raw_events`); it logs
//! the whole body of what it cannot parse (`error.rs`), which may hold what a caller said; and its response types demand fields
//! (`created`, `object`, an `index` in tool calls) that compatible servers leave out. Revisit when these change.

mod answer;
mod client;
mod request;

use crate::{Secret, Timeouts};

pub use client::OpenAiLlm;

/// The provider's name in errors, records and metrics.
const PROVIDER: &str = "openai";

/// Where the model is and how to talk to it.
#[derive(Debug, Clone)]
pub struct OpenAiOptions {
    /// Base URL up to, not including, `/chat/completions` (`https://api.openai.com/v1`).
    pub base_url: String,
    /// The API key, sent as `Authorization: Bearer …`; empty sends no such header (local servers).
    pub api_key: Secret,
    /// The model's name.
    pub model: String,
    /// Bounds of every wait.
    pub timeouts: Timeouts,
    /// Sends the token limit as `max_tokens`, which OpenAI has deprecated but many compatible servers still want, instead of
    /// `max_completion_tokens`.
    pub legacy_max_tokens: bool,
    /// Asks for the tokens of each answer; a few compatible servers refuse the question.
    pub report_usage: bool,
}

impl OpenAiOptions {
    /// OpenAI's own service with default time-outs.
    #[must_use]
    pub fn new(api_key: impl Into<Secret>, model: impl Into<String>) -> Self {
        Self {
            base_url: "https://api.openai.com/v1".into(),
            api_key: api_key.into(),
            model: model.into(),
            timeouts: Timeouts::default(),
            legacy_max_tokens: false,
            report_usage: true,
        }
    }
}
