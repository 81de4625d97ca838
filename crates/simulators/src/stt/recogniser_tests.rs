//! How well the recogniser tells utterances apart, on clean lines and bad ones.

use frontdesk_audio::SampleRate;
use std::sync::{LazyLock, OnceLock};

use frontdesk_audio::g711::{decode_alaw, decode_ulaw, encode_alaw, encode_ulaw};
use frontdesk_audio::opus::{Decoder, Encoder};
use frontdesk_audio::resample::convert;

use super::*;
use crate::stt::Inventory;
use crate::voice::{Speaker, Voice};

pub(in crate::stt) const DIALOGUE: [&str; 6] = [
    "Hello, I would like to book an appointment, please.",
    "My name is Ada Lovelace.",
    "My number is five five five, zero one two, three four five six.",
    "The second one, please.",
    "Yes, that is right.",
    "No, thank you, goodbye.",
];

/// What eight callers at once may say.
pub(in crate::stt) fn variants() -> Vec<String> {
    let names = ["Ada Lovelace", "Grace Hopper", "Alan Turing", "Mary Shelley", "John Baker", "Emma Stone", "Peter Novak", "Lucy Chen"];
    let digits = ["one", "two", "three", "four", "five", "six", "seven", "eight"];
    let mut texts: Vec<String> = DIALOGUE.iter().map(|text| (*text).to_owned()).collect();
    for (n, name) in names.iter().enumerate() {
        texts.push(format!("My name is {name}."));
        texts.push(format!("My number is five five five, zero one two, three four five {}.", digits[n]));
    }
    for other in [
        "The first one, please.",
        "The third one, please.",
        "Yes.",
        "No.",
        "Yes, please.",
        "I would like to cancel my appointment.",
        "Hi, I need to see a doctor.",
        "Does my insurance cover a cleaning?",
        "Can I leave a message for the doctor?",
        "Thank you, goodbye.",
    ] {
        texts.push(other.to_owned());
    }
    texts.dedup();
    texts
}

fn clip(text: &str) -> Vec<i16> {
    static SPEAKER: LazyLock<Speaker> = LazyLock::new(|| Speaker::new(Voice::caller()));
    SPEAKER.render(text, SampleRate::HZ_8000).expect("espeak-ng is installed").to_vec()
}

/// G.711 on the telephone line, 48 kHz Opus through the room, as in a call.
pub(in crate::stt) fn through_the_line(clip: &[i16], alaw: bool) -> Vec<i16> {
    let line = if alaw { decode_alaw(&encode_alaw(clip)) } else { decode_ulaw(&encode_ulaw(clip)) };
    let mut wide = convert(&line, SampleRate::HZ_8000, SampleRate::HZ_48000);
    wide.resize(wide.len().div_ceil(960) * 960, 0);
    let mut encoder = Encoder::new(SampleRate::HZ_48000).expect("a supported rate");
    let mut decoder = Decoder::new(SampleRate::HZ_16000).expect("a supported rate");
    wide.chunks(960).flat_map(|frame| decoder.decode(&encoder.encode(frame).expect("a frame")).expect("a packet")).collect()
}

fn clean(clip: &[i16]) -> Vec<i16> {
    convert(clip, SampleRate::HZ_8000, SampleRate::HZ_16000)
}

/// One inventory for all tests: to learn it takes a second.
fn inventory() -> &'static Inventory {
    static INVENTORY: OnceLock<Inventory> = OnceLock::new();
    INVENTORY.get_or_init(|| {
        let inventory = Inventory::default();
        inventory.register(variants()).expect("espeak-ng is installed");
        inventory
    })
}

/// Half a second of silence, the audio, and silence again, in frames of 20 ms.
fn hear(inventory: &Inventory, audio: &[i16]) -> Hypothesis {
    let mut recogniser = Recogniser::default();
    let silence = vec![0; 8_000 + 77];
    for frame in [&silence, audio, &silence].into_iter().flat_map(|part| part.chunks(320)) {
        recogniser.push(frame, || inventory.templates());
    }
    recogniser.finalise()
}

fn text(hypothesis: &Hypothesis) -> String {
    hypothesis.words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
}

fn noise(samples: &mut [i16], amplitude: f32) {
    let mut state = 12_345_u32;
    for sample in samples {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let value = (state >> 8) as f32 / 8_388_608.0 - 1.0;
        *sample = (f32::from(*sample) + amplitude * value) as i16;
    }
}

/// Two hypotheses of a segment may differ in nothing but punctuation where the texts do.
fn heard(inventory: &Inventory, audio: &[i16]) -> String {
    text(&hear(inventory, audio))
}

#[test]
fn every_utterance_is_recognised_on_a_clean_line_and_through_the_codecs() {
    let inventory = inventory();
    for said in variants() {
        let clip = clip(&said);
        for audio in [clean(&clip), through_the_line(&clip, false), through_the_line(&clip, true)] {
            let hypothesis = hear(inventory, &audio);
            assert_eq!(text(&hypothesis), said);
            assert!(hypothesis.words.iter().all(|word| word.confidence > 0.5 && word.start < word.end), "{hypothesis:?}");
        }
    }
}

#[test]
fn a_loud_and_a_quiet_caller_are_understood() {
    let inventory = inventory();
    for said in DIALOGUE {
        let audio = through_the_line(&clip(said), false);
        for gain in [0.6, 1.5] {
            let scaled: Vec<i16> = audio.iter().map(|sample| (f32::from(*sample) * gain) as i16).collect();
            assert_eq!(heard(inventory, &scaled), said, "gain {gain}");
        }
    }
}

#[test]
fn a_little_noise_and_some_lost_frames_do_no_harm() {
    let inventory = inventory();
    for said in DIALOGUE {
        let mut audio = through_the_line(&clip(said), false);
        noise(&mut audio, 200.0);
        // One frame in forty is lost and repeats the one before, as simple concealment does.
        for frame in (40..audio.len() / 320).step_by(40) {
            audio.copy_within((frame - 1) * 320..frame * 320, frame * 320);
        }
        assert_eq!(heard(inventory, &audio), said);
    }
}

#[test]
fn an_utterance_without_its_first_two_fifths_is_not_understood() {
    let inventory = inventory();
    for said in variants() {
        let audio = through_the_line(&clip(&said), false);
        let words = hear(inventory, &audio[audio.len() * 2 / 5..]);
        assert_ne!(text(&words), said);
    }
    for said in DIALOGUE {
        let audio = through_the_line(&clip(said), false);
        assert_eq!(heard(inventory, &audio[audio.len() * 2 / 5..]), "", "{said}");
    }
}

#[test]
fn an_utterance_that_breaks_off_gives_the_words_that_were_said() {
    let inventory = inventory();
    let said = DIALOGUE[0];
    let audio = through_the_line(&clip(said), false);
    let words = heard(inventory, &audio[..audio.len() * 3 / 5]);
    assert!(!words.is_empty() && words.len() < said.len() && said.starts_with(&words), "{words}");
}

#[test]
fn heavy_noise_and_other_sentences_are_rejected() {
    let inventory = inventory();
    for said in DIALOGUE {
        let mut audio = through_the_line(&clip(said), false);
        noise(&mut audio, 6_000.0);
        assert_eq!(heard(inventory, &audio), "", "{said}");
    }
    for other in [
        "Where can I park my car?",
        "I want to order a pizza.",
        "The weather is nice today.",
        "Seven eight nine.",
        "Good evening, this is the fire brigade, we have a question.",
    ] {
        assert_eq!(heard(inventory, &through_the_line(&clip(other), false)), "", "{other}");
    }
    let stranger = heard(inventory, &through_the_line(&clip("My name is Bartholomew Featherstonehaugh."), false));
    assert!(!stranger.contains("Bartholomew"), "{stranger}");
}

#[test]
fn speech_that_pauses_goes_on_where_it_stopped() {
    let inventory = inventory();
    let said = DIALOGUE[2];
    let audio = through_the_line(&clip(said), false);
    let mut recogniser = Recogniser::default();
    let mut parts = Vec::new();
    // Finalised at every pause of 120 ms, as an eager agent would.
    for frame in audio.chunks(320).chain(std::iter::repeat_n([0; 320].as_slice(), 50)) {
        recogniser.push(frame, || inventory.templates());
        if recogniser.in_speech() && recogniser.silent_steps() * STEP_MS >= 120 {
            parts.push(text(&recogniser.finalise()));
        }
    }
    parts.retain(|part| !part.is_empty());
    assert!(parts.len() >= 2, "{parts:?}");
    assert_eq!(parts.join(" "), said);
}

#[test]
fn two_utterances_after_each_other_are_both_heard_with_their_times() {
    let inventory = inventory();
    let (first, second) = (through_the_line(&clip(DIALOGUE[4]), false), through_the_line(&clip(DIALOGUE[3]), false));
    let mut recogniser = Recogniser::default();
    let silence = vec![0; 16_000];
    let push = |recogniser: &mut Recogniser, audio: &[i16]| recogniser.push(audio, || inventory.templates());
    push(&mut recogniser, &silence);
    push(&mut recogniser, &first);
    push(&mut recogniser, &silence);
    assert_eq!(text(&recogniser.finalise()), DIALOGUE[4]);
    push(&mut recogniser, &second);
    push(&mut recogniser, &silence);
    let hypothesis = recogniser.finalise();
    assert_eq!(text(&hypothesis), DIALOGUE[3]);
    let begin = (2 * silence.len() + first.len()) as u64;
    let at = hypothesis.words[0].start;
    assert!(at + 320 >= begin && at < begin + 3_200, "{at} {begin}");
    assert!(hypothesis.words.windows(2).all(|pair| pair[0].end <= pair[1].start));
}

#[test]
fn eight_calls_are_cheap() {
    let inventory = inventory();
    let audio = through_the_line(&clip(DIALOGUE[2]), false);
    let mut recogniser = Recogniser::default();
    let started = std::time::Instant::now();
    for frame in audio.chunks(320) {
        recogniser.push(frame, || inventory.templates());
    }
    let share = started.elapsed().as_secs_f64() / (audio.len() as f64 / 16_000.0);
    // About 0.002 of a core on an idle machine; the bound leaves room for a busy one.
    assert!(share * 8.0 < 0.5, "{share} of a core for one call");
}
