//! Voice activity detection, as far as a session needs it.

mod silero;

use async_trait::async_trait;

pub use silero::SileroVad;

/// Makes one detector a call; one of these serves the whole process.
pub trait VoiceActivityDetector: Send + Sync {
    /// A detector that has heard nothing yet.
    fn open(&self) -> Box<dyn VoiceActivity>;
}

/// One call's voice activity detector, fed mono PCM at 16 kHz.
#[async_trait]
pub trait VoiceActivity: Send {
    /// Takes the next samples. Never blocks; what cannot be judged in time counts as it was before.
    fn push(&mut self, samples: &[i16]);

    /// The next edge. Cancel-safe; waits for ever while nothing changes, and once the detector is gone.
    async fn next_event(&mut self) -> VoiceEvent;
}

/// An edge of speech; indexes count samples from the first one pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VoiceEvent {
    /// Speech began.
    Started {
        /// Index of the first sample of speech, not of the sample at which it was detected.
        at: u64,
    },
    /// Speech ended.
    Ended {
        /// Index after the last sample of speech, not of the sample at which it was detected.
        last_speech: u64,
    },
    /// The detector failed on some audio, or for good.
    Failed {
        /// Whether it will hear further audio.
        retryable: bool,
    },
}
