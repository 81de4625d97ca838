//! Ends of calls.

use frontdesk_conversation::EndReason;
use tokio::time::sleep;

use super::*;
use crate::session::{Describe, blocked_threads};
use crate::testing::{Answer, FakeLlm, FakeStt};
use crate::transport::TransportEvent;
use crate::vad::{VoiceActivity, VoiceActivityDetector, VoiceEvent};

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
async fn a_call_that_is_stopped_stores_no_end_for_its_successor() {
    let fakes = Fakes::default();
    let store = fakes.store.clone();
    let call = Call::greeted(fakes, options()).await;
    sleep(ms(500)).await;
    let stored = store.states();
    assert!(stored > 0);
    call.stop.cancel();
    assert_eq!(call.ended(Duration::from_secs(15)).await.outcome, EndReason::Stopped);
    assert_eq!(store.states(), stored);
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

#[tokio::test(start_paused = true)]
async fn a_call_that_is_hurried_ends_with_a_word() {
    let options = options();
    let (hurry, closing) = (options.hurry.clone(), options.conversation.phrases.closing.clone());
    let call = Call::greeted(Fakes::default(), options).await;
    hurry.cancel();
    call.caller.hears().await;
    let record = call.ended(Duration::from_secs(60)).await;
    assert_eq!((record.outcome, lines(&record).last()), (EndReason::Stopped, Some(&(false, closing.as_str()))));
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_lost_stands_in_the_record() {
    for (event, outcome) in [
        (TransportEvent::RoomClosed, EndReason::RoomClosed),
        (TransportEvent::CallerRemoved, EndReason::CallerRemoved),
        (TransportEvent::Disconnected, EndReason::ConnectionLost),
        (TransportEvent::ShutOut, EndReason::ConnectionLost),
    ] {
        let call = Call::greeted(Fakes::default(), options()).await;
        let caller = call.caller.clone();
        let is_shut_out = matches!(event, TransportEvent::ShutOut);
        caller.tell(event);
        let record = call.ended(Duration::from_secs(30)).await;
        assert_eq!(record.outcome, outcome);
        let tells_why = record.incidents.iter().any(|incident| incident.contains("did not let the agent back in"));
        assert_eq!(tells_why, is_shut_out, "{:?}", record.incidents);
        assert!(caller.was_hung_up().is_some() && !caller.was_left(), "without a lease nobody else can have it");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_another_agent_has_is_left_to_it() {
    for event in [TransportEvent::Removed, TransportEvent::Replaced, TransportEvent::Disconnected, TransportEvent::ShutOut] {
        let fakes = Fakes::default();
        fakes.store.set_leased(true);
        let store = fakes.store.clone();
        let call = Call::greeted(fakes, options()).await;
        let caller = call.caller.clone();
        caller.tell(event);
        let record = call.ended(Duration::from_secs(30)).await;
        assert_eq!(record.outcome, EndReason::TakenOver);
        assert_eq!((caller.was_left(), caller.was_hung_up(), store.records().len()), (true, None, 0), "it is another's");
    }
}

/// Hears until it is told to hang, and then blocks its thread until it is told to go on: what a session cannot defend itself from.
struct Hanging {
    hang: Arc<std::sync::atomic::AtomicBool>,
    go_on: Arc<(std::sync::Mutex<bool>, std::sync::Condvar)>,
    inner: Arc<dyn VoiceActivityDetector>,
}

struct HangingEars {
    hang: Arc<std::sync::atomic::AtomicBool>,
    go_on: Arc<(std::sync::Mutex<bool>, std::sync::Condvar)>,
    inner: Box<dyn VoiceActivity>,
}

impl VoiceActivityDetector for Hanging {
    fn open(&self) -> Box<dyn VoiceActivity> {
        Box::new(HangingEars { hang: Arc::clone(&self.hang), go_on: Arc::clone(&self.go_on), inner: self.inner.open() })
    }
}

#[async_trait::async_trait]
impl VoiceActivity for HangingEars {
    fn push(&mut self, samples: &[i16]) {
        if self.hang.load(std::sync::atomic::Ordering::SeqCst) {
            let (lock, told) = &*self.go_on;
            let told = told.wait_while(lock.lock().unwrap(), |go_on| !*go_on).unwrap();
            drop(told);
        }
        self.inner.push(samples);
    }

    async fn next_event(&mut self) -> VoiceEvent {
        self.inner.next_event().await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_call_that_blocks_its_thread_is_ended_by_its_watchdog_and_others_go_on() {
    let (hang, go_on) = (Arc::default(), Arc::new((std::sync::Mutex::new(false), std::sync::Condvar::new())));
    let fakes = Fakes::default();
    let mut providers = fakes.providers();
    providers.vad = Arc::new(Hanging { hang: Arc::clone(&hang), go_on: Arc::clone(&go_on), inner: Arc::clone(&providers.vad) });
    let mut options = options();
    options.limits.stuck = ms(300);
    let (transport, caller) = FakeTransport::new();
    let session = tokio::spawn(Session::new(options, providers, Box::new(transport)).run(CancellationToken::new()));
    let other = Call::start(Fakes::default(), SessionOptions { call_id: "call-2".into(), ..super::options() });
    caller.hears().await;
    other.caller.hears().await;
    hang.store(true, std::sync::atomic::Ordering::SeqCst);
    // The session's thread is blocked: line and record are the watchdog's doing.
    let left = async {
        while fakes.store.records().is_empty() || caller.was_hung_up().is_none() {
            tokio::time::sleep(ms(5)).await;
        }
    };
    timeout(Duration::from_secs(10), left).await.expect("the caller is let go, and a record is kept");
    assert_eq!(fakes.store.records()[0].outcome, EndReason::Stuck);
    assert!(!other.session.is_finished());
    assert_eq!(blocked_threads(), 1);
    *go_on.0.lock().unwrap() = true;
    go_on.1.notify_all();
    let record = timeout(Duration::from_secs(10), session).await.expect("it ends").expect("it does not panic");
    assert_eq!((record.outcome, record.incidents.len()), (EndReason::Stuck, 1), "{:?}", record.incidents);
    assert_eq!(fakes.store.records().len(), 1);
    let free = async {
        while blocked_threads() > 0 {
            tokio::time::sleep(ms(5)).await;
        }
    };
    timeout(Duration::from_secs(10), free).await.expect("the thread is free again");
    other.stop.cancel();
    other.session.await.expect("it does not panic");
}

#[tokio::test(start_paused = true)]
async fn the_application_has_the_last_word_on_the_record_and_names_the_model() {
    let fakes = Fakes { stt: FakeStt::default().knowing(1, "hello there"), llm: FakeLlm::default().saying("Hello."), ..Fakes::default() };
    let mut options = options();
    options.language_model = Some("theirs".into());
    options.describe = Some(Describe::new(|record| record.summary = Some(format!("{} lines", record.transcript.len()))));
    let call = Call::greeted(fakes.clone(), options).await;
    call.turn(1).await;
    let record = call.hang_up().await;
    assert_eq!(record.summary.as_deref(), Some("3 lines"));
    assert_eq!(fakes.store.records()[0].summary, record.summary, "as it was stored");
    assert!(fakes.llm.requests().iter().all(|request| request.model.as_deref() == Some("theirs")));
}
