//! The whole detector in the caller's thread: for virtual time, tools and whole clips.

use super::gate::{VadEvent, VadGate};
use super::hush::Hush;
use super::model::{Model, Row, Silero, State, fresh_state};
use super::window::Windows;
use super::{VadError, VadOptions};

/// Model, state and gate of one stream, without threads or waiting. Costs about 100 µs a window and 10 ms to make;
/// calls in production share a [`super::VadEngine`] instead.
#[derive(Debug)]
pub struct InlineVad {
    model: Silero,
    state: State,
    windows: Windows,
    gate: VadGate,
    hush: Hush,
}

impl InlineVad {
    /// Loads the model for one stream.
    ///
    /// # Errors
    /// [`VadError::Options`], [`VadError::Runtime`] or [`VadError::Model`].
    pub fn new(options: VadOptions) -> Result<Self, VadError> {
        let gate = VadGate::new(&options)?;
        Ok(Self { model: Silero::load()?, state: fresh_state(), windows: Windows::new(), gate, hush: Hush::default() })
    }

    /// Takes 16 kHz samples in chunks of any size and returns what the windows they fill bring.
    ///
    /// # Errors
    /// [`VadError::Inference`] when the model fails; its windows count as unknown.
    pub fn push(&mut self, samples: &[i16]) -> Result<Vec<VadEvent>, VadError> {
        let mut full = Vec::new();
        self.windows.push(samples, |row| full.push(row));
        let mut events = Vec::new();
        for (at, input) in full.iter().enumerate() {
            if let Some(probability) = self.hush.verdict(input) {
                judged(&mut self.gate, probability, &mut events);
                continue;
            }
            let mut rows = [Row { input, state: &mut self.state, probability: 0.0 }];
            if let Err(reason) = self.model.judge(&mut rows) {
                self.gate.skip((full.len() - at) as u64);
                self.hush.forget();
                return Err(VadError::Inference(reason));
            }
            let probability = rows[0].probability;
            self.hush = self.hush.given([input]);
            self.hush.judged(probability);
            judged(&mut self.gate, probability, &mut events);
        }
        Ok(events)
    }

    /// Ends the stream: closes speech in progress.
    pub fn finish(&mut self) -> Option<VadEvent> {
        self.gate.finish()
    }

    /// Whether speech has started and not ended.
    #[must_use]
    pub const fn is_speaking(&self) -> bool {
        self.gate.is_speaking()
    }

    /// Samples taken so far, judged or waiting for their window to fill.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.gate.position() + self.windows.waiting() as u64
    }
}

/// Passes one window's probability through the gate and notes what comes of it.
pub(super) fn judged(gate: &mut VadGate, probability: f32, events: &mut Vec<VadEvent>) {
    let start_sample = gate.position();
    let edge = gate.push(probability);
    events.push(VadEvent::Probability { start_sample, probability, speaking: gate.is_speaking() });
    events.extend(edge);
}
