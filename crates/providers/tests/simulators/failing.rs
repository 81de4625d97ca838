//! Services that fail on purpose, and the end of all.

use std::time::{Duration, Instant};

use frontdesk_agent::llm::Message;
use frontdesk_agent::{
    LanguageModel as _, ModelEvent, ModelRequest, ProviderError, SpeechEvent, SpeechToText as _, SttOptions, TextToSpeech as _, TtsOptions,
};
use frontdesk_audio::SampleRate;
use frontdesk_providers::{DeepgramOptions, DeepgramStt, DeepgramTts, OpenAiLlm, OpenAiOptions, Timeouts};
use frontdesk_simulators::providers::{Fault, ProviderSimulators, Service};

use super::{deepgram, humming, soon, start};

const SPEECH: TtsOptions = TtsOptions { voice: None, rate: SampleRate::HZ_24000 };
const MS: fn(u64) -> Duration = Duration::from_millis;

/// Bounds short enough for a test of silence.
fn brief() -> Timeouts {
    Timeouts { connect: MS(500), first_byte: MS(1_500), idle: MS(500), close: MS(500) }
}

fn hasty(simulators: &ProviderSimulators) -> DeepgramOptions {
    DeepgramOptions { timeouts: brief(), ..deepgram(simulators) }
}

fn model(simulators: &ProviderSimulators) -> OpenAiLlm {
    let mut options = OpenAiOptions::new(simulators.api_key(), "gpt-4.1-mini");
    options.base_url = simulators.openai_url();
    options.timeouts = brief();
    OpenAiLlm::new(options).expect("valid options")
}

async fn ask(model: &OpenAiLlm) -> Result<String, ProviderError> {
    let question = ModelRequest { messages: vec![Message::User { text: "Hello there.".into() }], ..ModelRequest::default() };
    let mut answer = soon("an answer", model.ask(question)).await?;
    let mut text = String::new();
    while let Some(event) = soon("the rest", answer.next_event()).await? {
        if let ModelEvent::Text(part) = event {
            text.push_str(&part);
        }
    }
    Ok(text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_fails_says_how_and_one_that_recovers_answers() {
    let simulators = start(&[]).await;
    let faults = simulators.faults();
    let model = model(&simulators);
    assert!(!ask(&model).await.expect("all is well").is_empty());
    for (fault, kinds) in [
        (Fault::Status(500), ["broken", "broken"]),
        (Fault::Status(429), ["rate_limited", "rate_limited"]),
        (Fault::Status(401), ["unauthorized", "unauthorized"]),
        (Fault::Refuse, ["connect", "broken"]),
        (Fault::Silent, ["timeout", "timeout"]),
        (Fault::DropAfter(MS(210)), ["broken", "broken"]),
        (Fault::StallAfter(MS(210)), ["timeout", "timeout"]),
    ] {
        faults.set(Service::Llm, fault);
        let error = ask(&model).await.expect_err("it fails");
        assert!(kinds.contains(&error.kind()), "{fault:?}: {error}");
    }
    faults.set_for(Service::Llm, Fault::Status(503), 1);
    assert!(!ask(&model).await.expect("the second try").is_empty());
    simulators.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn speech_services_that_cannot_be_reached_say_how() {
    let simulators = start(&[]).await;
    let (stt, tts) = (DeepgramStt::new(hasty(&simulators)), DeepgramTts::new(hasty(&simulators)));
    for (fault, kinds) in [
        (Fault::Status(500), ["broken", "broken"]),
        (Fault::Status(429), ["rate_limited", "rate_limited"]),
        (Fault::Refuse, ["connect", "broken"]),
        (Fault::Silent, ["timeout", "timeout"]),
    ] {
        simulators.faults().set(Service::Stt, fault);
        simulators.faults().set(Service::Tts, fault);
        let hearing = soon("an answer", stt.open(SttOptions::default())).await.err().expect("it fails");
        let speaking = soon("an answer", tts.open(SPEECH)).await.err().expect("it fails");
        assert!(kinds.contains(&hearing.kind()) && kinds.contains(&speaking.kind()), "{fault:?}: {hearing}, {speaking}");
    }
    simulators.faults().clear(Service::Stt);
    simulators.faults().clear(Service::Tts);
    stt.open(SttOptions::default()).await.expect("all is well again").close().await;
    tts.open(SPEECH).await.expect("all is well again").close().await;
    simulators.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn speech_that_breaks_off_or_stalls_in_the_middle_is_reported() {
    let simulators = humming().await;
    for (fault, kind) in [(Fault::DropAfter(MS(800)), "broken"), (Fault::StallAfter(MS(800)), "timeout")] {
        simulators.faults().set_for(Service::Tts, fault, 1);
        let mut stream = DeepgramTts::new(hasty(&simulators)).open(SPEECH).await.expect("open");
        // Twenty seconds at eight times the speed: the fault falls into it.
        stream.speak(&"0123456789".repeat(200)).await.expect("queued");
        let error = loop {
            match soon("speech", stream.next_event()).await {
                Ok(Some(SpeechEvent::Audio(_))) => {}
                Ok(other) => panic!("{fault:?}: it ended well: {other:?}"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), kind, "{error}");
    }
    simulators.faults().set(Service::Stt, Fault::DropAfter(MS(100)));
    let mut stream = DeepgramStt::new(hasty(&simulators)).open(SttOptions::default()).await.expect("open");
    assert_eq!(soon("the end", stream.next_event()).await.expect_err("it broke").kind(), "broken");
    simulators.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_ends_open_streams_and_answers_within_a_bound() {
    let simulators = start(&[]).await;
    let options = hasty(&simulators);
    let mut hearing = DeepgramStt::new(options.clone()).open(SttOptions::default()).await.expect("open");
    let mut speaking = DeepgramTts::new(options.clone()).open(SPEECH).await.expect("open");
    simulators.faults().set(Service::Llm, Fault::Silent);
    let model = model(&simulators);
    let asking = tokio::spawn(async move { ask(&model).await });
    let begun = Instant::now();
    soon("the end", simulators.stop()).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(soon("the end", hearing.next_event()).await.expect_err("it is over").kind(), "broken");
    soon("the end", speaking.next_event()).await.expect_err("it is over");
    asking.await.expect("no panic").expect_err("it is over");
    let error = soon("an answer", DeepgramStt::new(options).open(SttOptions::default())).await.err().expect("nobody listens");
    assert_eq!(error.kind(), "connect");
}
