//! Thresholds and times of the gate, under the names that LiveKit's Silero plugin gives them.

use serde::{Deserialize, Serialize};

/// How probabilities become speech.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VadOptions {
    /// Probability from which a window counts as speech, 0 to 1.
    pub activation_threshold: f32,
    /// Probability below which a window counts as silence once speech has begun; `None` is
    /// 0.15 below the activation threshold, but at least 0.01.
    pub deactivation_threshold: Option<f32>,
    /// Speech shorter than this is no speech, in milliseconds.
    pub min_speech_ms: u32,
    /// Silence that ends speech, in milliseconds.
    pub min_silence_ms: u32,
    /// Audio before the first speech that belongs to it, in milliseconds: soft onsets lie below the threshold.
    pub prefix_padding_ms: u32,
}

impl Default for VadOptions {
    fn default() -> Self {
        Self { activation_threshold: 0.5, deactivation_threshold: None, min_speech_ms: 50, min_silence_ms: 250, prefix_padding_ms: 500 }
    }
}

/// Which option is out of bounds.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum VadOptionsError {
    /// A threshold of 0 would always be speech, one of 1 never.
    #[error("activation_threshold is {0}, but must be above 0 and below 1")]
    Activation(f32),
    /// Above the activation threshold speech would end in the window in which it begins.
    #[error("deactivation_threshold is {value}, but must be above 0 and at most activation_threshold ({activation})")]
    Deactivation {
        /// What was given.
        value: f32,
        /// The activation threshold.
        activation: f32,
    },
    /// A time is longer than makes sense in a conversation.
    #[error("{name} is {value_ms} ms, but may be at most {most_ms} ms")]
    TooLong {
        /// The option.
        name: &'static str,
        /// What was given.
        value_ms: u32,
        /// The bound.
        most_ms: u32,
    },
}

/// Bound of every time, in milliseconds.
const MOST_MS: u32 = 10_000;

impl VadOptions {
    /// The deactivation threshold in force.
    #[must_use]
    pub fn deactivation(&self) -> f32 {
        self.deactivation_threshold.unwrap_or_else(|| (self.activation_threshold - 0.15).max(0.01).min(self.activation_threshold))
    }

    /// Checks every value.
    ///
    /// # Errors
    /// [`VadOptionsError`] names the first value that is out of bounds and what is expected.
    pub fn validate(&self) -> Result<(), VadOptionsError> {
        let activation = self.activation_threshold;
        if !(activation > 0.0 && activation < 1.0) {
            return Err(VadOptionsError::Activation(activation));
        }
        if let Some(value) = self.deactivation_threshold
            && !(value > 0.0 && value <= activation)
        {
            return Err(VadOptionsError::Deactivation { value, activation });
        }
        let times =
            [("min_speech_ms", self.min_speech_ms), ("min_silence_ms", self.min_silence_ms), ("prefix_padding_ms", self.prefix_padding_ms)];
        for (name, value_ms) in times {
            if value_ms > MOST_MS {
                return Err(VadOptionsError::TooLong { name, value_ms, most_ms: MOST_MS });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_livekits_and_valid() {
        let options = VadOptions::default();
        assert_eq!(options.validate(), Ok(()));
        assert!((options.deactivation() - 0.35).abs() < 1e-6);
        let low = VadOptions { activation_threshold: 0.05, ..options };
        assert!((low.deactivation() - 0.01).abs() < 1e-6);
        let lowest = VadOptions { activation_threshold: 0.005, ..options };
        assert_eq!(lowest.deactivation(), 0.005, "never above the activation threshold");
    }

    #[test]
    fn each_bad_value_is_named() {
        let fine = VadOptions::default();
        for activation_threshold in [0.0, 1.0, -1.0, f32::NAN] {
            let error = VadOptions { activation_threshold, ..fine }.validate().unwrap_err();
            assert!(error.to_string().starts_with("activation_threshold is"), "{error}");
        }
        for bad in [0.0, 0.6, f32::NAN] {
            let error = VadOptions { deactivation_threshold: Some(bad), ..fine }.validate().unwrap_err();
            assert!(error.to_string().starts_with("deactivation_threshold is"), "{error}");
        }
        let error = VadOptions { min_silence_ms: 10_001, ..fine }.validate().unwrap_err();
        assert_eq!(error.to_string(), "min_silence_ms is 10001 ms, but may be at most 10000 ms");
    }
}
