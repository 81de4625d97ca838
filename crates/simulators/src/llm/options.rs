//! How the service behaves.

use std::time::Duration;

use frontdesk_agent::ModelRequest;
use frontdesk_agent::llm::Message;
use tokio::sync::mpsc;

use super::answer::Answer;
use super::receptionist::Receptionist;

/// Delays and mode of a simulated service.
#[derive(Debug, Clone)]
pub struct LlmOptions {
    /// From the request to the first piece of the answer.
    pub first_token: Duration,
    /// From each piece, a word or so, to the next.
    pub word: Duration,
    /// What is answered.
    pub mode: LlmMode,
    /// Is told what the caller has said, line by line, as each request gives it. Never waited for: what does not fit is not told.
    pub caller_lines: Option<mpsc::Sender<Vec<String>>>,
}

impl Default for LlmOptions {
    fn default() -> Self {
        Self { first_token: Duration::from_millis(200), word: Duration::from_millis(20), mode: LlmMode::Receptionist, caller_lines: None }
    }
}

impl LlmOptions {
    /// Tells the caller's lines of a request to whoever wants them.
    pub(super) fn tell(&self, request: &ModelRequest) {
        let Some(listener) = &self.caller_lines else { return };
        let line = |message: &Message| match message {
            Message::User { text } => Some(text.clone()),
            _ => None,
        };
        let _untold = listener.try_send(request.messages.iter().filter_map(line).collect());
    }
}

/// What a simulated service answers.
#[derive(Debug, Clone, Default)]
pub enum LlmMode {
    /// Follows rules, as a receptionist would.
    #[default]
    Receptionist,
    /// Does not listen: the n-th answer for the n-th request of a conversation, again from the first after the last. Which one it is
    /// follows from the messages, so that a repeated request gets the same answer.
    Scripted(Vec<Answer>),
}

impl LlmMode {
    /// The answer to a request.
    #[must_use]
    pub fn answer(&self, request: &ModelRequest) -> Answer {
        match self {
            Self::Receptionist => Receptionist::answer(request),
            Self::Scripted(answers) => {
                // A conversation asks after each turn of the caller and after each step with tools.
                let asks = |message: &&Message| match message {
                    Message::User { .. } => true,
                    Message::Assistant { tool_calls, .. } => !tool_calls.is_empty(),
                    _ => false,
                };
                let number = request.messages.iter().filter(asks).count().saturating_sub(1);
                answers.get(number % answers.len().max(1)).cloned().unwrap_or_default()
            }
        }
    }
}
