//! Acoustic features: cepstra of log-mel energies in the telephone band.
//!
//! One vector describes 20 ms: the mean of two overlapping analysis windows, 10 ms apart. The zeroth cepstrum is left out, so
//! loudness does not count; instead the last component is the loudness, with little weight.

use std::collections::VecDeque;
use std::f32::consts::PI;
use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

/// Rate of the audio that is analysed.
pub const RATE_HZ: u32 = 16_000;
/// Samples of one feature vector: 20 ms.
pub const STEP_SAMPLES: usize = 320;
/// Milliseconds of one feature vector.
pub const STEP_MS: usize = 20;
/// Components of a vector.
pub const DIMENSIONS: usize = 13;

const HOP: usize = STEP_SAMPLES / 2;
const WINDOW: usize = 400;
const FFT: usize = 512;
const BANDS: usize = 18;
const LOW_HZ: f32 = 250.0;
const HIGH_HZ: f32 = 3_600.0;
/// Energy that is added to every band (full scale is 1): below it lies what codecs and noise leave of a pause.
const FLOOR: f32 = 3e-2;
/// Weight of the loudness against the cepstra.
const LOUDNESS_WEIGHT: f32 = 0.25;

/// One feature vector.
pub type Vector = [f32; DIMENSIONS];

/// Turns a stream of samples into a stream of vectors.
pub struct Extractor {
    fft: Arc<dyn RealToComplex<f32>>,
    window: Vec<f32>,
    /// For each band, the FFT bins it covers with their weights.
    bands: Vec<Vec<(usize, f32)>>,
    pending: VecDeque<f32>,
    half: Option<Vector>,
    frame: Vec<f32>,
    spectrum: Vec<Complex<f32>>,
    scratch: Vec<Complex<f32>>,
}

impl std::fmt::Debug for Extractor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Extractor").field("pending", &self.pending.len()).finish_non_exhaustive()
    }
}

impl Default for Extractor {
    fn default() -> Self {
        Self::new()
    }
}

impl Extractor {
    /// An extractor at the begin of a stream.
    #[must_use]
    pub fn new() -> Self {
        let fft = RealFftPlanner::<f32>::new().plan_fft_forward(FFT);
        let window = (0..WINDOW).map(|n| 0.5 - 0.5 * (2.0 * PI * n as f32 / (WINDOW - 1) as f32).cos()).collect();
        let (frame, spectrum, scratch) = (fft.make_input_vec(), fft.make_output_vec(), fft.make_scratch_vec());
        Self { fft, window, bands: mel_bands(), pending: VecDeque::new(), half: None, frame, spectrum, scratch }
    }

    /// Takes any number of samples; returns the vectors that are complete.
    pub fn push(&mut self, samples: &[i16]) -> Vec<Vector> {
        self.pending.extend(samples.iter().map(|sample| f32::from(*sample) / 32_768.0));
        let mut vectors = Vec::new();
        while self.pending.len() >= WINDOW {
            let vector = self.analyse();
            self.pending.drain(..HOP);
            match self.half.take() {
                None => self.half = Some(vector),
                Some(first) => vectors.push(std::array::from_fn(|n| (first[n] + vector[n]) / 2.0)),
            }
        }
        vectors
    }

    fn analyse(&mut self) -> Vector {
        for (slot, (sample, weight)) in self.frame.iter_mut().zip(self.pending.iter().zip(&self.window)) {
            *slot = sample * weight;
        }
        self.frame[WINDOW..].fill(0.0);
        self.fft
            .process_with_scratch(&mut self.frame, &mut self.spectrum, &mut self.scratch)
            .expect("the buffers were made by the transform itself");
        let mut logs = [0.0_f32; BANDS];
        let mut total = 0.0;
        for (log, band) in logs.iter_mut().zip(&self.bands) {
            let energy: f32 = band.iter().map(|(bin, weight)| self.spectrum[*bin].norm_sqr() * weight).sum();
            total += energy;
            *log = (energy + FLOOR).ln();
        }
        let mut vector = [0.0; DIMENSIONS];
        for (k, value) in vector.iter_mut().take(DIMENSIONS - 1).enumerate() {
            let order = (k + 1) as f32;
            let sum: f32 = logs.iter().enumerate().map(|(n, log)| log * (PI * order * (n as f32 + 0.5) / BANDS as f32).cos()).sum();
            *value = sum * (2.0 / BANDS as f32).sqrt();
        }
        vector[DIMENSIONS - 1] = LOUDNESS_WEIGHT * (total + FLOOR * BANDS as f32).ln();
        vector
    }
}

/// Triangular bands, equally wide on the mel scale.
fn mel_bands() -> Vec<Vec<(usize, f32)>> {
    let mel = |hz: f32| 2_595.0 * (1.0 + hz / 700.0).log10();
    let hz = |mel: f32| 700.0 * (10.0_f32.powf(mel / 2_595.0) - 1.0);
    let (low, high) = (mel(LOW_HZ), mel(HIGH_HZ));
    let edge = |n: usize| hz(low + (high - low) * n as f32 / (BANDS + 1) as f32);
    let bin_hz = RATE_HZ as f32 / FFT as f32;
    let weight = |band: usize, bin: usize| {
        let at = bin as f32 * bin_hz;
        let (left, middle, right) = (edge(band), edge(band + 1), edge(band + 2));
        ((at - left) / (middle - left)).min((right - at) / (right - middle)).max(0.0)
    };
    (0..BANDS).map(|band| (0..=FFT / 2).map(|bin| (bin, weight(band, bin))).filter(|(_, weight)| *weight > 0.0).collect()).collect()
}

/// How unlike two vectors are; 0 for equal ones.
#[must_use]
pub fn distance(a: &Vector, b: &Vector) -> f32 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum::<f32>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f32, amplitude: f32, samples: usize) -> Vec<i16> {
        (0..samples).map(|n| (amplitude * (2.0 * PI * hz * n as f32 / RATE_HZ as f32).sin()) as i16).collect()
    }

    #[test]
    fn one_vector_for_twenty_milliseconds_however_the_stream_is_cut() {
        let audio = tone(500.0, 8_000.0, 16_000);
        let whole = Extractor::new().push(&audio);
        assert_eq!(whole.len(), 49, "the last window is not complete");
        let mut extractor = Extractor::new();
        let pieces: Vec<Vector> = audio.chunks(123).flat_map(|piece| extractor.push(piece)).collect();
        assert_eq!(whole, pieces);
    }

    #[test]
    fn loudness_counts_little_and_pitch_much() {
        let vector = |hz, amplitude| Extractor::new().push(&tone(hz, amplitude, 2_000))[0];
        let louder = distance(&vector(500.0, 4_000.0), &vector(500.0, 8_000.0));
        let higher = distance(&vector(500.0, 4_000.0), &vector(1_500.0, 4_000.0));
        assert!(louder * 4.0 < higher, "{louder} {higher}");
    }
}
