//! Streaming speech-to-text: `/v1/listen`.

use std::time::Duration;

use async_trait::async_trait;
use frontdesk_agent::{ProviderError, SpeechToText, SttEvent, SttOptions, SttStream};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_tungstenite::tungstenite::Message;

use super::driver::{Incoming, Link, Task, Wire};
use super::wire::{CLOSE_STREAM, FINALIZE, KEEP_ALIVE, ListenMessage};
use super::{DeepgramOptions, PROVIDER, to_bytes};
use crate::Timeouts;
use crate::connect;

/// The least audio of a message, in bytes: 20 ms of 16-bit samples at 16 kHz, of which Deepgram advises 20 to 250 ms. How much is given
/// at once is for the caller of the stream to say.
const CHUNK: usize = 640;
/// The default of [`ListenSettings::endpointing_ms`]: with the service's own time the final words come soon after the detector has heard
/// its quarter of a second of silence. Anything shorter splits phrases at every stop consonant.
const ENDPOINTING_MS: u32 = 150;
/// Messages that may wait for the network: ten seconds of audio as the agent gives it. Full means that the connection has stalled.
const COMMAND_QUEUE: usize = 170;
/// Results that may wait for the agent. Full stops reading, so that the service is slowed down and nothing is lost.
const EVENT_QUEUE: usize = 64;

/// Deepgram as [`SpeechToText`].
#[derive(Debug, Clone)]
pub struct DeepgramStt {
    options: DeepgramOptions,
    settings: ListenSettings,
}

/// How Deepgram is to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenSettings {
    /// The model (`nova-3`); used where a call names none.
    pub model: String,
    /// Capital letters and punctuation.
    pub punctuate: bool,
    /// Digits, dates and currency instead of words. Off by default: the service may hold a result back while a number is still being
    /// said, and a language model reads spoken numbers as well.
    pub smart_format: bool,
    /// Silence after which the service finalises by itself, in milliseconds. Shorter than the silence in which the agent's own
    /// detector finds the end of speech, so that the words are final by then and the model can be asked at once; `None` leaves the
    /// service's default of 10 ms, which chops a sentence into many results.
    pub endpointing_ms: Option<u32>,
}

impl Default for ListenSettings {
    fn default() -> Self {
        Self { model: "nova-3".into(), punctuate: true, smart_format: false, endpointing_ms: Some(ENDPOINTING_MS) }
    }
}

impl DeepgramStt {
    /// A client with default settings. Nothing is connected yet.
    #[must_use]
    pub fn new(options: DeepgramOptions) -> Self {
        Self { options, settings: ListenSettings::default() }
    }

    /// Replaces the settings.
    #[must_use]
    pub fn with_settings(mut self, settings: ListenSettings) -> Self {
        self.settings = settings;
        self
    }

    fn endpoint(&self, options: &SttOptions) -> Result<connect::Endpoint, ProviderError> {
        let flag = |on: bool| if on { "true" } else { "false" };
        let endpointing = self.settings.endpointing_ms.map(|ms| ms.to_string());
        let mut query = vec![
            ("model", options.model.as_deref().unwrap_or(&self.settings.model)),
            ("encoding", "linear16"),
            ("sample_rate", "16000"),
            ("channels", "1"),
            ("interim_results", "true"),
            ("punctuate", flag(self.settings.punctuate)),
            ("smart_format", flag(self.settings.smart_format)),
        ];
        query.extend(endpointing.as_deref().map(|ms| ("endpointing", ms)));
        query.extend(options.language.as_deref().map(|tag| ("language", tag)));
        query.extend(options.keyterms.iter().map(|term| ("keyterm", term.as_str())));
        self.options.endpoint("/v1/listen", &query)
    }
}

#[async_trait]
impl SpeechToText for DeepgramStt {
    async fn open(&self, options: SttOptions) -> Result<Box<dyn SttStream>, ProviderError> {
        let socket = connect::open(&self.endpoint(&options)?, &self.options.timeouts).await?;
        Ok(Box::new(ListenStream::start(socket, self.options.timeouts, self.options.keep_alive)))
    }

    fn name(&self) -> &'static str {
        PROVIDER
    }
}

enum Command {
    Audio(Vec<u8>),
    Finalize,
    Close,
}

/// One open connection.
struct ListenStream {
    /// Audio that does not fill a message yet.
    pending: Vec<u8>,
    commands: mpsc::Sender<Command>,
    events: mpsc::Receiver<SttEvent>,
    task: Task,
    close_within: Duration,
    closed: bool,
}

impl ListenStream {
    fn start(wire: impl Wire + 'static, timeouts: Timeouts, keep_alive: Duration) -> Self {
        let (commands, orders) = mpsc::channel(COMMAND_QUEUE);
        let (results, events) = mpsc::channel(EVENT_QUEUE);
        let task = Task::spawn(run(Link::new(wire, timeouts, keep_alive), orders, results));
        Self { pending: Vec::with_capacity(CHUNK), commands, events, task, close_within: timeouts.close, closed: false }
    }

    /// Sends what waits to fill a message.
    fn send_pending(&mut self) -> Result<(), ProviderError> {
        // An empty binary message would end the stream on older servers.
        if self.pending.is_empty() {
            return Ok(());
        }
        let audio = std::mem::replace(&mut self.pending, Vec::with_capacity(CHUNK));
        self.command(Command::Audio(audio))
    }

    fn command(&self, command: Command) -> Result<(), ProviderError> {
        self.commands.try_send(command).map_err(|error| match error {
            TrySendError::Full(_) => ProviderError::Broken { provider: PROVIDER, reason: "takes no audio any more".into() },
            TrySendError::Closed(_) => self.task.error(),
        })
    }
}

#[async_trait]
impl SttStream for ListenStream {
    async fn send_audio(&mut self, samples: &[i16]) -> Result<(), ProviderError> {
        self.pending.extend(to_bytes(samples));
        if self.pending.len() >= CHUNK { self.send_pending() } else { Ok(()) }
    }

    async fn finalize(&mut self) -> Result<(), ProviderError> {
        self.send_pending()?;
        self.command(Command::Finalize)
    }

    async fn next_event(&mut self) -> Result<Option<SttEvent>, ProviderError> {
        match self.events.recv().await {
            Some(event) => Ok(Some(event)),
            None if self.closed => Ok(None),
            None => {
                self.task.ended().await;
                Err(self.task.error())
            }
        }
    }

    async fn close(&mut self) {
        self.closed = true;
        if self.send_pending().and_then(|()| self.command(Command::Close)).is_ok() {
            self.task.stop(self.close_within).await;
        }
    }
}

/// Owns the connection until it ends. Dropping the stream drops this.
async fn run<W: Wire>(
    mut link: Link<W>,
    mut commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<SttEvent>,
) -> Result<(), ProviderError> {
    let mut sent_since_tick = false;
    let mut closing = false;
    loop {
        let tick_at = link.tick_at();
        let received = async {
            let permit = events.reserve().await;
            (permit, link.receive().await)
        };
        tokio::select! {
            (permit, message) = received => {
                let Ok(permit) = permit else { return Ok(()) };
                let event = match message {
                    Ok(Incoming::Text(text)) => parse(&text)?,
                    Ok(Incoming::Binary(_)) => None,
                    Err(_) if closing => return Ok(()),
                    Err(error) => return Err(error),
                };
                if let Some(event) = event {
                    permit.send(event);
                }
            }
            command = commands.recv(), if !closing => match command {
                Some(Command::Audio(bytes)) => {
                    sent_since_tick = true;
                    link.send(Message::Binary(bytes.into())).await?;
                }
                Some(Command::Finalize) => link.send(Message::Text(FINALIZE.into())).await?,
                Some(Command::Close) => {
                    closing = true;
                    link.send(Message::Text(CLOSE_STREAM.into())).await?;
                }
                None => return Ok(()),
            },
            () = tokio::time::sleep_until(tick_at) => {
                let listening = events.capacity() > 0;
                link.tick(listening).await?;
                if !std::mem::take(&mut sent_since_tick) && !closing {
                    link.send(Message::Text(KEEP_ALIVE.into())).await?;
                }
            }
        }
    }
}

fn parse(text: &str) -> Result<Option<SttEvent>, ProviderError> {
    match serde_json::from_str(text) {
        Ok(ListenMessage::Results(results)) => Ok(results.into_event()),
        Ok(ListenMessage::Error(error)) => {
            Err(ProviderError::Broken { provider: PROVIDER, reason: format!("reported {}", connect::clip(&error.code)) })
        }
        Ok(ListenMessage::Other) => Ok(None),
        // serde_json's text may quote the message, so only its position is told.
        Err(error) => Err(ProviderError::Broken { provider: PROVIDER, reason: format!("malformed message at column {}", error.column()) }),
    }
}

#[cfg(test)]
#[path = "listen_tests.rs"]
mod tests;
