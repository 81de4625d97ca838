//! What is in the next frame, and how much of each utterance was heard. No clock, no lock, no I/O.

use std::collections::VecDeque;
use std::time::Duration;

use frontdesk_audio::SampleRate;
use frontdesk_conversation::{PlayedPos, ReplyId, UtteranceId};

/// Bounds of a call's playout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlayoutLimits {
    /// How much speech is buffered at most; whoever synthesises waits when it is full. One chunk may exceed it.
    pub buffer: Duration,
    /// An utterance starts (and goes on after it ran dry) once this much of it is there, or all of it.
    pub prebuffer: Duration,
    /// How often the position is reported while an utterance plays.
    pub position_every: Duration,
}

impl Default for PlayoutLimits {
    fn default() -> Self {
        Self { buffer: Duration::from_secs(30), prebuffer: Duration::from_millis(60), position_every: Duration::from_millis(200) }
    }
}

/// What happened to an utterance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlayoutEvent {
    /// Its first sample left the pacer.
    Started(UtteranceId),
    /// How much of it was played.
    Position(UtteranceId, PlayedPos),
    /// Its last sample left and the sink's latency has passed.
    Finished(UtteranceId),
}

/// An utterance on its way.
#[derive(Debug)]
struct Item {
    utterance: UtteranceId,
    reply: ReplyId,
    /// PCM that has not left yet.
    pcm: VecDeque<i16>,
    /// Whether all of its PCM came.
    complete: bool,
    /// Whether it plays: its prebuffer was filled and it has not run dry since.
    flowing: bool,
    /// Samples that came.
    received: u64,
    /// Where its samples went in the outgoing stream, oldest first.
    spans: Vec<Span>,
    /// Position in the outgoing stream after its last sample, once all left.
    end: Option<u64>,
}

/// A stretch of an utterance in the outgoing stream.
#[derive(Debug, Clone, Copy)]
struct Span {
    at: u64,
    len: u64,
}

impl Item {
    fn played(&self, heard: u64) -> u64 {
        self.spans.iter().map(|span| heard.saturating_sub(span.at).min(span.len)).sum()
    }

    fn started(&self) -> bool {
        !self.spans.is_empty()
    }

    fn note(&mut self, at: u64, len: u64) {
        match self.spans.last_mut() {
            Some(last) if last.at + last.len == at => last.len += len,
            _ => self.spans.push(Span { at, len }),
        }
    }
}

/// The utterances of one call in order, and the outgoing stream's position.
#[derive(Debug)]
pub(super) struct Queue {
    rate: SampleRate,
    items: VecDeque<Item>,
    events: VecDeque<PlayoutEvent>,
    paused: bool,
    /// Samples written to the sink, silence included: the position in the outgoing stream.
    written: u64,
    latency: u64,
    buffered: u64,
    buffer_max: u64,
    prebuffer: usize,
    position_every: u64,
    position_due: u64,
    underruns: u32,
}

impl Queue {
    pub(super) fn new(rate: SampleRate, limits: PlayoutLimits) -> Self {
        Self {
            rate,
            items: VecDeque::new(),
            events: VecDeque::new(),
            paused: false,
            written: 0,
            latency: 0,
            buffered: 0,
            buffer_max: rate.samples_in(limits.buffer) as u64,
            prebuffer: rate.samples_in(limits.prebuffer),
            position_every: rate.samples_in(limits.position_every) as u64,
            position_due: 0,
            underruns: 0,
        }
    }

    pub(super) fn enqueue(&mut self, utterance: UtteranceId, reply: ReplyId) {
        let pcm = VecDeque::new();
        self.items.push_back(Item { utterance, reply, pcm, complete: false, flowing: false, received: 0, spans: Vec::new(), end: None });
    }

    fn item(&mut self, utterance: UtteranceId) -> Option<&mut Item> {
        self.items.iter_mut().find(|item| item.utterance == utterance)
    }

    pub(super) fn push(&mut self, utterance: UtteranceId, samples: &[i16]) -> bool {
        let Some(item) = self.item(utterance).filter(|item| !item.complete) else { return false };
        item.pcm.extend(samples);
        item.received += samples.len() as u64;
        self.buffered += samples.len() as u64;
        true
    }

    pub(super) fn complete(&mut self, utterance: UtteranceId) -> Option<Duration> {
        let rate = self.rate;
        let item = self.item(utterance)?;
        item.complete = true;
        Some(rate.duration(usize::try_from(item.received).unwrap_or(usize::MAX)))
    }

    pub(super) fn restart(&mut self, utterance: UtteranceId) -> bool {
        let Some(item) = self.item(utterance).filter(|item| !item.started() && item.end.is_none()) else { return false };
        let dropped = item.pcm.len() as u64;
        item.pcm.clear();
        item.received = 0;
        item.complete = false;
        item.flowing = false;
        self.buffered -= dropped;
        true
    }

    pub(super) fn discard(&mut self, utterance: UtteranceId) {
        self.remove(|item| item.utterance == utterance);
    }

    fn remove(&mut self, dead: impl Fn(&Item) -> bool) {
        let mut dropped = 0;
        let mut gone = Vec::new();
        self.items.retain(|item| {
            if dead(item) {
                dropped += item.pcm.len() as u64;
                gone.push(item.utterance);
            }
            !dead(item)
        });
        self.buffered -= dropped;
        self.events.retain(|event| {
            let (PlayoutEvent::Started(utterance) | PlayoutEvent::Position(utterance, _) | PlayoutEvent::Finished(utterance)) = event;
            !gone.contains(utterance)
        });
    }

    pub(super) fn pause(&mut self) {
        self.paused = true;
    }

    pub(super) fn resume(&mut self) {
        self.paused = false;
    }

    pub(super) fn flush(&mut self, reply: ReplyId) -> Option<(UtteranceId, PlayedPos)> {
        let heard = self.heard();
        let rate_hz = self.rate.hz();
        let cut = self.items.iter().find(|item| item.reply <= reply && item.started() && item.end.is_none_or(|end| end > heard));
        let cut = cut.map(|item| (item.utterance, PlayedPos { samples: item.played(heard), rate_hz }));
        self.remove(|item| item.reply <= reply);
        self.paused = false;
        cut
    }

    pub(super) const fn has_room(&self) -> bool {
        self.buffered < self.buffer_max
    }

    pub(super) fn left(&self) -> Duration {
        self.rate.duration(usize::try_from(self.buffered).unwrap_or(usize::MAX))
    }

    pub(super) fn set_latency(&mut self, latency: Duration) {
        self.latency = self.rate.samples_in(latency) as u64;
    }

    pub(super) const fn underruns(&self) -> u32 {
        self.underruns
    }

    pub(super) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    pub(super) fn next_event(&mut self) -> Option<PlayoutEvent> {
        self.events.pop_front()
    }

    /// Position in the outgoing stream that the caller has heard.
    const fn heard(&self) -> u64 {
        self.written.saturating_sub(self.latency)
    }

    /// Fills the next frame; `true` when it holds speech.
    ///
    /// Called once every frame time, so what was written before has left by now: ends are judged by that.
    pub(super) fn fill(&mut self, frame: &mut [i16]) -> bool {
        self.report_progress();
        let mut filled = 0;
        if !self.paused {
            while filled < frame.len() {
                let Some(index) = self.items.iter().position(|item| item.end.is_none()) else { break };
                let taken = self.take(index, &mut frame[filled..], filled as u64);
                filled += taken;
                if self.items[index].end.is_none() {
                    break;
                }
            }
        }
        frame[filled..].fill(0);
        self.written += frame.len() as u64;
        self.buffered -= filled as u64;
        filled > 0
    }

    /// Moves PCM of one item into `out`, which begins `offset` samples after the written position.
    ///
    /// Of an incomplete utterance only whole remainders of a frame are taken: when it runs dry the gap lies between two frames, and
    /// nothing of a frame is ever repeated or lost.
    fn take(&mut self, index: usize, out: &mut [i16], offset: u64) -> usize {
        let at = self.written + offset;
        let item = &mut self.items[index];
        if !item.flowing {
            if !item.complete && item.pcm.len() < self.prebuffer.max(out.len()) {
                return 0;
            }
            item.flowing = true;
        }
        if item.pcm.len() < out.len() && !item.complete {
            item.flowing = false;
            if item.started() {
                self.underruns = self.underruns.saturating_add(1);
            }
            return 0;
        }
        let count = out.len().min(item.pcm.len());
        for (slot, sample) in out.iter_mut().zip(item.pcm.drain(..count)) {
            *slot = sample;
        }
        if count > 0 {
            if !item.started() {
                self.events.push_back(PlayoutEvent::Started(item.utterance));
                self.position_due = at + self.position_every;
            }
            item.note(at, count as u64);
        }
        if item.complete && item.pcm.is_empty() {
            item.end = Some(at + count as u64);
        }
        count
    }

    fn report_progress(&mut self) {
        let heard = self.heard();
        while let Some(item) = self.items.front().filter(|item| item.end.is_some_and(|end| end <= heard)) {
            self.events.push_back(PlayoutEvent::Finished(item.utterance));
            self.items.pop_front();
        }
        if self.paused || self.written < self.position_due {
            return;
        }
        let rate_hz = self.rate.hz();
        if let Some(item) = self.items.front().filter(|item| item.started()) {
            let position = PlayoutEvent::Position(item.utterance, PlayedPos { samples: item.played(heard), rate_hz });
            let utterance = item.utterance;
            // Only the newest position counts: a slow reader never finds a backlog.
            self.events.retain(|event| !matches!(event, PlayoutEvent::Position(old, _) if *old == utterance));
            self.events.push_back(position);
            self.position_due = self.written + self.position_every;
        }
    }
}
