//! Speech of which no words came.
//!
//! If the recogniser, when asked, gave no answer at all, it is in trouble: the caller is asked to say it again at once, and after
//! [`FAILED_MAX`] times in a row the call ends with an apology. If it answered that there were no words, the sound may have been
//! noise: the caller is asked only when he then waits in silence for [`crate::config::Silence::unheard_after`], and no more than
//! [`ASKED_MAX`] times in a row.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::machine::Conversation;
use crate::reply::{After, Purpose};
use crate::time::CallTime;

/// Speech shorter than this may well hold no words.
pub(crate) const UNHEARD_MIN: Duration = Duration::from_secs(1);
/// So often in a row the recogniser may give no answer; then the call ends with an apology.
const FAILED_MAX: u32 = 3;
/// So often in a row the caller is asked about speech that may have been noise.
const ASKED_MAX: u32 = 2;

/// What was heard of the caller since his last words, without any words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Wordless {
    /// How often in a row the recogniser gave no answer.
    failed: u32,
    /// How often in a row he was asked about what may have been noise.
    asked: u32,
    /// Speech since he was last asked, all stretches together.
    spoken: Duration,
    /// The last sample of it.
    last: CallTime,
}

impl Wordless {
    /// Whether the recogniser gave no answer to the speech before.
    pub(crate) const fn failed_before(&self) -> bool {
        self.failed > 0
    }

    /// Words came.
    pub(crate) fn words_came(&mut self) {
        *self = Self::default();
    }

    /// When the caller is asked, if he goes on saying nothing.
    fn due_at(&self, after: Duration) -> Option<CallTime> {
        (self.spoken >= UNHEARD_MIN && self.asked < ASKED_MAX).then(|| self.last + after)
    }
}

impl Conversation {
    /// Speech is forgotten, for no words came of it.
    pub(crate) fn forget_speech(&mut self, now: CallTime) {
        let failed = self.state.caller.is_unanswered(self.state.wordless.failed_before());
        let (spoken, last) = (self.state.caller.span(), self.state.caller.last_speech());
        self.state.caller.clear();
        self.resume_playback(now);
        if self.state.aside {
            // Whoever he speaks to will say so.
            self.state.wordless.words_came();
        } else if failed {
            self.speech_unheard(now);
        } else if self.state.reply.is_none() {
            // What sounds while the agent speaks is no answer that it waits for.
            self.state.wordless.spoken += spoken;
            self.state.wordless.last = last.unwrap_or(now);
        }
    }

    fn speech_unheard(&mut self, now: CallTime) {
        self.state.wordless.failed = self.state.wordless.failed.saturating_add(1);
        self.note_unheard();
        if self.state.wordless.failed >= FAILED_MAX {
            self.give_up(now);
        } else if self.state.reply.is_none() && self.state.playout.flushing.is_none() {
            self.ask_again(now);
        }
    }

    /// When the caller is asked to say again what may have been words.
    pub(crate) fn unheard_at(&self) -> Option<CallTime> {
        let due = self.state.wordless.due_at(self.config.silence.unheard_after)?;
        (self.is_quiet() && !self.phrases().unheard.is_empty()).then_some(due)
    }

    /// Asks the caller to say it again if that is due; whether it was.
    pub(crate) fn unheard_due(&mut self, now: CallTime) -> bool {
        let due = self.unheard_at().is_some_and(|at| at <= now);
        if due {
            self.state.wordless.asked = self.state.wordless.asked.saturating_add(1);
            self.note_unheard();
            self.ask_again(now);
        }
        due
    }

    fn ask_again(&mut self, now: CallTime) {
        self.state.wordless.spoken = Duration::ZERO;
        let unheard = self.phrases().unheard.clone();
        self.start_reply(now, Purpose::Fallback, None, Some(unheard), After::Floor);
    }
}
