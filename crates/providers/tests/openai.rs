//! The language-model client against small servers.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use frontdesk_agent::llm::Message;
use frontdesk_agent::{LanguageModel, ModelEvent, ModelRequest, ModelStream, ProviderError};
use frontdesk_providers::{OpenAiLlm, OpenAiOptions, Timeouts};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::sync::mpsc;

const KEY: &str = "sk-test-1";

fn client(address: std::net::SocketAddr, timeouts: Timeouts) -> OpenAiLlm {
    let mut options = OpenAiOptions::new(KEY, "model-1");
    options.base_url = format!("http://{address}/v1/");
    options.timeouts = timeouts;
    OpenAiLlm::new(options).expect("valid options")
}

fn brief() -> Timeouts {
    Timeouts { first_byte: Duration::from_millis(200), idle: Duration::from_millis(200), ..Timeouts::default() }
}

fn question() -> ModelRequest {
    ModelRequest { messages: vec![Message::User { text: "Hello, I am Ada".into() }], ..ModelRequest::default() }
}

fn events(chunks: &[Value]) -> String {
    chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect::<String>() + "data: [DONE]\n\n"
}

fn text(text: &str) -> Value {
    json!({"id": "1", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": text}}]})
}

async fn all(mut stream: Box<dyn ModelStream>) -> Result<Vec<ModelEvent>, ProviderError> {
    let mut events = Vec::new();
    while let Some(event) = stream.next_event().await? {
        events.push(event);
    }
    Ok(events)
}

/// Answers the n-th request with the n-th response; counts requests.
async fn scripted(responses: Vec<fn() -> Response>) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let handler = move || {
        let n = counter.fetch_add(1, Ordering::SeqCst);
        let response = responses.get(n).copied().unwrap_or(|| StatusCode::IM_A_TEAPOT.into_response());
        async move { response() }
    };
    (support::serve(Router::new().route("/v1/chat/completions", post(handler))).await, count)
}

#[tokio::test]
async fn an_answer_streams_and_the_request_is_authorised() {
    let handler = |headers: HeaderMap, Json(body): Json<Value>| async move {
        assert_eq!(headers["authorization"], format!("Bearer {KEY}"));
        assert_eq!((&body["model"], &body["stream"]), (&json!("model-1"), &json!(true)));
        events(&[text("Good "), text("morning."), json!({"choices": [{"delta": {}, "finish_reason": "stop"}]})])
    };
    let address = support::serve(Router::new().route("/v1/chat/completions", post(handler))).await;
    let llm = client(address, Timeouts::default());
    llm.warm_up().await;
    let stream = llm.ask(question()).await.expect("an answer");
    assert_eq!(
        all(stream).await.expect("no error"),
        [ModelEvent::Text("Good ".into()), ModelEvent::Text("morning.".into()), ModelEvent::Done]
    );
    assert!(!format!("{llm:?}").contains(KEY));
}

#[tokio::test]
async fn refusals_are_typed_and_asked_once() {
    let limited: fn() -> Response = || (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "30")], "slow down").into_response();
    let quota: fn() -> Response =
        || (StatusCode::TOO_MANY_REQUESTS, Json(json!({"error": {"message": "Ada", "code": "insufficient_quota"}}))).into_response();
    let bad: fn() -> Response =
        || (StatusCode::BAD_REQUEST, Json(json!({"error": {"message": "Ada", "type": "invalid_request_error"}}))).into_response();
    let cases: [(fn() -> Response, ProviderError); 4] = [
        (|| StatusCode::UNAUTHORIZED.into_response(), ProviderError::Unauthorized { provider: "openai" }),
        (limited, ProviderError::RateLimited { provider: "openai", retry_after: Some(Duration::from_secs(30)) }),
        (quota, ProviderError::Rejected { provider: "openai", reason: "insufficient_quota".into() }),
        (bad, ProviderError::Rejected { provider: "openai", reason: "HTTP status 400: invalid_request_error".into() }),
    ];
    for (response, expected) in cases {
        let (address, count) = scripted(vec![response, response]).await;
        let error = client(address, Timeouts::default()).ask(question()).await.err().expect("refused");
        assert_eq!(error, expected);
        assert_eq!(count.load(Ordering::SeqCst), 1, "{expected}");
    }
}

#[tokio::test]
async fn a_server_error_is_tried_once_more_and_only_once() {
    let fine: fn() -> Response = || events(&[text("Hello.")]).into_response();
    let down: fn() -> Response = || StatusCode::SERVICE_UNAVAILABLE.into_response();
    let (address, count) = scripted(vec![down, fine]).await;
    let stream = client(address, Timeouts::default()).ask(question()).await.expect("the second try");
    assert_eq!(all(stream).await.expect("no error").len(), 2);
    assert_eq!(count.load(Ordering::SeqCst), 2);
    let (address, count) = scripted(vec![down, down, fine]).await;
    let error = client(address, Timeouts::default()).ask(question()).await.err().expect("still down");
    assert_eq!(error.kind(), "broken");
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_answer_that_breaks_is_tried_again_only_while_nothing_of_it_came() {
    let role: fn() -> Response = || format!("data: {}\n\n", json!({"choices": [{"delta": {"role": "assistant"}}]})).into_response();
    let fine: fn() -> Response = || events(&[text("Hello.")]).into_response();
    let (address, count) = scripted(vec![role, fine]).await;
    let stream = client(address, Timeouts::default()).ask(question()).await.expect("a head");
    assert_eq!(all(stream).await.expect("the second try"), [ModelEvent::Text("Hello.".into()), ModelEvent::Done]);
    assert_eq!(count.load(Ordering::SeqCst), 2);
    let half: fn() -> Response = || format!("data: {}\n\n", text("Hel")).into_response();
    let (address, count) = scripted(vec![half, fine]).await;
    let stream = client(address, Timeouts::default()).ask(question()).await.expect("a head");
    assert_eq!(all(stream).await.expect_err("half an answer").to_string(), "openai broke off: the answer ended early");
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn malformed_chunks_break_the_answer_without_being_quoted() {
    let bad: fn() -> Response = || "data: {\"choices\": \"Ada\"}\n\n".into_response();
    let (address, _) = scripted(vec![bad, bad]).await;
    let stream = client(address, Timeouts::default()).ask(question()).await.expect("a head");
    let error = all(stream).await.expect_err("malformed");
    assert!(error.kind() == "broken" && !error.to_string().contains("Ada"), "{error}");
}

#[tokio::test]
async fn silence_before_and_within_an_answer_times_out() {
    let (address, listener) = support::silent().await;
    let error = client(address, brief()).ask(question()).await.err().expect("silence");
    assert_eq!(error, ProviderError::Timeout { provider: "openai", stage: "first byte", limit_ms: 200 });
    drop(listener);
    // A head and then nothing; one piece and then nothing.
    for (pieces, stage) in [(Vec::new(), "first byte"), (vec![text("Hel")], "further data")] {
        let handler = move || {
            let first = futures_util::stream::iter(pieces.clone()).map(|piece| Ok::<_, std::io::Error>(format!("data: {piece}\n\n")));
            async move { Body::from_stream(first.chain(futures_util::stream::pending())) }
        };
        let address = support::serve(Router::new().route("/v1/chat/completions", post(handler))).await;
        let stream = client(address, brief()).ask(question()).await.expect("a head");
        assert_eq!(all(stream).await.expect_err("silence"), ProviderError::Timeout { provider: "openai", stage, limit_ms: 200 });
    }
}

#[tokio::test]
async fn an_unreachable_service_is_told_apart() {
    let error = client(support::closed().await, Timeouts::default()).ask(question()).await.err().expect("nobody there");
    assert_eq!(error.kind(), "connect", "{error}");
    let mut options = OpenAiOptions::new("key", "model");
    options.base_url = "api.openai.com/v1".into();
    assert_eq!(OpenAiLlm::new(options).expect_err("no scheme").kind(), "rejected");
}

#[tokio::test]
async fn dropping_the_stream_cancels_the_request() {
    /// Tells when the server let go of the body.
    struct Told(mpsc::UnboundedSender<()>);
    impl Drop for Told {
        fn drop(&mut self) {
            // The test has ended already if nobody listens.
            let _ = self.0.send(());
        }
    }
    let (tell, mut told) = mpsc::unbounded_channel();
    let handler = move || {
        let guard = Told(tell.clone());
        let pieces = futures_util::stream::iter([Ok::<_, std::io::Error>(format!("data: {}\n\n", text("Hel")))]);
        let body = pieces.chain(futures_util::stream::pending()).map(move |piece| {
            let _held = &guard;
            piece
        });
        async move { Body::from_stream(body) }
    };
    let address = support::serve(Router::new().route("/v1/chat/completions", post(handler))).await;
    let mut stream = client(address, Timeouts::default()).ask(question()).await.expect("a head");
    assert_eq!(stream.next_event().await, Ok(Some(ModelEvent::Text("Hel".into()))));
    drop(stream);
    told.recv().await.expect("the server noticed");
}
