//! Carrying out the conversation's commands. Nothing here waits.

use frontdesk_conversation::{Command, EndReason, Failure, Input, ToolCall, TransferOutcome};
use tokio::time::Instant;
use tracing::Span;

use super::driver::{Driver, RunningTool};
use crate::hearing::HearingOrder;
use crate::line::LineOrder;
use crate::numbers;
use crate::observe::{SessionEvent, ToolPhase};
use crate::pii::Pii;
use crate::speech::SpeechOrder;
use crate::tool::CallSoFar;

impl Driver {
    pub(super) fn execute(&mut self, command: Command) {
        match command {
            Command::FinalizeTranscript { started } => {
                let started = self.samples.index_at(started);
                // A recogniser that is too far behind answers late or not at all; the conversation waits only for a while.
                self.hand_over();
                let _ = self.parts.hearing.try_send(HearingOrder::Finalize { started });
            }
            Command::AskTurnModel { last_speech, started } => {
                let first = self.samples.index_at(started);
                self.parts.turn.ask(last_speech, first, self.samples.total());
            }
            Command::AskModel { generation, messages, allow_tools } => {
                let _turn = self.turn_span().entered();
                let so_far = CallSoFar::new(self.machine.tools_so_far());
                let tools = if allow_tools { self.parts.tools.schemas(&self.machine.config().tools, so_far) } else { Vec::new() };
                self.parts.model.ask(&mut self.parts.tasks, generation, messages, tools);
            }
            Command::CancelModel { generation } => self.parts.model.cancel(generation),
            Command::Synthesise { utterance, reply, text } => {
                self.parts.playout.enqueue(utterance, reply);
                if self.parts.speech.try_send(SpeechOrder::Speak { utterance, reply, text, is_greeting: false }).is_err() {
                    self.parts.playout.discard(utterance);
                    self.parts.incidents.note("text-to-speech: an utterance was left out, it is too slow");
                    let failure = Failure { retryable: true, kind: "busy".into() };
                    self.inputs.push_back(Input::SynthesisFailed { utterance, failure });
                }
            }
            // Speech that is not ordered ahead is spoken when it is wanted.
            Command::SynthesiseAhead { text } => drop(self.parts.speech.try_send(SpeechOrder::Ahead { text })),
            Command::DropAhead => drop(self.parts.speech.try_send(SpeechOrder::DropAhead)),
            Command::Flush { reply } => {
                let cut = self.parts.playout.flush(reply);
                if self.parts.speech.try_send(SpeechOrder::Flush { reply }).is_err() {
                    self.parts.incidents.note("text-to-speech: a flush was left out, it is too slow");
                }
                self.inputs.push_back(Input::Flushed { reply, cut });
            }
            Command::Pause => self.parts.playout.pause(),
            Command::Resume => self.parts.playout.resume(),
            Command::RunTool { call } => {
                let _turn = self.turn_span().entered();
                self.tool_started(&call, ToolPhase::Run);
                self.parts.tools.run(&mut self.parts.tasks, call, CallSoFar::new(self.machine.tools_so_far()));
            }
            Command::PrepareTool { call } => {
                let _turn = self.turn_span().entered();
                self.tool_started(&call, ToolPhase::Prepare);
                self.parts.tools.prepare(&mut self.parts.tasks, call, CallSoFar::new(self.machine.tools_so_far()));
            }
            Command::CommitTool { confirmation, call } => {
                let _turn = self.turn_span().entered();
                self.tool_started(&call, ToolPhase::Commit);
                self.commits.insert(confirmation.clone(), call.id.clone());
                self.parts.tools.commit(confirmation, call);
            }
            Command::CancelTool { call } => {
                self.running.remove(&call);
                self.parts.tools.cancel(&call);
            }
            other => self.tell(other),
        }
    }

    /// Commands that concern only who watches, keeps or ends the call.
    fn tell(&mut self, command: Command) {
        match command {
            Command::SetLanguage { language } => {
                tracing::info!(language, "the call goes on in another language");
                self.speak_language(&language);
                self.parts.tools.speak(language.clone());
                self.parts.watch.tell(self.now(), SessionEvent::Language(language));
            }
            Command::SetState(state) => {
                self.parts.thinking.tell(state);
                self.signal(LineOrder::State(state));
                self.parts.watch.tell(self.now(), SessionEvent::State(state));
            }
            Command::PublishTranscript(line) => {
                self.parts.watch.tell(self.now(), SessionEvent::Transcript(Pii::new(line.clone())));
                self.signal(LineOrder::Transcript(line));
            }
            Command::Transfer { target } => {
                tracing::info!(target_name = target, "the call is transferred");
                let taken = self.parts.line.as_ref().is_some_and(|line| line.try_send(LineOrder::Transfer(target)).is_ok());
                if !taken {
                    self.parts.incidents.note("transport: a transfer was left out, it is too slow");
                    self.inputs.push_back(Input::TransferEnded(TransferOutcome::Failed { sip_code: None }));
                }
            }
            Command::TurnCompleted(metrics) => {
                let span = self.turn_span();
                self.turn_span = None;
                numbers::turn(&metrics, &self.parts.targets, &span);
                self.parts.watch.tell(self.now(), SessionEvent::Turn(metrics));
            }
            Command::StoreState => {
                // A job is also stopped because its agent was taken out of the room: its successor would resume a call that is over.
                let is_stopped = self.end_by.is_some_and(|(_, reason)| reason == EndReason::Stopped);
                if self.parts.storage.is_enabled() && !is_stopped {
                    self.parts.storage.state(self.machine.state());
                }
            }
            Command::Audit { action, subject } => self.parts.storage.audit(action, subject),
            Command::HangUp => {
                let heard = if self.mute { self.apologise() } else { Instant::now() };
                self.hang_up_at = Some(heard + self.parts.limits.drain);
            }
            Command::Finish(summary) => self.summary = Some(summary),
            other => {
                tracing::error!(command = ?std::mem::discriminant(&other), "the session does not know this command");
                self.parts.incidents.note("session: unknown command");
            }
        }
    }

    /// The span of the turn that is being answered; it ends with the turn's figures.
    fn turn_span(&mut self) -> Span {
        self.turn_span.get_or_insert_with(numbers::turn_span).clone()
    }

    /// Best effort: who watches may miss a line when the room is slow.
    fn signal(&self, order: LineOrder) {
        if let Some(line) = &self.parts.line
            && line.try_send(order).is_err()
        {
            tracing::debug!("a signal to the room was left out");
        }
    }

    fn tool_started(&mut self, call: &ToolCall, phase: ToolPhase) {
        tracing::info!(tool = %call.name, ?phase, "tool started");
        let running = RunningTool { name: call.name.clone(), phase, since: Instant::now() };
        self.running.insert(call.id.clone(), running);
        let event = SessionEvent::ToolStarted {
            call: call.id.clone(),
            name: call.name.clone(),
            phase,
            arguments: Pii::new(call.arguments.clone()),
        };
        self.parts.watch.tell(self.now(), event);
    }
}
