//! Speech: one task owns the synthesiser's connection, speaks the utterances in order and fills the playout.
//!
//! A connection that breaks is opened anew; the utterance that was being spoken is spoken again only when nothing of it was
//! played yet, so that the caller never hears a word twice.

mod ahead;
mod greetings;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use frontdesk_conversation::{ReplyId, SpokenWord, UtteranceId};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use ahead::Ahead;
pub use greetings::Greetings;
use greetings::Taken;

use crate::error::ProviderError;
use crate::playout::Playout;
use crate::tts::{SpeechEvent, SpeechStream, TextToSpeech, TtsOptions};

/// A new connection must be there within this time.
const REOPEN_MAX: Duration = Duration::from_secs(2);

/// A connection that takes longer than this to accept an order is broken; `speak` and `clear` are meant to be quick.
const SEND_MAX: Duration = Duration::from_secs(1);

/// While an utterance is owed, silence of the service beyond this breaks the connection, unless there is speech left to be heard: a client
/// may time by that what it asks for. Clients have shorter time-outs of their own; this one bounds a client that has none.
const STALL_MAX: Duration = Duration::from_secs(10);

/// What the session orders.
#[derive(Debug)]
pub(crate) enum SpeechOrder {
    /// Speak; the utterance is queued in the playout already.
    Speak {
        /// Names the utterance.
        utterance: UtteranceId,
        /// The reply it belongs to.
        reply: ReplyId,
        /// What to say.
        text: String,
        /// Whether every caller is told the same: it may be kept for the next.
        is_greeting: bool,
    },
    /// Speak and keep aside; a `Speak` of the same text takes it over. Left undone while something else is to be spoken.
    Ahead {
        /// What may be said.
        text: String,
    },
    /// Nothing is wanted of what was spoken ahead.
    DropAhead,
    /// Speak with this voice from the next utterance on; what was ordered before is spoken to its end with the voice before.
    Voice(Option<String>),
    /// Drop everything of that reply and earlier ones; the playout was flushed already.
    Flush {
        /// The youngest reply to drop.
        reply: ReplyId,
    },
}

/// What the task reports.
#[derive(Debug)]
pub(crate) enum SpeechReport {
    /// The first samples of an utterance came.
    Started(UtteranceId),
    /// All of an utterance is in the playout.
    Done {
        /// Which utterance.
        utterance: UtteranceId,
        /// How long it is.
        duration: Duration,
        /// Where its words end, if the service says so.
        words: Vec<SpokenWord>,
    },
    /// An utterance could not be spoken, or only in part.
    Failed(UtteranceId, ProviderError),
    /// The connection was lost for this reason and opened anew.
    Reconnected(ProviderError),
}

struct Pending {
    utterance: UtteranceId,
    reply: ReplyId,
    text: String,
    began: bool,
    tried_again: bool,
    /// What has come, if it is to be kept.
    taken: Option<Taken>,
}

impl Pending {
    /// It is to be spoken anew.
    fn restart(&mut self) {
        self.began = false;
        self.taken = self.taken.is_some().then(Taken::default);
    }
}

/// The task that owns the synthesiser's connection.
pub(crate) struct Speech {
    service: Arc<dyn TextToSpeech>,
    options: TtsOptions,
    stream: Option<Box<dyn SpeechStream>>,
    greetings: Greetings,
    playout: Playout,
    orders: mpsc::Receiver<SpeechOrder>,
    reports: mpsc::Sender<SpeechReport>,
    stop: CancellationToken,
    pending: VecDeque<Pending>,
    /// While it is unfinished, nothing is pending.
    ahead: Option<Ahead>,
    /// The voice that is to come, and what is to be spoken with it.
    next_voice: Option<(Option<String>, VecDeque<Pending>)>,
    stalls_at: Instant,
}

enum Step {
    Stop,
    Order(Option<SpeechOrder>),
    Event(Result<Option<SpeechEvent>, ProviderError>),
    Stalled,
}

impl Speech {
    /// A task around a connection that is open.
    #[must_use]
    pub(crate) fn new(
        (service, options, greetings): (Arc<dyn TextToSpeech>, TtsOptions, Greetings),
        stream: Box<dyn SpeechStream>,
        playout: Playout,
        orders: mpsc::Receiver<SpeechOrder>,
        reports: mpsc::Sender<SpeechReport>,
        stop: CancellationToken,
    ) -> Self {
        let (stream, pending, stalls_at) = (Some(stream), VecDeque::new(), Instant::now());
        Self { service, options, stream, greetings, playout, orders, reports, stop, pending, ahead: None, next_voice: None, stalls_at }
    }

    /// Runs until stopped, then closes the connection.
    pub(crate) async fn run(mut self) {
        loop {
            let owed = !self.pending.is_empty() && self.stream.is_some();
            // While the playout is full nothing is read, so the service is held back by its own transport.
            let room = self.playout.has_room();
            let step = tokio::select! {
                biased;
                () = self.stop.cancelled() => Step::Stop,
                order = self.orders.recv() => Step::Order(order),
                event = next_event(&mut self.stream), if room => Step::Event(event),
                () = self.playout.room(), if !room => {
                    self.stalls_at = Instant::now() + STALL_MAX;
                    continue;
                }
                () = sleep_until(self.stalls_at), if owed && room => match self.playout.left() {
                    Duration::ZERO => Step::Stalled,
                    left => {
                        self.stalls_at = Instant::now() + left + STALL_MAX;
                        continue;
                    }
                },
            };
            match step {
                Step::Stop | Step::Order(None) => break,
                Step::Order(Some(SpeechOrder::Speak { utterance, reply, text, is_greeting })) => {
                    if is_greeting && self.greet(utterance, &text).await {
                        continue;
                    }
                    let taken = (is_greeting && self.greetings.wants(&self.options, &text)).then(Taken::default);
                    let pending = Pending { utterance, reply, text, began: false, tried_again: false, taken };
                    if let Some(ahead) = self.take_ahead(&pending).await {
                        self.adopt(pending, ahead).await;
                    } else if let Some((_, held)) = &mut self.next_voice {
                        held.push_back(pending);
                    } else {
                        self.pending.push_back(pending);
                        self.speak_last().await;
                    }
                }
                Step::Order(Some(SpeechOrder::Ahead { text })) => self.speak_ahead(text).await,
                Step::Order(Some(SpeechOrder::DropAhead)) => self.drop_ahead().await,
                Step::Order(Some(SpeechOrder::Voice(voice))) => {
                    self.drop_ahead().await;
                    let held = self.next_voice.take().map(|(_, held)| held).unwrap_or_default();
                    self.next_voice = Some((voice, held));
                }
                Step::Order(Some(SpeechOrder::Flush { reply })) => self.flush(reply).await,
                Step::Event(Ok(Some(event))) => self.take(event).await,
                Step::Event(Ok(None)) => self.lost(self.broken("the connection ended by itself")).await,
                Step::Event(Err(error)) => self.lost(error).await,
                Step::Stalled => {
                    let limit_ms = STALL_MAX.as_millis() as u64;
                    self.lost(ProviderError::Timeout { provider: self.service.name(), stage: "further data", limit_ms }).await;
                }
            }
            self.change_voice().await;
        }
        if let Some(mut stream) = self.stream.take() {
            // A connection that does not close within its own bound is dropped, which closes it less politely.
            let _ = timeout(SEND_MAX, stream.close()).await;
        }
    }

    /// Changes the voice once nothing is left to be spoken with the one before: a connection has one voice.
    async fn change_voice(&mut self) {
        if !self.pending.is_empty() {
            return;
        }
        let Some((voice, held)) = self.next_voice.take() else { return };
        self.options.voice = voice;
        if let Some(mut stream) = self.stream.take() {
            let _ = timeout(SEND_MAX, stream.close()).await;
        }
        self.pending = held;
        if let Err(error) = self.open().await {
            self.give_up(&error).await;
        }
    }

    fn broken(&self, reason: &str) -> ProviderError {
        ProviderError::Broken { provider: self.service.name(), reason: reason.into() }
    }

    /// Sends the youngest utterance to the service, over a new connection if the last one was lost while idle.
    async fn speak_last(&mut self) {
        if self.stream.is_none() {
            match self.open().await {
                // Opening speaks all that is pending.
                Ok(()) => self.stalls_at = Instant::now() + STALL_MAX,
                Err(error) => self.give_up(&error).await,
            }
            return;
        }
        if self.pending.len() == 1 {
            self.stalls_at = Instant::now() + STALL_MAX;
        }
        let Some((text, stream)) = self.pending.back().map(|last| &last.text).zip(self.stream.as_mut()) else { return };
        if let Err(error) = bounded(self.service.name(), stream.speak(text)).await {
            self.lost(error).await;
        }
    }

    /// Says a greeting that was kept, if this one was.
    async fn greet(&mut self, utterance: UtteranceId, text: &str) -> bool {
        let Some(kept) = self.greetings.get(&self.options, text) else { return false };
        if self.playout.push(utterance, &kept.samples) {
            self.report(SpeechReport::Started(utterance)).await;
        }
        if let Some(duration) = self.playout.complete(utterance) {
            self.report(SpeechReport::Done { utterance, duration, words: kept.words.clone() }).await;
        }
        true
    }

    async fn take(&mut self, event: SpeechEvent) {
        self.stalls_at = Instant::now() + STALL_MAX;
        let Some(event) = self.keep_ahead(event).await else { return };
        // Nothing is owed: a late event of something that was cleared.
        let Some(front) = self.pending.front_mut() else { return };
        let utterance = front.utterance;
        match event {
            SpeechEvent::Audio(samples) => {
                front.taken = front.taken.take().and_then(|taken| taken.with(&samples, &self.options));
                let known = self.playout.push(utterance, &samples);
                if known && !front.began {
                    front.began = true;
                    self.report(SpeechReport::Started(utterance)).await;
                }
            }
            SpeechEvent::Finished { words } => {
                let spoken = self.pending.pop_front();
                let is_asked = self.stream.as_ref().and_then(|stream| stream.provider()).is_none_or(|name| name == self.service.name());
                if let Some((text, taken)) = spoken.filter(|_| is_asked).and_then(|it| Some((it.text, it.taken?))) {
                    self.greetings.put(&self.options, &text, taken.complete(words.clone()));
                }
                if let Some(duration) = self.playout.complete(utterance) {
                    self.report(SpeechReport::Done { utterance, duration, words }).await;
                }
            }
        }
    }

    async fn flush(&mut self, reply: ReplyId) {
        self.drop_ahead().await;
        if let Some((_, held)) = &mut self.next_voice {
            held.retain(|pending| pending.reply > reply);
        }
        let before = self.pending.len();
        self.pending.retain(|pending| pending.reply > reply);
        if self.pending.len() == before {
            // All of it was synthesised already; services limit how often they may be cleared.
            if let Some(stream) = &mut self.stream {
                stream.cut_off();
            }
            return;
        }
        let Some(stream) = self.stream.as_mut() else { return };
        if let Err(error) = bounded(self.service.name(), stream.clear()).await {
            self.lost(error).await;
            return;
        }
        // What was queued for younger replies was cleared with the rest and is asked for again.
        for pending in &mut self.pending {
            if !self.playout.restart(pending.utterance) {
                continue;
            }
            pending.restart();
            if let Err(error) = bounded(self.service.name(), stream.speak(&pending.text)).await {
                self.lost(error).await;
                return;
            }
        }
    }

    /// Settles the utterance in progress and opens a new connection for the others.
    async fn lost(&mut self, error: ProviderError) {
        self.stream = None;
        self.ahead = None;
        tracing::warn!(provider = self.service.name(), kind = error.kind(), "text-to-speech was lost");
        if let Some(front) = self.pending.front_mut() {
            let again = error.is_retryable() && !front.tried_again && self.playout.restart(front.utterance);
            if again {
                front.tried_again = true;
                front.restart();
            } else {
                self.fail_front(&error).await;
            }
        }
        // Utterances behind the lost one restart too: whatever came of them belongs to the lost connection.
        if !error.is_retryable() {
            self.give_up(&error).await;
            return;
        }
        match self.open().await {
            Ok(()) => self.report(SpeechReport::Reconnected(error)).await,
            Err(error) => self.give_up(&error).await,
        }
    }

    /// Opens a connection and speaks all that is pending.
    async fn open(&mut self) -> Result<(), ProviderError> {
        let provider = self.service.name();
        let late = ProviderError::Timeout { provider, stage: "connection", limit_ms: REOPEN_MAX.as_millis() as u64 };
        let opening = timeout(REOPEN_MAX, self.service.open(self.options.clone()));
        let mut stream = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err(late),
            opened = opening => opened.unwrap_or(Err(late))?,
        };
        for pending in &self.pending {
            bounded(provider, stream.speak(&pending.text)).await?;
        }
        self.stalls_at = Instant::now() + STALL_MAX;
        self.stream = Some(stream);
        Ok(())
    }

    async fn fail_front(&mut self, error: &ProviderError) {
        let Some(front) = self.pending.pop_front() else { return };
        if self.playout.restart(front.utterance) {
            // The conversation may ask for it anew: nothing of this attempt must play.
            self.playout.discard(front.utterance);
        } else {
            // What came of it is played to its end.
            self.playout.complete(front.utterance);
        }
        self.report(SpeechReport::Failed(front.utterance, error.clone())).await;
    }

    async fn give_up(&mut self, error: &ProviderError) {
        while !self.pending.is_empty() {
            self.fail_front(error).await;
        }
    }

    async fn report(&mut self, report: SpeechReport) {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {}
            _ = self.reports.send(report) => {}
        }
    }
}

async fn bounded(provider: &'static str, sending: impl Future<Output = Result<(), ProviderError>>) -> Result<(), ProviderError> {
    let limit_ms = SEND_MAX.as_millis() as u64;
    timeout(SEND_MAX, sending).await.unwrap_or(Err(ProviderError::Timeout { provider, stage: "acceptance of text", limit_ms }))
}

async fn next_event(stream: &mut Option<Box<dyn SpeechStream>>) -> Result<Option<SpeechEvent>, ProviderError> {
    match stream {
        Some(stream) => stream.next_event().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
