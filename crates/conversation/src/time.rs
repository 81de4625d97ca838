//! The conversation's clock and its positions in audio.
//!
//! Nothing here reads a clock: the shell passes `now` in, so that a stored conversation can be resumed by another
//! process and tests can run a call faster than real time.

use std::ops::{Add, Sub};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Microseconds since the call was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct CallTime(u64);

impl CallTime {
    /// The moment at which the call was answered.
    pub const ZERO: Self = Self(0);

    /// A time that many microseconds after the answer.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// A time that many milliseconds after the answer.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// Microseconds since the answer.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the answer.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1000
    }

    /// Time from `earlier` to `self`; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for CallTime {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(rhs.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for CallTime {
    type Output = Self;

    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(rhs.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// How much of an utterance has been played: samples that left the pacer less the transport's declared latency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PlayedPos {
    /// Samples from the utterance's first sample.
    pub samples: u64,
    /// Rate at which `samples` count, in hertz; zero only in the default value.
    pub rate_hz: u32,
}

impl PlayedPos {
    /// The position as time from the utterance's first sample.
    #[must_use]
    pub fn duration(self) -> Duration {
        if self.rate_hz == 0 {
            return Duration::ZERO;
        }
        let micros = u128::from(self.samples) * 1_000_000 / u128::from(self.rate_hz);
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}
