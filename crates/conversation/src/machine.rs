//! The state machine: inputs in, commands out, `now` passed in.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::command::Command;
use crate::config::Config;
use crate::input::Input;
use crate::reply::{After, Purpose};
use crate::state::{State, StoredState};
use crate::summary::{CallSummary, EndReason, ToolTrace};
use crate::time::CallTime;

/// While so many commands wait to be polled, inputs are dropped: a shell that does not poll is stuck.
const COMMANDS_MAX: usize = 4096;
/// Changes that one input can cause; more would be a livelock.
const STEPS_MAX: usize = 256;

/// How far the call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// Not answered yet.
    #[default]
    Waiting,
    /// Under way.
    Open,
    /// Over, but effects are under way.
    Closing(EndReason),
    /// Over; the summary was given.
    Ended(EndReason),
}

/// One conversation with one caller.
///
/// Feed it with [`Conversation::handle`], then take every command from [`Conversation::poll`], then ask
/// [`Conversation::deadline`] when to come back with [`Input::Tick`].
#[derive(Debug)]
pub struct Conversation {
    pub(crate) config: Config,
    pub(crate) state: State,
    commands: VecDeque<Command>,
}

impl Conversation {
    /// A conversation that waits for [`Input::Answered`].
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, state: State::default(), commands: VecDeque::new() }
    }

    /// Goes on with a conversation that another worker stored. Its commands are to be polled at once: open commits are ordered
    /// again under the same confirmation, and what the agent had not said is said or asked for anew.
    #[must_use]
    pub fn resume(config: Config, stored: StoredState, now: CallTime) -> Self {
        let mut conversation = Self { config, state: stored.into_state(), commands: VecDeque::new() };
        conversation.take_over(now);
        conversation.advance();
        conversation
    }

    /// The state as it is to be stored; complete once every command has been polled.
    #[must_use]
    pub fn state(&self) -> StoredState {
        StoredState::new(self.state.clone())
    }

    /// The settings.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The tool calls of the conversation so far, oldest first, and what has come of each; kept across a take-over.
    #[must_use]
    pub fn tools_so_far(&self) -> &[ToolTrace] {
        self.state.record.tools()
    }

    /// Whether [`Command::Finish`] has been given; nothing more will come.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self.state.phase, Phase::Ended(_)) && self.commands.is_empty()
    }

    /// The next command, in the order in which they are to be carried out.
    pub fn poll(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// When to call [`Conversation::handle`] with [`Input::Tick`] if nothing else happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<CallTime> {
        let tools = self.state.tools.due_at();
        match self.state.phase {
            Phase::Waiting | Phase::Ended(_) => None,
            Phase::Closing(_) => [tools, self.transfer_due_at()].into_iter().flatten().min(),
            Phase::Open => {
                let times = [
                    tools,
                    self.transfer_due_at(),
                    self.state.playout.flushing.as_ref().map(|flushing| flushing.deadline),
                    self.state.playout.overdue_at(),
                    self.state.playout.stalled_at(self.config.silence.dead_air_max),
                    self.turn_at(),
                    self.state.keypad.due_at(),
                    self.pause_at(),
                    self.floor_taken_at(),
                    self.resume_at(),
                    self.model_timeout_at(),
                    self.filler_at(),
                    self.unheard_at(),
                    self.away_at(),
                    self.time_nearly_up_at(),
                    self.time_up_at(),
                ];
                times.into_iter().flatten().min()
            }
        }
    }

    /// Takes in what happened, at a time counted from the answer. A time before that of an earlier input counts as that one.
    pub fn handle(&mut self, now: CallTime, input: Input) {
        let ends = matches!(input, Input::CallerLeft | Input::Stop | Input::LineLost { .. } | Input::WindDown);
        if self.commands.len() >= COMMANDS_MAX && !ends {
            return;
        }
        self.state.now = self.state.now.max(now);
        match self.state.phase {
            Phase::Waiting => self.before_answer(input),
            Phase::Open => self.during_call(input),
            Phase::Closing(_) => self.after_call(input),
            Phase::Ended(_) => return,
        }
        self.advance();
    }

    /// Ends the conversation at once and gives what is known of the call, for a shell that cannot go on with it: what was said so
    /// far is in the summary, effects that are under way stand there as they were. Nothing more will come.
    pub fn abandon(&mut self, now: CallTime, reason: EndReason) -> CallSummary {
        self.state.now = self.state.now.max(now);
        let (now, reason) = match self.state.phase {
            Phase::Waiting | Phase::Open => {
                self.close(self.state.now, reason);
                (self.state.now, reason)
            }
            Phase::Closing(earlier) | Phase::Ended(earlier) => (self.state.now, earlier),
        };
        self.state.phase = Phase::Ended(reason);
        self.commands.clear();
        self.state.record.summary(reason, now)
    }

    fn before_answer(&mut self, input: Input) {
        let now = self.state.now;
        match input {
            Input::Answered => {
                self.state.phase = Phase::Open;
                self.state.floor_since = now;
                self.audit("call.answered", None);
                if !self.config.greeting.is_empty() || !self.config.disclaimer.is_empty() {
                    let greeting = self.config.greeting.clone();
                    self.start_reply(now, Purpose::Greeting, None, Some(greeting), After::Floor);
                }
            }
            Input::Reconfigure(agent) => self.reconfigure(now, *agent),
            Input::CallerLeft => self.close(now, EndReason::CallerHungUp),
            Input::LineLost { reason } => self.close(now, reason),
            Input::Stop => self.close(now, EndReason::Stopped),
            Input::WindDown => self.wind_down(),
            _ => {}
        }
    }

    fn during_call(&mut self, input: Input) {
        let now = self.state.now;
        let Some(input) = self.keep_for_draft(input) else { return };
        match input {
            Input::Answered | Input::Tick => {}
            Input::SpeechStarted { at } => self.speech_started(now, at),
            Input::SpeechEnded { last_speech } => self.speech_ended(now, last_speech),
            Input::TurnProbability { last_speech, probability } => self.state.caller.judged(last_speech, probability),
            Input::EndTurn => self.end_turn(now),
            Input::Expect { field } => self.state.expected = field,
            Input::SetLanguage { language } => self.set_language(&language),
            Input::Transcript(transcript) => self.transcript(now, &transcript),
            Input::TranscriptionFailed(failure) => {
                self.state.transcription_failures += 1;
                if !failure.retryable || self.state.transcription_failures >= crate::closing::TRANSCRIPTION_FAILURES_MAX {
                    self.give_up(now);
                }
            }
            Input::ModelText { .. } | Input::ModelToolCall { .. } | Input::ModelDone { .. } | Input::ModelFailed { .. } => {
                self.model_input(now, input);
            }
            Input::TranscriptionReopened => self.state.caller.asked_anew(now),
            Input::TransferEnded(outcome) => self.transfer_ended(now, outcome),
            Input::Reconfigure(agent) => self.reconfigure(now, *agent),
            Input::PersonCame => self.person_came(),
            Input::PersonLeft => self.person_left(now),
            // Keys are for the person.
            Input::Dtmf { .. } if self.state.aside => {}
            Input::Dtmf { digit } => self.key_pressed(now, digit),
            Input::Text { text } => self.settled_turn(now, &text),
            Input::CallerLeft => self.close(now, EndReason::CallerHungUp),
            Input::LineLost { reason } => self.close(now, reason),
            Input::Stop => self.close(now, EndReason::Stopped),
            Input::WindDown => self.wind_down(),
            Input::ToolFinished { .. } | Input::ToolPrepared { .. } | Input::ToolCommitted { .. } => self.tool_event(input),
            other => self.speech_event(other),
        }
    }

    fn speech_event(&mut self, input: Input) {
        let now = self.state.now;
        match input {
            Input::SynthesisStarted { utterance } => self.synthesis_started(now, utterance),
            Input::SynthesisDone { utterance, duration, words } => self.state.playout.synthesis_done(utterance, duration, words),
            Input::SynthesisFailed { utterance, failure } => self.synthesis_failed(utterance, &failure),
            Input::PlaybackStarted { utterance } => self.playback_started(now, utterance),
            Input::PlaybackPosition { utterance, played } => self.state.playout.position(utterance, played.duration(), now),
            Input::PlaybackFinished { utterance } => self.playback_finished(now, utterance),
            Input::Flushed { reply, cut } => self.flushed(now, reply, cut),
            _ => {}
        }
    }

    fn tool_event(&mut self, input: Input) {
        let now = self.state.now;
        match input {
            Input::ToolFinished { call, outcome } => self.tool_finished(now, &call, outcome),
            Input::ToolPrepared { call, outcome } => self.tool_prepared(now, &call, outcome),
            Input::ToolCommitted { confirmation, outcome } => self.tool_committed(now, &confirmation, &outcome),
            _ => {}
        }
    }

    /// The caller is gone, but effects are under way: only their outcomes matter.
    fn after_call(&mut self, input: Input) {
        match input {
            Input::TransferEnded(outcome) => self.transfer_ended(self.state.now, outcome),
            input => self.tool_event(input),
        }
    }

    /// Makes every change that is due, until there is none.
    fn advance(&mut self) {
        let now = self.state.now;
        for _ in 0..STEPS_MAX {
            let changed = match self.state.phase {
                Phase::Waiting | Phase::Ended(_) => false,
                Phase::Closing(_) => self.tools_due(now) || self.transfer_due(now) || self.closing_due(now),
                Phase::Open => {
                    self.person_due(now)
                        || self.leave_to_person_due(now)
                        || self.winding_down_due(now)
                        || self.flush_due(now)
                        || self.tools_due(now)
                        || self.transfer_due(now)
                        || self.playout_due(now)
                        || self.keypad_due(now)
                        || self.interruption_due(now)
                        || self.turn_due(now)
                        || self.retry_due(now)
                        || self.reply_step(now)
                        || self.draft_due()
                        || self.filler_due(now)
                        || self.time_nearly_up_due(now)
                        || self.unheard_due(now)
                        || self.away_due(now)
                }
            };
            if !changed {
                break;
            }
        }
        if self.state.phase == Phase::Open {
            self.publish_agent_state();
        }
    }

    pub(crate) fn push(&mut self, command: Command) {
        self.commands.push_back(command);
    }

    pub(crate) fn audit(&mut self, action: &str, subject: Option<String>) {
        self.push(Command::Audit { action: action.into(), subject });
    }
}
