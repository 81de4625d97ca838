//! Ends of calls.

use frontdesk_conversation::EndReason;
use tokio::time::sleep;

use super::*;
use crate::testing::{Answer, FakeLlm, FakeStt};

#[tokio::test(start_paused = true)]
async fn a_caller_who_says_nothing_is_asked_and_then_hung_up_on() {
    let call = Call::start(Fakes::default(), options());
    let (caller, tts) = (call.caller.clone(), call.fakes.tts.clone());
    let record = call.ended(Duration::from_secs(120)).await;
    assert_eq!(record.outcome, EndReason::CallerAway);
    same(&caller.voice(), &tts.given());
    assert!(caller.was_hung_up().is_some());
    assert!(lines(&record).len() >= 3, "{:?}", lines(&record));
}

#[tokio::test(start_paused = true)]
async fn the_stop_token_ends_a_call_within_its_bound() {
    let long = "x ".repeat(500);
    let fakes = Fakes { stt: FakeStt::default().knowing(1, "hello there"), llm: FakeLlm::default().saying(&long), ..Fakes::default() };
    let call = Call::greeted(fakes, options()).await;
    call.caller.say(1, ms(1_000));
    sleep(ms(1_300)).await;
    call.caller.hears().await;
    call.stop.cancel();
    let caller = call.caller.clone();
    let record = call.ended(Duration::from_secs(15)).await;
    assert_eq!(record.outcome, EndReason::Stopped);
    assert!(caller.was_hung_up().is_some());
}

#[tokio::test(start_paused = true)]
async fn the_stop_token_ends_a_call_that_was_not_answered() {
    let fakes = Fakes::default();
    fakes.stt.set_open_delay(ms(1_500));
    let call = Call::start(fakes, options());
    sleep(ms(300)).await;
    call.stop.cancel();
    let record = call.ended(ms(100)).await;
    assert_eq!(record.outcome, EndReason::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_hang_up_while_the_model_thinks_drops_the_question() {
    let fakes =
        Fakes { stt: FakeStt::default().knowing(1, "hello there"), llm: FakeLlm::default().answering(Answer::Hangs), ..Fakes::default() };
    let call = Call::greeted(fakes, options()).await;
    call.caller.say(1, ms(1_000));
    while call.fakes.llm.requests().is_empty() {
        sleep(ms(10)).await;
    }
    let llm = call.fakes.llm.clone();
    let record = call.hang_up().await;
    assert_eq!(record.outcome, EndReason::CallerHungUp);
    assert_eq!(llm.dropped(), 1);
}
