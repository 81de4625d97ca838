//! Delays, flags and segments of a stream.

use super::super::recogniser::tests::{DIALOGUE, through_the_line};
use super::*;
use crate::voice::{Speaker, Voice};
use frontdesk_audio::SampleRate;

const FRAME: usize = 320;

/// Feeds audio frame by frame in its own time and collects the results with the time at which they came.
struct Bench {
    session: Session,
    now: Duration,
    results: Vec<(Duration, Heard)>,
}

impl Bench {
    fn new(options: SessionOptions) -> Self {
        Self { session: Session::new(options), now: Duration::ZERO, results: Vec::new() }
    }

    fn play(&mut self, audio: &[i16]) {
        for frame in audio.chunks(FRAME) {
            self.session.on_audio(self.now, frame);
            self.now += Duration::from_millis(20);
            self.collect();
        }
    }

    fn silence(&mut self, ms: usize) {
        self.play(&vec![0; ms * 16]);
    }

    fn collect(&mut self) {
        while let Some(heard) = self.session.poll(self.now) {
            self.results.push((self.now, heard));
        }
    }

    fn finals(&self) -> Vec<&Heard> {
        self.results.iter().map(|(_, heard)| heard).filter(|heard| heard.is_final).collect()
    }
}

fn scripted(texts: &[&str]) -> SessionOptions {
    SessionOptions::new(SttMode::Scripted(Arc::new(texts.iter().map(|text| (*text).to_owned()).collect())))
}

fn listening() -> SessionOptions {
    let inventory = Inventory::default();
    inventory.register(DIALOGUE).expect("espeak-ng is installed");
    // Long enough for the comma's pause to be no end.
    SessionOptions { endpointing_ms: Some(300), ..SessionOptions::new(SttMode::Listen(Arc::new(inventory))) }
}

fn speech(text: &str) -> Vec<i16> {
    let clip = Speaker::new(Voice::caller()).render(text, SampleRate::HZ_8000).expect("espeak-ng is installed");
    through_the_line(&clip, false)
}

#[test]
fn interim_words_grow_and_the_final_result_comes_when_silence_has_lasted() {
    let mut bench = Bench::new(listening());
    bench.silence(500);
    bench.play(&speech(DIALOGUE[0]));
    bench.silence(1_000);
    let interims: Vec<&str> = bench.results.iter().filter(|(_, heard)| !heard.is_final).map(|(_, heard)| heard.text.as_str()).collect();
    assert!(interims.len() >= 3, "{interims:?}");
    assert!(interims.windows(2).all(|pair| pair[1].starts_with(pair[0])), "{interims:?}");
    let finals = bench.finals();
    assert_eq!(finals.len(), 1);
    assert_eq!(finals[0].text, DIALOGUE[0]);
    assert!(finals[0].speech_final && !finals[0].from_finalize);
}

#[test]
fn a_request_to_finalise_is_answered_after_the_stated_delay() {
    let mut bench = Bench::new(SessionOptions { endpointing_ms: None, ..listening() });
    bench.play(&speech(DIALOGUE[4]));
    bench.silence(100);
    let asked = bench.now;
    bench.session.on_finalize(asked);
    assert_eq!(bench.session.deadline(), Some(asked + Duration::from_millis(150)));
    bench.silence(200);
    let (at, heard) = bench.results.last().expect("an answer");
    assert_eq!((heard.text.as_str(), heard.is_final, heard.from_finalize), (DIALOGUE[4], true, true));
    assert!(*at >= asked + Duration::from_millis(150) && *at <= asked + Duration::from_millis(180));
    assert!(heard.words.windows(2).all(|pair| pair[0].end <= pair[1].start));
}

#[test]
fn with_nothing_pending_the_answer_is_empty_or_missing() {
    let mut bench = Bench::new(scripted(&["hello"]));
    bench.session.on_finalize(bench.now);
    bench.silence(200);
    assert_eq!(bench.finals()[0].text, "");
    assert!(bench.finals()[0].from_finalize);
    let mut bench = Bench::new(SessionOptions { answers_empty_finalize: false, ..scripted(&["hello"]) });
    bench.session.on_finalize(bench.now);
    bench.silence(200);
    assert!(bench.results.is_empty());
}

#[test]
fn scripted_texts_come_in_turn_for_any_sound() {
    let mut bench = Bench::new(SessionOptions { punctuate: false, ..scripted(&["Hello there.", "Goodbye."]) });
    for _ in 0..3 {
        bench.play(&vec![4_000; 16_000]);
        bench.silence(600);
    }
    let finals: Vec<&str> = bench.finals().iter().map(|heard| heard.text.as_str()).collect();
    assert_eq!(finals, ["hello there", "goodbye", "hello there"]);
    let interim = bench.results.iter().find(|(_, heard)| !heard.is_final).expect("an interim result");
    assert_eq!(interim.1.text, "hello");
    let mut mute = Bench::new(scripted(&[]));
    mute.play(&vec![4_000; 16_000]);
    mute.silence(600);
    assert_eq!(mute.finals()[0].text, "");
}

#[test]
fn closing_gives_what_is_left() {
    let mut bench = Bench::new(scripted(&["hello"]));
    bench.play(&vec![4_000; 8_000]);
    bench.session.on_close(bench.now);
    bench.silence(200);
    assert_eq!(bench.finals()[0].text, "hello");
}

#[tokio::test(start_paused = true)]
async fn behind_the_trait_the_delay_is_virtual_time() {
    use frontdesk_agent::{SpeechToText as _, SttOptions};
    let service = super::super::SimulatedStt::new(scripted(&["hello"]));
    let mut stream = service.open(SttOptions::default()).await.expect("always open");
    stream.send_audio(&[4_000; 8_000]).await.expect("taken");
    let asked = tokio::time::Instant::now();
    stream.finalize().await.expect("taken");
    loop {
        let event = stream.next_event().await.expect("no error").expect("an event");
        if event.is_final {
            assert_eq!(event.text.expose(), "hello");
            break;
        }
    }
    assert_eq!(asked.elapsed(), Duration::from_millis(150));
    stream.close().await;
    assert_eq!(stream.next_event().await, Ok(None));
}
