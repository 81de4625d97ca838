//! OpenAI's wire format: requests read and checked, answers and errors written (platform.openai.com, "API reference, Chat").
//!
//! What the real service refuses is refused here too, above all histories in which a tool call has no output or an output no call.

use std::collections::BTreeSet;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use frontdesk_agent::llm::{Message, ToolCall, ToolCallId};
use frontdesk_agent::{ModelRequest, ToolSchema};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Members of a request; others are refused with 400. Most have no effect here.
const KNOWN_ARGUMENTS: &[&str] = &[
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "metadata",
    "modalities",
    "model",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
];
/// Models that are known; those of other vendors answer 404.
const MODEL_PREFIXES: [&str; 2] = ["gpt-", "simulated"];
/// What `GET /v1/models` lists.
pub(super) const MODELS: [&str; 3] = ["gpt-4.1-mini", "gpt-4.1", "simulated-receptionist"];
/// Most tools of a request.
const TOOLS_MAX: usize = 128;

/// A request as it is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) kind: &'static str,
    pub(super) code: Option<&'static str>,
    pub(super) param: Option<String>,
    pub(super) message: String,
}

impl Refusal {
    fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        let param = Some(param.into()).filter(|param| !param.is_empty());
        Self { status: StatusCode::BAD_REQUEST, kind: "invalid_request_error", code: None, param, message: message.into() }
    }

    fn coded(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    pub(super) fn unauthorised(has_key: bool) -> Self {
        let message = if has_key { "Incorrect API key provided." } else { "You didn't provide an API key." };
        let code = has_key.then_some("invalid_api_key");
        Self { status: StatusCode::UNAUTHORIZED, kind: "invalid_request_error", code, param: None, message: message.into() }
    }

    pub(super) fn rate_limited() -> Self {
        let message = "Rate limit reached for requests per minute. Please try again later.".into();
        Self { status: StatusCode::TOO_MANY_REQUESTS, kind: "requests", code: Some("rate_limit_exceeded"), param: None, message }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error = json!({ "message": self.message, "type": self.kind, "param": self.param, "code": self.code });
        (self.status, Json(json!({ "error": error }))).into_response()
    }
}

/// A request that is understood.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    pub(super) model: String,
    pub(super) request: ModelRequest,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
}

#[derive(Debug, Deserialize)]
struct Body {
    model: String,
    messages: Vec<WireMessage>,
    tools: Option<Vec<WireTool>>,
    tool_choice: Option<Value>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    temperature: Option<f32>,
    n: Option<u32>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct WireMessage {
    role: String,
    content: Option<Content>,
    tool_calls: Option<Vec<WireCall>>,
    tool_call_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
struct Part {
    text: Option<String>,
}

#[derive(Debug, Deserialize)]
struct WireCall {
    id: String,
    r#type: String,
    function: WireFunction,
}

#[derive(Debug, Deserialize)]
struct WireFunction {
    name: String,
    arguments: String,
}

#[derive(Debug, Deserialize)]
struct WireTool {
    r#type: String,
    function: WireSchema,
}

#[derive(Debug, Deserialize)]
struct WireSchema {
    name: String,
    description: Option<String>,
    parameters: Option<Value>,
}

/// Reads and checks a request.
pub(super) fn read(body: &[u8]) -> Result<Asked, Refusal> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|_| Refusal::invalid("", "We could not parse the JSON body of your request. The OpenAI API expects a JSON payload."))?;
    let Value::Object(members) = &value else {
        return Err(Refusal::invalid("", "The body of your request must be a JSON object."));
    };
    check_members(members)?;
    // serde_json's own text may quote what callers said, so only the kind of the problem is told.
    let body: Body = serde_json::from_value(value).map_err(|error| {
        let what = if error.is_data() { "a value of the wrong type or a missing member" } else { "malformed JSON" };
        Refusal::invalid("", format!("Invalid request: {what}.")).coded("invalid_type")
    })?;
    if !MODEL_PREFIXES.iter().any(|prefix| body.model.starts_with(prefix)) {
        return Err(Refusal {
            status: StatusCode::NOT_FOUND,
            ..Refusal::invalid("", format!("The model `{}` does not exist or you do not have access to it.", body.model))
                .coded("model_not_found")
        });
    }
    check_values(&body)?;
    let tools = tools(body.tools)?;
    let none = body.tool_choice.as_ref().is_some_and(|choice| choice == "none");
    Ok(Asked {
        model: body.model,
        request: ModelRequest {
            model: None,
            messages: messages(body.messages)?,
            tools: if none { Vec::new() } else { tools },
            temperature: body.temperature,
            max_tokens: body.max_completion_tokens.or(body.max_tokens),
        },
        stream: body.stream.unwrap_or_default(),
        include_usage: body.stream_options.and_then(|options| options.include_usage).unwrap_or_default(),
    })
}

fn check_members(members: &Map<String, Value>) -> Result<(), Refusal> {
    if let Some(name) = members.keys().find(|name| !KNOWN_ARGUMENTS.contains(&name.as_str())) {
        return Err(Refusal::invalid("", format!("Unrecognized request argument supplied: {name}")));
    }
    if !members.contains_key("model") {
        return Err(Refusal::invalid("", "you must provide a model parameter"));
    }
    if !members.contains_key("messages") {
        return Err(Refusal::invalid("messages", "Missing required parameter: 'messages'.").coded("missing_required_parameter"));
    }
    Ok(())
}

fn check_values(body: &Body) -> Result<(), Refusal> {
    if body.temperature.is_some_and(|temperature| !(0.0..=2.0).contains(&temperature)) {
        return Err(Refusal::invalid("temperature", "Invalid 'temperature': expected a number from 0 to 2."));
    }
    if body.n.is_some_and(|n| n != 1) {
        return Err(Refusal::invalid("n", "this simulator takes n=1 only"));
    }
    if body.max_tokens.is_some() && body.max_completion_tokens.is_some() {
        return Err(Refusal::invalid("max_tokens", "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."));
    }
    if body.max_tokens.or(body.max_completion_tokens) == Some(0) {
        return Err(Refusal::invalid("max_tokens", "Invalid 'max_tokens': expected a value of at least 1."));
    }
    if body.stream_options.is_some() && body.stream != Some(true) {
        return Err(Refusal::invalid("stream_options", "The 'stream_options' parameter is only allowed when 'stream' is enabled."));
    }
    let choices = ["auto", "none"];
    if body.tool_choice.as_ref().is_some_and(|choice| !choices.iter().any(|known| choice == known)) {
        return Err(Refusal::invalid("tool_choice", "this simulator takes tool_choice `auto` and `none` only"));
    }
    if body.tool_choice.is_some() && body.tools.is_none() {
        return Err(Refusal::invalid("tool_choice", "'tool_choice' is only allowed when 'tools' are specified."));
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || [b'_', b'-'].contains(&byte))
}

fn tools(tools: Option<Vec<WireTool>>) -> Result<Vec<ToolSchema>, Refusal> {
    let Some(tools) = tools else { return Ok(Vec::new()) };
    if tools.is_empty() {
        return Err(
            Refusal::invalid("tools", "Invalid 'tools': empty array. Expected an array with minimum length 1.").coded("empty_array")
        );
    }
    if tools.len() > TOOLS_MAX {
        return Err(Refusal::invalid("tools", "Invalid 'tools': array too long.").coded("array_above_max_length"));
    }
    let schema = |(at, tool): (usize, WireTool)| {
        let WireSchema { name, description, parameters } = tool.function;
        if tool.r#type != "function" {
            return Err(Refusal::invalid(format!("tools[{at}].type"), "Invalid value: expected 'function'."));
        }
        if !is_name(&name) {
            let message = "Invalid name: string does not match pattern. Expected '^[a-zA-Z0-9_-]{1,64}$'.";
            return Err(Refusal::invalid(format!("tools[{at}].function.name"), message));
        }
        let parameters = parameters.unwrap_or_else(|| json!({ "type": "object", "properties": {} }));
        if parameters.get("type").is_none_or(|kind| kind != "object") {
            let message = format!("Invalid schema for function '{name}': schema must be a JSON Schema of 'type: \"object\"'.");
            let param = format!("tools[{at}].function.parameters");
            return Err(Refusal::invalid(param, message).coded("invalid_function_parameters"));
        }
        Ok(ToolSchema { name, description: description.unwrap_or_default(), parameters })
    };
    tools.into_iter().enumerate().map(schema).collect()
}

fn messages(messages: Vec<WireMessage>) -> Result<Vec<Message>, Refusal> {
    if messages.is_empty() {
        return Err(
            Refusal::invalid("messages", "Invalid 'messages': empty array. Expected an array with minimum length 1.").coded("empty_array")
        );
    }
    let mut read = Vec::with_capacity(messages.len());
    // Calls of the last assistant message whose outputs have not come: (id, name).
    let mut open: Vec<(String, String)> = Vec::new();
    for (at, message) in messages.into_iter().enumerate() {
        let param = |rest: &str| format!("messages[{at}].{rest}");
        let is_tool = message.role == "tool";
        if !is_tool && !open.is_empty() {
            return Err(unanswered(&open));
        }
        let has_content = message.content.is_some();
        let text = text(message.content);
        let calls = message.tool_calls.unwrap_or_default();
        if !calls.is_empty() && message.role != "assistant" {
            return Err(Refusal::invalid(param("tool_calls"), "Only messages with role 'assistant' may have 'tool_calls'."));
        }
        if !has_content && calls.is_empty() {
            return Err(Refusal::invalid(param("content"), "Invalid value for 'content': expected a string, got null."));
        }
        read.push(match message.role.as_str() {
            "system" | "developer" => Message::System { text },
            "user" => Message::User { text },
            "assistant" => {
                open = calls.iter().map(|call| (call.id.clone(), call.function.name.clone())).collect();
                if open.iter().map(|(id, _)| id).collect::<BTreeSet<_>>().len() < open.len() {
                    return Err(Refusal::invalid(param("tool_calls"), "Duplicate 'tool_call_id'."));
                }
                let tool_calls = calls.into_iter().map(|call| self::call(call, at)).collect::<Result<_, _>>()?;
                Message::Assistant { text, tool_calls }
            }
            "tool" => {
                let id = message.tool_call_id.unwrap_or_default();
                let Some(position) = open.iter().position(|(open, _)| *open == id) else {
                    let message =
                        "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.";
                    return Err(Refusal::invalid(param("role"), message));
                };
                let (id, name) = open.remove(position);
                Message::Tool { call: ToolCallId(id), name, content: text }
            }
            _ => return Err(Refusal::invalid(param("role"), "Invalid value for 'role'.").coded("invalid_value")),
        });
    }
    if open.is_empty() { Ok(read) } else { Err(unanswered(&open)) }
}

fn unanswered(open: &[(String, String)]) -> Refusal {
    let ids: Vec<&str> = open.iter().map(|(id, _)| id.as_str()).collect();
    let message = format!(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following \
         tool_call_ids did not have response messages: {}",
        ids.join(", ")
    );
    Refusal::invalid("messages", message)
}

fn text(content: Option<Content>) -> String {
    match content {
        None => String::new(),
        Some(Content::Text(text)) => text,
        Some(Content::Parts(parts)) => parts.into_iter().filter_map(|part| part.text).collect::<Vec<_>>().join("\n"),
    }
}

fn call(call: WireCall, at: usize) -> Result<ToolCall, Refusal> {
    let WireFunction { name, arguments } = call.function;
    if call.r#type != "function" || call.id.is_empty() || !is_name(&name) {
        return Err(Refusal::invalid(
            format!("messages[{at}].tool_calls"),
            "Invalid value: expected function calls with an id and a name.",
        ));
    }
    // Text that is no JSON was the model's own mistake; the service takes it back as it is.
    let arguments = serde_json::from_str(&arguments).unwrap_or(Value::String(arguments));
    Ok(ToolCall { id: ToolCallId(call.id), name, arguments })
}
