//! Questions to the turn model: the caller's last seconds of audio, and the one question that is open.

use std::collections::VecDeque;
use std::sync::Arc;

use frontdesk_conversation::CallTime;
use futures_util::future::BoxFuture;
use metrics::histogram;
use tokio::time::Instant;

use crate::numbers::TURN_MODEL_DURATION;
use crate::turn::TurnDetector;

/// What a turn model hears at most: 8 s. Older audio is forgotten.
const SAMPLES_MAX: usize = 128_000;
/// Audio in front of the turn that belongs to the clip: 500 ms, as where the model is at home.
const PREFIX: u64 = 8_000;

/// One call's dealings with the turn model. Keeps nothing where there is none.
pub(crate) struct TurnQuestions {
    detector: Option<Arc<dyn TurnDetector>>,
    audio: VecDeque<i16>,
    open: Option<(CallTime, Instant, BoxFuture<'static, Option<f32>>)>,
}

impl TurnQuestions {
    pub(crate) fn new(detector: Option<Arc<dyn TurnDetector>>) -> Self {
        if let Some(detector) = &detector {
            detector.prepare();
        }
        Self { detector, audio: VecDeque::new(), open: None }
    }

    /// Remembers what the caller said.
    pub(crate) fn heard(&mut self, samples: &[i16]) {
        if self.detector.is_some() {
            self.audio.extend(samples);
            self.audio.drain(..self.audio.len().saturating_sub(SAMPLES_MAX));
        }
    }

    /// Asks about the turn that began with the sample of index `first`, where `total` have been heard. A question that is open
    /// is withdrawn: the newer one knows more.
    pub(crate) fn ask(&mut self, last_speech: CallTime, first: u64, total: u64) {
        let Some(detector) = &self.detector else { return };
        let length = usize::try_from(total.saturating_sub(first.saturating_sub(PREFIX))).unwrap_or(usize::MAX);
        let clip = self.audio.range(self.audio.len().saturating_sub(length)..).copied().collect();
        self.open = Some((last_speech, Instant::now(), detector.ask(clip)));
    }

    /// Forgets the open question.
    pub(crate) fn withdraw(&mut self) {
        self.open = None;
    }

    /// The answer to the open question, with the time that names it. Cancel-safe; waits for ever while there is no question.
    pub(crate) async fn next_answer(&mut self) -> (CallTime, Option<f32>) {
        let Some((last_speech, asked_at, answer)) = &mut self.open else { return std::future::pending().await };
        let (last_speech, asked_at, probability) = (*last_speech, *asked_at, answer.await);
        histogram!(TURN_MODEL_DURATION).record(asked_at.elapsed().as_secs_f64());
        self.open = None;
        (last_speech, probability)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeTurn;

    #[tokio::test]
    async fn a_clip_is_the_turn_with_a_little_before_it_and_no_longer_than_8_s() {
        let fake = FakeTurn::default();
        let mut questions = TurnQuestions::new(Some(Arc::new(fake.clone())));
        let sound = |n: u64| i16::try_from(n / 1_000).expect("the test is short");
        for chunk in 0..1_000 {
            questions.heard(&(chunk * 320..chunk * 320 + 320).map(sound).collect::<Vec<_>>());
        }
        for (first, expected) in [(300_000, 292_000..320_000), (100_000, 192_000..320_000), (320_000, 312_000..320_000)] {
            questions.ask(CallTime::ZERO, first, 320_000);
            let clip = fake.clips().pop().expect("it was asked");
            assert_eq!(clip, expected.map(sound).collect::<Vec<_>>(), "from {first}");
        }
        assert_eq!(questions.next_answer().await, (CallTime::ZERO, None));
    }

    #[test]
    fn without_a_model_nothing_is_kept_or_asked() {
        let mut questions = TurnQuestions::new(None);
        questions.heard(&[1; 320]);
        questions.ask(CallTime::ZERO, 0, 320);
        assert!(questions.audio.is_empty() && questions.open.is_none());
    }
}
