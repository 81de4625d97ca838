//! Streaming text-to-speech: `/v1/speak`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use frontdesk_agent::{ProviderError, SpeechEvent, SpeechStream, TextToSpeech, TtsOptions};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use super::driver::{Incoming, Link, Task, Wire};
use super::utterances::{Accepted, Order, Outcome, Utterances};
use super::wire::{CLEAR, CLOSE, FLUSH, SpeakMessage, speak};
use super::{DeepgramOptions, PROVIDER};
use crate::Timeouts;
use crate::connect::{self, Socket};
use crate::timeouts::Stage;

/// Utterances and clears that may wait for the network.
const COMMAND_QUEUE: usize = 256;
/// Pieces of speech that may wait for the agent. Full stops reading, so that the service is slowed down.
const EVENT_QUEUE: usize = 64;

/// Deepgram as [`TextToSpeech`].
///
/// Deepgram gives no word timestamps, so `Finished` carries no words. When the flush budget (20 a minute) runs low, utterances are
/// joined under one flush, yet each still gets its own `Finished`; where it falls within the joined audio is then an estimate.
#[derive(Debug, Clone)]
pub struct DeepgramTts {
    options: DeepgramOptions,
    settings: SpeakSettings,
}

/// How Deepgram is to speak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpeakSettings {
    /// The model, which is also the voice (`aura-2-thalia-en`); used where a call names none.
    pub model: String,
}

impl Default for SpeakSettings {
    fn default() -> Self {
        Self { model: "aura-2-thalia-en".into() }
    }
}

impl DeepgramTts {
    /// A client with the default voice. Nothing is connected yet.
    #[must_use]
    pub fn new(options: DeepgramOptions) -> Self {
        Self { options, settings: SpeakSettings::default() }
    }

    /// Replaces the settings.
    #[must_use]
    pub fn with_settings(mut self, settings: SpeakSettings) -> Self {
        self.settings = settings;
        self
    }
}

#[async_trait]
impl TextToSpeech for DeepgramTts {
    async fn open(&self, options: TtsOptions) -> Result<Box<dyn SpeechStream>, ProviderError> {
        let model = options.voice.as_deref().unwrap_or(&self.settings.model);
        let rate = options.rate.hz().to_string();
        let query = [("model", model), ("encoding", "linear16"), ("sample_rate", &rate)];
        let endpoint = self.options.endpoint("/v1/speak", &query)?;
        let timeouts = self.options.timeouts;
        let socket = connect::open(&endpoint, &timeouts).await?;
        let dial = Redial { endpoint, timeouts };
        Ok(Box::new(SpeakStream::start(socket, dial, timeouts, self.options.keep_alive, options.rate.hz())))
    }

    fn name(&self) -> &'static str {
        PROVIDER
    }
}

/// Opens the connection anew.
#[async_trait]
pub(super) trait Dial: Send + 'static {
    type Wire: Wire + 'static;
    async fn dial(&mut self) -> Result<Self::Wire, ProviderError>;
}

struct Redial {
    endpoint: connect::Endpoint,
    timeouts: Timeouts,
}

#[async_trait]
impl Dial for Redial {
    type Wire = Socket;

    async fn dial(&mut self) -> Result<Socket, ProviderError> {
        connect::open(&self.endpoint, &self.timeouts).await
    }
}

enum Command {
    Speak(String),
    Clear(u64),
    CutOff,
    Close,
}

/// An event, with the number of clears that came before it.
type Stamped = (u64, SpeechEvent);

/// One call's speech.
struct SpeakStream {
    /// The clock of the order book.
    started: Instant,
    /// From when on speech that may never be wanted can be asked for, by that clock.
    ahead_from_ms: Arc<AtomicU64>,
    commands: mpsc::Sender<Command>,
    events: mpsc::Receiver<Stamped>,
    task: Task,
    close_within: Duration,
    /// Clears so far; events stamped with fewer are of utterances that were dropped.
    clears: u64,
    closed: bool,
}

impl SpeakStream {
    fn start<D: Dial>(wire: D::Wire, dial: D, timeouts: Timeouts, keep_alive: Duration, hz: u32) -> Self {
        let (commands, orders) = mpsc::channel(COMMAND_QUEUE);
        let (results, events) = mpsc::channel(EVENT_QUEUE);
        let state = State::new(timeouts, hz);
        let (started, ahead_from_ms) = (state.started, state.utterances.ahead_from_ms());
        let task = Task::spawn(drive(wire, dial, (timeouts, keep_alive), state, orders, results));
        Self { started, ahead_from_ms, commands, events, task, close_within: timeouts.close, clears: 0, closed: false }
    }

    fn command(&self, command: Command) -> Result<(), ProviderError> {
        self.commands.try_send(command).map_err(|error| match error {
            TrySendError::Full(_) => ProviderError::Broken { provider: PROVIDER, reason: "takes no text any more".into() },
            TrySendError::Closed(_) => self.task.error(),
        })
    }
}

#[async_trait]
impl SpeechStream for SpeakStream {
    async fn speak(&mut self, text: &str) -> Result<(), ProviderError> {
        self.command(Command::Speak(text.to_owned()))
    }

    fn may_speak_ahead(&self) -> bool {
        self.started.elapsed().as_millis() >= u128::from(self.ahead_from_ms.load(Ordering::Relaxed))
    }

    async fn clear(&mut self) -> Result<(), ProviderError> {
        self.clears += 1;
        self.command(Command::Clear(self.clears))
    }

    fn cut_off(&mut self) {
        // A stream that takes no more orders says why with its next event.
        let _refused = self.command(Command::CutOff);
    }

    async fn next_event(&mut self) -> Result<Option<SpeechEvent>, ProviderError> {
        loop {
            match self.events.recv().await {
                Some((stamp, event)) if stamp == self.clears => return Ok(Some(event)),
                Some(_) => {}
                None => {
                    self.task.ended().await;
                    return if self.closed && self.task.failure().is_none() { Ok(None) } else { Err(self.task.error()) };
                }
            }
        }
    }

    async fn close(&mut self) {
        self.closed = true;
        if self.command(Command::Close).is_ok() {
            self.task.stop(self.close_within).await;
        }
    }
}

/// Owns the connection; opens it once more when it breaks while nothing of an utterance was heard.
async fn drive<D: Dial>(
    wire: D::Wire,
    mut dial: D,
    (timeouts, keep_alive): (Timeouts, Duration),
    mut state: State,
    mut commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Stamped>,
) -> Result<(), ProviderError> {
    let mut link = Link::new(wire, timeouts, keep_alive);
    loop {
        let Err(error) = run(&mut link, &mut state, &mut commands, &events).await else { return Ok(()) };
        if state.closing {
            return Ok(());
        }
        // After a time-out the caller has waited long enough: a fallback is better than a second wait.
        let may_pass = matches!(error, ProviderError::Broken { .. } | ProviderError::Connect { .. });
        if !may_pass || state.retried || state.utterances.has_begun() {
            return Err(error);
        }
        tracing::debug!(kind = error.kind(), "deepgram speech connection broke before an answer; connecting again");
        state.retried = true;
        state.utterances.restart();
        link = Link::new(dial.dial().await?, timeouts, keep_alive);
    }
}

/// What survives a reconnection.
struct State {
    utterances: Utterances,
    timeouts: Timeouts,
    started: Instant,
    /// Events that wait for room in the queue; nothing is read meanwhile.
    outbox: VecDeque<SpeechEvent>,
    clears: u64,
    /// Since when an answer, or its next piece, has been owed.
    progress: Instant,
    /// Whether a second connection was made since speech last came.
    retried: bool,
    closing: bool,
}

impl State {
    fn new(timeouts: Timeouts, hz: u32) -> Self {
        let now = Instant::now();
        Self {
            utterances: Utterances::new(hz),
            timeouts,
            started: now,
            outbox: VecDeque::new(),
            clears: 0,
            progress: now,
            retried: false,
            closing: false,
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// When and how the service's silence becomes an error; `None` while nothing is owed or we do not listen.
    fn overdue(&self) -> Option<(Instant, Stage)> {
        if !self.utterances.is_busy() || !self.outbox.is_empty() {
            return None;
        }
        Some(if self.utterances.has_begun() {
            (self.progress + self.timeouts.idle, Stage::FurtherData)
        } else {
            (self.progress + self.timeouts.first_byte, Stage::FirstByte)
        })
    }

    fn take(&mut self, message: Incoming) -> Result<(), ProviderError> {
        let now = self.now();
        let outcomes = match message {
            Incoming::Binary(bytes) => {
                self.progress = Instant::now();
                self.retried = false;
                self.utterances.on_audio(now, &samples(&bytes)?)
            }
            Incoming::Text(text) => match parse(&text)? {
                SpeakMessage::Flushed => {
                    self.progress = Instant::now();
                    self.utterances.on_flushed()
                }
                SpeakMessage::Cleared => {
                    self.progress = Instant::now();
                    self.utterances.on_cleared();
                    Vec::new()
                }
                SpeakMessage::Warning(warning) => {
                    let refused = warning.refuses_flush();
                    tracing::warn!(refused, code = %connect::clip(&warning.code), "deepgram warned");
                    if refused {
                        self.utterances.on_flush_refused(now);
                    }
                    Vec::new()
                }
                SpeakMessage::Error(error) => {
                    return Err(ProviderError::Broken { provider: PROVIDER, reason: format!("reported {}", connect::clip(&error.code)) });
                }
                SpeakMessage::Other => Vec::new(),
            },
        };
        self.outbox.extend(outcomes.into_iter().map(|outcome| match outcome {
            Outcome::Audio(samples) => SpeechEvent::Audio(samples),
            Outcome::Finished => SpeechEvent::Finished { words: Vec::new() },
        }));
        Ok(())
    }

    /// Takes a command; returns what has to be sent at once.
    fn obey(&mut self, command: Option<Command>) -> Result<Vec<Order>, ProviderError> {
        let now = self.now();
        match command {
            Some(Command::Speak(text)) => {
                match self.utterances.speak(text) {
                    Accepted::Queued => {}
                    Accepted::FinishedAtOnce => self.outbox.push_back(SpeechEvent::Finished { words: Vec::new() }),
                    Accepted::Full => {
                        let reason = "too many utterances are waiting".into();
                        return Err(ProviderError::Rejected { provider: PROVIDER, reason });
                    }
                }
                Ok(Vec::new())
            }
            Some(Command::Clear(clears)) => {
                self.clears = clears;
                self.outbox.clear();
                self.progress = Instant::now();
                Ok(self.utterances.clear(now))
            }
            Some(Command::CutOff) => {
                self.utterances.cut_off(now);
                Ok(Vec::new())
            }
            Some(Command::Close) | None => Ok(Vec::new()),
        }
    }
}

/// Runs one connection; `Ok` when the stream was closed by its user.
async fn run<W: Wire>(
    link: &mut Link<W>,
    state: &mut State,
    commands: &mut mpsc::Receiver<Command>,
    events: &mpsc::Sender<Stamped>,
) -> Result<(), ProviderError> {
    loop {
        let now = state.now();
        let was_busy = state.utterances.is_busy();
        let orders = state.utterances.poll(now);
        if !orders.is_empty() {
            if !was_busy {
                state.progress = Instant::now();
            }
            send_all(link, orders).await?;
        }
        let overdue = state.overdue();
        let wake = state.utterances.deadline(now).map(|at| state.started + at);
        let listening = state.outbox.is_empty();
        let tick_at = link.tick_at();
        tokio::select! {
            // Commands first: a clear must not wait for audio that it drops.
            biased;
            command = commands.recv(), if !state.closing => {
                if matches!(command, Some(Command::Close)) {
                    state.closing = true;
                    link.send(Message::Text(CLOSE.into())).await?;
                } else if command.is_none() {
                    return Ok(());
                }
                let orders = state.obey(command)?;
                send_all(link, orders).await?;
            }
            permit = events.reserve(), if !listening => {
                let Ok(permit) = permit else { return Ok(()) };
                if let Some(event) = state.outbox.pop_front() {
                    permit.send((state.clears, event));
                }
                state.progress = Instant::now();
            }
            message = link.receive(), if listening => state.take(message?)?,
            () = tokio::time::sleep_until(tick_at) => link.tick(listening).await?,
            stage = expire(overdue) => return Err(state.timeouts.expired(PROVIDER, stage)),
            () = sleep_until(wake) => {}
        }
    }
}

async fn send_all<W: Wire>(link: &mut Link<W>, orders: Vec<Order>) -> Result<(), ProviderError> {
    for order in orders {
        let message = match order {
            Order::Speak(text) => Message::Text(speak(&text).into()),
            Order::Flush => Message::Text(FLUSH.into()),
            Order::Clear => Message::Text(CLEAR.into()),
        };
        link.send(message).await?;
    }
    Ok(())
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn expire(overdue: Option<(Instant, Stage)>) -> Stage {
    match overdue {
        Some((at, stage)) => {
            tokio::time::sleep_until(at).await;
            stage
        }
        None => std::future::pending().await,
    }
}

fn parse(text: &str) -> Result<SpeakMessage, ProviderError> {
    // serde_json's text may quote the message, so only its position is told.
    serde_json::from_str(text)
        .map_err(|error| ProviderError::Broken { provider: PROVIDER, reason: format!("malformed message at column {}", error.column()) })
}

/// Samples of a binary message; half a sample means that the encoding is not what was asked for.
fn samples(bytes: &Bytes) -> Result<Vec<i16>, ProviderError> {
    if !bytes.len().is_multiple_of(2) {
        return Err(ProviderError::Broken { provider: PROVIDER, reason: "audio of an odd number of bytes".into() });
    }
    Ok(bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect())
}

#[cfg(test)]
#[path = "speak_tests.rs"]
mod tests;
