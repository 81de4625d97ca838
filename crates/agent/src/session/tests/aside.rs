//! A person speaks to the caller, and the agent stays without a word.

use frontdesk_conversation::{EndReason, config::Phrases};
use tokio::time::sleep;

use super::*;
use crate::testing::FakeStt;
use crate::transport::TransportEvent;

fn fakes() -> Fakes {
    Fakes { stt: FakeStt::default().knowing(1, "hello doctor"), ..Fakes::default() }
}

/// Waits, and fails if the agent is heard.
async fn silent_for(caller: &Caller, time: Duration) {
    let until = Instant::now() + time;
    while Instant::now() < until {
        assert!(!caller.hears_voice(), "the agent says something");
        sleep(ms(20)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_agent_is_silent_while_a_person_speaks_and_speaks_again_afterwards() {
    let call = Call::greeted(fakes(), options()).await;
    let (caller, llm) = (call.caller.clone(), call.fakes.llm.clone());
    caller.tell(TransportEvent::PersonCame);
    sleep(ms(100)).await;
    caller.say(1, ms(1_000));
    silent_for(&caller, Duration::from_secs(120)).await;
    assert!(llm.requests().is_empty(), "nobody asked the model");
    caller.tell(TransportEvent::PersonLeft);
    caller.hears().await;
    caller.hears_the_end().await;
    let record = call.hang_up().await;
    let back = Phrases::default().person_left;
    assert_eq!(lines(&record), [(false, GREETING), (true, "hello doctor"), (false, back.as_str())]);
    assert_eq!(record.outcome, EndReason::CallerHungUp);
}

#[tokio::test(start_paused = true)]
async fn who_speaks_before_the_agent_does_is_not_greeted_over() {
    let fakes = fakes();
    fakes.stt.set_open_delay(ms(500));
    let call = Call::start(fakes, options());
    let caller = call.caller.clone();
    sleep(ms(100)).await;
    caller.tell(TransportEvent::PersonCame);
    sleep(ms(1_000)).await;
    assert!(caller.answered().is_some());
    silent_for(&caller, Duration::from_secs(60)).await;
    caller.tell(TransportEvent::PersonLeft);
    caller.hears().await;
    let record = call.hang_up().await;
    assert_eq!(record.outcome, EndReason::CallerHungUp);
}
