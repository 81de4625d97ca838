//! When the caller's turn has ended. All delays count from the last speech sample.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::Endpointing;
use crate::delay::{Pace, Signs, delay};
use crate::fields::FieldKind;
use crate::input::{HeardWord, Transcript};
use crate::time::CallTime;
use crate::wordless::UNHEARD_MIN;
use crate::words::{Heard, clipped, join};

/// Words of a turn that are kept with their times.
const TURN_WORDS_MAX: usize = 1000;
/// Final words that end this short before the last speech sample are all of it: the detector lags a little behind a voice that
/// dies away, and no word is as short as that.
const COVERED_WITHIN: Duration = Duration::from_millis(120);
/// So long the recogniser may take to answer, whatever else is waited for: it may have been connected anew when it was asked.
const ANSWER_MAX: Duration = Duration::from_millis(1500);
/// Speech of which the recogniser says that it held no words is forgotten this long after its end.
const NOISE_AFTER: Duration = Duration::from_millis(300);
/// How many final segments are remembered in order to drop those delivered twice.
const SEGMENTS_MAX: usize = 16;

/// What is known of the recogniser's answer to `FinalizeTranscript`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) enum Finalization {
    /// Not asked for.
    #[default]
    Idle,
    /// Asked for at that time.
    Requested(CallTime),
    /// Answered.
    Answered,
}

/// The turn that the caller is about to take.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CallerTurn {
    heard: Heard,
    /// Since when the detector hears speech, if it does.
    speaking: Option<CallTime>,
    /// Where the last stretch of speech began.
    segment_start: Option<CallTime>,
    /// Whether the detector heard speech since the turn before.
    spoke: bool,
    finalization: Finalization,
    signs: Signs,
    /// When the words last changed.
    changed_at: CallTime,
    /// The words are a backchannel that waits for the agent to finish.
    held: bool,
    recent: VecDeque<(CallTime, CallTime)>,
}

impl CallerTurn {
    /// Speech began with the sample heard `at`.
    pub(crate) fn speech_started(&mut self, at: CallTime, now: CallTime) {
        self.speaking.get_or_insert(at);
        self.segment_start = Some(at);
        self.heard.started.get_or_insert(at);
        self.spoke = true;
        self.finalization = Finalization::Idle;
        self.signs = Signs::default();
        self.changed_at = now;
    }

    /// The turn model's judgement of the speech that ended at `last_speech`; one of other speech is dropped.
    pub(crate) fn judged(&mut self, last_speech: CallTime, probability: f32) {
        if self.speaking.is_none() && self.heard.last_speech == Some(last_speech) && (0.0..=1.0).contains(&probability) {
            self.signs.probability = Some(probability);
        }
    }

    /// Whoever decides in the mode `manual` ends the turn.
    pub(crate) const fn end(&mut self) {
        self.signs.ended = true;
    }

    /// Speech ended with the sample heard at `last_speech`; whether the recogniser is to be asked for its final words.
    pub(crate) fn speech_ended(&mut self, last_speech: CallTime, now: CallTime) -> bool {
        let news = self.heard.last_speech.is_none_or(|before| last_speech > before);
        if self.speaking.is_none() && !news {
            return false;
        }
        let started = self.speaking.take().unwrap_or(last_speech);
        self.segment_start = Some(started);
        self.spoke = true;
        self.heard.started.get_or_insert(started);
        self.heard.last_speech = self.heard.last_speech.max(Some(last_speech.max(started)));
        self.heard.ended_at = Some(now);
        self.finalization = if self.is_covered() { Finalization::Answered } else { Finalization::Requested(now) };
        true
    }

    /// Whether the final words reach to the end of the speech: nothing more is to be expected of the recogniser.
    fn is_covered(&self) -> bool {
        let (Some(word), Some(last)) = (self.heard.words.last(), self.heard.last_speech) else { return false };
        self.heard.interim.is_empty() && word.end + COVERED_WITHIN >= last
    }

    /// Takes a transcript; `false` if it is a final segment that was delivered before.
    pub(crate) fn transcript(&mut self, transcript: &Transcript, now: CallTime) -> bool {
        if transcript.is_final && self.is_repeated(transcript) {
            return false;
        }
        let text = transcript.text.trim();
        if transcript.is_final {
            self.add_final(text, &transcript.words, now);
            let answers = transcript.from_finalize || self.is_covered();
            if answers && matches!(self.finalization, Finalization::Requested(_)) {
                self.finalization = Finalization::Answered;
            }
            self.signs.ends_turn = transcript.ends_turn;
        } else {
            self.heard.interim = clipped(text);
        }
        if !text.is_empty() {
            self.changed_at = now;
            self.held = false;
            if !self.spoke {
                // The detector missed it: the words themselves are all that is known of the speech.
                let first = transcript.words.first().map_or(now, |word| word.start.min(now));
                self.heard.started.get_or_insert(first);
                self.heard.last_speech = self.heard.last_speech.max(Some(now));
            }
        }
        true
    }

    fn add_final(&mut self, text: &str, words: &[HeardWord], now: CallTime) {
        self.heard.interim.clear();
        if text.is_empty() {
            return;
        }
        self.heard.finals = clipped(&join(&self.heard.finals, text));
        let room = TURN_WORDS_MAX.saturating_sub(self.heard.words.len());
        self.heard.words.extend(words.iter().take(room).cloned());
        self.heard.transcript_final = Some(now);
    }

    /// A final segment with the very times of an earlier one is the same segment again.
    fn is_repeated(&mut self, transcript: &Transcript) -> bool {
        let (Some(first), Some(last)) = (transcript.words.first(), transcript.words.last()) else { return false };
        let span = (first.start, last.end);
        if self.recent.contains(&span) {
            return true;
        }
        self.recent.push_back(span);
        if self.recent.len() > SEGMENTS_MAX {
            self.recent.pop_front();
        }
        false
    }

    /// Puts an earlier turn's words before these: the caller had not finished.
    pub(crate) fn prepend(&mut self, earlier: Heard) {
        let later = std::mem::take(&mut self.heard);
        let mut words = earlier.words;
        words.extend(later.words);
        words.truncate(TURN_WORDS_MAX);
        self.heard = Heard {
            finals: clipped(&join(&join(&earlier.finals, &earlier.interim), &later.finals)),
            interim: later.interim,
            words,
            started: earlier.started.or(later.started),
            last_speech: earlier.last_speech.max(later.last_speech),
            ended_at: earlier.ended_at.max(later.ended_at),
            transcript_final: earlier.transcript_final.max(later.transcript_final),
        };
    }

    /// Adds words that need no more waiting for (typed, keyed, or late from the recogniser).
    pub(crate) fn add_settled(&mut self, text: &str, words: &[HeardWord], now: CallTime) {
        self.add_final(text, words, now);
        self.heard.started.get_or_insert(now);
        self.heard.last_speech.get_or_insert(now);
        self.finalization = Finalization::Answered;
        self.signs.ended = true;
        self.held = false;
    }

    /// Takes the words of the turn that ended; speech that goes on belongs to the next.
    pub(crate) fn take(&mut self) -> Heard {
        let mut heard = std::mem::take(&mut self.heard);
        heard.finals = heard.finals.trim().to_string();
        self.clear();
        heard
    }

    /// Forgets the words, as after noise.
    pub(crate) fn clear(&mut self) {
        self.heard = Heard { started: self.speaking, ..Heard::default() };
        self.spoke = self.speaking.is_some();
        self.finalization = Finalization::Idle;
        self.signs = Signs::default();
        self.held = false;
    }

    /// A new worker hears with a new recogniser: interim words and running speech are gone.
    pub(crate) fn resume(&mut self, now: CallTime) {
        self.speaking = None;
        self.heard.interim.clear();
        if self.text().is_empty() {
            self.clear();
        } else {
            self.spoke = true;
            self.heard.last_speech.get_or_insert(now);
            self.finalization = Finalization::Answered;
        }
    }

    /// The backchannel waits until the agent has finished.
    pub(crate) fn hold(&mut self) {
        self.held = true;
    }

    /// Whether a backchannel waits.
    pub(crate) const fn is_held(&self) -> bool {
        self.held
    }

    /// Lets a held backchannel become a turn after all.
    pub(crate) fn unhold(&mut self) {
        self.held = false;
    }

    /// Everything recognised so far.
    pub(crate) fn text(&self) -> String {
        self.heard.text()
    }

    /// Whether there are words.
    pub(crate) fn has_text(&self) -> bool {
        !self.heard.finals.is_empty() || !self.heard.interim.is_empty()
    }

    /// Whether the detector hears speech.
    pub(crate) const fn is_speaking(&self) -> bool {
        self.speaking.is_some()
    }

    /// Whether the recogniser takes the words for all of it, though the detector has not heard silence for long enough yet.
    pub(crate) fn seems_over(&self) -> bool {
        self.signs.ends_turn && self.heard.interim.is_empty()
    }

    /// Since when the detector hears speech.
    pub(crate) const fn speaking_since(&self) -> Option<CallTime> {
        self.speaking
    }

    /// Whether the detector heard speech since the turn before.
    pub(crate) const fn spoke(&self) -> bool {
        self.spoke
    }

    /// The first sample of speech.
    pub(crate) const fn started(&self) -> Option<CallTime> {
        self.heard.started
    }

    /// The last sample of speech.
    pub(crate) const fn last_speech(&self) -> Option<CallTime> {
        self.heard.last_speech
    }

    /// Whether nothing of a turn is there.
    pub(crate) fn is_idle(&self) -> bool {
        !self.spoke && !self.has_text()
    }

    /// How long the last stretch of speech has lasted.
    pub(crate) fn spoken_for(&self, now: CallTime) -> Duration {
        match (self.speaking, self.segment_start, self.heard.last_speech) {
            (Some(since), _, _) => now.since(since),
            (None, Some(start), Some(last)) if self.spoke => last.since(start),
            _ => Duration::ZERO,
        }
    }

    /// The soonest end of the turn, by the delay that the present signs call for; `None` if nothing was said yet.
    pub(crate) fn due_at(&self, config: &Endpointing, pace: Pace, field: Option<FieldKind>) -> Option<CallTime> {
        self.heard.last_speech.map(|last| last + delay(config, self.signs, pace, field, &self.text()))
    }

    /// How long the speech of the turn was, its pauses included: who tells a number speaks in short stretches.
    pub(crate) fn span(&self) -> Duration {
        self.heard.started.zip(self.heard.last_speech).map_or(Duration::ZERO, |(started, last)| last.since(started))
    }

    /// When the turn ends if nothing more is heard; `None` while it cannot end.
    pub(crate) fn ready_at(&self, config: &Endpointing, pace: Pace, field: Option<FieldKind>) -> Option<CallTime> {
        if self.speaking.is_some() || self.held || !self.has_text() {
            return None;
        }
        let last = self.heard.last_speech?;
        let soonest = self.due_at(config, pace, field)?;
        let latest = soonest.max(last + config.max_delay);
        let interim = !self.heard.interim.is_empty();
        let settled = match self.finalization {
            Finalization::Requested(at) => at + config.finalize_timeout,
            // Interim words after the answer: the recogniser is still at work on something.
            Finalization::Answered if interim => self.changed_at + config.finalize_timeout,
            Finalization::Answered => soonest,
            Finalization::Idle if interim => latest,
            Finalization::Idle => soonest,
        };
        Some(settled.max(soonest).min(latest))
    }

    /// When speech without words counts as noise and is forgotten.
    pub(crate) fn forget_at(&self, config: &Endpointing) -> Option<CallTime> {
        if self.speaking.is_some() || !self.spoke || self.has_text() {
            return None;
        }
        let last = self.heard.last_speech?;
        Some(match self.finalization {
            Finalization::Answered => last + config.min_delay.min(NOISE_AFTER),
            Finalization::Requested(at) => (last + config.max_delay).max(at + ANSWER_MAX),
            Finalization::Idle => last + config.max_delay,
        })
    }

    /// The recogniser was connected anew, and is asked once more for what was said.
    pub(crate) fn asked_anew(&mut self, now: CallTime) {
        if matches!(self.finalization, Finalization::Requested(_)) {
            self.finalization = Finalization::Requested(now);
        }
    }

    /// Whether somebody spoke at length and the recogniser, when asked, gave no answer at all; or an empty one (`again`: it was in
    /// trouble just before, and what came anew may have missed the words).
    pub(crate) fn is_unanswered(&self, again: bool) -> bool {
        self.span() >= UNHEARD_MIN && !self.has_text() && (again || matches!(self.finalization, Finalization::Requested(_)))
    }

    /// When the detector is no longer believed: it hears speech, but no word has come for so long that it is noise.
    pub(crate) fn stuck_at(&self, config: &Endpointing) -> Option<CallTime> {
        self.speaking.map(|_| self.changed_at + config.max_delay.saturating_mul(2).max(Duration::from_secs(5)))
    }

    /// When the words last changed.
    pub(crate) const fn changed_at(&self) -> CallTime {
        self.changed_at
    }
}

#[cfg(test)]
mod tests;
