//! Silero VAD as its file says: spectrum, four convolutions, one LSTM cell, one unit. Weights are read from the ONNX file, and the
//! result is compared with ONNX Runtime's in the tests.
//!
//! Calculated here and not by a runtime because a call needs it 31 times a second: in the thread that has the samples it takes 35 µs
//! (120 with nothing in the processor's caches); ONNX Runtime took 270 µs for one call's window or 100 for eight calls' together, and
//! for those a thread, a wait, and two wake-ups a window.

use std::array;
use std::sync::Arc;

use realfft::num_complex::Complex32;
use realfft::{RealFftPlanner, RealToComplex};

use super::WINDOW_SAMPLES;
use super::weights::Weights;
use super::window::{INPUT_SAMPLES, Input};

/// The model file, embedded so that the program needs no file beside it. Source and licence: `models/README.md`.
pub const MODEL: &[u8] = include_bytes!("../../../../models/silero_vad_16k_op15.onnx");
/// SHA-256 of [`MODEL`] in hexadecimal.
pub const MODEL_SHA256: &str = "7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49";

/// Samples of one spectrum.
const FRAME: usize = 256;
/// Between two spectra.
const HOP: usize = 128;
/// Spectra of an input, which is continued by its mirror image (`Pad`, mode `reflect`) to hold them.
const FRAMES: usize = 4;
const PADDED: usize = FRAME + (FRAMES - 1) * HOP;
/// Frequencies of a spectrum.
const BINS: usize = FRAME / 2 + 1;
/// Width of the recurrent state.
const UNITS: usize = 128;
/// The gates of the LSTM cell: input, forget, cell, output.
const GATES: usize = 4 * UNITS;

const _: () = assert!(PADDED - INPUT_SAMPLES < INPUT_SAMPLES && WINDOW_SAMPLES == FRAMES * HOP);

/// Recurrent state of one stream.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct State {
    hidden: [f32; UNITS],
    cell: [f32; UNITS],
}

impl State {
    /// At the start of a stream.
    pub(super) const fn new() -> Self {
        Self { hidden: [0.0; UNITS], cell: [0.0; UNITS] }
    }

    /// Hidden, then cell, as the model file lays them out.
    #[cfg(test)]
    pub(super) fn flat(&self) -> Vec<f32> {
        [self.hidden, self.cell].concat()
    }
}

/// The model. One serves all streams.
pub(super) struct Network {
    fft: Arc<dyn RealToComplex<f32>>,
    window: Vec<f32>,
    encoder: (Convolution<BINS, 128>, Convolution<128, 64>, Convolution<64, 64>, Convolution<64, 128>),
    /// Of the input, then of the hidden state.
    recurrent: Layer<GATES>,
    output: Vec<f32>,
    output_bias: f32,
}

impl Network {
    /// # Errors
    /// The embedded file is not the model that is calculated here.
    pub(super) fn load() -> Result<Self, String> {
        let weights = Weights::parse(MODEL)?;
        let tensor = |name: &str, shape: &[usize]| weights.tensor(&format!("model.{name}"), shape);
        // The bases of a windowed Fourier transform; the first is the window itself.
        let window = tensor("stft.forward_basis_buffer", &[2 * BINS, 1, FRAME])?[..FRAME].to_vec();
        let of_input = tensor("decoder.rnn.weight_ih", &[GATES, UNITS])?;
        let of_hidden = tensor("decoder.rnn.weight_hh", &[GATES, UNITS])?;
        let biases = [tensor("decoder.rnn.bias_ih", &[GATES])?, tensor("decoder.rnn.bias_hh", &[GATES])?];
        let at = |output: usize, input: usize| match input.checked_sub(UNITS) {
            None => of_input[output * UNITS + input],
            Some(input) => of_hidden[output * UNITS + input],
        };
        Ok(Self {
            fft: RealFftPlanner::new().plan_fft_forward(FRAME),
            window,
            encoder: (
                Convolution::load(&weights, 0)?,
                Convolution::load(&weights, 1)?,
                Convolution::load(&weights, 2)?,
                Convolution::load(&weights, 3)?,
            ),
            recurrent: Layer::new(2 * UNITS, at, |output| biases[0][output] + biases[1][output]),
            output: tensor("decoder.decoder.2.weight", &[1, UNITS, 1])?,
            output_bias: tensor("decoder.decoder.2.bias", &[1])?[0],
        })
    }

    /// The probability of speech in the window, 0 to 1; `state` becomes that after it.
    pub(super) fn judge(&self, input: &Input, state: &mut State) -> f32 {
        let spectra = self.spectra(input);
        let (first, second, third, fourth) = &self.encoder;
        let columns: [_; 4] = first.run(&spectra, 1);
        let columns: [_; 2] = second.run(&columns, 2);
        let columns: [_; 1] = third.run(&columns, 2);
        let [features] = fourth.run(&columns, 1);
        let mut gates = self.recurrent.bias;
        self.recurrent.add(&features, 0, &mut gates);
        self.recurrent.add(&state.hidden, UNITS, &mut gates);
        let mut sum = self.output_bias;
        for unit in 0..UNITS {
            let gate = |kind: usize| gates[kind * UNITS + unit];
            state.cell[unit] = sigmoid(gate(1)) * state.cell[unit] + sigmoid(gate(0)) * gate(2).tanh();
            state.hidden[unit] = sigmoid(gate(3)) * state.cell[unit].tanh();
            sum += self.output[unit] * state.hidden[unit].max(0.0);
        }
        sigmoid(sum)
    }

    /// Magnitudes of the spectra.
    fn spectra(&self, input: &Input) -> [[f32; BINS]; FRAMES] {
        let mut samples = [0.0; PADDED];
        samples[..INPUT_SAMPLES].copy_from_slice(&input[..]);
        for beyond in 0..PADDED - INPUT_SAMPLES {
            samples[INPUT_SAMPLES + beyond] = input[INPUT_SAMPLES - 2 - beyond];
        }
        let mut frame = [0.0; FRAME];
        let mut bins = [Complex32::ZERO; BINS];
        let mut scratch = [Complex32::ZERO; FRAME];
        let scratch = &mut scratch[..self.fft.get_scratch_len().min(FRAME)];
        array::from_fn(|at| {
            for ((sample, weighted), weight) in samples[at * HOP..].iter().zip(&mut frame).zip(&self.window) {
                *weighted = sample * weight;
            }
            self.fft.process_with_scratch(&mut frame, &mut bins, scratch).expect("the buffers have the transform's lengths");
            bins.map(|bin| bin.norm_sqr().sqrt())
        })
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network").finish_non_exhaustive()
    }
}

/// A linear map with `OUT` outputs.
struct Layer<const OUT: usize> {
    /// For each input its weights in all outputs: what one input adds is a run of memory, which the compiler makes vectors of.
    weights: Vec<[f32; OUT]>,
    bias: [f32; OUT],
}

impl<const OUT: usize> Layer<OUT> {
    fn new(inputs: usize, weight: impl Fn(usize, usize) -> f32, bias: impl Fn(usize) -> f32) -> Self {
        let row = |input| array::from_fn(|output| weight(output, input));
        Self { weights: (0..inputs).map(row).collect(), bias: array::from_fn(bias) }
    }

    /// Adds what these inputs, of which the first is that of number `from`, bring.
    fn add(&self, inputs: &[f32], from: usize, outputs: &mut [f32; OUT]) {
        let (rows, rest) = self.weights[from..from + inputs.len()].as_chunks::<4>();
        let (inputs, rest_inputs) = inputs.as_chunks::<4>();
        for ([a, b, c, d], [p, q, r, s]) in rows.iter().zip(inputs) {
            for n in 0..OUT {
                outputs[n] += (a[n] * p + b[n] * q) + (c[n] * r + d[n] * s);
            }
        }
        for (a, p) in rest.iter().zip(rest_inputs) {
            for n in 0..OUT {
                outputs[n] += a[n] * p;
            }
        }
    }
}

/// A convolution of width three with zeros at both ends, then the positive part.
struct Convolution<const IN: usize, const OUT: usize>(Layer<OUT>);

impl<const IN: usize, const OUT: usize> Convolution<IN, OUT> {
    fn load(weights: &Weights, number: usize) -> Result<Self, String> {
        let tensor = |what: &str, shape: &[usize]| weights.tensor(&format!("model.encoder.{number}.reparam_conv.{what}"), shape);
        let (kernel, bias) = (tensor("weight", &[OUT, IN, 3])?, tensor("bias", &[OUT])?);
        // Tap after tap, in each the channels.
        let at = |output: usize, input: usize| kernel[(output * IN + input % IN) * 3 + input / IN];
        Ok(Self(Layer::new(3 * IN, at, |output| bias[output])))
    }

    fn run<const FROM: usize, const TO: usize>(&self, columns: &[[f32; IN]; FROM], stride: usize) -> [[f32; OUT]; TO] {
        array::from_fn(|to| {
            let mut sums = self.0.bias;
            for tap in 0..3 {
                if let Some(column) = (to * stride + tap).checked_sub(1).and_then(|at| columns.get(at)) {
                    self.0.add(column, tap * IN, &mut sums);
                }
            }
            sums.map(|sum| sum.max(0.0))
        })
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
