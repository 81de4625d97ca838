//! The voice activity detection of one call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::gate::{VadEvent, VadGate};
use super::hush::Hush;
use super::network::{Network, State};
use super::window::Windows;
use super::{VadError, VadOptions, VadOptionsError};

/// The model, for all calls of a process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct VadModel {
    network: Arc<Network>,
    judged: Arc<AtomicU64>,
}

impl VadModel {
    /// Reads the embedded model; takes a few milliseconds and 1 MB.
    ///
    /// # Errors
    /// [`VadError::Model`].
    pub fn load() -> Result<Self, VadError> {
        let network = Network::load().map_err(VadError::Model)?;
        Ok(Self { network: Arc::new(network), judged: Arc::default() })
    }

    /// Opens the stream of one call.
    ///
    /// # Errors
    /// An option is out of bounds.
    pub fn stream(&self, options: VadOptions) -> Result<VadStream, VadOptionsError> {
        let gate = VadGate::new(&options)?;
        Ok(VadStream { model: self.clone(), state: State::new(), windows: Windows::new(), gate, hush: Hush::default() })
    }

    /// Windows that were judged so far, in all streams; silence that goes on is not.
    #[must_use]
    pub fn windows_judged(&self) -> u64 {
        self.judged.load(Ordering::Relaxed)
    }
}

/// What is known of one call. Judges in the thread of whoever pushes, about 40 µs a window, and never waits.
#[derive(Debug)]
pub struct VadStream {
    model: VadModel,
    state: State,
    windows: Windows,
    gate: VadGate,
    hush: Hush,
}

impl VadStream {
    /// Takes 16 kHz samples in chunks of any size and returns what the windows they fill bring, in order.
    pub fn push(&mut self, samples: &[i16]) -> Vec<VadEvent> {
        let Self { model, state, windows, gate, hush } = self;
        let mut events = Vec::new();
        windows.push(samples, |input| {
            let probability = hush.verdict(input).unwrap_or_else(|| {
                let probability = model.network.judge(input, state);
                model.judged.fetch_add(1, Ordering::Relaxed);
                hush.judged(input, probability);
                probability
            });
            judged(gate, probability, &mut events);
        });
        events
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
fn judged(gate: &mut VadGate, probability: f32, events: &mut Vec<VadEvent>) {
    let start_sample = gate.position();
    let edge = gate.push(probability);
    events.push(VadEvent::Probability { start_sample, probability, speaking: gate.is_speaking() });
    events.extend(edge);
}
