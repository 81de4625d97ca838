//! A person instead of the agent.

use frontdesk_conversation::{Effect, EndReason, TransferOutcome};
use serde_json::json;

use super::*;
use crate::testing::{Answer, FakeLlm, FakeStt, FakeTool};

const WORDS: &str = "I will put you through.";

/// A call whose caller asks for a person, and what comes of it.
async fn asked(outcome: TransferOutcome, after: Duration) -> (Call, FakeLlm) {
    let llm = FakeLlm::default()
        .answering(Answer::Tool { text: WORDS.into(), name: "transfer".into(), arguments: json!({ "target": "front office" }) })
        .saying("Nobody is free. May I take a message?");
    let fakes = Fakes { stt: FakeStt::default().knowing(1, "let me talk to a person"), llm: llm.clone(), ..Fakes::default() };
    let tool = FakeTool::new("transfer", Effect::Record).transferring_the_call();
    let (transport, caller) = FakeTransport::new();
    let call = Call::over(transport.transferring(after, outcome), caller, fakes, options_with(vec![Arc::new(tool)]));
    call.caller.hears().await;
    call.caller.hears_the_end().await;
    call.turn(1).await;
    (call, llm)
}

#[tokio::test(start_paused = true)]
async fn an_accepted_transfer_ends_the_call() {
    let (call, llm) = asked(TransferOutcome::Accepted, ms(1_000)).await;
    let caller = call.caller.clone();
    let record = call.ended(Duration::from_secs(10)).await;
    assert_eq!(record.outcome, EndReason::Transferred);
    assert_eq!(record.transfers[0].outcome, Some(TransferOutcome::Accepted));
    let transfers = caller.transfers();
    let last_word = caller.frames().iter().rev().find(|(_, frame)| frame.iter().any(|&sample| sample != 0)).map(|(at, _)| *at);
    assert!(transfers.len() == 1 && transfers[0].1 == "front office" && Some(transfers[0].0) >= last_word, "after the last word");
    assert!(caller.was_hung_up().is_some());
    assert_eq!(llm.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_busy_line_is_told_to_the_model_and_audio_flows_meanwhile() {
    let (call, llm) = asked(TransferOutcome::Busy, Duration::from_secs(6)).await;
    // The caller hears fillers while he waits.
    while llm.requests().len() < 2 {
        sleep(ms(50)).await;
    }
    call.caller.hears_the_end().await;
    let seen = format!("{:?}", llm.requests()[1].messages);
    assert!(seen.contains("busy"), "{seen}");
    let record = call.hang_up().await;
    assert_eq!((record.outcome, record.transfers[0].outcome), (EndReason::CallerHungUp, Some(TransferOutcome::Busy)));
    assert!(lines(&record).contains(&(false, "Nobody is free. May I take a message?")));
    assert!(lines(&record).iter().any(|(_, text)| text.contains("One moment")), "{:?}", lines(&record));
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_hangs_up_while_he_is_transferred_ends_the_wait() {
    let (call, _) = asked(TransferOutcome::Busy, Duration::from_secs(60)).await;
    sleep(ms(500)).await;
    call.caller.hang_up();
    let record = call.ended(Duration::from_secs(5)).await;
    assert_eq!((record.outcome, record.transfers[0].outcome), (EndReason::CallerHungUp, Some(TransferOutcome::Failed { sip_code: None })));
}

#[tokio::test(start_paused = true)]
async fn an_agent_whose_model_is_gone_hands_the_caller_over() {
    // Empty answers are none.
    let llm = FakeLlm::default().thinking(|_| Answer::Text(String::new()));
    let fakes = Fakes { stt: FakeStt::default().knowing(1, "hello there"), llm, ..Fakes::default() };
    let mut options = options();
    options.conversation.trouble_transfer = Some("front office".into());
    let (transport, caller) = FakeTransport::new();
    let transport = transport.transferring(ms(500), TransferOutcome::Accepted);
    let call = Call::over(transport, caller, fakes, options);
    call.caller.hears().await;
    call.caller.hears_the_end().await;
    call.turn(1).await;
    call.turn(1).await;
    let caller = call.caller.clone();
    let record = call.ended(Duration::from_secs(30)).await;
    assert_eq!((record.outcome, caller.transfers().len()), (EndReason::Transferred, 1));
    assert!(lines(&record).contains(&(false, "I'll put you through to a colleague.")));
}
