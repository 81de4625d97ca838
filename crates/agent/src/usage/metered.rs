//! Services that count what is handed to them.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Meter, TokenUsage};
use crate::error::ProviderError;
use crate::llm::{LanguageModel, ModelEvent, ModelRequest, ModelStream};
use crate::session::Providers;
use crate::stt::{SpeechToText, SttEvent, SttOptions, SttStream};
use crate::tts::{SpeechEvent, SpeechStream, TextToSpeech, TtsOptions};

/// The same services, counted by `meter`.
pub(crate) fn metered(providers: Providers, meter: &Meter) -> Providers {
    Providers {
        stt: Arc::new(Metered { service: providers.stt, meter: meter.clone() }),
        llm: Arc::new(Metered { service: providers.llm, meter: meter.clone() }),
        tts: Arc::new(Metered { service: providers.tts, meter: meter.clone() }),
        ..providers
    }
}

struct Metered<S: ?Sized> {
    service: Arc<S>,
    meter: Meter,
}

struct MeteredStream<S: ?Sized> {
    stream: Box<S>,
    provider: &'static str,
    meter: Meter,
}

#[async_trait]
impl SpeechToText for Metered<dyn SpeechToText> {
    async fn open(&self, options: SttOptions) -> Result<Box<dyn SttStream>, ProviderError> {
        let stream = self.service.open(options).await?;
        let provider = stream.provider().unwrap_or_else(|| self.service.name());
        Ok(Box::new(MeteredStream { stream, provider, meter: self.meter.clone() }))
    }

    fn name(&self) -> &'static str {
        self.service.name()
    }
}

#[async_trait]
impl SttStream for MeteredStream<dyn SttStream> {
    async fn send_audio(&mut self, samples: &[i16]) -> Result<(), ProviderError> {
        self.stream.send_audio(samples).await?;
        self.meter.heard(self.provider, samples.len());
        Ok(())
    }

    async fn finalize(&mut self) -> Result<(), ProviderError> {
        self.stream.finalize().await
    }

    async fn next_event(&mut self) -> Result<Option<SttEvent>, ProviderError> {
        self.stream.next_event().await
    }

    fn provider(&self) -> Option<&'static str> {
        Some(self.provider)
    }

    async fn close(&mut self) {
        self.stream.close().await;
    }
}

#[async_trait]
impl TextToSpeech for Metered<dyn TextToSpeech> {
    async fn open(&self, options: TtsOptions) -> Result<Box<dyn SpeechStream>, ProviderError> {
        let stream = self.service.open(options).await?;
        let provider = stream.provider().unwrap_or_else(|| self.service.name());
        Ok(Box::new(MeteredStream { stream, provider, meter: self.meter.clone() }))
    }

    fn name(&self) -> &'static str {
        self.service.name()
    }
}

#[async_trait]
impl SpeechStream for MeteredStream<dyn SpeechStream> {
    async fn speak(&mut self, text: &str) -> Result<(), ProviderError> {
        self.stream.speak(text).await?;
        self.meter.spoke(self.provider, text);
        Ok(())
    }

    fn may_speak_ahead(&self) -> bool {
        self.stream.may_speak_ahead()
    }

    fn cut_off(&mut self) {
        self.stream.cut_off();
    }

    async fn clear(&mut self) -> Result<(), ProviderError> {
        self.stream.clear().await
    }

    async fn next_event(&mut self) -> Result<Option<SpeechEvent>, ProviderError> {
        self.stream.next_event().await
    }

    fn provider(&self) -> Option<&'static str> {
        Some(self.provider)
    }

    async fn close(&mut self) {
        self.stream.close().await;
    }
}

#[async_trait]
impl LanguageModel for Metered<dyn LanguageModel> {
    async fn ask(&self, request: ModelRequest) -> Result<Box<dyn ModelStream>, ProviderError> {
        let stream = self.service.ask(request).await?;
        let provider = stream.provider().unwrap_or_else(|| self.service.name());
        self.meter.asked(provider);
        Ok(Box::new(MeteredStream { stream, provider, meter: self.meter.clone() }))
    }

    async fn warm_up(&self) {
        self.service.warm_up().await;
    }

    fn name(&self) -> &'static str {
        self.service.name()
    }
}

#[async_trait]
impl ModelStream for MeteredStream<dyn ModelStream> {
    async fn next_event(&mut self) -> Result<Option<ModelEvent>, ProviderError> {
        self.stream.next_event().await
    }

    async fn usage(&mut self) -> Option<TokenUsage> {
        let usage = self.stream.usage().await?;
        self.meter.answered(self.provider, usage);
        Some(usage)
    }

    fn provider(&self) -> Option<&'static str> {
        Some(self.provider)
    }
}
