//! The way to the answer.

use std::time::Duration;

use frontdesk_conversation::EndReason;
use tokio::time::sleep;

use super::*;
use crate::testing::{broken, unauthorized};
use crate::transport::TransportError;

#[tokio::test(start_paused = true)]
async fn the_greeting_is_heard_as_it_was_synthesised() {
    let call = Call::greeted(Fakes::default(), options()).await;
    assert_eq!(call.fakes.tts.spoken().concat(), GREETING);
    same(&call.caller.voice(), &call.fakes.tts.given());
    let answered = call.caller.answered().expect("answered");
    let frames = call.caller.frames();
    let first = frames.iter().find(|(_, frame)| frame.iter().any(|&s| s != 0)).expect("voice").0;
    assert!(first - answered < ms(250), "{:?}: the greeting was not synthesised ahead", first - answered);
    assert_eq!(call.fakes.llm.warmed(), 1);
    let store = call.fakes.store.clone();
    let record = call.hang_up().await;
    assert_eq!(record.outcome, EndReason::CallerHungUp);
    assert_eq!(lines(&record), [(false, GREETING)]);
    assert_eq!(record.incidents, Vec::<String>::new());
    assert_eq!((store.begun(), store.records()), (vec!["call-1".to_string()], vec![record]));
}

#[tokio::test(start_paused = true)]
async fn the_call_is_answered_only_when_everything_is_warm() {
    let fakes = Fakes::default();
    fakes.stt.set_open_delay(ms(700));
    fakes.tts.set_open_delay(ms(300));
    let call = Call::greeted(fakes, options()).await;
    assert_eq!(call.caller.answered().map(|at| at - call.began), Some(ms(700)));
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_fails_for_a_moment_is_tried_again() {
    let fakes = Fakes::default();
    fakes.stt.fail_to_open(vec![broken("fake-stt"), broken("fake-stt")]);
    fakes.tts.fail_to_open(vec![broken("fake-tts")]);
    let call = Call::greeted(fakes, options()).await;
    same(&call.caller.voice(), &call.fakes.tts.given());
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_provider_the_call_is_answered_with_the_apology_and_ends() {
    for slow in ["stt", "tts"] {
        let fakes = Fakes::default();
        match slow {
            "stt" => fakes.stt.set_open_delay(Duration::from_secs(60)),
            _ => fakes.tts.set_open_delay(Duration::from_secs(60)),
        }
        let call = Call::start(fakes, options());
        let (caller, began, store) = (call.caller.clone(), call.began, call.fakes.store.clone());
        let record = call.ended(Duration::from_secs(10)).await;
        assert_eq!(caller.answered().map(|at| at - began), Some(Duration::from_secs(2)), "never let it ring for want of a provider");
        same(&caller.voice(), &apology());
        let last = caller.frames().iter().rfind(|(_, frame)| frame.iter().any(|&s| s != 0)).expect("voice").0;
        assert!(caller.was_hung_up().expect("hung up") - last >= ms(200), "what the bridge holds is played out");
        assert_eq!(record.outcome, EndReason::Failed);
        assert_eq!(lines(&record), [(false, APOLOGY)]);
        assert_eq!(record.incidents, [format!("start: fake-{slow} timeout")]);
        assert_eq!(store.records(), [record]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_key_is_not_waited_for() {
    let fakes = Fakes::default();
    fakes.tts.fail_to_open(vec![unauthorized("fake-tts")]);
    let call = Call::start(fakes, options());
    let caller = call.caller.clone();
    let began = call.began;
    let record = call.ended(Duration::from_secs(10)).await;
    assert_eq!(caller.answered(), Some(began));
    assert_eq!(record.incidents, ["start: fake-tts unauthorized"]);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_before_the_answer_is_recorded() {
    let fakes = Fakes::default();
    fakes.stt.set_open_delay(ms(1_500));
    let call = Call::start(fakes, options());
    sleep(ms(500)).await;
    let caller = call.caller.clone();
    let record = call.hang_up().await;
    assert_eq!((record.outcome, record.transcript.len()), (EndReason::CallerHungUp, 0));
    assert!(caller.answered().is_none() && caller.was_hung_up().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_cannot_be_answered_is_recorded() {
    let (transport, caller) = FakeTransport::new();
    let call = Call::over(transport.refusing(), caller, Fakes::default(), options());
    let record = call.ended(Duration::from_secs(10)).await;
    assert_eq!((record.outcome, record.incidents), (EndReason::Failed, vec!["start: answering failed".to_string()]));
}

#[tokio::test(start_paused = true)]
async fn joining_and_warming_run_at_the_same_time() {
    let fakes = Fakes::default();
    fakes.stt.set_open_delay(ms(400));
    let (transport, caller) = FakeTransport::new();
    let joining = async move {
        sleep(ms(500)).await;
        Ok(Box::new(transport) as Box<dyn crate::Transport>)
    };
    let (began, stop) = (Instant::now(), CancellationToken::new());
    let session = tokio::spawn(Session::joining(options(), fakes.providers(), joining).run(stop.clone()));
    caller.hears().await;
    assert_eq!(caller.answered().map(|at| at - began), Some(ms(500)));
    caller.hang_up();
    session.await.expect("the session ends");

    let failing = async { Err(TransportError::Join("scripted".into())) };
    let record = Session::joining(options(), fakes.providers(), failing).run(stop).await;
    assert_eq!(record.incidents, ["start: the call could not be joined"]);
}
