//! Speaking: orders to the synthesiser, reports from playback, and what of it all was heard.

use std::collections::BTreeSet;

use crate::command::{AgentState, Command, Speaker, TranscriptLine};
use crate::history::EntryId;
use crate::ids::{ReplyId, UtteranceId};
use crate::input::Failure;
use crate::interruption::ANSWER_OVERLAP;
use crate::machine::Conversation;
use crate::reply::{After, Purpose};
use crate::sentences::is_speakable;
use crate::time::{CallTime, PlayedPos};
use crate::utterance::{Playback, Role, Utterance};
use crate::words::join;

impl Conversation {
    /// Says a text as part of the present reply.
    pub(crate) fn say(&mut self, now: CallTime, text: &str, role: Role) {
        if !is_speakable(text) {
            return;
        }
        let Some(reply) = &mut self.state.reply else { return };
        let entry = *reply.entry.get_or_insert_with(|| self.state.history.open_agent(reply.id));
        self.state.history.append(entry, text);
        let mut utterance = Utterance::new(self.state.ids.utterance(), entry, role, text.to_string(), now);
        utterance.is_interruptible = match &utterance.role {
            Role::Notice => false,
            Role::ReadBack(_) => self.config.interruption.interruptible_read_back,
            Role::Said | Role::Filler => true,
        };
        self.order(now, utterance);
    }

    /// Says an utterance that failed once more, in the same line of the history.
    pub(crate) fn say_again(&mut self, now: CallTime, failed: Utterance) {
        let id = self.state.ids.utterance();
        let mut utterance = Utterance::new(id, failed.entry, failed.role, failed.text, now);
        utterance.is_retry = true;
        utterance.is_interruptible = failed.is_interruptible;
        self.order(now, utterance);
    }

    fn order(&mut self, now: CallTime, utterance: Utterance) {
        let Some(reply) = &self.state.reply else { return };
        let (id, turn) = (reply.id, reply.turn);
        if let Some(metrics) = self.state.record.metrics(turn) {
            metrics.first_clause.get_or_insert(now);
        }
        self.state.has_speech_ahead = false;
        self.push(Command::Synthesise { utterance: utterance.id, reply: id, text: utterance.text.clone() });
        self.state.playout.utterances.push(utterance);
    }

    fn is_current(&self, id: UtteranceId) -> bool {
        self.state.playout.utterances.iter().any(|utterance| utterance.id == id)
    }

    pub(crate) fn synthesis_started(&mut self, now: CallTime, id: UtteranceId) {
        self.state.playout.synthesis_started(id);
        let turn = self.state.reply.as_ref().and_then(|reply| reply.turn);
        if self.is_current(id)
            && let Some(metrics) = self.state.record.metrics(turn)
        {
            metrics.first_audio.get_or_insert(now);
        }
    }

    pub(crate) fn synthesis_failed(&mut self, id: UtteranceId, failure: &Failure) {
        self.state.playout.synthesis_failed(id, failure.retryable);
    }

    pub(crate) fn playback_started(&mut self, now: CallTime, id: UtteranceId) {
        if !self.state.playout.started(id, now) {
            return;
        }
        let Some(reply) = &mut self.state.reply else { return };
        reply.began = true;
        let turn = reply.turn;
        if let Some(metrics) = self.state.record.metrics(turn) {
            metrics.playback_started.get_or_insert(now);
            self.complete_turn();
        }
        let entry = self.state.playout.get_mut(id).map(|utterance| utterance.entry);
        if let Some(entry) = entry {
            self.publish_growing(entry);
        }
    }

    pub(crate) fn playback_finished(&mut self, now: CallTime, id: UtteranceId) {
        if let Some(Role::ReadBack(confirmation)) = self.state.playout.finished(id, now) {
            let turn = self.state.ids.last_turn();
            self.state.tools.confirmations.read_back_heard(&confirmation, turn, now - ANSWER_OVERLAP);
        }
    }

    /// The transport says what was played of a flushed reply.
    pub(crate) fn flushed(&mut self, now: CallTime, reply: ReplyId, cut: Option<(UtteranceId, PlayedPos)>) {
        if self.state.playout.flushing.as_ref().is_some_and(|flushing| flushing.reply == reply) {
            self.settle_flush(now, Some(cut));
        }
    }

    /// The transport has not said it in time; whether that was so.
    pub(crate) fn flush_due(&mut self, now: CallTime) -> bool {
        let due = self.state.playout.flushing.as_ref().is_some_and(|flushing| flushing.deadline <= now);
        if due {
            self.settle_flush(now, None);
        }
        due
    }

    /// Ends the flush: the history gets the words that were heard.
    pub(crate) fn settle_flush(&mut self, now: CallTime, cut: Option<Option<(UtteranceId, PlayedPos)>>) {
        let Some(mut flushing) = self.state.playout.flushing.take() else { return };
        flushing.settle(cut, now);
        self.freeze(&flushing.utterances, now);
        if self.state.playout.paused_at.take().is_some() {
            // Only now: nothing of the flushed reply can leak out any more.
            self.push(Command::Resume);
        }
    }

    /// Nothing of the reply plays or will play: fixes its lines.
    pub(crate) fn end_playout(&mut self, now: CallTime) {
        self.resume_playback(now);
        let utterances = std::mem::take(&mut self.state.playout.utterances);
        self.freeze(&utterances, now);
    }

    /// Fixes the lines of utterances that will not be played any further: what was heard stays.
    pub(crate) fn freeze(&mut self, utterances: &[Utterance], now: CallTime) {
        // In the order in which the lines were opened: an utterance that was tried again stands behind later ones.
        let entries: BTreeSet<EntryId> = utterances.iter().map(|utterance| utterance.entry).collect();
        for entry in entries {
            let said: Vec<&Utterance> = utterances.iter().filter(|utterance| utterance.entry == entry).collect();
            let heard = said.iter().fold(String::new(), |text, utterance| join(&text, &utterance.heard()));
            let interrupted = self.state.history.set_heard(entry, heard.clone());
            let Some(start) = said.iter().filter_map(|utterance| utterance.started_at).min() else { continue };
            let end = said.iter().filter_map(|utterance| utterance.ended_at).max().unwrap_or(now);
            self.publish(Speaker::Agent, format!("agent-{entry}"), heard.clone(), true, None);
            if !heard.is_empty() {
                self.state.record.agent_line(heard, start, end, interrupted);
            }
        }
    }

    /// Shows a line of the agent as far as its playback has begun.
    fn publish_growing(&mut self, entry: EntryId) {
        let begun = self.state.playout.utterances.iter().filter(|utterance| utterance.entry == entry);
        let begun = begun.filter(|utterance| matches!(utterance.playback, Playback::Playing | Playback::Finished));
        let text = begun.fold(String::new(), |text, utterance| join(&text, &utterance.text));
        self.publish(Speaker::Agent, format!("agent-{entry}"), text, false, None);
    }

    pub(crate) fn publish(&mut self, speaker: Speaker, segment: String, text: String, is_final: bool, turn: Option<crate::ids::TurnId>) {
        self.push(Command::PublishTranscript(TranscriptLine { speaker, segment, text, is_final, turn }));
    }

    /// Closes the figures of the open turn.
    pub(crate) fn complete_turn(&mut self) {
        if let Some(metrics) = self.state.record.close_turn() {
            self.push(Command::TurnCompleted(metrics));
        }
    }

    /// Tells what the agent is doing, if that has changed.
    pub(crate) fn publish_agent_state(&mut self) {
        let present = if self.state.playout.is_audible() || self.state.playout.is_between() {
            AgentState::Speaking
        } else if self.state.reply.is_some() && self.state.playout.paused_at.is_none() {
            AgentState::Thinking
        } else {
            AgentState::Listening
        };
        if self.state.agent_state != Some(present) {
            self.state.agent_state = Some(present);
            self.push(Command::SetState(present));
        }
    }

    /// Ends what must have been played long ago, and gives up what never came; whether there was any.
    pub(crate) fn playout_due(&mut self, now: CallTime) -> bool {
        if self.state.playout.end_overdue(now) {
            return true;
        }
        let stalled = self.state.playout.stalled_at(self.config.silence.dead_air_max).is_some_and(|at| at <= now);
        if stalled {
            self.speech_stalled(now);
        }
        stalled
    }

    /// Speech failed: the fallback phrase is tried; if that fails too, the call ends or goes to a person.
    pub(crate) fn say_fallback(&mut self, now: CallTime) {
        let script = self.phrases().fallback.clone();
        self.start_reply(now, Purpose::Fallback, None, Some(script), After::Floor);
    }

    /// The next utterance has not come for too long: its audio must not come any more either.
    pub(crate) fn speech_stalled(&mut self, now: CallTime) {
        let Some((purpose, after)) = self.state.reply.as_ref().map(|reply| (reply.purpose, reply.after)) else { return };
        if after == After::Transfer {
            return self.transfer_unsaid(now);
        }
        self.cancel_reply(now);
        match after {
            After::Transfer => {}
            After::HangUp(reason) => self.close(now, reason),
            After::Floor if purpose == Purpose::Fallback => self.speechless(now),
            After::Floor => self.say_fallback(now),
        }
    }
}
