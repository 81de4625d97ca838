//! A model that answers from a script.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use frontdesk_conversation::{ToolCall, ToolCallId};
use serde_json::Value;
use tokio::time::sleep;

use crate::error::ProviderError;
use crate::llm::{LanguageModel, ModelEvent, ModelRequest, ModelStream};
use crate::usage::TokenUsage;

/// One scripted answer.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Text, streamed word by word.
    Text(String),
    /// A tool call, after some text (which may be empty).
    Tool {
        /// Said before.
        text: String,
        /// The tool.
        name: String,
        /// Its arguments.
        arguments: Value,
    },
    /// The request fails.
    Fails(ProviderError),
    /// Nothing ever comes.
    Hangs,
}

#[derive(Default)]
struct Script {
    answers: VecDeque<Answer>,
    first_token: Duration,
    requests: Vec<ModelRequest>,
    warmed: u32,
    dropped: u32,
}

/// Chooses an answer by the request.
type Brain = Arc<dyn Fn(&ModelRequest) -> Answer + Send + Sync>;

/// A model for tests: asks its brain, if it has one, else takes the next answer of its script.
#[derive(Clone, Default)]
pub struct FakeLlm {
    script: Arc<Mutex<Script>>,
    brain: Option<Brain>,
}

impl FakeLlm {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an answer.
    #[must_use]
    pub fn answering(self, answer: Answer) -> Self {
        self.script().answers.push_back(answer);
        self
    }

    /// Adds an answer of text.
    #[must_use]
    pub fn saying(self, text: &str) -> Self {
        self.answering(Answer::Text(text.into()))
    }

    /// Adds a tool call.
    #[must_use]
    pub fn calling(self, name: &str, arguments: Value) -> Self {
        self.answering(Answer::Tool { text: String::new(), name: name.into(), arguments })
    }

    /// Answers what `brain` chooses.
    #[must_use]
    pub fn thinking(mut self, brain: impl Fn(&ModelRequest) -> Answer + Send + Sync + 'static) -> Self {
        self.brain = Some(Arc::new(brain));
        self
    }

    /// Time to the first piece of an answer.
    pub fn set_first_token(&self, delay: Duration) {
        self.script().first_token = delay;
    }

    /// What was asked.
    #[must_use]
    pub fn requests(&self) -> Vec<ModelRequest> {
        self.script().requests.clone()
    }

    /// How many answers were dropped before their end.
    #[must_use]
    pub fn dropped(&self) -> u32 {
        self.script().dropped
    }

    /// How often it was warmed up.
    #[must_use]
    pub fn warmed(&self) -> u32 {
        self.script().warmed
    }
}

#[async_trait]
impl LanguageModel for FakeLlm {
    async fn ask(&self, request: ModelRequest) -> Result<Box<dyn ModelStream>, ProviderError> {
        let answer = match &self.brain {
            Some(brain) => brain(&request),
            None => self.script().answers.pop_front().unwrap_or(Answer::Hangs),
        };
        let (first_token, number) = {
            let mut script = self.script();
            script.requests.push(request);
            (script.first_token, script.requests.len())
        };
        let (text, call) = match answer {
            Answer::Fails(error) => return Err(error),
            Answer::Hangs => (None, None),
            Answer::Text(text) => (Some(text), None),
            Answer::Tool { text, name, arguments } => {
                let id = ToolCallId(format!("call_{number}"));
                (Some(text), Some(ToolCall { id, name, arguments }))
            }
        };
        let hangs = text.is_none();
        let mut pieces: VecDeque<ModelEvent> =
            text.iter().flat_map(|text| text.split_inclusive(' ')).map(|word| ModelEvent::Text(word.into())).collect();
        pieces.extend(call.map(ModelEvent::ToolCall));
        pieces.push_back(ModelEvent::Done);
        Ok(Box::new(Stream { llm: self.clone(), pieces, wait: first_token, hangs, ended: false }))
    }

    async fn warm_up(&self) {
        self.script().warmed += 1;
    }

    fn name(&self) -> &'static str {
        "fake-llm"
    }
}

/// What each answer of a [`FakeLlm`] takes, as it says.
pub const FAKE_USAGE: TokenUsage = TokenUsage { input: 100, output: 10 };

struct Stream {
    llm: FakeLlm,
    pieces: VecDeque<ModelEvent>,
    wait: Duration,
    hangs: bool,
    ended: bool,
}

#[async_trait]
impl ModelStream for Stream {
    async fn next_event(&mut self) -> Result<Option<ModelEvent>, ProviderError> {
        if self.hangs {
            return std::future::pending().await;
        }
        sleep(self.wait).await;
        self.wait = Duration::from_millis(20);
        let piece = self.pieces.pop_front();
        self.ended = self.pieces.is_empty();
        Ok(piece)
    }

    async fn usage(&mut self) -> Option<TokenUsage> {
        Some(FAKE_USAGE)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if !self.ended {
            self.llm.script().dropped += 1;
        }
    }
}
