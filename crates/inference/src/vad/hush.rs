//! Spares the model what cannot hold speech: a line on which there has been silence for a while, and goes on being silence.

use super::window::{CONTEXT_SAMPLES, Input};

/// The loudest sample of a hushed window: the smallest step of G.711 (µ-law; ITU-T G.711 table 2a), below which a telephone line
/// tells nothing. A real line's noise is louder, and is judged.
const LOUDEST: f32 = 8.0 / 32_768.0;
/// Hushed windows in a row, half a second, after which the model's state has settled.
const SETTLED: u32 = 16;
/// Only a verdict that is surely no speech is repeated.
const SURELY_NOT: f32 = 0.1;

/// How long a stream has been hushed, and the model's last verdict on it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hush {
    windows: u32,
    probability: f32,
}

impl Hush {
    /// The model's last verdict, if it holds for this window as well.
    pub(super) fn verdict(self, input: &Input) -> Option<f32> {
        (self.is_settled() && is_hushed(input)).then_some(self.probability)
    }

    fn is_settled(self) -> bool {
        self.windows >= SETTLED && self.probability < SURELY_NOT
    }

    /// Takes note of the model's verdict on a window.
    pub(super) fn judged(&mut self, input: &Input, probability: f32) {
        self.windows = if is_hushed(input) { self.windows.saturating_add(1) } else { 0 };
        self.probability = probability;
    }
}

fn is_hushed(input: &Input) -> bool {
    input[CONTEXT_SAMPLES..].iter().all(|sample| sample.abs() <= LOUDEST)
}

#[cfg(test)]
mod tests {
    use super::super::window::INPUT_SAMPLES;
    use super::*;

    fn window(sample: i16) -> Input {
        Box::new([f32::from(sample) / 32_768.0; INPUT_SAMPLES])
    }

    #[test]
    fn silence_is_judged_until_the_model_has_settled() {
        let (silence, faint, sound) = (window(0), window(-8), window(9));
        let mut hush = Hush::default();
        (0..15).for_each(|_| hush.judged(&silence, 0.02));
        assert_eq!(hush.verdict(&silence), None, "not yet");
        hush.judged(&faint, 0.02);
        assert_eq!((hush.verdict(&silence), hush.verdict(&faint)), (Some(0.02), Some(0.02)));
        assert_eq!(hush.verdict(&sound), None, "something is heard");
        let mut heard = hush;
        heard.judged(&sound, 0.02);
        assert_eq!(heard.verdict(&silence), None, "and counts anew");
        hush.judged(&silence, 0.3);
        assert_eq!(hush.verdict(&silence), None, "a model that is not sure is asked again");
    }
}
