//! The features that the model was trained on: Whisper's logarithmic mel spectrogram.
//!
//! Same figures as `WhisperFeatureExtractor(chunk_length=8)` of the Python package `transformers` with `do_normalize=True`, on
//! a clip that was first brought to 8 s: zeros in front of a short one, the end of a long one. `tests/turn.rs` holds values
//! computed by that package.

use std::fmt;
use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

use super::{TURN_RATE_HZ, TURN_SAMPLES};

/// Bands of the mel scale, from 0 to 8 kHz.
pub const MELS: usize = 80;
/// Frames of 10 ms in 8 s.
pub const FRAMES: usize = TURN_SAMPLES / HOP;

/// Samples from one frame to the next: 10 ms.
const HOP: usize = 160;
/// Samples of a frame: 25 ms.
const FRAME: usize = 400;
const BINS: usize = FRAME / 2 + 1;
/// Quieter than this is taken for this, so that silence has a logarithm.
const FLOOR: f64 = 1e-10;
/// What is more than 80 dB below the loudest is cut off.
const RANGE: f64 = 8.0;
/// Keeps silence from being divided by nothing.
const VARIANCE_MIN: f64 = 1e-7;

/// Computes features; window, filters and buffers are made once.
pub struct LogMel {
    fft: Arc<dyn RealToComplex<f64>>,
    window: Vec<f64>,
    filters: Vec<Filter>,
    /// The clip, normalised, with half a frame mirrored at either end.
    padded: Vec<f64>,
    frame: Vec<f64>,
    spectrum: Vec<Complex<f64>>,
    scratch: Vec<Complex<f64>>,
    power: Vec<f64>,
    /// Logarithms, band after band.
    logs: Vec<f64>,
    features: Vec<f32>,
}

/// The part of one triangle that is not zero.
struct Filter {
    first: usize,
    weights: Vec<f64>,
}

impl fmt::Debug for LogMel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The buffers hold a caller's speech.
        f.debug_struct("LogMel").finish_non_exhaustive()
    }
}

impl Default for LogMel {
    fn default() -> Self {
        Self::new()
    }
}

impl LogMel {
    /// Prepares window, filters and buffers (1.8 MB).
    #[must_use]
    pub fn new() -> Self {
        let fft = RealFftPlanner::new().plan_fft_forward(FRAME);
        // Periodic: one period of the cosine is the frame, not the frame less one sample.
        let angle = |n: usize| n as f64 / FRAME as f64 * std::f64::consts::TAU;
        Self {
            window: (0..FRAME).map(|n| 0.5 - 0.5 * angle(n).cos()).collect(),
            filters: filters(),
            padded: vec![0.0; TURN_SAMPLES + FRAME],
            frame: fft.make_input_vec(),
            spectrum: fft.make_output_vec(),
            scratch: fft.make_scratch_vec(),
            power: vec![0.0; BINS],
            logs: vec![0.0; MELS * FRAMES],
            features: vec![0.0; MELS * FRAMES],
            fft,
        }
    }

    /// The features of the clip's last 8 s at 16 kHz: [`MELS`] rows of [`FRAMES`] values, low bands first.
    pub fn compute(&mut self, samples: &[i16]) -> &[f32] {
        self.take(samples);
        for frame in 0..FRAMES {
            self.analyse(frame);
        }
        let loudest = self.logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        for (feature, log) in self.features.iter_mut().zip(&self.logs) {
            *feature = ((log.max(loudest - RANGE) + 4.0) / 4.0) as f32;
        }
        &self.features
    }

    /// Brings the clip to 8 s, then to mean 0 and variance 1 (the zeros in front of a short clip count), then mirrors its ends.
    fn take(&mut self, samples: &[i16]) {
        const HALF: usize = FRAME / 2;
        let samples = &samples[samples.len().saturating_sub(TURN_SAMPLES)..];
        let scaled = |sample: i16| f64::from(sample) / 32_768.0;
        let mean = samples.iter().map(|&sample| scaled(sample)).sum::<f64>() / TURN_SAMPLES as f64;
        let squares = samples.iter().map(|&sample| scaled(sample).powi(2)).sum::<f64>() / TURN_SAMPLES as f64;
        let scale = 1.0 / (squares - mean * mean + VARIANCE_MIN).sqrt();
        let clip = &mut self.padded[HALF..HALF + TURN_SAMPLES];
        let (silence, sound) = clip.split_at_mut(TURN_SAMPLES - samples.len());
        silence.fill(-mean * scale);
        for (target, &sample) in sound.iter_mut().zip(samples) {
            *target = (scaled(sample) - mean) * scale;
        }
        for n in 1..=HALF {
            self.padded[HALF - n] = self.padded[HALF + n];
            self.padded[HALF + TURN_SAMPLES - 1 + n] = self.padded[HALF + TURN_SAMPLES - 1 - n];
        }
    }

    fn analyse(&mut self, frame: usize) {
        let sound = &self.padded[frame * HOP..frame * HOP + FRAME];
        for ((target, sample), weight) in self.frame.iter_mut().zip(sound).zip(&self.window) {
            *target = sample * weight;
        }
        let outcome = self.fft.process_with_scratch(&mut self.frame, &mut self.spectrum, &mut self.scratch);
        outcome.expect("the buffers were made by this transform");
        for (power, bin) in self.power.iter_mut().zip(&self.spectrum) {
            *power = bin.norm_sqr();
        }
        for (band, filter) in self.filters.iter().enumerate() {
            let bins = &self.power[filter.first..];
            let energy: f64 = filter.weights.iter().zip(bins).map(|(weight, power)| weight * power).sum();
            self.logs[band * FRAMES + frame] = energy.max(FLOOR).log10();
        }
    }
}

/// Triangles of equal area whose corners are equally spaced on Slaney's mel scale.
fn filters() -> Vec<Filter> {
    let top = mels(f64::from(TURN_RATE_HZ) / 2.0);
    let corners: Vec<f64> = (0..MELS + 2).map(|n| hertz(top * n as f64 / (MELS + 1) as f64)).collect();
    let triangle = |corners: &[f64]| {
        let (low, middle, high) = (corners[0], corners[1], corners[2]);
        let weight = |bin: usize| {
            let at = bin as f64 * f64::from(TURN_RATE_HZ) / FRAME as f64;
            let slopes = ((at - low) / (middle - low)).min((high - at) / (high - middle));
            slopes.max(0.0) * 2.0 / (high - low)
        };
        let first = (0..BINS).find(|&bin| weight(bin) > 0.0).unwrap_or(0);
        Filter { first, weights: (first..BINS).map(weight).take_while(|&weight| weight > 0.0).collect() }
    };
    corners.windows(3).map(triangle).collect()
}

/// Where the mel scale turns from linear to logarithmic, and how steep it is there (M. Slaney, Auditory Toolbox).
const KNEE_HZ: f64 = 1_000.0;
const KNEE_MEL: f64 = 15.0;
const LINEAR_HZ: f64 = 200.0 / 3.0;

/// Mels in which the frequency grows by the factor 6.4.
const OCTAVES_MEL: f64 = 27.0;

fn mels(hz: f64) -> f64 {
    if hz < KNEE_HZ { hz / LINEAR_HZ } else { KNEE_MEL + (hz / KNEE_HZ).ln() * OCTAVES_MEL / 6.4_f64.ln() }
}

fn hertz(mel: f64) -> f64 {
    if mel < KNEE_MEL { mel * LINEAR_HZ } else { KNEE_HZ * ((mel - KNEE_MEL) * 6.4_f64.ln() / OCTAVES_MEL).exp() }
}
