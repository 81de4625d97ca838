//! A language model with a fallback.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;

use super::breaker::{Breaker, ProviderKind};
use super::chain::{Chain, FallbackOptions, ProviderHealth, late};
use crate::error::ProviderError;
use crate::llm::{LanguageModel, ModelEvent, ModelRequest, ModelStream};
use crate::usage::TokenUsage;

/// Language models, the primary first. A model's name is one service's own, so the others answer with their defaults.
#[derive(Clone)]
pub struct FallbackLlm {
    chain: Chain<dyn LanguageModel>,
    /// All of them, for warming up.
    services: Vec<Arc<dyn LanguageModel>>,
}

impl FallbackLlm {
    /// A chain of services, the primary first; with one alone it is a circuit breaker that tells of its state.
    #[must_use]
    pub fn new(services: impl IntoIterator<Item = Arc<dyn LanguageModel>>, options: FallbackOptions) -> Self {
        let services: Vec<_> = services.into_iter().collect();
        let chain = Chain::new(ProviderKind::Llm, services.iter().map(Arc::clone), |service| service.name(), options);
        Self { chain, services }
    }

    /// How each is doing.
    #[must_use]
    pub fn health(&self) -> Vec<ProviderHealth> {
        self.chain.health()
    }
}

#[async_trait]
impl LanguageModel for FallbackLlm {
    /// Waits for the first piece of the answer, so that a model which answers nothing is replaced within the same request.
    async fn ask(&self, request: ModelRequest) -> Result<Box<dyn ModelStream>, ProviderError> {
        let ask = |service: Arc<dyn LanguageModel>| {
            let own = self.chain.is_primary(&service);
            let request = ModelRequest { model: request.model.clone().filter(|_| own), ..request.clone() };
            async move {
                let mut stream = service.ask(request).await?;
                let first = stream.next_event().await?;
                Ok((stream, first))
            }
        };
        let silence = self.chain.options.silence;
        let ((stream, first), permit) = self.chain.first(silence, ask).await?;
        let breaker = permit.breaker();
        permit.succeeded();
        let silence = self.chain.bound(silence);
        Ok(Box::new(Watched { stream, first: Some(first), breaker, silence }))
    }

    async fn warm_up(&self) {
        futures_util::future::join_all(self.services.iter().map(|service| service.warm_up())).await;
    }

    fn name(&self) -> &'static str {
        self.chain.primary().map_or("none", |link| link.service.name())
    }
}

/// An answer that has begun, whose failures its provider's breaker learns of.
struct Watched {
    stream: Box<dyn ModelStream>,
    /// The piece that proved that the model answers, until it is handed on.
    first: Option<Option<ModelEvent>>,
    breaker: Arc<Breaker>,
    silence: Duration,
}

#[async_trait]
impl ModelStream for Watched {
    async fn next_event(&mut self) -> Result<Option<ModelEvent>, ProviderError> {
        if let Some(first) = self.first.take() {
            return Ok(first);
        }
        let late = late(self.breaker.provider(), "further data", self.silence);
        let event = timeout(self.silence, self.stream.next_event()).await.unwrap_or(Err(late));
        event.inspect_err(|error| self.breaker.failed(error))
    }

    async fn usage(&mut self) -> Option<TokenUsage> {
        self.stream.usage().await
    }

    fn provider(&self) -> Option<&'static str> {
        Some(self.breaker.provider())
    }
}
