//! Delays, order, limits and ends of a connection.

use super::super::SimulatedTts;
use super::*;
use crate::voice::Voice;

const MS: fn(u64) -> Duration = Duration::from_millis;

/// Ten milliseconds a character at 8 kHz: a text of ten characters is one piece of 100 ms.
fn humming() -> SessionOptions {
    SessionOptions { rate: SampleRate::HZ_8000, ..SessionOptions::new(TtsMode::Tone { hz: 440, ms_per_char: 10 }) }
}

/// Lets time pass until nothing is due any more before `end`; gives each reply with its time.
fn run(session: &mut Session, now: &mut Duration, end: Duration) -> Vec<(Duration, Reply)> {
    let mut replies = Vec::new();
    loop {
        while let Some(reply) = session.poll(*now) {
            replies.push((*now, reply));
        }
        match session.deadline() {
            Some(due) if due <= end => *now = due.max(*now),
            _ => break,
        }
        assert!(replies.len() < 10_000, "livelock");
    }
    *now = end;
    replies
}

fn samples(replies: &[(Duration, Reply)]) -> usize {
    replies.iter().map(|(_, reply)| if let Reply::Audio(samples) = reply { samples.len() } else { 0 }).sum()
}

#[test]
fn audio_begins_after_the_stated_delay_and_comes_faster_than_it_plays() {
    let (mut session, mut now) = (Session::new(humming()), Duration::ZERO);
    session.on_speak(&"x".repeat(100));
    assert!(run(&mut session, &mut now, MS(1_000)).is_empty(), "nothing is spoken before it is flushed");
    session.on_flush(now);
    let replies = run(&mut session, &mut now, MS(5_000));
    assert_eq!(replies[0].0, MS(1_150));
    assert_eq!(samples(&replies), 8_000);
    assert!(replies.iter().take(10).all(|(_, reply)| matches!(reply, Reply::Audio(piece) if piece.len() == 800)));
    assert_eq!(replies[9].0, MS(1_150) + 9 * Duration::from_micros(12_500));
    assert_eq!(replies[10], (replies[9].0, Reply::Flushed { sequence_id: 0 }));
}

#[test]
fn flushes_are_answered_in_order_even_empty_ones() {
    let (mut session, mut now) = (Session::new(humming()), Duration::ZERO);
    session.on_speak("0123456789");
    session.on_flush(now);
    session.on_flush(now);
    session.on_speak("01234");
    session.on_speak("56789");
    session.on_flush(now);
    let replies: Vec<Reply> = run(&mut session, &mut now, MS(5_000)).into_iter().map(|(_, reply)| reply).collect();
    assert!(matches!(&replies[0], Reply::Audio(piece) if piece.len() == 800));
    assert_eq!(replies[1..3], [Reply::Flushed { sequence_id: 0 }, Reply::Flushed { sequence_id: 1 }]);
    assert!(matches!(&replies[3], Reply::Audio(piece) if piece.len() == 800), "the texts before a flush are one");
    assert_eq!(replies[4..], [Reply::Flushed { sequence_id: 2 }]);
}

#[test]
fn a_clear_drops_what_waits_and_what_is_spoken() {
    let (mut session, mut now) = (Session::new(humming()), Duration::ZERO);
    session.on_speak(&"x".repeat(100));
    session.on_flush(now);
    session.on_speak("never flushed");
    assert_eq!(samples(&run(&mut session, &mut now, MS(170))), 1_600);
    session.on_clear(now);
    session.on_speak("0123456789");
    session.on_flush(now);
    let replies = run(&mut session, &mut now, MS(5_000));
    assert_eq!(replies[0], (MS(170), Reply::Cleared { sequence_id: 0 }));
    assert_eq!((replies[1].0, samples(&replies)), (MS(320), 800));
    assert_eq!(replies[2].1, Reply::Flushed { sequence_id: 1 });
}

#[test]
fn one_flush_too_many_is_warned_of_and_its_text_waits() {
    let (mut session, mut now) = (Session::new(humming()), Duration::ZERO);
    for _ in 0..20 {
        session.on_speak("0123456789");
        session.on_flush(now);
    }
    session.on_speak("0123456789");
    session.on_flush(now);
    let replies = run(&mut session, &mut now, MS(50_000));
    assert!(matches!(&replies[0].1, Reply::Warning { code: "EXCESSIVE_FLUSH", .. }));
    assert_eq!(samples(&replies), 20 * 800);
    session.on_frame(now);
    run(&mut session, &mut now, MS(60_000));
    session.on_flush(now);
    assert_eq!(samples(&run(&mut session, &mut now, MS(61_000))), 800);
}

#[test]
fn long_texts_and_garbage_end_the_connection() {
    for spoil in [
        (|session: &mut Session| session.on_speak(&"x".repeat(2_001))) as fn(&mut Session),
        |session| (0..11).for_each(|_| session.on_speak(&"x".repeat(2_000))),
        |session| session.on_garbage("what?"),
    ] {
        let (mut session, mut now) = (Session::new(humming()), Duration::ZERO);
        session.on_speak("0123456789");
        session.on_flush(now);
        spoil(&mut session);
        let replies = run(&mut session, &mut now, MS(5_000));
        assert!(matches!(&replies[0].1, Reply::Error { .. }), "{replies:?}");
        assert!(matches!(&replies[1].1, Reply::End { code: 1008, .. }));
        assert_eq!((replies.len(), session.is_ended(), session.deadline()), (2, true, None));
    }
}

#[test]
fn idle_and_old_connections_end() {
    let (mut session, mut now) = (Session::new(humming()), Duration::ZERO);
    session.on_frame(MS(10_000));
    assert_eq!(run(&mut session, &mut now, MS(100_000)), [(MS(70_000), Reply::End { code: 1011, reason: "NET-0001" })]);
    let (mut session, mut now) = (Session::new(humming()), Duration::ZERO);
    for half_minute in 0..120 {
        assert!(run(&mut session, &mut now, MS(half_minute * 30_000)).is_empty());
        session.on_frame(now);
    }
    assert_eq!(run(&mut session, &mut now, MS(3_700_000)).last().map(|(at, _)| *at), Some(MS(3_600_000)));
}

#[test]
fn closing_speaks_what_waits_then_ends() {
    let (mut session, mut now) = (Session::new(humming()), Duration::ZERO);
    session.on_speak("0123456789");
    session.on_close(now);
    session.on_speak("too late");
    session.on_flush(now);
    let replies = run(&mut session, &mut now, MS(5_000));
    assert_eq!((samples(&replies), replies.len()), (800, 2));
    assert_eq!(replies[1].1, Reply::End { code: 1000, reason: "" });
}

#[test]
fn rendering_is_a_job_and_late_results_are_dropped_or_reported() {
    let speaker = Arc::new(Speaker::new(Voice::agent()));
    let (mut session, mut now) = (Session::new(SessionOptions::new(TtsMode::Speak(speaker))), Duration::ZERO);
    session.on_speak("Old.");
    session.on_flush(now);
    let old = session.take_job().expect("a job");
    assert_eq!(old.text, "Old.");
    session.on_clear(now);
    session.on_speak("New.");
    session.on_flush(now);
    let new = session.take_job().expect("a job");
    session.on_rendered(old.ticket, Ok(Arc::new(vec![1; 100])));
    assert_eq!(run(&mut session, &mut now, MS(1_000)).len(), 1, "only that it was cleared");
    session.on_rendered(new.ticket, Ok(Arc::new(vec![2; 100])));
    assert_eq!(run(&mut session, &mut now, MS(1_010))[0], (MS(1_000), Reply::Audio(vec![2; 100])));
    session.on_speak("More.");
    session.on_flush(now);
    let job = session.take_job().expect("a job");
    session.on_rendered(job.ticket, Err(VoiceError::Missing));
    assert!(matches!(&run(&mut session, &mut now, MS(2_000))[1].1, Reply::End { code: 1011, .. }));
}

mod behind_the_trait {
    use frontdesk_agent::{SpeechEvent, SpeechStream, TextToSpeech as _, TtsOptions};
    use tokio::time::Instant;

    use super::*;

    async fn open(options: SessionOptions, rate: SampleRate) -> Box<dyn SpeechStream> {
        SimulatedTts::new(options).open(TtsOptions { voice: None, rate }).await.expect("always open")
    }

    /// Samples up to the end of the utterance.
    async fn utterance(stream: &mut dyn SpeechStream) -> Vec<i16> {
        let mut heard = Vec::new();
        while let SpeechEvent::Audio(samples) = stream.next_event().await.expect("no error").expect("an event") {
            heard.extend(samples);
        }
        heard
    }

    #[tokio::test(start_paused = true)]
    async fn the_delay_is_virtual_time_and_flushes_are_not_counted() {
        let mut stream = open(humming(), SampleRate::HZ_16000).await;
        let asked = Instant::now();
        stream.speak("0123456789").await.expect("taken");
        assert_eq!(utterance(&mut *stream).await.len(), 1_600);
        assert_eq!(asked.elapsed(), MS(150));
        for _ in 0..100 {
            stream.speak("0123456789").await.expect("taken");
        }
        for _ in 0..100 {
            assert_eq!(utterance(&mut *stream).await.len(), 1_600);
        }
        stream.speak("old").await.expect("taken");
        stream.clear().await.expect("taken");
        stream.speak("0123456789").await.expect("taken");
        assert_eq!(utterance(&mut *stream).await.len(), 1_600);
        tokio::time::timeout(MS(7_200_000), stream.next_event()).await.expect_err("nothing was asked for");
        stream.close().await;
        assert_eq!(stream.next_event().await, Ok(None));
    }

    #[tokio::test(start_paused = true)]
    async fn espeak_speaks_for_as_long_as_a_person_would() {
        let speaker = Arc::new(Speaker::new(Voice::agent()));
        let mut stream = open(SessionOptions::new(TtsMode::Speak(speaker)), SampleRate::HZ_24000).await;
        stream.speak("Good morning, this is the dental clinic.").await.expect("taken");
        stream.speak("Bye.").await.expect("taken");
        let heard = utterance(&mut *stream).await;
        assert!((24_000..96_000).contains(&heard.len()), "{}", heard.len());
        assert!(heard.iter().any(|sample| sample.unsigned_abs() > 3_000));
        let onset = heard.iter().position(|sample| sample.unsigned_abs() > 300).expect("audible");
        assert!(onset < 2_400, "it begins at once: {onset}");
        assert!(utterance(&mut *stream).await.len() < heard.len());
    }
}
