//! Judging whether the caller has finished, as far as a session needs it.

use frontdesk_inference::turn::TurnEngine;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

/// Says how likely a speaker has finished; one of these serves the whole process.
pub trait TurnDetector: Send + Sync {
    /// A call has begun that will ask: what takes time should be done now. Never blocks.
    fn prepare(&self) {}

    /// The probability (0 to 1) that the speaker of this clip has finished: the turn so far at 16 kHz mono, 8 s at most, with the
    /// silence at its end at which the question arose. Never blocks; `None` when there is no answer in time, for whatever reason.
    /// Dropping the future withdraws the question.
    fn ask(&self, audio: Vec<i16>) -> BoxFuture<'static, Option<f32>>;
}

/// Smart Turn of `frontdesk-inference` as a session's detector.
#[derive(Debug, Clone)]
pub struct SmartTurn {
    engine: TurnEngine,
}

impl SmartTurn {
    /// A detector whose calls share `engine`.
    #[must_use]
    pub const fn new(engine: TurnEngine) -> Self {
        Self { engine }
    }
}

impl TurnDetector for SmartTurn {
    fn prepare(&self) {
        self.engine.prepare();
    }

    fn ask(&self, audio: Vec<i16>) -> BoxFuture<'static, Option<f32>> {
        self.engine.ask(audio).boxed()
    }
}
