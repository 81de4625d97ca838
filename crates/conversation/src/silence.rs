//! Silence on either side: fillers while the agent owes the floor, questions while the caller does (invariant 5).

use std::time::Duration;

use crate::machine::Conversation;
use crate::reply::{After, Purpose, Stage};
use crate::summary::EndReason;
use crate::time::CallTime;
use crate::utterance::Role;

/// A filler is ordered this long before silence may last no longer: the synthesiser needs time too.
const FILLER_LEAD: Duration = Duration::from_secs(1);

impl Conversation {
    /// The caller did something that can be heard or felt: he has not been waiting since before.
    pub(crate) fn caller_was_active(&mut self, at: CallTime) {
        self.state.owed_since = self.state.owed_since.map(|since| since.max(at));
    }

    /// When a filler is due.
    pub(crate) fn filler_at(&self) -> Option<CallTime> {
        let reply = self.state.reply.as_ref()?;
        let answers = reply.purpose == Purpose::Answer && !matches!(reply.stage, Stage::Speaking);
        let waits = answers || reply.stage == Stage::Transferring;
        let quiet = !self.state.playout.is_open() && self.state.playout.flushing.is_none() && !self.state.caller.is_speaking();
        if !waits || !quiet || self.phrases().filler.is_empty() {
            return None;
        }
        let silent_since = self.state.owed_since.unwrap_or_default().max(self.state.playout.last_audio);
        let silence = &self.config.silence;
        let patience = if reply.fillers == 0 {
            silence.filler_after
        } else {
            silence.dead_air_max.saturating_sub(FILLER_LEAD).max(silence.filler_after)
        };
        Some(silent_since + patience.max(Duration::from_millis(100)))
    }

    /// Says a filler if one is due; whether it was.
    pub(crate) fn filler_due(&mut self, now: CallTime) -> bool {
        let due = self.filler_at().is_some_and(|at| at <= now);
        if due {
            if let Some(reply) = &mut self.state.reply {
                reply.fillers = reply.fillers.saturating_add(1);
            }
            // Should the phrase have nothing to pronounce, the wait still counts anew.
            self.state.owed_since = Some(now);
            let filler = self.phrases().filler.clone();
            self.say(now, &filler, Role::Filler);
        }
        due
    }

    /// When the caller has been silent for too long.
    pub(crate) fn away_at(&self) -> Option<CallTime> {
        self.is_quiet().then(|| self.state.floor_since + self.config.silence.away_after.max(Duration::from_secs(1)))
    }

    /// Whether the agent has nothing to say and the caller says nothing and presses no keys.
    pub(crate) fn is_quiet(&self) -> bool {
        let busy = self.state.reply.is_some() || self.state.playout.flushing.is_some();
        let active =
            self.state.aside || !self.state.caller.is_idle() || self.state.caller.is_speaking() || self.state.keypad.due_at().is_some();
        !busy && !active
    }

    /// Asks a silent caller, and at the second time says goodbye; whether that was due.
    pub(crate) fn away_due(&mut self, now: CallTime) -> bool {
        if self.away_at().is_none_or(|at| at > now) {
            return false;
        }
        if self.state.away_asked {
            let goodbye = self.phrases().goodbye.clone();
            self.start_reply(now, Purpose::Goodbye, None, Some(goodbye), After::HangUp(EndReason::CallerAway));
        } else {
            self.state.away_asked = true;
            let away = self.phrases().away.clone();
            self.start_reply(now, Purpose::Away, None, Some(away), After::Floor);
        }
        true
    }

    /// The floor goes to the caller.
    pub(crate) fn give_floor(&mut self, now: CallTime) {
        self.state.floor_since = now;
        self.state.owed_since = None;
        self.release_backchannel(now);
        self.push(crate::command::Command::StoreState);
    }
}
