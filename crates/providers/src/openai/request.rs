//! From the agent's history to a chat-completion request.

use async_openai::types::chat::{
    ChatCompletionMessageToolCall, ChatCompletionMessageToolCalls, ChatCompletionRequestAssistantMessage, ChatCompletionRequestMessage,
    ChatCompletionRequestSystemMessage, ChatCompletionRequestToolMessage, ChatCompletionRequestUserMessage, ChatCompletionStreamOptions,
    ChatCompletionTool, ChatCompletionTools, CreateChatCompletionRequest, FunctionCall, FunctionObject,
};
use frontdesk_agent::llm::{Message, ToolCall};
use frontdesk_agent::{ModelRequest, ToolSchema};
use serde_json::Value;

use super::OpenAiOptions;

/// Builds the request; `stream` is set.
pub(super) fn build(options: &OpenAiOptions, request: ModelRequest) -> CreateChatCompletionRequest {
    let limit = request.max_tokens;
    let mut wire = CreateChatCompletionRequest {
        model: request.model.unwrap_or_else(|| options.model.clone()),
        messages: request.messages.into_iter().map(message).collect(),
        temperature: request.temperature,
        stream: Some(true),
        stream_options: options
            .report_usage
            .then_some(ChatCompletionStreamOptions { include_usage: Some(true), include_obfuscation: None }),
        ..CreateChatCompletionRequest::default()
    };
    if !request.tools.is_empty() {
        wire.tools = Some(request.tools.into_iter().map(tool).collect());
    }
    if options.legacy_max_tokens {
        set_legacy_limit(&mut wire, limit);
    } else {
        wire.max_completion_tokens = limit;
    }
    wire
}

#[expect(deprecated, reason = "compatible servers know only the old name")]
fn set_legacy_limit(wire: &mut CreateChatCompletionRequest, limit: Option<u32>) {
    wire.max_tokens = limit;
}

fn message(message: Message) -> ChatCompletionRequestMessage {
    match message {
        Message::System { text } => {
            ChatCompletionRequestMessage::System(ChatCompletionRequestSystemMessage { content: text.into(), name: None })
        }
        Message::User { text } => ChatCompletionRequestMessage::User(ChatCompletionRequestUserMessage { content: text.into(), name: None }),
        Message::Assistant { text, tool_calls } => {
            let calls: Vec<_> = tool_calls.into_iter().map(tool_call).collect();
            // A message with neither text nor calls is refused, so an unheard answer is sent as an empty text.
            let content = (!text.is_empty() || calls.is_empty()).then(|| text.into());
            ChatCompletionRequestMessage::Assistant(ChatCompletionRequestAssistantMessage {
                content,
                tool_calls: (!calls.is_empty()).then_some(calls),
                ..ChatCompletionRequestAssistantMessage::default()
            })
        }
        Message::Tool { call, content, .. } => {
            ChatCompletionRequestMessage::Tool(ChatCompletionRequestToolMessage { content: content.into(), tool_call_id: call.0 })
        }
    }
}

fn tool_call(call: ToolCall) -> ChatCompletionMessageToolCalls {
    // Arguments that were not JSON are kept as the text that the model wrote.
    let arguments = match call.arguments {
        Value::String(text) => text,
        value => value.to_string(),
    };
    ChatCompletionMessageToolCalls::Function(ChatCompletionMessageToolCall {
        id: call.id.0,
        function: FunctionCall { name: call.name, arguments },
    })
}

fn tool(schema: ToolSchema) -> ChatCompletionTools {
    let function =
        FunctionObject { name: schema.name, description: Some(schema.description), parameters: Some(schema.parameters), strict: None };
    ChatCompletionTools::Function(ChatCompletionTool { function })
}

#[cfg(test)]
mod tests {
    use super::*;
    use frontdesk_agent::llm::ToolCallId;
    use serde_json::json;

    #[test]
    fn the_history_becomes_the_documented_json() {
        let id = ToolCallId("call_1".into());
        let call = ToolCall { id: id.clone(), name: "find_slots".into(), arguments: json!({"day": "Monday"}) };
        let request = ModelRequest {
            model: None,
            messages: vec![
                Message::System { text: "Be kind.".into() },
                Message::User { text: "Hello".into() },
                Message::Assistant { text: String::new(), tool_calls: vec![call] },
                Message::Tool { call: id, name: "find_slots".into(), content: "{\"slots\":[]}".into() },
                Message::Assistant { text: "Nothing is free.".into(), tool_calls: Vec::new() },
            ],
            tools: vec![ToolSchema { name: "find_slots".into(), description: "Finds.".into(), parameters: json!({"type": "object"}) }],
            temperature: None,
            max_tokens: Some(300),
        };
        let options = OpenAiOptions::new("key", "model-1");
        let wire = serde_json::to_value(build(&options, request.clone())).expect("serialisable");
        assert_eq!(
            wire,
            json!({
                "model": "model-1", "stream": true, "stream_options": {"include_usage": true}, "max_completion_tokens": 300,
                "messages": [
                    {"role": "system", "content": "Be kind."},
                    {"role": "user", "content": "Hello"},
                    {"role": "assistant", "tool_calls": [
                        {"id": "call_1", "type": "function", "function": {"name": "find_slots", "arguments": "{\"day\":\"Monday\"}"}}]},
                    {"role": "tool", "content": "{\"slots\":[]}", "tool_call_id": "call_1"},
                    {"role": "assistant", "content": "Nothing is free."}
                ],
                "tools": [{"type": "function", "function": {"name": "find_slots", "description": "Finds.", "parameters": {"type": "object"}}}]
            })
        );
        let named = ModelRequest { model: Some("model-2".into()), ..request.clone() };
        assert_eq!(build(&options, named).model, "model-2");
        let legacy = OpenAiOptions { legacy_max_tokens: true, ..options };
        let wire = serde_json::to_value(build(&legacy, ModelRequest { tools: Vec::new(), ..request })).expect("serialisable");
        assert_eq!((&wire["max_tokens"], wire.get("max_completion_tokens"), wire.get("tools")), (&json!(300), None, None));
    }

    #[test]
    fn arguments_that_are_no_json_go_back_as_they_came() {
        let call = ToolCall { id: ToolCallId("a".into()), name: "t".into(), arguments: Value::String("{oops".into()) };
        let wire = serde_json::to_value(tool_call(call)).expect("serialisable");
        assert_eq!(wire["function"]["arguments"], "{oops");
    }
}
