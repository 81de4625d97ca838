//! The service behind the agent's trait, without sockets: for tests in virtual time and for benches.

use std::sync::Arc;

use async_trait::async_trait;
use frontdesk_agent::{ProviderError, SpeechEvent, SpeechStream, TextToSpeech, TtsOptions};
use frontdesk_audio::SampleRate;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::limits::Limits;
use super::session::{Job, Reply, Session, SessionOptions};
use crate::voice::VoiceError;

/// The service's name in errors.
const PROVIDER: &str = "simulated";

/// A rendered text and its job's ticket.
pub(super) type Rendered = (u64, Result<Arc<Vec<i16>>, VoiceError>);

/// Renders on a thread that may block.
pub(super) async fn render(job: Job, rate: SampleRate) -> Rendered {
    (job.ticket, job.speaker.render_async(&job.text, rate).await)
}

/// A simulated service as [`TextToSpeech`]. Time is tokio's, so it may be virtual. A flush follows every text, and how many there
/// are is not limited.
#[derive(Debug, Clone)]
pub struct SimulatedTts {
    options: SessionOptions,
}

impl SimulatedTts {
    /// A service that behaves as the options say on every stream; the rate is the stream's own.
    #[must_use]
    pub const fn new(options: SessionOptions) -> Self {
        Self { options }
    }
}

#[async_trait]
impl TextToSpeech for SimulatedTts {
    async fn open(&self, options: TtsOptions) -> Result<Box<dyn SpeechStream>, ProviderError> {
        let session = Session::new(SessionOptions { rate: options.rate, limits: Limits::none(), ..self.options.clone() });
        Ok(Box::new(Stream { session, rate: options.rate, rendering: JoinSet::new(), started: Instant::now() }))
    }

    fn name(&self) -> &'static str {
        PROVIDER
    }
}

struct Stream {
    session: Session,
    rate: SampleRate,
    rendering: JoinSet<Rendered>,
    started: Instant,
}

impl Stream {
    fn start_jobs(&mut self) {
        while let Some(job) = self.session.take_job() {
            self.rendering.spawn(render(job, self.rate));
        }
    }
}

#[async_trait]
impl SpeechStream for Stream {
    async fn speak(&mut self, text: &str) -> Result<(), ProviderError> {
        self.session.on_speak(text);
        self.session.on_flush(self.started.elapsed());
        self.start_jobs();
        Ok(())
    }

    async fn clear(&mut self) -> Result<(), ProviderError> {
        self.session.on_clear(self.started.elapsed());
        Ok(())
    }

    async fn next_event(&mut self) -> Result<Option<SpeechEvent>, ProviderError> {
        loop {
            match self.session.poll(self.started.elapsed()) {
                Some(Reply::Audio(samples)) => return Ok(Some(SpeechEvent::Audio(samples))),
                Some(Reply::Flushed { .. }) => return Ok(Some(SpeechEvent::Finished { words: Vec::new() })),
                Some(Reply::Error { description, .. }) => {
                    return Err(ProviderError::Broken { provider: PROVIDER, reason: description });
                }
                Some(Reply::Cleared { .. } | Reply::Warning { .. } | Reply::End { .. }) => continue,
                None if self.session.is_ended() => return Ok(None),
                None => {}
            }
            let due = self.session.deadline().and_then(|due| self.started.checked_add(due));
            tokio::select! {
                Some(Ok((ticket, result))) = self.rendering.join_next() => self.session.on_rendered(ticket, result),
                () = tokio::time::sleep_until(due.unwrap_or(self.started)), if due.is_some() => {}
                // Nothing was asked for.
                else => std::future::pending().await,
            }
        }
    }

    async fn close(&mut self) {
        self.session.on_clear(self.started.elapsed());
        self.session.on_close(self.started.elapsed());
    }
}
