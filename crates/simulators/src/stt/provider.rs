//! The service behind the agent's trait, without sockets: for tests in virtual time and for benches.

use async_trait::async_trait;
use frontdesk_agent::stt::SttWord;
use frontdesk_agent::{Pii, ProviderError, SpeechToText, SttEvent, SttOptions, SttStream};
use tokio::time::Instant;

use super::language::MULTILINGUAL;
use super::session::{Heard, Session, SessionOptions};

/// A simulated service as [`SpeechToText`]. Time is tokio's, so it may be virtual.
#[derive(Debug, Clone)]
pub struct SimulatedStt {
    options: SessionOptions,
}

impl SimulatedStt {
    /// A service that behaves as the options say on every stream.
    #[must_use]
    pub const fn new(options: SessionOptions) -> Self {
        Self { options }
    }
}

#[async_trait]
impl SpeechToText for SimulatedStt {
    async fn open(&self, options: SttOptions) -> Result<Box<dyn SttStream>, ProviderError> {
        let detects_language = options.language.as_deref() == Some(MULTILINGUAL);
        let session = Session::new(SessionOptions { detects_language, ..self.options.clone() });
        Ok(Box::new(Stream { session, started: Instant::now(), closed: false }))
    }

    fn name(&self) -> &'static str {
        "simulated"
    }
}

struct Stream {
    session: Session,
    started: Instant,
    closed: bool,
}

#[async_trait]
impl SttStream for Stream {
    async fn send_audio(&mut self, samples: &[i16]) -> Result<(), ProviderError> {
        self.session.on_audio(self.started.elapsed(), samples);
        Ok(())
    }

    async fn finalize(&mut self) -> Result<(), ProviderError> {
        self.session.on_finalize(self.started.elapsed());
        Ok(())
    }

    async fn next_event(&mut self) -> Result<Option<SttEvent>, ProviderError> {
        loop {
            if let Some(heard) = self.session.poll(self.started.elapsed()) {
                return Ok(Some(event(heard)));
            }
            match self.session.deadline() {
                Some(due) => tokio::time::sleep_until(self.started + due).await,
                None if self.closed => return Ok(None),
                None => std::future::pending().await,
            }
        }
    }

    async fn close(&mut self) {
        self.closed = true;
        self.session.on_close(self.started.elapsed());
    }
}

fn event(heard: Heard) -> SttEvent {
    let word =
        |word: super::HeardWord| SttWord { text: Pii::new(word.text), start: word.start, end: word.end, confidence: word.confidence };
    SttEvent {
        text: Pii::new(heard.text),
        is_final: heard.is_final,
        from_finalize: heard.from_finalize,
        ends_turn: heard.speech_final,
        words: heard.words.into_iter().map(word).collect(),
        language: heard.language.map(str::to_owned),
    }
}
