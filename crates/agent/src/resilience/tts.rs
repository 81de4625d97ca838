//! Text-to-speech with a fallback.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, timeout_at};

use super::breaker::{Breaker, ProviderKind};
use super::chain::{Chain, FallbackOptions, ProviderHealth, late};
use crate::error::ProviderError;
use crate::tts::{SpeechEvent, SpeechStream, TextToSpeech, TtsOptions};

/// Text-to-speech services, the primary first. A voice is one provider's own, so the others speak with their defaults.
#[derive(Clone)]
pub struct FallbackTts {
    chain: Chain<dyn TextToSpeech>,
}

impl FallbackTts {
    /// A chain of services, the primary first; with one alone it is a circuit breaker that tells of its state.
    #[must_use]
    pub fn new(services: impl IntoIterator<Item = Arc<dyn TextToSpeech>>, options: FallbackOptions) -> Self {
        Self { chain: Chain::new(ProviderKind::Tts, services, |service| service.name(), options) }
    }

    /// How each is doing.
    #[must_use]
    pub fn health(&self) -> Vec<ProviderHealth> {
        self.chain.health()
    }
}

#[async_trait]
impl TextToSpeech for FallbackTts {
    async fn open(&self, options: TtsOptions) -> Result<Box<dyn SpeechStream>, ProviderError> {
        let open = |service: Arc<dyn TextToSpeech>| {
            let own = self.chain.is_primary(&service);
            let options = TtsOptions { voice: options.voice.clone().filter(|_| own), rate: options.rate };
            async move { service.open(options).await }
        };
        let (stream, permit) = self.chain.first(self.chain.options.attempt, open).await?;
        let silence = self.chain.bound(self.chain.options.silence);
        Ok(Box::new(Watched { stream, breaker: permit.breaker(), silence, owed: 0, heard_at: Instant::now() }))
    }

    fn name(&self) -> &'static str {
        self.chain.primary().map_or("none", |link| link.service.name())
    }
}

/// A connection whose failures its provider's breaker learns of, and whose silence is a failure while it owes speech.
struct Watched {
    stream: Box<dyn SpeechStream>,
    breaker: Arc<Breaker>,
    silence: Duration,
    /// Utterances asked for and not finished.
    owed: usize,
    /// When it last sent something, or began to owe it.
    heard_at: Instant,
}

impl Watched {
    fn note<T>(&self, outcome: Result<T, ProviderError>) -> Result<T, ProviderError> {
        outcome.inspect_err(|error| self.breaker.failed(error))
    }
}

#[async_trait]
impl SpeechStream for Watched {
    async fn speak(&mut self, text: &str) -> Result<(), ProviderError> {
        if self.owed == 0 {
            self.heard_at = Instant::now();
        }
        self.owed += 1;
        let spoken = self.stream.speak(text).await;
        self.note(spoken)
    }

    fn may_speak_ahead(&self) -> bool {
        self.stream.may_speak_ahead()
    }

    fn cut_off(&mut self) {
        self.stream.cut_off();
    }

    async fn clear(&mut self) -> Result<(), ProviderError> {
        self.owed = 0;
        let cleared = self.stream.clear().await;
        self.note(cleared)
    }

    async fn next_event(&mut self) -> Result<Option<SpeechEvent>, ProviderError> {
        // Between two calls the session may have held the service back, and that is no silence of the service's.
        let limit = (self.heard_at + self.silence).max(Instant::now() + self.silence / 2);
        let event = if self.owed == 0 {
            self.stream.next_event().await
        } else {
            let late = late(self.breaker.provider(), "speech", self.silence);
            timeout_at(limit, self.stream.next_event()).await.unwrap_or(Err(late))
        };
        self.heard_at = Instant::now();
        match &event {
            Ok(Some(SpeechEvent::Audio(_))) => self.breaker.succeeded(),
            Ok(Some(SpeechEvent::Finished { .. })) => self.owed = self.owed.saturating_sub(1),
            Ok(None) => {
                let reason = "the connection ended by itself".into();
                self.breaker.failed(&ProviderError::Broken { provider: self.breaker.provider(), reason });
            }
            Err(_) => {}
        }
        self.note(event)
    }

    fn provider(&self) -> Option<&'static str> {
        Some(self.breaker.provider())
    }

    async fn close(&mut self) {
        self.stream.close().await;
    }
}
