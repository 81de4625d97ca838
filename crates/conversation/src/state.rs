//! The whole state of a conversation as data, so that another worker can go on with it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::command::{AgentState, Command};
use crate::config::{AgentProfile, Effect};
use crate::confirm::Progress;
use crate::delay::Pace;
use crate::draft::Draft;
use crate::endpointing::CallerTurn;
use crate::fields::{FieldKind, asked_for};
use crate::history::History;
use crate::ids::{ReplyId, TurnId, UtteranceId};
use crate::interruption::Barge;
use crate::keypad::Keypad;
use crate::language::Language;
use crate::machine::{Conversation, Phase};
use crate::outputs;
use crate::playout::Playout;
use crate::record::Record;
use crate::reply::{After, Purpose, Reply, Stage};
use crate::summary::{EndReason, ToolStatus};
use crate::time::CallTime;
use crate::tools::{Toolbox, Work};
use crate::transfer::Transfer;
use crate::trouble::Trouble;
use crate::turns::Committed;
use crate::utterance::{Playback, Role, Utterance};
use crate::wordless::Wordless;

/// Version of the stored state; raised when an older reader could misread it.
pub const STATE_VERSION: u32 = 2;

/// A conversation's state, to be stored as JSON and given to [`Conversation::resume`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredState {
    version: u32,
    state: Box<State>,
}

/// Why a stored state cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// It was written by a later release; let a worker of that release take the call.
    #[error("stored state has version {found}, this release reads up to {STATE_VERSION}")]
    Version {
        /// The version found.
        found: u32,
    },
    /// It is not a stored state.
    #[error("stored state cannot be read: {0}")]
    Malformed(#[from] serde_json::Error),
}

impl StoredState {
    pub(crate) fn new(state: State) -> Self {
        let state = State { draft: None, has_speech_ahead: false, ..state };
        Self { version: STATE_VERSION, state: Box::new(state) }
    }

    pub(crate) fn into_state(self) -> State {
        *self.state
    }

    /// The state as JSON. It holds what the caller said: seal it before it is stored.
    ///
    /// # Errors
    /// [`StateError::Malformed`] if a tool's arguments or results hold what JSON cannot.
    pub fn to_json(&self) -> Result<Vec<u8>, StateError> {
        Ok(serde_json::to_vec(self)?)
    }

    /// Reads a state of this release or an earlier one.
    ///
    /// # Errors
    /// [`StateError::Version`] if a later release wrote it, [`StateError::Malformed`] if it is something else.
    pub fn from_json(json: &[u8]) -> Result<Self, StateError> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let head: Head = serde_json::from_slice(json)?;
        if head.version > STATE_VERSION {
            return Err(StateError::Version { found: head.version });
        }
        Ok(serde_json::from_slice(json)?)
    }

    /// When the conversation last took in an input: where the clock of the one that goes on starts at the earliest.
    #[must_use]
    pub fn last_input_at(&self) -> CallTime {
        self.state.now
    }
}

/// Counters from which ids are minted; each id is used once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Ids {
    turn: u32,
    reply: u32,
    utterance: u32,
}

impl Ids {
    pub(crate) fn turn(&mut self) -> TurnId {
        self.turn += 1;
        TurnId(self.turn)
    }

    /// The turn committed last; `TurnId(0)` before the first.
    pub(crate) const fn last_turn(self) -> TurnId {
        TurnId(self.turn)
    }

    pub(crate) fn reply(&mut self) -> ReplyId {
        self.reply += 1;
        ReplyId(self.reply)
    }

    pub(crate) fn utterance(&mut self) -> UtteranceId {
        self.utterance += 1;
        UtteranceId(self.utterance)
    }
}

/// Everything that a conversation knows.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct State {
    pub(crate) phase: Phase,
    pub(crate) now: CallTime,
    pub(crate) ids: Ids,
    /// Who has the call, if not the agent of the settings; kept here because the settings of the worker that goes on are the first
    /// agent's.
    pub(crate) agent: Option<AgentProfile>,
    pub(crate) caller: CallerTurn,
    pub(crate) committed: Option<Committed>,
    /// What the turns of this caller have taught.
    pub(crate) pace: Pace,
    /// The phrases of emergencies that were answered.
    pub(crate) emergencies: BTreeSet<String>,
    /// The field that a task collects.
    pub(crate) expected: Option<FieldKind>,
    /// The field that the agent's last words asked for.
    pub(crate) asked: Option<FieldKind>,
    /// Counts the lines of the caller in the live transcript.
    pub(crate) segment: u32,
    pub(crate) keypad: Keypad,
    pub(crate) barge: Barge,
    pub(crate) reply: Option<Reply>,
    pub(crate) playout: Playout,
    pub(crate) tools: Toolbox,
    pub(crate) history: History,
    pub(crate) record: Record,
    /// Since when the caller owes the floor.
    pub(crate) floor_since: CallTime,
    /// Since when the agent owes the floor, if it does; the caller's own sounds and keys move it.
    pub(crate) owed_since: Option<CallTime>,
    /// Whether the silent caller has been asked.
    pub(crate) away_asked: bool,
    /// Lives with the worker that asked for it.
    #[serde(skip)]
    pub(crate) draft: Option<Draft>,
    /// Speech was ordered ahead, and neither taken over by an order to speak nor dropped. Lives with the worker, too.
    #[serde(skip)]
    pub(crate) has_speech_ahead: bool,
    /// How many drafts the last stretch of speech has led to.
    pub(crate) drafts: u32,
    pub(crate) model_failures: u32,
    pub(crate) transcription_failures: u32,
    pub(crate) agent_state: Option<AgentState>,
    /// What was heard of the caller of which no words came.
    pub(crate) wordless: Wordless,
    pub(crate) language: Language,
    pub(crate) trouble: Trouble,
    pub(crate) transfer: Option<Transfer>,
    /// Whether a person has begun to speak to the caller while something was said that is not to be cut off.
    pub(crate) person_waits: bool,
    /// Whether a person speaks to the caller, so that the agent says nothing.
    pub(crate) aside: bool,
    /// Since when, and for how long in all before.
    pub(crate) aside_since: CallTime,
    pub(crate) aside_time: Duration,
    /// Why the call is to end soon, if it is.
    pub(crate) winding_down: Option<EndReason>,
    /// Whether the caller was told that the call will soon have lasted as long as it may.
    pub(crate) time_told: bool,
}

impl Conversation {
    /// Brings the state to a new worker: nothing plays there, no model answers, no tool runs.
    pub(crate) fn take_over(&mut self, now: CallTime) {
        self.restore_agent();
        self.state.now = self.state.now.max(now);
        let now = self.state.now;
        self.state.agent_state = None;
        if let Phase::Ended(reason) = self.state.phase {
            // Whether the summary was kept is not known here; the record of a call is idempotent.
            self.state.phase = Phase::Closing(reason);
            return;
        }
        self.restore_language();
        self.state.playout.paused_at = None;
        // If the person is still there, the transport says so again.
        self.state.person_waits = false;
        self.step_back(now);
        self.settle_flush(now, None);
        self.state.caller.resume(now);
        self.state.barge = Barge::default();
        self.state.floor_since = now;
        self.state.owed_since = self.state.owed_since.map(|_| now);
        self.take_over_reply(now);
        self.take_over_tools(now);
        self.take_over_transfer(now);
        self.apologise_for_the_break(now);
        if let Phase::Closing(reason) = self.state.phase
            && reason != EndReason::CallerHungUp
        {
            self.push(Command::HangUp);
        }
    }

    /// The caller heard nothing for some seconds, and what he said meanwhile is lost: he is told so, and what he was saying.
    fn apologise_for_the_break(&mut self, now: CallTime) {
        if self.state.phase != Phase::Open || self.state.reply.is_some() {
            return;
        }
        let phrases = self.phrases();
        if phrases.lost.is_empty() {
            return;
        }
        let asked = || asked_for(&self.state.history.last_agent_text(), &self.config.endpointing.fields);
        let field = self.state.expected.or_else(asked);
        let hint = field.and_then(|field| phrases.lost_field.get(&field)).unwrap_or(&phrases.lost_floor);
        // Words of his that had come to us are answered instead.
        let hint = if self.state.caller.is_idle() { hint.as_str() } else { "" };
        let words = format!("{} {hint}", phrases.lost);
        self.start_reply(now, Purpose::Resumed, None, Some(words.trim_end().to_owned()), After::Floor);
    }

    /// What had been ordered but not heard to its end is said again from its beginning, under a new reply. An answer of the model
    /// that was still coming is asked for anew.
    fn take_over_reply(&mut self, now: CallTime) {
        let utterances = std::mem::take(&mut self.state.playout.utterances);
        let Some(reply) = &mut self.state.reply else { return };
        let old = reply.id;
        let id = self.state.ids.reply();
        let again = matches!(reply.stage, Stage::Speaking);
        let is_waited_for = !matches!(reply.stage, Stage::Transferring);
        reply.resume(id);
        for running in self.state.tools.running.iter_mut().filter(|running| running.reply == old) {
            running.reply = id;
        }
        if !again {
            self.freeze(&utterances, now);
            if is_waited_for && self.state.phase == Phase::Open {
                self.say_lost(now);
            }
            return;
        }
        if utterances.iter().any(Utterance::is_open) && self.state.phase == Phase::Open {
            self.say_lost(now);
        }
        for mut utterance in utterances {
            let unheard = utterance.is_open();
            if unheard {
                let failed = utterance.clone();
                utterance.playback = Playback::Dropped;
                self.state.playout.utterances.push(utterance);
                self.say_again(now, failed);
            } else {
                self.state.playout.utterances.push(utterance);
            }
        }
    }

    /// A line of its own, before what is said again or still to come.
    fn say_lost(&mut self, now: CallTime) {
        let entry = self.state.reply.as_mut().and_then(|reply| reply.entry.take());
        let words = self.phrases().lost.clone();
        self.say(now, &words, Role::Filler);
        if let Some(reply) = &mut self.state.reply {
            reply.entry = entry;
        }
    }

    /// Reads and preparations are lost; records and commits are ordered again, under the same keys.
    fn take_over_tools(&mut self, now: CallTime) {
        let running = std::mem::take(&mut self.state.tools.running);
        for mut running in running {
            let timeout = self.config.tools.iter().find(|spec| spec.name == running.call.name).map(|spec| spec.timeout).unwrap_or_default();
            match &running.work {
                Work::Run(Effect::Read) | Work::Prepare => {
                    self.settle_call(now, &running.call, ToolStatus::Cancelled, outputs::cancelled());
                    continue;
                }
                Work::Run(_) => {
                    running.deadline = now + timeout;
                    self.push(Command::RunTool { call: running.call.clone() });
                }
                Work::Confirm(id) => {
                    let open = self.state.tools.confirmations.get(id);
                    running.deadline = now + open.map(|confirmation| confirmation.timeout).unwrap_or_default();
                }
            }
            self.state.tools.running.push(running);
        }
        let mut orders = Vec::new();
        for confirmation in self.state.tools.confirmations.committing() {
            confirmation.progress = Progress::Committing { deadline: now + confirmation.timeout };
            orders.push(Command::CommitTool { confirmation: confirmation.id.clone(), call: confirmation.call.clone() });
        }
        for order in orders {
            self.push(order);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{STATE_VERSION, StateError, StoredState};
    use crate::{Config, Conversation};

    #[test]
    fn a_later_version_is_refused() {
        let stored = Conversation::new(Config::default()).state();
        let json = stored.to_json().unwrap();
        assert_eq!(StoredState::from_json(&json).unwrap(), stored);
        let later = String::from_utf8(json).unwrap().replace(&format!("\"version\":{STATE_VERSION}"), "\"version\":99");
        assert!(matches!(StoredState::from_json(later.as_bytes()), Err(StateError::Version { found: 99 })));
        assert!(matches!(StoredState::from_json(b"[]"), Err(StateError::Malformed(_))));
    }
}
