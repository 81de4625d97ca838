//! Opening the providers' connections before the call is answered.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::options::{Providers, SessionOptions};
use crate::error::ProviderError;
use crate::stt::SttStream;
use crate::tts::SpeechStream;

/// Wait between two attempts within the bound.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Opens speech-to-text and text-to-speech and warms the model, all at once; `speech` gets the speech connection as soon as it is
/// open, so that the greeting is synthesised while the rest warms.
///
/// A retryable failure is tried again until `limit` has passed; the model's warm-up is best effort and bounded by it too.
pub(super) async fn open(
    providers: &Providers,
    options: &SessionOptions,
    speech: impl FnOnce(Box<dyn SpeechStream>),
) -> Result<Box<dyn SttStream>, ProviderError> {
    let limit = options.limits.warm_up;
    let stt = attempt(limit, providers.stt.name(), || {
        let (service, stt) = (Arc::clone(&providers.stt), options.stt.clone());
        async move { service.open(stt).await }
    });
    let tts = async {
        let opened = attempt(limit, providers.tts.name(), || {
            let (service, tts) = (Arc::clone(&providers.tts), options.tts.clone());
            async move { service.open(tts).await }
        });
        speech(opened.await?);
        Ok(())
    };
    let llm = async {
        if timeout(limit, providers.llm.warm_up()).await.is_err() {
            tracing::warn!(provider = providers.llm.name(), "the language model did not warm up in time");
        }
        Ok(())
    };
    tokio::try_join!(stt, tts, llm).map(|(stream, (), ())| stream)
}

async fn attempt<T, F: Future<Output = Result<T, ProviderError>>>(
    limit: Duration,
    provider: &'static str,
    open: impl Fn() -> F,
) -> Result<T, ProviderError> {
    let mut last = ProviderError::Timeout { provider, stage: "connection", limit_ms: limit.as_millis() as u64 };
    let attempts = async {
        loop {
            match open().await {
                Ok(opened) => return Ok(opened),
                Err(error) if !error.is_retryable() => return Err(error),
                Err(error) => last = error,
            }
            sleep(AGAIN_AFTER).await;
        }
    };
    let outcome = timeout(limit, attempts).await;
    outcome.unwrap_or(Err(last))
}
