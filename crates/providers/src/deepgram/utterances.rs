//! The order book of one speech connection: what was asked for, what is being spoken, what may be asked next.
//!
//! Pure logic with `now` as an argument. While the flush budget is ample, every utterance is sent and flushed at once, which gives the
//! earliest first byte. When it runs low, utterances are joined: they wait while the listener still has audio to hear, and go out
//! together under one flush. Audio of joined utterances comes as one stretch; it is shared out by the length of their texts and the
//! speaking rate seen so far, so every utterance still gets its own `Finished`, at most about a word off.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::budget::FlushBudget;

/// At or below this many flushes left, utterances are joined.
const LOW_BUDGET: usize = 10;
/// With fewer flushes left than this, nothing is spoken that may never be wanted: they are for what is.
const AHEAD_BUDGET: usize = 5;
/// Joined utterances go out when the listener has less than this left to hear; synthesis needs part of it to begin.
const LEAD: Duration = Duration::from_millis(1_200);
/// Longest text of one `Speak` message, in characters (developers.deepgram.com, "Text Chunking").
const MAX_SPEAK_CHARS: usize = 2_000;
/// Most utterances waiting or in flight; a caller hears none of what lies further ahead.
const MAX_PENDING: usize = 256;
/// Speaking rate assumed before any was measured: about 15 characters a second.
const ASSUMED_MS_PER_CHAR: u32 = 65;

/// What the connection has to send.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order {
    Speak(String),
    Flush,
    Clear,
}

/// What the user of the stream gets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Audio(Vec<i16>),
    Finished,
}

/// What became of a request to speak.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Accepted {
    /// It will be finished in its turn.
    Queued,
    /// There is nothing to say, and nothing before it that must finish first: it is finished now.
    FinishedAtOnce,
    /// Too many wait; the request was dropped.
    Full,
}

/// Something to say.
#[derive(Debug)]
struct Utterance {
    text: String,
    /// Requests right after it in which there was nothing to say; they finish with it.
    mutes: usize,
}

/// Utterances under one flush.
#[derive(Debug)]
struct Batch {
    texts: VecDeque<Utterance>,
    /// Characters of all its texts, finished ones included.
    chars: usize,
    /// Samples that came so far.
    samples: u64,
    /// Samples at which the first text of `texts` is taken to end.
    boundary: u64,
    /// Whether its flush was sent; false again when the service refused it.
    flushed: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Utterances {
    hz: u32,
    budget: FlushBudget,
    /// From when on the budget has enough for speech that may never be wanted, in milliseconds.
    ahead_from_ms: Arc<AtomicU64>,
    waiting: VecDeque<Utterance>,
    in_flight: VecDeque<Batch>,
    /// `Clear` messages not answered yet; audio is dropped meanwhile.
    clearing: u32,
    /// When the listener will have heard everything that came, if it was played at once.
    heard_until: Duration,
    /// Totals of finished batches, for the speaking rate.
    spoken_chars: u64,
    spoken_samples: u64,
}

impl Utterances {
    pub(super) fn new(hz: u32) -> Self {
        Self {
            hz,
            budget: FlushBudget::default(),
            ahead_from_ms: Arc::default(),
            waiting: VecDeque::new(),
            in_flight: VecDeque::new(),
            clearing: 0,
            heard_until: Duration::ZERO,
            spoken_chars: 0,
            spoken_samples: 0,
        }
    }

    /// Tells from when on speech that may never be wanted can be asked for, in milliseconds of the caller's clock.
    pub(super) fn ahead_from_ms(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.ahead_from_ms)
    }

    /// Queues an utterance. A text without a letter or digit is never sent: the service may not answer a flush that it has nothing for.
    pub(super) fn speak(&mut self, text: String) -> Accepted {
        if !text.chars().any(char::is_alphanumeric) {
            let before = self.waiting.back_mut().or_else(|| self.in_flight.back_mut().and_then(|batch| batch.texts.back_mut()));
            return match before {
                Some(utterance) if utterance.mutes >= MAX_PENDING => Accepted::Full,
                Some(utterance) => {
                    utterance.mutes += 1;
                    Accepted::Queued
                }
                None => Accepted::FinishedAtOnce,
            };
        }
        let pending = self.waiting.len() + self.in_flight.iter().map(|batch| batch.texts.len()).sum::<usize>();
        if pending >= MAX_PENDING {
            return Accepted::Full;
        }
        self.waiting.push_back(Utterance { text, mutes: 0 });
        Accepted::Queued
    }

    /// Drops everything; returns what to send.
    pub(super) fn clear(&mut self, now: Duration) -> Vec<Order> {
        self.waiting.clear();
        self.cut_off(now);
        if self.in_flight.is_empty() {
            return Vec::new();
        }
        self.in_flight.clear();
        self.clearing += 1;
        vec![Order::Clear]
    }

    /// The listener hears nothing more of what came so far.
    pub(super) const fn cut_off(&mut self, now: Duration) {
        self.heard_until = now;
    }

    /// What may be sent now.
    pub(super) fn poll(&mut self, now: Duration) -> Vec<Order> {
        let mut orders = Vec::new();
        // A refused flush goes first: its text already lies in the service's buffer.
        if self.in_flight.back().is_some_and(|batch| !batch.flushed) {
            if self.budget.left(now) == 0 {
                return orders;
            }
            self.budget.spend(now);
            orders.push(Order::Flush);
            if let Some(batch) = self.in_flight.back_mut() {
                batch.flushed = true;
            }
        }
        while !self.waiting.is_empty() && self.may_flush(now) {
            let joined = self.budget.left(now) <= LOW_BUDGET;
            let count = if joined { self.waiting.len() } else { 1 };
            let texts: VecDeque<Utterance> = self.waiting.drain(..count).collect();
            for (index, utterance) in texts.iter().enumerate() {
                push_speak(&utterance.text, index + 1 < texts.len(), &mut orders);
            }
            orders.push(Order::Flush);
            self.budget.spend(now);
            let chars = texts.iter().map(weight).sum();
            let mut batch = Batch { chars, texts, samples: 0, boundary: 0, flushed: true };
            batch.boundary = self.expected_samples(&batch);
            self.in_flight.push_back(batch);
        }
        let ahead_from = self.budget.free_from(AHEAD_BUDGET).as_millis();
        self.ahead_from_ms.store(u64::try_from(ahead_from).unwrap_or(u64::MAX), Ordering::Relaxed);
        orders
    }

    fn may_flush(&mut self, now: Duration) -> bool {
        match self.budget.left(now) {
            0 => false,
            left if left > LOW_BUDGET => true,
            _ => self.in_flight.is_empty() && self.heard_until <= now + LEAD,
        }
    }

    /// When [`Self::poll`] may give more although nothing happened.
    pub(super) fn deadline(&mut self, now: Duration) -> Option<Duration> {
        let refused = self.in_flight.back().is_some_and(|batch| !batch.flushed);
        if self.waiting.is_empty() && !refused {
            return None;
        }
        if let Some(free) = self.budget.next_free(now) {
            return Some(free);
        }
        if self.in_flight.is_empty() || refused { Some(self.heard_until.saturating_sub(LEAD).max(now)) } else { None }
    }

    /// Takes audio that came and shares it out.
    pub(super) fn on_audio(&mut self, now: Duration, samples: &[i16]) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        if self.clearing > 0 || samples.is_empty() {
            return outcomes;
        }
        let heard = Duration::from_nanos(samples.len() as u64 * 1_000_000_000 / u64::from(self.hz.max(1)));
        self.heard_until = self.heard_until.max(now) + heard;
        // Audio without an order would be the tail of something that was cleared.
        let Some(mut batch) = self.in_flight.pop_front() else {
            return outcomes;
        };
        let mut rest = samples;
        while batch.texts.len() > 1 && batch.samples + rest.len() as u64 >= batch.boundary {
            let cut = usize::try_from(batch.boundary.saturating_sub(batch.samples)).unwrap_or(0).min(rest.len());
            let (head, tail) = rest.split_at(cut);
            if !head.is_empty() {
                outcomes.push(Outcome::Audio(head.to_vec()));
            }
            finish(batch.texts.pop_front(), &mut outcomes);
            batch.samples += cut as u64;
            batch.boundary = batch.samples + self.expected_samples(&batch);
            rest = tail;
        }
        batch.samples += rest.len() as u64;
        if !rest.is_empty() {
            outcomes.push(Outcome::Audio(rest.to_vec()));
        }
        self.in_flight.push_front(batch);
        outcomes
    }

    /// The service has spoken a whole batch.
    pub(super) fn on_flushed(&mut self) -> Vec<Outcome> {
        if self.clearing > 0 {
            return Vec::new();
        }
        let Some(batch) = self.in_flight.pop_front() else {
            return Vec::new();
        };
        self.spoken_chars += batch.chars as u64;
        self.spoken_samples += batch.samples;
        let mut outcomes = Vec::new();
        for utterance in batch.texts {
            finish(Some(utterance), &mut outcomes);
        }
        outcomes
    }

    /// The service has dropped what a `Clear` told it to.
    pub(super) fn on_cleared(&mut self) {
        self.clearing = self.clearing.saturating_sub(1);
    }

    /// The service refused a flush: its count is ahead of ours.
    pub(super) fn on_flush_refused(&mut self, now: Duration) {
        self.budget.exhaust(now);
        if let Some(batch) = self.in_flight.back_mut() {
            batch.flushed = false;
        }
    }

    /// Whether an answer is owed.
    pub(super) fn is_busy(&self) -> bool {
        self.clearing > 0 || self.in_flight.iter().any(|batch| batch.flushed)
    }

    /// Whether part of the oldest batch's audio came.
    pub(super) fn has_begun(&self) -> bool {
        self.in_flight.front().is_some_and(|batch| batch.samples > 0)
    }

    /// Starts anew on a fresh connection with all that was not spoken yet; call only while nothing of it was heard.
    pub(super) fn restart(&mut self) {
        let unspoken: Vec<Utterance> = self.in_flight.drain(..).flat_map(|batch| batch.texts).collect();
        for utterance in unspoken.into_iter().rev() {
            self.waiting.push_front(utterance);
        }
        self.clearing = 0;
        self.budget = FlushBudget::default();
    }

    /// Samples that the first text of a batch will take.
    fn expected_samples(&self, batch: &Batch) -> u64 {
        let chars = batch.texts.front().map_or(0, weight) as u64;
        if self.spoken_chars > 0 && self.spoken_samples > 0 {
            return chars * self.spoken_samples / self.spoken_chars;
        }
        chars * u64::from(self.hz) * u64::from(ASSUMED_MS_PER_CHAR) / 1_000
    }
}

/// Characters of a text, at least one.
fn weight(utterance: &Utterance) -> usize {
    utterance.text.chars().count().max(1)
}

/// An utterance and the mute ones after it are complete.
fn finish(utterance: Option<Utterance>, outcomes: &mut Vec<Outcome>) {
    let count = utterance.map_or(0, |utterance| 1 + utterance.mutes);
    outcomes.extend((0..count).map(|_| Outcome::Finished));
}

/// Sends a text in pieces that the service takes, cut between words where possible.
fn push_speak(text: &str, more: bool, orders: &mut Vec<Order>) {
    let mut piece = String::new();
    let mut length = 0;
    for word in text.split_inclusive(char::is_whitespace) {
        let word_length = word.chars().count();
        if length > 0 && length + word_length > MAX_SPEAK_CHARS {
            orders.push(Order::Speak(std::mem::take(&mut piece)));
            length = 0;
        }
        if word_length > MAX_SPEAK_CHARS {
            let chars: Vec<char> = word.chars().collect();
            orders.extend(chars.chunks(MAX_SPEAK_CHARS).map(|chunk| Order::Speak(chunk.iter().collect())));
            continue;
        }
        piece.push_str(word);
        length += word_length;
    }
    // Joined utterances need a gap between them.
    if more {
        piece.push(' ');
    }
    if !piece.is_empty() {
        orders.push(Order::Speak(piece));
    }
}

#[cfg(test)]
#[path = "utterances_tests.rs"]
mod tests;
