//! Putting an answer together from its chunks.

use frontdesk_agent::llm::{ToolCall, ToolCallId};
use frontdesk_agent::{ModelEvent, ProviderError, TokenUsage};
use serde::Deserialize;
use serde_json::Value;

use super::PROVIDER;
use crate::connect::clip;

/// Most tool calls in one answer.
const MAX_TOOL_CALLS: usize = 32;
/// Longest arguments of one tool call, in bytes.
const MAX_ARGUMENT_BYTES: usize = 64 * 1_024;

/// One chunk, `chat.completion.chunk`; only what is used, all of it optional.
#[derive(Debug, Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    error: Option<Fault>,
    /// Whatever it holds, an answer shall not fail for it.
    #[serde(default)]
    usage: Value,
}

#[derive(Debug, Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Delta {
    content: Option<String>,
    refusal: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<CallDelta>>,
}

#[derive(Debug, Deserialize)]
struct CallDelta {
    index: Option<usize>,
    id: Option<String>,
    function: Option<FunctionDelta>,
}

#[derive(Debug, Deserialize)]
struct FunctionDelta {
    name: Option<String>,
    arguments: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Fault {
    #[serde(default)]
    code: Value,
    #[serde(default)]
    r#type: Value,
}

/// A tool call under construction.
#[derive(Debug)]
struct Draft {
    index: usize,
    id: String,
    name: String,
    arguments: String,
}

/// Assembles one answer.
#[derive(Debug, Default)]
pub(super) struct Answer {
    drafts: Vec<Draft>,
    finished: bool,
    /// Whether the stream said that it is over.
    ended: bool,
    usage: Option<TokenUsage>,
}

impl Answer {
    /// Takes the data of one server-sent event and gives what it completes.
    pub(super) fn take(&mut self, data: &str) -> Result<Vec<ModelEvent>, ProviderError> {
        if data.trim() == "[DONE]" {
            self.ended = true;
            return Ok(self.finish());
        }
        // serde_json's text may quote the message, so only its position is told.
        let chunk: Chunk = serde_json::from_str(data).map_err(|error| broken(format!("malformed chunk at column {}", error.column())))?;
        if let Some(fault) = chunk.error {
            let code = [&fault.code, &fault.r#type].into_iter().find_map(Value::as_str).unwrap_or("an error");
            return Err(broken(format!("reported {}", clip(code))));
        }
        let count = |key: &str| chunk.usage.get(key).and_then(Value::as_u64);
        if let (Some(input), Some(output)) = (count("prompt_tokens"), count("completion_tokens")) {
            // Some servers count along with every chunk; the last one counts all.
            self.usage = Some(TokenUsage { input, output });
        }
        let mut events = Vec::new();
        // One choice was asked for.
        let Some(choice) = chunk.choices.into_iter().next() else {
            return Ok(events);
        };
        let delta = choice.delta.unwrap_or_default();
        for text in [delta.content, delta.refusal].into_iter().flatten().filter(|text| !text.is_empty()) {
            events.push(ModelEvent::Text(text));
        }
        for call in delta.tool_calls.unwrap_or_default() {
            self.add(call)?;
        }
        if choice.finish_reason.is_some_and(|reason| !reason.is_empty()) {
            events.extend(self.finish());
        }
        Ok(events)
    }

    /// What the service said that the answer took.
    pub(super) const fn usage(&self) -> Option<TokenUsage> {
        self.usage
    }

    /// Whether nothing more comes.
    pub(super) const fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether `Done` was given.
    pub(super) const fn is_finished(&self) -> bool {
        self.finished
    }

    /// Adds a piece of a tool call. Pieces belong together by index. Servers that give none, or the same for all, start a
    /// new call with a new id.
    fn add(&mut self, delta: CallDelta) -> Result<(), ProviderError> {
        let id = delta.id.filter(|id| !id.is_empty());
        let position = match delta.index {
            Some(index) => self.drafts.iter().rposition(|draft| draft.index == index),
            None => self.drafts.len().checked_sub(1),
        };
        let other_id = |draft: &Draft| id.as_ref().is_some_and(|id| !draft.id.is_empty() && *id != draft.id);
        let position = match position.filter(|position| !other_id(&self.drafts[*position])) {
            Some(position) => position,
            None if self.drafts.len() >= MAX_TOOL_CALLS => return Err(broken("more tool calls than are allowed".into())),
            None => {
                let index = delta.index.unwrap_or(self.drafts.len());
                self.drafts.push(Draft { index, id: String::new(), name: String::new(), arguments: String::new() });
                self.drafts.len() - 1
            }
        };
        let draft = &mut self.drafts[position];
        if let Some(id) = id {
            draft.id = id;
        }
        if let Some(function) = delta.function {
            // The name comes once and whole; some servers repeat it in every piece.
            if let Some(name) = function.name.filter(|name| !name.is_empty()) {
                draft.name = name;
            }
            draft.arguments.push_str(&function.arguments.unwrap_or_default());
        }
        if draft.arguments.len() > MAX_ARGUMENT_BYTES { Err(broken("arguments longer than is allowed".into())) } else { Ok(()) }
    }

    fn finish(&mut self) -> Vec<ModelEvent> {
        if self.finished {
            return Vec::new();
        }
        self.finished = true;
        let calls = self.drafts.drain(..).enumerate().map(|(position, draft)| {
            let id = if draft.id.is_empty() { format!("call_{position}") } else { draft.id };
            ModelEvent::ToolCall(ToolCall { id: ToolCallId(id), name: draft.name, arguments: parse(draft.arguments) })
        });
        let mut events: Vec<ModelEvent> = calls.collect();
        events.push(ModelEvent::Done);
        events
    }
}

/// The arguments as JSON; text that is none stays text, so that validation can say so.
fn parse(arguments: String) -> Value {
    if arguments.trim().is_empty() {
        return Value::Object(serde_json::Map::new());
    }
    serde_json::from_str(&arguments).unwrap_or(Value::String(arguments))
}

fn broken(reason: String) -> ProviderError {
    ProviderError::Broken { provider: PROVIDER, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn delta(delta: Value) -> String {
        json!({"choices": [{"index": 0, "delta": delta}]}).to_string()
    }

    fn call(id: &str, name: &str, arguments: Value) -> ModelEvent {
        ModelEvent::ToolCall(ToolCall { id: ToolCallId(id.into()), name: name.into(), arguments })
    }

    fn all(chunks: &[String]) -> Vec<ModelEvent> {
        let mut answer = Answer::default();
        chunks.iter().flat_map(|chunk| answer.take(chunk).expect("a valid chunk")).collect()
    }

    #[test]
    fn text_streams_and_ends_once() {
        let events = all(&[
            delta(json!({"role": "assistant", "content": ""})),
            delta(json!({"content": "Good "})),
            delta(json!({"content": "morning."})),
            json!({"choices": [{"delta": {}, "finish_reason": "stop"}]}).to_string(),
            json!({"choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3}}).to_string(),
            "[DONE]".into(),
        ]);
        assert_eq!(events, [ModelEvent::Text("Good ".into()), ModelEvent::Text("morning.".into()), ModelEvent::Done]);
    }

    #[test]
    fn parallel_calls_are_assembled_by_index() {
        let piece = |index: usize, arguments: &str| delta(json!({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}));
        let events = all(&[
            delta(json!({"content": "One moment."})),
            delta(
                json!({"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "find_slots", "arguments": ""}}]}),
            ),
            delta(
                json!({"tool_calls": [{"index": 1, "id": "b", "type": "function", "function": {"name": "note_intent", "arguments": "{\"in"}}]}),
            ),
            piece(0, "{\"day\":"),
            piece(1, "tent\":\"book\"}"),
            piece(0, "\"Monday\"}"),
            json!({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}).to_string(),
        ]);
        assert_eq!(
            events,
            [
                ModelEvent::Text("One moment.".into()),
                call("a", "find_slots", json!({"day": "Monday"})),
                call("b", "note_intent", json!({"intent": "book"})),
                ModelEvent::Done
            ]
        );
    }

    #[test]
    fn servers_without_index_or_id_are_understood() {
        let events = all(&[
            delta(
                json!({"tool_calls": [{"id": "x", "function": {"name": "one", "arguments": "{}"}}, {"id": "y", "function": {"name": "two"}}]}),
            ),
            delta(json!({"tool_calls": [{"index": 0, "id": "z", "function": {"name": "three", "arguments": "not json"}}]})),
            "[DONE]".into(),
        ]);
        assert_eq!(
            events,
            [call("x", "one", json!({})), call("y", "two", json!({})), call("z", "three", json!("not json")), ModelEvent::Done]
        );
        let events = all(&[delta(json!({"tool_calls": [{"index": 0, "function": {"name": "one", "arguments": "{}"}}]})), "[DONE]".into()]);
        assert_eq!(events[0], call("call_0", "one", json!({})));
    }

    #[test]
    fn faults_and_floods_are_typed_and_quote_nothing() {
        let mut answer = Answer::default();
        let error = answer.take("{\"choices\": \"Ada\"}").expect_err("malformed");
        assert!(!error.to_string().contains("Ada") && error.is_retryable());
        let error = answer.take(r#"{"error":{"message":"Ada","type":"server_error","code":null}}"#).expect_err("a fault");
        assert_eq!(error.to_string(), "openai broke off: reported server_error");
        for index in 0..MAX_TOOL_CALLS {
            answer.take(&delta(json!({"tool_calls": [{"index": index, "function": {"name": "x"}}]}))).expect("within the bound");
        }
        answer.take(&delta(json!({"tool_calls": [{"index": 99, "function": {"name": "x"}}]}))).expect_err("too many calls");
        let long = "x".repeat(MAX_ARGUMENT_BYTES + 1);
        answer.take(&delta(json!({"tool_calls": [{"index": 0, "function": {"arguments": long}}]}))).expect_err("too long");
    }
}
