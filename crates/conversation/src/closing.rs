//! The end of the call: open effects are waited for, then exactly one summary (invariant 6).

use crate::command::Command;
use crate::machine::{Conversation, Phase};
use crate::reply::{After, Purpose};
use crate::summary::{EndReason, ToolStatus};
use crate::time::CallTime;
use crate::tools::Work;
use crate::utterance::Playback;
use crate::{config::Effect, outputs};

/// So many failures of the recogniser in a row, without a word between, end the call.
pub(crate) const TRANSCRIPTION_FAILURES_MAX: u32 = 3;

impl Conversation {
    /// Nothing works any more: says so, and hands the caller to a person or ends the call.
    pub(crate) fn give_up(&mut self, now: CallTime) {
        if self.state.aside || self.state.reply.as_ref().is_some_and(|reply| reply.purpose == Purpose::Apology) {
            return;
        }
        self.cancel_reply(now);
        if self.is_transferring() {
            return self.give_up_transferring(now);
        }
        let (after, words) = self.way_out();
        self.start_reply(now, Purpose::Apology, None, Some(words), after);
    }

    /// The call is to end soon; that the time is up already, or that it ends for another reason, goes first.
    pub(crate) fn wind_down(&mut self) {
        self.state.winding_down.get_or_insert(EndReason::Stopped);
    }

    /// When the call has lasted as long as one may.
    pub(crate) fn time_up_at(&self) -> Option<CallTime> {
        let limit = self.config.duration_max;
        (!limit.is_zero() && !self.state.aside && self.state.winding_down.is_none()).then(|| CallTime::ZERO + limit + self.state.aside_time)
    }

    /// When the caller is to be told that the time is nearly up; while somebody speaks it waits.
    pub(crate) fn time_nearly_up_at(&self) -> Option<CallTime> {
        let (limit, before) = (self.config.duration_max, self.config.duration_warning);
        let is_announced = !before.is_zero() && limit >= before.saturating_mul(2) && !self.phrases().time_nearly_up.is_empty();
        let is_open = self.state.winding_down.is_none() && !self.state.time_told && self.is_quiet();
        (is_announced && is_open).then(|| CallTime::ZERO + (limit - before) + self.state.aside_time)
    }

    /// Tells the caller that the time is nearly up; whether that was due.
    pub(crate) fn time_nearly_up_due(&mut self, now: CallTime) -> bool {
        let due = self.time_nearly_up_at().is_some_and(|at| at <= now);
        if due {
            self.state.time_told = true;
            let words = self.phrases().time_nearly_up.clone();
            self.start_reply(now, Purpose::Notice, None, Some(words), After::Floor);
        }
        due
    }

    /// Says that the call ends, and ends it, once it must and nothing is being said that is never cut off; whether that was due.
    pub(crate) fn winding_down_due(&mut self, now: CallTime) -> bool {
        if self.time_up_at().is_some_and(|at| at <= now) {
            self.state.winding_down = Some(EndReason::TimeLimit);
            self.audit("call.time_limit", None);
        }
        let Some(reason) = self.state.winding_down else { return false };
        let last_words = |purpose| matches!(purpose, Purpose::Apology | Purpose::Emergency);
        if self.is_transferring() || self.state.reply.as_ref().is_some_and(|reply| last_words(reply.purpose)) {
            return false;
        }
        self.cancel_reply(now);
        let (after, words) = match reason {
            EndReason::Stopped if self.config.trouble_transfer.is_some() => (After::Transfer, self.phrases().put_through.clone()),
            EndReason::Stopped => (After::HangUp(reason), self.phrases().closing.clone()),
            _ => (After::HangUp(reason), self.phrases().time_up.clone()),
        };
        self.start_reply(now, Purpose::Apology, None, Some(words), after);
        true
    }

    /// Ends the call: everything stops but effects under way.
    pub(crate) fn close(&mut self, now: CallTime, reason: EndReason) {
        self.state.phase = Phase::Closing(reason);
        self.cancel_reply(now);
        self.drop_draft();
        if self.state.playout.flushing.is_some() {
            // Nobody listens any more: the last reports must do.
            self.settle_last_flush(now);
        }
        self.stop_tools(now);
        self.close_transfer(now, reason);
        if self.state.caller.has_text() {
            let heard = self.state.caller.take();
            self.state.record.caller_line(None, &heard, now);
        }
        self.complete_turn();
        self.audit("call.ended", Some(reason.as_str().into()));
        if reason != EndReason::CallerHungUp {
            self.push(Command::HangUp);
        }
    }

    fn settle_last_flush(&mut self, now: CallTime) {
        let Some(mut flushing) = self.state.playout.flushing.take() else { return };
        flushing.settle(None, now);
        self.state.playout.paused_at = None;
        for utterance in &mut flushing.utterances {
            if utterance.playback == Playback::Playing {
                utterance.ended_at.get_or_insert(now);
            }
        }
        self.freeze(&flushing.utterances, now);
    }

    /// Drops every call that only reads or prepares.
    fn stop_tools(&mut self, now: CallTime) {
        let running = std::mem::take(&mut self.state.tools.running);
        for running in running {
            match &running.work {
                Work::Run(Effect::Record | Effect::Commit) | Work::Confirm(_) => self.state.tools.running.push(running),
                Work::Run(Effect::Read) | Work::Prepare => {
                    if running.work == Work::Run(Effect::Read) {
                        self.push(Command::CancelTool { call: running.call.id.clone() });
                    }
                    self.settle_call(now, &running.call, ToolStatus::Cancelled, outputs::cancelled());
                }
            }
        }
    }

    /// Gives the summary once every effect has its outcome; whether it did.
    pub(crate) fn closing_due(&mut self, now: CallTime) -> bool {
        let Phase::Closing(reason) = self.state.phase else { return false };
        if !self.calls_settled() {
            return false;
        }
        self.state.phase = Phase::Ended(reason);
        self.push(Command::StoreState);
        let summary = self.state.record.summary(reason, now);
        self.push(Command::Finish(Box::new(summary)));
        true
    }
}
