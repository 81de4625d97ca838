//! Streaming speech-to-text.

use std::time::Duration;

use async_trait::async_trait;

use crate::error::ProviderError;
use crate::pii::Pii;

/// A service that turns speech into words.
#[async_trait]
pub trait SpeechToText: Send + Sync {
    /// Opens a stream for one call. Returns once the service is ready to hear, within the client's connect time-out.
    async fn open(&self, options: SttOptions) -> Result<Box<dyn SttStream>, ProviderError>;

    /// The provider's name for records and metrics (`deepgram`).
    fn name(&self) -> &'static str;
}

/// What a stream is to hear.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SttOptions {
    /// The service's name of its model (`nova-3`); `None` leaves the choice to the client's settings.
    pub model: Option<String>,
    /// BCP 47 tag; `None` lets the service choose its default.
    pub language: Option<String>,
    /// Words to listen for (names, services).
    pub keyterms: Vec<String>,
}

/// One call's stream. Audio is mono 16-bit PCM at 16 kHz.
#[async_trait]
pub trait SttStream: Send {
    /// Sends audio. Quick: queues within a bound; an error means the stream is over.
    async fn send_audio(&mut self, samples: &[i16]) -> Result<(), ProviderError>;

    /// Asks for final words of all audio sent so far. The answer may come without `from_finalize`, or not at all.
    async fn finalize(&mut self) -> Result<(), ProviderError>;

    /// The next result. Cancel-safe. `Ok(None)` once the stream was closed by us.
    async fn next_event(&mut self) -> Result<Option<SttEvent>, ProviderError>;

    /// Who hears, where that is not the one who was asked.
    fn provider(&self) -> Option<&'static str> {
        None
    }

    /// Closes the stream politely, within a bound.
    async fn close(&mut self);
}

/// A result of recognition. Times count from the first sample sent on this stream; the shell maps them to `CallTime`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SttEvent {
    /// The segment's text; an interim one replaces the interim before it.
    pub text: Pii<String>,
    /// Whether the words will not change any more.
    pub is_final: bool,
    /// Whether it answers `finalize`.
    pub from_finalize: bool,
    /// Whether the service takes the speaker's turn for over.
    pub ends_turn: bool,
    /// The words, if the service gives them.
    pub words: Vec<SttWord>,
    /// Detected language, if any.
    pub language: Option<String>,
}

/// A recognised word.
#[derive(Debug, Clone, PartialEq)]
pub struct SttWord {
    /// The word.
    pub text: Pii<String>,
    /// Its begin, from the first sample of the stream.
    pub start: Duration,
    /// Its end.
    pub end: Duration,
    /// 0 to 1.
    pub confidence: f32,
}
