//! Barge-in: speech pauses the agent, words take the floor, a backchannel does neither for good.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backchannel::is_backchannel;
use crate::command::Command;
use crate::machine::{Conversation, Phase};
use crate::time::CallTime;

/// A backchannel that ended this short before the agent did answers it: "…shall I book it?" – "yes" over the last word.
pub(crate) const ANSWER_OVERLAP: Duration = Duration::from_millis(700);

/// What this stretch of the caller's speech has done to playback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Barge {
    /// It paused playback, but nothing came of it; it pauses no more.
    pub(crate) spent: bool,
}

impl Conversation {
    /// Whether the caller's words are but a sign of listening, in his language.
    pub(crate) fn is_backchannel(&self) -> bool {
        let config = &self.config.interruption;
        let phrases = config.backchannels.get(self.language());
        let short = self.state.caller.spoken_for(self.state.now) <= config.backchannel_max;
        short && phrases.is_some_and(|phrases| is_backchannel(&self.state.caller.text(), phrases, config.backchannel_words_max))
    }

    /// Whether what is being said, or comes next, is not to be cut off.
    pub(crate) fn is_protected(&self) -> bool {
        self.state.playout.present().is_some_and(|utterance| !utterance.is_interruptible)
    }

    fn has_interruptible_reply(&self) -> bool {
        self.state.reply.as_ref().is_some_and(|reply| reply.is_interruptible()) && !self.is_protected()
    }

    /// Whether the caller has said words, by voice, that ask for the floor.
    fn wants_floor(&self) -> bool {
        self.state.caller.spoke() && self.state.caller.has_text() && !self.is_backchannel()
    }

    /// When the caller's speech has certainly lasted long enough to pause the agent.
    pub(crate) fn pause_at(&self) -> Option<CallTime> {
        if self.state.barge.spent
            || self.state.playout.paused_at.is_some()
            || !self.state.playout.is_open()
            || !self.has_interruptible_reply()
        {
            return None;
        }
        let config = &self.config.interruption;
        self.state.caller.speaking_since().map(|since| since + config.min_duration + config.silence_detection)
    }

    /// Pauses or resumes playback and hands over the floor, as the caller's speech demands; whether anything happened.
    pub(crate) fn interruption_due(&mut self, now: CallTime) -> bool {
        if self.words_heard(now) {
            return true;
        }
        if self.pause_at().is_some_and(|at| at <= now) {
            // Words that ask for the floor would have taken it before.
            self.state.playout.pause(now);
            self.push(Command::Pause);
            return true;
        }
        let resume = self.resume_at().is_some_and(|at| at <= now);
        if resume {
            self.resume_playback(now);
        }
        resume
    }

    /// When playback goes on for want of words.
    pub(crate) fn resume_at(&self) -> Option<CallTime> {
        if self.state.playout.flushing.is_some() {
            return None;
        }
        self.state.playout.paused_at.map(|at| at + self.config.interruption.resume_after)
    }

    /// Playback goes on; this stretch of speech pauses it no more.
    pub(crate) fn resume_playback(&mut self, now: CallTime) {
        if self.state.playout.paused_at.is_some() && self.state.playout.flushing.is_none() {
            self.state.playout.resume(now);
            self.state.barge.spent = true;
            if self.state.phase == Phase::Open {
                self.push(Command::Resume);
            }
        }
    }

    /// When the words that have come already will be as long as a barge-in.
    pub(crate) fn floor_taken_at(&self) -> Option<CallTime> {
        if !self.state.playout.is_audible() || !self.has_interruptible_reply() || !self.wants_floor() {
            return None;
        }
        self.state.caller.speaking_since().map(|since| since + self.config.interruption.min_duration)
    }

    /// Words that ask for the floor cancel the reply: at once while nothing plays, else once they are as long as a barge-in.
    /// The caller's turn, if the reply had not begun to play, goes on where it was.
    fn words_heard(&mut self, now: CallTime) -> bool {
        if !self.has_interruptible_reply() || !self.wants_floor() {
            return false;
        }
        let long = self.state.caller.spoken_for(now) >= self.config.interruption.min_duration;
        if !long && self.state.playout.is_audible() {
            return false;
        }
        self.take_floor(now);
        true
    }

    /// The caller takes the floor: the reply is cancelled, and a turn that it had not begun to answer goes on.
    pub(crate) fn take_floor(&mut self, now: CallTime) {
        if self.state.reply.is_some() && self.state.caller.spoke() {
            self.learn_pace();
        }
        self.state.caller.unhold();
        let Some(reply) = &self.state.reply else { return };
        if reply.began {
            self.state.record.interruptions = self.state.record.interruptions.saturating_add(1);
            self.audit("reply.interrupted", Some(reply.id.to_string()));
            self.cancel_reply(now);
        } else if !self.withdraw_turn(now) {
            self.cancel_reply(now);
        }
    }

    /// Stops everything that works for the reply. What was heard of it is settled when the transport has answered the flush.
    pub(crate) fn cancel_reply(&mut self, now: CallTime) {
        let Some(reply) = self.state.reply.take() else { return };
        if let Some(generation) = reply.generation() {
            self.push(Command::CancelModel { generation });
        }
        self.cancel_tools(now, reply.id);
        self.drop_transfer(now);
        self.complete_turn();
        if self.state.playout.is_open() {
            self.push(Command::Flush { reply: reply.id });
            self.state.playout.flush(reply.id, now, self.config.interruption.flush_timeout);
        } else {
            self.end_playout(now);
        }
        self.state.floor_since = now;
    }

    /// A whole turn of backchannels while the agent has the floor: playback goes on, and the words wait, because an answer given
    /// over the agent's last words counts.
    pub(crate) fn hold_backchannel(&mut self, now: CallTime) {
        self.state.caller.hold();
        self.resume_playback(now);
    }

    /// The agent has finished: a backchannel given over its last words becomes a turn, an older one is forgotten.
    pub(crate) fn release_backchannel(&mut self, now: CallTime) {
        if !self.state.caller.is_held() {
            return;
        }
        if self.state.caller.last_speech().is_some_and(|at| at + ANSWER_OVERLAP >= now) {
            self.state.caller.unhold();
        } else {
            self.state.caller.clear();
        }
    }

    /// New speech: a held backchannel from long before does not belong to it.
    pub(crate) fn drop_stale_backchannel(&mut self, now: CallTime) {
        if self.state.caller.is_held() && self.state.caller.last_speech().is_none_or(|at| at + ANSWER_OVERLAP < now) {
            self.state.caller.clear();
        }
    }
}
