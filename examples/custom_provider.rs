//! A provider of one's own: a language model that is no service, which streams its answer word by word.
//!
//! `cargo run --example custom_provider console` needs no key at all.

use std::collections::VecDeque;

use async_trait::async_trait;
use frontdesk::agents::{
    Agent, Calls, CommandError, JobFailure, LanguageModel, Message, ModelEvent, ModelRequest, ModelStream, ProviderError, run,
};

/// Answers from a table.
pub(crate) struct Table;

/// What is left of an answer.
struct Words(VecDeque<String>);

#[async_trait]
impl LanguageModel for Table {
    async fn ask(&self, request: ModelRequest) -> Result<Box<dyn ModelStream>, ProviderError> {
        let said = request.messages.iter().rev().find_map(|message| match message {
            Message::User { text } => Some(text.to_lowercase()),
            _ => None,
        });
        let answer = match said.as_deref().unwrap_or_default() {
            said if said.contains("open") => "We are open from ten to six.",
            said if said.contains("price") => "A tube is eight dollars.",
            _ => "I only know hours and prices.",
        };
        Ok(Box::new(Words(answer.split_inclusive(' ').map(str::to_owned).collect())))
    }

    fn name(&self) -> &'static str {
        "table"
    }
}

#[async_trait]
impl ModelStream for Words {
    async fn next_event(&mut self) -> Result<Option<ModelEvent>, ProviderError> {
        Ok(Some(self.0.pop_front().map_or(ModelEvent::Done, ModelEvent::Text)))
    }
}

/// Who answers. What a real model would load is loaded before the worker registers.
pub(crate) fn calls(load: impl Fn() -> Result<(), JobFailure> + Clone + Send + Sync + 'static) -> Calls {
    let desk = Agent::new("desk").greeting("Hello, the bicycle shop.");
    Calls::answered_by([desk]).llm(Table).prewarm(move || std::future::ready(load()))
}

#[tokio::main]
async fn main() -> Result<(), CommandError> {
    run("shop", calls(|| Ok(()))).await
}
