//! Speech-to-text with a fallback.

use std::sync::Arc;

use async_trait::async_trait;

use super::breaker::{Breaker, ProviderKind};
use super::chain::{Chain, FallbackOptions, ProviderHealth};
use crate::error::ProviderError;
use crate::stt::{SpeechToText, SttEvent, SttOptions, SttStream};

/// Speech-to-text services, the primary first. A model's name is one service's own, so the others hear with their defaults.
#[derive(Clone)]
pub struct FallbackStt {
    chain: Chain<dyn SpeechToText>,
}

impl FallbackStt {
    /// A chain of services, the primary first; with one alone it is a circuit breaker that tells of its state.
    #[must_use]
    pub fn new(services: impl IntoIterator<Item = Arc<dyn SpeechToText>>, options: FallbackOptions) -> Self {
        Self { chain: Chain::new(ProviderKind::Stt, services, |service| service.name(), options) }
    }

    /// How each is doing.
    #[must_use]
    pub fn health(&self) -> Vec<ProviderHealth> {
        self.chain.health()
    }
}

#[async_trait]
impl SpeechToText for FallbackStt {
    async fn open(&self, options: SttOptions) -> Result<Box<dyn SttStream>, ProviderError> {
        let open = |service: Arc<dyn SpeechToText>| {
            let own = self.chain.is_primary(&service);
            let options = SttOptions { model: options.model.clone().filter(|_| own), ..options.clone() };
            async move { service.open(options).await }
        };
        let (stream, permit) = self.chain.first(self.chain.options.attempt, open).await?;
        Ok(Box::new(Watched { stream, breaker: permit.breaker(), served: false }))
    }

    fn name(&self) -> &'static str {
        self.chain.primary().map_or("none", |link| link.service.name())
    }
}

/// A stream whose failures its provider's breaker learns of. Only words prove that the provider is well: a connection may open and
/// break again.
struct Watched {
    stream: Box<dyn SttStream>,
    breaker: Arc<Breaker>,
    served: bool,
}

impl Watched {
    fn note<T>(&self, outcome: Result<T, ProviderError>) -> Result<T, ProviderError> {
        outcome.inspect_err(|error| self.breaker.failed(error))
    }
}

#[async_trait]
impl SttStream for Watched {
    async fn send_audio(&mut self, samples: &[i16]) -> Result<(), ProviderError> {
        let sent = self.stream.send_audio(samples).await;
        self.note(sent)
    }

    async fn finalize(&mut self) -> Result<(), ProviderError> {
        let asked = self.stream.finalize().await;
        self.note(asked)
    }

    async fn next_event(&mut self) -> Result<Option<SttEvent>, ProviderError> {
        let event = self.stream.next_event().await;
        if matches!(event, Ok(Some(_))) && !std::mem::replace(&mut self.served, true) {
            self.breaker.succeeded();
        }
        if matches!(event, Ok(None)) {
            // The session did not close it, or it would not ask.
            self.breaker.failed(&ProviderError::Broken { provider: self.breaker.provider(), reason: "the stream ended by itself".into() });
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
