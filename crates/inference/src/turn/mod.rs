//! The turn model: has the caller finished, or only paused? Smart Turn v3.2 over the last 8 s of sound.
//!
//! [`TurnEngine`] is one a process: one thread that judges one clip after the other, because the model gains nothing from
//! batches (measured: 43 ms for one clip, 177 ms for four). Its queue is bounded and an answer that comes late is no answer:
//! the conversation then goes by its delays alone.

mod engine;
mod mel;
mod model;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use engine::{TurnEngine, TurnEngineOptions, TurnStats};
pub use mel::{FRAMES, LogMel, MELS};
pub use model::{TURN_MODEL_FILE, TURN_MODEL_SHA256, TURN_MODEL_VARIABLE, find_turn_model};

use crate::runtime::RuntimeError;

/// Rate of the audio that the model hears, in Hz.
pub const TURN_RATE_HZ: u32 = 16_000;
/// Samples that the model hears: the last 8 s. Of a longer clip the end counts.
pub const TURN_SAMPLES: usize = 128_000;

/// Why there is no turn model.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// The model is in none of the places. Run `scripts/setup`, or name the file.
    #[error(
        "the turn model is missing: looked for {}; run scripts/setup --only turn, or set {TURN_MODEL_VARIABLE} to {TURN_MODEL_FILE}",
        crate::runtime::places(.searched)
    )]
    NotFound {
        /// Files that were looked for, in order.
        searched: Vec<PathBuf>,
    },
    /// ONNX Runtime is missing or unusable; the inner error says the remedy.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The file is there but is not the model: damaged, or one with other inputs and outputs. Fetch it again.
    #[error("{} cannot be used as the turn model: {reason}; delete it and run scripts/setup --only turn", path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The engine's thread could not be started: the system is out of threads or memory.
    #[error("turn model thread could not be started")]
    Thread(#[source] std::io::Error),
}
