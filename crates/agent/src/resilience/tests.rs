//! Chains in virtual time: who serves, within which bound, and what the numbers say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use frontdesk_audio::SampleRate;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tokio::time::{Instant, advance};

use super::*;
use crate::llm::{LanguageModel, ModelEvent, ModelRequest};
use crate::stt::{SpeechToText, SttOptions};
use crate::testing::{Answer, FakeLlm, FakeStt, FakeTts, broken};
use crate::tts::{TextToSpeech, TtsOptions};

fn models(primary: &FakeLlm, secondary: &FakeLlm) -> FallbackLlm {
    let services: [Arc<dyn LanguageModel>; 2] = [Arc::new(primary.clone()), Arc::new(secondary.clone())];
    FallbackLlm::new(services, FallbackOptions::default())
}

async fn answer(llm: &FallbackLlm) -> Result<String, crate::ProviderError> {
    let mut stream = llm.ask(ModelRequest::default()).await?;
    let mut text = String::new();
    while let Some(event) = stream.next_event().await? {
        match event {
            ModelEvent::Text(piece) => text.push_str(&piece),
            ModelEvent::ToolCall(_) => {}
            ModelEvent::Done => break,
        }
    }
    Ok(text)
}

#[tokio::test(start_paused = true)]
async fn a_model_that_fails_or_hangs_is_replaced_within_the_request() {
    let primary = FakeLlm::default().answering(Answer::Fails(broken("fake-llm"))).answering(Answer::Hangs);
    let secondary = FakeLlm::default().saying("one").saying("two");
    let llm = models(&primary, &secondary);
    let began = Instant::now();
    assert_eq!(answer(&llm).await.as_deref(), Ok("one"));
    assert!(began.elapsed() < Duration::from_secs(1));
    // It is no longer suspect, and now it hangs.
    advance(Duration::from_secs(6)).await;
    let began = Instant::now();
    assert_eq!(answer(&llm).await.as_deref(), Ok("two"));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_model_that_keeps_failing_is_left_alone_and_taken_back_when_it_answers() {
    let failing = || Answer::Fails(broken("fake-llm"));
    let primary = FakeLlm::default().answering(failing()).answering(failing()).answering(failing()).saying("back");
    let secondary = FakeLlm::default().saying("1").saying("2").saying("3").saying("4");
    let llm = models(&primary, &secondary);
    for n in ["1", "2", "3"] {
        assert_eq!(answer(&llm).await.as_deref(), Ok(n));
        if n != "3" {
            advance(Duration::from_secs(6)).await;
        }
    }
    assert_eq!(llm.health()[0].circuit, Circuit::Open);
    assert_eq!(answer(&llm).await.as_deref(), Ok("4"));
    assert_eq!(primary.requests().len(), 3, "not asked while open");
    advance(Duration::from_secs(5)).await;
    assert_eq!(answer(&llm).await.as_deref(), Ok("back"));
    assert_eq!(llm.health()[0].circuit, Circuit::Closed);
}

#[tokio::test(start_paused = true)]
async fn with_nobody_else_to_turn_to_an_open_breaker_does_not_stand_in_the_way() {
    let failing = || Answer::Fails(broken("fake-llm"));
    let alone = FakeLlm::default().answering(failing()).answering(failing()).answering(failing()).saying("back");
    let services: [Arc<dyn LanguageModel>; 1] = [Arc::new(alone)];
    let llm = FallbackLlm::new(services, FallbackOptions::default());
    for _ in 0..3 {
        assert!(answer(&llm).await.is_err());
    }
    assert_eq!(llm.health()[0].circuit, Circuit::Open);
    assert_eq!(answer(&llm).await.as_deref(), Ok("back"));
}

#[tokio::test(start_paused = true)]
async fn a_recogniser_that_cannot_be_reached_is_passed_over() {
    let (primary, secondary) = (FakeStt::default(), FakeStt::default());
    primary.fail_to_open(vec![broken("fake-stt")]);
    let services: [Arc<dyn SpeechToText>; 2] = [Arc::new(primary.clone()), Arc::new(secondary.clone())];
    let stt = FallbackStt::new(services, FallbackOptions::default());
    assert!(stt.open(SttOptions::default()).await.is_ok());
    assert_eq!((stt.health()[0].failures, stt.health()[1].failures), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_synthesiser_that_falls_silent_fails_and_the_next_speaks_with_its_own_voice() {
    let (primary, secondary) = (FakeTts::default(), FakeTts::default());
    primary.set_first_byte(Duration::from_secs(3600));
    let services: [Arc<dyn TextToSpeech>; 2] = [Arc::new(primary.clone()), Arc::new(secondary.clone())];
    let tts = FallbackTts::new(services, FallbackOptions::default());
    let options = TtsOptions { voice: Some("theirs".into()), rate: SampleRate::HZ_24000 };
    let mut stream = tts.open(options.clone()).await.expect("opens");
    stream.speak("Hello.").await.expect("takes it");
    let began = Instant::now();
    assert!(stream.next_event().await.is_err());
    assert!(began.elapsed() < Duration::from_secs(3));
    let mut stream = tts.open(options).await.expect("opens");
    stream.speak("Hello.").await.expect("takes it");
    assert!(stream.next_event().await.is_ok());
    assert_eq!((primary.spoken().len(), secondary.spoken().len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_models_name_is_given_to_the_service_that_has_it_alone() {
    let (primary, secondary) =
        (FakeLlm::default().saying("one").answering(Answer::Fails(broken("fake-llm"))), FakeLlm::default().saying("two"));
    let llm = models(&primary, &secondary);
    for _ in 0..2 {
        let named = ModelRequest { model: Some("theirs".into()), temperature: Some(0.5), ..ModelRequest::default() };
        assert!(llm.ask(named).await.is_ok());
    }
    let asked = |llm: &FakeLlm| llm.requests().into_iter().map(|request| (request.model, request.temperature)).collect::<Vec<_>>();
    assert_eq!(asked(&primary), vec![(Some("theirs".into()), Some(0.5)); 2]);
    assert_eq!(asked(&secondary), [(None, Some(0.5))]);
    let (primary, secondary) = (FakeStt::default(), FakeStt::default());
    let services: [Arc<dyn SpeechToText>; 2] = [Arc::new(primary.clone()), Arc::new(secondary.clone())];
    let stt = FallbackStt::new(services, FallbackOptions::default());
    let named = SttOptions { model: Some("theirs".into()), ..SttOptions::default() };
    assert!(stt.open(named.clone()).await.is_ok());
    primary.fail_to_open(vec![broken("fake-stt")]);
    assert!(stt.open(named).await.is_ok());
    assert_eq!((primary.models(), secondary.models()), (vec![Some("theirs".into())], vec![None]));
}

#[test]
fn the_numbers_tell_of_failures_fallbacks_and_circuits() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let primary = (0..3).fold(FakeLlm::default(), |llm, _| llm.answering(Answer::Fails(broken("fake-llm"))));
            let llm = models(&primary, &FakeLlm::default().saying("1").saying("2").saying("3"));
            for _ in 0..3 {
                assert!(answer(&llm).await.is_ok());
                advance(Duration::from_millis(5100)).await;
            }
        });
    });
    let values: BTreeMap<String, DebugValue> = snapshotter
        .snapshot()
        .into_vec()
        .into_iter()
        .map(|(key, _, _, value)| {
            let place = key.key().labels().find(|label| label.key() == "place").map(|label| label.value().to_owned());
            (format!("{} {}", key.key().name(), place.unwrap_or_default()), value)
        })
        .collect();
    assert_eq!(values["frontdesk.provider.failures 0"], DebugValue::Counter(3));
    assert_eq!(values["frontdesk.provider.fallbacks 1"], DebugValue::Counter(3));
    assert_eq!(values["frontdesk.provider.circuit 0"], DebugValue::Gauge(1.0.into()));
    assert_eq!(values["frontdesk.provider.circuit 1"], DebugValue::Gauge(0.0.into()));
}
