//! From probabilities to the edges of speech, without model, clock or I/O.

use super::{VAD_RATE_HZ, VadOptions, VadOptionsError, WINDOW_SAMPLES};

const WINDOW: u64 = WINDOW_SAMPLES as u64;

/// What the gate has found. Positions are samples at 16 kHz since the stream's first sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum VadEvent {
    /// The model's judgement of one window; comes once a window, before an edge in the same window.
    Probability {
        /// First sample of the window.
        start_sample: u64,
        /// Probability of speech, 0 to 1.
        probability: f32,
        /// Whether the gate stood in speech after this window.
        speaking: bool,
    },
    /// Speech has lasted for `min_speech_ms`.
    SpeechStarted {
        /// First sample of the first window of this speech.
        start_sample: u64,
        /// `start_sample` less `prefix_padding_ms`, but never into earlier speech.
        prefix_sample: u64,
        /// Samples heard when this was found out.
        detected_sample: u64,
    },
    /// Silence has lasted for `min_silence_ms`, or the stream has ended.
    SpeechEnded {
        /// First sample of the first window of this speech.
        start_sample: u64,
        /// Last sample of the last window of this speech: when the caller fell silent, not when it was noticed.
        last_speech_sample: u64,
        /// Samples heard when this was found out.
        detected_sample: u64,
    },
}

/// State machine over the probabilities of consecutive windows of 512 samples.
#[derive(Debug, Clone)]
pub struct VadGate {
    activation: f32,
    deactivation: f32,
    min_speech_windows: u32,
    min_silence_windows: u32,
    prefix_samples: u64,
    /// Samples judged so far.
    heard: u64,
    /// First sample that no earlier speech has taken.
    free_from: u64,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Silent,
    /// Windows above the activation threshold, not yet long enough.
    Rising {
        start: u64,
        windows: u32,
    },
    /// In speech; `silent` windows below the deactivation threshold since `last`.
    Speaking {
        start: u64,
        last: u64,
        silent: u32,
    },
}

/// Windows that cover `ms`, at least one.
fn windows_in(ms: u32) -> u32 {
    let samples = u64::from(ms) * u64::from(VAD_RATE_HZ) / 1_000;
    u32::try_from(samples.div_ceil(WINDOW)).unwrap_or(u32::MAX).max(1)
}

impl VadGate {
    /// A gate in silence at sample 0.
    ///
    /// # Errors
    /// [`VadOptionsError`] when an option is out of bounds.
    pub fn new(options: &VadOptions) -> Result<Self, VadOptionsError> {
        options.validate()?;
        Ok(Self {
            activation: options.activation_threshold,
            deactivation: options.deactivation(),
            min_speech_windows: windows_in(options.min_speech_ms),
            min_silence_windows: windows_in(options.min_silence_ms),
            prefix_samples: u64::from(options.prefix_padding_ms) * u64::from(VAD_RATE_HZ) / 1_000,
            heard: 0,
            free_from: 0,
            state: State::Silent,
        })
    }

    /// Whether speech has started and not ended.
    #[must_use]
    pub const fn is_speaking(&self) -> bool {
        matches!(self.state, State::Speaking { .. })
    }

    /// Samples judged so far.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.heard
    }

    /// Takes the probability of the next window and returns the edge that it completes, if any.
    /// A value that is not a number counts as 0.
    pub fn push(&mut self, probability: f32) -> Option<VadEvent> {
        let window = self.heard;
        self.heard += WINDOW;
        match self.state {
            State::Silent | State::Rising { .. } if probability >= self.activation => self.rise(window),
            State::Silent | State::Rising { .. } => {
                self.state = State::Silent;
                None
            }
            State::Speaking { start, .. } if probability >= self.deactivation => {
                self.state = State::Speaking { start, last: self.heard - 1, silent: 0 };
                None
            }
            State::Speaking { start, last, silent } => {
                self.state = State::Speaking { start, last, silent: silent + 1 };
                if silent + 1 >= self.min_silence_windows { self.finish() } else { None }
            }
        }
    }

    fn rise(&mut self, window: u64) -> Option<VadEvent> {
        let (start, windows) = match self.state {
            State::Rising { start, windows } => (start, windows + 1),
            _ => (window, 1),
        };
        if windows < self.min_speech_windows {
            self.state = State::Rising { start, windows };
            return None;
        }
        self.state = State::Speaking { start, last: self.heard - 1, silent: 0 };
        Some(VadEvent::SpeechStarted {
            start_sample: start,
            prefix_sample: start.saturating_sub(self.prefix_samples).max(self.free_from),
            detected_sample: self.heard,
        })
    }

    /// Passes over `windows` windows of which nothing is known: speech in progress goes on, a beginning one is forgotten.
    pub fn skip(&mut self, windows: u64) {
        self.heard = self.heard.saturating_add(windows.saturating_mul(WINDOW));
        if windows > 0 && matches!(self.state, State::Rising { .. }) {
            self.state = State::Silent;
        }
    }

    /// Ends the stream: closes speech in progress. The gate may go on afterwards.
    pub fn finish(&mut self) -> Option<VadEvent> {
        let state = std::mem::replace(&mut self.state, State::Silent);
        let State::Speaking { start, last, .. } = state else {
            return None;
        };
        self.free_from = last + 1;
        Some(VadEvent::SpeechEnded { start_sample: start, last_speech_sample: last, detected_sample: self.heard })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn edges(options: &VadOptions, probabilities: &[f32]) -> Vec<VadEvent> {
        let mut gate = VadGate::new(options).unwrap();
        probabilities.iter().filter_map(|p| gate.push(*p)).collect()
    }

    /// Repeats each probability for so many windows.
    fn windows(runs: &[(f32, usize)]) -> Vec<f32> {
        runs.iter().flat_map(|(p, n)| std::iter::repeat_n(*p, *n)).collect()
    }

    #[test]
    fn speech_is_named_by_its_own_samples_and_not_by_its_detection() {
        let heard = windows(&[(0.1, 20), (0.9, 10), (0.1, 20)]);
        assert_eq!(
            edges(&VadOptions::default(), &heard),
            [
                VadEvent::SpeechStarted {
                    start_sample: 20 * 512,
                    prefix_sample: 20 * 512 - 8_000,
                    // 50 ms are covered by two windows.
                    detected_sample: 22 * 512,
                },
                VadEvent::SpeechEnded {
                    start_sample: 20 * 512,
                    last_speech_sample: 30 * 512 - 1,
                    // 250 ms are covered by eight windows.
                    detected_sample: 38 * 512,
                },
            ]
        );
    }

    #[test]
    fn a_click_is_no_speech_and_a_breath_does_not_end_it() {
        let options = VadOptions::default();
        assert_eq!(edges(&options, &windows(&[(0.1, 3), (0.9, 1), (0.4, 1), (0.9, 1), (0.1, 30)])), []);
        let one = edges(&options, &windows(&[(0.9, 5), (0.1, 7), (0.9, 5), (0.1, 8)]));
        assert_eq!(one.len(), 2);
        assert!(matches!(one[1], VadEvent::SpeechEnded { start_sample: 0, last_speech_sample, .. } if last_speech_sample == 17 * 512 - 1));
    }

    #[test]
    fn between_the_thresholds_speech_goes_on_but_does_not_begin() {
        let options = VadOptions::default();
        assert_eq!(edges(&options, &windows(&[(0.45, 100)])), []);
        let held = edges(&options, &windows(&[(0.6, 2), (0.36, 50), (0.34, 8)]));
        assert!(matches!(held[1], VadEvent::SpeechEnded { last_speech_sample, .. } if last_speech_sample == 52 * 512 - 1));
    }

    #[test]
    fn prefix_never_reaches_into_earlier_speech_or_before_the_call() {
        let options = VadOptions::default();
        let heard = windows(&[(0.9, 3), (0.1, 8), (0.9, 3)]);
        let found = edges(&options, &heard);
        assert!(matches!(found[0], VadEvent::SpeechStarted { prefix_sample: 0, .. }));
        assert!(matches!(found[2], VadEvent::SpeechStarted { prefix_sample, .. } if prefix_sample == 3 * 512));
    }

    #[test]
    fn the_end_of_the_stream_ends_speech() {
        let mut gate = VadGate::new(&VadOptions::default()).unwrap();
        assert_eq!(gate.finish(), None);
        gate.push(0.9);
        gate.push(0.9);
        gate.push(0.1);
        gate.skip(3);
        let end = VadEvent::SpeechEnded { start_sample: 0, last_speech_sample: 1_023, detected_sample: 6 * 512 };
        assert_eq!(gate.finish(), Some(end));
        assert_eq!(gate.finish(), None);
    }

    #[test]
    fn passing_over_no_window_changes_nothing() {
        let mut gate = VadGate::new(&VadOptions::default()).unwrap();
        gate.push(0.9);
        gate.skip(0);
        assert!(matches!(gate.push(0.9), Some(VadEvent::SpeechStarted { start_sample: 0, .. })));
    }

    proptest! {
        /// Edges alternate, lie in order, never overlap, and their distances keep the options' promises.
        #[test]
        fn edges_alternate_and_lie_in_order(
            probabilities in prop::collection::vec(prop_oneof![0.0f32..1.0, Just(f32::NAN), Just(f32::INFINITY)], 0..400),
            min_speech_ms in 0u32..400,
            min_silence_ms in 0u32..400,
        ) {
            let options = VadOptions { min_speech_ms, min_silence_ms, ..VadOptions::default() };
            let mut found = edges(&options, &probabilities);
            let mut gate = VadGate::new(&options).unwrap();
            for p in &probabilities { gate.push(*p); }
            found.extend(gate.finish());
            let mut last_end = None;
            for pair in found.chunks(2) {
                let [VadEvent::SpeechStarted { start_sample, prefix_sample, detected_sample },
                     VadEvent::SpeechEnded { start_sample: same, last_speech_sample, detected_sample: ended }] = pair
                else { panic!("edges do not alternate: {pair:?}") };
                prop_assert_eq!(start_sample, same);
                prop_assert!(prefix_sample <= start_sample && start_sample < last_speech_sample);
                prop_assert!(last_speech_sample < ended && detected_sample <= ended);
                prop_assert!(detected_sample - start_sample >= u64::from(min_speech_ms) * 16);
                if let Some(end) = last_end { prop_assert!(*prefix_sample > end); }
                last_end = Some(*last_speech_sample);
            }
        }
    }
}
