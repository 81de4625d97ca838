//! The embedded model on real sound.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fmt::Write as _;

use frontdesk_audio::wav;
use frontdesk_inference::vad::{MODEL, MODEL_SHA256, VAD_RATE_HZ, VadEvent, VadModel, VadOptions, VadStream};
use sha2::{Digest, Sha256};

/// A sentence of 2.9 s, see `data/README.md`.
fn speech() -> Vec<i16> {
    let frame = wav::parse_mono(&include_bytes!("data/speech.wav")[..]).unwrap();
    assert_eq!(frame.rate.hz(), VAD_RATE_HZ);
    frame.samples
}

fn silence(ms: usize) -> Vec<i16> {
    vec![0; ms * 16]
}

/// White noise that is the same in every run.
fn noise(ms: usize, amplitude: f64) -> Vec<i16> {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 11) as f64 / (1_u64 << 53) as f64
    };
    (0..ms * 16).map(|_| ((next() * 2.0 - 1.0) * amplitude) as i16).collect()
}

/// North American dial tone, 350 and 440 Hz.
fn dial_tone(ms: usize) -> Vec<i16> {
    let wave = |n: usize, hz: f64| (n as f64 / 16_000.0 * hz * std::f64::consts::TAU).sin();
    (0..ms * 16).map(|n| (4_000.0 * (wave(n, 350.0) + wave(n, 440.0))) as i16).collect()
}

fn stream() -> VadStream {
    VadModel::load().unwrap().stream(VadOptions::default()).unwrap()
}

fn judge(samples: &[i16], chunk: usize) -> Vec<VadEvent> {
    let mut vad = stream();
    let mut events: Vec<_> = samples.chunks(chunk).flat_map(|chunk| vad.push(chunk)).collect();
    events.extend(vad.finish());
    events
}

fn probabilities(events: &[VadEvent]) -> Vec<f32> {
    let probability = |event: &VadEvent| match event {
        VadEvent::Probability { probability, .. } => Some(*probability),
        _ => None,
    };
    events.iter().filter_map(probability).collect()
}

fn edges(events: &[VadEvent]) -> Vec<VadEvent> {
    let is_edge = |event: &&VadEvent| !matches!(event, VadEvent::Probability { .. });
    events.iter().filter(is_edge).copied().collect()
}

#[test]
fn the_embedded_model_is_the_one_that_was_vetted() {
    let digest = Sha256::digest(MODEL).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    });
    assert_eq!(digest, MODEL_SHA256);
    let listed = include_str!("../../../models/SHA256SUMS");
    assert!(listed.contains(&format!("{MODEL_SHA256}  silero_vad_16k_op15.onnx")));
}

#[test]
fn speech_is_found_where_it_is() {
    let speech = speech();
    let loud = |sample: &i16| sample.unsigned_abs() > 1_500;
    let first = 16_000 + speech.iter().position(loud).unwrap();
    let last = 16_000 + speech.iter().rposition(loud).unwrap();
    let heard = [silence(1_000), speech, silence(1_000)].concat();
    let found = edges(&judge(&heard, 320));
    let [
        VadEvent::SpeechStarted { start_sample, prefix_sample, detected_sample },
        VadEvent::SpeechEnded { last_speech_sample, detected_sample: end, .. },
    ] = found[..]
    else {
        panic!("one utterance: {found:?}");
    };
    let off = |a: u64, b: usize| a.abs_diff(b as u64) as f64 / 16.0;
    assert!(off(start_sample, first) < 100.0, "start is off by {} ms", off(start_sample, first));
    assert!(off(last_speech_sample, last) < 150.0, "end is off by {} ms", off(last_speech_sample, last));
    assert_eq!(prefix_sample, start_sample - 8_000);
    assert_eq!(detected_sample, start_sample + 2 * 512);
    assert_eq!(end, last_speech_sample + 1 + 8 * 512);
}

#[test]
fn silence_noise_and_tones_are_no_speech() {
    let sounds = [
        ("silence", silence(3_000)),
        ("faint noise", noise(3_000, 100.0)),
        ("loud noise", noise(3_000, 8_000.0)),
        ("dial tone", dial_tone(3_000)),
    ];
    for (name, samples) in sounds {
        let events = judge(&samples, 320);
        assert_eq!(edges(&events), [], "{name}");
        assert_eq!(probabilities(&events).len(), 3_000 * 16 / 512, "{name}");
    }
}

/// After a while of silence the model is not asked any more; what comes then is found where it would have been.
#[test]
fn speech_after_a_long_silence_is_found_as_after_a_short_one() {
    let found = |windows: usize| edges(&judge(&[vec![0; windows * 512], speech(), silence(1_000)].concat(), 320));
    let (short, long) = (found(10), found(300));
    let [VadEvent::SpeechStarted { start_sample: soon, .. }, VadEvent::SpeechEnded { last_speech_sample: end, .. }] = short[..] else {
        panic!("one utterance: {short:?}");
    };
    let [VadEvent::SpeechStarted { start_sample: later, .. }, VadEvent::SpeechEnded { last_speech_sample: later_end, .. }] = long[..]
    else {
        panic!("one utterance: {long:?}");
    };
    assert_eq!((later - soon, later_end - end), (290 * 512, 290 * 512));
}

#[test]
fn chunking_changes_nothing() {
    let heard = [speech(), silence(500)].concat();
    let whole = judge(&heard, heard.len());
    for chunk in [160, 512, 1_777] {
        assert_eq!(judge(&heard, chunk), whole, "chunks of {chunk}");
    }
}

/// Calls with different sounds and phases, turn about: each must judge as if it were alone.
#[test]
fn streams_judge_as_each_alone_and_states_do_not_leak() {
    let model = VadModel::load().unwrap();
    let sounds = [
        [speech(), silence(800)].concat(),
        [silence(700), speech()].concat(),
        noise(3_000, 3_000.0),
        silence(3_000),
        dial_tone(3_000),
        [speech(), speech()].concat(),
    ];
    let mut calls: Vec<_> = sounds.iter().map(|_| (model.stream(VadOptions::default()).unwrap(), Vec::new())).collect();
    let length = sounds.iter().map(Vec::len).max().unwrap();
    for at in (0..length).step_by(320) {
        for ((stream, events), samples) in calls.iter_mut().zip(&sounds) {
            events.extend(stream.push(&samples[at.min(samples.len())..(at + 320).min(samples.len())]));
        }
    }
    for (n, ((mut stream, mut together), samples)) in calls.into_iter().zip(&sounds).enumerate() {
        assert_eq!(stream.position(), samples.len() as u64);
        together.extend(stream.finish());
        assert_eq!(together, judge(samples, 320), "call {n}");
    }
}

#[test]
fn a_line_on_which_nothing_is_heard_costs_nothing() {
    let model = VadModel::load().unwrap();
    let mut stream = model.stream(VadOptions::default()).unwrap();
    let events: Vec<_> = (0..60).flat_map(|_| stream.push(&[0; 512])).collect();
    assert_eq!((probabilities(&events).len(), model.windows_judged()), (60, 16), "each window has its verdict");
    let heard: Vec<_> = speech().chunks(512).flat_map(|chunk| stream.push(chunk)).collect();
    assert!(matches!(edges(&heard)[..], [VadEvent::SpeechStarted { .. }, ..]), "something is heard");
    assert!(model.windows_judged() > 16 + 60);
}

#[test]
fn bad_options_open_no_stream() {
    let options = VadOptions { activation_threshold: 2.0, ..VadOptions::default() };
    assert!(VadModel::load().unwrap().stream(options).is_err());
}
