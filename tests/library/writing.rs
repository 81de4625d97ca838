//! Calls in writing, in virtual time: tools, hand-off, and a model of one's own.

use std::sync::Arc;
use std::time::Duration;

use frontdesk::agents::{
    CallRecord, Calls, FnModel, JobAnswer, JobFailure, JobRequest, Message, ModelEvent, ModelRequest, TextTransport, ToolCall, Worker,
    WorkerOptions,
};
use frontdesk_conversation::ToolCallId;
use frontdesk_livekit::Credentials;
use frontdesk_livekit::worker::WorkerError;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Virtual time in which an answer must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Has a call: waits for the greeting, then says each line and waits until the agent has said what goes with it.
async fn talk(calls: &Calls, greeting: &str, script: &[(&str, &str)]) -> Arc<CallRecord> {
    let (say, lines) = mpsc::channel(4);
    let (print, mut said) = mpsc::unbounded_channel();
    let line = TextTransport::new(lines, move |line| print.send(line.to_owned()).expect("somebody listens"));
    let caller = async move {
        let mut hear = async |wanted: &str| {
            let mut heard = Vec::new();
            let until = async {
                while !heard.last().is_some_and(|line: &String| line.contains(wanted)) {
                    heard.push(said.recv().await.expect("the call goes on"));
                }
            };
            assert!(tokio::time::timeout(PATIENCE, until).await.is_ok(), "instead of {wanted:?}: {heard:?}");
        };
        hear(greeting).await;
        for (words, answer) in script {
            say.send((*words).to_owned()).await.expect("the call goes on");
            hear(answer).await;
        }
    };
    let call = calls.take(Box::new(line), Default::default(), Default::default());
    let (record, ()) = tokio::join!(call, caller);
    record.expect("it was taken").expect("a conversation has a record")
}

fn call(name: &str, arguments: Value) -> ModelEvent {
    ModelEvent::ToolCall(ToolCall { id: ToolCallId(name.into()), name: name.into(), arguments })
}

fn says(text: impl Into<String>) -> ModelEvent {
    ModelEvent::Text(text.into())
}

fn instructions(request: &ModelRequest) -> &str {
    match request.messages.first() {
        Some(Message::System { text }) => text,
        _ => "",
    }
}

/// Calls the tools of the example, and reads out what they answer.
fn at_the_studio(request: &ModelRequest) -> ModelEvent {
    match request.messages.last() {
        Some(Message::User { text }) if text.contains("evening") => call("find_classes", json!({ "from_hour": 17 })),
        Some(Message::User { text }) if text.contains("night") => call("find_classes", json!({ "from_hour": 3 })),
        Some(Message::User { text }) if text.contains("remind") => call("remind", json!({})),
        Some(Message::User { text }) if text.contains("yes") => call("confirm", json!({ "confirmation_id": "c1" })),
        Some(Message::User { text }) => call("give_phone_number", json!({ "number": text })),
        Some(Message::Tool { content, .. }) if content.contains("ask_the_caller") => says("What is your number?"),
        Some(Message::Tool { content, .. }) => says(format!("It says {content}")),
        _ => says("Pardon?"),
    }
}

#[tokio::test(start_paused = true)]
async fn tools_are_functions_and_may_ask_the_caller() {
    let (note, mut noted) = mpsc::unbounded_channel();
    let calls = super::tools::calls(move |record| note.send(record.tools.len()).expect("somebody listens"));
    let calls = calls.llm(FnModel(at_the_studio)).in_writing();
    let script = [
        ("classes in the evening", r#"{"begin_at":[18,20]}"#),
        ("at night", "invalid_arguments"),
        ("remind me", "What is your number?"),
        ("202 555 0143", "Is that right?"),
        ("yes", "a text goes to +12025550143"),
    ];
    let record = talk(&calls, "the yoga studio", &script).await;
    let named = |name: &str| record.tools.iter().filter(|tool| tool.name == name).count();
    assert_eq!((named("find_classes"), named("remind")), (2, 1), "{:?}", record.tools);
    assert_eq!(noted.recv().await, Some(record.tools.len()));
}

/// Hands repairs to the workshop, and says who has which tools.
fn at_the_shop(request: &ModelRequest) -> ModelEvent {
    let offers = |name: &str| request.tools.iter().any(|tool| tool.name == name);
    let is_workshop = instructions(request).contains("You are the workshop");
    assert_eq!(offers("note_repair"), is_workshop, "each agent has its own tools");
    match request.messages.last() {
        Some(Message::User { text }) if text.contains("brake") && !is_workshop => call("hand_off", json!({ "agent": "workshop" })),
        Some(Message::User { text }) if is_workshop => call("note_repair", json!({ "fault": text })),
        Some(Message::Tool { content, .. }) if content.contains("now_speaking") => says("The workshop here, what is broken?"),
        Some(Message::Tool { content, .. }) => says(content.clone()),
        _ => says("We are open from ten to six."),
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_is_handed_from_agent_to_agent() {
    let calls = super::hand_off::calls().llm(FnModel(at_the_shop)).in_writing();
    let script = [
        ("when are you open", "ten to six"),
        ("my brake is loose", "The workshop here"),
        ("the front brake", "ready on Friday: the front brake"),
    ];
    let record = talk(&calls, "the bicycle shop", &script).await;
    assert_eq!(record.hand_offs.iter().map(|hand_off| hand_off.agent.as_str()).collect::<Vec<_>>(), ["workshop"]);
    let offered = |room: &str| calls.answer(&JobRequest { room: room.into(), ..JobRequest::default() });
    assert_eq!((offered("shop-12"), offered("studio-12")), (JobAnswer::default(), JobAnswer::Refuse));
}

#[tokio::test(start_paused = true)]
async fn a_model_of_ones_own_answers() {
    let calls = super::custom_provider::calls(|| Ok(())).in_writing();
    calls.warm_up().await.expect("nothing is missing");
    let script = [("when do you open", "ten to six"), ("the price of a tube", "eight dollars"), ("and a song", "only know")];
    let record = talk(&calls, "the bicycle shop", &script).await;
    assert_eq!(record.turns.len(), 3);
}

#[tokio::test]
async fn what_cannot_be_got_ready_is_never_registered() {
    // Nobody answers there: whoever tried to register would hear of that instead.
    let worker = Worker::new(WorkerOptions::new("ws://127.0.0.1:9", Credentials::new("key", "secret"), "shop"));
    let calls = super::custom_provider::calls(|| Err(JobFailure("the table is empty".into()))).in_writing();
    let error = worker.serve(calls, Default::default()).await.expect_err("not ready");
    assert!(matches!(&error, WorkerError::Prewarm { reason } if reason == "the table is empty"), "{error:?}");
    let calls = super::custom_provider::calls(|| Ok(())).in_writing();
    let error = worker.serve(calls, Default::default()).await.expect_err("no server");
    assert!(matches!(error, WorkerError::Unreachable { .. }), "{error:?}");
}
