//! Voice activity detection: Silero VAD over 16 kHz mono, 32 ms at a time.
//!
//! [`VadEngine`] is one a process and batches the windows of all calls on its own thread; [`VadStream`]
//! is one a call. [`VadGate`] alone turns probabilities into the edges of speech, and [`InlineVad`]
//! runs model and gate in the caller's thread, for virtual time and tools.
//!
//! Every position is a number of samples at 16 kHz since the stream's first sample.

mod engine;
mod gate;
mod hush;
mod inline;
mod model;
mod options;
mod stream;
#[cfg(test)]
mod tests;
mod window;

pub use engine::{EngineOptions, EngineStats, VadEngine};
pub use gate::{VadEvent, VadGate};
pub use inline::InlineVad;
pub use model::{MODEL, MODEL_SHA256};
pub use options::{VadOptions, VadOptionsError};
pub use stream::VadStream;

use crate::runtime::RuntimeError;

/// Rate of the audio that the model hears, in Hz.
pub const VAD_RATE_HZ: u32 = 16_000;
/// Samples of one window: 32 ms.
pub const WINDOW_SAMPLES: usize = 512;

/// Why voice activity detection failed.
#[derive(Debug, thiserror::Error)]
pub enum VadError {
    /// The options make no sense together.
    #[error(transparent)]
    Options(#[from] VadOptionsError),
    /// ONNX Runtime is missing or unusable; the inner error says the remedy.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// ONNX Runtime refused the embedded model: the library is probably too old for it.
    #[error("voice activity model could not be loaded: {0}")]
    Model(String),
    /// The engine's thread could not be started: the system is out of threads or memory.
    #[error("voice activity thread could not be started")]
    Thread(#[source] std::io::Error),
    /// The model failed on these windows. They count as unknown, the stream goes on after them. Retryable.
    #[error("voice activity model failed: {0}")]
    Inference(String),
    /// The engine's queue is full. The samples are kept (up to two seconds) and retried by the next push. Retryable.
    #[error("voice activity engine is overloaded")]
    Overloaded,
    /// The engine did not answer in time. Its answer is taken by a later push if it still comes. Retryable.
    #[error("voice activity engine did not answer within {waited_ms} ms")]
    Stalled {
        /// How long was waited.
        waited_ms: u64,
    },
    /// The engine's thread has ended; streams of a new engine are needed. Fatal.
    #[error("voice activity engine has stopped")]
    Stopped,
}

impl VadError {
    /// Whether pushing further samples may succeed.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Inference(_) | Self::Overloaded | Self::Stalled { .. })
    }
}
