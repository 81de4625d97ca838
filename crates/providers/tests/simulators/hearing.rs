//! Speech-to-text: only what was truly said is understood.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::LazyLock;
use std::time::Duration;

use frontdesk_agent::{SpeechToText as _, SttEvent, SttOptions, SttStream};
use frontdesk_audio::SampleRate;
use frontdesk_audio::g711::{decode_ulaw, encode_ulaw};
use frontdesk_audio::resample::convert;
use frontdesk_providers::{DeepgramOptions, DeepgramStt, ListenSettings};
use frontdesk_simulators::stt::{self, SessionOptions, SttMode};
use frontdesk_simulators::voice::{Speaker, Voice};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{deepgram, soon, start};

/// What the demo's callers say.
const DEMO: [&str; 12] = [
    "Hello, I would like to book an appointment, please.",
    "My name is Ada Lovelace.",
    "My number is five five five, zero one two, three four five six.",
    "My name is Grace Hopper.",
    "My number is five five five, zero one three, four five six seven.",
    "My name is Niels Bohr.",
    "My number is five five five, zero one eight, nine zero one two.",
    "The first one, please.",
    "The second one, please.",
    "The third one, please.",
    "Yes, that is right.",
    "No, thank you, goodbye.",
];

/// What a caller's telephone sends, as a worker hears it: PCMU at 8 kHz, then 16 kHz, between two silences.
fn said(text: &str) -> Vec<i16> {
    static CALLER: LazyLock<Speaker> = LazyLock::new(|| Speaker::new(Voice::caller()));
    let clip = CALLER.render(text, SampleRate::HZ_8000).expect("espeak-ng is installed");
    wide(&clip)
}

fn wide(clip: &[i16]) -> Vec<i16> {
    let mut audio = vec![0; 8_000];
    audio.extend(convert(&decode_ulaw(&encode_ulaw(clip)), SampleRate::HZ_8000, SampleRate::HZ_16000));
    audio.extend([0; 11_200]);
    audio
}

async fn send(stream: &mut dyn SttStream, audio: &[i16]) {
    for part in audio.chunks(1_600) {
        stream.send_audio(part).await.expect("taken");
    }
}

/// Results up to the next final one.
async fn results(stream: &mut dyn SttStream) -> Vec<SttEvent> {
    let mut results = Vec::new();
    loop {
        let event = soon("a result", stream.next_event()).await.expect("no error").expect("an event");
        let is_final = event.is_final;
        results.push(event);
        if is_final {
            return results;
        }
    }
}

/// Sends audio and asks for the rest; all final words, and whether interim ones came. A pause may split an utterance into several
/// results.
async fn heard(stream: &mut dyn SttStream, audio: &[i16]) -> (Vec<SttEvent>, String) {
    send(stream, audio).await;
    stream.finalize().await.expect("taken");
    let mut all: Vec<SttEvent> = Vec::new();
    while !all.last().is_some_and(|event| event.from_finalize) {
        all.extend(results(stream).await);
    }
    let finals = all.iter().filter(|event| event.is_final && !event.text.expose().is_empty());
    let text = finals.map(|event| event.text.expose().as_str()).collect::<Vec<_>>().join(" ");
    (all, text)
}

async fn final_text(stream: &mut dyn SttStream) -> String {
    results(stream).await.pop().expect("at least the final one").text.expose().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_of_the_demo_is_understood_through_the_telephone() {
    let simulators = start(&DEMO).await;
    let mut stream = DeepgramStt::new(deepgram(&simulators)).open(SttOptions::default()).await.expect("open");
    for line in DEMO {
        let (results, text) = heard(&mut *stream, &said(line)).await;
        assert_eq!(text, line);
        assert!(results.iter().any(|result| !result.is_final), "interim words come first");
        let words: Vec<_> = results.iter().filter(|result| result.is_final).flat_map(|result| &result.words).collect();
        assert!(words.iter().all(|word| word.start < word.end && word.confidence > 0.5), "{line}: {words:?}");
        assert!(words.windows(2).all(|pair| pair[0].end <= pair[1].start));
    }
    stream.close().await;
    assert_eq!(stream.next_event().await, Ok(None));
    simulators.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clipped_reversed_and_unknown_speech_is_not_understood() {
    let simulators = start(&DEMO).await;
    let mut stream = DeepgramStt::new(deepgram(&simulators)).open(SttOptions::default()).await.expect("open");
    let whole = Speaker::new(Voice::caller()).render(DEMO[0], SampleRate::HZ_8000).expect("espeak-ng is installed");
    let clipped = wide(&whole[whole.len() * 2 / 5..]);
    let reversed = wide(&whole.iter().rev().copied().collect::<Vec<_>>());
    for (what, audio) in
        [("without its first two fifths", clipped), ("backwards", reversed), ("unknown words", said("Where can I park my car?"))]
    {
        let (_, text) = heard(&mut *stream, &audio).await;
        assert!(DEMO.iter().all(|line| !text.contains(line)), "{what}: {text}");
    }
    simulators.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_to_finalise_does_not_wait_for_silence() {
    let simulators = start(&DEMO[10..11]).await;
    let settings = ListenSettings { endpointing_ms: Some(5_000), ..ListenSettings::default() };
    let mut stream = DeepgramStt::new(deepgram(&simulators)).with_settings(settings).open(SttOptions::default()).await.expect("open");
    send(&mut *stream, &said(DEMO[10])).await;
    stream.finalize().await.expect("taken");
    let last = results(&mut *stream).await.pop().expect("at least the final one");
    assert_eq!((last.text.expose().as_str(), last.from_finalize), (DEMO[10], true));
    stream.finalize().await.expect("taken");
    assert_eq!(final_text(&mut *stream).await, "", "nothing was said since");
    simulators.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taught_later_is_understood_at_once() {
    let simulators = start(&[]).await;
    let mut stream = DeepgramStt::new(deepgram(&simulators)).open(SttOptions::default()).await.expect("open");
    assert_eq!(heard(&mut *stream, &said(DEMO[0])).await.1, "");
    assert_eq!(simulators.learn(vec![DEMO[0].into(), DEMO[0].into()]).await, Ok(1));
    assert_eq!(heard(&mut *stream, &said(DEMO[0])).await.1, DEMO[0]);
    simulators.stop().await;
}

/// A service that closes after a third of a second without a sign of life.
async fn impatient() -> SocketAddr {
    let mode = SttMode::Scripted(Arc::new(vec!["hello".into()]));
    let options = SessionOptions { idle: Duration::from_millis(300), ..SessionOptions::new(mode) };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, stt::router("key", options, CancellationToken::new())).await });
    address
}

#[tokio::test]
async fn signs_of_life_keep_a_silent_stream_open() {
    let options = DeepgramOptions { base_url: format!("ws://{}", impatient().await), ..DeepgramOptions::new("key") };
    let careless = DeepgramStt::new(DeepgramOptions { keep_alive: Duration::from_secs(5), ..options.clone() });
    let mut stream = careless.open(SttOptions::default()).await.expect("open");
    let error = soon("the end", stream.next_event()).await.expect_err("it was closed");
    assert!(error.to_string().contains("1011 NET-0001"), "{error}");
    let careful = DeepgramStt::new(DeepgramOptions { keep_alive: Duration::from_millis(50), ..options });
    let mut stream = careful.open(SttOptions::default()).await.expect("open");
    // Three times as long as the service waits.
    tokio::time::timeout(Duration::from_millis(900), stream.next_event()).await.expect_err("still open, and nothing to say");
    stream.finalize().await.expect("taken");
    assert_eq!(final_text(&mut *stream).await, "");
}
