//! The caller's turns: from speech and transcripts to a committed line of the history.
//!
//! A final transcript that comes after its turn was committed (the recogniser was slower than `finalize_timeout`):
//! - while the reply has not begun to play, the turn is taken back and committed anew with the better words;
//! - else, if the turn was committed on interim words, those are replaced in the history, and the reply goes on;
//! - else its words begin the caller's next turn.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backchannel::normalise;
use crate::command::{Command, Speaker};
use crate::config::EndpointingMode;
use crate::delay::Pace;
use crate::fields::{FieldKind, asked_for};
use crate::ids::TurnId;
use crate::input::Transcript;
use crate::machine::Conversation;
use crate::reply::{After, Purpose};
use crate::time::CallTime;
use crate::words::{Heard, join};

/// A transcript that comes later than this after the commit is not of the committed turn.
const LATE_MAX: Duration = Duration::from_secs(3);

/// The turn committed last, kept while the recogniser may still correct it or the caller go on with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Committed {
    turn: TurnId,
    heard: Heard,
    at: CallTime,
}

impl Committed {
    /// Whether a transcript can be of the speech that was committed, as far as its times tell.
    fn can_be_late(&self, transcript: &Transcript, now: CallTime) -> bool {
        let spoken_before = match (transcript.words.first(), self.heard.last_speech) {
            (Some(first), Some(last)) => first.start <= last,
            _ => true,
        };
        spoken_before && now <= self.at + LATE_MAX
    }
}

impl Conversation {
    pub(crate) fn speech_started(&mut self, now: CallTime, at: CallTime) {
        self.drop_stale_backchannel(now);
        self.note_question();
        self.state.caller.speech_started(at.min(now), now);
        self.state.barge.spent = false;
        // Whoever pauses within a sentence does not use up the drafts of its end.
        self.state.drafts = 0;
    }

    pub(crate) fn speech_ended(&mut self, now: CallTime, last_speech: CallTime) {
        if self.state.caller.speech_ended(last_speech.min(now), now) {
            self.state.drafts = 0;
            self.caller_was_active(last_speech.min(now));
            let last_speech = self.state.caller.last_speech().unwrap_or(now);
            let started = self.state.caller.started().unwrap_or(last_speech);
            self.push(Command::FinalizeTranscript { started });
            if self.config.endpointing.mode == EndpointingMode::Model {
                self.push(Command::AskTurnModel { last_speech, started });
            }
        }
    }

    /// Whoever decides about turns has ended this one.
    pub(crate) fn end_turn(&mut self, now: CallTime) {
        if self.state.caller.is_speaking() {
            self.speech_ended(now, now);
        }
        self.state.caller.end();
    }

    /// Notes what the agent's last words asked for, at the beginning of a turn.
    pub(crate) fn note_question(&mut self) {
        if self.state.caller.is_idle() {
            self.state.asked = asked_for(&self.state.history.last_agent_text(), &self.config.endpointing.fields);
        }
    }

    /// The field that the caller is being asked for.
    pub(crate) fn field(&self) -> Option<FieldKind> {
        self.state.expected.or(self.state.asked)
    }

    /// How soon is too soon: what the caller's turns have taught, and more care where his answer has an effect.
    fn pace(&self) -> Pace {
        let confirms = self.state.tools.confirmations.awaits_answer(self.state.ids.last_turn());
        if confirms { self.state.pace.at_least(self.config.endpointing.confirm_delay) } else { self.state.pace }
    }

    fn ready_at(&self) -> Option<CallTime> {
        let waits = self.state.reply.is_some() && self.is_protected() && !self.is_backchannel();
        if waits {
            // Words said over what is not to be cut off count when it is over.
            return None;
        }
        self.state.caller.ready_at(&self.config.endpointing, self.pace(), self.field())
    }

    /// The caller speaks on after his turn was committed: if only a pause lay between, it was cut off.
    pub(crate) fn learn_pace(&mut self) {
        let last = self.state.committed.as_ref().and_then(|committed| committed.heard.last_speech);
        if let (Some(last), Some(started)) = (last, self.state.caller.started()) {
            let pause = started.since(last);
            if pause <= self.config.endpointing.pace_max {
                self.state.pace.cut_off(pause, &self.config.endpointing);
            }
        }
    }

    pub(crate) fn transcript(&mut self, now: CallTime, transcript: &Transcript) {
        self.note_language(transcript);
        if !transcript.text.trim().is_empty() {
            self.state.transcription_failures = 0;
            self.state.wordless.words_came();
        }
        if self.late_transcript(now, transcript) || !self.state.caller.transcript(transcript, now) {
            return;
        }
        let text = self.state.caller.text();
        if !text.is_empty() {
            self.publish(Speaker::Caller, self.segment(), text, false, None);
        }
    }

    /// Names the line that the caller's present words grow.
    fn segment(&self) -> String {
        format!("caller-{}", self.state.segment)
    }

    /// Deals with a transcript of speech whose turn was already committed; whether it was one.
    fn late_transcript(&mut self, now: CallTime, transcript: &Transcript) -> bool {
        let Some(committed) = self.state.committed.as_mut().filter(|committed| committed.can_be_late(transcript, now)) else {
            return false;
        };
        let text = transcript.text.trim();
        if committed.heard.interim.is_empty() {
            return !self.state.caller.spoke() && transcript.is_final && !text.is_empty() && self.extend_turn(now, transcript);
        }
        let (new, old) = (normalise(text), normalise(&committed.heard.interim));
        if self.state.caller.spoke() && !new.starts_with(&old) {
            return false;
        }
        if !transcript.is_final {
            return true;
        }
        committed.heard.interim.clear();
        if new == old || new.is_empty() {
            // Confirmed, or revoked after it was acted upon: what was answered stays.
            committed.heard.finals = join(&committed.heard.finals, if new.is_empty() { &old } else { text });
            return true;
        }
        if self.extend_turn(now, transcript) {
            return true;
        }
        if let Some(committed) = &mut self.state.committed {
            committed.heard.finals = join(&committed.heard.finals, text);
            let (turn, better) = (committed.turn, committed.heard.finals.clone());
            self.state.history.correct(turn, &better);
            self.state.record.correct(turn, &better);
        }
        true
    }

    /// Takes the turn back and adds late words to it, unless its reply has begun.
    fn extend_turn(&mut self, now: CallTime, transcript: &Transcript) -> bool {
        if !self.withdraw_turn(now) {
            return false;
        }
        self.state.caller.add_settled(transcript.text.trim(), &transcript.words, now);
        true
    }

    /// Takes back the turn that is being answered, with its reply, if that has not begun to play and no tool was called:
    /// its words stand before those of the turn that now goes on. Whether that was done.
    pub(crate) fn withdraw_turn(&mut self, now: CallTime) -> bool {
        let Some(turn) = self.state.committed.as_ref().map(|committed| committed.turn) else { return false };
        let unbegun = self.state.reply.as_ref().is_some_and(|reply| reply.turn == Some(turn) && !reply.began);
        if !unbegun || !self.state.history.withdraw(turn) {
            return false;
        }
        self.cancel_reply(now);
        self.state.record.withdraw(turn);
        self.forget_turn(turn);
        self.state.segment = self.state.segment.saturating_sub(1);
        if let Some(committed) = self.state.committed.take() {
            self.state.caller.prepend(committed.heard);
        }
        true
    }

    /// Ends the caller's turn if its time has come; whether anything happened.
    pub(crate) fn turn_due(&mut self, now: CallTime) -> bool {
        if self.state.caller.stuck_at(&self.config.endpointing).is_some_and(|at| at <= now) {
            let last_speech = self.state.caller.changed_at();
            self.speech_ended(now, last_speech);
            return true;
        }
        if self.state.caller.forget_at(&self.config.endpointing).is_some_and(|at| at <= now) {
            self.forget_speech(now);
            return true;
        }
        if self.ready_at().is_none_or(|at| at > now) {
            return false;
        }
        match &self.state.reply {
            Some(reply) if !reply.is_interruptible() => self.state.caller.clear(),
            Some(_) if self.is_backchannel() => self.hold_backchannel(now),
            _ => self.commit_turn(now),
        }
        true
    }

    /// When the caller's turn ends, or its noise is forgotten.
    pub(crate) fn turn_at(&self) -> Option<CallTime> {
        let (caller, config) = (&self.state.caller, &self.config.endpointing);
        [caller.stuck_at(config), caller.forget_at(config), self.ready_at()].into_iter().flatten().min()
    }

    /// Words that were typed or keyed end the turn at once.
    pub(crate) fn settled_turn(&mut self, now: CallTime, text: &str) {
        if text.trim().is_empty() || self.state.reply.as_ref().is_some_and(|reply| !reply.is_interruptible()) {
            return;
        }
        self.caller_was_active(now);
        self.state.caller.add_settled(text.trim(), &[], now);
        if !self.is_protected() {
            self.commit_turn(now);
        }
    }

    fn commit_turn(&mut self, now: CallTime) {
        self.take_floor(now);
        let due = self.state.caller.due_at(&self.config.endpointing, self.pace(), self.field());
        self.state.pace.stood();
        let heard = self.state.caller.take();
        let text = heard.text();
        let emergency = self.emergency_in(&text);
        let turn = self.state.ids.turn();
        self.publish(Speaker::Caller, self.segment(), text.clone(), true, Some(turn));
        self.state.segment = self.state.segment.saturating_add(1);
        self.state.record.caller_line(Some(turn), &heard, now);
        self.state.record.open_turn(turn, &heard, due, now);
        self.note_turn(turn, &heard);
        self.state.history.caller(turn, text);
        self.state.tools.confirmations.turn_committed(turn, heard.last_speech.unwrap_or(now));
        self.state.committed = Some(Committed { turn, heard, at: now });
        self.state.away_asked = false;
        self.state.drafts = 0;
        self.audit("turn.committed", Some(turn.to_string()));
        if self.state.aside {
            self.complete_turn();
            self.push(Command::StoreState);
            return;
        }
        match emergency.map(|phrase| self.answer_emergency(phrase)) {
            Some(text) => self.start_reply(now, Purpose::Emergency, Some(turn), Some(text), After::Floor),
            None => self.start_reply(now, Purpose::Answer, Some(turn), None, After::Floor),
        }
        self.push(Command::StoreState);
    }
}
