//! Hearing: the caller's audio goes to the recogniser without a break, and words come back on the call's sample count.
//!
//! One task owns the recogniser's stream. When it breaks, the task opens another one and replays what the recogniser had not yet
//! turned into final words, at most [`REPLAY`] of audio, so that an utterance survives a lost connection.

pub(crate) mod clock;
mod connection;
pub(crate) mod pieces;
pub(crate) mod questions;
mod ring;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::error::ProviderError;
use crate::stt::{SpeechToText, SttEvent, SttOptions, SttStream};
use connection::Connection;
pub(crate) use connection::HeardSegment;
use ring::Ring;

/// How much audio is kept for a new connection: a sentence or a telephone number, whole.
pub(crate) const REPLAY: Duration = Duration::from_secs(6);

/// A new connection must be there within this time.
const REOPEN_MAX: Duration = Duration::from_secs(2);

/// A stream that takes longer than this to accept audio is broken; `send_audio` is meant to be quick.
const SEND_MAX: Duration = Duration::from_secs(1);

/// After a failure another stream is tried this much later; the conversation decides when to give up.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A stream that breaks again this soon after it was opened anew has failed.
const STABLE_AFTER: Duration = Duration::from_secs(5);

/// A recogniser that said nothing at all to so many requests for final words in a row is taken for deaf (a half-open
/// connection looks like that).
const DEAF_AFTER: u32 = 3;

/// Whoever speaks this long says words.
const SPEECH_MIN: Duration = Duration::from_secs(1);

/// A recogniser that says nothing at all to such speech, not even so long after it was asked, is deaf as well.
const DEAF_WITHIN: Duration = Duration::from_secs(1);

/// A deaf recogniser is reconnected no more often than this, for noise that holds no words looks the same.
const DEAF_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// What the session orders.
#[derive(Debug)]
pub(crate) enum HearingOrder {
    /// Audio; `first` is the index of its first sample in the call.
    Audio {
        /// Index of the first sample.
        first: u64,
        /// Mono at 16 kHz.
        samples: Vec<i16>,
    },
    /// Ask for final words.
    Finalize {
        /// Index of the first sample of the caller's turn.
        started: u64,
    },
}

/// What hearing reports.
#[derive(Debug)]
pub(crate) enum Heard {
    /// Words.
    Segment(HeardSegment),
    /// The stream was lost for this reason and opened anew.
    Reconnected(ProviderError),
    /// The stream is lost, and no other could be had at once. Another one is tried soon if that may help.
    Failed(ProviderError),
}

/// The task that owns the recogniser's stream.
pub(crate) struct Hearing {
    service: Arc<dyn SpeechToText>,
    options: SttOptions,
    orders: mpsc::Receiver<HearingOrder>,
    reports: mpsc::Sender<Heard>,
    stop: CancellationToken,
    connection: Option<Connection>,
    opening: Option<Reopening>,
    ring: Ring,
    /// Index after the last word that is final: nothing before it is replayed.
    settled: u64,
    /// Index after the last sample received.
    heard: u64,
    /// `heard` when final words were asked for, until they came.
    finalize_pending: Option<u64>,
    unanswered: u32,
    /// `heard` when the recogniser last said anything.
    answered: u64,
    /// When the recogniser is taken for deaf if it says nothing until then.
    deaf_at: Option<Instant>,
    opened_anew: Option<Instant>,
    /// When another stream is tried after a failure, and the failure.
    again: Option<(Instant, ProviderError)>,
}

/// Why the stream was lost, and the one that is being opened in its place.
type Reopening = (ProviderError, BoxFuture<'static, Result<Box<dyn SttStream>, ProviderError>>);

enum Step {
    Stop,
    Order(Option<HearingOrder>),
    Event(Result<Option<SttEvent>, ProviderError>),
    Opened(Result<Box<dyn SttStream>, ProviderError>),
    Again,
    Deaf,
}

impl Hearing {
    /// A task around a stream that is open; orders come by `orders`, reports go to `reports`.
    #[must_use]
    pub(crate) fn new(
        service: Arc<dyn SpeechToText>,
        options: SttOptions,
        stream: Box<dyn SttStream>,
        orders: mpsc::Receiver<HearingOrder>,
        reports: mpsc::Sender<Heard>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            service,
            options,
            orders,
            reports,
            stop,
            connection: Some(Connection::new(stream)),
            opening: None,
            ring: Ring::new(clock::HEARING_RATE.samples_in(REPLAY)),
            settled: 0,
            heard: 0,
            finalize_pending: None,
            unanswered: 0,
            answered: 0,
            deaf_at: None,
            opened_anew: None,
            again: None,
        }
    }

    /// Runs until stopped, then closes the stream.
    pub(crate) async fn run(mut self) {
        loop {
            let step = tokio::select! {
                biased;
                () = self.stop.cancelled() => Step::Stop,
                opened = opened(&mut self.opening) => Step::Opened(opened),
                event = next_event(&mut self.connection) => Step::Event(event),
                order = self.orders.recv() => Step::Order(order),
                () = at(self.again.as_ref().map(|(at, _)| *at)) => Step::Again,
                () = at(self.deaf_at) => Step::Deaf,
            };
            match step {
                Step::Stop | Step::Order(None) => break,
                Step::Order(Some(HearingOrder::Audio { first, samples })) => self.hear(first, samples).await,
                Step::Order(Some(HearingOrder::Finalize { started })) => self.finalize(started).await,
                Step::Deaf => self.deaf().await,
                Step::Event(Ok(Some(event))) => self.report_words(event).await,
                Step::Event(Ok(None)) => {
                    let reason = "the stream ended by itself".into();
                    self.lost(ProviderError::Broken { provider: self.service.name(), reason }).await;
                }
                Step::Event(Err(error)) => self.lost(error).await,
                Step::Opened(result) => self.reopened(result).await,
                Step::Again => {
                    if let Some((_, failure)) = self.again.take() {
                        self.open(failure);
                    }
                }
            }
        }
        if let Some(mut connection) = self.connection.take() {
            // A stream that does not close within its own bound is dropped, which closes it less politely.
            let _ = timeout(SEND_MAX, connection.stream.close()).await;
        }
    }

    async fn hear(&mut self, first: u64, samples: Vec<i16>) {
        self.heard = first + samples.len() as u64;
        if let Some(connection) = self.connection.as_mut() {
            let sent = bounded(self.service.name(), connection.send(first, &samples)).await;
            self.ring.push(first, samples);
            if let Err(error) = sent {
                self.lost(error).await;
            }
        } else {
            self.ring.push(first, samples);
        }
    }

    async fn finalize(&mut self, started: u64) {
        self.finalize_pending = Some(self.heard);
        self.unanswered += 1;
        let spoken = self.heard.saturating_sub(started);
        if self.unanswered >= DEAF_AFTER && self.may_be_deaf() {
            self.deaf().await;
            return;
        }
        if self.answered <= started && spoken >= clock::HEARING_RATE.samples_in(SPEECH_MIN) as u64 && self.may_be_deaf() {
            self.deaf_at = Some(Instant::now() + DEAF_WITHIN);
        }
        if let Some(connection) = self.connection.as_mut()
            && let Err(error) = bounded(self.service.name(), connection.stream.finalize()).await
        {
            self.lost(error).await;
        }
    }

    fn may_be_deaf(&self) -> bool {
        self.connection.is_some() && self.opened_anew.is_none_or(|at| at.elapsed() >= DEAF_AGAIN_AFTER)
    }

    async fn deaf(&mut self) {
        let limit_ms = DEAF_WITHIN.as_millis() as u64;
        self.lost(ProviderError::Timeout { provider: self.service.name(), stage: "answer to speech", limit_ms }).await;
    }

    async fn report_words(&mut self, event: SttEvent) {
        (self.unanswered, self.answered, self.deaf_at) = (0, self.heard, None);
        let Some(connection) = self.connection.as_ref() else { return };
        let segment = connection.place(event);
        if segment.is_final {
            let asked = if segment.from_finalize { self.finalize_pending.take() } else { None };
            let spoken = segment.words.last().map(|word| word.end);
            self.settled = self.settled.max(asked.unwrap_or(0)).max(spoken.unwrap_or(0));
            self.ring.forget(self.settled);
        }
        self.report(Heard::Segment(segment)).await;
    }

    /// Opens a new stream, at once unless that cannot help or the last one broke just as quickly.
    async fn lost(&mut self, error: ProviderError) {
        self.connection = None;
        (self.unanswered, self.deaf_at) = (0, None);
        let flapping = self.opened_anew.is_some_and(|at| at.elapsed() < STABLE_AFTER);
        if !error.is_retryable() || flapping {
            self.failed(error).await;
            return;
        }
        self.open(error);
    }

    /// Reports a failure; another stream is tried later if that may help.
    async fn failed(&mut self, error: ProviderError) {
        if error.is_retryable() {
            self.again = Some((Instant::now() + AGAIN_AFTER, error.clone()));
        }
        self.report(Heard::Failed(error)).await;
    }

    fn open(&mut self, error: ProviderError) {
        tracing::warn!(provider = self.service.name(), kind = error.kind(), "speech-to-text was lost, opening it anew");
        let (service, options) = (Arc::clone(&self.service), self.options.clone());
        let provider = service.name();
        let open = async move {
            let late = ProviderError::Timeout { provider, stage: "connection", limit_ms: REOPEN_MAX.as_millis() as u64 };
            timeout(REOPEN_MAX, service.open(options)).await.unwrap_or(Err(late))
        };
        self.opening = Some((error, Box::pin(open)));
    }

    async fn reopened(&mut self, result: Result<Box<dyn SttStream>, ProviderError>) {
        let Some((cause, _)) = self.opening.take() else { return };
        let stream = match result {
            Ok(stream) => stream,
            Err(error) => {
                self.failed(error).await;
                return;
            }
        };
        self.opened_anew = Some(Instant::now());
        let mut connection = Connection::new(stream);
        let replayed = bounded(self.service.name(), replay(&mut connection, &self.ring, self.settled, self.finalize_pending.is_some()));
        if let Err(error) = replayed.await {
            self.lost(error).await;
            return;
        }
        self.connection = Some(connection);
        self.report(Heard::Reconnected(cause)).await;
    }

    async fn report(&mut self, report: Heard) {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {}
            _ = self.reports.send(report) => {}
        }
    }
}

/// Sends what the recogniser has not turned into final words.
async fn replay(connection: &mut Connection, ring: &Ring, from: u64, finalize: bool) -> Result<(), ProviderError> {
    for (first, samples) in ring.since(from) {
        connection.send(first, samples).await?;
    }
    if finalize { connection.stream.finalize().await } else { Ok(()) }
}

async fn bounded(provider: &'static str, sending: impl Future<Output = Result<(), ProviderError>>) -> Result<(), ProviderError> {
    let limit_ms = SEND_MAX.as_millis() as u64;
    timeout(SEND_MAX, sending).await.unwrap_or(Err(ProviderError::Timeout { provider, stage: "acceptance of audio", limit_ms }))
}

async fn next_event(connection: &mut Option<Connection>) -> Result<Option<SttEvent>, ProviderError> {
    match connection {
        Some(connection) => connection.stream.next_event().await,
        None => std::future::pending().await,
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

async fn opened(opening: &mut Option<Reopening>) -> Result<Box<dyn SttStream>, ProviderError> {
    match opening {
        Some((_, future)) => future.await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
