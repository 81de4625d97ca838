//! Calls that change hands: lost by one worker, gone on with by another.

use frontdesk_conversation::{EndReason, StoredState};
use tokio::time::sleep;

use super::*;
use crate::session::Resumed;
use crate::store::CallStore as _;
use crate::testing::{FakeLlm, FakeStt};

/// A call that was greeted and whose worker vanished; what it had stored.
async fn vanished() -> StoredState {
    let call = Call::greeted(Fakes::default(), options()).await;
    call.session.abort();
    let state = call.fakes.store.load_state("call-1").await.unwrap().expect("the state was stored when the floor was given");
    StoredState::from_json(&state).unwrap()
}

#[tokio::test(start_paused = true)]
async fn another_worker_goes_on_where_the_call_was_and_says_so() {
    let state = vanished().await;
    let age = Duration::from_secs(60);
    let fakes = Fakes { stt: FakeStt::default().knowing(1, "what is free"), llm: FakeLlm::default().saying("Noon."), ..Fakes::default() };
    let resumed = SessionOptions { resumed: Some(Resumed { state, age }), incidents: vec!["worker: lost".into()], ..options() };
    let call = Call::greeted(fakes, resumed).await;
    call.turn(1).await;
    let took = call.began.elapsed();
    let record = call.hang_up().await;
    let said: Vec<&str> = lines(&record).into_iter().map(|(_, text)| text).collect();
    assert!(said[0].contains(GREETING), "{said:?}");
    assert!(said[1].contains("I lost you for a moment"), "{said:?}");
    assert!(!said[1..].iter().any(|line| line.contains(GREETING)), "nobody is greeted twice: {said:?}");
    assert!(said.iter().any(|line| line.contains("what is free")) && said.iter().any(|line| line.contains("Noon.")), "{said:?}");
    assert_eq!(record.incidents, ["worker: lost"]);
    // The clock goes on from the beginning of the call.
    let length = Duration::from_millis(record.duration_ms);
    assert!(length >= age && length <= age + took + ms(500), "{length:?}");
    assert!(record.transcript.is_sorted_by_key(|line| line.start_ms), "{:?}", record.transcript);
    assert!(record.transcript[1].start_ms >= 60_000);
}

#[tokio::test(start_paused = true)]
async fn whoever_lost_the_call_falls_silent_leaves_and_stores_nothing_more() {
    let long = "x ".repeat(500);
    let fakes = Fakes { stt: FakeStt::default().knowing(1, "hello"), llm: FakeLlm::default().saying(&long), ..Fakes::default() };
    fakes.store.set_leased(true);
    let options = options();
    let lost = options.lost.clone();
    let call = Call::greeted(fakes, options).await;
    call.caller.say(1, ms(1_000));
    sleep(ms(1_300)).await;
    call.caller.hears().await;
    let (caller, store) = (call.caller.clone(), call.fakes.store.clone());
    lost.cancel();
    sleep(ms(40)).await;
    let heard = caller.voice().len();
    let states = store.states();
    let record = call.ended(Duration::from_secs(5)).await;
    assert_eq!(record.outcome, EndReason::TakenOver);
    assert!(caller.was_left() && caller.was_hung_up().is_none(), "the caller stays");
    assert_eq!(caller.voice().len(), heard, "nothing more is said");
    assert_eq!((store.states(), store.records().len()), (states, 0));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_taken_out_of_the_room_leaves_the_call_to_the_next_one() {
    for leased in [true, false] {
        let fakes = Fakes::default();
        fakes.store.set_leased(leased);
        let call = Call::greeted(fakes, options()).await;
        let (caller, store) = (call.caller.clone(), call.fakes.store.clone());
        caller.remove_agent();
        let record = call.ended(Duration::from_secs(5)).await;
        assert!(caller.was_left() && caller.was_hung_up().is_none());
        if leased {
            assert_eq!((record.outcome, store.records().len()), (EndReason::TakenOver, 0));
        } else {
            // Nobody could go on with it.
            assert_eq!((record.outcome, store.records().len()), (EndReason::Stopped, 1));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_lost_before_it_is_answered_is_left() {
    let fakes = Fakes::default();
    fakes.store.set_leased(true);
    fakes.stt.set_open_delay(ms(1_500));
    let options = options();
    let lost = options.lost.clone();
    let call = Call::start(fakes, options);
    sleep(ms(300)).await;
    lost.cancel();
    let (caller, store) = (call.caller.clone(), call.fakes.store.clone());
    let record = call.ended(ms(100)).await;
    assert_eq!((record.outcome, store.records().len()), (EndReason::TakenOver, 0));
    assert!(caller.was_left() && caller.answered().is_none());
}
