//! Sample rates and frames of mono PCM.

use std::fmt;
use std::time::Duration;

/// Length of one frame on every voice path, in milliseconds: the `ptime` that Twilio and LiveKit use.
pub const FRAME_MS: u32 = 20;

/// Samples per second of one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SampleRate(u32);

impl SampleRate {
    /// 8 kHz: G.711 and every telephone line.
    pub const HZ_8000: Self = Self(8_000);
    /// 16 kHz: what voice activity detection and speech-to-text want.
    pub const HZ_16000: Self = Self(16_000);
    /// 24 kHz: what most speech synthesis gives.
    pub const HZ_24000: Self = Self(24_000);
    /// 48 kHz: the RTP clock of Opus (RFC 7587 section 4.1).
    pub const HZ_48000: Self = Self(48_000);

    /// Highest rate that is accepted, in Hz.
    const MAX_HZ: u32 = 192_000;

    /// A rate in Hz, or `None` when it is zero or above 192 kHz.
    #[must_use]
    pub const fn new(hz: u32) -> Option<Self> {
        if hz == 0 || hz > Self::MAX_HZ { None } else { Some(Self(hz)) }
    }

    /// The rate in Hz.
    #[must_use]
    pub const fn hz(self) -> u32 {
        self.0
    }

    /// Number of samples of one channel in `ms` milliseconds, rounded down.
    #[must_use]
    pub const fn samples_in_ms(self, ms: u32) -> usize {
        (self.0 as u64 * ms as u64 / 1_000) as usize
    }

    /// Number of samples of one channel in `duration`, rounded to the nearest.
    #[must_use]
    pub const fn samples_in(self, duration: Duration) -> usize {
        let samples = (self.0 as u128 * duration.as_nanos() + 500_000_000) / 1_000_000_000;
        if samples > usize::MAX as u128 { usize::MAX } else { samples as usize }
    }

    /// How long `samples` samples of one channel last, to the nanosecond, rounded down.
    #[must_use]
    pub const fn duration(self, samples: usize) -> Duration {
        let rate = self.0 as u64;
        let samples = samples as u64;
        let nanos = (samples % rate) * 1_000_000_000 / rate;
        Duration::new(samples / rate, nanos as u32)
    }
}

impl fmt::Display for SampleRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Hz", self.0)
    }
}

/// A stretch of mono PCM of any length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Rate of [`Self::samples`].
    pub rate: SampleRate,
    /// Signed 16-bit samples, oldest first.
    pub samples: Vec<i16>,
}

impl Frame {
    /// A frame of the given samples.
    #[must_use]
    pub const fn new(rate: SampleRate, samples: Vec<i16>) -> Self {
        Self { rate, samples }
    }

    /// Digital silence of `ms` milliseconds.
    #[must_use]
    pub fn silence(rate: SampleRate, ms: u32) -> Self {
        Self { rate, samples: vec![0; rate.samples_in_ms(ms)] }
    }

    /// How long the frame lasts.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.rate.duration(self.samples.len())
    }

    /// Root mean square of the samples, in 0.0 ..= 32768.0; zero for an empty frame.
    #[must_use]
    pub fn rms(&self) -> f64 {
        if self.samples.is_empty() {
            return 0.0;
        }
        let energy: f64 = self.samples.iter().map(|&s| f64::from(s) * f64::from(s)).sum();
        (energy / self.samples.len() as f64).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_bounded() {
        assert_eq!(SampleRate::new(0), None);
        assert_eq!(SampleRate::new(192_001), None);
        assert_eq!(SampleRate::new(16_000), Some(SampleRate::HZ_16000));
        assert_eq!(SampleRate::HZ_24000.to_string(), "24000 Hz");
    }

    #[test]
    fn samples_and_durations_agree() {
        assert_eq!(SampleRate::HZ_8000.samples_in_ms(FRAME_MS), 160);
        assert_eq!(SampleRate::HZ_48000.samples_in_ms(FRAME_MS), 960);
        assert_eq!(SampleRate::HZ_48000.samples_in_ms(u32::MAX), 206_158_430_160);
        assert_eq!(SampleRate::HZ_16000.duration(320), Duration::from_millis(20));
        assert_eq!(SampleRate::HZ_16000.duration(1), Duration::from_nanos(62_500));
        // Long calls must not lose precision: ten hours and one sample.
        let long = SampleRate::HZ_8000.duration(8_000 * 36_000 + 1);
        assert_eq!(long, Duration::new(36_000, 125_000));
        assert_eq!(SampleRate::HZ_8000.samples_in(long), 8_000 * 36_000 + 1);
        assert_eq!(SampleRate::HZ_8000.samples_in(Duration::MAX), usize::MAX);
    }

    #[test]
    fn silence_has_the_stated_length_and_no_energy() {
        let frame = Frame::silence(SampleRate::HZ_24000, 250);
        assert_eq!(frame.samples.len(), 6_000);
        assert_eq!(frame.duration(), Duration::from_millis(250));
        assert_eq!(frame.rms(), 0.0);
        assert_eq!(Frame::new(SampleRate::HZ_8000, Vec::new()).rms(), 0.0);
        assert_eq!(Frame::new(SampleRate::HZ_8000, vec![100, -100]).rms(), 100.0);
    }
}
