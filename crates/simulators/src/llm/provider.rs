//! The service behind the agent's trait, without sockets: for tests in virtual time and for benches.

use std::collections::VecDeque;
use std::time::Duration;

use async_trait::async_trait;
use frontdesk_agent::llm::{ToolCall, ToolCallId};
use frontdesk_agent::{LanguageModel, ModelEvent, ModelRequest, ModelStream, ProviderError};
use tokio::time::Instant;

use super::answer::{Call, Finish, Piece, pieces, schedule};
use super::options::LlmOptions;

/// A simulated service as [`LanguageModel`]. Time is tokio's, so it may be virtual.
#[derive(Debug, Clone, Default)]
pub struct SimulatedLlm {
    options: LlmOptions,
}

impl SimulatedLlm {
    /// A service that behaves as the options say.
    #[must_use]
    pub const fn new(options: LlmOptions) -> Self {
        Self { options }
    }
}

#[async_trait]
impl LanguageModel for SimulatedLlm {
    async fn ask(&self, request: ModelRequest) -> Result<Box<dyn ModelStream>, ProviderError> {
        self.options.tell(&request);
        let answer = self.options.mode.answer(&request);
        let mut events = VecDeque::new();
        for (due, piece) in schedule(pieces(&answer, request.max_tokens), &self.options) {
            match piece {
                Piece::Text(text) => events.push_back((due, ModelEvent::Text(text))),
                Piece::CallBegins { .. } | Piece::Arguments { .. } => {}
                Piece::Finish(finish) => {
                    // A call is given once its arguments are complete.
                    let calls = if finish == Finish::ToolCalls { answer.calls.as_slice() } else { &[] };
                    events.extend(calls.iter().map(|call| (due, tool_call(call))));
                    events.push_back((due, ModelEvent::Done));
                }
            }
        }
        Ok(Box::new(Stream { started: Instant::now(), events }))
    }

    fn name(&self) -> &'static str {
        "simulated"
    }
}

fn tool_call(call: &Call) -> ModelEvent {
    let id = format!("call_{}", uuid::Uuid::new_v4().simple());
    ModelEvent::ToolCall(ToolCall { id: ToolCallId(id), name: call.name.clone(), arguments: call.arguments.clone() })
}

struct Stream {
    started: Instant,
    events: VecDeque<(Duration, ModelEvent)>,
}

#[async_trait]
impl ModelStream for Stream {
    async fn next_event(&mut self) -> Result<Option<ModelEvent>, ProviderError> {
        let Some(due) = self.events.front().map(|(due, _)| self.started + *due) else { return Ok(None) };
        tokio::time::sleep_until(due).await;
        Ok(self.events.pop_front().map(|(_, event)| event))
    }
}

#[cfg(test)]
mod tests {
    use frontdesk_agent::ToolSchema;
    use frontdesk_agent::llm::Message;
    use serde_json::json;

    use super::*;

    async fn ask(request: ModelRequest) -> Vec<(u128, ModelEvent)> {
        let asked = Instant::now();
        let mut stream = SimulatedLlm::default().ask(request).await.expect("always");
        let mut events = Vec::new();
        while let Some(event) = stream.next_event().await.expect("never fails") {
            events.push((asked.elapsed().as_millis(), event));
        }
        events
    }

    #[tokio::test(start_paused = true)]
    async fn the_delays_are_virtual_time() {
        let parameters = json!({ "type": "object", "properties": { "intent": {} } });
        let tool = ToolSchema { name: "note_intent".into(), description: String::new(), parameters };
        let user = Message::User { text: "I would like to book an appointment.".into() };
        let request = ModelRequest { messages: vec![user], tools: vec![tool], ..ModelRequest::default() };
        let events = ask(request.clone()).await;
        assert_eq!(events[0], (200, ModelEvent::Text("Gladly.".into())));
        // A word, the begin of a call, its arguments.
        assert!(matches!(&events[1], (240, ModelEvent::ToolCall(call)) if call.arguments == json!({ "intent": "book" })));
        assert_eq!(events[2], (240, ModelEvent::Done));
        let cut = ask(ModelRequest { max_tokens: Some(2), ..request }).await;
        assert_eq!(cut.last(), Some(&(220, ModelEvent::Done)));
        assert_eq!(cut.len(), 2, "a call that was cut off is none");
    }
}
