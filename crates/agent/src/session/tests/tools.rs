//! Tools within a call.

use frontdesk_conversation::{Effect, EndReason, Message, ToolStatus};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::*;
use crate::llm::ModelRequest;
use crate::testing::{Answer, FakeLlm, FakeStt, FakeTool};

fn stt() -> FakeStt {
    FakeStt::default().knowing(1, "book me for Monday please").knowing(2, "that is right thank you")
}

fn tool(name: &str, arguments: Value) -> Answer {
    Answer::Tool { text: String::new(), name: name.into(), arguments }
}

/// Books what is asked for, confirms when the caller answers the read-back, says goodbye after.
fn booking(request: &ModelRequest) -> Answer {
    match request.messages.last() {
        Some(Message::Tool { name, content, .. }) if name == "book" && content.contains("confirmation_id") => Answer::Text(String::new()),
        Some(Message::Tool { .. }) => Answer::Text("Done.".into()),
        _ => {
            let prepared = request.messages.iter().find_map(|message| match message {
                Message::Tool { content, .. } => serde_json::from_str::<Value>(content).ok()?.get("confirmation_id").cloned(),
                _ => None,
            });
            match prepared {
                Some(id) => tool("confirm", json!({ "confirmation_id": id })),
                None => tool("book", json!({ "day": "Monday" })),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_panics_is_an_error_for_the_model_and_the_call_goes_on() {
    let llm = FakeLlm::default().calling("look", json!({})).saying("I cannot look it up.");
    let fakes = Fakes { stt: stt(), llm, ..Fakes::default() };
    let broken = Arc::new(FakeTool::new("look", Effect::Read).panicking());
    let call = Call::greeted(fakes, options_with(vec![broken])).await;
    call.turn(1).await;
    let record = call.hang_up().await;
    assert_eq!((record.tools[0].name.as_str(), record.tools[0].status), ("look", ToolStatus::Failed));
    assert!(lines(&record).contains(&(false, "I cannot look it up.")));
}

#[tokio::test(start_paused = true)]
async fn a_booking_is_read_back_confirmed_and_committed_once() {
    let book = FakeTool::new("book", Effect::Commit);
    let fakes = Fakes { stt: stt(), llm: FakeLlm::default().thinking(booking), ..Fakes::default() };
    let call = Call::greeted(fakes, options_with(vec![Arc::new(book.clone())])).await;
    call.turn(1).await;
    assert!(book.calls().iter().all(|call| call.starts_with("prepare")), "nothing is committed before the caller agreed");
    assert!(call.fakes.tts.spoken().concat().contains("Shall I book it?"));
    call.turn(2).await;
    assert_eq!(book.calls().iter().filter(|call| call.starts_with("committed")).count(), 1);
    let schemas = call.fakes.llm.requests().remove(0).tools;
    assert_eq!(schemas.iter().map(|schema| schema.name.as_str()).collect::<Vec<_>>(), ["book", "confirm"]);
    let record = call.hang_up().await;
    let booked = record.tools.iter().find(|tool| tool.name == "book").expect("the booking");
    assert_eq!(booked.status, ToolStatus::Done);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_runs_when_the_caller_hangs_up_is_in_the_record() {
    let book = FakeTool::new("book", Effect::Commit).taking(ms(3_000));
    let fakes = Fakes { stt: stt(), llm: FakeLlm::default().thinking(booking), ..Fakes::default() };
    let call = Call::greeted(fakes, options_with(vec![Arc::new(book.clone())])).await;
    call.turn(1).await;
    call.caller.say(2, ms(1_200));
    while !book.calls().iter().any(|call| call.starts_with("commit")) {
        sleep(ms(10)).await;
    }
    let record = call.hang_up().await;
    assert!(book.calls().iter().any(|call| call.starts_with("committed")));
    let booked = record.tools.iter().find(|tool| tool.name == "book").expect("the booking");
    assert_eq!((booked.status, record.outcome), (ToolStatus::Done, EndReason::CallerHungUp));
}

#[tokio::test(start_paused = true)]
async fn a_result_that_comes_after_the_time_out_is_in_the_record_as_well() {
    // The conversation counts it as unknown after 5 s.
    let book = FakeTool::new("book", Effect::Commit).taking(ms(9_000));
    let fakes = Fakes { stt: stt(), llm: FakeLlm::default().thinking(booking), ..Fakes::default() };
    let call = Call::greeted(fakes, options_with(vec![Arc::new(book.clone())])).await;
    call.turn(1).await;
    call.caller.say(2, ms(1_200));
    while !book.calls().iter().any(|call| call.starts_with("commit")) {
        sleep(ms(10)).await;
    }
    let record = call.hang_up().await;
    let booked = record.tools.iter().find(|tool| tool.name == "book").expect("the booking");
    assert_eq!((booked.status, &booked.result), (ToolStatus::Done, &json!({ "day": "Monday" })));
}

#[tokio::test(start_paused = true)]
async fn a_commit_goes_on_even_if_the_session_is_dropped() {
    let book = FakeTool::new("book", Effect::Commit).taking(ms(3_000));
    let fakes = Fakes { stt: stt(), llm: FakeLlm::default().thinking(booking), ..Fakes::default() };
    let call = Call::greeted(fakes, options_with(vec![Arc::new(book.clone())])).await;
    call.turn(1).await;
    call.caller.say(2, ms(1_200));
    while !book.calls().iter().any(|call| call.starts_with("commit")) {
        sleep(ms(10)).await;
    }
    call.session.abort();
    sleep(ms(4_000)).await;
    assert!(book.calls().iter().any(|call| call.starts_with("committed")));
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_ends_the_call_hangs_up_after_the_last_word() {
    let end = Arc::new(FakeTool::new("end_call", Effect::Record).ending_the_call());
    let answer = Answer::Tool { text: "Good bye and thank you.".into(), name: "end_call".into(), arguments: json!({}) };
    let llm = FakeLlm::default().answering(answer).saying("");
    let call = Call::greeted(Fakes { stt: stt(), llm, ..Fakes::default() }, options_with(vec![end])).await;
    let (caller, tts) = (call.caller.clone(), call.fakes.tts.clone());
    caller.say(2, ms(1_200));
    let record = call.ended(Duration::from_secs(60)).await;
    assert_eq!(record.outcome, EndReason::Completed);
    same(&caller.voice(), &tts.given());
    let last = caller.frames().iter().rfind(|(_, frame)| frame.iter().any(|&s| s != 0)).expect("voice").0;
    let drained = caller.was_hung_up().expect("hung up") - last;
    assert!(drained >= ms(200) && drained < ms(1_000), "{drained:?}");
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_makes_no_sense_yet_is_neither_shown_nor_run() {
    let llm = FakeLlm::default().calling("book", json!({})).calling("identify", json!({})).calling("book", json!({})).saying("Done.");
    let fakes = Fakes { stt: stt(), llm, ..Fakes::default() };
    let book = FakeTool::new("book", Effect::Record).after("identify");
    let identify = FakeTool::new("identify", Effect::Record);
    let call = Call::greeted(fakes, options_with(vec![Arc::new(book.clone()), Arc::new(identify)])).await;
    call.turn(1).await;
    let shown: Vec<bool> =
        call.fakes.llm.requests().iter().map(|request| request.tools.iter().any(|schema| schema.name == "book")).collect();
    assert_eq!(shown, [false, false, true, true], "shown once the caller was identified");
    assert_eq!(book.calls().iter().filter(|call| call.starts_with("ran")).count(), 1, "and only then run");
    let record = call.hang_up().await;
    let outcomes: Vec<_> = record.tools.iter().map(|tool| (tool.name.as_str(), tool.status)).collect();
    assert_eq!(outcomes, [("book", ToolStatus::Failed), ("identify", ToolStatus::Done), ("book", ToolStatus::Done)]);
}
