//! A turn model that answers as it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::sleep;

use crate::turn::TurnDetector;

#[derive(Default)]
struct Script {
    answers: VecDeque<Option<f32>>,
    delay: Duration,
    clips: Vec<Vec<i16>>,
}

/// A turn model for tests. When its answers are used up, it has none.
#[derive(Clone, Default)]
pub struct FakeTurn {
    script: Arc<Mutex<Script>>,
}

impl FakeTurn {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers the next question so; `None` for no answer.
    #[must_use]
    pub fn answering(self, probability: impl Into<Option<f32>>) -> Self {
        self.script().answers.push_back(probability.into());
        self
    }

    /// Answers come this long after the question.
    pub fn set_delay(&self, delay: Duration) {
        self.script().delay = delay;
    }

    /// The clips it was asked about.
    #[must_use]
    pub fn clips(&self) -> Vec<Vec<i16>> {
        self.script().clips.clone()
    }
}

impl TurnDetector for FakeTurn {
    fn ask(&self, audio: Vec<i16>) -> BoxFuture<'static, Option<f32>> {
        let mut script = self.script();
        script.clips.push(audio);
        let (answer, delay) = (script.answers.pop_front().flatten(), script.delay);
        async move {
            sleep(delay).await;
            answer
        }
        .boxed()
    }
}
