//! Turns end when they should.

use std::time::Duration;

use super::CallerTurn;
use crate::config::{Endpointing, EndpointingMode};
use crate::delay::Pace;
use crate::input::{HeardWord, Transcript};
use crate::time::CallTime;

/// The delay of silence alone is the shortest, so that what the recogniser does decides.
fn config() -> Endpointing {
    let shortest = Duration::from_millis(300);
    Endpointing { mode: EndpointingMode::Vad, min_delay: shortest, vad_delay: shortest, ..Endpointing::default() }
}

const fn ms(ms: u64) -> CallTime {
    CallTime::from_millis(ms)
}

fn said(text: &str, is_final: bool, from_finalize: bool) -> Transcript {
    Transcript { text: text.into(), is_final, from_finalize, ..Transcript::default() }
}

#[test]
fn ends_at_the_minimum_once_the_recogniser_answered() {
    let (mut turn, config) = (CallerTurn::default(), config());
    turn.speech_started(ms(0), ms(50));
    turn.transcript(&said("hello", false, false), ms(500));
    assert_eq!(turn.ready_at(&config, Pace::default(), None), None);
    assert!(turn.speech_ended(ms(1000), ms(1250)));
    assert_eq!(turn.ready_at(&config, Pace::default(), None), Some(ms(1550)), "300 ms after the request");
    turn.transcript(&said("hello there", true, true), ms(1280));
    assert_eq!(turn.ready_at(&config, Pace::default(), None), Some(ms(1300)), "300 ms after the last speech");
    assert_eq!(turn.take().text(), "hello there");
    assert!(turn.is_idle());
}

#[test]
fn a_plain_final_is_taken_when_the_request_times_out_and_new_speech_continues() {
    let (mut turn, config) = (CallerTurn::default(), config());
    turn.speech_started(ms(0), ms(50));
    turn.speech_ended(ms(1000), ms(1250));
    turn.transcript(&said("good morning", true, false), ms(1300));
    assert_eq!(turn.ready_at(&config, Pace::default(), None), Some(ms(1550)));
    turn.speech_started(ms(1400), ms(1450));
    assert_eq!(turn.ready_at(&config, Pace::default(), None), None);
    turn.transcript(&said("Ada", true, false), ms(1900));
    turn.speech_ended(ms(1800), ms(2050));
    assert_eq!(turn.ready_at(&config, Pace::default(), None), Some(ms(2350)));
    assert_eq!(turn.text(), "good morning Ada");
}

#[test]
fn final_words_that_reach_the_end_of_speech_need_no_answer_to_the_request() {
    let config = config();
    let spoken = |end| Transcript {
        words: vec![HeardWord { text: "Tuesday".into(), start: ms(500), end: ms(end), confidence: 1.0 }],
        ..said("Tuesday", true, false)
    };
    for (end, ready) in [(900, 1300), (850, 1550)] {
        let mut before = CallerTurn::default();
        before.speech_started(ms(0), ms(50));
        before.transcript(&spoken(end), ms(1200));
        before.speech_ended(ms(1000), ms(1250));
        assert_eq!(before.ready_at(&config, Pace::default(), None), Some(ms(ready)), "final before the end of speech was detected");
        let mut after = CallerTurn::default();
        after.speech_started(ms(0), ms(50));
        after.speech_ended(ms(1000), ms(1250));
        after.transcript(&spoken(end), ms(1280));
        assert_eq!(after.ready_at(&config, Pace::default(), None), Some(ms(ready)), "final after it");
    }
}

#[test]
fn noise_is_forgotten_and_repeated_edges_and_segments_are_not_counted_twice() {
    let (mut turn, config) = (CallerTurn::default(), config());
    turn.speech_started(ms(0), ms(50));
    assert!(turn.speech_ended(ms(400), ms(650)));
    assert!(!turn.speech_ended(ms(400), ms(660)));
    assert_eq!(turn.forget_at(&config), Some(ms(2900)));
    turn.clear();
    assert_eq!(turn.forget_at(&config), None);
    let word = HeardWord { text: "no".into(), start: ms(3000), end: ms(3200), confidence: 1.0 };
    let segment = Transcript { words: vec![word], ..said("no", true, false) };
    assert!(turn.transcript(&segment, ms(3300)));
    assert!(!turn.transcript(&segment, ms(3301)));
    assert_eq!(turn.text(), "no");
    assert_eq!(turn.ready_at(&config, Pace::default(), None), Some(ms(3600)));
    assert_eq!(turn.spoken_for(ms(4000)), Duration::ZERO);
}
