//! Smart Turn on real sound, against what other implementations make of the same signals. Needs ONNX Runtime and the model, which
//! `scripts/setup` installs.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

use frontdesk_audio::wav;
use frontdesk_inference::turn::{
    FRAMES, LogMel, MELS, TURN_MODEL_FILE, TURN_MODEL_SHA256, TURN_SAMPLES, TurnEngine, TurnStats, find_turn_model,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Both compute in double precision and end in single; what is left is the order of sums, one unit of the last place of the
/// single-precision clip that the reference makes before it begins, and its six decimals. A hundredth of a decibel is 2.5e-4.
const FEATURE_TOLERANCE: f64 = 2e-5;
/// What the highest and the lowest probability of 300 tries may still miss of the model's jumps (`data/turn/make.py`).
const PROBABILITY_TOLERANCE: f64 = 0.05;

fn speech() -> Vec<i16> {
    wav::parse_mono(&include_bytes!("data/speech.wav")[..]).unwrap().samples
}

/// White noise, the same as in `data/turn/make.py`.
fn noise(count: usize, amplitude: f64) -> Vec<i16> {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 11) as f64 / (1_u64 << 53) as f64
    };
    (0..count).map(|_| ((next() * 2.0 - 1.0) * amplitude) as i16).collect()
}

fn signals() -> BTreeMap<&'static str, Vec<i16>> {
    let sentence = speech();
    BTreeMap::from([
        ("long", sentence.repeat(4)),
        ("cut off", sentence[..sentence.len() / 2].to_vec()),
        ("noise", noise(TURN_SAMPLES + 777, 8_000.0)),
        ("faint", noise(4_800, 30.0)),
        ("sentence", sentence),
    ])
}

fn reference() -> BTreeMap<String, Value> {
    serde_json::from_str(include_str!("data/turn/reference.json")).unwrap()
}

#[test]
fn the_model_is_the_one_that_was_vetted_and_setup_fetches_it() {
    let setup = include_str!("../../../scripts/setup");
    assert!(setup.contains(TURN_MODEL_SHA256) && setup.contains(TURN_MODEL_FILE));
    let model = std::fs::read(find_turn_model(None).expect("the turn model is installed")).unwrap();
    let digest = Sha256::digest(model).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    });
    assert_eq!(digest, TURN_MODEL_SHA256);
}

#[test]
fn features_are_those_of_the_reference() {
    let (mut mel, signals) = (LogMel::new(), signals());
    for (name, expected) in reference() {
        let samples = &signals[name.as_str()];
        assert_eq!(expected["samples"], samples.len(), "{name}: the signal is another one");
        let features = mel.compute(samples);
        assert_eq!(features.len(), MELS * FRAMES);
        let mut worst = 0.0_f64;
        for (frame, values) in expected["frames"].as_object().unwrap() {
            let frame: usize = frame.parse().unwrap();
            for (band, value) in values.as_array().unwrap().iter().enumerate() {
                worst = worst.max((f64::from(features[band * FRAMES + frame]) - value.as_f64().unwrap()).abs());
            }
        }
        let count = features.len() as f64;
        let mean = features.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
        let deviation = (features.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count).sqrt();
        println!("{name}: features are off by at most {worst:.1e}");
        assert!(worst < FEATURE_TOLERANCE, "{name}: off by {worst}");
        assert!((mean - expected["mean"].as_f64().unwrap()).abs() < FEATURE_TOLERANCE, "{name}: mean {mean}");
        assert!((deviation - expected["deviation"].as_f64().unwrap()).abs() < FEATURE_TOLERANCE, "{name}: deviation {deviation}");
    }
}

#[tokio::test]
async fn probabilities_are_those_of_the_reference() {
    let (engine, signals) = (TurnEngine::inline(None).expect("the turn model is installed"), signals());
    for (name, expected) in reference() {
        let probability = engine.ask(signals[name.as_str()].clone()).await.unwrap();
        let range = expected["probability"].as_array().unwrap();
        let (lowest, highest) = (range[0].as_f64().unwrap(), range[1].as_f64().unwrap());
        println!("{name}: {probability:.3}, the reference says {lowest} to {highest}");
        let allowed = lowest - PROBABILITY_TOLERANCE..=highest + PROBABILITY_TOLERANCE;
        assert!(allowed.contains(&f64::from(probability)), "{name}: {probability} instead of {lowest} to {highest}");
    }
}

/// What espeak-ng says, brought to 16 kHz, without the silence around it but with 250 ms after it: that is when the detector asks.
fn said(text: &str) -> Vec<i16> {
    let spoken = Command::new("espeak-ng").args(["-v", "en-us", "-s", "150", "--stdout", text]).output().expect("espeak-ng is installed");
    let frame = wav::parse_mono(&spoken.stdout[..]).unwrap();
    let samples = frontdesk_audio::resample::convert(&frame.samples, frame.rate, frontdesk_audio::SampleRate::HZ_16000);
    let loud = |sample: &i16| sample.unsigned_abs() > 300;
    let (first, last) = (samples.iter().position(loud).unwrap(), samples.iter().rposition(loud).unwrap());
    [&samples[first..=last], &[0; 4_000]].concat()
}

#[tokio::test]
async fn a_finished_sentence_is_told_from_one_that_hesitates() {
    let engine = TurnEngine::inline(None).expect("the turn model is installed");
    let sentences = [
        ("Can I see Doctor Lovelace on Tuesday morning?", "Can I see Doctor, er,"),
        ("My name is Peter Miller.", "My name is, uh,"),
        ("I need to cancel my appointment.", "I need to cancel my, um,"),
        ("Do you take my insurance?", "Do you take, um,"),
        ("What time do you open tomorrow?", "What time do you, um,"),
        ("Thursday at ten is fine.", "Okay, so,"),
    ];
    for (finished, hesitating) in sentences {
        let (high, low) = (engine.ask(said(finished)).await.unwrap(), engine.ask(said(hesitating)).await.unwrap());
        println!("{high:.3} {finished}\n{low:.3} {hesitating}");
        assert!(high > 0.5, "{high}: {finished}");
        assert!(low < 0.5, "{low}: {hesitating}");
    }
}

#[tokio::test]
async fn the_vetted_file_is_loaded_when_the_first_call_begins() {
    let engine = TurnEngine::start(None).expect("the turn model is installed");
    assert_eq!(engine.stats(), TurnStats::default());
    engine.prepare();
    // A clip that waits longer than its patience is none; the machine may be slow to load it.
    for _ in 0..100 {
        if let Some(probability) = engine.ask(speech()).await {
            assert!((0.0..=1.0).contains(&probability));
            return;
        }
    }
    panic!("no clip was judged: {:?}", engine.stats());
}
