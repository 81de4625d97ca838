//! How long to wait after the caller's last sound before his turn is over.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{Endpointing, EndpointingMode};
use crate::fields::{FieldKind, Progress, progress};
use crate::unfinished::is_unfinished;

/// Part of the learned delay that is left after a turn that stood.
const FADE: f64 = 0.85;
/// The caller's next pause may be longer than the last by this factor.
const MARGIN: f64 = 1.25;

/// What is left of the turn model's doubt after words that the recogniser took for a whole sentence.
const SENTENCE_DOUBT: f64 = 0.2;
/// In the mode `manual` a turn that nobody ends is over after this long: the caller must not wait for ever.
const MANUAL_MAX: Duration = Duration::from_secs(10);

/// What the turns of this caller have taught: how soon is too soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Pace {
    floor: Duration,
}

impl Pace {
    /// The caller went on after a pause that had been taken for the end of his turn.
    pub(crate) fn cut_off(&mut self, pause: Duration, config: &Endpointing) {
        self.floor = self.floor.max(pause.mul_f64(MARGIN)).min(config.pace_max);
    }

    /// A turn stood: the caller had finished. What was learned fades.
    pub(crate) fn stood(&mut self) {
        self.floor = self.floor.mul_f64(FADE);
    }

    /// The same, but never sooner than that.
    pub(crate) fn at_least(self, floor: Duration) -> Self {
        Self { floor: self.floor.max(floor) }
    }

    /// The turn does not end sooner than this after the last sound.
    pub(crate) const fn floor(&self) -> Duration {
        self.floor
    }
}

/// What is known at the end of a stretch of speech.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Signs {
    /// The turn model's probability that the caller has finished.
    pub(crate) probability: Option<f32>,
    /// The recogniser takes the turn for over.
    pub(crate) ends_turn: bool,
    /// Whoever decides in the mode `manual` has ended the turn.
    pub(crate) ended: bool,
}

/// The delay from the last sample of speech to the end of the turn.
pub(crate) fn delay(config: &Endpointing, signs: Signs, pace: Pace, field: Option<FieldKind>, text: &str) -> Duration {
    if signs.ended {
        return Duration::ZERO;
    }
    let by_mode = match config.mode {
        EndpointingMode::Manual => return MANUAL_MAX,
        EndpointingMode::Vad => config.vad_delay,
        EndpointingMode::Stt if signs.ends_turn => config.min_delay,
        EndpointingMode::Stt => config.max_delay,
        EndpointingMode::Model => signs.probability.map_or(config.vad_delay, |probability| by_probability(config, probability, text)),
    };
    let delay = by_mode.max(pace.floor()).max(config.min_delay).min(config.max_delay.max(config.min_delay));
    match field {
        Some(field) if progress(field, text, config.phone_digits) == Progress::Partial => delay.max(config.field_delay),
        None if is_unfinished(text, &config.unfinished) => delay.max(config.unfinished_delay),
        _ => delay,
    }
}

/// `min_delay` for a complete turn, growing to `max_delay` as the probability falls to zero.
///
/// The recogniser's punctuation is a second witness: words that it takes for a whole sentence leave less doubt.
fn by_probability(config: &Endpointing, probability: f32, text: &str) -> Duration {
    let complete = f64::from(config.complete_at).clamp(f64::EPSILON, 1.0);
    let doubt = (1.0 - f64::from(probability) / complete).clamp(0.0, 1.0);
    let doubt = if text.trim_end().ends_with(['.', '?', '!']) { doubt * SENTENCE_DOUBT } else { doubt };
    config.min_delay + config.max_delay.saturating_sub(config.min_delay).mul_f64(doubt)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Pace, Signs, delay};
    use crate::config::{Endpointing, EndpointingMode};
    use crate::fields::FieldKind;

    fn wait(mode: EndpointingMode, signs: Signs, pace: Pace, field: Option<FieldKind>, text: &str) -> u128 {
        let config = Endpointing { mode, ..Endpointing::default() };
        delay(&config, signs, pace, field, text).as_millis()
    }

    fn judged(probability: f32) -> Signs {
        Signs { probability: Some(probability), ..Signs::default() }
    }

    #[test]
    fn each_mode_has_its_own_judge() {
        let (none, pace) = (Signs::default(), Pace::default());
        assert_eq!(wait(EndpointingMode::Vad, judged(0.9), pace, None, "yes"), 550);
        for (signs, expected) in [(none, 550), (judged(1.0), 500), (judged(0.5), 500), (judged(0.25), 1500), (judged(0.0), 2500)] {
            assert_eq!(wait(EndpointingMode::Model, signs, pace, None, "yes"), expected, "{signs:?}");
        }
        assert_eq!(wait(EndpointingMode::Model, judged(0.0), pace, None, "Yes, please."), 900, "a sentence, says the recogniser");
        assert_eq!(wait(EndpointingMode::Stt, none, pace, None, "yes"), 2500);
        assert_eq!(wait(EndpointingMode::Stt, Signs { ends_turn: true, ..none }, pace, None, "yes"), 500);
        assert_eq!(wait(EndpointingMode::Manual, judged(1.0), pace, None, "yes"), 10_000);
        assert_eq!(wait(EndpointingMode::Manual, Signs { ended: true, ..none }, pace, None, "yes"), 0);
    }

    #[test]
    fn a_field_is_waited_for_until_it_is_whole() {
        let (pace, phone) = (Pace::default(), Some(FieldKind::Phone));
        for (text, expected) in
            [("five five five", 2000), ("five five five zero one three four five six seven", 500), ("I don't have a phone", 500)]
        {
            assert_eq!(wait(EndpointingMode::Model, judged(0.9), pace, phone, text), expected, "{text}");
        }
    }

    #[test]
    fn after_words_that_want_more_to_follow_more_is_waited_for() {
        let (pace, phone) = (Pace::default(), Some(FieldKind::Phone));
        for mode in [EndpointingMode::Vad, EndpointingMode::Model] {
            assert_eq!(wait(mode, judged(0.9), pace, None, "I would like to"), 1500, "{mode:?}");
        }
        assert_eq!(wait(EndpointingMode::Model, judged(0.0), pace, None, "I would like to"), 2500, "the model wants more");
        assert_eq!(wait(EndpointingMode::Model, judged(0.9), pace, None, "What is it for?"), 500);
        assert_eq!(wait(EndpointingMode::Model, judged(0.9), pace, phone, "I have to look for my"), 500, "a field has rules of its own");
        assert_eq!(wait(EndpointingMode::Manual, Signs { ended: true, ..Signs::default() }, pace, None, "I would like to"), 0);
    }

    #[test]
    fn a_caller_who_was_cut_off_is_given_more_time_for_a_while_and_never_too_much() {
        let (config, mut pace) = (Endpointing::default(), Pace::default());
        pace.cut_off(Duration::from_millis(600), &config);
        assert_eq!(wait(EndpointingMode::Model, judged(0.9), pace, None, "yes"), 750);
        for _ in 0..20 {
            pace.stood();
        }
        assert_eq!(wait(EndpointingMode::Model, judged(0.9), pace, None, "yes"), 500);
        pace.cut_off(Duration::from_secs(60), &config);
        assert_eq!(wait(EndpointingMode::Model, judged(0.9), pace, None, "yes"), 850);
    }
}
