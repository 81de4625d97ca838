//! Sample-rate conversion between fixed rates, for where no codec does it.
//!
//! An FFT resampler with an anti-aliasing filter works in blocks of about 20 ms. Its start-up delay
//! is cut off, so output sample `n` lies at the same instant as input sample `n × from / to`, and
//! the whole output is exactly as long as the input. What that costs a live stream is half a block
//! (about 10 ms) of look-ahead, plus the wait for a whole block.

use std::collections::VecDeque;

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _};

use crate::{FRAME_MS, SampleRate};

/// Converts one stream from one rate to another and carries the filter's state between calls.
#[derive(Debug)]
pub struct Resampler {
    from: SampleRate,
    to: SampleRate,
    /// `None` when both rates are the same and samples pass unchanged.
    fft: Option<Fft<f32>>,
    /// Input that does not yet fill a block.
    pending: VecDeque<f32>,
    /// Filter delay still to be cut off, in output samples.
    to_skip: usize,
    taken: u64,
    given: u64,
}

impl Resampler {
    /// A converter from `from` to `to`.
    #[must_use]
    pub fn new(from: SampleRate, to: SampleRate) -> Self {
        let fft = (from != to).then(|| {
            Fft::new_custom(
                from.hz() as usize,
                to.hz() as usize,
                block_length(from, to),
                1,
                1,
                rubato::WindowFunction::BlackmanHarris2,
                FixedSync::Both,
            )
            .expect("both rates and the block length are above zero")
        });
        let to_skip = fft.as_ref().map_or(0, rubato::Resampler::output_delay);
        Self { from, to, fft, pending: VecDeque::new(), to_skip, taken: 0, given: 0 }
    }

    /// Rate of the input.
    #[must_use]
    pub const fn from(&self) -> SampleRate {
        self.from
    }

    /// Rate of the output.
    #[must_use]
    pub const fn to(&self) -> SampleRate {
        self.to
    }

    /// Takes any number of samples and returns those that are ready, maybe none.
    pub fn process(&mut self, samples: &[i16]) -> Vec<i16> {
        let Some(mut fft) = self.fft.take() else {
            return samples.to_vec();
        };
        self.taken += samples.len() as u64;
        self.pending.extend(samples.iter().map(|&s| f32::from(s)));
        let mut out = Vec::new();
        while self.pending.len() >= fft.input_frames_next() {
            self.run_block(&mut fft, &mut out);
        }
        self.fft = Some(fft);
        out
    }

    /// Ends the stream: returns what the filter still holds, so that all output together is as long as
    /// all input (rounded up to a sample). The converter then is as new.
    pub fn flush(&mut self) -> Vec<i16> {
        let mut out = Vec::new();
        let Some(mut fft) = self.fft.take() else {
            return out;
        };
        let wanted = (self.taken * u64::from(self.to.hz())).div_ceil(u64::from(self.from.hz()));
        while self.given < wanted {
            let block = fft.input_frames_next();
            self.pending.resize(block.max(self.pending.len()), 0.0);
            self.run_block(&mut fft, &mut out);
        }
        let surplus = usize::try_from(self.given - wanted).unwrap_or(usize::MAX);
        out.truncate(out.len().saturating_sub(surplus));
        fft.reset();
        self.pending.clear();
        self.to_skip = fft.output_delay();
        self.taken = 0;
        self.given = 0;
        self.fft = Some(fft);
        out
    }

    fn run_block(&mut self, fft: &mut Fft<f32>, out: &mut Vec<i16>) {
        let block: Vec<f32> = self.pending.drain(..fft.input_frames_next()).collect();
        let mut converted = vec![0.0; fft.output_frames_next()];
        let (frames_in, frames_out) = (block.len(), converted.len());
        let input = InterleavedSlice::new(&block, 1, frames_in).expect("one channel, as long as its buffer");
        let mut output = InterleavedSlice::new_mut(&mut converted[..], 1, frames_out).expect("one channel, as long as its buffer");
        fft.process_into_buffer(&input, &mut output, None).expect("buffers are as long as the resampler asked for");
        let skipped = self.to_skip.min(converted.len());
        self.to_skip -= skipped;
        self.given += (converted.len() - skipped) as u64;
        out.extend(converted[skipped..].iter().map(|&s| to_i16(s)));
    }
}

/// Input samples of a block: 20 ms where the rates allow it. An odd block would put the middle of the filter
/// between two samples and the output half a sample off, so it is doubled (22,050 Hz to 16,000 Hz: 40 ms).
fn block_length(from: SampleRate, to: SampleRate) -> usize {
    let (mut gcd, mut rest) = (from.hz(), to.hz());
    while rest > 0 {
        (gcd, rest) = (rest, gcd % rest);
    }
    let step = (from.hz() / gcd) as usize;
    let block = from.samples_in_ms(FRAME_MS).max(1).next_multiple_of(step);
    if block.is_multiple_of(2) { block } else { 2 * block }
}

/// Rounds to the nearest sample; the cast saturates.
fn to_i16(sample: f32) -> i16 {
    sample.round() as i16
}

/// Converts a whole clip; the output lasts as long as the input, rounded up to a sample.
#[must_use]
pub fn convert(samples: &[i16], from: SampleRate, to: SampleRate) -> Vec<i16> {
    let mut resampler = Resampler::new(from, to);
    let mut out = resampler.process(samples);
    out.extend(resampler.flush());
    out
}
