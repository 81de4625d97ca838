//! The agent's reply: asking the model, speaking its answer sentence by sentence, step after step, until the floor goes back.

use serde::{Deserialize, Serialize};

use crate::command::Command;
use crate::history::EntryId;
use crate::ids::{ConfirmationId, GenerationId, ReplyId, TurnId};
use crate::input::{Failure, Input};
use crate::machine::Conversation;
use crate::message::ToolCall;
use crate::sentences::SentenceSplitter;
use crate::summary::EndReason;
use crate::time::CallTime;
use crate::utterance::Role;

/// Text beyond this is not spoken: no answer on the telephone is that long.
const STEP_CHARS_MAX: usize = 8000;
/// Tool calls of one step beyond this are ignored.
const STEP_CALLS_MAX: usize = 16;
/// So many replies in a row that the model failed end the call.
const MODEL_FAILURES_MAX: u32 = 2;

/// Why the agent speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Purpose {
    /// The call was answered.
    Greeting,
    /// A turn of the caller.
    Answer,
    /// The tenant's answer to an emergency, which nothing cuts off.
    Emergency,
    /// Speech failed; the fallback phrase takes its place.
    Fallback,
    /// The worker that had the call was lost.
    Resumed,
    /// The caller is silent.
    Away,
    /// The call has nearly lasted as long as it may.
    Notice,
    /// The caller stayed silent.
    Goodbye,
    /// The agent cannot go on. Not to be interrupted: there is nothing that could answer.
    Apology,
}

/// What follows a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum After {
    /// The floor goes to the caller.
    Floor,
    /// The call ends.
    HangUp(EndReason),
    /// The caller is handed to a person.
    Transfer,
}

/// One request to the model that is being answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ModelStep {
    generation: GenerationId,
    allow_tools: bool,
    splitter: SentenceSplitter,
    chars: usize,
    calls: Vec<ToolCall>,
    last_event: CallTime,
}

/// How far a reply has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// Waits for a flush to be answered or for open tool calls.
    Blocked,
    /// The model answers.
    Asking(Box<ModelStep>),
    /// Tools run.
    Tools,
    /// Everything is ordered; what is left is to play it.
    Speaking,
    /// Everything was said; what comes of the transfer is waited for.
    Transferring,
}

/// The reply at work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reply {
    pub(crate) id: ReplyId,
    pub(crate) turn: Option<TurnId>,
    pub(crate) purpose: Purpose,
    pub(crate) stage: Stage,
    /// A phrase to say instead of asking the model.
    script: Option<String>,
    pub(crate) after: After,
    /// The line of the history of the present step.
    pub(crate) entry: Option<EntryId>,
    asks: u32,
    tool_steps: u32,
    retried: bool,
    /// Whether the model has said something.
    pub(crate) said: bool,
    /// Whether any of it has been played.
    pub(crate) began: bool,
    /// How many fillers bridged the present wait.
    pub(crate) fillers: u32,
    /// Confirmations of this step that are to be read back.
    pub(crate) read_backs: Vec<ConfirmationId>,
    /// Whether a tool of this step ends the call.
    pub(crate) ends: bool,
    /// Whether a tool of this step failed.
    pub(crate) step_failed: bool,
}

impl Conversation {
    /// Starts a reply; the one before must be over.
    pub(crate) fn start_reply(&mut self, now: CallTime, purpose: Purpose, turn: Option<TurnId>, script: Option<String>, after: After) {
        // The draft's answer may become this one's; then it goes by the name under which the model was asked.
        let drafted = self.state.draft.as_ref().filter(|_| purpose == Purpose::Answer).map(|draft| draft.generation.reply);
        if drafted.is_none() {
            self.drop_draft();
        }
        let id = drafted.unwrap_or_else(|| self.state.ids.reply());
        // A reply in the place of one that said nothing: the caller has been waiting since that one was due.
        self.state.owed_since.get_or_insert(now);
        self.state.reply = Some(Reply {
            id,
            turn,
            purpose,
            stage: Stage::Blocked,
            script,
            after,
            entry: None,
            asks: u32::from(drafted.is_some()),
            tool_steps: 0,
            retried: false,
            said: false,
            began: false,
            fillers: 0,
            read_backs: Vec::new(),
            ends: false,
            step_failed: false,
        });
    }

    /// Takes the reply's next step, if it is due; whether it was.
    pub(crate) fn reply_step(&mut self, now: CallTime) -> bool {
        let Some(reply) = &mut self.state.reply else { return false };
        match &reply.stage {
            Stage::Blocked if self.state.playout.flushing.is_some() => false,
            Stage::Blocked => match reply.script.take() {
                Some(script) => {
                    reply.stage = Stage::Speaking;
                    if reply.purpose == Purpose::Greeting {
                        let notice = self.config.disclaimer.clone();
                        self.say(now, &notice, Role::Notice);
                    }
                    let role = if self.state.reply.as_ref().is_some_and(|reply| reply.purpose == Purpose::Emergency) {
                        Role::Notice
                    } else {
                        Role::Said
                    };
                    self.say(now, &script, role);
                    true
                }
                None if self.calls_settled() => {
                    self.ask(now);
                    true
                }
                None => false,
            },
            Stage::Asking(step) => {
                let (generation, overdue) = (step.generation, step.last_event + self.config.silence.model_timeout <= now);
                if overdue {
                    self.push(Command::CancelModel { generation });
                    self.model_gave_up(now, false);
                }
                overdue
            }
            Stage::Tools if self.state.tools.is_open_for(reply.id) => false,
            Stage::Tools => {
                self.tools_settled(now);
                true
            }
            Stage::Transferring => false,
            Stage::Speaking if self.state.playout.is_open() => false,
            Stage::Speaking => {
                self.finish_reply(now);
                true
            }
        }
    }

    /// When the model is given up.
    pub(crate) fn model_timeout_at(&self) -> Option<CallTime> {
        match &self.state.reply.as_ref()?.stage {
            Stage::Asking(step) => Some(step.last_event + self.config.silence.model_timeout),
            _ => None,
        }
    }

    fn ask(&mut self, now: CallTime) {
        let messages = self.state.history.messages(&self.config.instructions, None);
        let draft = self.adopt_draft(&messages);
        let turn = self.state.reply.as_ref().and_then(|reply| reply.turn);
        if let Some(metrics) = self.state.record.metrics(turn) {
            metrics.model_asked.get_or_insert(now);
        }
        let Some(reply) = &mut self.state.reply else { return };
        let allow_tools = reply.tool_steps < self.config.max_tool_steps;
        let (generation, pieces) = match draft {
            Some((generation, pieces)) => (generation, Some(pieces)),
            None => {
                reply.asks += 1;
                (GenerationId { reply: reply.id, step: reply.asks - 1 }, None)
            }
        };
        reply.entry = None;
        reply.stage = Stage::Asking(Box::new(ModelStep {
            generation,
            allow_tools,
            splitter: SentenceSplitter::new(!reply.said),
            chars: 0,
            calls: Vec::new(),
            last_event: now,
        }));
        match pieces {
            Some(pieces) => pieces.into_iter().for_each(|piece| self.model_input(now, piece)),
            None => self.push(Command::AskModel { generation, messages, allow_tools }),
        }
    }

    /// Takes in what the model sent.
    pub(crate) fn model_input(&mut self, now: CallTime, input: Input) {
        match input {
            Input::ModelText { generation, text } => self.model_text(now, generation, &text),
            Input::ModelToolCall { generation, call } => self.model_tool_call(now, generation, call),
            Input::ModelDone { generation } => self.model_done(now, generation),
            Input::ModelFailed { generation, failure } => self.model_failed(now, generation, &failure),
            _ => {}
        }
    }

    /// The step that a generation belongs to, if it is alive.
    fn step(&mut self, generation: GenerationId) -> Option<&mut ModelStep> {
        match &mut self.state.reply.as_mut()?.stage {
            Stage::Asking(step) if step.generation == generation => Some(step),
            _ => None,
        }
    }

    fn note_first_token(&mut self, now: CallTime) {
        let turn = self.state.reply.as_ref().and_then(|reply| reply.turn);
        if let Some(metrics) = self.state.record.metrics(turn) {
            metrics.first_token.get_or_insert(now);
        }
    }

    fn model_text(&mut self, now: CallTime, generation: GenerationId, text: &str) {
        let Some(step) = self.step(generation) else { return };
        step.last_event = now;
        let room = STEP_CHARS_MAX.saturating_sub(step.chars);
        let text: String = text.chars().take(room).collect();
        if text.is_empty() {
            return;
        }
        step.chars += text.chars().count();
        let pieces = step.splitter.push(&text);
        self.note_first_token(now);
        self.say_pieces(now, pieces);
    }

    fn say_pieces(&mut self, now: CallTime, pieces: impl IntoIterator<Item = String>) {
        for piece in pieces {
            if let Some(reply) = &mut self.state.reply {
                reply.said = true;
                reply.fillers = 0;
            }
            self.say(now, &piece, Role::Said);
        }
    }

    fn model_tool_call(&mut self, now: CallTime, generation: GenerationId, call: ToolCall) {
        let Some(step) = self.step(generation) else { return };
        step.last_event = now;
        if step.allow_tools && step.calls.len() < STEP_CALLS_MAX {
            step.calls.push(call);
        }
        self.note_first_token(now);
    }

    fn model_done(&mut self, now: CallTime, generation: GenerationId) {
        let Some(step) = self.step(generation) else { return };
        let rest = step.splitter.finish();
        let calls = std::mem::take(&mut step.calls);
        self.say_pieces(now, rest);
        let Some(reply) = &mut self.state.reply else { return };
        if calls.is_empty() && !reply.said {
            // An empty answer would leave the caller in silence.
            self.model_gave_up(now, true);
            return;
        }
        self.state.model_failures = 0;
        reply.stage = if calls.is_empty() { Stage::Speaking } else { Stage::Tools };
        self.start_calls(now, calls);
    }

    fn model_failed(&mut self, now: CallTime, generation: GenerationId, failure: &Failure) {
        let Some(step) = self.step(generation) else { return };
        let untouched = step.chars == 0;
        self.model_gave_up(now, failure.retryable && untouched);
    }

    /// The model gave no answer: asked once more if that may help, else the fallback is said. Tool calls that came with a
    /// broken answer were never started and never enter the history.
    fn model_gave_up(&mut self, now: CallTime, retry: bool) {
        let Some(reply) = &mut self.state.reply else { return };
        if retry && !reply.retried {
            reply.retried = true;
            reply.stage = Stage::Blocked;
            return;
        }
        reply.stage = Stage::Speaking;
        self.state.model_failures += 1;
        if let Some(turn) = reply.turn {
            self.turn_misunderstood(turn);
        }
        if self.state.model_failures < MODEL_FAILURES_MAX {
            let fallback = self.phrases().fallback.clone();
            self.say(now, &fallback, Role::Said);
        } else {
            let (after, words) = self.way_out();
            if let Some(reply) = &mut self.state.reply {
                reply.purpose = Purpose::Apology;
                reply.after = after;
            }
            self.say(now, &words, Role::Said);
        }
    }

    /// All tools of the step have their output: read back what is to be confirmed, end or transfer the call, or ask the model again.
    fn tools_settled(&mut self, now: CallTime) {
        let Some(reply) = &mut self.state.reply else { return };
        let read_backs = std::mem::take(&mut reply.read_backs);
        let ends = std::mem::take(&mut reply.ends) && !std::mem::take(&mut reply.step_failed);
        reply.step_failed = false;
        let to_read: Vec<_> =
            read_backs.into_iter().filter_map(|id| self.state.tools.confirmations.read_back(&id).map(|text| (id, text))).collect();
        if to_read.is_empty() && self.transfer_waits() {
            return self.words_before_transfer(now);
        }
        // What is read back wants an answer first.
        self.drop_transfer(now);
        let Some(reply) = &mut self.state.reply else { return };
        if to_read.is_empty() && !ends {
            reply.next_step();
            return;
        }
        reply.stage = Stage::Speaking;
        if to_read.is_empty() {
            reply.after = After::HangUp(EndReason::Completed);
        }
        for (id, text) in to_read {
            self.say_after_tools(now, &text, Role::ReadBack(id));
        }
    }

    /// The caller is not handed over without a word.
    fn words_before_transfer(&mut self, now: CallTime) {
        let Some(reply) = &mut self.state.reply else { return };
        (reply.stage, reply.after) = (Stage::Speaking, After::Transfer);
        if !reply.said {
            let words = self.phrases().put_through.clone();
            self.say(now, &words, Role::Said);
        }
    }

    /// Speech after the tools of a step is a line of its own in the history: it comes after their outputs.
    pub(crate) fn say_after_tools(&mut self, now: CallTime, text: &str, role: Role) {
        if let Some(reply) = &mut self.state.reply {
            reply.entry = None;
        }
        self.say(now, text, role);
    }

    /// Says again what the synthesiser failed to say, if anything; whether there was.
    pub(crate) fn retry_due(&mut self, now: CallTime) -> bool {
        let retries = self.state.playout.take_retries();
        let any = !retries.is_empty();
        for utterance in retries {
            self.say_again(now, utterance);
        }
        any
    }

    fn finish_reply(&mut self, now: CallTime) {
        let Some(reply) = self.state.reply.take_if(|reply| reply.after != After::Transfer) else { return self.last_word_said(now) };
        let unheard = self.state.playout.end_was_lost();
        self.complete_turn();
        self.end_playout(now);
        match reply.after {
            After::Transfer => {}
            After::HangUp(reason) => self.close(now, reason),
            After::Floor if unheard && reply.purpose == Purpose::Fallback => self.speechless(now),
            After::Floor if unheard => self.say_fallback(now),
            After::Floor => self.give_floor(now),
        }
    }

    /// Everything was said before a transfer; the reply stays, for the agent owes the caller what comes of it.
    fn last_word_said(&mut self, now: CallTime) {
        self.complete_turn();
        self.end_playout(now);
        if let Some(reply) = &mut self.state.reply {
            reply.entry = None;
        }
        self.order_transfer(now);
    }
}

impl Reply {
    /// The worker that worked on it is gone: what it had under way is asked for or said anew.
    pub(crate) fn resume(&mut self, id: ReplyId) {
        self.id = id;
        self.fillers = 0;
        if matches!(self.stage, Stage::Asking(_)) {
            self.stage = Stage::Blocked;
            self.entry = None;
        }
    }

    /// The tools have their outputs, or the transfer its outcome: the model is asked again.
    pub(crate) fn next_step(&mut self) {
        self.tool_steps += 1;
        self.stage = Stage::Blocked;
        self.after = After::Floor;
    }

    /// The request that the model is answering.
    pub(crate) fn generation(&self) -> Option<GenerationId> {
        match &self.stage {
            Stage::Asking(step) => Some(step.generation),
            _ => None,
        }
    }

    /// Whether the caller may cut it off.
    pub(crate) fn is_interruptible(&self) -> bool {
        self.purpose != Purpose::Apology
    }
}
