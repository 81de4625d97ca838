//! The service on OpenAI's wire: `POST /v1/chat/completions`, streamed or whole, and `GET /v1/models`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use frontdesk_agent::llm::Message;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::answer::{Answer, Finish, Piece, pieces, schedule};
use super::options::LlmOptions;
use super::wire::{self, Asked, MODELS, Refusal};
use crate::wire::authorised;

/// In which requests are counted.
const MINUTE: Duration = Duration::from_secs(60);

/// What all requests share.
#[derive(Debug, Clone)]
struct Shared {
    key: Arc<str>,
    options: Arc<LlmOptions>,
    stop: CancellationToken,
    /// Requests of the last minute, and how many are allowed.
    limit: Option<(usize, Arc<Mutex<VecDeque<Instant>>>)>,
}

/// The service's routes, without a limit on requests. When `stop` is cancelled, answers break off.
pub fn router(key: &str, options: LlmOptions, stop: CancellationToken) -> Router {
    routes(Shared { key: key.into(), options: Arc::new(options), stop, limit: None })
}

/// The same; requests beyond so many a minute are refused with 429 and `retry-after`.
pub fn router_with_limit(key: &str, options: LlmOptions, requests_per_minute: usize, stop: CancellationToken) -> Router {
    let limit = Some((requests_per_minute, Arc::default()));
    routes(Shared { key: key.into(), options: Arc::new(options), stop, limit })
}

fn routes(shared: Shared) -> Router {
    Router::new().route("/v1/chat/completions", post(complete)).route("/v1/models", get(models)).with_state(shared)
}

impl Shared {
    fn authorise(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        if authorised(headers, &self.key) { Ok(()) } else { Err(Refusal::unauthorised(headers.contains_key(header::AUTHORIZATION))) }
    }

    /// Counts a request; how long to wait, if there were too many.
    fn count(&self) -> Result<(), Duration> {
        let Some((allowed, recent)) = &self.limit else { return Ok(()) };
        let now = Instant::now();
        let mut recent = recent.lock().unwrap_or_else(PoisonError::into_inner);
        while recent.front().is_some_and(|at| now.duration_since(*at) >= MINUTE) {
            recent.pop_front();
        }
        if recent.len() < *allowed {
            recent.push_back(now);
            return Ok(());
        }
        Err(recent.front().map_or(MINUTE, |at| (*at + MINUTE).duration_since(now)))
    }
}

async fn models(State(shared): State<Shared>, headers: HeaderMap) -> Result<Response, Refusal> {
    shared.authorise(&headers)?;
    let model = |id: &&str| json!({ "id": id, "object": "model", "created": 1_700_000_000, "owned_by": "frontdesk" });
    Ok(Json(json!({ "object": "list", "data": MODELS.iter().map(model).collect::<Vec<_>>() })).into_response())
}

async fn complete(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Result<Response, Refusal> {
    let asked_at = Instant::now();
    shared.authorise(&headers)?;
    let asked = wire::read(&body)?;
    if let Err(wait) = shared.count() {
        let mut response = Refusal::rate_limited().into_response();
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
        return Ok(response);
    }
    shared.options.tell(&asked.request);
    let answer = shared.options.mode.answer(&asked.request);
    let pieces = pieces(&answer, asked.request.max_tokens);
    let completion = Completion::new(asked, &pieces);
    let timed = schedule(pieces, &shared.options).map(|(due, piece)| (asked_at + due, piece));
    if completion.asked.stream {
        return Ok(stream(completion, timed.collect(), shared.stop));
    }
    let (due, finish) = timed.fold((asked_at, Finish::Stop), |_, (due, piece)| match piece {
        Piece::Finish(finish) => (due, finish),
        _ => (due, Finish::Stop),
    });
    tokio::time::sleep_until(due).await;
    Ok(Json(completion.whole(&answer, finish)).into_response())
}

/// Answers with server-sent events, each when it is due.
fn stream(completion: Completion, timed: Vec<(Instant, Piece)>, stop: CancellationToken) -> Response {
    let mut events: VecDeque<(Option<Instant>, String)> = VecDeque::new();
    let event = |data: &Value| format!("data: {data}\n\n");
    let first = timed.first().map(|(due, _)| *due);
    events.push_back((first, event(&completion.chunk(json!({ "role": "assistant", "content": "", "refusal": null }), None))));
    for (due, piece) in timed {
        let (delta, finish) = completion.delta(piece);
        events.push_back((Some(due), event(&completion.chunk(delta, finish))));
    }
    if completion.asked.include_usage {
        events.push_back((None, event(&completion.usage_chunk())));
    }
    events.push_back((None, "data: [DONE]\n\n".into()));
    let body = stream::unfold((events, stop), |(mut events, stop)| async move {
        let (due, text) = events.pop_front()?;
        if let Some(due) = due {
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                () = stop.cancelled() => return None,
            }
        }
        Some((Ok::<_, Infallible>(Bytes::from(text)), (events, stop)))
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];
    (headers, Body::from_stream(body)).into_response()
}

/// What the chunks of one answer have in common.
struct Completion {
    asked: Asked,
    id: String,
    created: i64,
    call_ids: Vec<String>,
    completion_tokens: usize,
}

impl Completion {
    fn new(asked: Asked, pieces: &[Piece]) -> Self {
        let calls = pieces.iter().filter(|piece| matches!(piece, Piece::CallBegins { .. })).count();
        let id = || uuid::Uuid::new_v4().simple().to_string();
        Self {
            asked,
            id: format!("chatcmpl-{}", id()),
            created: chrono::Utc::now().timestamp(),
            call_ids: (0..calls).map(|_| format!("call_{}", id())).collect(),
            completion_tokens: pieces.len().saturating_sub(1),
        }
    }

    fn call_id(&self, index: usize) -> &str {
        self.call_ids.get(index).map_or("", String::as_str)
    }

    fn delta(&self, piece: Piece) -> (Value, Option<Finish>) {
        match piece {
            Piece::Text(text) => (json!({ "content": text }), None),
            Piece::CallBegins { index, name } => {
                let function = json!({ "name": name, "arguments": "" });
                (json!({ "tool_calls": [{ "index": index, "id": self.call_id(index), "type": "function", "function": function }] }), None)
            }
            Piece::Arguments { index, fragment } => {
                (json!({ "tool_calls": [{ "index": index, "function": { "arguments": fragment } }] }), None)
            }
            Piece::Finish(finish) => (json!({}), Some(finish)),
        }
    }

    fn document(&self, object: &str, choices: Value, usage: Option<Value>) -> Value {
        let mut document = json!({
            "id": self.id,
            "object": object,
            "created": self.created,
            "model": self.asked.model,
            "service_tier": "default",
            "system_fingerprint": null,
            "choices": choices,
        });
        if let (Some(usage), Some(members)) = (usage, document.as_object_mut()) {
            members.insert("usage".into(), usage);
        }
        document
    }

    fn chunk(&self, delta: Value, finish: Option<Finish>) -> Value {
        let choice = json!({ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish.map(Finish::reason) });
        // With usage asked for, every chunk but the last says that it has none.
        self.document("chat.completion.chunk", json!([choice]), self.asked.include_usage.then_some(Value::Null))
    }

    fn usage_chunk(&self) -> Value {
        self.document("chat.completion.chunk", json!([]), Some(self.usage()))
    }

    /// Words stand for tokens.
    fn usage(&self) -> Value {
        let words = |message: &Message| match message {
            Message::System { text } | Message::User { text } | Message::Assistant { text, .. } => text.split_whitespace().count(),
            Message::Tool { content, .. } => content.split_whitespace().count(),
        };
        let prompt: usize = self.asked.request.messages.iter().map(words).sum();
        let completion = self.completion_tokens;
        json!({ "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion })
    }

    /// The answer in one document.
    fn whole(&self, answer: &Answer, finish: Finish) -> Value {
        let call = |(index, call): (usize, &super::answer::Call)| {
            let function = json!({ "name": call.name, "arguments": call.arguments.to_string() });
            json!({ "id": self.call_id(index), "type": "function", "function": function })
        };
        let has_calls = finish == Finish::ToolCalls;
        let content = if has_calls && answer.text.is_empty() {
            Value::Null
        } else {
            // Cut off where the allowance ended.
            answer.text.split_inclusive(' ').take(self.completion_tokens).collect::<String>().into()
        };
        let mut message = json!({ "role": "assistant", "content": content, "refusal": null });
        if let (true, Some(members)) = (has_calls, message.as_object_mut()) {
            members.insert("tool_calls".into(), answer.calls.iter().enumerate().map(call).collect());
        }
        let choice = json!({ "index": 0, "message": message, "logprobs": null, "finish_reason": finish.reason() });
        self.document("chat.completion", json!([choice]), Some(self.usage()))
    }
}
