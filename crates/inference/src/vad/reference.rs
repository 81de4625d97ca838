//! The same file in ONNX Runtime: what [`super::network`] is compared with.

use ort::session::Session;
use ort::value::TensorRef;

use super::VAD_RATE_HZ;
use super::network::{MODEL, Network, State};
use super::window::{INPUT_SAMPLES, Input, Windows};
use crate::runtime;

/// The two differ by no more than the order in which floats are added.
const TOLERANCE: f32 = 2e-5;

struct Reference {
    session: Session,
    state: Vec<f32>,
}

impl Reference {
    fn new() -> Self {
        let environment = runtime::environment().expect("ONNX Runtime is installed by scripts/setup");
        let session = Session::builder(&environment).expect("a session").commit_from_memory(MODEL).expect("the model is sound");
        Self { session, state: vec![0.0; 256] }
    }

    fn judge(&mut self, input: &Input) -> f32 {
        let outputs = self
            .session
            .run(ort::inputs![
                "input" => TensorRef::from_array_view(([1, INPUT_SAMPLES], &input[..])).expect("the input's shape"),
                "state" => TensorRef::from_array_view(([2, 1, 128_usize], &self.state[..])).expect("the state's shape"),
                "sr" => TensorRef::from_array_view(([0_usize; 0], &[i64::from(VAD_RATE_HZ)][..])).expect("a number"),
            ])
            .expect("the model runs");
        let probability = outputs["output"].try_extract_tensor::<f32>().expect("a probability").1[0];
        let state = outputs["stateN"].try_extract_tensor::<f32>().expect("a state").1.to_vec();
        drop(outputs);
        self.state = state;
        probability
    }
}

fn inputs(samples: &[i16]) -> Vec<Input> {
    let mut inputs = Vec::new();
    Windows::new().push(samples, |input| inputs.push(input.clone()));
    inputs
}

fn noise(count: usize, amplitude: i32) -> Vec<i16> {
    let mut seed = 0x2545_f491_u32;
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        i16::try_from((seed >> 16).cast_signed() % (2 * amplitude + 1) - amplitude).expect("an amplitude of 16 bits")
    };
    (0..count).map(|_| next()).collect()
}

/// A sentence between two silences, noise of every loudness, tones, clipping: window for window, with states that go on.
#[test]
fn every_window_is_judged_as_onnx_runtime_does() {
    let speech = frontdesk_audio::wav::parse_mono(&include_bytes!("../../tests/data/speech.wav")[..]).expect("the sentence is there");
    let tone = |hz: f64| (0..16_000).map(move |n| (12_000.0 * (f64::from(n) * hz / 16_000.0 * std::f64::consts::TAU).sin()) as i16);
    let clipped = speech.samples.iter().map(|sample| sample.saturating_mul(40));
    let sounds: [(&str, Vec<i16>); 6] = [
        ("speech", [vec![0; 8_000], speech.samples.clone(), vec![0; 16_000]].concat()),
        ("clipped speech", clipped.collect()),
        ("faint noise", noise(32_000, 20)),
        ("loud noise", noise(32_000, 16_000)),
        ("tones", [350.0, 440.0, 1_000.0, 3_950.0].into_iter().flat_map(tone).collect()),
        ("the loudest", [i16::MAX, i16::MIN].repeat(8_000)),
    ];
    let network = Network::load().expect("the model is sound");
    let mut highest = 0.0_f32;
    for (name, samples) in sounds {
        let (mut reference, mut state) = (Reference::new(), State::new());
        for (at, input) in inputs(&samples).iter().enumerate() {
            let (expected, found) = (reference.judge(input), network.judge(input, &mut state));
            assert!((expected - found).abs() <= TOLERANCE, "{name}, window {at}: {found} instead of {expected}");
            let apart = reference.state.iter().zip(state.flat()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart <= 10.0 * TOLERANCE, "{name}, window {at}: the states are {apart} apart");
            highest = highest.max(found);
        }
    }
    assert!(highest > 0.9, "there was speech: {highest}");
}
