//! Silero VAD as an ONNX Runtime session that judges a batch of rows at once.

use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::TensorRef;

use super::window::{INPUT_SAMPLES, Input};
use super::{VAD_RATE_HZ, VadError};
use crate::runtime;

/// The model file, embedded so that the program needs no file beside it. Source and licence: `models/README.md`.
pub const MODEL: &[u8] = include_bytes!("../../../../models/silero_vad_16k_op15.onnx");
/// SHA-256 of [`MODEL`] in hexadecimal.
pub const MODEL_SHA256: &str = "7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49";

/// Width of one layer of the recurrent state.
const STATE_WIDTH: usize = 128;
/// Layers of the recurrent state.
const STATE_LAYERS: usize = 2;

/// Recurrent state of one stream, layer after layer.
pub(super) type State = Box<[f32; STATE_LAYERS * STATE_WIDTH]>;

/// The state at the start of a stream.
pub(super) fn fresh_state() -> State {
    Box::new([0.0; STATE_LAYERS * STATE_WIDTH])
}

/// One stream's part of a batch.
pub(super) struct Row<'a> {
    pub(super) input: &'a Input,
    /// Replaced by the state after the window.
    pub(super) state: &'a mut State,
    /// Set to the probability of speech.
    pub(super) probability: f32,
}

/// What judges windows; Silero, or a fake in the engine's tests.
pub(super) trait Model: Send + 'static {
    /// Judges one window of each row. On failure no row is changed.
    fn judge(&mut self, rows: &mut [Row<'_>]) -> Result<(), String>;
}

/// The loaded model with its reusable buffers.
#[derive(Debug)]
pub(super) struct Silero {
    session: Session,
    input: Vec<f32>,
    state: Vec<f32>,
}

impl Silero {
    /// Loads the embedded model; loads ONNX Runtime first if nobody did.
    pub(super) fn load() -> Result<Self, VadError> {
        let environment = runtime::environment()?;
        let session = Self::session(&environment).map_err(|error| VadError::Model(error.to_string()))?;
        Ok(Self { session, input: Vec::new(), state: Vec::new() })
    }

    fn session(environment: &Environment) -> Result<Session, ort::Error> {
        Session::builder(environment)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(1)?
            .with_inter_threads(1)?
            // Batches differ in size from run to run, so a remembered memory plan never fits.
            .with_memory_pattern(false)?
            .commit_from_memory(MODEL)
    }

    fn run(&mut self, rows: &mut [Row<'_>]) -> Result<(), ort::Error> {
        let batch = rows.len();
        self.input.clear();
        self.state.clear();
        rows.iter().for_each(|row| self.input.extend_from_slice(&row.input[..]));
        for layer in 0..STATE_LAYERS {
            let part = layer * STATE_WIDTH..(layer + 1) * STATE_WIDTH;
            rows.iter().for_each(|row| self.state.extend_from_slice(&row.state[part.clone()]));
        }
        let outputs = self.session.run(ort::inputs![
            "input" => TensorRef::from_array_view(([batch, INPUT_SAMPLES], &self.input[..]))?,
            "state" => TensorRef::from_array_view(([STATE_LAYERS, batch, STATE_WIDTH], &self.state[..]))?,
            "sr" => TensorRef::from_array_view(([0_usize; 0], &[i64::from(VAD_RATE_HZ)][..]))?,
        ])?;
        let (_, probabilities) = outputs["output"].try_extract_tensor::<f32>()?;
        let (_, states) = outputs["stateN"].try_extract_tensor::<f32>()?;
        if probabilities.len() != batch || states.len() != self.state.len() {
            return Err(ort::Error::new("the model's outputs have unexpected shapes"));
        }
        for (at, row) in rows.iter_mut().enumerate() {
            row.probability = probabilities[at];
            for (layer, part) in row.state.chunks_exact_mut(STATE_WIDTH).enumerate() {
                let from = (layer * batch + at) * STATE_WIDTH;
                part.copy_from_slice(&states[from..from + STATE_WIDTH]);
            }
        }
        Ok(())
    }
}

impl Model for Silero {
    fn judge(&mut self, rows: &mut [Row<'_>]) -> Result<(), String> {
        if rows.is_empty() {
            return Ok(());
        }
        self.run(rows).map_err(|error| error.to_string())
    }
}
