//! Text-to-speech: what is written is spoken, once and in order, within the provider's limits.

use std::time::{Duration, Instant};

use frontdesk_agent::{SpeechEvent, SpeechStream, TextToSpeech as _, TtsOptions};
use frontdesk_audio::SampleRate;
use frontdesk_providers::{DeepgramOptions, DeepgramTts};
use frontdesk_simulators::providers::ProviderSimulators;

use super::{deepgram, humming, soon, start};

const SPEECH: TtsOptions = TtsOptions { voice: None, rate: SampleRate::HZ_24000 };

async fn open(simulators: &ProviderSimulators) -> Box<dyn SpeechStream> {
    DeepgramTts::new(deepgram(simulators)).open(SPEECH).await.expect("open")
}

async fn event(stream: &mut dyn SpeechStream) -> SpeechEvent {
    soon("speech", stream.next_event()).await.expect("no error").expect("an event")
}

/// Samples up to the end of the utterance.
async fn utterance(stream: &mut dyn SpeechStream) -> Vec<i16> {
    let mut heard = Vec::new();
    while let SpeechEvent::Audio(samples) = event(stream).await {
        heard.extend(samples);
    }
    heard
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentences_are_spoken_in_order_faster_than_they_play() {
    let simulators = start(&[]).await;
    let mut stream = open(&simulators).await;
    let asked = Instant::now();
    stream.speak("Good morning, this is the dental clinic, how can I help you?").await.expect("queued");
    stream.speak("Bye.").await.expect("queued");
    let SpeechEvent::Audio(first) = event(&mut *stream).await else { panic!("audio comes first") };
    assert!(asked.elapsed() >= Duration::from_millis(150), "the stated delay");
    let mut long = first;
    long.extend(utterance(&mut *stream).await);
    let short = utterance(&mut *stream).await;
    let took = asked.elapsed();
    assert!(long.len() > 48_000 && long.len() > 2 * short.len() && short.len() > 4_800, "{} {}", long.len(), short.len());
    assert!(long.iter().any(|sample| sample.unsigned_abs() > 3_000), "audible");
    // The bound leaves room for a machine that is busy while it renders.
    assert!(took < Duration::from_secs(5).max(SampleRate::HZ_24000.duration(long.len())), "{took:?}");
    stream.close().await;
    assert_eq!(stream.next_event().await, Ok(None));
    simulators.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_clear_only_the_new_text_is_heard() {
    let simulators = humming().await;
    let mut stream = open(&simulators).await;
    for _ in 0..5 {
        stream.speak(&"old ".repeat(100)).await.expect("queued");
    }
    let SpeechEvent::Audio(_) = event(&mut *stream).await else { panic!("audio comes first") };
    stream.clear().await.expect("sent");
    stream.speak("0123456789").await.expect("queued");
    assert_eq!(utterance(&mut *stream).await.len(), 2_400);
    simulators.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forty_sentences_at_once_stay_within_twenty_flushes_and_all_are_spoken() {
    let simulators = humming().await;
    let mut stream = open(&simulators).await;
    for n in 0..40 {
        stream.speak(&format!("Sentence {n:02}.")).await.expect("queued");
    }
    let mut samples = 0;
    for _ in 0..40 {
        samples += utterance(&mut *stream).await.len();
    }
    // Joined sentences have a space between them.
    let least = 40 * 12 * 240;
    assert!((least..least + 40 * 240).contains(&samples), "{samples}");
    simulators.stop().await;
}

#[tokio::test]
async fn a_wrong_key_and_a_wrong_voice_are_refused() {
    let simulators = humming().await;
    let wrong = DeepgramOptions { base_url: simulators.deepgram_url(), ..DeepgramOptions::new("wrong") };
    assert_eq!(DeepgramTts::new(wrong).open(SPEECH).await.err().expect("refused").kind(), "unauthorized");
    let wanted = TtsOptions { voice: Some("nova-3".into()), ..SPEECH };
    let error = DeepgramTts::new(deepgram(&simulators)).open(wanted).await.err().expect("refused");
    assert!(error.to_string().contains("400: No such model"), "{error}");
    simulators.stop().await;
}
