//! What is kept of the call for its summary: lines, tool traces, figures.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::command::Speaker;
use crate::ids::{ConfirmationId, ToolCallId, TurnId};
use crate::input::TransferOutcome;
use crate::message::ToolCall;
use crate::summary::{CallSummary, EndReason, HandOff, SaidLine, ToolStatus, ToolTrace, TransferTrace, TurnMetrics};
use crate::time::CallTime;
use crate::words::Heard;

/// Beyond so many of a kind the oldest are dropped: an hour's call has some hundreds.
const KEPT_MAX: usize = 2000;

/// A line with the turn it belongs to, if it is the caller's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Line {
    turn: Option<TurnId>,
    line: SaidLine,
}

/// The record of a call.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Record {
    lines: Vec<Line>,
    tools: Vec<ToolTrace>,
    hand_offs: Vec<HandOff>,
    turns: Vec<TurnMetrics>,
    /// The turn whose figures are not complete yet.
    open_turn: Option<TurnId>,
    pub(crate) interruptions: u32,
    pub(crate) misunderstood: u32,
    pub(crate) offers: u32,
    transfers: Vec<TransferTrace>,
    pub(crate) language: Option<String>,
}

fn push_bounded<T>(list: &mut Vec<T>, item: T) {
    if list.len() >= KEPT_MAX {
        list.remove(0);
    }
    list.push(item);
}

impl Record {
    /// Notes what the caller said.
    pub(crate) fn caller_line(&mut self, turn: Option<TurnId>, heard: &Heard, now: CallTime) {
        let start = heard.started.unwrap_or(now);
        let end = heard.last_speech.unwrap_or(now).max(start);
        let line = SaidLine { speaker: Speaker::Caller, text: heard.text(), start, end, words: heard.words.clone(), interrupted: false };
        push_bounded(&mut self.lines, Line { turn, line });
    }

    /// Takes a turn's line out again, because the turn went on.
    pub(crate) fn withdraw(&mut self, turn: TurnId) {
        self.lines.retain(|line| line.turn != Some(turn));
    }

    /// Replaces the words of a turn with better ones.
    pub(crate) fn correct(&mut self, turn: TurnId, better: &str) {
        for line in self.lines.iter_mut().filter(|line| line.turn == Some(turn)) {
            line.line.text = better.to_string();
        }
    }

    /// Notes what was heard of the agent.
    pub(crate) fn agent_line(&mut self, text: String, start: CallTime, end: CallTime, interrupted: bool) {
        let line = SaidLine { speaker: Speaker::Agent, text, start, end: end.max(start), words: Vec::new(), interrupted };
        push_bounded(&mut self.lines, Line { turn: None, line });
    }

    /// Notes that another agent took over.
    pub(crate) fn handed_off(&mut self, to: String, now: CallTime) {
        push_bounded(&mut self.hand_offs, HandOff { to, at: now });
    }

    /// Notes that a transfer was ordered.
    pub(crate) fn transfer_ordered(&mut self, transfer: TransferTrace) {
        push_bounded(&mut self.transfers, transfer);
    }

    /// Notes what came of the transfer ordered last.
    pub(crate) fn transfer_ended(&mut self, outcome: TransferOutcome) {
        if let Some(last) = self.transfers.last_mut() {
            last.outcome = Some(outcome);
        }
    }

    /// The tool calls, oldest first.
    pub(crate) fn tools(&self) -> &[ToolTrace] {
        &self.tools
    }

    /// Notes a tool call that starts.
    pub(crate) fn tool_started(&mut self, call: &ToolCall, turn: Option<TurnId>, now: CallTime) {
        let trace = ToolTrace {
            call: call.id.clone(),
            name: call.name.clone(),
            arguments: call.arguments.clone(),
            output: Value::Null,
            status: ToolStatus::Cancelled,
            confirmation: None,
            start: now,
            end: now,
            turn,
        };
        push_bounded(&mut self.tools, trace);
    }

    fn trace(&mut self, call: &ToolCallId) -> Option<&mut ToolTrace> {
        self.tools.iter_mut().rev().find(|trace| trace.call == *call)
    }

    /// Notes how a tool call ended.
    pub(crate) fn tool_settled(&mut self, call: &ToolCallId, status: ToolStatus, output: Value, now: CallTime) {
        if let Some(trace) = self.trace(call) {
            (trace.status, trace.output, trace.end) = (status, output, now);
        }
    }

    /// Notes the confirmation under which a call was committed.
    pub(crate) fn tool_confirmed(&mut self, call: &ToolCallId, confirmation: &ConfirmationId, arguments: Value) {
        if let Some(trace) = self.trace(call) {
            trace.confirmation = Some(confirmation.clone());
            trace.arguments = arguments;
        }
    }

    /// Opens the figures of a turn that was to end at `due` at the soonest.
    pub(crate) fn open_turn(&mut self, turn: TurnId, heard: &Heard, due: Option<CallTime>, now: CallTime) {
        let metrics = TurnMetrics {
            turn,
            last_speech: heard.last_speech,
            speech_ended: heard.ended_at,
            transcript_final: heard.transcript_final,
            due,
            committed: Some(now),
            ..TurnMetrics::default()
        };
        push_bounded(&mut self.turns, metrics);
        self.open_turn = Some(turn);
    }

    /// The figures that are still being taken, if they are those of `turn`.
    pub(crate) fn metrics(&mut self, turn: Option<TurnId>) -> Option<&mut TurnMetrics> {
        let open = self.open_turn.filter(|open| Some(*open) == turn)?;
        self.turns.iter_mut().rev().find(|metrics| metrics.turn == open)
    }

    /// Closes the figures of the open turn; gives them once.
    pub(crate) fn close_turn(&mut self) -> Option<TurnMetrics> {
        let open = self.open_turn.take()?;
        self.turns.iter().rev().find(|metrics| metrics.turn == open).copied()
    }

    /// The summary of the call.
    pub(crate) fn summary(&self, end: EndReason, ended_at: CallTime) -> CallSummary {
        let mut transcript: Vec<SaidLine> = self.lines.iter().map(|line| line.line.clone()).collect();
        transcript.sort_by_key(|line| line.start);
        CallSummary {
            end,
            ended_at,
            transcript,
            tools: self.tools.clone(),
            hand_offs: self.hand_offs.clone(),
            turns: self.turns.clone(),
            interruptions: self.interruptions,
            misunderstood: self.misunderstood,
            offers: self.offers,
            transfers: self.transfers.clone(),
            language: self.language.clone(),
        }
    }
}
