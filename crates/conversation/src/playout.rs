//! What is being synthesised and played, and how far.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{ReplyId, UtteranceId};
use crate::input::SpokenWord;
use crate::time::CallTime;
use crate::utterance::{Flushing, Playback, Role, Utterance};

/// The speech of the reply at work, and of the one just flushed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Playout {
    pub(crate) utterances: Vec<Utterance>,
    pub(crate) flushing: Option<Flushing>,
    /// Since when playback is held.
    pub(crate) paused_at: Option<CallTime>,
    /// When the agent was last heard.
    pub(crate) last_audio: CallTime,
}

impl Playout {
    /// An utterance of the reply at work or of the one being flushed.
    pub(crate) fn get_mut(&mut self, id: UtteranceId) -> Option<&mut Utterance> {
        let flushed = self.flushing.iter_mut().flat_map(|flushing| flushing.utterances.iter_mut());
        self.utterances.iter_mut().chain(flushed).find(|utterance| utterance.id == id)
    }

    /// What is being played, or comes next.
    pub(crate) fn present(&self) -> Option<&Utterance> {
        let playing = self.utterances.iter().find(|utterance| utterance.playback == Playback::Playing);
        playing.or_else(|| self.utterances.iter().find(|utterance| utterance.is_open()))
    }

    /// Whether something is being played or may still be.
    pub(crate) fn is_open(&self) -> bool {
        self.utterances.iter().any(Utterance::is_open)
    }

    /// Whether something has begun and not ended, held or not.
    pub(crate) fn is_playing(&self) -> bool {
        self.utterances.iter().any(|utterance| utterance.playback == Playback::Playing)
    }

    /// Whether the agent can be heard now.
    pub(crate) fn is_audible(&self) -> bool {
        self.paused_at.is_none() && self.is_playing()
    }

    /// Whether the next utterance is there to follow the one that ended.
    pub(crate) fn is_between(&self) -> bool {
        let next = self.utterances.iter().find(|utterance| utterance.is_open());
        let begun = self.utterances.iter().any(|utterance| utterance.started_at.is_some());
        self.paused_at.is_none() && begun && next.is_some_and(|next| next.playback == Playback::Queued && next.synthesised)
    }

    /// The first byte of an utterance's speech is there.
    pub(crate) fn synthesis_started(&mut self, id: UtteranceId) {
        if let Some(utterance) = self.get_mut(id) {
            utterance.synthesised = true;
        }
    }

    /// All of an utterance's speech is there.
    pub(crate) fn synthesis_done(&mut self, id: UtteranceId, duration: Duration, words: Vec<SpokenWord>) {
        if let Some(utterance) = self.get_mut(id) {
            utterance.synthesised = true;
            utterance.duration = Some(duration);
            utterance.words = words;
        }
    }

    /// The synthesiser failed. What plays already ends early; what has not begun may be tried again.
    pub(crate) fn synthesis_failed(&mut self, id: UtteranceId, retryable: bool) {
        let Some(utterance) = self.get_mut(id) else { return };
        match utterance.playback {
            Playback::Playing => utterance.partial = true,
            Playback::Queued => utterance.playback = if retryable { Playback::Failed } else { Playback::Dropped },
            Playback::Failed | Playback::Finished | Playback::Dropped => {}
        }
    }

    /// An utterance began to play. Whatever stands before it has ended or failed for good.
    pub(crate) fn started(&mut self, id: UtteranceId, now: CallTime) -> bool {
        if !self.utterances.iter().any(|utterance| utterance.id == id && utterance.started_at.is_none() && utterance.is_open()) {
            return false;
        }
        for utterance in self.utterances.iter_mut().take_while(|utterance| utterance.id != id) {
            match utterance.playback {
                Playback::Playing => {
                    utterance.playback = Playback::Finished;
                    utterance.ended_at = Some(now);
                }
                Playback::Queued | Playback::Failed => utterance.playback = Playback::Dropped,
                Playback::Finished | Playback::Dropped => {}
            }
        }
        if let Some(utterance) = self.get_mut(id) {
            utterance.playback = Playback::Playing;
            utterance.started_at = Some(now);
            utterance.position_at = now;
        }
        self.last_audio = now;
        true
    }

    /// How far an utterance has been played.
    pub(crate) fn position(&mut self, id: UtteranceId, played: Duration, now: CallTime) {
        let Some(utterance) = self.get_mut(id) else { return };
        if utterance.playback == Playback::Playing && played >= utterance.position {
            utterance.position = played;
            utterance.position_at = now;
        }
    }

    /// The last sample of an utterance was played; gives its role if it was heard whole.
    pub(crate) fn finished(&mut self, id: UtteranceId, now: CallTime) -> Option<Role> {
        let is_current = self.utterances.iter().any(|utterance| utterance.id == id);
        let utterance = self.get_mut(id)?;
        if !matches!(utterance.playback, Playback::Playing | Playback::Queued | Playback::Finished) {
            return None;
        }
        utterance.started_at.get_or_insert(now);
        utterance.ended_at.get_or_insert(now);
        if utterance.partial {
            utterance.position = utterance.position_at(now);
        }
        utterance.playback = Playback::Finished;
        let role = (!utterance.partial).then(|| utterance.role.clone());
        if is_current {
            self.last_audio = now;
        }
        role
    }

    /// Ends what must have ended long ago; whether anything did.
    pub(crate) fn end_overdue(&mut self, now: CallTime) -> bool {
        if self.overdue_at().is_none_or(|at| at > now) {
            return false;
        }
        for utterance in self.utterances.iter_mut().filter(|utterance| utterance.playback == Playback::Playing) {
            utterance.playback = Playback::Finished;
            utterance.ended_at = Some(now);
        }
        self.last_audio = now;
        true
    }

    /// When the playing utterance must have ended.
    pub(crate) fn overdue_at(&self) -> Option<CallTime> {
        if self.paused_at.is_some() {
            return None;
        }
        self.utterances.iter().filter(|utterance| utterance.playback == Playback::Playing).map(Utterance::overdue_at).min()
    }

    /// When the next utterance is given up because nothing of it came; `None` while something plays or playback is held.
    pub(crate) fn stalled_at(&self, patience: Duration) -> Option<CallTime> {
        if self.paused_at.is_some() || self.is_playing() {
            return None;
        }
        let next = self.utterances.iter().find(|utterance| utterance.playback == Playback::Queued)?;
        Some(next.asked_at.max(self.last_audio) + patience)
    }

    /// Takes the failed utterances for a second attempt once nothing else is to come before or after them.
    pub(crate) fn take_retries(&mut self) -> Vec<Utterance> {
        let waiting = self.utterances.iter().any(|utterance| matches!(utterance.playback, Playback::Queued | Playback::Playing));
        if waiting {
            return Vec::new();
        }
        let failed = self.utterances.iter_mut().filter(|utterance| utterance.playback == Playback::Failed);
        failed
            .filter_map(|utterance| {
                utterance.playback = Playback::Dropped;
                (!utterance.is_retry).then(|| utterance.clone())
            })
            .collect()
    }

    /// Whether the last words, which hand over the floor, were never heard.
    pub(crate) fn end_was_lost(&self) -> bool {
        self.utterances.last().is_some_and(|utterance| utterance.playback == Playback::Dropped)
    }

    /// Playback is held.
    pub(crate) fn pause(&mut self, now: CallTime) {
        for utterance in self.utterances.iter_mut().filter(|utterance| utterance.playback == Playback::Playing) {
            utterance.position = utterance.position_at(now);
            utterance.position_at = now;
        }
        self.paused_at = Some(now);
    }

    /// Playback goes on; the times of waiting count anew.
    pub(crate) fn resume(&mut self, now: CallTime) {
        self.paused_at = None;
        self.last_audio = now;
        for utterance in self.utterances.iter_mut().filter(|utterance| utterance.playback == Playback::Playing) {
            utterance.position_at = now;
        }
    }

    /// Everything of the reply is given up; waits for the transport's word on what was played.
    pub(crate) fn flush(&mut self, reply: ReplyId, now: CallTime, timeout: Duration) {
        let asked_at = self.paused_at.unwrap_or(now);
        let utterances = std::mem::take(&mut self.utterances);
        self.flushing = Some(Flushing { reply, asked_at, deadline: now + timeout, utterances });
        self.last_audio = now;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Playout;
    use crate::ids::{ReplyId, UtteranceId};
    use crate::time::{CallTime, PlayedPos};
    use crate::utterance::{Flushing, Playback, Role, Utterance};

    const fn ms(ms: u64) -> CallTime {
        CallTime::from_millis(ms)
    }

    fn playout(texts: &[&str]) -> Playout {
        let utterances = texts.iter().zip(1..).map(|(text, id)| {
            let mut utterance = Utterance::new(UtteranceId(id), 1, Role::Said, (*text).into(), ms(0));
            utterance.duration = Some(Duration::from_secs(1));
            utterance
        });
        Playout { utterances: utterances.collect(), ..Playout::default() }
    }

    fn heard(flushing: &Flushing) -> Vec<String> {
        flushing.utterances.iter().map(Utterance::heard).collect()
    }

    #[test]
    fn a_flush_keeps_what_was_played() {
        let mut playout = playout(&["One two three.", "Four five six.", "Seven."]);
        assert!(playout.started(UtteranceId(1), ms(0)));
        assert!(playout.started(UtteranceId(2), ms(1000)), "the first one's end was lost");
        playout.flush(ReplyId(1), ms(1500), Duration::from_millis(100));
        let mut flushing = playout.flushing.take().unwrap();
        let mut estimated = flushing.clone();
        flushing.settle(Some(Some((UtteranceId(2), PlayedPos { samples: 4000, rate_hz: 8000 }))), ms(1520));
        assert_eq!(heard(&flushing), ["One two three.", "Four", ""]);
        estimated.settle(None, ms(1600));
        assert_eq!(heard(&estimated), ["One two three.", "Four", ""]);
    }

    #[test]
    fn lost_events_do_not_hang_playback() {
        let mut playout = playout(&["One.", "Two."]);
        playout.started(UtteranceId(1), ms(0));
        assert_eq!(playout.overdue_at(), Some(ms(2500)));
        assert!(!playout.end_overdue(ms(2499)));
        assert!(playout.end_overdue(ms(2500)));
        assert_eq!(playout.stalled_at(Duration::from_secs(4)), Some(ms(6500)));
    }

    #[test]
    fn a_failed_utterance_is_tried_again_only_in_order() {
        let mut playout = playout(&["One.", "Two."]);
        playout.synthesis_failed(UtteranceId(1), true);
        assert!(playout.take_retries().is_empty(), "the second may still come");
        playout.started(UtteranceId(2), ms(10));
        playout.finished(UtteranceId(2), ms(20));
        assert!(playout.take_retries().is_empty(), "too late for the first");
        assert_eq!(playout.utterances.first().unwrap().playback, Playback::Dropped);
    }

    #[test]
    fn a_pause_stops_the_clock() {
        let mut playout = playout(&["One two three four."]);
        playout.started(UtteranceId(1), ms(0));
        playout.pause(ms(500));
        assert_eq!(playout.overdue_at(), None);
        playout.resume(ms(2000));
        assert_eq!(playout.overdue_at(), Some(ms(4000)));
    }
}
