//! Providers and stores that fail in the middle of a call.

use async_trait::async_trait;
use frontdesk_conversation::{AgentState, EndReason, TranscriptLine};
use tokio::time::sleep;

use super::*;
use crate::testing::{Answer, FakeLlm, FakeStt, broken, unauthorized};
use crate::transport::{AudioSink, CallInfo, Transport, TransportError, TransportEvent};
use crate::vad::{VoiceActivity, VoiceActivityDetector, VoiceEvent};

fn fakes() -> Fakes {
    let stt = FakeStt::default().knowing(1, "I would like an appointment").knowing(2, "on Monday please");
    Fakes { stt, llm: FakeLlm::default().saying("Certainly.").saying("Very well."), ..Fakes::default() }
}

#[tokio::test(start_paused = true)]
async fn a_recogniser_that_dies_in_mid_word_is_replaced_and_hears_it_all() {
    let call = Call::greeted(fakes(), options()).await;
    call.fakes.stt.set_open_delay(ms(600));
    call.caller.say(1, ms(1_200));
    sleep(ms(500)).await;
    call.fakes.stt.break_after(1);
    sleep(ms(900)).await;
    call.caller.hears().await;
    call.caller.hears_the_end().await;
    let record = call.hang_up().await;
    assert_eq!(lines(&record)[1..], [(true, "I would like an appointment"), (false, "Certainly.")]);
    assert_eq!(record.incidents, ["speech-to-text: broken, connected anew"]);
}

#[tokio::test(start_paused = true)]
async fn without_a_recogniser_the_call_ends_with_an_apology() {
    let call = Call::greeted(fakes(), options()).await;
    call.fakes.stt.fail_to_open(vec![unauthorized("fake-stt")]);
    call.fakes.stt.break_after(1);
    let apology = options().conversation.phrases.apology;
    let record = call.ended(Duration::from_secs(60)).await;
    assert_eq!(record.outcome, EndReason::Failed);
    assert_eq!(lines(&record).last(), Some(&(false, apology.as_str())));
}

#[tokio::test(start_paused = true)]
async fn a_model_that_fails_once_costs_one_fallback() {
    let mut fakes = fakes();
    fakes.llm = FakeLlm::default().answering(Answer::Fails(unauthorized("fake-llm"))).saying("Very well.");
    let mut options = options();
    options.conversation.preemptive_generation = false;
    let fallback = options.conversation.phrases.fallback.clone();
    let call = Call::greeted(fakes, options).await;
    call.turn(1).await;
    call.turn(2).await;
    let record = call.hang_up().await;
    assert!(lines(&record).contains(&(false, fallback.as_str())), "{:?}", lines(&record));
    assert!(lines(&record).contains(&(false, "Very well.")));
    assert_eq!(record.incidents, ["language model: fake-llm unauthorized"]);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_fails_before_the_words_were_final_costs_nothing() {
    let mut fakes = fakes();
    fakes.llm = FakeLlm::default().answering(Answer::Fails(unauthorized("fake-llm"))).saying("Very well.");
    let call = Call::greeted(fakes, options()).await;
    call.turn(1).await;
    let record = call.hang_up().await;
    assert_eq!(lines(&record)[1..], [(true, "I would like an appointment"), (false, "Very well.")]);
    assert_eq!(record.incidents, ["language model: fake-llm unauthorized"]);
}

#[tokio::test(start_paused = true)]
async fn a_synthesiser_that_breaks_before_a_word_was_heard_goes_unnoticed() {
    let call = Call::greeted(fakes(), options()).await;
    call.fakes.tts.break_after(1);
    call.turn(1).await;
    same(&call.caller.voice(), &call.fakes.tts.given());
    let record = call.hang_up().await;
    assert_eq!(lines(&record).last(), Some(&(false, "Certainly.")));
    assert_eq!(record.incidents, ["text-to-speech: broken, connected anew"]);
}

#[tokio::test(start_paused = true)]
async fn without_a_synthesiser_the_cached_apology_is_played() {
    let call = Call::greeted(fakes(), options()).await;
    call.fakes.tts.fail_to_open((0..20).map(|_| broken("fake-tts")).collect());
    call.fakes.tts.break_after(1);
    let (caller, before) = (call.caller.clone(), call.caller.voice().len());
    caller.say(1, ms(1_200));
    let record = call.ended(Duration::from_secs(60)).await;
    assert_eq!(record.outcome, EndReason::Failed);
    assert_eq!(lines(&record).last(), Some(&(false, APOLOGY)), "{record:?}");
    same(&caller.voice()[before..], &apology());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_never_ends_a_call() {
    let fakes = fakes();
    fakes.store.set_away(true);
    let call = Call::greeted(fakes, options()).await;
    call.turn(1).await;
    let record = call.hang_up().await;
    assert!(lines(&record).contains(&(false, "Certainly.")));
    assert!(record.incidents.iter().any(|incident| incident == "store: begin unavailable"), "{:?}", record.incidents);
    assert!(record.incidents.iter().any(|incident| incident == "store: finish unavailable"), "{:?}", record.incidents);
}

#[tokio::test(start_paused = true)]
async fn state_is_stored_as_turns_are_committed() {
    let call = Call::greeted(fakes(), options()).await;
    let before = call.fakes.store.states();
    call.turn(1).await;
    assert!(call.fakes.store.states() > before);
    assert!(!call.fakes.store.audits().is_empty());
    call.hang_up().await;
}

/// A detector that panics once it hears voice.
struct Treacherous;

impl VoiceActivityDetector for Treacherous {
    fn open(&self) -> Box<dyn VoiceActivity> {
        Box::new(Self)
    }
}

#[async_trait]
impl VoiceActivity for Treacherous {
    fn push(&mut self, samples: &[i16]) {
        assert!(samples.iter().all(|&sample| sample == 0), "scripted");
    }

    async fn next_event(&mut self) -> VoiceEvent {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_within_a_call_is_apologised_for_and_recorded() {
    let fakes = fakes();
    let (transport, caller) = FakeTransport::new();
    let providers = crate::Providers { vad: Arc::new(Treacherous), ..fakes.providers() };
    let session = tokio::spawn(Session::new(options(), providers, Box::new(transport)).run(CancellationToken::new()));
    caller.hears().await;
    caller.hears_the_end().await;
    let before = caller.voice().len();
    caller.say(1, ms(1_000));
    let record = session.await.expect("nothing panics out");
    assert_eq!(record.outcome, EndReason::Failed);
    assert_eq!(lines(&record), [(false, GREETING), (false, APOLOGY)], "what was said before is in the record");
    assert!(record.incidents.contains(&"conversation: panicked".into()));
    same(&caller.voice()[before..], &apology());
    assert!(caller.was_hung_up().is_some());
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}

/// A transport whose signals hang and that panics after a while.
struct Doomed(FakeTransport, Instant, Duration);

#[async_trait]
impl Transport for Doomed {
    fn info(&self) -> &CallInfo {
        self.0.info()
    }

    async fn answer(&mut self, rate: SampleRate) -> Result<Box<dyn AudioSink>, TransportError> {
        self.0.answer(rate).await
    }

    async fn next_event(&mut self) -> TransportEvent {
        assert!(self.1.elapsed() < self.2, "scripted");
        self.0.next_event().await
    }

    async fn set_state(&mut self, _state: AgentState) {
        std::future::pending().await
    }

    async fn publish_transcript(&mut self, _line: &TranscriptLine) {
        std::future::pending().await
    }

    async fn hang_up(&mut self) {
        self.0.hang_up().await;
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn signals_that_hang_delay_neither_voice_nor_the_hang_up() {
    let (transport, caller) = FakeTransport::new();
    let fakes = fakes();
    let slow = Doomed(transport, Instant::now(), Duration::MAX);
    let stop = CancellationToken::new();
    let session = tokio::spawn(Session::new(options(), fakes.providers(), Box::new(slow)).run(stop.clone()));
    caller.hears().await;
    caller.hears_the_end().await;
    for phrase in [1, 2] {
        caller.say(phrase, ms(1_200));
        sleep(ms(1_300)).await;
        caller.hears().await;
        caller.hears_the_end().await;
    }
    same(&caller.voice(), &fakes.tts.given());
    stop.cancel();
    let stopped = Instant::now();
    session.await.expect("the session ends");
    assert!(caller.was_hung_up().expect("hung up") - stopped < ms(1_500));
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_hangs_and_panics_ends_the_call_alone() {
    let (transport, caller) = FakeTransport::new();
    let fakes = fakes();
    let doomed = Doomed(transport, Instant::now(), ms(3_000));
    let session = Session::new(options(), fakes.providers(), Box::new(doomed)).run(CancellationToken::new());
    let record = timeout(Duration::from_secs(30), session).await.expect("the session ends in time");
    assert_eq!(record.outcome, EndReason::ConnectionLost);
    assert_eq!(record.incidents, ["session: a helper task panicked"]);
    same(&caller.voice(), &fakes.tts.given());
}

#[tokio::test(start_paused = true)]
async fn a_stalled_process_delays_voice_and_loses_none() {
    let call = Call::start(fakes(), options());
    call.caller.hears().await;
    tokio::time::advance(ms(130)).await;
    call.caller.hears_the_end().await;
    same(&call.caller.voice(), &call.fakes.tts.given());
    let early = call.caller.frames().windows(2).filter(|pair| pair[1].0 - pair[0].0 < ms(20)).count();
    assert!(early <= 1, "the phase is kept, and nothing is caught up with");
    call.hang_up().await;
}
