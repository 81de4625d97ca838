//! The simulated language model on the wire, as our own client and as others see it. Here and not beside the simulator, because no
//! arrow of the design leads from the simulators to the clients.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use frontdesk_agent::llm::{Message, ToolCall};
use frontdesk_agent::{LanguageModel, ModelEvent, ModelRequest, ModelStream, ProviderError, ToolSchema};
use frontdesk_providers::{OpenAiLlm, OpenAiOptions};
use frontdesk_simulators::llm::{Answer, LlmMode, LlmOptions, router, router_with_limit};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const KEY: &str = "simulated-key";

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, router).await.expect("serving") });
    address
}

fn brisk() -> LlmOptions {
    LlmOptions { first_token: Duration::ZERO, word: Duration::ZERO, ..LlmOptions::default() }
}

async fn simulator(options: LlmOptions) -> SocketAddr {
    serve(router(KEY, options, CancellationToken::new())).await
}

fn client(address: SocketAddr, key: &str, model: &str) -> OpenAiLlm {
    let mut options = OpenAiOptions::new(key, model);
    options.base_url = format!("http://{address}/v1");
    OpenAiLlm::new(options).expect("valid options")
}

fn tool(name: &str, properties: &[&str]) -> ToolSchema {
    let properties: serde_json::Map<_, _> = properties.iter().map(|name| ((*name).to_owned(), json!({ "type": "string" }))).collect();
    let parameters = json!({ "type": "object", "properties": properties });
    ToolSchema { name: name.into(), description: "for tests".into(), parameters }
}

fn question(texts: &[&str]) -> ModelRequest {
    let system = Message::System { text: "It is now Saturday, 2026-11-21T10:05 (America/New_York).".into() };
    let user = |text: &&str| Message::User { text: (*text).into() };
    ModelRequest { messages: std::iter::once(system).chain(texts.iter().map(user)).collect(), ..ModelRequest::default() }
}

/// Everything that a stream gives, and when.
async fn collect(mut stream: Box<dyn ModelStream>) -> Result<Vec<(Instant, ModelEvent)>, ProviderError> {
    let mut events = Vec::new();
    while let Some(event) = stream.next_event().await? {
        events.push((Instant::now(), event));
    }
    Ok(events)
}

/// (text, calls) of an answer.
async fn ask(llm: &dyn LanguageModel, request: &ModelRequest) -> (String, Vec<ToolCall>) {
    let stream = llm.ask(request.clone()).await.expect("an answer");
    let events = collect(stream).await.expect("a whole answer");
    assert_eq!(events.last().map(|(_, event)| event), Some(&ModelEvent::Done));
    let mut answer = (String::new(), Vec::new());
    for (_, event) in events {
        match event {
            ModelEvent::Text(text) => answer.0.push_str(&text),
            ModelEvent::ToolCall(call) => answer.1.push(call),
            ModelEvent::Done => {}
        }
    }
    answer
}

#[tokio::test]
async fn a_booking_through_our_client() {
    let llm = client(simulator(brisk()).await, KEY, "gpt-4.1-mini");
    llm.warm_up().await;
    let mut request = question(&["Hello, I would like to book an appointment, please."]);
    request.tools = vec![
        tool("note_intent", &["intent"]),
        tool("find_slots", &["window_start", "window_end"]),
        tool("book_appointment", &["start", "patient_name", "phone"]),
        tool("confirm", &["confirmation_id"]),
        tool("end_call", &["reason"]),
    ];
    let spoken = "Monday the twenty-third of November at eight a.m.";
    let steps: [(&str, Option<Value>); 9] = [
        ("note_intent", Some(json!({ "noted": true }))),
        ("", None),
        ("", None),
        ("find_slots", Some(json!({ "slots": [{ "start": "2026-11-23T08:00", "spoken": spoken, "practitioner": "Doctor Who" }] }))),
        ("", None),
        (
            "book_appointment",
            Some(json!({ "status": "awaiting_confirmation", "confirmation_id": "c1", "read_back": "I have it. Shall I book that?" })),
        ),
        ("confirm", Some(json!({ "status": "done", "result": { "confirmation_code_spoken": "K, seven, M, two, X, nine" } }))),
        ("", None),
        ("end_call", Some(json!({ "ending": true }))),
    ];
    let mut lines = [
        "My name is Ada Lovelace.",
        "It is five five five, zero one two, three four five six.",
        "Yes, please.",
        "Yes.",
        "No, thank you, goodbye.",
    ]
    .into_iter();
    let mut said = String::new();
    for (tool, output) in steps {
        let (text, calls) = ask(&llm, &request).await;
        assert_eq!(calls.first().map_or("", |call| call.name.as_str()), tool, "{text}");
        said = format!("{said} {text}");
        request.messages.push(Message::Assistant { text, tool_calls: calls.clone() });
        let waits = output.as_ref().is_none_or(|output| output.get("read_back").is_some());
        if let Some((output, call)) = output.zip(calls.first()) {
            assert!(call.arguments.is_object(), "fragments that make JSON: {:?}", call.arguments);
            request.messages.push(Message::Tool { call: call.id.clone(), name: call.name.clone(), content: output.to_string() });
        }
        if waits {
            let text = lines.next().expect("a line of the caller").into();
            request.messages.push(Message::User { text });
        }
    }
    assert!(said.contains(spoken) && said.contains("K, seven, M, two, X, nine") && said.ends_with("Goodbye."), "{said}");
}

#[tokio::test]
async fn words_come_at_their_pace() {
    let options = LlmOptions { first_token: Duration::from_millis(60), word: Duration::from_millis(15), ..LlmOptions::default() };
    let llm = client(simulator(options).await, KEY, "gpt-4.1-mini");
    let asked = Instant::now();
    let stream = llm.ask(question(&["Hello?"])).await.expect("an answer");
    let events = collect(stream).await.expect("a whole answer");
    let words: Vec<&ModelEvent> = events.iter().map(|(_, event)| event).collect();
    let text = |text: &str| ModelEvent::Text(text.into());
    assert_eq!(words, [&text("How "), &text("can "), &text("I "), &text("help "), &text("you?"), &ModelEvent::Done]);
    // The machine may be slower, never faster.
    for (number, (at, _)) in (0..5).zip(&events) {
        assert!(*at - asked >= Duration::from_millis(60 + 15 * number), "piece {number} after {:?}", *at - asked);
    }
}

#[tokio::test]
async fn refusals_are_typed_by_our_client() {
    let address = simulator(brisk()).await;
    let error = |llm: OpenAiLlm, request: ModelRequest| async move { llm.ask(request).await.err().expect("refused") };
    assert_eq!(
        error(client(address, "wrong", "gpt-4.1-mini"), question(&["Hi"])).await,
        ProviderError::Unauthorized { provider: "openai" }
    );
    let rejected = |reason: &str| ProviderError::Rejected { provider: "openai", reason: reason.into() };
    assert_eq!(error(client(address, KEY, "claude"), question(&["Hi"])).await, rejected("HTTP status 404: model_not_found"));
    let hot = ModelRequest { temperature: Some(3.0), ..question(&["Hi"]) };
    assert_eq!(error(client(address, KEY, "gpt-4.1-mini"), hot).await, rejected("HTTP status 400: invalid_request_error"));
    let limited = serve(router_with_limit(KEY, brisk(), 2, CancellationToken::new())).await;
    let llm = client(limited, KEY, "gpt-4.1-mini");
    for _ in 0..2 {
        ask(&llm, &question(&["Hi"])).await;
    }
    match llm.ask(question(&["Hi"])).await.err().expect("too many") {
        ProviderError::RateLimited { retry_after: Some(wait), .. } => {
            assert!(wait > Duration::from_secs(30) && wait <= Duration::from_secs(60))
        }
        other => panic!("{other}"),
    }
}

async fn post(address: SocketAddr, body: impl Into<reqwest::Body>) -> (u16, String) {
    let sent = reqwest::Client::new().post(format!("http://{address}/v1/chat/completions")).bearer_auth(KEY).body(body).send();
    let response = sent.await.expect("an answer");
    (response.status().as_u16(), response.text().await.expect("a body"))
}

/// A request with one member changed or added.
fn body(name: &str, value: Value) -> String {
    let mut body = json!({ "model": "gpt-4.1-mini", "messages": [{ "role": "user", "content": "Hi" }] });
    body[name] = value;
    body.to_string()
}

#[tokio::test]
async fn bodies_that_the_real_service_refuses_are_refused() {
    let address = simulator(brisk()).await;
    let call = |id: &str| json!({ "id": id, "type": "function", "function": { "name": "look", "arguments": "{}" } });
    let calls = json!({ "role": "assistant", "tool_calls": [call("a"), call("b")] });
    let output = |id: &str| json!({ "role": "tool", "tool_call_id": id, "content": "{}" });
    let function = |name: &str, parameters: Value| json!([{ "type": "function", "function": { "name": name, "parameters": parameters } }]);
    for (body, problem) in [
        ("{not json".to_owned(), "could not parse the JSON body"),
        ("[]".to_owned(), "must be a JSON object"),
        (json!({ "messages": [] }).to_string(), "must provide a model"),
        (json!({ "model": "gpt-4.1" }).to_string(), "Missing required parameter: 'messages'"),
        (body("messages", json!([])), "empty array"),
        (body("messages", json!("Ada")), "wrong type"),
        (body("messages", json!([{ "role": "user" }])), "got null"),
        (body("messages", json!([{ "role": "nurse", "content": "Hi" }])), "Invalid value for 'role'"),
        (body("messages", json!([output("a")])), "must be a response to a preceeding message"),
        (body("messages", json!([calls, output("a"), output("a")])), "must be a response to a preceeding message"),
        (body("messages", json!([calls, output("a")])), "did not have response messages: b"),
        (body("messages", json!([calls, output("b"), { "role": "user", "content": "Hi" }])), "did not have response messages: a"),
        (body("surprise", json!(1)), "Unrecognized request argument supplied: surprise"),
        (body("temperature", json!(-1)), "from 0 to 2"),
        (body("n", json!(2)), "n=1"),
        (body("max_tokens", json!(0)), "at least 1"),
        (body("stream_options", json!({ "include_usage": true })), "only allowed when 'stream'"),
        (body("tool_choice", json!("auto")), "only allowed when 'tools'"),
        (body("tools", json!([])), "empty array"),
        (body("tools", function("book it", json!({ "type": "object" }))), "does not match pattern"),
        (body("tools", function("book", json!({ "type": "string" }))), "must be a JSON Schema"),
    ] {
        let (status, text) = post(address, body.clone()).await;
        let document: Value = serde_json::from_str(&text).expect("an error document");
        let message = document["error"]["message"].as_str().expect("a message");
        assert_eq!((status, document["error"]["type"].as_str()), (400, Some("invalid_request_error")), "{body}");
        assert!(message.contains(problem) && !message.contains("Ada"), "{body}: {message}");
    }
    let (status, _) = post(address, vec![b'x'; 3 << 20]).await;
    assert_eq!(status, 413, "there is an end to what is read");
}

#[tokio::test]
async fn the_stream_is_openais() {
    let address = simulator(brisk()).await;
    let mut asked: Value = serde_json::from_str(&body("stream", json!(true))).expect("JSON");
    asked["stream_options"] = json!({ "include_usage": true });
    asked["messages"][0]["content"] = json!([{ "type": "text", "text": "I need an appointment." }]);
    asked["tools"] = json!([{ "type": "function", "function": { "name": "note_intent", "parameters": { "type": "object", "properties": { "intent": {} } } } }]);
    let (status, text) = post(address, asked.to_string()).await;
    assert_eq!(status, 200);
    let data: Vec<&str> =
        text.split("\n\n").filter(|event| !event.is_empty()).map(|event| event.strip_prefix("data: ").expect("data")).collect();
    assert_eq!(data.last(), Some(&"[DONE]"));
    let chunks: Vec<Value> = data[..data.len() - 1].iter().map(|data| serde_json::from_str(data).expect("JSON")).collect();
    assert!(chunks.iter().all(|chunk| chunk["object"] == "chat.completion.chunk" && chunk["id"] == chunks[0]["id"]));
    let deltas: Vec<&Value> = chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]).collect();
    assert_eq!((&deltas[0]["role"], &deltas[1]["content"]), (&json!("assistant"), &json!("Gladly.")));
    let begin = &deltas[2]["tool_calls"][0];
    assert_eq!((&begin["index"], &begin["function"]), (&json!(0), &json!({ "name": "note_intent", "arguments": "" })));
    assert!(begin["id"].as_str().is_some_and(|id| id.starts_with("call_")));
    assert_eq!(deltas[3]["tool_calls"][0]["function"]["arguments"], r#"{"intent":"book"}"#);
    assert_eq!(chunks[4]["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!((&chunks[5]["choices"], &chunks[5]["usage"]["completion_tokens"]), (&json!([]), &json!(3)));
    assert_eq!(chunks.len(), 6);
}

#[tokio::test]
async fn whole_answers_limits_and_models() {
    let address = simulator(brisk()).await;
    let (_, text) = post(address, body("stream", json!(false))).await;
    let whole: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&whole["object"], &whole["choices"][0]["finish_reason"]), (&json!("chat.completion"), &json!("stop")));
    assert_eq!(whole["choices"][0]["message"]["content"], "How can I help you?");
    let (_, text) = post(address, body("max_completion_tokens", json!(2))).await;
    let cut: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(cut["choices"][0]["finish_reason"], "length");
    assert_eq!(cut["choices"][0]["message"]["content"], "How can ");
    let http = reqwest::Client::new();
    let models = http.get(format!("http://{address}/v1/models"));
    assert_eq!(models.try_clone().expect("no body").send().await.expect("an answer").status(), 401);
    let listed: Value = models.bearer_auth(KEY).send().await.expect("an answer").json().await.expect("JSON");
    assert!(listed["data"].as_array().is_some_and(|models| models.iter().any(|model| model["id"] == "gpt-4.1-mini")));
}

#[tokio::test]
async fn many_calls_at_once_do_not_mix_and_a_repeated_request_has_the_same_answer() {
    let llm = client(simulator(brisk()).await, KEY, "gpt-4.1-mini");
    let asks = (0..8).map(|number| {
        let llm = llm.clone();
        tokio::spawn(async move {
            let name = ["Ada", "Grace", "Alan", "Mary", "Isaac", "Emmy", "Niels", "Lise"][number];
            let request = question(&["I would like to leave a message.", "Please call me back.", &format!("My name is {name}."), "What?"]);
            let first = ask(&llm, &request).await;
            assert_eq!(first, ask(&llm, &request).await);
            first.0
        })
    });
    for answer in futures_util::future::join_all(asks).await {
        assert_eq!(answer.expect("no panic"), "I will pass this on. Please call me back. Is that right?");
    }
}

#[tokio::test]
async fn a_script_is_followed_by_the_place_in_the_conversation() {
    let script = vec![Answer::say("One."), Answer::call("", "look", json!({ "at": 2 })), Answer::say("Three.")];
    let llm = client(simulator(LlmOptions { mode: LlmMode::Scripted(script), ..brisk() }).await, KEY, "simulated-script");
    let mut request = question(&["a"]);
    assert_eq!(ask(&llm, &request).await.0, "One.");
    assert_eq!(ask(&llm, &request).await.0, "One.");
    request.messages.push(Message::User { text: "b".into() });
    let (text, calls) = ask(&llm, &request).await;
    assert_eq!((text.as_str(), calls[0].arguments.clone()), ("", json!({ "at": 2 })));
    request.messages.push(Message::Assistant { text, tool_calls: calls.clone() });
    request.messages.push(Message::Tool { call: calls[0].id.clone(), name: "look".into(), content: "{}".into() });
    assert_eq!(ask(&llm, &request).await.0, "Three.");
    let empty = client(simulator(LlmOptions { mode: LlmMode::Scripted(Vec::new()), ..brisk() }).await, KEY, "simulated-script");
    assert_eq!(ask(&empty, &request).await, (String::new(), Vec::new()));
}

#[tokio::test]
async fn when_it_stops_answers_break_off() {
    let stop = CancellationToken::new();
    let options = LlmOptions { word: Duration::from_secs(3_600), ..brisk() };
    let llm = client(serve(router(KEY, options, stop.clone())).await, KEY, "gpt-4.1-mini");
    let mut stream = llm.ask(question(&["Hello?"])).await.expect("an answer");
    assert_eq!(stream.next_event().await, Ok(Some(ModelEvent::Text("How ".into()))));
    stop.cancel();
    let error = stream.next_event().await.expect_err("broken off");
    assert_eq!((error.kind(), error.is_retryable()), ("broken", true));
}
