//! Streaming text-to-speech.

use async_trait::async_trait;
use frontdesk_audio::SampleRate;
use frontdesk_conversation::SpokenWord;

use crate::error::ProviderError;

/// A service that speaks.
#[async_trait]
pub trait TextToSpeech: Send + Sync {
    /// Opens a connection for one call, kept warm between utterances. Returns once the service is ready to speak.
    async fn open(&self, options: TtsOptions) -> Result<Box<dyn SpeechStream>, ProviderError>;

    /// The provider's name for records and metrics.
    fn name(&self) -> &'static str;
}

/// How to speak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TtsOptions {
    /// The provider's voice or model; `None` for the client's default.
    pub voice: Option<String>,
    /// Rate of the PCM wanted: 8, 16, 24 or 48 kHz.
    pub rate: SampleRate,
}

/// One call's speech connection. Utterances are spoken one after the other, in the order of `speak`.
///
/// `speak` may be called again before the audio of the utterance before has ended. Between two utterances exactly one
/// `Finished` event comes, so events need no id of their own.
#[async_trait]
pub trait SpeechStream: Send {
    /// Queues an utterance (a sentence or clause). Quick.
    async fn speak(&mut self, text: &str) -> Result<(), ProviderError>;

    /// Whether the service's limits leave room for speech that may never be wanted.
    fn may_speak_ahead(&self) -> bool {
        true
    }

    /// Drops everything queued or being spoken; no event of it comes any more.
    async fn clear(&mut self) -> Result<(), ProviderError>;

    /// All of it is spoken, but the listener will not hear what is left: he talked over it. Nothing is sent to the service; a client
    /// that lets text wait while the listener has enough to hear need not wait any more.
    fn cut_off(&mut self) {}

    /// The next event. Cancel-safe; waits for ever while nothing was asked for. `Ok(None)` once closed by us.
    async fn next_event(&mut self) -> Result<Option<SpeechEvent>, ProviderError>;

    /// Who speaks, where that is not the one who was asked.
    fn provider(&self) -> Option<&'static str> {
        None
    }

    /// Closes the connection politely, within a bound.
    async fn close(&mut self);
}

/// A piece of speech.
#[derive(Debug, Clone, PartialEq)]
pub enum SpeechEvent {
    /// Mono PCM at the rate asked for; of any length.
    Audio(Vec<i16>),
    /// The current utterance is complete.
    Finished {
        /// Where each word ends, if the service says so; else empty.
        words: Vec<SpokenWord>,
    },
}
