//! Voice activity detection: Silero VAD over 16 kHz mono, 32 ms at a time.
//!
//! [`VadModel`] is one a process, [`VadStream`] one a call; [`VadGate`] alone turns probabilities into the edges of speech.
//!
//! Every position is a number of samples at 16 kHz since the stream's first sample.

mod gate;
mod hush;
mod network;
mod options;
#[cfg(test)]
mod reference;
mod stream;
mod weights;
mod window;

pub use gate::{VadEvent, VadGate};
pub use network::{MODEL, MODEL_SHA256};
pub use options::{VadOptions, VadOptionsError};
pub use stream::{VadModel, VadStream};

/// Rate of the audio that the model hears, in Hz.
pub const VAD_RATE_HZ: u32 = 16_000;
/// Samples of one window: 32 ms.
pub const WINDOW_SAMPLES: usize = 512;

/// Why there is no voice activity detection.
#[derive(Debug, thiserror::Error)]
pub enum VadError {
    /// The embedded model is not the one that is calculated here.
    #[error("voice activity model could not be loaded: {0}")]
    Model(String),
}
